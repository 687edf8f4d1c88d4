"""A client with bound tokens (RFC 9449), and the view that it requests."""

import base64
import hashlib
import itertools
import time
from collections.abc import Iterable
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

from .contenders import SCOPE
from .remote_tokens import AUDIENCE, Remote

BOUND: Final = "DPoP"
ORIGIN: Final = "https://api.example.com"


class DPoPClient:
    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")
        self.thumbprint = self.key.thumbprint()
        members = self.key.as_dict(private=False).items()
        public = {name: value for name, value in members if name != "kid"}
        self.header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public}
        self.numbers = itertools.count()

    def make_proofs(self, tokens: Iterable[str]) -> list[str]:
        """A new proof for each of the tokens."""
        return [jwt.encode(self.header, self.claims(token), self.key, algorithms=["ES256"]) for token in tokens]

    def claims(self, token: str) -> dict[str, Any]:
        digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        number, now = next(self.numbers), int(time.time())
        return {"jti": f"proof {number}", "htm": "GET", "htu": f"{ORIGIN}/", "iat": now, "ath": digest}


def bound_view() -> Any:
    """The unguarded view, guarded by a protector that accepts bound tokens."""
    from async_oauth_guard import JWTBearerTokenValidator, ResourceProtector

    from .project.views import plain_async

    validator = JWTBearerTokenValidator(Remote.from_environment().issuer, AUDIENCE)
    return ResourceProtector(validator, dpop=True, public_origin=ORIGIN)(SCOPE)(plain_async)
