"""JSON Web Tokens: their form, the keys of a key set, and signatures. The only module that knows joserfc.

A token is decoded before any key is looked for, and nothing of it is trusted until its signature has been verified;
claims are judged elsewhere. Nothing here raises for what comes from outside: an exception's traceback shows the locals
of every frame it passed, and these hold the token.
"""

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from . import logs
from .credentials import MAX_TOKEN_LENGTH, Secret
from .errors import Reason
from .strict_json import read_json

__all__ = [
    "DEFAULT_ALGORITHMS",
    "KNOWN_ALGORITHMS",
    "SYMMETRIC_ALGORITHMS",
    "Jwt",
    "VerificationKey",
    "check_signing_key",
    "choose_keys",
    "import_keys",
    "parse_jwt",
    "peek_issuer",
    "sign_jwt",
    "verify_signature",
]

logger = logging.getLogger(__name__)

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHM_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

DEFAULT_ALGORITHMS: Final = (*_RSA_ALGORITHMS, *_ALGORITHM_BY_CURVE.values(), "Ed25519", "EdDSA")
"""What a validator accepts unless told otherwise: signatures that only the authorization server can make."""

SYMMETRIC_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
"""Accepted only with a key that was handed over in this process."""

KNOWN_ALGORITHMS: Final = frozenset({*DEFAULT_ALGORITHMS, *SYMMETRIC_ALGORITHMS, "Ed448"})
"""All that can be verified here. Ed448 has to be asked for by name."""

_SIGNATURES = {name: JWSRegistry.algorithms[name] for name in KNOWN_ALGORITHMS}

# In octets, decoded. The payload may fill the rest of the token.
_MAX_HEADER_SIZE = 4096
_MAX_REMEMBERED_LENGTH = 512
_MAX_SIGNATURE_SIZE = 1024

_MAX_KEYS = 100
# Keys of one kid that a signature is tried with; an issuer that reuses a kid while it rolls its keys has two.
_MAX_CANDIDATES = 4
_MAX_MEMBER_LENGTH = 2048
_MIN_SECRET_SIZE = 32

_MALFORMED: Final = Reason.MALFORMED_JWT


# --- Tokens ---


@dataclass(frozen=True, slots=True)
class Jwt:
    """A JWT in compact form, decoded. Nothing of it is verified.

    Attributes:
        header: the JOSE header, of which the members read here have the right types.
        claims: the claims set, as sent.
        signing_input: the octets that are signed.
        signature: the signature's octets.
    """

    header: Mapping[str, Any]
    claims: dict[str, Any] = field(repr=False)
    signing_input: Secret[bytes]
    signature: Secret[bytes]

    @property
    def algorithm(self) -> str:
        """The ``alg`` header: one of `KNOWN_ALGORITHMS`."""
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        """The ``kid`` header; ``null`` counts as none."""
        return self.header.get("kid")

    @property
    def type(self) -> str | None:
        """The ``typ`` header as sent; media types compare without regard to case."""
        return self.header.get("typ")


def parse_jwt(token: Secret[str]) -> Jwt | Reason:
    """The JWT that ``token`` is, or why it is none. Checks its form and header; no claim, no key, no signature."""
    text = token.reveal()
    # RFC 7516 §9: five segments are a JWE, which is never decrypted.
    if len(text) > MAX_TOKEN_LENGTH or text.count(".") != 2:
        return _MALFORMED
    signing_input, _, encoded_signature = text.rpartition(".")
    encoded_header, _, encoded_claims = signing_input.partition(".")
    # What anybody may send is remembered while it is short, as those of servers are.
    is_short = len(encoded_header) <= _MAX_REMEMBERED_LENGTH
    header = _read_header(encoded_header) if is_short else _read_object(encoded_header, _MAX_HEADER_SIZE)
    if header is None:
        return _MALFORMED
    fault = _fault_of_header(header)
    if fault is not None:
        return fault
    claims = _read_object(encoded_claims, MAX_TOKEN_LENGTH)
    signature = _decode_base64url(encoded_signature, _MAX_SIGNATURE_SIZE)
    if claims is None or not signature:
        return _MALFORMED
    return Jwt(header, claims, Secret(signing_input.encode()), Secret(signature))


