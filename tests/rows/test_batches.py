"""What is collected on an event loop: who shares a query, who is woken, and who is left out."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from django.db import connections

from async_oauth_guard.errors import TemporarilyUnavailableError
from async_oauth_guard.runtime.database import batching, threads
from async_oauth_guard.runtime.database.lookup import close
from tests.rows.conftest import (
    PATIENCE,
    ConcurrencyLimit,
    idle,
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
def _tokens(sqlite: str) -> None:
    make_tokens(sqlite, *"abcdefgh")


def start(alias: str, keys: str, **options: Any) -> list[asyncio.Task[list[Any]]]:
    return [asyncio.create_task(look_up(row(alias, key, **options))) for key in keys]


def revoke(alias: str, key: str) -> None:
    OAuth2Token.objects.using(alias).filter(access_token=key).update(revoked=True)
    connections.close_all()


async def test_lookups_that_arrive_meanwhile_leave_together(sqlite: str, gate: ConcurrencyLimit) -> None:
    """The first lookup leaves at once; those that come while it is out share the next query."""
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    others = start(sqlite, "bcxb")
    await turn()
    gate.permits.release(2)
    assert keys_of(await settle(*first, *others)) == [["a"], ["b"], ["c"], [], ["b"]]
    assert gate.batches == [["a"], ["b", "c", "x", "b"]]


async def test_lookup_never_joins_a_query_already_sent(sqlite: str, gate: ConcurrencyLimit) -> None:
    """A token revoked while a query for it is out is seen as revoked by who asks afterwards."""
    gate.is_open = False
    before = start(sqlite, "a")
    await gate.arrival()
    after = start(sqlite, "a")
    await turn()
    gate.permits.release()
    ((found,),) = await settle(*before)
    await gate.arrival()
    await asyncio.to_thread(revoke, sqlite, "a")
    gate.permits.release()
    ((found_after,),) = await settle(*after)
    assert (found.revoked, found_after.revoked) == (False, True)


async def test_each_request_has_its_own_instances(sqlite: str, gate: ConcurrencyLimit) -> None:
    """What one request does to its token, or to the token's user, no other sees."""
    gate.is_open = False
    start(sqlite, "h")
    await gate.arrival()
    lookups = start(sqlite, "aaab")
    await turn()
    gate.permits.release(2)
    found = [rows[0] for rows in await settle(*lookups)]
    assert len({id(token) for token in found}) == 4
    assert len({id(token.user) for token in found}) == 4
    assert [token.user.username for token in found] == ["alice"] * 4
    assert {token._state.db for token in found} == {sqlite}


