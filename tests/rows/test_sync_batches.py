"""Lookups of sync views under ASGI: which of them use the reading thread, who shares a query, and who is woken."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, ProgrammingError, connections, transaction
from django.db.models import QuerySet

from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime import workers
from async_oauth_guard.runtime.database import batching, sync_batching, threads
from async_oauth_guard.runtime.database.lookup import close, read_rows
from async_oauth_guard.runtime.effects import Row
from tests.rows.conftest import (
    PATIENCE,
    ConcurrencyLimit,
    keys_of,
    look_up,
    make_tokens,
    reading_threads,
    row,
    settle,
    turn,
)
from tests.site.models import OAuth2Token, tenant


@pytest.fixture(autouse=True)
def _tokens(request: pytest.FixtureRequest) -> None:
    name = "alias" if "alias" in request.fixturenames else "sqlite"
    make_tokens(request.getfixturevalue(name), *"abcdefgh")
    connections.close_all()


async def in_view(function: Callable[[], Any]) -> Any:
    """What ``function`` returns in a sync view under an ASGI server, which then closes the view's connections."""

    def view() -> Any:
        try:
            return function()
        finally:
            connections.close_all()

    async with ThreadSensitiveContext():
        return await sync_to_async(view, thread_sensitive=True)()


def start(alias: str, keys: str, **options: Any) -> list[asyncio.Task[list[Any]]]:
    """A sync view for each key, which looks it up."""
    lookups = [row(alias, key, **options) for key in keys]
    return [asyncio.create_task(in_view(lambda lookup=lookup: read_rows(lookup))) for lookup in lookups]


async def joined(alias: str, count: int) -> None:
    """Return when ``count`` lookups of sync views wait for the reading thread."""
    async with asyncio.timeout(PATIENCE):
        while sync_batching._collectors[alias].waiting != count:
            await asyncio.sleep(0.001)


async def test_sync_view_reads_on_the_shared_thread(alias: str, gate: ConcurrencyLimit) -> None:
    """On every database, a sync view gets its row and the related rows without a connection of its own."""

    def view() -> tuple[list[Any], bool]:
        return read_rows(row(alias, "b")), alias in {one.alias for one in connections.all(initialized_only=True)}

    (found,), is_connected = await in_view(view)
    assert (found.access_token, found.user.username, is_connected) == ("b", "alice", False)
    assert keys_of(await settle(*start(alias, "x"), *start(alias, "A"))) == [[], []]
    assert sorted(key for keys in gate.batches for key in keys) == ["A", "b", "x"]


async def test_lookups_that_arrive_meanwhile_share_the_next_query(sqlite: str, gate: ConcurrencyLimit) -> None:
    """The first lookup is sent at once. Those that arrive while its query runs share the next one."""
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    others = start(sqlite, "bcxb")
    await joined(sqlite, 4)
    gate.permits.release(2)
    assert keys_of(await settle(*first, *others)) == [["a"], ["b"], ["c"], [], ["b"]]
    assert [sorted(keys) for keys in gate.batches] == [["a"], ["b", "b", "c", "x"]]


async def test_lookup_never_joins_a_query_already_sent(sqlite: str, gate: ConcurrencyLimit) -> None:
    """A token that is revoked while a query for it runs is seen as revoked by later requests."""
    gate.is_open = False
    before = start(sqlite, "a")
    await gate.arrival()
    await asyncio.to_thread(revoke, sqlite, "a")
    after = start(sqlite, "a")
    await joined(sqlite, 1)
    gate.permits.release(2)
    await settle(*before)
    ((found,),) = await settle(*after)
    assert found.revoked
    assert gate.batches == [["a"], ["a"]]


def revoke(alias: str, key: str) -> None:
    OAuth2Token.objects.using(alias).filter(access_token=key).update(revoked=True)
    connections.close_all()


