"""Makes DPoP proofs (RFC 9449 §4.2) with a key that is thrown away, for tokens that do not exist."""

import hashlib
import secrets

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ...protocol.base64url import encode_base64url
from ...protocol.jwk import import_signing_key
from ...protocol.jwt import sign_jwt
from ...protocol.secrets import Secret

__all__ = ["ALGORITHM", "ProofMaker"]

ALGORITHM = "ES256"


class ProofMaker:
    """A key that lives as long as this object."""

    def __init__(self) -> None:
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self._key = import_signing_key(Secret(pem), ALGORITHM)

    def make(self, method: str, uri: str, token: Secret[str], issued_at: float) -> Secret[str]:
        """The proof for one request with ``token``. ``uri`` has no query and no fragment."""
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": uri,
            "iat": int(issued_at),
            "ath": encode_base64url(hashlib.sha256(token.reveal().encode()).digest()).decode(),
        }
        public = self._key.key.as_dict(private=False)
        return Secret(sign_jwt(claims, self._key, {"typ": "dpop+jwt", "jwk": public}))
