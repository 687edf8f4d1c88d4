"""DPoP proofs at the token endpoint of the server (RFC 9449 §5), and the nonces that it requires in them (§8)."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from .tokens import ALGORITHMS

__all__ = ["INVALID", "NONCE", "NONCE_NEEDED", "ProofChecker", "RefusedProofError"]

INVALID = "invalid_dpop_proof"
NONCE_NEEDED = "use_dpop_nonce"
NONCE = "DPoP-Nonce"

# Seconds.
_WINDOW = 60
_NONCE_LIFETIME = 300


class RefusedProofError(Exception):
    """A proof that gets no token. ``code`` is the error for the client."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ProofChecker:
    """Checks the proofs that clients send. It remembers its nonces, and the proofs that were used."""

    def __init__(self, now: Callable[[], float], *, requires_nonce: bool) -> None:
        self.requires_nonce = requires_nonce
        self._now = now
        # When each was issued.
        self._nonces: dict[str, float] = {}
        self._used: set[tuple[str, str]] = set()

    def make_nonce(self) -> str:
        """A new nonce. The earlier ones can still be used."""
        nonce = secrets.token_urlsafe(16)
        self._nonces[nonce] = self._now()
        return nonce

    def check(self, proof: str, method: str, url: str) -> str:
        """The thumbprint of the key of a proof for this request.

        Raises:
            RefusedProofError: the proof is invalid, or has no nonce of this server.
        """
        key, header, claims = _verify(proof)
        jti, issued_at = claims.get("jti"), claims.get("iat")
        is_for_this = header.get("typ") == "dpop+jwt" and (claims.get("htm"), claims.get("htu")) == (method, url)
        is_recent = isinstance(issued_at, int | float) and abs(self._now() - issued_at) <= _WINDOW
        if not (is_for_this and is_recent and isinstance(jti, str)):
            raise RefusedProofError(INVALID)
        if self.requires_nonce and not self._knows(claims.get("nonce")):
            raise RefusedProofError(NONCE_NEEDED)
        thumbprint = str(key.thumbprint())
        if (thumbprint, jti) in self._used:
            raise RefusedProofError(INVALID)
        self._used.add((thumbprint, jti))
        return thumbprint

    def _knows(self, nonce: Any) -> bool:
        issued_at = self._nonces.get(nonce) if isinstance(nonce, str) else None
        return issued_at is not None and self._now() - issued_at <= _NONCE_LIFETIME


def _verify(proof: str) -> tuple[Any, Mapping[str, Any], Mapping[str, Any]]:
    try:
        return _read_signed(proof)
    except (JoseError, KeyError, TypeError, ValueError):
        raise RefusedProofError(INVALID) from None


def _read_signed(proof: str) -> tuple[Any, Mapping[str, Any], Mapping[str, Any]]:
    """The key, the header and the claims of a proof that its own key has signed. Other text raises various errors."""
    signed, _, signature = proof.rpartition(".")
    header, claims = map(_read_segment, signed.split("."))
    key, algorithm = _public_key(header["jwk"]), JWSRegistry.algorithms[header["alg"]]
    algorithm.check_key(key)
    if header["alg"] not in ALGORITHMS or not algorithm.verify(signed.encode(), _decode(signature), key):
        raise ValueError("a proof is signed with its key")
    return key, header, claims


def _public_key(jwk: Mapping[str, Any]) -> RSAKey | ECKey | OKPKey:
    # joserfc warns about short secrets.
    key = None if jwk["kty"] == "oct" else JWKRegistry.import_key(dict(jwk))
    if not isinstance(key, RSAKey | ECKey | OKPKey) or key.is_private:
        raise ValueError("a proof has the public key of a key pair")
    return key


def _read_segment(text: str) -> dict[str, Any]:
    return dict(json.loads(_decode(text)))


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
