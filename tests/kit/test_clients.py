"""``OAuthClient`` and ``AsyncOAuthClient``: Django's clients, with a token."""

import asyncio
import unittest
from typing import Any

import pytest
from django.test import Client, SimpleTestCase

from async_oauth_guard import AccessToken, InvalidTokenError, Reason
from async_oauth_guard.guard.overrides import current_override
from async_oauth_guard.testing import AsyncOAuthClient, OAuthClient, override_oauth
from tests.kit.asking import alice
from tests.kit.urls import VIEWS
from tests.site.models import OAuth2Token

pytestmark = pytest.mark.urls("tests.kit.urls")

every_view = pytest.mark.parametrize("path", VIEWS)
METHODS = ("get", "post", "put", "patch", "delete", "options", "trace")


@every_view
def test_tokens(path: str) -> None:
    """The requests of a client with a token have it, and those of the client that it was made of have none."""
    client = OAuthClient()
    response = client.oauth("profile", user=alice).get(path, HTTP_AUTHORIZATION="Bearer none")
    assert (response.status_code, response.json()["user"]) == (200, "alice")
    assert client.get(path).status_code == 401
    assert client.oauth("email").get(path).status_code == 403


@every_view
async def test_async_tokens(path: str) -> None:
    """So with the async client."""
    client = AsyncOAuthClient()
    response = await client.oauth("profile", user=alice).get(path, headers={"authorization": "Bearer none"})
    assert (response.status_code, response.json()["user"]) == (200, "alice")
    assert (await client.get(path)).status_code == 401
    assert (await client.oauth("email").get(path)).status_code == 403


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"token": OAuth2Token(scope="profile")}, 200),
        ({"token": AccessToken({"scope": "profile"})}, 200),
        ({"scopes": "profile", "expires_at": 1}, 401),
        ({"error": Reason.SERVER_UNREACHABLE}, 503),
        ({"error": InvalidTokenError}, 401),
        ({"error": "malformed_credentials"}, 400),
    ],
    ids=repr,
)
async def test_all_arguments(given: dict[str, Any], status: int) -> None:
    """They take what ``override_oauth`` takes."""
    assert (await AsyncOAuthClient().oauth(**given).get("/async/function")).status_code == status


@pytest.mark.parametrize("client_class", [OAuthClient, AsyncOAuthClient])
def test_bad_input(client_class: Any) -> None:
    """Arguments are refused when the client is made, not with its first request."""
    with pytest.raises(TypeError, match="scopes must be a string"):
        client_class().oauth(5)


@pytest.mark.parametrize("method", METHODS)
def test_methods(method: str) -> None:
    """Every method of a client has the token."""
    client = OAuthClient().oauth("profile")
    assert getattr(client, method)("/sync/function").status_code == 200
    assert client.generic(method.upper(), "/sync/function").status_code == 200


@pytest.mark.parametrize("method", METHODS)
async def test_async_methods(method: str) -> None:
    """So with the async client."""
    client = AsyncOAuthClient().oauth("profile")
    assert (await getattr(client, method)("/sync/function")).status_code == 200
    assert (await client.generic(method.upper(), "/sync/function")).status_code == 200


async def test_redirects_are_followed() -> None:
    """A request that follows redirects has its token at each stop."""
    answers = [
        OAuthClient().oauth("profile").get("/redirect", follow=True),
        await AsyncOAuthClient().oauth("profile").get("/redirect", follow=True),
    ]
    for response in answers:
        assert (response.redirect_chain, response.status_code) == ([("/sync/function", 302)], 200)


@pytest.fixture
def _sessions_in_cookies(settings: Any) -> None:
    """Django's clients end a session to log out."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"


@pytest.mark.usefixtures("_sessions_in_cookies")
def test_cookies_are_shared() -> None:
    """A client with a token has the cookies of the one that it was made of, whichever of them gets or drops them."""
    client = OAuthClient()
    with_token = client.oauth()
    visits = [each.get("/visits").json() for each in (client, with_token, client, with_token.oauth("a"))]
    assert visits == [{"visits": number, "token": number % 2 == 0} for number in (1, 2, 3, 4)]
    client.logout()
    assert with_token.get("/visits").json()["visits"] == 1
    assert client.cookies is with_token.cookies
    assert OAuthClient().get("/visits").json()["visits"] == 1


@pytest.mark.usefixtures("_sessions_in_cookies")
async def test_async_cookies_are_shared() -> None:
    """So with the async client."""
    client = AsyncOAuthClient()
    with_token = client.oauth()
    assert [(await each.get("/visits")).json()["visits"] for each in (client, with_token, client)] == [1, 2, 3]
    await with_token.alogout()
    assert (await client.get("/visits")).json()["visits"] == 1


def test_defaults_are_kept() -> None:
    """It is of the same class, with the same defaults and options; what is changed in it later is its own."""

    class OwnClient(OAuthClient):
        pass

    client = OwnClient(raise_request_exception=False, headers={"x-tenant": "acme"})
    with_token = client.oauth()
    assert (type(with_token), with_token.raise_request_exception) == (OwnClient, False)
    assert with_token.get("/visits").wsgi_request.headers["x-tenant"] == "acme"
    with_token.defaults["HTTP_X_TENANT"] = "other"
    assert client.get("/visits").wsgi_request.headers["x-tenant"] == "acme"


def test_the_innermost_counts() -> None:
    """A client's token counts within a block; a client without one has the block's; the last ``oauth()`` counts."""
    client = OAuthClient()
    with override_oauth("profile"):
        assert client.get("/sync/function").json()["scope"] == "profile"
        assert client.oauth("profile email").get("/sync/function").json()["scope"] == "profile email"
        assert client.oauth("email").oauth("profile").get("/sync/function").status_code == 200
        assert client.oauth(error=Reason.REVOKED).get("/sync/function").status_code == 401
    assert current_override() is None


async def test_clients_at_once() -> None:
    """One client sends several requests at once, each client with its own token."""
    client = AsyncOAuthClient()
    first, second = client.oauth("profile", client_id="first"), client.oauth("profile", client_id="second")
    answers = await asyncio.gather(*(each.get(path) for path in VIEWS for each in (first, second, first)))
    assert [answer.json()["client"] for answer in answers] == ["first", "second", "first"] * len(VIEWS)
    assert current_override() is None


def test_exceptions() -> None:
    """Nothing is left after a request that raises."""
    client = OAuthClient()
    with pytest.raises(TypeError):
        client.oauth("profile").get("/sync/function", query_params=5)
    assert current_override() is None
    assert client.get("/sync/function").status_code == 401


def test_clients_of_test_cases() -> None:
    """A test case has them as its clients."""

    class Case(SimpleTestCase):
        client_class = OAuthClient
        async_client_class = AsyncOAuthClient

        def test_sync(self) -> None:
            assert self.client.oauth("profile").get("/async/class").status_code == 200

        async def test_async(self) -> None:
            assert (await self.async_client.oauth("profile").get("/sync/class")).status_code == 200

    result = unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(unittest.TestResult())
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])


def test_they_are_djangos() -> None:
    """Without a token they are Django's clients."""
    assert isinstance(OAuthClient(), Client)
    assert OAuthClient().get("/sync/function").status_code == Client().get("/sync/function").status_code == 401
