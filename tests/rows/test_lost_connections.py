"""Databases that end connections or stop answering, for real."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.db import connections

from async_oauth_guard.errors import TemporarilyUnavailableError
from async_oauth_guard.runtime.database import batching, threads
from async_oauth_guard.runtime.database.lookup import read_rows
from tests.rows.conftest import PATIENCE, administrator, keys_of, look_up, make_tokens, reading_threads, row, settle

SERVERS = ["postgres", "postgres-pool", "mariadb"]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, open_database: Callable[[str], str], outside_tests: None) -> Iterator[str]:
    """A database whose connections are ended by its server."""
    alias = open_database(request.param)
    make_tokens(alias, "a", "b")
    connections[alias].close()
    yield alias
    connections[alias].close()
    pool = getattr(connections[alias], "pool", None)
    if pool is not None:
        # The dead connections in it are not the next test's business.
        pool.check()


def end_connections(alias: str) -> int:
    """End all connections to the database; how many there were."""
    settings = connections[alias].settings_dict
    with closing(administrator(settings)) as admin, closing(admin.cursor()) as cursor:
        if settings["ENGINE"].endswith("mysql"):
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [settings["NAME"]])
            found = cursor.fetchall()
            for (number,) in found:
                cursor.execute(f"KILL {number}")
        else:
            # It waits until they have ended: a session that has only been told may yet answer.
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [settings["NAME"]]
            )
            found = cursor.fetchall()
    return len(found)


async def test_connections_ended_while_idle_are_replaced(server: str) -> None:
    """No request learns that the database has closed what nobody used."""
    for _ in range(3):
        assert keys_of([await look_up(row(server, "a"))]) == [["a"]]
        assert await asyncio.to_thread(end_connections, server)


def test_connections_of_sync_callers_are_replaced(server: str) -> None:
    """The same on a caller's own thread."""
    for _ in range(3):
        assert keys_of([read_rows(row(server, "a"))]) == [["a"]]
        assert end_connections(server)
    connections[server].close()


@pytest.mark.parametrize("server", ["postgres", "postgres-pool"], indirect=True)
def test_connection_of_a_tenant_is_not_replaced(server: str) -> None:
    """A new connection would not have the ``search_path``, so the token of another tenant would be let in."""
    with connections[server].cursor() as cursor:
        cursor.execute("CREATE SCHEMA tenant")
        cursor.execute("CREATE TABLE tenant.site_oauth2token (LIKE public.site_oauth2token)")
        cursor.execute("SET search_path TO tenant, public")
    assert read_rows(row(server, "a", group=None)) == []
    assert end_connections(server)
    try:
        with pytest.raises(TemporarilyUnavailableError):
            read_rows(row(server, "a", group=None))
    finally:
        connections[server].close()


def hold_tokens(alias: str) -> tuple[threading.Thread, threading.Event]:
    """Lock the tokens on a thread and connection of their own, until the event is set."""
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        connection = connections[alias].copy()
        try:
            with closing(connection.cursor()) as cursor:
                if connection.vendor == "mysql":
                    cursor.execute("LOCK TABLES site_oauth2token WRITE")
                else:
                    cursor.execute("BEGIN")
                    cursor.execute("LOCK TABLE site_oauth2token IN ACCESS EXCLUSIVE MODE")
                locked.set()
                assert release.wait(PATIENCE)
                cursor.execute("UNLOCK TABLES" if connection.vendor == "mysql" else "COMMIT")
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(PATIENCE)
    return thread, release


async def until_blocked(alias: str, count: int) -> None:
    """Return when ``count`` sessions wait for the lock."""
    settings = connections.databases[alias]
    statement = (
        "SELECT count(*) FROM information_schema.processlist WHERE db = %s AND state LIKE 'Waiting for table%%'"
        if settings["ENGINE"].endswith("mysql")
        else "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    )
    with closing(administrator(settings)) as admin, closing(admin.cursor()) as cursor:
        async with asyncio.timeout(PATIENCE):
            while True:
                cursor.execute(statement, [settings["NAME"]])
                if cursor.fetchone()[0] == count:
                    return
                await asyncio.sleep(0.01)


def end_blocked(alias: str) -> None:
    settings = connections.databases[alias]
    with closing(administrator(settings)) as admin, closing(admin.cursor()) as cursor:
        if settings["ENGINE"].endswith("mysql"):
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE db = %s AND state LIKE 'Waiting for table%%'",
                [settings["NAME"]],
            )
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL {number}")
        else:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = %s AND wait_event_type = 'Lock'",
                [settings["NAME"]],
            )


async def test_connection_ended_in_the_middle_of_a_query_is_replaced(server: str) -> None:
    """The query is repeated once, on a new connection."""
    holder, release = await asyncio.to_thread(hold_tokens, server)
    lookup = asyncio.create_task(look_up(row(server, "a")))
    await until_blocked(server, 1)
    await asyncio.to_thread(end_blocked, server)
    await until_blocked(server, 1)
    release.set()
    assert keys_of(await settle(lookup)) == [["a"]]
    await asyncio.to_thread(holder.join)


async def test_query_that_fails_twice_is_an_outage(server: str) -> None:
    """After one retry the client gets a retry time. The next lookup succeeds."""
    holder, release = await asyncio.to_thread(hold_tokens, server)
    lookup = asyncio.create_task(look_up(row(server, "a")))
    for _ in range(2):
        await until_blocked(server, 1)
        await asyncio.to_thread(end_blocked, server)
    (error,) = await settle(lookup)
    assert isinstance(error, TemporarilyUnavailableError)
    assert error.__cause__ is not None
    release.set()
    await asyncio.to_thread(holder.join)
    assert keys_of([await look_up(row(server, "a"))]) == [["a"]]


async def test_database_that_stops_answering(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters get an error at the deadline. When the database responds again, lookups work and no thread is left."""
    await look_up(row(server, "a"))
    holder, release = await asyncio.to_thread(hold_tokens, server)
    monkeypatch.setattr(batching, "DEADLINE", 0.2)
    errors = await settle(*(look_up(row(server, key)) for key in "abab"))
    assert [type(error) for error in errors] == [TemporarilyUnavailableError] * 4
    stuck = set(threads._pools[server].abandoned)
    assert stuck
    release.set()
    for thread in [holder, *stuck]:
        await asyncio.to_thread(thread.join, PATIENCE)
    monkeypatch.setattr(batching, "DEADLINE", PATIENCE)
    assert keys_of(await settle(*(look_up(row(server, key)) for key in "ab"))) == [["a"], ["b"]]
    assert threads._pools[server].abandoned == set()
    assert len(reading_threads()) == 1
