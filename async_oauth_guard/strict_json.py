"""JSON as the rules of tokens and of servers' answers want it: one reading only, or none."""

import json
import math
from typing import Any, NoReturn

__all__ = ["read_json"]


def read_json(text: bytes) -> Any:
    """The value that ``text`` is, or ``None``, which stands for ``null`` as well: neither is of any use here.

    Refused are encodings other than UTF-8 and the byte order mark (RFC 8259 §8.1), lone surrogates, a member that is
    there twice (RFC 7519 §4), numbers that are not finite, and what is nested too deeply to be read.
    """
    try:
        decoded = text.decode()
        value = _DECODER.decode(decoded)
        if "\\u" in decoded or "\\U" in decoded:
            # An escape may have written half of a surrogate pair, which is no character.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is not finite")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
