"""Responses during an outage of the authorization server."""

import pytest
from django.test import Client

from async_oauth_guard.testing import FakeAuthorizationServer

from .conftest import bearer

UNAVAILABLE = ("down", "slow", "garbage")

for_each_outage = pytest.mark.parametrize("fault", UNAVAILABLE)
for_jwts = pytest.mark.parametrize("path", ["/jwt/async", "/jwt/sync"])
for_opaque_tokens = pytest.mark.parametrize("path", ["/introspection/async", "/introspection/sync"])


@for_each_outage
@for_jwts
def test_no_keys_yet(client: Client, server: FakeAuthorizationServer, path: str, fault: str) -> None:
    """Without keys, the guard cannot validate JWTs. It responds with 503, and does not blame the client."""
    token = bearer(server.jwt("profile"))
    with server.fail(fault):
        response = client.get(path, headers=token)
        assert response.status_code == 503
        assert "WWW-Authenticate" not in response.headers
    server.clock.move(int(response.headers["Retry-After"]))
    assert client.get(path, headers=token).status_code == 200


@for_each_outage
@for_jwts
def test_known_keys(client: Client, server: FakeAuthorizationServer, path: str, fault: str) -> None:
    """Known keys stay in use for a day."""
    assert client.get(path, headers=bearer(server.jwt("profile"))).status_code == 200
    with server.fail(fault):
        server.clock.move(23 * 3600)
        assert client.get(path, headers=bearer(server.jwt("profile"))).status_code == 200


@for_each_outage
@for_opaque_tokens
def test_unknown_opaque_token(client: Client, server: FakeAuthorizationServer, path: str, fault: str) -> None:
    """A token without a cached result gets 503."""
    token = bearer(server.opaque("profile"))
    with server.fail(fault):
        response = client.get(path, headers=token)
        assert response.status_code == 503
    server.clock.move(int(response.headers["Retry-After"]))
    assert client.get(path, headers=token).status_code == 200


@for_each_outage
@for_opaque_tokens
def test_known_opaque_token(client: Client, server: FakeAuthorizationServer, path: str, fault: str) -> None:
    """A cached active result stays in use for five minutes. A view with ``fresh=True`` does not use it."""
    token = bearer(server.opaque("profile"))
    assert client.get(path, headers=token).status_code == 200
    with server.fail(fault):
        server.clock.move(300)
        assert client.get(path, headers=token).status_code == 200
        assert client.get("/introspection/fresh", headers=token).status_code == 503
        server.clock.move(3)
        assert client.get(path, headers=token).status_code == 503


@for_opaque_tokens
def test_refuses_us(client: Client, server: FakeAuthorizationServer, path: str) -> None:
    """If the server refuses the demo's own secret, the token may still be valid, so the response is 503."""
    server.fail("refuses_us")
    assert client.get(path, headers=bearer(server.opaque("profile"))).status_code == 503


@for_jwts
@pytest.mark.parametrize("fault", ["rotate", "unknown_kid"])
def test_lost_keys(client: Client, server: FakeAuthorizationServer, path: str, fault: str) -> None:
    """A token signed with a key that is not published is invalid."""
    token = bearer(server.jwt("profile"))
    with server.fail(fault):
        assert client.get(path, headers=token).status_code == 401


@pytest.mark.parametrize(("path", "status"), [("/jwt/sync", 401), ("/introspection/sync", 503)])
def test_impostor(client: Client, server: FakeAuthorizationServer, path: str, status: int) -> None:
    """Responses and tokens of another issuer are not trusted."""
    with server.fail("wrong_issuer"):
        token = server.jwt("profile") if path.startswith("/jwt") else server.opaque("profile")
        assert client.get(path, headers=bearer(token)).status_code == status
