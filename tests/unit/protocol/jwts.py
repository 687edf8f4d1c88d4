"""Keys, tokens and signatures for the tests of JWTs and of keys."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.jwk import (
    SigningKey,
    VerificationKey,
    import_keys,
    import_signing_key,
)
from async_oauth_guard.protocol.jwt import Jwt, choose_keys, parse_jwt, sign_jwt, verify_signature
from async_oauth_guard.protocol.secrets import Secret

VECTORS = Path(__file__).parents[2] / "vectors"
SIGNATURES = [
    vector
    for name in ("rfc7515", "rfc7520", "rfc8037")
    for vector in json.loads((VECTORS / f"{name}.json").read_text())
]
CLAIMS = {"iss": "https://as.example.com", "sub": "alice", "exp": 1893456000}
MALFORMED = Reason.MALFORMED_JWT
UNSUPPORTED = Reason.UNSUPPORTED_ALGORITHM
CRITICAL = Reason.CRITICAL_HEADER

RSA_KEY = RSAKey.generate_key(2048)
OTHER_RSA_KEY = RSAKey.generate_key(2048)
EC_KEYS = {curve: ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521", "secp256k1")}
OKP_KEYS = {curve: OKPKey.generate_key(curve) for curve in ("Ed25519", "Ed448", "X25519", "X448")}
SECRET = OctKey.generate_key(512)
KEY_OF: dict[str, Any] = (
    dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA_KEY)
    | {"ES256": EC_KEYS["P-256"], "ES384": EC_KEYS["P-384"], "ES512": EC_KEYS["P-521"]}
    | {"Ed25519": OKP_KEYS["Ed25519"], "EdDSA": OKP_KEYS["Ed25519"], "Ed448": OKP_KEYS["Ed448"]}
)
# With the key that each was made of, so that no other key gets its `id`.
_signing_keys: dict[tuple[int, str], tuple[Any, SigningKey]] = {}


def encode(data: bytes | str | Mapping[str, Any]) -> str:
    if isinstance(data, Mapping):
        data = json.dumps(data)
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def token_of(header: Any = None, payload: Any = None, signature: str = "AAAA") -> str:
    """An unsigned token. Parts that are not given are an RS256 header and valid claims."""
    parts = [{"alg": "RS256"} if header is None else header, CLAIMS if payload is None else payload]
    return ".".join([*map(encode, parts), signature])


def jwt_of(compact: str) -> Jwt:
    """The `Jwt` of a token, also for payloads that `parse_jwt` refuses."""
    signing_input, _, signature = compact.rpartition(".")
    header = json.loads(decode(signing_input.partition(".")[0]))
    return Jwt(header, {}, Secret(signing_input.encode()), Secret(decode(signature)))


def parse(token: str) -> Jwt:
    jwt = parse_jwt(Secret(token))
    assert isinstance(jwt, Jwt)
    return jwt


def public(key: Any, **members: Any) -> dict[str, Any]:
    return {name: value for name, value in (key.as_dict(private=False) | members).items() if name != "kid" or members}


def private(key: Any, **members: Any) -> Secret[Any]:
    # joserfc adds a kid to a key that was part of a key set.
    return Secret({name: value for name, value in key.as_dict(private=True).items() if name != "kid"} | members)


def signing_key(algorithm: str, key: Any) -> SigningKey:
    """To import an RSA key takes a tenth of a second, because its primes are checked. So each is imported once."""
    if (id(key), algorithm) not in _signing_keys:
        _signing_keys[id(key), algorithm] = key, import_signing_key(private(key, alg=algorithm))
    return _signing_keys[id(key), algorithm][1]


def sign(algorithm: str, key: Any = None, claims: Mapping[str, Any] = CLAIMS, **header: Any) -> str:
    return sign_jwt(claims, signing_key(algorithm, key or KEY_OF[algorithm]), header)


def fetch(*jwks: Any, algorithms: tuple[str, ...] = ()) -> tuple[VerificationKey, ...]:
    return import_keys({"keys": list(jwks)}, fetched=True, algorithms=algorithms)


def verify(token: str, *jwks: Any) -> VerificationKey | None:
    jwt = parse(token)
    return verify_signature(jwt, choose_keys(fetch(*jwks), jwt))


def int_jwk(n: int, e: int, **members: Any) -> dict[str, Any]:
    def number(value: int) -> str:
        return encode(value.to_bytes(max(1, (value.bit_length() + 7) // 8)))

    return {"kty": "RSA", "n": number(n), "e": number(e), **members}


MODULUS: int = RSA_KEY.public_key.public_numbers().n

GOOD_JWK = public(RSA_KEY)
EC_JWK = public(EC_KEYS["P-256"])


def pem(key: Any) -> Secret[str]:
    return Secret(key.as_pem(private=True).decode())
