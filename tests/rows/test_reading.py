"""The reading threads: what becomes of them and of their connections."""

import asyncio
import os
import sqlite3
import threading
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from async_oauth_guard import batches, reading
from async_oauth_guard.errors import TemporarilyUnavailableError
from async_oauth_guard.rows import close
from tests.rows.conftest import PATIENCE, Gate, keys_of, look_up, make_tokens, reading_threads, row, settle
from tests.site.models import TenantToken


@pytest.fixture
def connected() -> Any:
    """The connections that reading threads open."""
    seen: list[BaseDatabaseWrapper] = []

    def note(connection: BaseDatabaseWrapper, **_: Any) -> None:
        if threading.current_thread().name.startswith("async_oauth_guard"):
            seen.append(connection)

    connection_created.connect(note)
    yield seen
    connection_created.disconnect(note)


@pytest.fixture(autouse=True)
def _tokens(request: pytest.FixtureRequest) -> None:
    name = "alias" if "alias" in request.fixturenames else "sqlite"
    make_tokens(request.getfixturevalue(name), "a", "b")


async def test_in_tests_a_connection_is_closed_before_the_waiters_wake(alias: str, connected: Any) -> None:
    """Nothing keeps a test database from being dropped."""
    for _ in range(2):
        await look_up(row(alias, "a"))
        assert [connection.connection for connection in connected] == [None] * len(connected)
    assert len(connected) == 2


