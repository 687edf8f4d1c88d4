"""Protectors for tokens of the authorization server; `require_oauth` accepts only tokens from the database."""

from django.conf import settings

from async_oauth_guard import (
    BearerTokenValidator,
    DPoP,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    MutualTLS,
    ResourceProtector,
)

from .authority.clients import RESOURCE, RESOURCE_SERVER
from .models import OAuth2Token

TIMEOUT = 3.0
"""Seconds that a request waits for the authorization server. The default is 5, which is too long to watch."""

PROXIES = ("127.0.0.1/32", "::1/128")
"""The addresses of a proxy that terminates TLS.

The demo has neither TLS nor a proxy. Clients on the same machine send the certificate in the header that a proxy would
write (RFC 9440). On a real site, only the proxy may be able to connect from these addresses.
"""


def _jwt() -> JWTBearerTokenValidator:
    # The default cooldown is 30 s. A shorter one shows the effect of a key rotation at once.
    return JWTBearerTokenValidator(settings.ISSUER, cooldown=1, timeout=TIMEOUT, user_lookup="username")


def _introspection() -> IntrospectTokenValidator:
    return IntrospectTokenValidator(
        issuer=settings.ISSUER,
        client_id=RESOURCE_SERVER.client_id,
        client_secret=RESOURCE_SERVER.client_secret,
        # The default lifetimes are 30 s and 5 s. Shorter ones soon show the effect of a revocation.
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
require_dpop = ResourceProtector(_jwt(), realm="demo", resource=RESOURCE, public_origin=settings.ORIGIN, dpop=True)
require_dpop_nonce = ResourceProtector(
    _jwt(), realm="demo", resource=RESOURCE, public_origin=settings.ORIGIN, dpop=DPoP(nonce=True)
)
require_certificate = ResourceProtector(
    _jwt(), realm="demo", resource=RESOURCE, mtls=MutualTLS("rfc9440", trusted_proxies=PROXIES)
)
