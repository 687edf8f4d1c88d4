"""The loop for outgoing requests: all callers share one flight, whichever callers come and go meanwhile."""

import asyncio
import contextvars
import gc
import os
import queue
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from async_oauth_guard import TemporarilyUnavailableError
from async_oauth_guard.errors import InvalidTokenError, Reason
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime import django_cache, event_loop, workers
from async_oauth_guard.runtime.effects import (
    CacheDelete,
    CacheRead,
    CacheWrite,
    Call,
    ClientOptions,
    Compute,
    ConcurrencyLimit,
    Effect,
    Flow,
    Notify,
    OutboundRequest,
    ReadModel,
    Row,
    SingleFlight,
    StartBackground,
)
from async_oauth_guard.runtime.event_loop import arun_single_flight, close, run_single_flight, start

LIMIT = 10.0
"""Seconds after which a test that waits for something fails."""

GATE = ConcurrencyLimit(100)
CALL = OutboundRequest("GET", "https://as.example.com/", ClientOptions(), GATE)


class Exchanges:
    """A transport whose exchanges wait until the test answers them."""

    def __init__(self) -> None:
        self.began: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.deadlines: list[float] = []
        self.closed = 0
        self.context = "nothing seen"

    async def exchange(self, call: OutboundRequest, deadline: float) -> Any:
        self.deadlines.append(deadline)
        self.context = name.get("nobody")
        answer: Future[Any] = Future()
        self.began.put(answer)
        return await asyncio.wrap_future(answer)

    async def aclose(self) -> None:
        self.closed += 1

    def next(self) -> "Future[Any]":
        """The next exchange, to be answered."""
        return self.began.get(timeout=LIMIT)


name: contextvars.ContextVar[str] = contextvars.ContextVar("name")


@pytest.fixture(autouse=True)
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchanges]:
    """A loop of this test's own, with nothing behind it."""
    close()
    transport = Exchanges()
    monkeypatch.setattr(event_loop, "Transport", lambda: transport)
    yield transport
    close()


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Is released when somebody has asked for something."""
    semaphore = threading.Semaphore(0)
    submit = event_loop._Outgoing.submit

    def tell(self: Any, *arguments: Any) -> None:
        submit(self, *arguments)
        semaphore.release()

    monkeypatch.setattr(event_loop._Outgoing, "submit", tell)
    return semaphore


def wait_for(semaphore: threading.Semaphore, times: int = 1) -> None:
    for _ in range(times):
        assert semaphore.acquire(timeout=LIMIT)


def current() -> Any:
    """What runs."""
    assert event_loop._outgoing is not None
    return event_loop._outgoing


def on_the_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of ``function`` on the loop, after everything submitted before it."""
    result: Future[Any] = Future()
    current().loop.call_soon_threadsafe(lambda: result.set_result(function(*arguments)))
    return result.result(LIMIT)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "async_oauth_guard calls out"]


def exchange_flow(*effects: Effect) -> Flow[Any]:
    """Asks for one after the other; the last one's result is its own."""
    result = None
    for effect in effects or (CALL,):
        result = yield effect
    return result


def fail_flow(error: BaseException) -> Flow[Any]:
    yield from ()
    raise error


def single_flight(*effects: Effect, key: str = "key", timeout: float = LIMIT) -> SingleFlight:
    return SingleFlight(key, lambda: exchange_flow(*effects), timeout)


def failing(error: BaseException) -> SingleFlight:
    return SingleFlight("key", lambda: fail_flow(error), LIMIT)


def in_a_loop(effect: SingleFlight) -> Any:
    return asyncio.run(arun_single_flight(effect))