async def test_connection_is_kept_between_batches_and_closed_when_idle(
    sqlite: str, connected: Any, outside_tests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a pool, a connection serves many batches, and ends with its thread when nothing is asked for a while."""
    for _ in range(3):
        await look_up(row(sqlite, "a"))
    (connection,) = connected
    assert connection.connection is not None
    (thread,) = reading_threads()
    monkeypatch.setattr(reading, "IDLE_TIMEOUT", 0.01)
    await look_up(row(sqlite, "a"))
    await asyncio.to_thread(thread.join, PATIENCE)
    assert connection.connection is None
    assert keys_of([await look_up(row(sqlite, "b"))]) == [["b"]]


async def test_connection_goes_back_to_a_pool_after_each_batch(
    open_database: Any, connected: Any, outside_tests: None
) -> None:
    """Also after an error: a pool of one would otherwise be empty."""
    pooled = open_database("postgres-pool")
    pool = connections[pooled].pool
    await settle(look_up(row(pooled, ["no", "key"], model=TenantToken, group=None)))
    for key in ("a", "x", 7):
        await settle(look_up(row(pooled, key)))
        assert [connection.connection for connection in connected] == [None] * len(connected)
    assert pool.get_stats().get("requests_errors", 0) == 0


async def test_connection_without_autocommit_is_not_kept(
    sqlite: str, connected: Any, outside_tests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction would show the next batch the rows of this one's time."""
    monkeypatch.setitem(connections.databases[sqlite], "AUTOCOMMIT", False)
    await look_up(row(sqlite, "a"))
    (connection,) = connected
    assert connection.connection is None


async def test_connection_to_a_database_in_memory_is_closed_too(
    sqlite: str, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django leaves these open, which would be a leak at the end of the thread."""
    monkeypatch.setattr("django.db.backends.sqlite3.base.DatabaseWrapper.is_in_memory_db", lambda self: True)
    await look_up(row(sqlite, "a"))
    (connection,) = connected
    assert connection.connection is None


async def test_connection_that_cannot_be_closed_does_not_matter(
    sqlite: str, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are what was asked for."""
    raw: list[sqlite3.Connection] = []

    def fail(self: Any) -> None:
        raw.append(self.connection)
        raise OSError

    monkeypatch.setattr(BaseDatabaseWrapper, "_close", fail)
    assert keys_of([await look_up(row(sqlite, "a"))]) == [["a"]]
    monkeypatch.undo()
    assert connected[0].connection is None
    raw[0].close()


async def test_close_ends_everything_and_the_next_lookup_starts_anew(
    alias: str, connected: Any, outside_tests: None
) -> None:
    """For the teardown of tests, as often as one likes."""
    await look_up(row(alias, "a"))
    await asyncio.to_thread(close)
    assert reading_threads() == []
    assert {connection.connection for connection in connected} == {None}
    await asyncio.to_thread(close)
    assert keys_of([await look_up(row(alias, "a"))]) == [["a"]]


async def test_close_does_not_wait_for_ever(sqlite: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread in the middle of a query is waited for, but not long; its answer arrives all the same."""
    monkeypatch.setattr(reading, "CLOSE_TIMEOUT", 0.01)
    gate.is_open = False
    lookup = asyncio.create_task(look_up(row(sqlite, "a")))
    await gate.arrival()
    await asyncio.to_thread(close)
    assert len(reading_threads()) == 1
    gate.permits.release()
    assert keys_of(await settle(lookup)) == [["a"]]


async def test_deadline_after_close_is_harmless(sqlite: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that nobody knows any more is nobody's to abandon."""
    monkeypatch.setattr(reading, "CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr(batches, "DEADLINE", 0.1)
    gate.is_open = False
    lookup = asyncio.create_task(look_up(row(sqlite, "a")))
    await gate.arrival()
    await asyncio.to_thread(close)
    (error,) = await settle(lookup)
    assert isinstance(error, TemporarilyUnavailableError)


async def test_thread_stuck_with_closing_is_replaced(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that takes nothing from its queue is stuck, whatever it is that it does."""
    closing, go_on = threading.Event(), threading.Event()
    original = reading._close_connections

    def get_stuck() -> None:
        if threading.current_thread() is stuck and reading._readers[sqlite].batch is None:
            closing.set()
            assert go_on.wait(PATIENCE)
        original()

    monkeypatch.setattr(reading, "IDLE_TIMEOUT", 0.2)
    await look_up(row(sqlite, "a"))
    (stuck,) = reading_threads()
    monkeypatch.setattr(reading, "_close_connections", get_stuck)
    monkeypatch.setattr(batches, "DEADLINE", 0.05)
    assert await asyncio.to_thread(closing.wait, PATIENCE)
    (error,) = await settle(look_up(row(sqlite, "b")))
    assert isinstance(error, TemporarilyUnavailableError)
    monkeypatch.setattr(batches, "DEADLINE", PATIENCE)
    assert keys_of([await look_up(row(sqlite, "b"))]) == [["b"]]
    go_on.set()
    await asyncio.to_thread(stuck.join, PATIENCE)
    assert reading._readers[sqlite].abandoned == set()


async def test_lookup_is_refused_where_no_thread_can_start(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a thread that will not come."""

    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookup = look_up(row(sqlite, "a"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        (error,) = await settle(batches.join(row(sqlite, "a")))
    assert isinstance(error, TemporarilyUnavailableError)
    assert keys_of([await lookup]) == [["a"]]


async def test_batch_queued_while_a_thread_ends_is_served(
    sqlite: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between the last look at the queue and the end of the thread loses nothing."""
    queued = threading.Event()
    closing = threading.Event()
    original = reading._close_connections

    def hesitate() -> None:
        original()
        if not closing.is_set() and reading._readers[sqlite].batch is None:
            closing.set()
            assert queued.wait(PATIENCE)

    monkeypatch.setattr(reading, "_close_connections", hesitate)
    monkeypatch.setattr(reading, "IDLE_TIMEOUT", 0.01)
    await look_up(row(sqlite, "a"))
    assert await asyncio.to_thread(closing.wait, PATIENCE)
    lookup = asyncio.create_task(look_up(row(sqlite, "b")))
    while len(batches._collectors) == 0:
        await asyncio.sleep(0)
    queued.set()
    assert keys_of(await settle(lookup)) == [["b"]]


def test_names_and_representations_show_no_key(sqlite: str, gate: Gate) -> None:
    """What a debugger or an error page lists of threads and batches holds no token."""
    shown: list[str] = []

    async def look() -> None:
        await look_up(row(sqlite, "s3cret"))

    def note() -> None:
        batch = reading._readers[sqlite].batch
        assert batch is not None
        shown.extend([repr(batch.keys), *(thread.name for thread in threading.enumerate())])

    gate.before = note
    asyncio.run(look())
    assert shown
    assert "s3cret" not in "".join(shown)


def test_forked_child_starts_anew(sqlite: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process forked while a query is out has neither the thread nor the lock that it may have held."""
    gate.is_open = False
    loop = asyncio.new_event_loop()
    lookup = loop.create_task(look_up(row(sqlite, "a")))
    loop.run_until_complete(gate.arrival())
    with reading._lock:
        child = _fork()
    if child == 0:
        gate.is_open = True
        status = 1
        try:
            found = asyncio.run(look_up(row(sqlite, "b")))
            status = 0 if keys_of([found]) == [["b"]] and len(reading_threads()) == 1 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.permits.release()
    assert keys_of([loop.run_until_complete(lookup)]) == [["a"]]
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _fork() -> int:
    import warnings

    with warnings.catch_warnings():
        # What Python warns of is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
