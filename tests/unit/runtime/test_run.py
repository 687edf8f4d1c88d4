"""The two drivers."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.dispatch import Signal

from async_oauth_guard import TemporarilyUnavailableError
from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime import event_loop
from async_oauth_guard.runtime import run as runtime
from async_oauth_guard.runtime.database import instances
from async_oauth_guard.runtime.effects import (
    CacheRead,
    Call,
    Effect,
    Flow,
    Notify,
    ReadModel,
    Row,
    SingleFlight,
    StartBackground,
)
from async_oauth_guard.runtime.run import arun, run, run_outside_loop

Drive = Callable[[Flow[Any]], Any]


def run_on_a_loop(flow: Flow[Any]) -> Any:
    return asyncio.run(arun(flow))


DRIVERS: dict[str, Drive] = {"thread": run, "loop": run_on_a_loop, "loop of a thread": async_to_sync(arun)}


@pytest.fixture(params=DRIVERS.values(), ids=DRIVERS)
def drive(request: pytest.FixtureRequest) -> Drive:
    """Runs a flow, on a thread or on a loop."""
    return request.param  # type: ignore[no-any-return]


def ask(*effects: Effect) -> Flow[list[Any]]:
    """Asks for one after the other; an error is a result too."""
    results: list[Any] = []
    for effect in effects:
        try:
            results.append((yield effect))
        except Exception as error:
            results.append(error)
    return results


def add(*numbers: int, start: int = 0) -> int:
    return sum(numbers, start)


async def aadd(*numbers: int, start: int = 0) -> int:
    await asyncio.sleep(0)
    return sum(numbers, start)


class Adder:
    async def __call__(self, *numbers: int, start: int = 0) -> int:
        return sum(numbers, start)

    def method(self, *numbers: int, start: int = 0) -> int:
        return sum(numbers, start)

    async def amethod(self, *numbers: int, start: int = 0) -> int:
        return sum(numbers, start)


def hand_on(*numbers: int, start: int = 0) -> Awaitable[int]:
    return aadd(*numbers, start=start)


FUNCTIONS: list[Any] = [add, aadd, Adder(), Adder().method, Adder().amethod, hand_on]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_calls(function: Any, drive: Drive) -> None:
    """R126: both drivers call users' code, sync or async, with secrets revealed to it."""
    calls = [Call(function, (1, Secret(2)), {"start": 10}), Call(function, (1,)), Call(function, (), {})]
    assert drive(ask(*calls)) == [13, 1, 0]


def fail(error: BaseException) -> Any:
    raise error


async def afail(error: BaseException) -> Any:
    await asyncio.sleep(0)
    raise error


async def apass(value: Any) -> Any:
    return value


def hand_on_failure(error: BaseException) -> Any:
    return afail(error)


@pytest.mark.parametrize("function", [fail, afail, hand_on_failure])
def test_errors_reach_the_flow(function: Any, drive: Drive) -> None:
    """What users' code raises is thrown into the flow, which may go on."""
    error = KeyError("x")
    assert drive(ask(Call(function, (error,)), Call(add, (1,)))) == [error, 1]


@pytest.mark.parametrize("function", [fail, afail, hand_on_failure])
def test_errors_that_a_flow_lets_pass(function: Any, drive: Drive) -> None:
    """What the flow does not catch is raised as it is."""
    error = KeyError("x")

    def flow() -> Flow[None]:
        yield Call(function, (error,))

    with pytest.raises(KeyError) as caught:
        drive(flow())
    assert caught.value is error


def test_stop_iteration_is_an_error_like_others(drive: Drive) -> None:
    """R124: users' code that raises ``StopIteration`` neither ends the flow with its value nor hangs the request."""

    def flow() -> Flow[str]:
        yield Call(fail, (StopIteration("yes"),))
        return "not reached"

    async def within_limits() -> Any:
        return await asyncio.wait_for(arun(flow()), 5)

    with pytest.raises(RuntimeError):
        run(flow()) if drive is run else asyncio.run(within_limits())


def test_stop_iteration_of_a_model_that_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """R124: neither does a model method that does so on a thread."""

    def flow() -> Flow[Any]:
        return (yield ReadModel(lambda instance: fail(StopIteration("yes")), None, blocking=True))

    async def within_limits() -> Any:
        return await asyncio.wait_for(arun(flow()), 5)

    with pytest.raises(RuntimeError):
        asyncio.run(within_limits())


def test_results(drive: Drive) -> None:
    """A flow that asks for nothing has a result as well."""
    assert drive(ask()) == []


def test_flows_are_closed(drive: Drive) -> None:
    """Whatever ends a flow, it has run to its end."""
    closed: list[str] = []

    def flow(effect: Effect | None) -> Flow[None]:
        try:
            if effect:
                yield effect
        finally:
            closed.append("closed")

    drive(flow(None))
    drive(flow(Call(add, ())))
    with pytest.raises(ValueError, match="x"):
        drive(flow(Call(fail, (ValueError("x"),))))
    assert closed == ["closed"] * 3