MODES: dict[str, Callable[[SingleFlight], Any]] = {"thread": run_single_flight, "loop": in_a_loop}
sync_and_async = pytest.mark.parametrize("ask", MODES.values(), ids=MODES)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads to ask from."""
    with ThreadPoolExecutor(20) as executor:
        yield executor


# Single flight.


@sync_and_async
def test_result(ask: Any, exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """What the flow gives is what who asked gets."""
    asked = pool.submit(ask, single_flight())
    exchanges.next().set_result("answer")
    assert asked.result(LIMIT) == "answer"


def test_one_flight_for_all(exchanges: Exchanges, pool: ThreadPoolExecutor, submitted: threading.Semaphore) -> None:
    """R128: who asks under one key, from whatever thread or loop, shares one flight."""
    asked = [pool.submit(ask, single_flight()) for ask in (*MODES.values(),) * 5]
    wait_for(submitted, 10)
    answer = exchanges.next()
    on_the_loop(answer.set_result, "answer")
    assert [each.result(LIMIT) for each in asked] == ["answer"] * 10
    assert exchanges.began.empty()
    assert len(threads()) == 1


def test_one_loop_asks_many_times(exchanges: Exchanges) -> None:
    """So do the requests of one loop."""

    async def main() -> Any:
        asked = [asyncio.create_task(arun_single_flight(single_flight())) for _ in range(100)]
        answer = await asyncio.to_thread(exchanges.next)
        on_the_loop(answer.set_result, "answer")
        return await asyncio.gather(*asked)

    assert asyncio.run(main()) == ["answer"] * 100
    assert exchanges.began.empty()


def test_keys_are_apart(exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Other keys have flights of their own, at the same time."""
    first = pool.submit(run_single_flight, single_flight(key="first"))
    one = exchanges.next()
    second = pool.submit(run_single_flight, single_flight(key="second"))
    exchanges.next().set_result(2)
    assert second.result(LIMIT) == 2
    one.set_result(1)
    assert first.result(LIMIT) == 1