async def test_each_request_has_its_own_instances(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Requests with the same token get separate tokens and users."""
    gate.is_open = False
    first = start(sqlite, "h")
    await gate.arrival()
    lookups = start(sqlite, "aaab")
    await joined(sqlite, 4)
    gate.permits.release(2)
    found = [rows[0] for rows in await settle(*first, *lookups)]
    assert len({id(token) for token in found}) == 5
    assert len({id(token.user) for token in found}) == 5


@pytest.fixture
def replica(sqlite: str) -> Iterator[str]:
    """A second alias of the same database."""
    connections.databases["rows-replica"] = connections.databases[sqlite]
    yield "rows-replica"
    close()
    del connections.databases["rows-replica"]


async def test_different_groups_and_databases_never_share(sqlite: str, replica: str, gate: ConcurrencyLimit) -> None:
    """Two validators, or one validator on two databases, send separate queries."""
    gate.is_open = False
    first = [*start(sqlite, "h", group="one"), *start(replica, "h", group="one")]
    await gate.arrival()
    await gate.arrival()
    lookups = [*start(sqlite, "ab", group="one"), *start(sqlite, "a", group="two"), *start(replica, "a", group="one")]
    await joined(sqlite, 3)
    await joined(replica, 1)
    gate.permits.release(5)
    answers = await settle(*first, *lookups)
    assert sorted(sorted(keys) for keys in gate.batches) == [["a"], ["a"], ["a", "b"], ["h"], ["h"]]
    assert [found._state.db for (found,) in answers] == [sqlite, replica, sqlite, sqlite, sqlite, replica]


async def test_sync_and_async_views_share_the_thread(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Both kinds of views are served by one reading thread, in turn."""
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    second = asyncio.create_task(look_up(row(sqlite, "b")))
    await turn()
    third = start(sqlite, "c")
    await joined(sqlite, 1)
    assert len(reading_threads()) == 1
    gate.permits.release(3)
    assert keys_of(await settle(*first, second, *third)) == [["a"], ["b"], ["c"]]
    assert gate.batches == [["a"], ["b"], ["c"]]


async def test_blocked_event_loop_delays_no_sync_view(sqlite: str) -> None:
    """The reading thread wakes the view's thread itself."""
    done = threading.Event()

    def view() -> list[Any]:
        rows = read_rows(row(sqlite, "a"))
        done.set()
        return rows

    lookup = asyncio.create_task(in_view(view))
    await turn()
    # This blocks the event loop until the lookup is done.
    assert done.wait(PATIENCE)
    assert keys_of(await settle(lookup)) == [["a"]]


async def test_no_query_has_too_many_keys(sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups beyond `MAX_KEYS` go into a further query."""
    monkeypatch.setattr(batching, "MAX_KEYS", 3)
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    others = start(sqlite, "bcdefg")
    await joined(sqlite, 6)
    gate.permits.release(3)
    assert keys_of(await settle(*first, *others)) == [[key] for key in "abcdefg"]
    assert [len(keys) for keys in gate.batches] == [1, 3, 3]


async def test_nothing_is_kept_for_an_idle_group(sqlite: str) -> None:
    """After the results, no lookup is counted or referenced."""
    await settle(*start(sqlite, "abc"))
    collector = sync_batching._collectors[sqlite]
    assert (collector.open, collector.waiting) == ({}, 0)


async def test_context_variables_do_not_reach_other_requests(sqlite: str, gate: ConcurrencyLimit) -> None:
    """The shared query sees no request's context, and each request keeps its own."""
    seen = []

    def look() -> None:
        seen.append(tenant.get("nobody"))
        tenant.set("leaked")

    async def request(name: str) -> str:
        tenant.set(name)
        await in_view(lambda: read_rows(row(sqlite, "a")))
        return tenant.get()

    gate.before = look
    assert await settle(request("one"), request("two")) == ["one", "two"]
    assert set(seen) == {"nobody"}


async def test_too_many_waiters_are_refused_at_once(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of waiting lookups is limited. Further lookups get 503 at once."""
    monkeypatch.setattr(batching, "MAX_WAITING", 2)
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    waiting = start(sqlite, "bc")
    await joined(sqlite, 2)
    (error,) = await settle(*start(sqlite, "d"))
    assert isinstance(error, TemporarilyUnavailableError)
    gate.permits.release(2)
    assert keys_of(await settle(*first, *waiting)) == [["a"], ["b"], ["c"]]


async def test_each_waiter_gets_its_own_error(sqlite: str, gate: ConcurrencyLimit) -> None:
    """No two requests share an exception, because raising it adds to its traceback."""
    gate.is_open = False
    first = start(sqlite, "h")
    await gate.arrival()
    lookups = start(sqlite, "abc")
    await joined(sqlite, 3)

    def fail() -> None:
        raise SystemExit

    gate.before = fail
    gate.permits.release(2)
    errors = await settle(*first, *lookups)
    assert [type(error) for error in errors] == [RuntimeError] * 4
    assert len({id(error) for error in errors}) == 4


async def test_thread_that_dies_wakes_the_waiters(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the reading thread, its waiters get an error at once, and the next lookup works."""

    def die(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(threads, "_is_kept", die)
        (error,) = await settle(*start(sqlite, "a"))
    assert type(error) is RuntimeError
    assert keys_of(await settle(*start(sqlite, "a"))) == [["a"]]


async def test_stuck_query_is_abandoned_at_its_deadline(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its waiters get 503, later lookups use a new thread, and the late results are dropped."""
    monkeypatch.setattr(batching, "DEADLINE", 0.5)
    gate.is_open = False
    stuck = start(sqlite, "a")
    await gate.arrival()
    (abandoned,) = reading_threads()
    gate.is_open = True
    behind = start(sqlite, "b")
    (error,) = await settle(*stuck)
    assert isinstance(error, TemporarilyUnavailableError)
    assert (error.reason, error.retry_after) == (Reason.DATABASE_UNAVAILABLE, 1)
    assert keys_of(await settle(*behind)) == [["b"]]
    gate.permits.release()
    await asyncio.to_thread(abandoned.join, PATIENCE)
    assert threads._pools[sqlite].abandoned == set()
    assert keys_of(await settle(*start(sqlite, "a"))) == [["a"]]


@pytest.mark.parametrize(("taken", "deadline"), [(4.0, 14.0), (12.0, 20.0)])
def test_no_lookup_waits_for_more_than_two_deadlines(
    taken: float, deadline: float, sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query has a whole deadline of its own, unless its lookups have waited for more than one before it was sent."""
    now = 0.0
    monkeypatch.setattr(sync_batching, "time", SimpleNamespace(monotonic=lambda: now))
    lookup = row(sqlite, "a")
    batch = sync_batching._Batch(lookup.queryset, lookup.field, sqlite, [], "group", sync_batching._Collector())
    assert batch.deadline == 20.0
    now = taken
    assert batch.perform() == []
    assert batch.deadline == deadline


async def test_query_that_is_never_sent_is_abandoned_too(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its waiters get 503, nobody can join it any more, and the reading thread is not to blame."""
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    monkeypatch.setattr(batching, "DEADLINE", 0.1)
    errors = await settle(*start(sqlite, "bcd"))
    assert [type(error) for error in errors] == [TemporarilyUnavailableError] * 3
    assert len({id(error) for error in errors}) == 3
    assert threads._pools[sqlite].abandoned == set()
    collector = sync_batching._collectors[sqlite]
    assert (collector.open, collector.waiting) == ({}, 0)
    gate.is_open = True
    gate.permits.release()
    monkeypatch.setattr(batching, "DEADLINE", PATIENCE)
    assert keys_of(await settle(*first, *start(sqlite, "e"))) == [["a"], ["e"]]
    assert gate.batches == [["a"], ["e"]]


async def test_results_that_arrive_at_the_deadline_count(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the results are there when the deadline is noticed, the lookup gets them."""
    monkeypatch.setattr(batching, "DEADLINE", 0.0)
    abandon = threads.abandon

    def abandon_late(query: threads.Query) -> bool:
        while not query.is_over:
            assert not threading.Event().wait(0.001)
        return abandon(query)

    monkeypatch.setattr(threads, "abandon", abandon_late)
    assert keys_of(await settle(*start(sqlite, "a"))) == [["a"]]


async def test_with_enough_stuck_threads_lookups_are_refused_at_once(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further thread is started for a database that responds to nobody."""
    monkeypatch.setattr(threads, "MAX_ABANDONED", 1)
    monkeypatch.setattr(batching, "DEADLINE", 0.05)
    close()
    gate.is_open = False
    (error,) = await settle(*start(sqlite, "a"))
    assert isinstance(error, TemporarilyUnavailableError)
    (stuck,) = reading_threads()
    monkeypatch.setattr(batching, "DEADLINE", PATIENCE)
    (error,) = await settle(*start(sqlite, "b"))
    assert isinstance(error, TemporarilyUnavailableError)
    assert gate.batches == [["a"]]
    gate.is_open = True
    gate.permits.release()
    await asyncio.to_thread(stuck.join, PATIENCE)
    assert keys_of(await settle(*start(sqlite, "c"))) == [["c"]]


async def test_close_ends_everything_and_the_next_lookup_starts_anew(alias: str, outside_tests: None) -> None:
    """After `close`, no thread and no connection is left. The next lookup starts a new thread."""
    for _ in range(2):
        assert keys_of(await settle(*start(alias, "a"))) == [["a"]]
        await asyncio.to_thread(close)
        assert reading_threads() == []


async def test_lookup_during_close_gets_its_rows(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in the middle of a query serves the queued lookups before it ends."""
    monkeypatch.setattr(workers, "CLOSE_TIMEOUT", 0.01)
    gate.is_open = False
    lookups = start(sqlite, "a")
    await gate.arrival()
    lookups += start(sqlite, "b")
    await joined(sqlite, 1)
    await asyncio.to_thread(close)
    gate.permits.release(2)
    assert keys_of(await settle(*lookups)) == [["a"], ["b"]]


async def test_view_with_an_open_connection_uses_it(alias: str, gate: ConcurrencyLimit) -> None:
    """An open connection may hold settings or locks, and it is cheap."""

    def view() -> list[Any]:
        connections[alias].ensure_connection()
        return read_rows(row(alias, "a"))

    assert keys_of([await in_view(view)]) == [["a"]]
    assert gate.batches == []


async def test_view_inside_atomic_sees_its_own_rows(alias: str, gate: ConcurrencyLimit) -> None:
    """A row that only the view's transaction contains is found."""

    def view() -> list[Any]:
        with transaction.atomic(using=alias):
            make_tokens(alias, "uncommitted")
            return read_rows(row(alias, "uncommitted"))

    assert keys_of([await in_view(view)]) == [["uncommitted"]]
    assert gate.batches == []


async def test_view_whose_transaction_broke_gets_no_rows(sqlite: str, gate: ConcurrencyLimit) -> None:
    """If the connection was closed inside `atomic`, Django's own error is raised, not the shared thread's rows."""

    def view() -> list[Any]:
        with transaction.atomic(using=sqlite):
            connections[sqlite].close()
            return read_rows(row(sqlite, "a"))

    (error,) = await settle(in_view(view))
    assert isinstance(error, ProgrammingError)
    assert gate.batches == []


async def test_view_whose_transaction_lost_its_connection_uses_its_own(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Inside `atomic`, the lookup is never shared, even if a database backend has dropped the connection object."""

    def view() -> list[Any]:
        connection = connections[sqlite]
        with transaction.atomic(using=sqlite):
            connection.connection, kept = None, connection.connection
            try:
                return read_rows(row(sqlite, "a"))
            finally:
                connection.connection.close()
                connection.connection = kept

    await settle(in_view(view))
    assert gate.batches == []


async def test_connection_of_another_database_does_not_matter(
    sqlite: str, replica: str, gate: ConcurrencyLimit
) -> None:
    """Only the connection of the database that is queried is kept for the view."""

    def view() -> list[Any]:
        connections[replica].ensure_connection()
        return read_rows(row(sqlite, "a"))

    assert keys_of([await in_view(view)]) == [["a"]]
    assert gate.batches == [["a"]]


async def test_closed_connection_does_not_matter(sqlite: str, gate: ConcurrencyLimit) -> None:
    """A connection that a middleware opened and closed holds nothing."""

    def view() -> list[Any]:
        connections[sqlite].ensure_connection()
        connections[sqlite].close()
        return read_rows(row(sqlite, "a"))

    assert keys_of([await in_view(view)]) == [["a"]]
    assert gate.batches == [["a"]]


def test_thread_outside_asgi_uses_its_own_connection(sqlite: str, gate: ConcurrencyLimit) -> None:
    """WSGI, commands and test clients have no context of an ASGI request."""
    assert keys_of([read_rows(row(sqlite, "a"))]) == [["a"]]
    assert gate.batches == []


@pytest.mark.parametrize("lookup", [{"group": None, "key": "a"}, {"group": "group", "key": ["a"]}])
async def test_lookup_that_may_not_be_shared_uses_its_own_connection(
    sqlite: str, gate: ConcurrencyLimit, lookup: dict[str, Any]
) -> None:
    """Without a group, or with a key that cannot be hashed, the view's thread queries."""
    await in_view(lambda: read_rows(row(sqlite, **lookup)))
    assert gate.batches == []


async def test_sync_code_on_the_event_loop_is_refused(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Waiting would block the event loop, so Django's error is raised, as for every query."""
    async with ThreadSensitiveContext():
        with pytest.raises(SynchronousOnlyOperation):
            read_rows(row(sqlite, "a"))
    assert gate.batches == []


@pytest.mark.parametrize("name", [":memory:", "file:rows?mode=memory&cache=shared"])
async def test_database_in_memory_is_read_by_the_views_thread(name: str, sqlite: str, gate: ConcurrencyLimit) -> None:
    """The reading thread's connection could be to another, empty database."""
    connections.databases["rows-memory"] = connections.databases[sqlite] | {"NAME": name}

    def view() -> list[Any]:
        try:
            return read_rows(row("rows-memory", "a"))
        finally:
            # Django keeps connections to databases in memory open.
            workers.close_connections()

    # The new database has no tables.
    (error,) = await settle(in_view(view))
    assert isinstance(error, TemporarilyUnavailableError)
    del connections.databases["rows-memory"]
    assert gate.batches == []


class Router:
    """Chooses the database from the request's context, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def db_for_read(self, model: type, **hints: Any) -> Any:
        self.calls += 1
        chosen = tenant.get("nowhere")
        if isinstance(chosen, BaseException):
            raise chosen
        return chosen


def routed() -> Row:
    return Row(QuerySet(OAuth2Token), "access_token", Secret("a"), "group")


async def test_database_is_chosen_by_the_request(sqlite: str, settings: Any, gate: ConcurrencyLimit) -> None:
    """A router runs once, in the request's context and on its thread."""
    router = Router()
    settings.DATABASE_ROUTERS = [router]
    tenant.set(sqlite)
    assert keys_of([await in_view(lambda: read_rows(routed()))]) == [["a"]]
    assert gate.batches == [["a"]]
    assert router.calls == 1


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(StopIteration("a"), RuntimeError), (OperationalError("a"), TemporarilyUnavailableError)],
    ids=["bug", "outage"],
)
async def test_error_of_a_router_reaches_the_view(
    raised: Any, expected: type[Exception], settings: Any, gate: ConcurrencyLimit
) -> None:
    """An outage of the router's own database is 503, and a bug stays a bug. Both are new exceptions."""
    settings.DATABASE_ROUTERS = [Router()]
    tenant.set(raised)
    (error,) = await settle(in_view(lambda: read_rows(routed())))
    assert type(error) is expected
    assert gate.batches == []


async def test_unknown_database_is_a_bug_at_once(sqlite: str, gate: ConcurrencyLimit) -> None:
    """No view waits for a database that does not exist."""
    (error,) = await settle(*start("nope", "a"))
    assert type(error) is connections.exception_class
    sync_batching._collectors.pop("nope")


def test_forked_child_starts_anew(sqlite: str, gate: ConcurrencyLimit) -> None:
    """A process that is forked while lookups wait has none of them, and none of the locks."""
    gate.is_open = False
    loop = asyncio.new_event_loop()

    async def begin() -> list[asyncio.Task[list[Any]]]:
        lookups = start(sqlite, "a")
        await gate.arrival()
        lookups += start(sqlite, "b")
        await joined(sqlite, 1)
        return lookups

    lookups = loop.run_until_complete(begin())
    with sync_batching._collectors[sqlite].lock:
        child = _fork()
    if child == 0:
        gate.is_open = True
        status = 1
        try:
            status = 0 if keys_of([asyncio.run(in_view(lambda: read_rows(row(sqlite, "c"))))]) == [["c"]] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.permits.release(2)
    assert keys_of(loop.run_until_complete(settle(*lookups))) == [["a"], ["b"]]
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _fork() -> int:
    import warnings

    with warnings.catch_warnings():
        # Python warns of forks in processes with several threads. This is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
