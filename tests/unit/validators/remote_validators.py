"""Creates validators of remote tokens, and tokens for them."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from async_oauth_guard import (
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
)
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.validators.audience_option import FROM_PROTECTOR
from async_oauth_guard.validators.authorization_context import AuthorizationContext
from tests.unit.driving import ISSUER, SigningKey, World, authorization_context, key_set, ok

SECRET = "s3cret"
ENDPOINT = f"{ISSUER}/introspect"
API, OTHER_API = "https://api.example.com", "https://other.example.com"
KEY = SigningKey("k")

Make = Callable[..., Any]


def jwt(audience: Any = FROM_PROTECTOR, issuer: str = ISSUER, **options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(issuer, audience, **{"jwks": key_set(KEY), **options})


def introspection(audience: Any = FROM_PROTECTOR, **options: Any) -> IntrospectTokenValidator:
    given = {"introspection_endpoint": ENDPOINT, "client_id": "api", "client_secret": SECRET, **options}
    return IntrospectTokenValidator(audience=audience, **given)


both = pytest.mark.parametrize("make", [jwt, introspection])


def claims(**values: Any) -> dict[str, Any]:
    now = time.time()
    usual = {
        "iss": ISSUER,
        "aud": API,
        "sub": "alice",
        "client_id": "app",
        "iat": now - 1,
        "exp": now + 3600,
        "jti": "j",
    }
    return {**usual, **values}


def token_of(make: Make, world: World, **values: Any) -> Secret[str]:
    """A token with these claims, prepared for the validator that ``make`` creates."""
    if make is jwt:
        return KEY.sign(claims(**values), typ="at+jwt")
    world.answer(ENDPOINT, ok({"active": True, **claims(**values)}))
    return Secret("opaque")


def context_of(resource: str | None = None, **requirements: Any) -> AuthorizationContext:
    return dataclasses.replace(authorization_context(**requirements), resource=resource)


def make_client() -> httpx.AsyncClient:
    raise AssertionError("no client is made before there is a call")
