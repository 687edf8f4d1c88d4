"""The reading threads: what becomes of them and of their connections."""

import asyncio
import functools
import os
import queue
import sqlite3
import threading
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from async_oauth_guard.errors import TemporarilyUnavailableError
from async_oauth_guard.runtime import workers
from async_oauth_guard.runtime.database import batching, threads
from async_oauth_guard.runtime.database.lookup import close
from async_oauth_guard.runtime.workers import WorkerPool
from tests.rows.conftest import (
    PATIENCE,
    ConcurrencyLimit,
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
        if threading.current_thread().name.startswith("async_oauth_guard reads "):
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
    """R132: without a pool, a connection serves many batching, and ends with its thread after a while without any."""
    for _ in range(3):
        await look_up(row(sqlite, "a"))
    (connection,) = connected
    assert connection.connection is not None
    (thread,) = reading_threads()
    monkeypatch.setattr(workers, "IDLE_TIMEOUT", 0.01)
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
    """The rows match the query."""
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


async def test_close_does_not_wait_for_ever(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in the middle of a query is waited for, but not long; its answer arrives all the same."""
    monkeypatch.setattr(workers, "CLOSE_TIMEOUT", 0.01)
    gate.is_open = False
    lookup = asyncio.create_task(look_up(row(sqlite, "a")))
    await gate.arrival()
    await asyncio.to_thread(close)
    assert len(reading_threads()) == 1
    gate.permits.release()
    assert keys_of(await settle(lookup)) == [["a"]]


async def test_deadline_after_close_is_harmless(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that nobody knows any more is nobody's to abandon."""
    monkeypatch.setattr(workers, "CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr(batching, "DEADLINE", 0.1)
    gate.is_open = False
    lookup = asyncio.create_task(look_up(row(sqlite, "a")))
    await gate.arrival()
    await asyncio.to_thread(close)
    (error,) = await settle(lookup)
    assert isinstance(error, TemporarilyUnavailableError)


async def test_thread_stuck_with_closing_is_replaced(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that closes its connection counts as stuck, and another one serves the next lookup at once."""
    closing, go_on = threading.Event(), threading.Event()
    original = workers.close_connections

    def get_stuck() -> None:
        if threading.current_thread() is stuck:
            closing.set()
            assert go_on.wait(PATIENCE)
        original()

    monkeypatch.setattr(workers, "IDLE_TIMEOUT", 0.2)
    await look_up(row(sqlite, "a"))
    (stuck,) = reading_threads()
    monkeypatch.setattr(workers, "close_connections", get_stuck)
    assert await asyncio.to_thread(closing.wait, PATIENCE)
    assert threads._pools[sqlite].abandoned == {stuck}
    assert keys_of([await look_up(row(sqlite, "b"))]) == [["b"]]
    go_on.set()
    await asyncio.to_thread(stuck.join, PATIENCE)
    assert stuck not in threads._pools[sqlite].abandoned


async def test_lookup_is_refused_where_no_thread_can_start(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a thread that will not come."""

    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookup = look_up(row(sqlite, "a"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        (error,) = await settle(batching.join(row(sqlite, "a")))
    assert isinstance(error, TemporarilyUnavailableError)
    assert keys_of([await lookup]) == [["a"]]


class MissedQueue:
    """A queue in which the first look finds nothing, and the second one what came just after."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.is_filled = threading.Event()
        self.looks = 0

    def put(self, job: Any) -> None:
        self.jobs.put(job)
        self.is_filled.set()

    def get(self, timeout: float) -> Any:
        self.looks += 1
        if self.looks == 1:
            assert self.is_filled.wait(PATIENCE)
            raise queue.Empty
        return self.jobs.get(timeout=timeout)


async def test_batch_queued_while_a_thread_ends_is_served(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that comes just after the last look at the queue has another thread, and waits for no closing."""
    may_close = threading.Event()
    original = workers.close_connections

    def close_late() -> None:
        assert may_close.wait(PATIENCE)
        original()

    monkeypatch.setattr(workers, "close_connections", close_late)
    close()
    pool: Any = threads._pools[sqlite]
    pool.queue = MissedQueue()
    assert keys_of([await look_up(row(sqlite, "b"))]) == [["b"]]
    assert len(pool.abandoned) == 1
    may_close.set()
    await asyncio.to_thread(close)


async def test_batch_queued_while_the_last_thread_ends_is_served(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no other thread may start, it is served as soon as this one has closed its connection."""
    monkeypatch.setattr(threads, "MAX_ABANDONED", 1)
    close()
    pool: Any = threads._pools[sqlite]
    pool.queue = MissedQueue()
    assert keys_of([await look_up(row(sqlite, "b"))]) == [["b"]]
    await asyncio.to_thread(close)


async def test_overdue_batch_in_a_thread_that_stalls(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that stood still, a batch may be given up before its thread gets to see it: the thread goes on."""
    taken, go_on = threading.Event(), threading.Event()
    original = WorkerPool._work

    def stall(self: Any, thread: Any, job: Any) -> bool:
        taken.set()
        assert go_on.wait(PATIENCE)
        return original(self, thread, job)

    monkeypatch.setattr(batching, "DEADLINE", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(WorkerPool, "_work", stall)
        (error,) = await settle(look_up(row(sqlite, "a")))
        assert taken.wait(PATIENCE)
    assert isinstance(error, TemporarilyUnavailableError)
    monkeypatch.setattr(batching, "DEADLINE", PATIENCE)
    lookup = asyncio.create_task(look_up(row(sqlite, "b")))
    await turn()
    go_on.set()
    assert keys_of(await settle(lookup)) == [["b"]]
    assert gate.batches == [["b"]]
    assert len(reading_threads()) == 1
    assert threads._pools[sqlite].abandoned == set()


async def test_close_ends_the_thread_that_took_over(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is stuck while the reading ends is replaced as long as batches wait, and no longer."""
    monkeypatch.setattr(workers, "CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr(workers, "IDLE_TIMEOUT", PATIENCE)
    gate.is_open = False
    stuck = threads.Batch(row(sqlite, "a").queryset, "access_token", sqlite, [], asyncio.get_running_loop(), list)
    assert threads.submit(stuck)
    await gate.arrival()
    lookup = asyncio.create_task(look_up(row(sqlite, "b")))
    await turn()
    (abandoned,) = reading_threads()
    await asyncio.to_thread(close)
    gate.is_open = True
    assert threads.abandon(stuck)
    assert keys_of(await settle(lookup)) == [["b"]]
    for thread in set(reading_threads()) - {abandoned}:
        await asyncio.to_thread(thread.join, PATIENCE / 2)
    assert reading_threads() == [abandoned]


async def test_late_answer_after_close_ends_no_other_deadline(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers of a batch that was given up are dropped, also where its thread was no longer known."""
    monkeypatch.setattr(workers, "CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr(batching, "DEADLINE", 0.05)
    gate.is_open = False
    lookup = asyncio.create_task(look_up(row(sqlite, "a")))
    await gate.arrival()
    (late,) = reading_threads()
    await asyncio.to_thread(close)
    waiting = asyncio.create_task(look_up(row(sqlite, "b")))
    (error,) = await settle(lookup)
    assert isinstance(error, TemporarilyUnavailableError)
    await gate.arrival()
    (collector,) = [one for one in batching._collectors.values() if one.loop is asyncio.get_running_loop()]
    collector.deadline.cancel()
    gate.permits.release()
    await asyncio.to_thread(late.join, PATIENCE)
    await turn()
    assert collector.is_out
    gate.permits.release()
    assert keys_of(await settle(waiting)) == [["b"]]


@pytest.mark.parametrize("place", ["failure_of", "_is_kept"])
async def test_thread_that_dies_answers_first(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Whatever ends the thread, waiters get an error at once, nothing is printed, and the next lookup starts anew."""

    def fail() -> None:
        raise SystemExit

    def die(*_: Any) -> None:
        raise MemoryError

    if place == "failure_of":
        gate.before = fail
    monkeypatch.setattr(threads, place, die)
    (error,) = await settle(look_up(row(sqlite, "a")))
    assert type(error) is RuntimeError
    monkeypatch.undo()
    assert keys_of([await look_up(row(sqlite, "a"))]) == [["a"]]


async def test_thread_that_dies_while_closing_is_forgotten(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that fails in its own way when a connection is closed leaves no dead thread in the way."""
    monkeypatch.setattr(workers, "IDLE_TIMEOUT", 0.01)
    await look_up(row(sqlite, "a"))
    (thread,) = reading_threads()

    def fail(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(type(connections), "all", fail)
        await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()
    pool = threads._pools[sqlite]
    assert (pool.threads, pool.abandoned) == (set(), set())
    assert keys_of([await look_up(row(sqlite, "b"))]) == [["b"]]


async def both_ways(alias: str) -> list[Any]:
    return await settle(look_up(row(alias, "a-key")), look_up_alone(row(alias, "a-key", group=None)))


def test_pool_without_a_free_connection_is_an_outage(
    open_database: Any, outside_tests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup that cannot get a connection is refused with a retry time, and works when there is a connection."""
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
    assert [type(error.__cause__) for error in errors] == [OperationalError] * 2
    assert keys_of(asyncio.run(both_ways(alias))) == [["a-key"], ["a-key"]]


def test_names_and_representations_show_no_key(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a debugger or an error page lists of threads and batches holds no token."""
    shown: list[str] = []

    async def look() -> None:
        await look_up(row(sqlite, "s3cret"))

    def note() -> None:
        names = [thread.name for thread in threading.enumerate()]
        for batch in submitted:
            shown.extend([repr(batch), repr(batch.on_results), repr(batch.keys), *names])

    def keep(self: Any, batch: Any) -> bool:
        submitted.append(batch)
        return submit(self, batch)

    submitted: list[Any] = []
    submit = WorkerPool.submit
    monkeypatch.setattr(WorkerPool, "submit", keep)
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
    waiters = [batching._Waiter(looked_up, future)]
    collector = batching._Collector(asyncio.get_running_loop(), sqlite)
    deliver = functools.partial(collector.deliver, waiters)
    loop: Any = Loop()
    batch = threads.Batch(looked_up.queryset, "access_token", sqlite, [looked_up.key], loop, deliver)
    answers: Any = [["s3cret"]]
    batch.deliver(answers)
    assert scheduled[1].reveal() is answers
    assert "s3cret" not in repr([scheduled, batch])


def test_forked_child_starts_anew(sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process forked while a query is out has neither the thread nor the lock that it may have held."""
    gate.is_open = False
    loop = asyncio.new_event_loop()
    lookup = loop.create_task(look_up(row(sqlite, "a")))
    loop.run_until_complete(gate.arrival())
    with threads._pools[sqlite].lock:
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