def peek_issuer(token: Secret[str]) -> str | None:
    """The ``iss`` that ``token`` claims, if it has the shape of a JWT in compact form. Nothing is verified."""
    text = token.reveal()
    if len(text) > MAX_TOKEN_LENGTH or text.count(".") != 2:
        return None
    claims = _read_object(text.split(".")[1], MAX_TOKEN_LENGTH)
    issuer = claims.get("iss") if claims else None
    return issuer if isinstance(issuer, str) else None


def _fault_of_header(header: Mapping[str, Any]) -> Reason | None:
    # RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
    # recipient, then the JWS is invalid." None is understood here, and an empty list is not allowed.
    # RFC 7797 §7: JWTs do not use "b64" with the value `false`; with `true` it would say nothing.
    if "crit" in header or "b64" in header:
        return Reason.CRITICAL_HEADER
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (kid is None or isinstance(kid, str)):
        return _MALFORMED
    if algorithm not in KNOWN_ALGORITHMS:
        return Reason.UNSUPPORTED_ALGORITHM
    if not isinstance(header.get("typ", ""), str):
        return Reason.WRONG_TYPE
    # RFC 7515 §4: other members "MUST be ignored when not understood". The keys that `jwk`, `jku`, `x5c` and `x5u`
    # offer are the sender's own.
    return None


# --- Base64url and JSON ---

# "-" and "_" stand for "+" and "/", which stand for nothing here; nor does "=".
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
# By the number of characters over a multiple of four: those in the last place whose unused bits are zero.
# RFC 4648 §3.5: others would give one token several spellings.
_LAST_CHARACTERS = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "", "AQgw", "AEIMQUYcgkosw048")
_PADDING = (b"", b"", b"==", b"=")


def _decode_base64url(text: str, max_size: int) -> bytes | None:
    # RFC 7515 §2: "with all trailing '=' characters omitted [...] and without the inclusion of any line breaks,
    # whitespace, or other additional characters."
    excess = len(text) % 4
    if len(text) * 3 // 4 > max_size or text[-1:] not in _LAST_CHARACTERS[excess]:
        return None
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(_TO_BASE64) + _PADDING[excess], strict_mode=True)
    except ValueError:
        return None


def _read_object(encoded: str, max_size: int) -> dict[str, Any] | None:
    """The JSON object in a segment; ``None`` for anything that two readers might read in two ways."""
    value = read_json(_decode_base64url(encoded, max_size) or b"")
    return value if isinstance(value, dict) else None


@lru_cache(maxsize=256)
def _read_header(encoded: str) -> Mapping[str, Any] | None:
    # A server's tokens have a few headers between them. Nobody may change what all get.
    header = _read_object(encoded, _MAX_HEADER_SIZE)
    return None if header is None else MappingProxyType(header)


