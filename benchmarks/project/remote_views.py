"""The constant answer again, behind tokens that the benchmark's authorization server vouches for."""

from typing import Any

import httpx
import requests
from authlib.integrations.django_oauth2 import ResourceProtector as AuthlibResourceProtector
from authlib.oauth2.rfc7662 import IntrospectTokenValidator as AuthlibIntrospectTokenValidator
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator as AuthlibJWTBearerTokenValidator

from async_oauth_guard import IntrospectTokenValidator, JWTBearerTokenValidator, ResourceProtector
from benchmarks.contenders import SCOPE
from benchmarks.remote_tokens import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Remote

from .views import plain_async, plain_sync, tasks

REMOTE = Remote.from_environment()
PUBLIC_KEYS = REMOTE.public_keys
# Longer than any run: what is counted is hits of a cache, or misses, and no mixture.
CACHE_TTL = 86_400
MAX_CONCURRENCY = 100
TIMEOUT = 20.0


def endpoint(kind: str, milliseconds: int) -> str:
    """One of many: the server counts calls by path."""
    return f"{REMOTE.issuer}/introspect/{kind}/{milliseconds}"


def introspecting(kind: str, milliseconds: int) -> ResourceProtector:
    return ResourceProtector(
        IntrospectTokenValidator(
            endpoint(kind, milliseconds),
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            audience=AUDIENCE,
            cache_ttl=CACHE_TTL,
            timeout=TIMEOUT,
            max_concurrency=MAX_CONCURRENCY,
        )
    )


class AuthlibJWTs(AuthlibJWTBearerTokenValidator):
    def get_jwks(self) -> Any:
        return PUBLIC_KEYS


class AuthlibWithRequests(AuthlibIntrospectTokenValidator):
    """As Authlib's documentation writes it, with credentials and a timeout."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def introspect_token(self, token_string: str) -> Any:
        response = requests.post(
            self.url, data={"token": token_string}, auth=(CLIENT_ID, CLIENT_SECRET), timeout=TIMEOUT
        )
        response.raise_for_status()
        return response.json()


class AuthlibWithHTTPX(AuthlibIntrospectTokenValidator):
    """The best case of a sync client: one for all requests, with its connections kept alive."""

    client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=MAX_CONCURRENCY), trust_env=False)

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def introspect_token(self, token_string: str) -> Any:
        response = self.client.post(
            self.url, data={"token": token_string}, auth=(CLIENT_ID, CLIENT_SECRET), timeout=TIMEOUT
        )
        response.raise_for_status()
        return response.json()


def authlib(validator: Any) -> Any:
    protector: Any = AuthlibResourceProtector()
    protector.register_token_validator(validator)
    return protector(SCOPE)


require_jwt = ResourceProtector(JWTBearerTokenValidator(REMOTE.issuer, AUDIENCE))
require_known = introspecting("known", 0)

VIEWS: dict[str, Any] = {
    "plain-async": plain_async,
    "plain-sync": plain_sync,
    "jwt-async": require_jwt(SCOPE)(plain_async),
    "jwt-sync": require_jwt(SCOPE)(plain_sync),
    "authlib-jwt-sync": authlib(AuthlibJWTs(REMOTE.issuer, AUDIENCE))(plain_sync),
    "introspection-async": require_known(SCOPE)(plain_async),
    "introspection-sync": require_known(SCOPE)(plain_sync),
    "cold-async": introspecting("cold", 0)(SCOPE)(plain_async),
    "cold-50ms-async": introspecting("cold", 50)(SCOPE)(plain_async),
    "cold-1000ms-async": introspecting("cold", 1000)(SCOPE)(plain_async),
    "authlib-requests-sync": authlib(AuthlibWithRequests(endpoint("requests", 0)))(plain_sync),
    "authlib-requests-50ms-sync": authlib(AuthlibWithRequests(endpoint("requests", 50)))(plain_sync),
    "authlib-httpx-sync": authlib(AuthlibWithHTTPX(endpoint("httpx", 0)))(plain_sync),
    "authlib-httpx-50ms-sync": authlib(AuthlibWithHTTPX(endpoint("httpx", 50)))(plain_sync),
    "tasks": tasks,
}
