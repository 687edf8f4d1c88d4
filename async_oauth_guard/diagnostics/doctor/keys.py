"""Examines a key set: how many of its keys can be used, and for which algorithms."""

import base64
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ...authorization_server.jwks import CallableKeySource, KeySource, StaticKeySource, import_called_keys
from ...protocol.jwk import VerificationKey, import_keys
from ...protocol.strict_json import read_json
from ...runtime.effects import OutboundResponse
from .examination import Finding, captured_logs, ok, problem, warning
from .probe import ProbeResult

__all__ = ["describe_lifetime", "examine_keys", "no_usable_key"]

_USABLE_KEYS = (
    "a public signing key: RSA with 2048 bits or more, EC on P-256, P-384 or P-521, or Ed25519, without private "
    'members, and with "use" set to "sig" or absent'
)
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,10})", re.IGNORECASE)


def _read_set(source: KeySource, document: Any, algorithms: Collection[str]) -> tuple[Sequence[VerificationKey], str]:
    """The keys that ``source`` reads from ``document``, and the log messages about keys that cannot be used."""
    with captured_logs() as logged:
        if isinstance(source, CallableKeySource):
            keys = import_called_keys(document, algorithms)
        else:
            keys = import_keys(document, fetched=not isinstance(source, StaticKeySource), algorithms=algorithms)
    return keys, " ".join(logged)


def examine_keys(
    source: KeySource, document: Any, algorithms: Collection[str], lifetime: str = ""
) -> Iterator[Finding]:
    """Report whether a key that ``source`` reads from ``document`` supports one of ``algorithms``."""
    keys, unusable = _read_set(source, document, algorithms)
    supported = sorted(frozenset().union(*(key.algorithms for key in keys)))
    facts: dict[str, Any] = {"usable": len(keys), **_facts_of(document), "algorithms": supported}
    number = "1 key" if len(keys) == 1 else f"{len(keys)} keys"
    found = f"{number}: {', '.join(map(_describe, keys))}.{lifetime}"
    if not set(supported) & set(algorithms):
        yield problem(
            f"{found} None of them supports an algorithm that algorithms= accepts: {', '.join(sorted(algorithms))}.",
            f"Set algorithms= to what the server signs with, out of {', '.join(supported)}. Or configure the server to "
            "sign with an accepted algorithm.",
            fault="algorithms",
            **facts,
        )
    elif unusable:
        yield warning(
            f"{found} {unusable}",
            f"Tokens signed with an unusable key are refused. Configure the server to publish {_USABLE_KEYS}.",
            fault="unusable-key",
            **facts,
        )
    else:
        yield ok(found, **facts)


def no_usable_key(result: ProbeResult) -> Finding:
    """Report that a key set has no usable key."""
    response = result.exchanges[-1].response if result.exchanges else None
    facts = _facts_of(None if response is None else read_json(response.body.reveal()))
    sizes = "".join(f" An RSA key has {bits} bits." for bits in facts["rsa_bits"])
    return problem(
        f"{'; '.join(result.logged) or 'The key set has no usable key'}.{sizes}",
        f"Configure the server to publish {_USABLE_KEYS}.",
        fault="no-usable-key",
        **facts,
    )


def describe_lifetime(response: OutboundResponse | None) -> str:
    """For how long the server allows its key set to be cached, if the response says so."""
    found = _MAX_AGE.search(response.fields.get("Cache-Control", "")) if response is not None else None
    return (
        "" if found is None else f" The server allows the key set to be cached for {int(found[1])} s (Cache-Control)."
    )


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
    """Facts about a key set that reveal no key."""
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
