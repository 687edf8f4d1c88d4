"""JWTs that no resource server should take, for the demo's page: nobody else could make them look so genuine."""

import time

from authlib.common.security import generate_token
from django.conf import settings
from joserfc import jwt
from joserfc.jwk import ECKey

from .clients import JWT_APP, RESOURCE
from .keys import ALGORITHM, new_key, newest_key
from .tokens import EXPIRES_IN

DAY = 24 * 3600


def specimens() -> dict[str, str]:
    """Each with one thing wrong with it."""
    key = newest_key()
    return {
        "expired": _sign(key, age=DAY),
        "foreign": _sign(new_key()),
        "audience": _sign(key, audience="https://other.example"),
    }


def _sign(key: ECKey, *, age: int = 0, audience: str = RESOURCE) -> str:
    issued_at = int(time.time()) - age
    header = {"typ": "at+jwt", "alg": ALGORITHM, "kid": key.kid}
    claims = {
        "iss": settings.ISSUER,
        "aud": audience,
        "sub": "alice",
        "client_id": JWT_APP.client_id,
        "scope": "profile email",
        "iat": issued_at,
        "exp": issued_at + EXPIRES_IN,
        "jti": generate_token(16),
    }
    return jwt.encode(header, claims, key, algorithms=[ALGORITHM])
