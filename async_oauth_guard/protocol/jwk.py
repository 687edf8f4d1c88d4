"""JSON Web Keys (RFC 7517): import, strength, and the algorithms for which a key may be used.

A key set is untrusted input. A key that cannot be used never affects the others.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey, import_key

from . import logs
from .base64url import decode_base64url
from .secrets import Secret
from .strict_json import read_json

__all__ = [
    "DEFAULT_ALGORITHMS",
    "KNOWN_ALGORITHMS",
    "SYMMETRIC_ALGORITHMS",
    "SigningKey",
    "VerificationKey",
    "import_keys",
    "import_proof_key",
    "import_signing_key",
]

logger = logging.getLogger("async_oauth_guard.jose")

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHM_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

DEFAULT_ALGORITHMS: Final = (*_RSA_ALGORITHMS, *_ALGORITHM_BY_CURVE.values(), "Ed25519", "EdDSA")
"""The algorithms that a validator accepts by default. Only the authorization server can make these signatures."""

SYMMETRIC_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
"""Accepted only with a key that the site passes as an object, never with a fetched key."""

KNOWN_ALGORITHMS: Final = frozenset({*DEFAULT_ALGORITHMS, *SYMMETRIC_ALGORITHMS, "Ed448"})
"""All algorithms that can be verified. Ed448 must be enabled by name."""

_MAX_KEYS = 100
_MAX_MEMBER_LENGTH = 2048
_MIN_SECRET_SIZE = 32
_MAX_PROOF_KEY_BITS = 4096


# --- Public keys ---


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that can verify signatures by ``algorithms``.

    ``identity`` is a hash of the key, its ``kid`` and its algorithms. It is the same in every process. ``key`` has no
    private members unless it is symmetric.
    """

    identity: str
    kid: str | None
    algorithms: frozenset[str]
    key: Key = field(repr=False, compare=False)


_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ("k",)}
# RFC 7518 §6.2.2, §6.3.2, §6.4. joserfc treats an RSA key with a single prime as public, so we check for all of them.
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def import_keys(key_set: Any, *, fetched: bool, algorithms: Collection[str] = ()) -> tuple[VerificationKey, ...]:
    """The keys of ``key_set`` that can verify signatures. Other keys are skipped and logged in one warning.

    Args:
        key_set: a JWK Set or a JWK as ``dict``, a ``KeySet`` or a key of joserfc or ``authlib.jose``, or a list of
            these; or PEM or JSON text, which counts as fetched.
        fetched: whether the key set came from outside this process. If so, keys with private members and symmetric
            keys are skipped. If not, only the public half of an asymmetric key is used.
        algorithms: the validator's algorithms. If ``Ed448`` is among them, an Ed448 key also verifies ``EdDSA``.

    Raises:
        TypeError: ``key_set`` has another type, and ``fetched`` is false.
    """
    members = _members_of(key_set)
    if members is None and not fetched:
        raise TypeError(f"the key set must be a JWK Set, a JWK, a KeySet or a key, got {_name_of(key_set)}")
    fetched = fetched or isinstance(key_set, str | bytes)
    keys: dict[str, VerificationKey] = {}
    faults: list[str] = []
    hint = ""
    for index, member in enumerate(islice(members or (), _MAX_KEYS + 1)):
        # RFC 7517 §5: "Implementations SHOULD ignore JWKs within a JWK Set that use "kty" (key type) values that are
        # not understood by them, that are missing required members, or for which values are out of the supported
        # ranges."
        described = member if isinstance(member, Mapping) else {}
        if described.get("use") == "enc":
            # Many servers publish encryption keys. These need no warning.
            continue
        outcome = _import_key(member, fetched, "Ed448" in algorithms) if index < _MAX_KEYS else "it is one too many"
        if isinstance(outcome, VerificationKey):
            keys.setdefault(outcome.identity, outcome)
        else:
            faults.append(f"{index} ({outcome})")
            hint = _SECRET_HINT if fetched and described.get("kty") == "oct" else hint
    if faults:
        # Only their positions and what is wrong: no names or values from the keys.
        logs.write(logger, logging.WARNING, "Some keys of a key set are not used: %s.%s", ", ".join(faults), hint)
    return tuple(keys.values())


_SECRET_HINT = " A shared secret is never fetched; pass it as a key object (jwks=, or joserfc's OctKey)."


