"""The views of `demo_asgi.remote_views`, with tokens of `FakeAuthorizationServer`."""

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from async_oauth_guard.testing import FakeAuthorizationServer

from .conftest import bearer

JWT = ("/jwt/async", "/jwt/sync")
INTROSPECTION = ("/introspection/async", "/introspection/sync", "/introspection/fresh")
ANY = ("/any/async", "/any/sync")

for_jwts = pytest.mark.parametrize("path", JWT + ANY)
for_opaque_tokens = pytest.mark.parametrize("path", INTROSPECTION + ANY)
for_all = pytest.mark.parametrize("path", JWT + INTROSPECTION + ANY)


@for_jwts
def test_jwt(client: Client, server: FakeAuthorizationServer, alice: User, path: str) -> None:
    """A JWT of the server is let in. The view sees its user and client."""
    response = client.get(path, headers=bearer(server.jwt("profile email", user=alice, client_id="app")))
    assert response.json() == {"username": "alice", "client_id": "app", "scopes": ["email", "profile"]}


@for_opaque_tokens
def test_opaque(client: Client, server: FakeAuthorizationServer, alice: User, path: str) -> None:
    """An opaque token is let in. The demo introspects it with its own client credentials."""
    response = client.get(path, headers=bearer(server.opaque("profile", user=alice, client_id="app")))
    assert response.json() == {"username": "alice", "client_id": "app", "scopes": ["profile"]}
    assert {request.client for request in server.calls_to("introspection")} == {"demo-resource-server"}


@pytest.mark.parametrize("path", ["/jwt/async", "/introspection/async", "/any/async"])
async def test_from_an_event_loop(async_client: AsyncClient, server: FakeAuthorizationServer, path: str) -> None:
    """Async views work when an event loop runs them. A token that a client got for itself has no user."""
    response = await async_client.get(path, headers=bearer(server.jwt("profile")))
    assert response.json() == {"username": None, "client_id": "client", "scopes": ["profile"]}


@for_all
@pytest.mark.django_db
def test_no_token(client: Client, path: str) -> None:
    """Without a token, the response is a challenge. The guard sends no request to the server."""
    response = client.get(path)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="demo"')


@for_all
@pytest.mark.django_db
def test_wrong_scope(client: Client, server: FakeAuthorizationServer, path: str) -> None:
    """A valid token with another scope is refused."""
    assert client.get(path, headers=bearer(server.jwt("email"))).status_code == 403


@for_all
@pytest.mark.django_db
@pytest.mark.parametrize(
    "flaw",
    [{"expires_in": -60}, {"audience": "https://other.example"}, {"subject": "mallory"}, {"claims": {"cnf": {}}}],
    ids=["expired", "for another audience", "of an unknown user", "bound to a key"],
)
def test_bad_token(client: Client, server: FakeAuthorizationServer, path: str, flaw: dict[str, object]) -> None:
    """An invalid token of the server is refused, both when it is verified and when it is introspected."""
    response = client.get(path, headers=bearer(server.jwt("profile", **flaw)))
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


@for_jwts
@pytest.mark.django_db
def test_forged_jwts(client: Client, server: FakeAuthorizationServer, path: str) -> None:
    """JWTs with a foreign key or without a signature are refused."""
    for token in (server.jwt("profile", key=server.foreign_key()), server.jwt("profile", algorithm="none")):
        assert client.get(path, headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("path", JWT)
def test_one_fetch_of_keys(client: Client, server: FakeAuthorizationServer, path: str) -> None:
    """The guard fetches the keys once for a hundred tokens."""
    for _ in range(100):
        assert client.get(path, headers=bearer(server.jwt("profile"))).status_code == 200
    assert [request.endpoint for request in server.calls] == ["metadata", "keys"]


@pytest.mark.parametrize("path", JWT)
def test_rotated_keys(client: Client, server: FakeAuthorizationServer, path: str) -> None:
    """The guard fetches a new key. Older tokens stay valid while their key is published."""
    old = server.jwt("profile")
    assert client.get(path, headers=bearer(old)).status_code == 200
    server.rotate(keep_old=True)
    server.clock.move(2)
    assert client.get(path, headers=bearer(server.jwt("profile"))).status_code == 200
    assert client.get(path, headers=bearer(old)).status_code == 200


def test_revoked_tokens(client: Client, server: FakeAuthorizationServer) -> None:
    """An active result is cached for two seconds. With ``fresh=True``, a revoked token is refused at once."""
    token = bearer(server.opaque("profile"))
    assert client.get("/introspection/sync", headers=token).status_code == 200
    server.revoke(token["Authorization"].removeprefix("Bearer "))
    assert client.get("/introspection/sync", headers=token).status_code == 200
    assert client.get("/introspection/fresh", headers=token).status_code == 401
    server.clock.move(2)
    assert client.get("/introspection/sync", headers=token).status_code == 401
