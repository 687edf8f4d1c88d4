"""What can be asked about a token, and how it is taken back."""

from typing import Any

from authlib.integrations.django_oauth2 import RevocationEndpoint as DjangoRevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as BaseIntrospectionEndpoint
from django.conf import settings

from .clients import RESOURCE
from .models import OAuth2Client, OAuth2Token


class IntrospectionEndpoint(BaseIntrospectionEndpoint):
    """RFC 7662, for the resource server only: to all others every token is an unknown one."""

    SUPPORTED_TOKEN_TYPES = ("access_token",)

    def query_token(self, token_string: str, token_type_hint: str | None) -> OAuth2Token | None:
        return OAuth2Token.objects.select_related("user").filter(access_token=token_string).first()

    def check_permission(self, token: OAuth2Token, client: OAuth2Client, request: object) -> bool:
        return client.introspects

    def introspect_token(self, token: OAuth2Token) -> dict[str, Any]:
        return {
            "active": True,
            "iss": settings.ISSUER,
            "aud": RESOURCE,
            "sub": token.subject,
            "client_id": token.client_id,
            "scope": token.get_scope(),
            "token_type": token.token_type,
            "iat": token.issued_at,
            "exp": token.expires_at,
        } | ({} if token.user is None else {"username": token.user.username})


class RevocationEndpoint(DjangoRevocationEndpoint):
    """RFC 7009. Of JWTs too: introspection knows at once, whoever looks at the signature alone never does."""

    SUPPORTED_TOKEN_TYPES = ("access_token",)

    def query_token(self, token: str, token_type_hint: str | None) -> OAuth2Token | None:
        return OAuth2Token.objects.filter(access_token=token).first()
