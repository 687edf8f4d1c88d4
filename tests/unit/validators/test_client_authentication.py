"""How the introspection endpoint authenticates the client."""

import base64
from typing import Any

import pytest

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.jwt import parse_jwt
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import OutboundRequest
from tests.unit.driving import ISSUER, ok
from tests.unit.validators.introspecting import (
    ENDPOINT,
    PRIVATE_JWK,
    SECRET,
    claims,
    introspect,
    introspection,
)


def call_of(**options: Any) -> OutboundRequest:
    """The introspection request."""
    _, world = introspect(introspection(**options), ok(claims()))
    (call,) = world.calls
    return call


def revealed(fields: Any) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in (fields or {}).items()}


def test_request() -> None:
    """R66: the token is sent in a form by POST, and is a secret until it is sent."""
    call = call_of()
    assert (call.method, call.url) == ("POST", ENDPOINT)
    assert revealed(call.form) == {"token": "opaque", "token_type_hint": "access_token"}
    assert "opaque" not in repr(call)
    assert SECRET not in repr(call)
    assert call.headers["Accept"] == "application/json"


PROOFS: list[tuple[dict[str, Any], dict[str, str], dict[str, str]]] = [
    ({}, {"Authorization": "Basic YXBpOnMzY3JldA=="}, {}),
    ({"client_auth": "client_secret_post"}, {}, {"client_id": "api", "client_secret": SECRET}),
    ({"client_auth": "bearer"}, {"Authorization": f"Bearer {SECRET}"}, {}),
    ({"client_auth": "none"}, {}, {"client_id": "api"}),
    ({"client_auth": "none", "client_id": None}, {}, {}),
]


@pytest.mark.parametrize(("options", "headers", "form"), PROOFS, ids=lambda part: repr(part)[:40])
def test_client_authentication(options: dict[str, Any], headers: dict[str, str], form: dict[str, str]) -> None:
    """R66: the client is authenticated by the configured method only."""
    call = call_of(**options)
    assert revealed(call.headers) == {"Accept": "application/json", **headers}
    assert revealed(call.form) == {"token": "opaque", "token_type_hint": "access_token", **form}


def test_basic_credentials_are_form_encoded_first() -> None:
    """R67: colons and letters outside ASCII arrive unchanged."""
    header = revealed(call_of(client_id="a:b", client_secret="p%+ \xe9").headers)["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == b"a%3Ab:p%25%2B+%C3%A9"


@pytest.mark.parametrize(("issuer", "audience"), [(None, ENDPOINT), (ISSUER, ISSUER)])
def test_private_key_jwt(issuer: str | None, audience: str) -> None:
    """An assertion names the client and the audience, is valid for a minute at most, and is used once."""
    options: dict[str, Any] = {"client_auth": "private_key_jwt", "client_secret": PRIVATE_JWK, "issuer": issuer}
    validator = introspection(**options)
    found = []
    for _ in range(2):
        _, world = introspect(validator, ok(claims()), fresh=True)
        form = revealed(world.calls[0].form)
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["client_id"] == "api"
        found.append(parse_jwt(Secret(form["client_assertion"])))
    first, second = found
    assert not isinstance(first, Reason)
    assert not isinstance(second, Reason)
    assert {name: first.claims[name] for name in ("iss", "sub", "aud")} == {
        "iss": "api",
        "sub": "api",
        "aud": audience,
    }
    assert 0 < first.claims["exp"] - first.claims["iat"] <= 60
    assert (first.algorithm, first.kid) == ("ES256", "ours")
    assert first.claims["jti"] != second.claims["jti"]