# --- Keys ---


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that signatures may be verified with.

    Attributes:
        identity: names the key, its ``kid`` and its algorithms together, the same in every process.
        kid: the key's own, or ``None``.
        algorithms: those that it may verify.
        key: joserfc's key, without private members unless it is symmetric.
    """

    identity: str
    kid: str | None
    algorithms: frozenset[str]
    key: Key = field(repr=False, compare=False)


_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ("k",)}
# RFC 7518 §6.2.2, §6.3.2, §6.4; joserfc takes an RSA key that has one of its primes for a public one.
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def import_keys(key_set: Any, *, fetched: bool, algorithms: Collection[str] = ()) -> tuple[VerificationKey, ...]:
    """The keys of ``key_set`` that can verify signatures. The others are left out, one by one, with a warning.

    Args:
        key_set: a JWK Set or a JWK as ``dict``, a ``KeySet`` or key of joserfc's or of ``authlib.jose``, or a list of
            these; or PEM or JSON text, which counts as fetched.
        fetched: whether it came from outside. Then it gives public keys only: one with private members is left out,
            as is a symmetric one. Otherwise an asymmetric key's public half is taken.
        algorithms: the validator's own list. Where it has ``Ed448``, a key of that curve verifies ``EdDSA`` too.

    Raises:
        TypeError: ``key_set`` is no such thing, and was not fetched.
    """
    members = _members_of(key_set)
    if members is None and not fetched:
        raise TypeError(f"a JWK Set, a JWK, a KeySet or a key is wanted, not {_name_of(key_set)}")
    fetched = fetched or isinstance(key_set, str | bytes)
    keys: dict[str, VerificationKey] = {}
    faults: list[str] = []
    hint = ""
    for index, member in enumerate(islice(members or (), _MAX_KEYS + 1)):
        # RFC 7517 §5: "Implementations SHOULD ignore JWKs within a JWK Set that use "kty" (key type) values that are
        # not understood by them, that are missing required members, or for which values are out of the supported
        # ranges."
        if _is_for_encryption(member):
            # Many servers publish one; nothing is wrong with it.
            continue
        outcome = _import_key(member, fetched, "Ed448" in algorithms) if index < _MAX_KEYS else "it is one too many"
        if isinstance(outcome, VerificationKey):
            keys.setdefault(outcome.identity, outcome)
        else:
            faults.append(f"{index} ({outcome})")
            hint = _SECRET_HINT if fetched and _is_symmetric(member) else hint
    if faults:
        # Where they are and what is wrong with them: no name or value of theirs.
        logs.write(logger, logging.WARNING, "Keys of a key set that are not used: %s.%s", ", ".join(faults), hint)
    return tuple(keys.values())


_SECRET_HINT = " A secret is not fetched: hand it over as a key instead (jwks=, or joserfc's OctKey)."


def _is_symmetric(member: Any) -> bool:
    return isinstance(member, Mapping) and member.get("kty") == "oct"


def _name_of(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _is_for_encryption(member: Any) -> bool:
    return isinstance(member, Mapping) and member.get("use") == "enc"


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
    # By name: importing ``authlib.jose`` warns that it is going away.
    return any(cls.__name__ == name and cls.__module__.startswith("authlib.jose.") for cls in type(value).__mro__)


def _members_of_text(text: str | bytes) -> Iterable[Any] | None:
    """The keys in PEM or JSON text; ``None`` where it is neither."""
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
    """The key that ``member`` is, or what keeps it from being used."""
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
    return VerificationKey(_identify(key, kid, algorithms), kid, algorithms, key)


def _jwk_of(member: Any) -> Any:
    if _is_of_authlib(member, "Key"):
        return _jwk_of_authlib(member)
    if not isinstance(member, Key):
        return member
    try:
        return member.as_dict(private=member.is_private)
    except Exception:
        # Parameters that joserfc itself finds wrong.
        return None


def _jwk_of_authlib(key: Any) -> Any:
    try:
        jwk = dict(key.as_dict(is_private=False))
        # It gives itself a name where it has none, which is not in its server's tokens.
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
        return f"its key_ops are without {operation}"
    return None


def _public_key_of(jwk: Mapping[str, Any]) -> Key | str:
    """A key of those members alone that make it a public one (or a symmetric one), or what is wrong with them."""
    members: dict[str, Any] = {name: jwk.get(name) for name in _PUBLIC_MEMBERS[jwk["kty"]]}
    if not all(isinstance(value, str) and len(value) <= _MAX_MEMBER_LENGTH for value in members.values()):
        return "a member is missing or malformed"
    if not _is_sized(jwk):
        is_secret = jwk["kty"] == "oct"
        needed = f": a secret needs {_MIN_SECRET_SIZE} octets at least" if is_secret else ""
        return f"its size or exponent is out of range{needed}"
    try:
        return import_key({**members, "kty": jwk["kty"]})
    except Exception:
        # Of joserfc's and cryptography's many: for a curve that is unknown, for a point that is not on its curve.
        return "it does not make a key"


def _is_sized(jwk: Mapping[str, Any]) -> bool:
    # Asked before joserfc sees the key, which takes a short one with a `SecurityWarning`.
    if jwk["kty"] == "RSA":
        return _is_rsa_in_range(_read_integer(jwk["n"]).bit_length(), _read_integer(jwk["e"]))
    return jwk["kty"] != "oct" or len(_decode_base64url(jwk["k"], _MAX_MEMBER_LENGTH) or b"") >= _MIN_SECRET_SIZE


def _is_rsa_in_range(bits: int, exponent: int) -> bool:
    # RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used". Long moduli and exponents cost time.
    return 2048 <= bits <= 8192 and 3 <= exponent < 2**32 and exponent % 2 == 1


def _read_integer(text: str) -> int:
    return int.from_bytes(_decode_base64url(text, _MAX_MEMBER_LENGTH) or b"")


def _algorithms_of(key: Key) -> frozenset[str]:
    """The algorithms that fit the key's type, curve and size."""
    if isinstance(key, RSAKey):
        numbers = key.public_key.public_numbers()
        return frozenset(_RSA_ALGORITHMS if _is_rsa_in_range(numbers.n.bit_length(), numbers.e) else ())
    if isinstance(key, ECKey):
        # RFC 7518 §3.4: each with its own curve. secp256k1 has none here.
        return frozenset({_ALGORITHM_BY_CURVE[key.curve_name]} if key.curve_name in _ALGORITHM_BY_CURVE else ())
    if isinstance(key, OKPKey):
        return frozenset({key.curve_name, "EdDSA"} if key.curve_name in ("Ed25519", "Ed448") else ())
    # RFC 7518 §3.2: "A key of the same size as the hash output (for instance, 256 bits for "HS256") or larger MUST
    # be used with this algorithm."
    size = len(key.raw_value)
    return frozenset(name for name in SYMMETRIC_ALGORITHMS if size * 8 >= int(name[2:]))


