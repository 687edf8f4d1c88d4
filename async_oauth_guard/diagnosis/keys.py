"""The keys that signatures are verified with: how many, of which kind, and whether one serves."""

import base64
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..effects import HttpAnswer
from ..flows.keysets import CalledKeys, FixedKeys, KeySource, import_called_keys
from ..jose import VerificationKey, import_keys
from ..strict_json import read_json
from .examination import Finding, ok, overhearing, trouble, warning
from .visits import Visit

__all__ = ["describe_lifetime", "judge_keys", "no_usable_key"]

_USABLE_KEYS = (
    "a public signing key: RSA of 2048 bits or more, EC on P-256, P-384 or P-521, or Ed25519, without private members, "
    'and with use "sig" or none'
)
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,10})", re.IGNORECASE)


def _read_set(source: KeySource, document: Any, algorithms: Collection[str]) -> tuple[Sequence[VerificationKey], str]:
    """The keys that ``source`` makes of ``document``, and what was said of those that are left out."""
    with overhearing() as said:
        if isinstance(source, CalledKeys):
            keys = import_called_keys(document, algorithms)
        else:
            keys = import_keys(document, fetched=not isinstance(source, FixedKeys), algorithms=algorithms)
    return keys, " ".join(said)


def judge_keys(source: KeySource, document: Any, algorithms: Collection[str], lifetime: str = "") -> Iterator[Finding]:
    """Whether a key that ``source`` makes of ``document`` serves one of ``algorithms``."""
    keys, left_out = _read_set(source, document, algorithms)
    served = sorted(frozenset().union(*(key.algorithms for key in keys)))
    facts: dict[str, Any] = {"usable": len(keys), **_facts_of(document), "algorithms": served}
    found = f"{_number(len(keys))}: {', '.join(map(_describe, keys))}.{lifetime}"
    if not set(served) & set(algorithms):
        yield trouble(
            f"{found} None of them verifies what algorithms= accepts: {', '.join(sorted(algorithms))}.",
            f"Name in algorithms= what the server signs with, of {', '.join(served)}; or have it sign with another.",
            fault="algorithms",
            **facts,
        )
    elif left_out:
        yield warning(
            f"{found} {left_out}",
            f"Tokens that are signed with a key that is left out are refused. Have the server publish {_USABLE_KEYS}.",
            fault="unusable-key",
            **facts,
        )
    else:
        yield ok(found, **facts)


def no_usable_key(visited: Visit) -> Finding:
    """That a server's key set has no key that can be used."""
    answer = visited.exchanges[-1].answer if visited.exchanges else None
    facts = _facts_of(None if answer is None else read_json(answer.body.reveal()))
    sizes = "".join(f" An RSA key has {bits} bits." for bits in facts["rsa_bits"])
    return trouble(
        f"{'; '.join(visited.said) or 'The key set has no usable key'}.{sizes}",
        f"Have the server publish {_USABLE_KEYS}.",
        fault="no-usable-key",
        **facts,
    )


def describe_lifetime(answer: HttpAnswer | None) -> str:
    """For how long the server lets its key set be kept, where it says so."""
    found = _MAX_AGE.search(answer.fields.get("Cache-Control", "")) if answer is not None else None
    return "" if found is None else f" The server lets it be kept for {int(found[1])} s (Cache-Control)."


def _number(keys: int) -> str:
    return "1 key" if keys == 1 else f"{keys} keys"


def _describe(key: VerificationKey) -> str:
    joserfc_key: Any = key.key
    kind = str(joserfc_key.key_type)
    algorithms = "/".join(sorted(key.algorithms))
    if kind == "oct":
        return f"a secret ({algorithms})"
    members = joserfc_key.as_dict(private=False)
    size = f"{_bits(members)} bits" if kind == "RSA" else members["crv"]
    return f"{kind} {size} ({algorithms})"


def _facts_of(document: Any) -> dict[str, Any]:
    """What is told of a key set without telling a key."""
    members = document.get("keys") if isinstance(document, Mapping) else None
    jwks = [member for member in members if isinstance(member, Mapping)] if isinstance(members, list) else []
    return {
        "keys": len(jwks),
        "for_encryption": sum(jwk.get("use") == "enc" for jwk in jwks),
        "rsa_bits": [bits for jwk in jwks if jwk.get("kty") == "RSA" and (bits := _bits(jwk))],
    }


def _bits(jwk: Mapping[str, Any]) -> int:
    modulus = str(jwk.get("n", ""))
    try:
        return int.from_bytes(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))).bit_length()
    except ValueError:
        return 0
