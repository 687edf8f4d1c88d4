"""The reading threads: what becomes of them and of their connections."""

import asyncio
import functools
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
from tests.rows.conftest import (
    PATIENCE,
    Gate,
    keys_of,
    look_up,
    look_up_alone,
    make_tokens,
    reading_threads,
    row,
    settle,
    turn,
)
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
    """R132: without a pool, a connection serves many batches, and ends with its thread after a while without any."""
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
    """R132: also after an error: a pool of one would otherwise be empty."""
    pooled = open_database("postgres-pool")
    pool = connections[pooled].pool
    await settle(look_up_alone(row(pooled, ["no", "key"], model=TenantToken, group=None)))
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
    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.sqlite3.base.DatabaseWrapper.is_in_memory_db", lambda self: True)
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


async def test_stalled_process_keeps_one_thread_and_loses_no_answer(
    sqlite: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that a deadline found idle, though it was only the process that stood still, hands on what it takes."""
    taken, go_on = threading.Event(), threading.Event()
    stalled: list[threading.Thread] = []
    original = reading._Reader.read

    def stall(self: Any, batch: Any) -> bool:
        if not stalled:
            stalled.append(threading.current_thread())
            taken.set()
            assert go_on.wait(PATIENCE)
        return original(self, batch)

    monkeypatch.setattr(reading._Reader, "read", stall)
    lookup = asyncio.create_task(look_up(row(sqlite, "b")))
    assert await asyncio.to_thread(taken.wait, PATIENCE)
    # As where the deadline of another group finds no batch in hand.
    other = reading.Batch(row(sqlite, "x").queryset, "access_token", sqlite, [], asyncio.get_running_loop(), list)
    assert reading.abandon(other)
    go_on.set()
    assert keys_of(await settle(lookup)) == [["b"]]
    await asyncio.to_thread(stalled[0].join, PATIENCE)
    (thread,) = reading_threads()
    reader = reading._readers[sqlite]
    assert reader.thread is thread
    assert reader.abandoned == set()
    assert gate.batches == [["b"]]


async def test_stalled_thread_hands_on_that_the_reading_ends(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `close` says is for the thread that serves the queue, whoever hears it."""
    await look_up(row(sqlite, "a"))
    reader = reading._readers[sqlite]
    (stalled,) = reading_threads()
    with reading._lock:
        reader.leave_thread_behind(stalled)
        (serving,) = set(reading_threads()) - {stalled}
    assert reader.read(None) is False
    await asyncio.to_thread(stalled.join, PATIENCE)
    await asyncio.to_thread(serving.join, PATIENCE)
    assert reader.queue.empty()
    assert reader.thread is None


async def test_late_answer_after_close_ends_no_other_deadline(
    sqlite: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers of a batch that was given up are dropped, also where its thread was no longer known."""
    monkeypatch.setattr(reading, "CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr(batches, "DEADLINE", 0.05)
    gate.is_open = False
    lookup = asyncio.create_task(look_up(row(sqlite, "a")))
    await gate.arrival()
    (late,) = reading_threads()
    await asyncio.to_thread(close)
    waiting = asyncio.create_task(look_up(row(sqlite, "b")))
    (error,) = await settle(lookup)
    assert isinstance(error, TemporarilyUnavailableError)
    await gate.arrival()
    (collector,) = [one for one in batches._collectors.values() if one.loop is asyncio.get_running_loop()]
    collector.deadline.cancel()
    gate.permits.release()
    await asyncio.to_thread(late.join, PATIENCE)
    await turn()
    assert collector.is_out
    gate.permits.release()
    assert keys_of(await settle(waiting)) == [["b"]]


@pytest.mark.parametrize("place", ["failure_of", "_is_not_to_be_kept"])
async def test_thread_that_dies_answers_first(
    sqlite: str, gate: Gate, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Whatever ends the thread, its waiters are told at once, nothing is printed, and the next lookup starts anew."""

    def fail() -> None:
        raise SystemExit

    def die(*_: Any) -> None:
        raise MemoryError

    if place == "failure_of":
        gate.before = fail
    monkeypatch.setattr(reading, place, die)
    (error,) = await settle(look_up(row(sqlite, "a")))
    assert type(error) is RuntimeError
    monkeypatch.undo()
    assert keys_of([await look_up(row(sqlite, "a"))]) == [["a"]]


async def test_thread_that_dies_while_closing_is_forgotten(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that fails in its own way when a connection is closed leaves no dead thread in the way."""
    monkeypatch.setattr(reading, "IDLE_TIMEOUT", 0.01)
    await look_up(row(sqlite, "a"))
    (thread,) = reading_threads()

    def fail(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(type(connections), "all", fail)
        await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()
    assert reading._readers[sqlite].thread is None
    assert keys_of([await look_up(row(sqlite, "b"))]) == [["b"]]


async def both_ways(alias: str) -> list[Any]:
    return await settle(look_up(row(alias, "a-key")), look_up_alone(row(alias, "a-key", group=None)))


def test_pool_without_a_free_connection_is_an_outage(
    open_database: Any, outside_tests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot get a connection is told to come back, and is served when there is one."""
    pooled = open_database("postgres-pool")
    make_tokens(pooled, "a-key")
    connections[pooled].close()
    pool = connections[pooled].pool
    pool.resize(1, 2)
    monkeypatch.setattr(pool, "timeout", 0.05)
    taken = [pool.getconn(timeout=PATIENCE) for _ in range(pool.max_size)]
    errors = asyncio.run(both_ways(pooled))
    for connection in taken:
        pool.putconn(connection)
    assert [type(error) for error in errors] == [TemporarilyUnavailableError] * 2
    assert keys_of(asyncio.run(both_ways(pooled))) == [["a-key"], ["a-key"]]


def test_server_without_a_free_connection_is_an_outage(
    open_database: Any, outside_tests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """See the pool's: "remaining connection slots are reserved" and "too many clients already"."""
    alias = open_database("postgres")
    make_tokens(alias, "a-key")
    driver: Any = type(connections[alias]).Database

    def refuse(*args: Any, **options: Any) -> Any:
        raise driver.OperationalError("FATAL: sorry, too many clients already")

    with monkeypatch.context() as patch:
        patch.setattr(driver, "connect", refuse)
        errors = asyncio.run(both_ways(alias))
    assert [type(error) for error in errors] == [TemporarilyUnavailableError] * 2
    assert [str(error.__cause__) for error in errors] == ["FATAL: sorry, too many clients already"] * 2
    assert keys_of(asyncio.run(both_ways(alias))) == [["a-key"], ["a-key"]]


def test_names_and_representations_show_no_key(sqlite: str, gate: Gate) -> None:
    """What a debugger or an error page lists of threads and batches holds no token."""
    shown: list[str] = []

    async def look() -> None:
        await look_up(row(sqlite, "s3cret"))

    def note() -> None:
        batch = reading._readers[sqlite].batch
        assert batch is not None
        shown.extend(
            [repr(batch), repr(batch.deliver), repr(batch.keys), *(thread.name for thread in threading.enumerate())]
        )

    gate.before = note
    asyncio.run(look())
    assert shown
    assert "s3cret" not in "".join(shown)


async def test_answers_on_their_way_show_no_key(sqlite: str) -> None:
    """Nor does what a loop prints of a callback that was slow or failed, and models write their tokens into theirs."""
    scheduled: list[Any] = []

    class Loop:
        def call_soon_threadsafe(self, *arguments: Any, **_: Any) -> None:
            scheduled.extend(arguments)

    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(["s3cret"])
    looked_up = row(sqlite, "s3cret")
    waiters = [batches._Waiter(looked_up, future)]
    collector = batches._Collector(asyncio.get_running_loop(), sqlite)
    deliver = functools.partial(collector.deliver, waiters)
    loop: Any = Loop()
    batch = reading.Batch(looked_up.queryset, "access_token", sqlite, [looked_up.key], loop, deliver)
    answers: Any = [["s3cret"]]
    reading._Reader(sqlite).finish(batch, answers)
    assert scheduled[1].reveal() is answers
    assert "s3cret" not in repr([scheduled, batch])


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
