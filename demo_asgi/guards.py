"""Protectors for tokens of the authorization server, beside the ready-made `require_oauth`, which knows rows only."""

from django.conf import settings

from async_oauth_guard import (
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ResourceProtector,
)

from .authority.clients import RESOURCE, RESOURCE_SERVER
from .models import OAuth2Token

TIMEOUT = 3.0
"""Seconds that a request waits for the authorization server. The default is 5: nobody looks on for that long."""


def _jwt() -> JWTBearerTokenValidator:
    # The default cooldown is 30 s. Whoever rotates keys here wants to see what happens.
    return JWTBearerTokenValidator(settings.ISSUER, cooldown=1, timeout=TIMEOUT, user_lookup="username")


def _introspection() -> IntrospectTokenValidator:
    return IntrospectTokenValidator(
        issuer=settings.ISSUER,
        client_id=RESOURCE_SERVER.client_id,
        client_secret=RESOURCE_SERVER.client_secret,
        # The default lifetimes are 30 s and 5 s. Whoever revokes tokens here wants to see what happens.
        cache_ttl=2,
        negative_ttl=1,
        stale_if_error=300,
        timeout=TIMEOUT,
        user_lookup="username",
    )


require_jwt = ResourceProtector(_jwt(), realm="demo", resource=RESOURCE)
require_introspection = ResourceProtector(_introspection(), realm="demo", resource=RESOURCE)
require_any = ResourceProtector(
    BearerTokenValidator(OAuth2Token), _jwt(), _introspection(), realm="demo", resource=RESOURCE
)
