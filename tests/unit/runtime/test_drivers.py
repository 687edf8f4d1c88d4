"""The two drivers: nothing is decided there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from async_oauth_guard.runtime.drivers import adrive, drive
from async_oauth_guard.runtime.effects import CacheDelete, CacheRead, Flow

Perform = Mapping[Any, Callable[[Any], Any]]
FIRST, SECOND = CacheRead("default", "first"), CacheDelete("default", "second")


def drive_on_a_loop(flow: Flow[Any], perform: Perform) -> Any:
    def made_async(function: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
        async def performer(effect: Any) -> Any:
            await asyncio.sleep(0)
            return function(effect)

        return performer

    return asyncio.run(adrive(flow, {kind: made_async(function) for kind, function in perform.items()}))


@pytest.fixture(params=[drive, drive_on_a_loop], ids=["thread", "loop"])
def run(request: pytest.FixtureRequest) -> Callable[[Flow[Any], Perform], Any]:
    return request.param  # type: ignore[no-any-return]


def fail(error: BaseException) -> Any:
    raise error


def test_results(run: Any) -> None:
    """Each effect goes to what performs its kind, and its result to the flow."""

    def flow() -> Flow[Any]:
        first = yield FIRST
        second = yield SECOND
        return first, second

    perform: Perform = {CacheRead: lambda effect: effect.key + "!", CacheDelete: lambda effect: None}
    assert run(flow(), perform) == ("first!", None)


def test_flow_that_asks_for_nothing(run: Any) -> None:
    """A flow that needs no effect gives its result at once."""

    def flow() -> Flow[str]:
        yield from ()
        return "done"

    assert run(flow(), {}) == "done"


def test_exception_as_a_result(run: Any) -> None:
    """An exception that is returned is a value like any other."""
    error = KeyError()

    def flow() -> Flow[Any]:
        return (yield FIRST)

    assert run(flow(), {CacheRead: lambda effect: error}) is error


def test_errors_are_thrown_into_the_flow(run: Any) -> None:
    """What an effect raised is raised where the flow asked for it, and the flow may go on."""
    error = KeyError("raised")

    def flow() -> Flow[Any]:
        try:
            yield FIRST
        except KeyError as caught:
            return caught, (yield SECOND)

    assert run(flow(), {CacheRead: lambda effect: fail(error), CacheDelete: lambda effect: 2}) == (error, 2)


def test_errors_that_the_flow_lets_through(run: Any) -> None:
    """What the flow does not catch is raised to the caller, and the flow is over."""
    seen: list[str] = []

    def flow() -> Flow[Any]:
        try:
            yield FIRST
        finally:
            seen.append("over")

    error = KeyError("raised")
    with pytest.raises(KeyError) as caught:
        run(flow(), {CacheRead: lambda effect: fail(error)})
    assert caught.value is error
    assert seen == ["over"]


def test_errors_of_the_flow(run: Any) -> None:
    """An error of the flow's own, before or after an effect, is raised to the caller."""

    def at_once() -> Flow[Any]:
        raise KeyError("at once")
        yield FIRST

    def later() -> Flow[Any]:
        yield FIRST
        raise KeyError("later")

    for flow, message in ((at_once(), "at once"), (later(), "later")):
        with pytest.raises(KeyError, match=message):
            run(flow, {CacheRead: lambda effect: None})


def test_effect_that_nobody_performs(run: Any) -> None:
    """Rows and users' code are refused on the loop for what goes out: an effect without performer is a bug."""

    def flow() -> Flow[Any]:
        return (yield FIRST)

    with pytest.raises(KeyError):
        run(flow(), {CacheDelete: lambda effect: None})


def test_end_of_the_process(run: Any) -> None:
    """What ends the process is not for a flow to catch; the flow is closed."""
    seen: list[str] = []

    def flow() -> Flow[Any]:
        try:
            yield FIRST
        except Exception:
            pytest.fail("it was caught")
        finally:
            seen.append("closed")

    with pytest.raises(SystemExit):
        run(flow(), {CacheRead: lambda effect: fail(SystemExit())})
    assert seen == ["closed"]


async def test_cancellation() -> None:
    """R127: a cancelled request closes its flow, which cannot catch that and asks for nothing more."""
    asked = asyncio.Event()
    seen: list[str] = []

    def flow() -> Flow[Any]:
        try:
            yield FIRST
        except Exception:
            pytest.fail("it was caught")
        finally:
            seen.append("closed")
        yield SECOND

    async def hang(effect: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(adrive(flow(), {CacheRead: hang}))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["closed"]
