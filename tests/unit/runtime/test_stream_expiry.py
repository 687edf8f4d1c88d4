"""Content that ends when a token expires."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from async_oauth_guard.runtime.stream_expiry import LONGEST_SLEEP, ResponseCutOff, is_event_stream, until_expiry
from tests.virtual_time import EPOCH, run_virtually, virtual_loop


class Content:
    """Yields the time each second, and records how it ends."""

    def __init__(self, parts: float = float("inf"), pause: float = 1.0) -> None:
        self.parts, self.pause, self.ends = parts, pause, list[str]()

    async def stream(self) -> AsyncIterator[float]:
        number = 0
        try:
            while number < self.parts:
                await asyncio.sleep(self.pause)
                number += 1
                yield virtual_loop().now
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise
        finally:
            self.ends.append("closed")


def at(expires_at: float) -> Callable[[], Awaitable[float]]:
    """What reads the expiry of a token that expires then."""

    async def read() -> float:
        return expires_at

    return read


async def collect(content: AsyncIterator[Any], lifetime: float, *, cut_off: bool) -> tuple[list[Any], str]:
    """The parts that a client gets, and what ended them."""
    received = []
    try:
        parts = until_expiry(content, at(EPOCH + lifetime), virtual_loop().wall, cut_off=cut_off)
        # Not a comprehension, which would lose the parts before an error.
        async for part in parts:
            received.append(part)  # noqa: PERF401
    except BaseException as error:
        return received, type(error).__name__
    return received, "complete"


@pytest.mark.parametrize(("cut_off", "end"), [(False, "complete"), (True, "ResponseCutOff")])
def test_expires_while_content_is_awaited(cut_off: bool, end: str) -> None:
    """Content that is waiting is cancelled when the token expires. Only an event stream looks complete."""

    async def scenario() -> None:
        content = Content()
        assert ([1.0, 2.0], end) == await collect(content.stream(), 2.5, cut_off=cut_off)
        assert virtual_loop().now == 2.5
        assert content.ends == ["CancelledError", "closed"]

    run_virtually(scenario())


@pytest.mark.parametrize(("cut_off", "end"), [(False, "complete"), (True, "ResponseCutOff")])
def test_expires_while_the_client_reads(cut_off: bool, end: str) -> None:
    """If the token expires between two parts, the content is closed before it makes another one."""

    async def scenario() -> None:
        content, received = Content(), []
        parts = until_expiry(content.stream(), at(EPOCH + 2.5), virtual_loop().wall, cut_off=cut_off)
        try:
            async for part in parts:
                received.append(part)
                await asyncio.sleep(2)
        except ResponseCutOff:
            assert cut_off
        else:
            assert not cut_off
        assert received == [1.0]
        assert content.ends == ["GeneratorExit", "closed"]

    run_virtually(scenario())


@pytest.mark.parametrize("cut_off", [False, True])
def test_content_that_ends_before(cut_off: bool) -> None:
    """Content that ends while the token is valid is complete."""

    async def scenario() -> None:
        content = Content(parts=2)
        assert await collect(content.stream(), 2.5, cut_off=cut_off) == ([1.0, 2.0], "complete")
        assert content.ends == ["closed"]

    run_virtually(scenario())


def test_expired_before_the_first_part() -> None:
    """A token that expired before the response started yields no part, and the content does not start."""

    async def scenario() -> None:
        content = Content()
        assert await collect(content.stream(), 0, cut_off=True) == ([], "ResponseCutOff")
        assert content.ends == []

    run_virtually(scenario())


def test_content_that_never_pauses() -> None:
    """Content that never waits ends too, and a part that was made after the expiry is not sent."""

    async def stream() -> AsyncIterator[float]:
        while True:
            virtual_loop().now += 1
            yield virtual_loop().now

    async def scenario() -> None:
        assert await collect(stream(), 3, cut_off=True) == ([1.0, 2.0], "ResponseCutOff")

    run_virtually(scenario())


async def _ignore(error: type[BaseException]) -> AsyncIterator[str]:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        if error is StopAsyncIteration:
            return
        if error is not GeneratorExit:
            raise error("in the cleanup") from None
    yield "late"


def late_errors(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The classes of the errors that were logged."""
    return [record.exc_info and record.exc_info[0] for record in caplog.records]