def _restrict(algorithms: frozenset[str], jwk: Mapping[str, Any]) -> frozenset[str]:
    # RFC 8725 §3.1: "each key MUST be used with exactly one algorithm", where the key names one.
    named = jwk.get("alg")
    if named is None:
        return algorithms
    if named not in algorithms:
        return frozenset()
    # RFC 9864 §2.2: "EdDSA" is another name of the algorithm that the curve tells.
    return algorithms if "EdDSA" in algorithms else frozenset({named})


def _identify(key: Key, kid: str | None, algorithms: frozenset[str]) -> str:
    return hashlib.sha256(json.dumps([key.thumbprint(), kid, sorted(algorithms)]).encode()).hexdigest()


# --- Signatures ---


def choose_keys(keys: Iterable[VerificationKey], jwt: Jwt) -> tuple[VerificationKey, ...]:
    """The keys that the token's ``kid`` and ``alg`` name together; without a ``kid``, the only one that fits."""
    kid, keys = jwt.kid, tuple(keys)
    if len(keys) == 1 and keys[0].kid is None:
        # The only key there is has no name, so the token's cannot be another key's.
        kid = None
    fitting = [key for key in keys if jwt.algorithm in key.algorithms and (kid is None or key.kid == kid)]
    if kid is None:
        # Not one after the other until one fits: the issuer has to say which.
        return tuple(fitting) if len(fitting) == 1 else ()
    return tuple(fitting[:_MAX_CANDIDATES])


