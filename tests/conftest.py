"""Users, tokens, and the services that some tests need."""

import gc
import itertools
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connections

from async_oauth_guard import token_rejected
from tests import asgi, databases, wsgi
from tests.answers import Answer
from tests.site.models import OAuth2Token, Token
from tests.sites import MODES

Send = Callable[..., Answer]
MakeToken = Callable[..., Any]
SERVERS: dict[str, Send] = {"asgi": asgi.send, "wsgi": wsgi.send}

# pytest-django's and pytest-asyncio's, each with the marker of the tests that need it. None: no test needs it.
FIXTURES_OF_PLUGINS: dict[str, str | None] = {
    "_dj_autoclear_mailbox": None,
    "_django_clear_site_cache": None,
    "_django_db_marker": "django_db",
    "_django_isolate_apps": None,
    "_django_set_urlconf": "urls",
    "_django_setup_unittest": None,
    "_fail_for_invalid_template_variable": None,
    "_live_server_helper": None,
    "_template_string_if_invalid_marker": None,
    "event_loop_policy": None,  # what runs an async test asks for it
}

CASES = 8
"""How many cases of each test are not spare."""

_serial = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """A run on a server that is not there is skipped as a whole, and says so, or fails where services are required."""
    name = os.environ.get("OAUTH_GUARD_TEST_DATABASE", "sqlite")
    service = "postgres" if name.startswith("postgres") else name
    reason = databases.why_unreachable(service) if service != "sqlite" else None
    if reason:
        pytest.exit(reason, returncode=1 if services_are_required() else 0)
    # What pytest makes until all tests are collected is not garbage. Looking for some takes a third of that time.
    gc.disable()


def pytest_collection_finish() -> None:
    """The collected tests stay until the end. To look through them takes a garbage collection a third of a second."""
    _use_hypothesis()
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plugins set up some fixtures for every test. That is a third of the time of a small one, which needs none."""
    for item in items:
        if isinstance(item, pytest.Function) and item.cls is None:  # pytest-django sets up classes of unittest
            item.fixturenames = [name for name in item.fixturenames if _is_needed(name, item)]
    for item in _spare_cases(items):
        item.add_marker("spare")


def _is_needed(name: str, item: pytest.Item) -> bool:
    marker = FIXTURES_OF_PLUGINS.get(name, "")
    return marker == "" or (marker is not None and item.get_closest_marker(marker) is not None)


def _spare_cases(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """The spare pairs. Of each test's other cases, all but `CASES`, chosen by the version of Python."""
    kept: dict[str, list[pytest.Item]] = {}
    for item in items:
        if _is_spare_pair(item):
            yield item
        else:
            kept.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in kept.values():
        yield from sorted(cases, key=lambda case: _number(sys.version_info[:2], case.nodeid))[CASES:]


def _is_spare_pair(item: pytest.Item) -> bool:
    """Whether this is one of the two spare pairs of mode and server, of four. The others have both modes and servers.

    Which two they are varies.
    """
    call: Any = getattr(item, "callspec", None)
    if call is None or call.params.get("mode") not in MODES or call.params.get("send") not in SERVERS:
        return False
    others = [(name, index) for name, index in call.indices.items() if name not in ("mode", "send")]
    is_crossed = (call.params["mode"] == "async def") is (call.params["send"] == "wsgi")
    return is_crossed is (_number(item.name.partition("[")[0], sorted(others)) % 2 == 0)


def _number(*values: object) -> int:
    """The same in every process, unlike a `hash`."""
    return zlib.crc32(repr(values).encode())


@hypothesis.given(hypothesis.strategies.none())
def _use_hypothesis(nothing: None) -> None:
    """At its first use, an old Hypothesis looks for what refers to its random numbers. It cannot see frozen objects."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """As pytest-django's. At the end it stops the guard's lookups, so that none reads from a database to be dropped."""
    yield
    from async_oauth_guard.runtime.database import lookup

    lookup.close()


@pytest.fixture(params=SERVERS)
def send(request: pytest.FixtureRequest) -> Send:
    """Sends one request through Django's handler, once for ASGI and once for WSGI."""
    return SERVERS[request.param]


@pytest.fixture
def alice() -> User:
    """A user. The test asks for the database itself, with the mark."""
    return make_user("alice")


@pytest.fixture
def make_token(request: pytest.FixtureRequest) -> MakeToken:
    """Makes a token row; alice's and good for ``profile``, unless told otherwise."""

    def make(model: type[Token] = OAuth2Token, **values: Any) -> Token:
        if "user" not in values:
            values["user"] = request.getfixturevalue("alice")
        return create_token(model, **values)

    return make


class Committed:
    """Rows that the threads and processes of every server see, for the tests of a module that change none of them."""

    def __init__(self, blocker: Any) -> None:
        self._blocker = blocker
        self._users: dict[str, User] = {}
        self._rows: list[Any] = []

    def user(self, name: str, **values: Any) -> User:
        if name not in self._users:
            with self._blocker.unblock():
                self._users[name] = make_user(name, **values)
        return self._users[name]

    def token(self, model: type[Token] = OAuth2Token, *, user: str | None = "alice", **values: Any) -> Any:
        owner = None if user is None else self.user(user)
        with self._blocker.unblock():
            row = create_token(model, user=owner, **values)
        self._rows.append(row)
        return row

    def row(self, row: Any) -> Any:
        with self._blocker.unblock():
            row.save()
        self._rows.append(row)
        return row

    def remove(self) -> None:
        with self._blocker.unblock():
            for row in [*reversed(self._rows), *self._users.values()]:
                row.delete()


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[Committed]:
    """Makes committed lookup, which are gone after the module's last test."""
    rows = Committed(django_db_blocker)
    yield rows
    rows.remove()


@pytest.fixture
def postgres() -> str:
    """The URL of a PostgreSQL server that answers."""
    return _require("postgres")


@pytest.fixture
def mariadb() -> str:
    """The URL of a MariaDB server that answers."""
    return _require("mariadb")


def make_user(name: str, **values: Any) -> User:
    return get_user_model().objects.create_user(name, f"{name}@example.com", "password", **values)


def create_token(model: type[Token] = OAuth2Token, **values: Any) -> Token:
    """A token row with a token that no other has, unless one is given."""
    number = next(_serial)
    if any(field.name == "access_token" for field in model._meta.fields):
        values.setdefault("access_token", f"token-{number}-of-the-tests")
    return model._default_manager.create(**({"scope": "profile"} | values))


def services_are_required() -> bool:
    return os.environ.get("OAUTH_GUARD_TEST_SERVICES") == "required"


def database_variables() -> dict[str, str]:
    """The environment with which a server process uses the databases of this test."""
    return databases.name_variables({alias: str(connections[alias].settings_dict["NAME"]) for alias in connections})


def _require(service: str) -> str:
    reason = databases.why_unreachable(service)
    if reason and services_are_required():
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return databases.service_url(service)


@pytest.fixture
def no_other_protectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system checks examine every protector, also those of other tests that are not collected yet."""
    from async_oauth_guard import require_oauth
    from async_oauth_guard.diagnostics import checks

    monkeypatch.setattr(checks, "ALL_PROTECTORS", {require_oauth})


@pytest.fixture
def reasons() -> Iterator[list[Any]]:
    """Why requests were refused."""
    heard: list[Any] = []

    def receive(sender: Any, error: Any, **kwargs: Any) -> None:
        heard.append(error.reason)

    token_rejected.connect(receive)
    yield heard
    token_rejected.disconnect(receive)