def _name_of(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _members_of(key_set: Any) -> Iterable[Any] | None:
    if isinstance(key_set, Mapping):
        members = key_set.get("keys", [key_set])
        return members if isinstance(members, list | tuple) else None
    if isinstance(key_set, KeySet):
        return key_set.keys
    if isinstance(key_set, Key) or _is_of_authlib(key_set, "Key"):
        return [key_set]
    if _is_of_authlib(key_set, "KeySet"):
        return list(key_set.keys)
    if isinstance(key_set, str | bytes):
        return _members_of_text(key_set)
    return _flatten(key_set) if isinstance(key_set, list | tuple) else None


def _is_of_authlib(value: Any, name: str) -> bool:
    # By name, because importing ``authlib.jose`` emits a deprecation warning.
    return any(cls.__name__ == name and cls.__module__.startswith("authlib.jose.") for cls in type(value).__mro__)


def _members_of_text(text: str | bytes) -> Iterable[Any] | None:
    """The keys in PEM or JSON text, or ``None`` if the text is neither."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if data.lstrip().startswith(b"-----BEGIN "):
        key = _first_import(text, ("RSA", "EC", "OKP"))
        return None if key is None else [key]
    value = read_json(data)
    return _members_of(value) if isinstance(value, Mapping | list) else None


def _flatten(parts: Iterable[Any]) -> Iterator[Any]:
    for part in parts:
        members = None if isinstance(part, list | tuple) else _members_of(part)
        yield from [part] if members is None else members


def _import_key(member: Any, fetched: bool, has_ed448: bool) -> VerificationKey | str:
    """Import one key, or return what is wrong with it."""
    jwk = _jwk_of(member)
    if not isinstance(jwk, Mapping):
        return "it is not a JWK"
    fault = _fault_of_jwk(jwk, "verify")
    if fault is None and fetched and (jwk["kty"] == "oct" or not _PRIVATE_MEMBERS.isdisjoint(jwk)):
        fault = "it is not public"
    if fault is not None:
        return fault
    key = _public_key_of(jwk)
    if isinstance(key, str):
        return key
    kid, algorithms = jwk.get("kid"), _algorithms_of(key)
    if "Ed448" in algorithms and not has_ed448:
        algorithms = frozenset({"Ed448"})
    algorithms = _restrict(algorithms, jwk)
    if not algorithms:
        return "no algorithm fits it"
    identity = hashlib.sha256(json.dumps([key.thumbprint(), kid, sorted(algorithms)]).encode()).hexdigest()
    return VerificationKey(identity, kid, algorithms, key)


def import_proof_key(jwk: Any, has_ed448: bool) -> VerificationKey | None:
    """The public key in the header of a DPoP proof (RFC 9449 §4.2), or ``None`` if it must not be used.

    The client chooses the key. So it must be public, and an RSA key must be small enough for fast verification.
    ``has_ed448``: whether the algorithm Ed448 is accepted.
    """
    key = _import_key(jwk, True, has_ed448) if isinstance(jwk, Mapping) else None
    if not isinstance(key, VerificationKey):
        return None
    is_small = not isinstance(key.key, RSAKey) or key.key.public_key.key_size <= _MAX_PROOF_KEY_BITS
    return key if is_small else None


def _jwk_of(member: Any) -> Any:
    if _is_of_authlib(member, "Key"):
        return _jwk_of_authlib(member)
    if not isinstance(member, Key):
        return member
    try:
        return member.as_dict(private=member.is_private)
    except Exception:
        # joserfc refuses the key's parameters.
        return None


def _jwk_of_authlib(key: Any) -> Any:
    try:
        jwk = dict(key.as_dict(is_private=False))
        # Authlib adds a `kid` to a key without one. The server's tokens do not have it.
        return jwk if key.kid is not None else {name: value for name, value in jwk.items() if name != "kid"}
    except Exception:
        return None


def _fault_of_jwk(jwk: Mapping[str, Any], operation: str) -> str | None:
    key_type, kid, operations = jwk.get("kty"), jwk.get("kid"), jwk.get("key_ops", [operation])
    if not isinstance(key_type, str) or key_type not in _PUBLIC_MEMBERS:
        return "its kty is unknown"
    if not (kid is None or isinstance(kid, str)):
        return "its kid is not a string"
    if not isinstance(jwk.get("alg", ""), str):
        return "its alg is not a string"
    # RFC 7517 §4.2, §4.3
    if jwk.get("use", "sig") != "sig":
        return "its use is not sig"
    if not isinstance(operations, list) or not all(isinstance(name, str) for name in operations):
        return "its key_ops are not a list of strings"
    if operation not in operations:
        return f"its key_ops do not include {operation}"
    return None


def _public_key_of(jwk: Mapping[str, Any]) -> Key | str:
    """Import only the public members (for a symmetric key, the secret), or return what is wrong with them."""
    members: dict[str, Any] = {name: jwk.get(name) for name in _PUBLIC_MEMBERS[jwk["kty"]]}
    if not all(isinstance(value, str) and len(value) <= _MAX_MEMBER_LENGTH for value in members.values()):
        return "a member is missing or malformed"
    if not _is_sized(jwk):
        is_secret = jwk["kty"] == "oct"
        needed = f": a secret must have at least {_MIN_SECRET_SIZE} octets" if is_secret else ""
        return f"its size or exponent is out of range{needed}"
    try:
        return import_key({**members, "kty": jwk["kty"]})
    except Exception:
        # joserfc and cryptography raise many errors, such as for an unknown curve or a point that is not on its curve.
        return "it is not a valid key"


def _is_sized(jwk: Mapping[str, Any]) -> bool:
    # Check this before joserfc imports the key, because joserfc accepts a short key with a `SecurityWarning`.
    if jwk["kty"] == "RSA":
        return _is_rsa_in_range(_read_integer(jwk["n"]).bit_length(), _read_integer(jwk["e"]))
    return jwk["kty"] != "oct" or len(decode_base64url(jwk["k"], _MAX_MEMBER_LENGTH) or b"") >= _MIN_SECRET_SIZE


def _is_rsa_in_range(bits: int, exponent: int) -> bool:
    # RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used". Very long moduli and exponents take much time.
    return 2048 <= bits <= 8192 and 3 <= exponent < 2**32 and exponent % 2 == 1


def _read_integer(text: str) -> int:
    return int.from_bytes(decode_base64url(text, _MAX_MEMBER_LENGTH) or b"")


def _algorithms_of(key: Key) -> frozenset[str]:
    """The algorithms that fit the key's type, curve and size."""
    if isinstance(key, RSAKey):
        numbers = key.public_key.public_numbers()
        return frozenset(_RSA_ALGORITHMS if _is_rsa_in_range(numbers.n.bit_length(), numbers.e) else ())
    if isinstance(key, ECKey):
        # RFC 7518 §3.4: each algorithm has one curve. We do not support secp256k1.
        return frozenset({_ALGORITHM_BY_CURVE[key.curve_name]} if key.curve_name in _ALGORITHM_BY_CURVE else ())
    if isinstance(key, OKPKey):
        return frozenset({key.curve_name, "EdDSA"} if key.curve_name in ("Ed25519", "Ed448") else ())
    # RFC 7518 §3.2: "A key of the same size as the hash output (for instance, 256 bits for "HS256") or larger MUST
    # be used with this algorithm."
    size = len(key.raw_value)
    return frozenset(name for name in SYMMETRIC_ALGORITHMS if size * 8 >= int(name[2:]))


def _restrict(algorithms: frozenset[str], jwk: Mapping[str, Any]) -> frozenset[str]:
    # RFC 8725 §3.1: "each key MUST be used with exactly one algorithm". We enforce this if the key names one.
    named = jwk.get("alg")
    if named is None:
        return algorithms
    if named not in algorithms:
        return frozenset()
    # RFC 9864 §2.2: "EdDSA" is another name for the algorithm of the key's curve.
    return algorithms if "EdDSA" in algorithms else frozenset({named})


# --- Private keys ---


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An imported private key and the algorithm for its signatures. ``kid`` becomes part of the header."""

    key: Key = field(repr=False, compare=False)
    algorithm: str
    kid: str | None


def import_signing_key(source: Secret[str | Mapping[str, Any]]) -> SigningKey:
    """Import a private key from PEM text or a JWK. Do this once: it takes a hundred times as long as a signature.

    It signs with the ``alg`` of the JWK, or else with the usual algorithm for such a key.

    Raises:
        ValueError: the key cannot sign. The message says why, and contains nothing from the key.
    """
    key = _read_signing_key(source.reveal())
    if isinstance(key, str):
        # Raise here, where no local variable is the key.
        raise ValueError(f"the signing key cannot be used: {key}")
    return key


def _read_signing_key(source: Any) -> SigningKey | str:
    key = _private_key_of(source)
    if isinstance(key, str):
        return key
    jwk = source if isinstance(source, Mapping) else {}
    fitting = _restrict(_algorithms_of(key), jwk)
    if not fitting:
        return "no algorithm fits it"
    return SigningKey(key, jwk.get("alg") or _usual_algorithm(fitting), jwk.get("kid"))


def _private_key_of(source: Any) -> Key | str:
    if isinstance(source, str):
        # joserfc needs to know the type of a PEM key, so try each.
        key = _first_import(source, ("RSA", "EC", "OKP"))
    elif isinstance(source, Mapping):
        public = _fault_of_jwk(source, "sign") or _public_key_of(source)
        if isinstance(public, str):
            return public
        key = _first_import(_key_members(source), (source["kty"],))
    else:
        return "it is neither PEM text nor a JWK"
    if key is None:
        return "it cannot be read"
    if isinstance(key, OctKey) or not key.is_private:
        return "it is not a private key"
    return key


def _key_members(jwk: Mapping[str, Any]) -> dict[str, Any]:
    names = {"kty", *_PUBLIC_MEMBERS[jwk["kty"]], *_PRIVATE_MEMBERS}
    return {name: value for name, value in jwk.items() if name in names}


def _first_import(source: Any, key_types: Iterable[Any]) -> Key | None:
    for key_type in key_types:
        # joserfc and cryptography raise many different errors for a key of another type.
        with suppress(Exception):
            key: Key = import_key(source, key_type)
            return key
    return None


def _usual_algorithm(fitting: frozenset[str]) -> str:
    return next(name for name in ("RS256", *_ALGORITHM_BY_CURVE.values(), "EdDSA") if name in fitting)
