"""The views of `demo_asgi.views`: what each requires, and what it returns.

The tests do not validate tokens, so they need no server and no rows.
"""

import time

import pytest
from django.contrib.auth.models import User

from async_oauth_guard import Reason
from async_oauth_guard.testing import AsyncOAuthClient, OAuthClient, override_oauth
from demo_asgi.models import OAuth2Token

SCOPES = {
    "/profile": "profile",
    "/me": "",
    "/users/alice/diary": "profile",
    "/account": "profile",
    "/notes": "notes:read",
    "/drafts": "notes:read",
    "/reports/daily": "reports:read",
    "/reports/2024": "reports:read",
}
"""Views and the scopes that they require for GET."""

SCOPED = [path for path, scopes in SCOPES.items() if scopes]
EVERY = [*SCOPES, "/contact", "/token"]


def row(scope: str, user: User | None = None) -> OAuth2Token:
    """A token that is not saved, for views that read its columns."""
    return OAuth2Token(client_id="demo-app", user=user, scope=scope, issued_at=int(time.time()), expires_in=60)


# --- Whether a request is let in --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "scopes"), SCOPES.items())
def test_let_in(oauth_client: OAuthClient, alice: User, path: str, scopes: str) -> None:
    """A token with the required scopes is let in."""
    assert oauth_client.oauth(scopes, user=alice).get(path).status_code == 200


@pytest.mark.parametrize("path", SCOPED)
def test_wrong_scope(oauth_client: OAuthClient, alice: User, path: str) -> None:
    """A valid token with another scope is refused, and the challenge names the required scopes."""
    response = oauth_client.oauth("other", user=alice).get(path)
    assert response.status_code == 403
    assert SCOPES[path] in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", EVERY)
def test_no_token(oauth_client: OAuthClient, path: str) -> None:
    """Without a token, the response is a challenge."""
    response = oauth_client.get(path)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="demo"')


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize(
    ("reason", "status"), [(Reason.EXPIRED, 401), (Reason.REVOKED, 401), (Reason.DATABASE_UNAVAILABLE, 503)]
)
def test_refused(oauth_client: OAuthClient, path: str, reason: Reason, status: int) -> None:
    """An invalid token gets a challenge. A token that cannot be validated does not."""
    response = oauth_client.oauth(error=reason).get(path)
    assert response.status_code == status
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize("path", ["/me", "/account", "/notes"])
def test_users_only(oauth_client: OAuthClient, path: str) -> None:
    """Views that require a user refuse a token that a client got for itself."""
    assert oauth_client.oauth("profile notes:read").get(path).status_code == 403


async def test_on_an_event_loop(async_oauth_client: AsyncOAuthClient) -> None:
    """Async views work when an event loop runs them, as under ASGI."""
    robot = async_oauth_client.oauth("profile")
    assert (await robot.get("/profile")).json() == {"username": None}
    assert (await robot.get("/drafts")).status_code == 403
    assert (await async_oauth_client.get("/profile")).status_code == 401


# --- What a view does -------------------------------------------------------------------------------------------------


def test_profile(oauth_client: OAuthClient, alice: User) -> None:
    """It returns the user of the token."""
    assert oauth_client.oauth("profile", user=alice).get("/profile").json() == {"username": "alice"}


@pytest.mark.parametrize(
    ("scopes", "status"), [("profile", 403), ("email", 403), ("email profile", 200), ("user", 200)]
)
def test_contact(oauth_client: OAuthClient, alice: User, scopes: str, status: int) -> None:
    """It requires `profile` and `email`, or `user`."""
    assert oauth_client.oauth(token=row(scopes, alice)).get("/contact").status_code == status


@override_oauth(token=row("profile email"))
def test_token(oauth_client: OAuthClient) -> None:
    """It returns the client, the user and the scope of the token."""
    response = oauth_client.get("/token")
    assert response.json() == {"client_id": "demo-app", "username": None, "scope": "profile email"}


def test_timeline(oauth_client: OAuthClient, alice: User) -> None:
    """It needs no token. With one, it returns the user. An invalid token is refused."""
    assert oauth_client.get("/timeline").json()["reader"] is None
    assert oauth_client.oauth(user=alice).get("/timeline").json()["reader"] == "alice"
    assert oauth_client.oauth(error=Reason.EXPIRED).get("/timeline").status_code == 401


def test_messages(alice: User) -> None:
    """It needs no CSRF token, because browsers never add an access token."""
    writer = OAuthClient(enforce_csrf_checks=True).oauth("messages:write", user=alice)
    response = writer.post("/messages", {"text": "hello"})
    assert (response.status_code, response.json()) == (201, {"sent": "hello"})
    assert writer.get("/messages").status_code == 405


def test_diary(oauth_client: OAuthClient, alice: User, bob: User) -> None:
    """Only its owner is let in."""
    assert oauth_client.oauth("profile", user=alice).get("/users/alice/diary").json() == {"diary_of": "alice"}
    assert oauth_client.oauth("profile", user=bob).get("/users/alice/diary").status_code == 403


def test_account(oauth_client: OAuthClient, alice: User) -> None:
    """It returns the user, and changes the first name."""
    client = oauth_client.oauth("profile", user=alice)
    assert client.get("/account").json()["username"] == "alice"
    assert client.post("/account", {"first_name": "Alice"}).json()["first_name"] == "Alice"
    alice.refresh_from_db()
    assert alice.first_name == "Alice"


def test_notes(oauth_client: OAuthClient, alice: User) -> None:
    """Each method requires its own scope. A token without it is refused."""
    reader, writer = (oauth_client.oauth(f"notes:{verb}", user=alice) for verb in ("read", "write"))
    assert reader.post("/notes", {"text": "Buy milk"}).status_code == 403
    assert writer.post("/notes", {"text": "Buy milk"}).status_code == 201
    assert writer.get("/notes").status_code == 403
    assert reader.get("/notes").json() == {"owner": "alice", "notes": ["Buy milk"]}
    assert reader.delete("/notes").status_code == 403


def test_drafts(oauth_client: OAuthClient, alice: User) -> None:
    """It returns the owner of the drafts."""
    assert oauth_client.oauth("notes:read", user=alice).get("/drafts").json() == {"drafts_of": "alice"}


def test_reports(oauth_client: OAuthClient) -> None:
    """Views that are guarded in the URL configuration are let in too."""
    robot = oauth_client.oauth("reports:read")
    assert robot.get("/reports/daily").json() == {"report": "daily"}
    assert robot.get("/reports/2024").json() == {"report": 2024}
