"""Authlib's authorization server, put together."""

import time
from typing import Any

from authlib.integrations.django_oauth2 import AuthorizationServer
from django.conf import settings

from .endpoints import IntrospectionEndpoint, RevocationEndpoint
from .grants import ClientCredentialsGrant, NamedUserGrant
from .models import OAuth2Client, OAuth2Token
from .tokens import TokenGenerator


class DemoAuthorizationServer(AuthorizationServer):
    """Authlib's, which remembers when a token was issued."""

    def save_token(self, token: dict[str, Any], request: Any) -> OAuth2Token:
        return super().save_token(token | {"issued_at": int(time.time())}, request)


server = DemoAuthorizationServer(OAuth2Client, OAuth2Token)
server.register_token_generator("default", TokenGenerator(settings.ISSUER))
server.register_grant(ClientCredentialsGrant)
server.register_grant(NamedUserGrant)
server.register_endpoint(IntrospectionEndpoint)
server.register_endpoint(RevocationEndpoint)