def verify_signature(jwt: Jwt, keys: Iterable[VerificationKey]) -> VerificationKey | None:
    """The key that made the token's signature, if it is one of ``keys``."""
    return next((key for key in keys if _verifies(key, jwt)), None)


def _verifies(key: VerificationKey, jwt: Jwt) -> bool:
    # RFC 8725 §3.1: "The library MUST ensure that the "alg" or "enc" header specifies the same algorithm that is used
    # for the cryptographic operation."
    if jwt.algorithm not in key.algorithms:
        return False
    try:
        # RFC 7518 §3.4: an ECDSA signature is R and S in full length, which joserfc asks for; cryptography refuses
        # those out of range.
        verdict = _SIGNATURES[jwt.algorithm].verify(jwt.signing_input.reveal(), jwt.signature.reveal(), key.key)
    except Exception:
        # A signature that cannot be verified is not verified.
        return False
    return verdict is True


def check_signing_key(key: Secret[str | Mapping[str, Any]], algorithm: str | None = None) -> None:
    """Check that `sign_jwt` can sign with ``key``.

    Raises:
        ValueError: it cannot. The message says why, and nothing of the key.
    """
    _signer_of(key, algorithm)


def sign_jwt(
    claims: Mapping[str, Any],
    key: Secret[str | Mapping[str, Any]],
    algorithm: str | None = None,
    header: Mapping[str, Any] | None = None,
) -> str:
    """A JWT in compact form of ours, such as a client assertion (RFC 7523 §2.2).

    Args:
        key: a private key, as PEM text or as a JWK, whose ``kid`` goes into the header.
        algorithm: the ``alg`` that the JWK names, or else the usual one for the key, unless given.
        header: members to add to the header, or to put in place of its ``typ`` and ``kid``.

    Raises:
        ValueError: nothing can be signed with the key.
    """
    signer = _signer_of(key, algorithm)
    named = {} if signer.kid is None else {"kid": signer.kid}
    full_header = {"typ": "JWT", **named, **(header or {}), "alg": signer.algorithm}
    signing_input = b".".join(map(_encode_object, (full_header, claims)))
    signature = _SIGNATURES[signer.algorithm].sign(signing_input, signer.key)
    return (signing_input + b"." + _encode_base64url(signature)).decode()


@dataclass(frozen=True, slots=True)
class _Signer:
    key: Key = field(repr=False)
    algorithm: str
    kid: str | None


def _signer_of(secret: Secret[str | Mapping[str, Any]], algorithm: str | None) -> _Signer:
    signer = _read_signer(secret.reveal(), algorithm)
    if isinstance(signer, str):
        # Raised here, where no local is the key.
        raise ValueError(f"the key to sign with: {signer}")
    return signer


def _read_signer(source: Any, algorithm: str | None) -> _Signer | str:
    key = _private_key_of(source)
    if isinstance(key, str):
        return key
    jwk = source if isinstance(source, Mapping) else {}
    fitting = _restrict(_algorithms_of(key), jwk)
    if not fitting:
        return "no algorithm fits it"
    chosen = algorithm or jwk.get("alg") or _usual_algorithm(fitting)
    if chosen not in fitting:
        return "the algorithm asked for does not fit it"
    return _Signer(key, chosen, jwk.get("kid"))


def _private_key_of(source: Any) -> Key | str:
    if isinstance(source, str):
        # joserfc has to be told what a PEM text holds.
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
        # joserfc and cryptography say in many ways that this is no such key.
        with suppress(Exception):
            key: Key = import_key(source, key_type)
            return key
    return None


def _usual_algorithm(fitting: frozenset[str]) -> str:
    return next(name for name in ("RS256", *_ALGORITHM_BY_CURVE.values(), "EdDSA") if name in fitting)


def _encode_object(value: Mapping[str, Any]) -> bytes:
    return _encode_base64url(json.dumps(dict(value), separators=(",", ":"), allow_nan=False).encode())


def _encode_base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