@sync_and_async
def test_flights_end(ask: Any, exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Who asks after the end of a flight starts another one."""
    for number in range(3):
        asked = pool.submit(ask, single_flight())
        exchanges.next().set_result(number)
        assert asked.result(LIMIT) == number
    # The answer may come before the loop has called what forgets its task. Both are scheduled in the same step.
    on_the_loop(lambda: None)
    assert on_the_loop(lambda: len(current().shared_runs)) == 0


# Errors.


def test_errors_are_everyones_own(
    exchanges: Exchanges, pool: ThreadPoolExecutor, submitted: threading.Semaphore
) -> None:
    """R124: an outage reaches all who wait, each as an exception that nobody else has, and that tells no more."""
    asked = [pool.submit(ask, single_flight()) for ask in (*MODES.values(),) * 3]
    wait_for(submitted, 6)
    answer = exchanges.next()
    outage = TemporarilyUnavailableError(reason=Reason.SERVER_REFUSES_US, retry_after=7)
    outage.validator = object()
    on_the_loop(answer.set_exception, outage)
    errors: list[Any] = [each.exception(LIMIT) for each in asked]
    assert [type(error) for error in errors] == [TemporarilyUnavailableError] * 6
    assert len({id(error) for error in (*errors, outage)}) == 7
    for error in errors:
        assert (error.reason, error.retry_after, error.validator) == (Reason.SERVER_REFUSES_US, 7, None)
        assert (error.__cause__, error.__context__) == (None, None)


@sync_and_async
def test_failures_are_not_remembered(ask: Any, exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Who asks after a failure asks the server."""
    with pytest.raises(TemporarilyUnavailableError):
        ask(failing(TemporarilyUnavailableError()))
    asked = pool.submit(ask, single_flight())
    exchanges.next().set_result("answer")
    assert asked.result(LIMIT) == "answer"


@sync_and_async
def test_bugs(ask: Any) -> None:
    """R133: a bug is reported by its class and place, without its message, which may hold what was sent."""
    secret = "s3" + "cret"
    with pytest.raises(RuntimeError) as caught:
        ask(failing(ValueError(secret)))
    assert str(caught.value) == "ValueError during a request to an authorization server"
    text = "".join(traceback.format_exception(caught.value))
    assert "in fail_flow" in text
    assert secret not in text
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@sync_and_async
def test_refusals_are_bugs_here(ask: Any) -> None:
    """R124: an error that looks like a refusal of the token is a bug here, because no flight validates tokens."""
    with pytest.raises(RuntimeError, match=r"^InvalidTokenError during a request"):
        ask(failing(InvalidTokenError()))


@sync_and_async
def test_configuration_errors(ask: Any) -> None:
    """R134: a configuration mistake is reported in full."""
    mistake = ImproperlyConfigured("what to write instead")
    with pytest.raises(ImproperlyConfigured, match=r"^what to write instead$") as caught:
        ask(failing(mistake))
    assert caught.value is not mistake


REFUSED: list[Any] = [
    Call(print, ()),
    Row(None, "field", Secret("x"), None),  # type: ignore[arg-type]
    ReadModel(print, None, blocking=False),
    Notify(None, object, {}),  # type: ignore[arg-type]
    "nonsense",
]


@sync_and_async
@pytest.mark.parametrize("effect", REFUSED, ids=lambda effect: type(effect).__name__)
def test_what_belongs_to_requests_is_refused(ask: Any, effect: Any) -> None:
    """R124: rows, models, signals and users' code need the request's own thread and context, so they are bugs here."""
    with pytest.raises(RuntimeError, match=r"^KeyError during a request"):
        ask(single_flight(effect))


# Who asks may leave.


def test_cancellation_of_who_asked_first(exchanges: Exchanges, submitted: threading.Semaphore) -> None:
    """R127: the flight goes on for the others, and nobody else is cancelled."""

    async def main() -> Any:
        tasks = [asyncio.create_task(arun_single_flight(single_flight())) for _ in range(50)]
        answer = await asyncio.to_thread(exchanges.next)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert not answer.cancelled()
        on_the_loop(answer.set_result, "answer")
        return await asyncio.gather(*tasks[1:])

    assert asyncio.run(main()) == ["answer"] * 49
    assert exchanges.began.empty()


def test_cancellation_of_all(exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Even when all have left, the flight goes on, and who comes then joins it."""

    async def leave() -> Any:
        task = asyncio.create_task(arun_single_flight(single_flight()))
        answer = await asyncio.to_thread(exchanges.next)
        task.cancel()
        await asyncio.wait([task])
        return answer

    answer = asyncio.run(leave())
    asked = pool.submit(run_single_flight, single_flight())
    # Not before it has joined: nothing else tells the two apart.
    while on_the_loop(lambda: len(current().shared_runs["key"].waiters)) < 2:
        time.sleep(0.001)
    answer.set_result("answer")
    assert asked.result(LIMIT) == "answer"
    assert exchanges.began.empty()


def test_loops_that_have_closed(exchanges: Exchanges, pool: ThreadPoolExecutor, submitted: threading.Semaphore) -> None:
    """R128: the loop of who asked may be gone when the answer comes; the others get theirs."""

    async def leave() -> None:
        task = asyncio.create_task(arun_single_flight(single_flight()))
        await asyncio.to_thread(wait_for, submitted)
        assert not task.done()

    asyncio.run(leave())
    answer = exchanges.next()
    asked = pool.submit(run_single_flight, single_flight())
    wait_for(submitted)
    on_the_loop(answer.set_result, "answer")
    assert asked.result(LIMIT) == "answer"


# Deadlines.


def test_deadline(exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """The timeout counts from the start of the flight, for all of its calls together."""
    asked = pool.submit(run_single_flight, single_flight(CALL, CALL, timeout=60))
    exchanges.next().set_result(1)
    exchanges.next().set_result(2)
    assert asked.result(LIMIT) == 2
    first, second = exchanges.deadlines
    assert first == second
    assert 0 < first - on_the_loop(current().loop.time) <= 60


@sync_and_async
def test_stuck_loop(ask: Any, exchanges: Exchanges, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than the timeout and a little, even for a loop that is stuck; afterwards it serves."""
    monkeypatch.setattr(event_loop, "GRACE", 0.01)
    assert in_a_loop(single_flight(CacheRead("default", "x"), key="other")) is None
    unstuck = threading.Event()
    current().loop.call_soon_threadsafe(unstuck.wait)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        ask(single_flight(timeout=0.01))
    assert caught.value.reason == Reason.SERVER_TOO_SLOW
    unstuck.set()
    exchanges.next().set_result("late")
    asked = pool.submit(ask, single_flight(key="later"))
    exchanges.next().set_result("answer")
    assert asked.result(LIMIT) == "answer"


# Work for the processor.


@sync_and_async
def test_computing(ask: Any) -> None:
    """CPU-bound work runs on a separate thread, and the flow gets its result or error."""
    ran_on = ask(single_flight(Compute(threading.current_thread)))
    assert ran_on.name.startswith("async_oauth_guard computes")
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError during a request"):
        ask(single_flight(Compute(lambda: 1 // 0)))


def test_computing_in_time(exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Nobody waits longer than the timeout for work that others' work holds up, and it is not done any more."""
    began, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work_long() -> None:
        began.set()
        assert go_on.wait(LIMIT)

    first = pool.submit(run_single_flight, single_flight(Compute(work_long), key="first"))
    assert began.wait(LIMIT)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        run_single_flight(single_flight(Compute(lambda: done.append("late")), key="second", timeout=0.02))
    assert caught.value.reason == Reason.SERVER_TOO_SLOW
    go_on.set()
    first.result(LIMIT)
    assert run_single_flight(single_flight(Compute(lambda: list(done)))) == []


def test_computing_without_a_thread() -> None:
    """Where no thread can be started for it, the call is unavailable."""
    assert run_single_flight(single_flight(CacheRead("default", "x"))) is None
    current().processor.shutdown()
    with pytest.raises(TemporarilyUnavailableError) as caught:
        run_single_flight(single_flight(Compute(print)))
    assert caught.value.reason == Reason.SERVER_UNREACHABLE


# Flights within flights.


def test_nested_flights_are_shared(
    exchanges: Exchanges, pool: ThreadPoolExecutor, submitted: threading.Semaphore
) -> None:
    """Flights that need the same wait for one."""
    inner = single_flight(key="inner")
    asked = [
        pool.submit(run_single_flight, each)
        for each in (single_flight(inner, key="one"), single_flight(inner, key="two"), inner)
    ]
    wait_for(submitted, 3)
    answer = exchanges.next()
    on_the_loop(answer.set_result, "answer")
    assert [each.result(LIMIT) for each in asked] == ["answer"] * 3
    assert exchanges.began.empty()


def test_errors_of_nested_flights(exchanges: Exchanges) -> None:
    """The waiting flight gets its own copy of a nested flight's exception, and may go on."""
    seen: list[Any] = []

    def flow() -> Flow[Any]:
        try:
            yield failing(TemporarilyUnavailableError(reason=Reason.KEYS_UNAVAILABLE))
        except TemporarilyUnavailableError as error:
            seen.append(error)
        return "went on"

    assert run_single_flight(SingleFlight("outer", flow, LIMIT)) == "went on"
    assert [error.reason for error in seen] == [Reason.KEYS_UNAVAILABLE]


def test_deadline_of_nested_flights(exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Who waits for another flight waits no longer than its own deadline; the other one goes on."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        run_single_flight(single_flight(single_flight(key="inner"), key="outer", timeout=0.02))
    assert caught.value.reason == Reason.SERVER_TOO_SLOW
    asked = pool.submit(run_single_flight, single_flight(key="inner"))
    while on_the_loop(lambda: len(current().shared_runs["inner"].waiters)) < 2:
        time.sleep(0.001)
    exchanges.next().set_result("answer")
    assert asked.result(LIMIT) == "answer"
    assert exchanges.began.empty()


def test_a_flight_that_waits_for_itself(exchanges: Exchanges) -> None:
    """R124: is a bug that ends with its deadline."""
    with pytest.raises(TemporarilyUnavailableError):
        run_single_flight(single_flight(single_flight(key="key"), key="key", timeout=0.02))


@pytest.mark.parametrize("outcome", ["answer", KeyError("x")])
def test_started_flights_are_not_waited_for(outcome: Any, exchanges: Exchanges) -> None:
    """What is started runs on its own, and its failure reaches nobody."""
    assert run_single_flight(single_flight(StartBackground(single_flight(key="background")), key="outer")) is None
    start(StartBackground(single_flight(key="background")))
    answer = exchanges.next()
    assert "background" in on_the_loop(lambda: [*current().shared_runs])
    (answer.set_exception if isinstance(outcome, Exception) else answer.set_result)(outcome)
    while on_the_loop(lambda: [*current().shared_runs]):
        time.sleep(0.001)
    assert exchanges.began.empty()


def test_started_flights_are_joined(exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Who needs what was started waits for it, and asks for no other."""
    start(StartBackground(single_flight()))
    answer = exchanges.next()
    asked = pool.submit(run_single_flight, single_flight())
    while on_the_loop(lambda: len(current().shared_runs["key"].waiters)) < 2:
        time.sleep(0.001)
    answer.set_result("answer")
    assert asked.result(LIMIT) == "answer"
    assert exchanges.began.empty()


# Context.


@sync_and_async
def test_context_stays_with_who_asks(ask: Any, exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """What others may share sees nothing of the request that asked first, and nothing of it comes back."""
    reset = name.set("alice")
    seen: list[str] = []

    def flow() -> Flow[Any]:
        seen.append(name.get("nobody"))
        name.set("mallory")
        yield CALL
        yield SingleFlight("inner", lambda: exchange_flow(CacheRead("default", "x")), LIMIT)
        return name.get("nobody")

    context = contextvars.copy_context()
    asked = pool.submit(context.run, ask, SingleFlight("key", flow, LIMIT))
    exchanges.next().set_result(None)
    assert asked.result(LIMIT) == "mallory"
    assert (seen, exchanges.context, context[name]) == (["nobody"], "mallory", "alice")
    asked = pool.submit(ask, single_flight())
    exchanges.next().set_result(None)
    asked.result(LIMIT)
    assert exchanges.context == "nobody"
    name.reset(reset)


# Caches.


@sync_and_async
def test_caches(ask: Any) -> None:
    """Flights read, write and delete in Django's cache."""
    key, there = "test_outgoing", "there"
    assert ask(single_flight(CacheWrite("default", key, there, 60), CacheRead("default", key))) == there
    assert ask(single_flight(CacheDelete("default", key), CacheRead("default", key))) is None


# The end.


@sync_and_async
def test_closing(ask: Any, exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """Waiting callers get an error at once, connections are closed, and the next call starts anew."""
    asked = pool.submit(ask, single_flight(timeout=60))
    exchanges.next()
    close()
    error: Any = asked.exception(LIMIT)
    assert (type(error), error.reason) == (TemporarilyUnavailableError, Reason.SERVER_UNREACHABLE)
    assert exchanges.closed == 1
    assert threads() == []
    asked = pool.submit(ask, single_flight())
    exchanges.next().set_result("answer")
    assert asked.result(LIMIT) == "answer"


def test_closing_what_never_ran() -> None:
    """Nothing happens, however often."""
    close()
    close()
    assert threads() == []


def test_closing_ends_the_threads_of_the_cache() -> None:
    """So it does those that speak to the shared cache."""
    assert run_single_flight(single_flight(CacheRead("default", "x"))) is None
    assert django_cache._pools
    close()
    assert not django_cache._pools


def test_closing_a_stuck_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that does not end is not waited for for ever."""
    monkeypatch.setattr(workers, "CLOSE_TIMEOUT", 0.01)
    run_single_flight(single_flight(CacheRead("default", "x")))
    unstuck = threading.Event()
    (thread,) = threads()
    current().loop.call_soon_threadsafe(unstuck.wait)
    close()
    assert thread.is_alive()
    unstuck.set()
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_asking_a_loop_that_has_closed(exchanges: Exchanges) -> None:
    """R124: a caller that still holds a closed loop gets an error at once."""
    run_single_flight(single_flight(CacheRead("default", "x")))
    closed = current()
    close()
    told: list[Any] = []
    closed.submit(single_flight(), told.append, None)
    assert [outcome.error.reason for outcome in told] == [Reason.SERVER_UNREACHABLE]


def test_those_who_ask_before_the_loop_wakes_up_wake_it_up_once(
    exchanges: Exchanges, submitted: threading.Semaphore, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    """A wake-up is a system call. Everybody gets a result, also those who ask while the loop is busy with others."""
    run_single_flight(single_flight(CacheRead("default", "x")))
    wait_for(submitted)
    loop, unstuck, wake_ups = current().loop, threading.Event(), []
    wake_up = loop.call_soon_threadsafe
    loop.call_soon_threadsafe(unstuck.wait, LIMIT)
    monkeypatch.setattr(
        loop, "call_soon_threadsafe", lambda *args, **options: wake_ups.append(wake_up(*args, **options))
    )
    asked = [pool.submit(run_single_flight, single_flight(key=str(number))) for number in range(4)]
    wait_for(submitted, 4)
    unstuck.set()
    for number in range(4):
        exchanges.next().set_result(number)
    assert sorted(each.result(LIMIT) for each in asked) == [0, 1, 2, 3]
    # The result of an exchange wakes the loop up too.
    assert len(wake_ups) == 1 + 4


def test_bug_that_prevents_a_flight(
    exchanges: Exchanges, submitted: threading.Semaphore, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    """Its caller gets an error. Those who asked before the same wake-up, and all later ones, get their results."""
    run_single_flight(single_flight(CacheRead("default", "x")))
    wait_for(submitted)
    join, unstuck = event_loop._Outgoing.join, threading.Event()

    def fail_once(self: Any, flight: SingleFlight, *arguments: Any) -> None:
        if flight.key == "first":
            raise MemoryError
        join(self, flight, *arguments)

    monkeypatch.setattr(event_loop._Outgoing, "join", fail_once)
    current().loop.call_soon_threadsafe(unstuck.wait, LIMIT)
    asked = []
    for key in ("first", "second"):
        asked.append(pool.submit(run_single_flight, single_flight(key=key, timeout=60)))
        wait_for(submitted)
    unstuck.set()
    exchanges.next().set_result(2)
    assert asked[1].result(LIMIT) == 2
    with pytest.raises(RuntimeError, match="MemoryError during a request"):
        asked[0].result(LIMIT)


def test_closing_while_somebody_asks(exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flight that is submitted while the loop closes is ended like the others, and is not forgotten."""
    run_single_flight(single_flight(CacheRead("default", "x")))
    submit = event_loop._Outgoing.submit
    closing = threading.Thread(target=close)

    def close_first(self: Any, *arguments: Any) -> None:
        closing.start()
        closing.join(0.05)
        # The old loop must not end between the moment it was chosen and this one.
        assert closing.is_alive()
        submit(self, *arguments)

    monkeypatch.setattr(event_loop._Outgoing, "submit", close_first)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        run_single_flight(single_flight(timeout=60))
    assert caught.value.reason == Reason.SERVER_UNREACHABLE
    closing.join(LIMIT)
    assert not closing.is_alive()


@sync_and_async
def test_thread_that_ended(ask: Any, exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """A loop whose thread has ended, whyever, is replaced."""
    run_single_flight(single_flight(CacheRead("default", "x")))
    (thread,) = threads()
    current().loop.call_soon_threadsafe(current().loop.stop)
    thread.join(LIMIT)
    asked = pool.submit(ask, single_flight())
    exchanges.next().set_result("answer")
    assert asked.result(LIMIT) == "answer"


def test_failed_flow_is_freed_at_once() -> None:
    """What a failed flow held, such as a token, is not kept in a reference cycle until a garbage collection."""
    freed = threading.Event()

    class Held:
        def __del__(self) -> None:
            freed.set()

    def fail() -> Flow[Any]:
        yield from ()
        _held = Held()
        raise TemporarilyUnavailableError(reason=Reason.SERVER_TOO_SLOW)

    gc.disable()
    try:
        with pytest.raises(TemporarilyUnavailableError):
            run_single_flight(SingleFlight(object(), fail, LIMIT))
        assert freed.wait(LIMIT)
    finally:
        gc.enable()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No thread can be started, until the test undoes it."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield patch


@sync_and_async
def test_threads_that_cannot_start(ask: Any, no_threads: pytest.MonkeyPatch, exchanges: Exchanges) -> None:
    """R124: without a thread the answer is 503, nothing is left open, and the next call tries again."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        ask(single_flight())
    assert caught.value.reason == Reason.SERVER_UNREACHABLE
    assert caught.value.__cause__ is None
    del caught
    # A loop that was left open would be a warning.
    gc.collect()
    no_threads.undo()
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(ask, single_flight())
        exchanges.next().set_result("answer")
        assert asked.result(LIMIT) == "answer"


@sync_and_async
def test_loops_that_cannot_be_made(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """R124: a process that has too many files open has no loop to give, and the answer is 503."""

    def fail() -> Any:
        raise OSError(24, "Too many open files")

    event_loop.close()
    monkeypatch.setattr(event_loop, "_Outgoing", fail)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        ask(single_flight())
    assert caught.value.reason == Reason.SERVER_UNREACHABLE
    assert caught.value.__cause__ is None


def test_what_cannot_be_started_in_the_background(no_threads: pytest.MonkeyPatch) -> None:
    """Who starts something and does not wait for it has keys that serve: they go on doing so."""
    start(StartBackground(single_flight()))
    assert threads() == []


# Forks.


def _fork() -> int:
    with warnings.catch_warnings():
        # What Python warns of is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


@pytest.mark.parametrize("is_running", [True, False])
def test_forked_child_starts_anew(is_running: bool, exchanges: Exchanges, pool: ThreadPoolExecutor) -> None:
    """A process forked during a call starts its own loop; the call stays with the parent."""
    asked = pool.submit(run_single_flight, single_flight()) if is_running else None
    answer = exchanges.next() if is_running else None
    with event_loop._lock:
        child = _fork()
    if child == 0:
        status = 1
        try:
            given: Any = run_single_flight(
                single_flight(CacheWrite("default", "x", "child", 60), CacheRead("default", "x"))
            )
            close()
            status = 0 if given == "child" and exchanges.closed == 1 and threads() == [] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    if asked is not None and answer is not None:
        answer.set_result("parent")
        assert asked.result(LIMIT) == "parent"
    assert exchanges.closed == 0
