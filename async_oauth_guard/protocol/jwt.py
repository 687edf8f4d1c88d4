"""JSON Web Tokens (RFC 7519): form, verification and signing.

A token is decoded before a key is chosen. Nothing in it is trusted until its signature is verified. Other modules check
the claims. Untrusted input never makes this module raise, because error reports show the local variables of every
frame in a traceback, and these contain the token.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from joserfc.jws import JWSRegistry

from ..errors import Reason
from .base64url import decode_base64url, encode_base64url
from .credentials import MAX_TOKEN_LENGTH
from .jwk import KNOWN_ALGORITHMS, SigningKey, VerificationKey
from .secrets import Secret
from .strict_json import read_json

__all__ = ["Jwt", "choose_keys", "parse_jwt", "peek_issuer", "read_segment", "sign_jwt", "verify_signature"]

_SIGNATURES = {name: JWSRegistry.algorithms[name] for name in KNOWN_ALGORITHMS}

# In octets, after decoding. The payload may take up the rest of the token.
_MAX_HEADER_SIZE = 4096
_MAX_CACHED_LENGTH = 512
_MAX_SIGNATURE_SIZE = 1024

# How many keys with the same kid are tried. An issuer that reuses a kid during a key rotation has two.
_MAX_CANDIDATES = 4

_MALFORMED: Final = Reason.MALFORMED_JWT


# --- Decoding ---


# Not frozen, because one is created for each token, and a frozen one takes four times as long.
@dataclass(slots=True)
class Jwt:
    """A decoded JWT in compact form. Nothing in it is verified.

    The members of its JOSE header that this module reads have the right types.
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
        """The ``kid`` header, or ``None`` if it is missing or ``null``."""
        return self.header.get("kid")

    @property
    def type(self) -> str | None:
        """The ``typ`` header, as received. Media types are compared without regard to case."""
        return self.header.get("typ")


def parse_jwt(token: Secret[str]) -> Jwt | Reason:
    """Decode ``token``, or return the reason for refusing it.

    Checks the form and the header. Does not check claims, choose a key or verify the signature.
    """
    text = token.reveal()
    # RFC 7516 §9: a JWE has five segments. We never decrypt one.
    if len(text) > MAX_TOKEN_LENGTH or text.count(".") != 2:
        return _MALFORMED
    signing_input, _, encoded_signature = text.rpartition(".")
    encoded_header, _, encoded_claims = signing_input.partition(".")
    # Anyone can send a header, so only short ones are cached. Servers' headers are short.
    is_short = len(encoded_header) <= _MAX_CACHED_LENGTH
    header = _read_header(encoded_header) if is_short else _read_header.__wrapped__(encoded_header)
    if isinstance(header, Reason):
        return header
    claims = read_segment(encoded_claims, MAX_TOKEN_LENGTH)
    signature = decode_base64url(encoded_signature, _MAX_SIGNATURE_SIZE)
    if claims is None or not signature:
        return _MALFORMED
    return Jwt(header, claims, Secret(signing_input.encode()), Secret(signature))


def peek_issuer(token: Secret[str]) -> str | None:
    """The ``iss`` claim of ``token`` if it looks like a JWT in compact form, or ``None``. Nothing is verified."""
    text = token.reveal()
    if len(text) > MAX_TOKEN_LENGTH or text.count(".") != 2:
        return None
    claims = read_segment(text.split(".")[1], MAX_TOKEN_LENGTH)
    issuer = claims.get("iss") if claims else None
    return issuer if isinstance(issuer, str) else None


def _fault_of_header(header: Mapping[str, Any]) -> Reason | None:
    # RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
    # recipient, then the JWS is invalid." We support none, and an empty list is not allowed.
    # RFC 7797 §7: a JWT must not have "b64" with the value `false`. The value `true` has no effect.
    if "crit" in header or "b64" in header:
        return Reason.CRITICAL_HEADER
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (kid is None or isinstance(kid, str)):
        return _MALFORMED
    if algorithm not in KNOWN_ALGORITHMS:
        return Reason.UNSUPPORTED_ALGORITHM
    if not isinstance(header.get("typ", ""), str):
        return Reason.WRONG_TYPE
    # RFC 7515 §4: other members "MUST be ignored when not understood". The sender chooses the keys in `jwk`, `jku`,
    # `x5c` and `x5u`, so these must never be used.
    return None


def read_segment(encoded: str, max_size: int) -> dict[str, Any] | None:
    """The JSON object in a segment, or ``None`` if two parsers could read the segment differently."""
    value = read_json(decode_base64url(encoded, max_size) or b"")
    return value if isinstance(value, dict) else None


@lru_cache(maxsize=256)
def _read_header(encoded: str) -> Mapping[str, Any] | Reason:
    # All tokens of a server share a few headers. The cached value is read-only, because every caller gets the same one.
    header = read_segment(encoded, _MAX_HEADER_SIZE)
    if header is None:
        return _MALFORMED
    return _fault_of_header(header) or MappingProxyType(header)


# --- Verification ---


def choose_keys(keys: Iterable[VerificationKey], jwt: Jwt) -> tuple[VerificationKey, ...]:
    """The keys that match the token's ``kid`` and ``alg``. Without a ``kid``, only one key may match the ``alg``."""
    kid, keys = jwt.kid, tuple(keys)
    if len(keys) == 1 and keys[0].kid is None:
        # There is only one key and it has no `kid`, so the token's `kid` cannot belong to another key.
        kid = None
    algorithm = jwt.algorithm
    fitting = [key for key in keys if algorithm in key.algorithms and (kid is None or key.kid == kid)]
    if kid is None:
        # Do not try all keys: the issuer must say which one it used.
        return tuple(fitting) if len(fitting) == 1 else ()
    return tuple(fitting[:_MAX_CANDIDATES])


def verify_signature(jwt: Jwt, keys: Iterable[VerificationKey]) -> VerificationKey | None:
    """The key that made the token's signature, if it is one of ``keys``."""
    for key in keys:
        if _verifies(key, jwt):
            return key
    return None


def _verifies(key: VerificationKey, jwt: Jwt) -> bool:
    # RFC 8725 §3.1: "The library MUST ensure that the "alg" or "enc" header specifies the same algorithm that is used
    # for the cryptographic operation."
    if jwt.algorithm not in key.algorithms:
        return False
    try:
        # RFC 7518 §3.4: an ECDSA signature is R and S in full length. joserfc checks the length, and cryptography
        # refuses values that are out of range.
        is_valid = _SIGNATURES[jwt.algorithm].verify(jwt.signing_input.reveal(), jwt.signature.reveal(), key.key)
    except Exception:
        # Fail closed: if verification raises, the signature is not valid.
        return False
    return is_valid is True


# --- Signing ---


def sign_jwt(claims: Mapping[str, Any], key: SigningKey, header: Mapping[str, Any] | None = None) -> str:
    """Sign a JWT in compact form, such as a client assertion (RFC 7523 §2.2).

    Args:
        header: members to add to the header. They may replace ``typ`` and ``kid``.
    """
    named = {} if key.kid is None else {"kid": key.kid}
    full_header = {"typ": "JWT", **named, **(header or {}), "alg": key.algorithm}
    signing_input = b".".join(map(_encode_object, (full_header, claims)))
    signature = _SIGNATURES[key.algorithm].sign(signing_input, key.key)
    return (signing_input + b"." + encode_base64url(signature)).decode()


def _encode_object(value: Mapping[str, Any]) -> bytes:
    return encode_base64url(json.dumps(dict(value), separators=(",", ":"), allow_nan=False).encode())
