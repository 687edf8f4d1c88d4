"""A strict JSON parser for tokens and servers' responses. It refuses JSON that two parsers could read differently."""

import json
import math
import re
from typing import Any, NoReturn

__all__ = ["read_json"]

_MAX_DEPTH = 32
_MAX_INTEGER_LENGTH = 100
# RFC 8259 §2. Other white space is not allowed.
_WHITE_SPACE = " \t\n\r"


def read_json(data: bytes) -> Any:
    """Parse ``data``. Returns ``None`` if it is refused, and also for JSON ``null``.

    Refused are encodings other than UTF-8, a byte order mark (RFC 8725 §3.7), half surrogate pairs, repeated members,
    numbers that are not finite, integers of more than 100 characters, and values nested more than 32 levels deep.
    """
    if data.count(b"{") + data.count(b"[") > _MAX_DEPTH and _is_too_deep(data):
        return None
    try:
        text = data.decode("utf-8").strip(_WHITE_SPACE)
        value, end = _JSON.raw_decode(text)
        if end != len(text):
            return None
        if b"\\u" in data and _SURROGATE.search(data):
            # Half a surrogate pair is not a character and cannot be encoded, so this raises.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        # RecursionError: if the caller's stack is nearly full, even a few levels are too many.
        return None
    return value


_SURROGATE = re.compile(rb"\\u[dD][89A-Fa-f]")
# A string without its closing quote matches too. Otherwise each of its characters would start a new search.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)).difference(b"[]{}"))


def _is_too_deep(data: bytes) -> bool:
    brackets = _STRING.sub(b"", data).translate(_TO_SQUARE, delete=_NOT_BRACKETS)
    for _ in range(_MAX_DEPTH):
        # Remove the innermost pairs.
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    return brackets != b""


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7515 §4: "The Header Parameter names within the JOSE Header MUST be unique". RFC 7519 §4: the same for claims.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is infinite")
    return number


def _short_integer(text: str) -> int:
    # Parsing time grows faster than the length, and Python itself refuses very long integers.
    if len(text) > _MAX_INTEGER_LENGTH:
        raise ValueError("a number is too long")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_JSON = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_short_integer,
)