async def test_prefetched_instances_are_not_shared(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Django prefetches one instance for many rows; each request gets its own all the same."""
    gate.is_open = False
    start(sqlite, "h")
    await gate.arrival()
    lookups = [row(sqlite, key) for key in "ab"]
    lookups = [type(one)(one.queryset.prefetch_related("user"), one.field, one.key, one.group) for one in lookups]
    lookups = [type(one)(one.queryset.select_related(None), one.field, one.key, one.group) for one in lookups]
    tasks = [asyncio.create_task(look_up(one)) for one in lookups]
    await turn()
    gate.permits.release(2)
    (first,), (second,) = await settle(*tasks)
    assert first.user is not second.user
    assert gate.batches == [["h"], ["a", "b"]]


async def test_rows_that_cannot_be_copied_are_read_once_more(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: Any
) -> None:
    """A model that does not support pickling costs a query for each request, and works."""

    def refuse(self: Any) -> None:
        raise TypeError("no copies")

    monkeypatch.setattr(OAuth2Token, "__reduce__", refuse)
    gate.is_open = False
    start(sqlite, "h")
    await gate.arrival()
    lookups = start(sqlite, "aa")
    await turn()
    gate.permits.release(2)
    (first,), (second,) = await settle(*lookups)
    assert first is not second
    assert first == second


@pytest.fixture
def replica(sqlite: str) -> Iterator[str]:
    """A second alias of the same database."""
    connections.databases["rows-replica"] = connections.databases[sqlite]
    yield "rows-replica"
    close()
    del connections.databases["rows-replica"]


async def test_different_groups_and_databases_never_share(sqlite: str, replica: str, gate: ConcurrencyLimit) -> None:
    """Two validators, or one on two databases, send a query each."""
    gate.is_open = False
    lookups = [*start(sqlite, "a", group="one"), *start(sqlite, "a", group="two"), *start(replica, "a", group="one")]
    await gate.arrival()
    await gate.arrival()
    assert gate.batches == [["a"], ["a"]]
    gate.permits.release(3)
    answers = await settle(*lookups)
    assert gate.batches == [["a"], ["a"], ["a"]]
    assert [found._state.db for (found,) in answers] == [sqlite, sqlite, replica]


async def test_full_batches_leave_without_a_pause(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No query has more than MAX_KEYS lookups, and a full one waits for nobody."""
    monkeypatch.setattr(batching, "MAX_KEYS", 3)
    monkeypatch.setattr(batching, "PAUSE", 10**9)
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    others = start(sqlite, "bcdefg")
    await turn()
    gate.permits.release(3)
    assert keys_of(await settle(*first, *others)) == [[key] for key in "abcdefg"]
    assert gate.batches == [["a"], ["b", "c", "d"], ["e", "f", "g"]]


async def test_pause_is_counted_in_turns_of_the_loop(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a batch, what arrives within the next turns leaves together."""
    monkeypatch.setattr(batching, "PAUSE", 50)
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    second = start(sqlite, "b")
    await turn()
    gate.permits.release(3)
    await settle(*first)
    third = start(sqlite, "c")
    await settle(*second, *third)
    assert gate.batches == [["a"], ["b", "c"]]


async def test_nothing_is_kept_for_an_idle_group(sqlite: str, gate: ConcurrencyLimit) -> None:
    """A lookup that was alone leaves nothing behind; one of many, a pause of a few turns."""
    await settle(*start(sqlite, "a"))
    await idle()
    gate.is_open = False
    lookups = start(sqlite, "abc")
    await gate.arrival()
    gate.permits.release(2)
    await settle(*lookups)
    await idle()


async def test_cancelled_request_takes_nobody_with_it(sqlite: str, gate: ConcurrencyLimit) -> None:
    """A client that goes away while its query is out, or before it is sent, disturbs no other."""
    gate.is_open = False
    out = start(sqlite, "a")
    await gate.arrival()
    gone, stays = start(sqlite, "bc")
    await turn()
    gone.cancel()
    out[0].cancel()
    await turn()
    gate.permits.release(2)
    answers = await settle(*out, gone, stays)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, asyncio.CancelledError, list]
    assert gate.batches == [["a"], ["c"]]


async def test_neighbours_of_a_cancelled_request_in_flight_are_answered(sqlite: str, gate: ConcurrencyLimit) -> None:
    """One of a batch that is out goes away; the others get their rows."""
    gate.is_open = False
    start(sqlite, "h")
    await gate.arrival()
    gone, stays = start(sqlite, "ab")
    await turn()
    gate.permits.release()
    await gate.arrival()
    gone.cancel()
    await turn()
    gate.permits.release()
    assert keys_of(await settle(stays)) == [["b"]]


async def test_nothing_is_sent_for_those_who_all_went_away(sqlite: str, gate: ConcurrencyLimit) -> None:
    """A batch without a waiter is no batch."""
    gate.is_open = False
    out = start(sqlite, "a")
    await gate.arrival()
    gone = start(sqlite, "bc")
    await turn()
    for task in gone:
        task.cancel()
    gate.permits.release()
    await settle(*out, *gone)
    await idle()
    assert gate.batches == [["a"]]


async def test_context_variables_do_not_reach_other_requests(sqlite: str, gate: ConcurrencyLimit) -> None:
    """The shared query, and the pause that sends it, see nobody's context; each request keeps its own."""
    seen = []

    def look() -> None:
        seen.append(tenant.get("nobody"))
        tenant.set("leaked")

    async def request(name: str, key: str) -> str:
        tenant.set(name)
        await look_up(row(sqlite, key))
        return tenant.get()

    gate.before = look
    gate.is_open = False
    first = asyncio.create_task(request("one", "a"))
    await gate.arrival()
    others = [asyncio.create_task(request(name, "b")) for name in ("two", "three")]
    await turn()
    gate.permits.release(2)
    assert await settle(first, *others) == ["one", "two", "three"]
    assert seen == ["nobody", "nobody"]


async def test_too_many_waiters_are_refused_at_once(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of waiting lookups is bounded, and a lookup above the bound is refused with a retry time."""
    monkeypatch.setattr(batching, "MAX_WAITING", 2)
    gate.is_open = False
    first = start(sqlite, "a")
    await gate.arrival()
    waiting, refused = start(sqlite, "bc"), start(sqlite, "d")
    (error,) = await settle(*refused)
    assert isinstance(error, TemporarilyUnavailableError)
    gate.permits.release(2)
    assert keys_of(await settle(*first, *waiting)) == [["a"], ["b"], ["c"]]


async def test_each_waiter_gets_an_error_of_its_own(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Exceptions grow tracebacks where they are raised, so no two requests share one."""
    gate.is_open = False
    start(sqlite, "h")
    await gate.arrival()
    lookups = start(sqlite, "abc")
    await turn()

    def fail() -> None:
        raise SystemExit

    gate.before = fail
    gate.permits.release(2)
    errors = await settle(*lookups)
    assert [type(error) for error in errors] == [RuntimeError] * 3
    assert len({id(error) for error in errors}) == 3


async def test_stuck_batch_is_given_up_at_its_deadline(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its waiters get a retry time, the others continue on a new thread, and the late answer is dropped."""
    monkeypatch.setattr(batching, "DEADLINE", 0.05)
    gate.is_open = False
    stuck = start(sqlite, "a")
    await gate.arrival()
    (abandoned,) = reading_threads()
    monkeypatch.setattr(batching, "DEADLINE", PATIENCE)
    gate.is_open = True
    behind = start(sqlite, "b")
    (error,) = await settle(*stuck)
    assert isinstance(error, TemporarilyUnavailableError)
    assert error.retry_after == 1
    assert keys_of(await settle(*behind)) == [["b"]]
    gate.permits.release()
    await asyncio.to_thread(abandoned.join, PATIENCE)
    assert not abandoned.is_alive()
    assert threads._pools[sqlite].abandoned == set()
    assert keys_of(await settle(*start(sqlite, "a"))) == [["a"]]


def pass_deadline() -> None:
    """Do what the loop does at the deadline of the batch that is out."""
    (collector,) = [one for one in batching._collectors.values() if one.loop is asyncio.get_running_loop()]
    deadline = collector.deadline
    deadline._run()
    deadline.cancel()


async def test_loop_that_was_blocked_past_the_deadline_still_answers(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the answers are there when the deadline is noticed, they count, and no thread is given up."""
    lookup = asyncio.create_task(look_up(row(sqlite, "a")))
    await turn(1)
    assert gate.arrivals.acquire(timeout=PATIENCE)
    close()
    pass_deadline()
    assert keys_of(await settle(lookup)) == [["a"]]


async def test_overdue_batch_in_the_queue_abandons_nobody(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that never reached the database says nothing about the thread."""
    gate.is_open = False
    out = start(sqlite, "a", group="one")
    await gate.arrival()
    monkeypatch.setattr(batching, "DEADLINE", 0.01)
    (error,) = await settle(*start(sqlite, "b", group="two"))
    assert isinstance(error, TemporarilyUnavailableError)
    assert threads._pools[sqlite].abandoned == set()
    gate.permits.release()
    assert keys_of(await settle(*out)) == [["a"]]
    gate.is_open = True
    monkeypatch.setattr(batching, "DEADLINE", PATIENCE)
    assert keys_of(await settle(*start(sqlite, "c"))) == [["c"]]
    assert gate.batches == [["a"], ["c"]]


async def test_nobody_waits_for_more_than_two_deadlines(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was already waiting when a batch left, and found no place in it, is given up together with it."""
    monkeypatch.setattr(batching, "MAX_KEYS", 1)
    gate.is_open = False
    lookups = start(sqlite, "abcd")
    for _ in "ab":
        await gate.arrival()
        pass_deadline()
    errors = await settle(*lookups)
    assert [type(error) for error in errors] == [TemporarilyUnavailableError] * 4
    assert gate.batches == [["a"], ["b"]]


async def test_with_enough_stuck_threads_lookups_are_refused_at_once(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that answers nobody gets no more threads; when it comes back, all is well."""
    monkeypatch.setattr(threads, "MAX_ABANDONED", 2)
    gate.is_open = False
    for key in "ab":
        lookups = start(sqlite, key)
        await gate.arrival()
        pass_deadline()
        (error,) = await settle(*lookups)
        assert isinstance(error, TemporarilyUnavailableError)
    stuck = reading_threads()
    assert len(stuck) == 2
    (error,) = await settle(*start(sqlite, "c"))
    assert isinstance(error, TemporarilyUnavailableError)
    assert gate.batches == [["a"], ["b"]]
    gate.is_open = True
    gate.permits.release(2)
    for thread in stuck:
        await asyncio.to_thread(thread.join, PATIENCE)
    assert keys_of(await settle(*start(sqlite, "c"))) == [["c"]]


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes event loops of each kind that servers run on."""
    if request.param == "asyncio":
        return asyncio.new_event_loop
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed, as on Windows")
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def run(new_loop: Callable[[], asyncio.AbstractEventLoop], coroutine: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(coroutine)


def test_several_loops_share_a_thread_and_no_future(sqlite: str, gate: ConcurrencyLimit, new_loop: Any) -> None:
    """Each loop of a process collects on its own."""

    async def several() -> list[list[Any]]:
        return keys_of(await settle(*start(sqlite, "abc")))

    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        answers = list(executor.map(lambda _: run(new_loop, several()), range(6)))
    assert answers == [[["a"], ["b"], ["c"]]] * 6
    assert len(reading_threads()) == 1


def test_stuck_batch_is_given_up_on_every_kind_of_loop(
    sqlite: str, gate: ConcurrencyLimit, new_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deadlines, pauses and wake-ups from another thread are the loop's own."""
    monkeypatch.setattr(batching, "DEADLINE", 0.05)
    gate.is_open = False
    expire = batching._Collector.expire
    all_wait = False

    def expire_when_all_wait(collector: Any, *args: Any) -> None:
        if all_wait:
            expire(collector, *args)
        else:
            collector.loop.call_later(0.01, expire_when_all_wait, collector, *args)

    monkeypatch.setattr(batching._Collector, "expire", expire_when_all_wait)

    async def lose_one() -> list[Any]:
        nonlocal all_wait
        stuck = start(sqlite, "a")
        await gate.arrival()
        monkeypatch.setattr(batching, "DEADLINE", PATIENCE)
        gate.is_open = True
        behind = start(sqlite, "bc")
        gone = start(sqlite, "d")
        await turn()
        gone[0].cancel()
        all_wait = True
        return await settle(*stuck, *behind)

    error, *answers = run(new_loop, lose_one())
    assert isinstance(error, TemporarilyUnavailableError)
    assert keys_of(answers) == [["b"], ["c"]]
    assert gate.batches == [["a"], ["b", "c"]]


def test_loop_that_closes_meanwhile_is_forgotten(sqlite: str, gate: ConcurrencyLimit, new_loop: Any) -> None:
    """Its answer is dropped without an error, nothing keeps it, and the thread goes on."""
    gate.is_open = False
    loop = new_loop()
    seen = weakref.ref(loop)

    async def leave() -> None:
        start(sqlite, "a")
        await gate.arrival()

    loop.run_until_complete(leave())
    asyncio.all_tasks(loop).pop().cancel()
    loop.run_until_complete(turn())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    gate.is_open = True
    gate.permits.release()
    assert run(new_loop, look_up(row(sqlite, "b")))
    del loop
    # Until it ends, the thread may refer to the batch whose results are in.
    threads.close()
    gc.collect()
    assert seen() is None
    assert not batching._collectors
