"""Databases of these tests' own, one of each kind that answers, and a gate before the query."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Model, QuerySet

from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.database import batching, queries, threads
from async_oauth_guard.runtime.database.lookup import aread_rows, close
from async_oauth_guard.runtime.effects import Row
from tests import databases
from tests.site.models import OAuth2Token, TenantToken, UUIDToken

MODELS = [ContentType, Permission, Group, User, OAuth2Token, TenantToken, UUIDToken]
KINDS = ["sqlite", "postgres", "postgres-pool", "mariadb"]
PATIENCE = 10.0


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[set[str]]:
    """The aliases made so far. After these tests they are dropped, so that no other test finds them.

    Servers refuse to drop a database while anyone is connected.
    """
    made: set[str] = set()
    yield made
    with django_db_blocker.unblock():
        close()
        for alias in made:
            _drop(alias)


@pytest.fixture(autouse=True)
def all_is_closed() -> Iterator[None]:
    """No test leaves a connection open, on whichever thread, nor a pool: servers take few."""
    opened: list[BaseDatabaseWrapper] = []

    def note(connection: BaseDatabaseWrapper, **_: Any) -> None:
        opened.append(connection)

    connection_created.connect(note)
    yield
    connection_created.disconnect(note)
    assert [connection.alias for connection in opened if connection.connection is not None] == []
    assert [connection.alias for connection in opened if _has_pool(connection)] == []


@pytest.fixture
def open_database(
    made: set[str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    django_db_blocker: Any,
    all_is_closed: None,
) -> Iterator[Callable[[str], str]]:
    """Gives the alias of an empty database of some kind."""
    opened: list[str] = []

    def open_one(kind: str) -> str:
        if kind != "sqlite":
            request.getfixturevalue(kind.removesuffix("-pool"))
        alias = f"rows-{kind}"
        if alias not in made:
            _make(alias, kind, request.getfixturevalue("tmp_path_factory"))
            made.add(alias)
        opened.append(alias)
        return alias

    with django_db_blocker.unblock():
        yield open_one
        end_reading()
        for alias in opened:
            for model in reversed(MODELS):
                # Without the cascade, which would look into tables that are not here.
                model._base_manager.using(alias)._raw_delete(alias)
            _disconnect(alias)


@pytest.fixture(params=KINDS)
def alias(request: pytest.FixtureRequest, open_database: Callable[[str], str]) -> str:
    """A database of each kind."""
    return open_database(request.param)


@pytest.fixture
def sqlite(open_database: Callable[[str], str]) -> str:
    """An SQLite database."""
    return open_database("sqlite")


@pytest.fixture
def outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Django's test environment is not set up, and connections are kept."""
    monkeypatch.delattr(mail, "outbox")


@dataclass
class ConcurrencyLimit:
    """Stands before the query of each batch, open until told otherwise."""

    batches: list[list[Any]] = field(default_factory=list)
    is_open: bool = True
    arrivals: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    permits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    before: Callable[[], object] = lambda: None

    def __call__(
        self, queryset: QuerySet[Any], field: str, keys: Sequence[Any], alias: str
    ) -> list[queries.QueryResult]:
        # Whoever awaits the arrival may open the gate for the batches after this one.
        is_open = self.is_open
        self.batches.append(list(keys))
        self.arrivals.release()
        if not is_open:
            assert self.permits.acquire(timeout=PATIENCE)
        self.before()
        return queries.query_all(queryset, field, keys, alias)

    async def arrival(self) -> None:
        assert await asyncio.to_thread(self.arrivals.acquire, timeout=PATIENCE)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConcurrencyLimit]:
    """A gate before every batch."""
    gate = ConcurrencyLimit()
    monkeypatch.setattr(threads, "query_all", gate)
    yield gate
    gate.permits.release(100)
    end_reading()


def row(alias: str, key: Any, *, group: Any = "group", model: type[Model] = OAuth2Token) -> Row:
    """A lookup as a validator makes it."""
    queryset = QuerySet(model).using(alias).select_related("user")
    return Row(queryset, "access_token", Secret(key), group)


async def look_up(row: Row) -> list[Any]:
    """The rows, asked for as a request of an ASGI server does."""
    async with ThreadSensitiveContext():
        return await aread_rows(row)


async def look_up_alone(row: Row) -> list[Any]:
    """As `look_up`, for a lookup that opens a connection on the request's own thread, and closes it like Django."""
    async with ThreadSensitiveContext():
        try:
            return await aread_rows(row)
        finally:
            await sync_to_async(connections.close_all)()


async def settle(*awaitables: Awaitable[Any]) -> list[Any]:
    """The results and the errors, in order."""
    return await asyncio.gather(*awaitables, return_exceptions=True)


async def turn(times: int = 3) -> None:
    """Let what is ready run."""
    for _ in range(times):
        await asyncio.sleep(0)


async def idle() -> None:
    """Return when no group has anything waiting, out, or pausing on this loop."""
    async with asyncio.timeout(PATIENCE):
        while any(key[0] == id(asyncio.get_running_loop()) for key in batching._collectors):
            await asyncio.sleep(0)


def make_tokens(alias: str, *keys: str) -> None:
    """A token row for each key, all of one user."""
    user, _ = User.objects.using(alias).get_or_create(username="alice")
    OAuth2Token.objects.using(alias).bulk_create([OAuth2Token(access_token=key, user=user) for key in keys])


def end_reading() -> None:
    """Close, and wait for the threads that were left behind as well."""
    close()
    for thread in reading_threads():
        thread.join(PATIENCE)


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("async_oauth_guard reads ")]


def keys_of(answers: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [[found.access_token for found in rows] for rows in answers]


def _make(alias: str, kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = databases.settings(kind)["default"]
    name = settings["TEST"]["NAME"].rpartition("/")[2] + "_rows_" + kind.replace("-", "_")
    if kind == "sqlite":
        name = str(tmp_path_factory.mktemp("rows") / "rows.sqlite3")
    else:
        _administer(settings, f"CREATE DATABASE {name}")
    connections.databases[alias] = connections.configure_settings({"default": {}, alias: settings | {"NAME": name}})[
        alias
    ]
    with connections[alias].schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)


def _drop(alias: str) -> None:
    _disconnect(alias)
    connection = connections[alias]
    if connection.vendor != "sqlite":
        _administer(connection.settings_dict, f"DROP DATABASE {connection.settings_dict['NAME']}")
    with suppress(KeyError):
        del connections.databases[alias]
    del connections[alias]


def _disconnect(alias: str) -> None:
    connection: Any = connections[alias]
    connection.close()
    if _has_pool(connection):
        connection.close_pool()


def _has_pool(connection: BaseDatabaseWrapper) -> bool:
    # To ask a connection for its pool would make one.
    return connection.alias in getattr(connection, "_connection_pools", {})


def _administer(settings: dict[str, Any], statement: str) -> None:
    with closing(administrator(settings)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(statement)


def administrator(settings: dict[str, Any]) -> Any:
    """A connection of the driver, separate from Django's."""
    if settings["ENGINE"].endswith("mysql"):
        import pymysql

        return pymysql.connect(
            host=settings["HOST"], port=int(settings["PORT"] or 3306), user=settings["USER"], autocommit=True
        )
    import psycopg

    return psycopg.connect(
        host=settings["HOST"],
        port=settings["PORT"] or 5432,
        user=settings["USER"],
        password=settings["PASSWORD"],
        dbname="postgres",
        autocommit=True,
    )