def test_unknown_effects_are_bugs(drive: Drive) -> None:
    """R124: what no driver can perform is an error in the flow."""
    (error,) = drive(ask("nonsense"))  # type: ignore[arg-type]
    assert isinstance(error, KeyError)


def test_exits_are_not_caught(drive: Drive) -> None:
    """A ``BaseException`` decides nothing: the flow cannot catch it, and is closed."""
    seen: list[BaseException] = []

    def flow() -> Flow[None]:
        try:
            yield Call(apass if drive is not run else fail, (SystemExit(3),))
            yield ReadModel(fail, SystemExit(3), blocking=False)
        except BaseException as error:
            seen.append(error)
            raise

    with pytest.raises(SystemExit):
        drive(flow())
    assert [type(error) for error in seen] == [GeneratorExit]


def test_cancellation_closes_the_flow() -> None:
    """R127: a request that is cancelled closes its flow, which gets no say."""
    seen: list[type] = []

    def flow() -> Flow[None]:
        try:
            yield Call(asyncio.sleep, (60,))
        except Exception:
            seen.append(Exception)
        except BaseException as error:
            seen.append(type(error))
            raise

    async def cancel() -> None:
        task = asyncio.create_task(arun(flow()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert seen == [GeneratorExit]


def test_coroutine_functions_run_on_the_loop() -> None:
    """An ``async def`` is called where the view runs."""

    async def where() -> Any:
        return asyncio.get_running_loop()

    async def main() -> None:
        assert await arun(ask(Call(where, ()))) == [asyncio.get_running_loop()]

    asyncio.run(main())


def test_functions_leave_the_loop() -> None:
    """R126: a plain function may block, so it is called on a thread without a loop."""
    main_thread = threading.get_ident()

    def where() -> tuple[int, bool]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return threading.get_ident(), False
        return threading.get_ident(), True

    async def main() -> Any:
        return await arun(ask(Call(where, ())))

    ((thread, has_loop),) = asyncio.run(main())
    assert thread != main_thread
    assert not has_loop
    assert run(ask(Call(where, ()))) == [(main_thread, False)]


class Model:
    """Not remembered by any other test."""


class Other:
    """Neither is this."""


@pytest.fixture
def querying(monkeypatch: pytest.MonkeyPatch) -> set[type]:
    """The models that are remembered to query; none at first."""
    models: set[type] = set()
    monkeypatch.setattr(instances, "_QUERYING_MODELS", models)
    return models


class Reader:
    """A read that says where it was made, and that may refuse to be made on a loop."""

    def __init__(self, queries: bool) -> None:
        self.queries = queries
        self.places: list[str] = []

    def __call__(self, instance: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.places.append("thread")
        else:
            self.places.append("loop")
            if self.queries:
                raise SynchronousOnlyOperation("a query")
        return instance


def test_reads_stay_where_they_are(querying: set[type]) -> None:
    """A method that does not query costs no thread."""
    reader = Reader(queries=False)
    instance = Model()
    assert run_on_a_loop(ask(ReadModel(reader, instance, blocking=False))) == [instance]
    assert reader.places == ["loop"]
    assert querying == set()


def test_reads_that_query_move_for_good(querying: set[type]) -> None:
    """R126: ``SynchronousOnlyOperation`` moves a model's methods to the request's thread, those of no other model."""
    reader, others = Reader(queries=True), Reader(queries=False)
    instance, other = Model(), Other()
    effect = ReadModel(reader, instance, blocking=False)
    assert run_on_a_loop(ask(effect)) == [instance]
    assert reader.places == ["loop", "thread"]
    assert querying == {Model}
    assert run_on_a_loop(ask(effect, ReadModel(others, other, blocking=False))) == [instance, other]
    assert reader.places == ["loop", "thread", "thread"]
    assert others.places == ["loop"]


def test_reads_that_block_move_at_once(querying: set[type]) -> None:
    """``blocking_methods=True`` keeps a model's methods off the loop from the first request on."""
    reader = Reader(queries=False)
    run_on_a_loop(ask(ReadModel(reader, Model(), blocking=True)))
    assert reader.places == ["thread"]
    assert querying == set()


def test_reads_on_a_thread(querying: set[type]) -> None:
    """A sync view's thread reads itself."""
    reader = Reader(queries=True)
    assert run(ask(ReadModel(reader, 7, blocking=False), ReadModel(reader, 8, blocking=True))) == [7, 8]
    assert reader.places == ["thread", "thread"]
    assert querying == set()


@pytest.mark.parametrize("blocking", [False, True])
def test_reads_that_fail(blocking: bool, drive: Drive, querying: set[type]) -> None:
    """What a model's method raises is thrown into the flow."""
    error = ValueError("of the model")
    assert drive(ask(ReadModel(fail, error, blocking=blocking))) == [error]
    assert querying == set()


def test_signals(drive: Drive) -> None:
    """Both drivers call sync and async receivers with sender and arguments."""
    signal = Signal()
    heard: list[Any] = []

    def receiver(sender: Any, **kwargs: Any) -> None:
        heard.append(("def", sender, kwargs["token"]))

    async def areceiver(sender: Any, **kwargs: Any) -> None:
        heard.append(("async def", sender, kwargs["token"]))

    signal.connect(receiver)
    signal.connect(areceiver)
    assert drive(ask(Notify(signal, Model, {"token": 7}))) == [None]
    assert sorted(heard, key=lambda entry: entry[0]) == [("async def", Model, 7), ("def", Model, 7)]


def test_failing_receivers(drive: Drive) -> None:
    """What a receiver raises is thrown into the flow."""
    signal = Signal()

    def receiver(sender: Any, **kwargs: Any) -> None:
        raise KeyError("of the receiver")

    signal.connect(receiver)
    (error,) = drive(ask(Notify(signal, Model, {})))
    assert isinstance(error, KeyError)


@pytest.mark.parametrize(("name", "driver"), [("_PERFORM", run), ("_APERFORM", run_on_a_loop)])
def test_rows_are_read_by_the_rows_module(name: str, driver: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each driver reads a row with its own function, sync or async."""
    row = Row(SimpleNamespace(), "field", Secret("x"), None)  # type: ignore[arg-type]

    def read(effect: Any) -> Any:
        return [effect]

    async def aread(effect: Any) -> Any:
        return [effect]

    table = dict(getattr(runtime, name))
    assert table[Row] is {"_PERFORM": runtime.read_rows, "_APERFORM": runtime.aread_rows}[name]
    monkeypatch.setattr(runtime, name, {**table, Row: read if driver is run else aread})
    assert driver(ask(row)) == [[row]]


def test_no_coroutine_is_left_behind(drive: Drive) -> None:
    """Nothing that was to be awaited is forgotten."""
    drive(ask(*(Call(function, (1,)) for function in FUNCTIONS)))
    gc.collect()


def test_coroutine_functions_on_a_sync_views_thread_under_asgi() -> None:
    """A sync view runs on a thread of a loop; an ``async def`` hook is driven from there."""

    async def main() -> Any:
        return await asyncio.to_thread(run, ask(Call(aadd, (1, 2))))

    assert asyncio.run(main()) == [3]


def test_direct_calls_outside_a_loop() -> None:
    """A sync method that does I/O runs its flow if no loop runs."""
    assert run_outside_loop(ask(Call(add, (1, 2))), "await something()") == [3]


def test_direct_calls_on_a_loop() -> None:
    """R126: on a loop the method refuses, says what to write instead, and leaves no flow open."""
    flow = ask(Call(fail, (AssertionError("called"),)))

    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=r"block the event loop.*\. Use await something\(\) instead"):
            run_outside_loop(flow, "await something()")

    asyncio.run(main())
    assert flow.gi_frame is None  # type: ignore[attr-defined]


def test_plain_views_on_a_loop() -> None:
    """R126: calling a sync guarded view on an event loop is an error, before a server holds up that loop."""

    async def main() -> None:
        (error,) = run(ask(SingleFlight("key", ask, 5.0)))
        assert isinstance(error, SynchronousOnlyOperation)
        assert "block the event loop" in str(error)

    asyncio.run(main())


# What goes out.


@pytest.fixture
def _outgoing() -> Iterator[None]:
    """The loop for what goes out ends with the test."""
    yield
    event_loop.close()


@pytest.mark.usefixtures("_outgoing")
def test_flights(drive: Drive) -> None:
    """R128: shared work is done once, on a separate loop, whichever callers wait."""
    threads: list[str] = []

    def shared_run() -> Flow[str]:
        threads.append(threading.current_thread().name)
        yield CacheRead("default", "nothing there")
        return "landed"

    assert drive(ask(SingleFlight("key", shared_run, 5.0))) == ["landed"]
    assert threads == ["async_oauth_guard calls out"]


@pytest.mark.usefixtures("_outgoing")
def test_flights_that_fail(drive: Drive) -> None:
    """What a flight raises is thrown into the flow that waits."""

    def shared_run() -> Flow[None]:
        yield from ()
        raise TemporarilyUnavailableError(reason=Reason.KEYS_UNAVAILABLE)

    (error,) = drive(ask(SingleFlight("key", shared_run, 5.0)))
    assert (type(error), error.reason) == (TemporarilyUnavailableError, Reason.KEYS_UNAVAILABLE)


@pytest.mark.usefixtures("_outgoing")
def test_flights_that_nobody_waits_for(drive: Drive) -> None:
    """What is only started runs on while the flow goes on, whatever comes of it."""
    may_end, has_ended = threading.Event(), threading.Event()

    def shared_run() -> Flow[None]:
        yield from ()
        assert may_end.wait(5.0)
        has_ended.set()
        raise KeyError("of the flight")

    assert drive(ask(StartBackground(SingleFlight("key", shared_run, 5.0)), Call(add, (1, 2)))) == [None, 3]
    assert not has_ended.is_set()
    may_end.set()
    assert has_ended.wait(5.0)
