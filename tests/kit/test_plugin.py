"""The fixtures: this process tests what they provide, and a separate process tests what they cost."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import AsyncClient, Client

from async_oauth_guard import Reason
from async_oauth_guard.guard.overrides import current_override
from async_oauth_guard.testing import AsyncOAuthClient, OAuthClient
from tests.kit.asking import alice, get

pytestmark = pytest.mark.urls("tests.kit.urls")

GiveToken = Callable[..., None]


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set up before the fixtures of a test and so torn down after them: none of them leaves anything."""
    assert current_override() is None
    yield
    assert current_override() is None


def test_client(oauth_client: OAuthClient) -> None:
    """``oauth_client`` is a client that can have a token."""
    assert type(oauth_client) is OAuthClient
    assert oauth_client.oauth("profile", user=alice).get("/async/function").json()["user"] == "alice"
    assert oauth_client.get("/async/function").status_code == 401


async def test_async_client(async_oauth_client: AsyncOAuthClient) -> None:
    """So is ``async_oauth_client``, an async one."""
    assert type(async_oauth_client) is AsyncOAuthClient
    assert (await async_oauth_client.oauth("profile", user=alice).get("/sync/function")).json()["user"] == "alice"
    assert (await async_oauth_client.get("/sync/function")).status_code == 401


@pytest.mark.parametrize("turn", [1, 2])
def test_token(oauth_token: GiveToken, turn: int) -> None:
    """What ``oauth_token`` is called with counts from then on, the last call of all, and not in the next test."""
    assert get("/sync/function")[0] == 401
    oauth_token("profile", user=alice)
    assert get("/sync/function")[1]["user"] == "alice"
    oauth_token(error=Reason.SERVER_TOO_SLOW)
    assert get("/async/function")[0] == 503


@pytest.mark.parametrize("turn", [1, 2])
async def test_token_of_async_tests(oauth_token: GiveToken, turn: int) -> None:
    """So in an async test."""
    client = AsyncClient()
    assert (await client.get("/sync/function")).status_code == 401
    oauth_token("profile", user=alice)
    assert (await client.get("/async/function")).json()["user"] == "alice"
    oauth_token("email")
    assert (await client.get("/sync/function")).status_code == 403


@pytest.fixture
def logged_in(oauth_token: GiveToken) -> None:
    oauth_token("profile", client_id="fixture")


@pytest.fixture
async def logged_in_async(oauth_token: GiveToken) -> None:
    oauth_token("profile", client_id="async fixture")


@pytest.mark.usefixtures("logged_in")
def test_in_fixtures() -> None:
    """A fixture may call it for a sync test."""
    assert Client().get("/sync/function").json()["client"] == "fixture"


@pytest.mark.usefixtures("logged_in")
async def test_in_fixtures_of_async_tests() -> None:
    """And for an async one."""
    assert (await AsyncClient().get("/sync/function")).json()["client"] == "fixture"


@pytest.mark.usefixtures("logged_in_async")
async def test_in_async_fixtures() -> None:
    """So may an async fixture."""
    assert (await AsyncClient().get("/async/function")).json()["client"] == "async fixture"


def test_bad_input(oauth_token: GiveToken) -> None:
    """A call that is refused changes nothing."""
    oauth_token("profile")
    with pytest.raises(TypeError, match="scopes must be a string"):
        oauth_token(5)
    assert get("/sync/function")[0] == 200


CONFTEST = """
import sys

def is_loaded(name):
    return name in sys.modules

assert is_loaded("pytest_async_oauth_guard")
assert not is_loaded("async_oauth_guard") and not is_loaded("django")
"""

TESTS = """
import pytest
from conftest import is_loaded

def test_without_fixtures(tmp_path):
    assert not is_loaded("async_oauth_guard") and not is_loaded("django")

def test_outside_a_test_environment(oauth_token):
    with pytest.raises(RuntimeError, match="setup_test_environment"):
        oauth_token("profile")

@pytest.fixture
def site():
    import django
    from django.conf import settings
    from django.test.utils import setup_test_environment

    settings.configure(
        ROOT_URLCONF=__name__, SECRET_KEY="x", OAUTH_GUARD={"VALIDATORS": [{"BACKEND": f"{__name__}.Tokens"}]}
    )
    django.setup()
    setup_test_environment()
    from django.http import HttpResponse
    from django.urls import path
    from async_oauth_guard import TokenValidator, require_oauth

    class Tokens(TokenValidator):
        def authenticate_token(self, token):
            return None

    globals().update(Tokens=Tokens)
    view = require_oauth("profile")(lambda request: HttpResponse(request.oauth_token.client_id))
    globals().update(urlpatterns=[path("", view)])

def test_fixtures(site, oauth_client, async_oauth_client, oauth_token):
    oauth_token("profile", client_id="fixture")
    assert oauth_client.get("/").content == b"fixture"
    assert oauth_client.oauth("profile", client_id="client").get("/").content == b"client"
    assert type(async_oauth_client).__name__ == "AsyncOAuthClient"
"""


def test_it_costs_nothing(tmp_path: Path) -> None:
    """Pytest loads the plugin by itself. The plugin loads neither this package nor Django until a test uses a fixture.

    It needs neither pytest-django nor pytest-asyncio.
    """
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    without = [
        f"-pno:{name}" for name in ("django", "asyncio", "anyio", "cacheprovider", "hypothesispytest", "pytest_cov")
    ]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-Werror", *without],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout
