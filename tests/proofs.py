"""A client that makes DPoP proofs, right ones and wrong ones."""

import base64
import hashlib
import itertools
import json
import time
from collections.abc import Mapping
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey

from async_oauth_guard.runtime.replay_store import REPLAYS
from async_oauth_guard.testing.server.tokens import sign_jwt

_numbers = itertools.count(1)


def forget_proofs() -> None:
    """Let this process know no proof, as a worker that has just started."""
    REPLAYS._expiries.clear()
    REPLAYS.renew()


def make_key(algorithm: str = "ES256") -> Any:
    """A new private key."""
    if algorithm.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
    return OKPKey.generate_key("Ed25519") if algorithm.startswith("Ed") else RSAKey.generate_key(2048)


KEY, OTHER_KEY = make_key(), make_key()


def thumbprint(key: Any = KEY) -> str:
    """The ``jkt`` of a token that is bound to ``key``."""
    return str(key.thumbprint())


def public(key: Any = KEY) -> dict[str, Any]:
    """The public members of ``key``."""
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}


def hash_of(token: str) -> str:
    """The ``ath`` of a proof that is sent with ``token``."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def make_proof(
    token: str,
    *,
    method: str = "GET",
    uri: str = "http://testserver/",
    key: Any = KEY,
    algorithm: str = "ES256",
    header: Mapping[str, Any] | None = None,
    claims: Mapping[str, Any] | None = None,
    signed_with: Any = None,
) -> str:
    """A proof for one request with ``token``. ``...`` as a member of ``header`` or ``claims`` leaves it out."""
    members = {"typ": "dpop+jwt", "alg": algorithm, "jwk": public(key), **(header or {})}
    usual = {
        "jti": f"proof-{next(_numbers)}",
        "htm": method,
        "htu": uri,
        "iat": int(time.time()),
        "ath": hash_of(token),
    }
    its_claims = {**usual, **(claims or {})}
    return sign_jwt(_without(members), _without(its_claims), algorithm, key if signed_with is None else signed_with)


def _without(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}


def encode(value: Any) -> str:
    """A segment of a JWT."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def dpop(token: str, *proofs: str) -> list[tuple[bytes, bytes]]:
    """The header lines that present ``token`` with ``proofs``."""
    lines = [(b"dpop", proof.encode("latin-1")) for proof in proofs]
    return [(b"authorization", f"DPoP {token}".encode("latin-1")), *lines]
