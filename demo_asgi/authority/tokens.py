"""What tokens look like: JWTs for some clients, opaque ones for others."""

from typing import Any

from authlib.common.security import generate_token
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc.jwk import KeySet

from .clients import RESOURCE
from .keys import ALGORITHM, signing_key_set
from .models import OAuth2Client, ResourceOwner

EXPIRES_IN = 3600


class SignedTokenGenerator(JWTBearerTokenGenerator):
    """JWTs as RFC 9068 describes them, all for one audience."""

    def get_jwks(self) -> KeySet:
        return signing_key_set()

    def get_audiences(self, client: OAuth2Client, user: ResourceOwner | None, scope: str) -> str:
        return RESOURCE


class TokenGenerator:
    """Asks the client which kind it is to have."""

    def __init__(self, issuer: str) -> None:
        self.generators = {
            "jwt": SignedTokenGenerator(issuer, ALGORITHM, expires_generator=EXPIRES_IN),
            "opaque": BearerTokenGenerator(_random_string, expires_generator=EXPIRES_IN),
        }

    def __call__(self, *, client: OAuth2Client, **options: Any) -> dict[str, Any]:
        return self.generators[client.token_format].generate(client=client, **options)


def _random_string(**_: object) -> str:
    return generate_token(42)
