"""The same views with guards for tokens of the benchmark's authorization server."""

import functools
from collections.abc import Callable
from typing import Any

import httpx
import requests
from authlib.integrations.django_oauth2 import ResourceProtector as AuthlibResourceProtector
from authlib.oauth2.rfc7662 import IntrospectTokenValidator as AuthlibIntrospectTokenValidator
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator as AuthlibJWTBearerTokenValidator

from async_oauth_guard import IntrospectTokenValidator, JWTBearerTokenValidator, ResourceProtector
from benchmarks import contenders
from benchmarks.contenders import SCOPE
from benchmarks.remote_tokens import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Remote

from .views import plain_async, plain_sync

REMOTE = Remote.from_environment()
PUBLIC_KEYS = REMOTE.public_keys
# Longer than any run, so that a contender has either cache hits or misses only.
CACHE_TTL = 86_400
# Short, so that entries often expire during a soak.
SOAK_TTL = 5
MAX_CONCURRENCY = 100
TIMEOUT = 20.0


def endpoint(kind: str, milliseconds: int) -> str:
    """An introspection endpoint. Each kind has its own, because the server counts requests by path."""
    return f"{REMOTE.issuer}/introspect/{kind}/{milliseconds}"


def introspecting(kind: str, milliseconds: int, cache_ttl: float = CACHE_TTL) -> ResourceProtector:
    return ResourceProtector(
        IntrospectTokenValidator(
            endpoint(kind, milliseconds),
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            audience=AUDIENCE,
            cache_ttl=cache_ttl,
            timeout=TIMEOUT,
            max_concurrency=MAX_CONCURRENCY,
        )
    )


class AuthlibJWTs(AuthlibJWTBearerTokenValidator):
    def get_jwks(self) -> Any:
        return PUBLIC_KEYS


class AuthlibIntrospection(AuthlibIntrospectTokenValidator):
    """As in Authlib's documentation, with credentials and a timeout. ``post`` is `requests.post` or a client's."""

    def __init__(self, url: str, post: Callable[..., Any]) -> None:
        super().__init__()
        self.url = url
        self.post = post

    def introspect_token(self, token_string: str) -> Any:
        response = self.post(self.url, data={"token": token_string}, auth=(CLIENT_ID, CLIENT_SECRET), timeout=TIMEOUT)
        response.raise_for_status()
        return response.json()


def authlib(validator: Any) -> Any:
    protector: Any = AuthlibResourceProtector()
    protector.register_token_validator(validator)
    return protector(SCOPE)


# The best case of a sync client: one client for all requests, whose connections are kept alive.
httpx_client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=MAX_CONCURRENCY), trust_env=False)

require_jwt = ResourceProtector(JWTBearerTokenValidator(REMOTE.issuer, AUDIENCE))
in_front = functools.partial(require_jwt.asgi, scopes=SCOPE)
require_known = introspecting("known", 0)
require_soak_jwt = ResourceProtector(JWTBearerTokenValidator(REMOTE.issuer, AUDIENCE, jwks_ttl=SOAK_TTL))
require_soak = introspecting("soak", 0, SOAK_TTL)

VIEWS: dict[str, Any] = {
    contenders.BEHIND: require_jwt(SCOPE)(plain_async),
    contenders.JWT: require_jwt(SCOPE)(plain_async),
    contenders.JWT_SYNC: require_jwt(SCOPE)(plain_sync),
    contenders.AUTHLIB_JWT: authlib(AuthlibJWTs(REMOTE.issuer, AUDIENCE))(plain_sync),
    contenders.INTROSPECTION: require_known(SCOPE)(plain_async),
    contenders.INTROSPECTION_SYNC: require_known(SCOPE)(plain_sync),
    contenders.COLD: introspecting("cold", 0)(SCOPE)(plain_async),
    contenders.COLD_50MS: introspecting("cold", 50)(SCOPE)(plain_async),
    contenders.COLD_1000MS: introspecting("cold", 1000)(SCOPE)(plain_async),
    contenders.WITH_REQUESTS: authlib(AuthlibIntrospection(endpoint("requests", 0), requests.post))(plain_sync),
    contenders.WITH_REQUESTS_50MS: authlib(AuthlibIntrospection(endpoint("requests", 50), requests.post))(plain_sync),
    contenders.WITH_HTTPX: authlib(AuthlibIntrospection(endpoint("httpx", 0), httpx_client.post))(plain_sync),
    contenders.WITH_HTTPX_50MS: authlib(AuthlibIntrospection(endpoint("httpx", 50), httpx_client.post))(plain_sync),
    contenders.SOAK_JWT: require_soak_jwt(SCOPE)(plain_async),
    contenders.SOAK_JWT_SYNC: require_soak_jwt(SCOPE)(plain_sync),
    contenders.SOAK_INTROSPECTION: require_soak(SCOPE)(plain_async),
    contenders.SOAK_INTROSPECTION_SYNC: require_soak(SCOPE)(plain_sync),
}