@pytest.mark.parametrize(
    ("error", "logged"),
    [(GeneratorExit, []), (StopAsyncIteration, []), (TimeoutError, []), (ValueError, [ValueError])],
)
def test_content_that_is_cancelled(
    error: type[BaseException], logged: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Content that goes on or ends after it was cancelled sends nothing more. Its own errors are logged."""

    async def scenario() -> None:
        assert await collect(_ignore(error), 2, cut_off=True) == ([], "ResponseCutOff")

    run_virtually(scenario())
    assert late_errors(caplog) == logged


@pytest.mark.parametrize("cut_off", [False, True])
def test_content_that_fails_to_close(cut_off: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error of content that is closed between two parts is logged."""

    async def stream() -> AsyncIterator[str]:
        try:
            while True:
                virtual_loop().now += 1
                yield "part"
        finally:
            raise ValueError("in the cleanup")

    async def slowly() -> None:
        parts = until_expiry(stream(), at(EPOCH + 2.5), virtual_loop().wall, cut_off=cut_off)
        try:
            async for _ in parts:
                virtual_loop().now += 2
        except ResponseCutOff:
            assert cut_off
        else:
            assert not cut_off

    run_virtually(slowly())
    assert late_errors(caplog) == [ValueError]


@pytest.mark.parametrize("error", [TimeoutError, ValueError])
def test_content_that_fails(error: type[Exception]) -> None:
    """An error of the content before the expiry is raised as it is."""

    async def stream() -> AsyncIterator[str]:
        yield "first"
        raise error

    async def scenario() -> None:
        assert (["first"], error.__name__) == await collect(stream(), 2, cut_off=False)

    run_virtually(scenario())


def test_client_that_disconnects() -> None:
    """If the task is cancelled, as when a client disconnects, the content is cancelled and closed."""

    async def scenario() -> None:
        content = Content()
        task = asyncio.create_task(
            _drain(until_expiry(content.stream(), at(EPOCH + 9), virtual_loop().wall, cut_off=True))
        )
        await asyncio.sleep(1.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.type is asyncio.CancelledError
        assert content.ends == ["CancelledError", "closed"]

    run_virtually(scenario())


async def _drain(parts: AsyncIterator[Any]) -> None:
    async for _ in parts:
        pass


def test_abandoned_content() -> None:
    """A consumer that takes one part and no more leaves no timer behind, and the content is closed."""

    async def scenario() -> None:
        content = Content()
        parts = until_expiry(content.stream(), at(EPOCH + 9), virtual_loop().wall, cut_off=True)
        assert await anext(parts) == 1.0
        await parts.aclose()  # type: ignore[attr-defined]
        assert content.ends == ["GeneratorExit", "closed"]

    run_virtually(scenario())


def test_iterator_that_is_no_generator() -> None:
    """An async iterator without ``aclose()`` ends too."""

    class Ticks:
        def __aiter__(self) -> "Ticks":
            return self

        async def __anext__(self) -> float:
            await asyncio.sleep(1)
            return virtual_loop().now

    async def scenario() -> None:
        assert await collect(Ticks(), 2.5, cut_off=False) == ([1.0, 2.0], "complete")

    run_virtually(scenario())


def test_content_stays_in_its_task() -> None:
    """The content may have entered a timeout that it leaves with a later part."""

    async def stream() -> AsyncIterator[str]:
        async with asyncio.timeout(50):
            for part in "ab":
                await asyncio.sleep(1)
                yield part

    async def scenario() -> None:
        assert await collect(stream(), 9, cut_off=True) == (["a", "b"], "complete")

    run_virtually(scenario())


Jump = Callable[[], Coroutine[Any, Any, None]]


@pytest.mark.parametrize(("seconds", "end"), [(900.0, 100.0 + LONGEST_SLEEP), (-500.0, 1_500.0)])
def test_clock_that_is_set(seconds: float, end: float) -> None:
    """If the wall clock is set, the stream ends by the new time, at most a minute late."""

    async def jump() -> None:
        await asyncio.sleep(100)
        virtual_loop().wall_offset += seconds

    async def scenario() -> None:
        jumping = asyncio.create_task(jump())
        assert await collect(Content(pause=1e9).stream(), 1_000, cut_off=False) == ([], "complete")
        assert end - LONGEST_SLEEP <= virtual_loop().now <= end
        await jumping

    run_virtually(scenario())


def test_very_distant_expiry() -> None:
    """An expiry in millions of years is no error."""

    async def scenario() -> None:
        assert await collect(Content(parts=1).stream(), 1e14, cut_off=True) == ([1.0], "complete")

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        (" text/event-stream ", True),
        ("", False),
        ("text/html", False),
        ("text/event-stream-x", False),
    ],
)
def test_event_streams(content_type: str, expected: bool) -> None:
    """Only ``text/event-stream`` may end at any time."""
    assert expected is is_event_stream(content_type)
