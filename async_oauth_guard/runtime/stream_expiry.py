"""Ends the content of a response when a token expires. Times are those of the wall clock, as in tokens."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from django.core.exceptions import RequestAborted

from ..protocol import logs

__all__ = ["LONGEST_SLEEP", "ResponseCutOff", "is_event_stream", "report_late_error", "until_expiry"]

logger = logging.getLogger("async_oauth_guard.expiry")

T = TypeVar("T")

LONGEST_SLEEP = 60.0
"""Seconds after which a timer looks at the wall clock again, because that clock may have been set meanwhile."""


class ResponseCutOff(asyncio.CancelledError, RequestAborted):
    """The token of a response has expired, and the client must not take the response for complete.

    Django treats this as it treats a client that disconnects: it closes the response, and does not complete it. Django
    6.0 and older expect the first of these classes then, and newer releases the second.
    """


def is_event_stream(content_type: str) -> bool:
    """Whether a response may end at any time: clients of server-sent events connect again."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


class _ExpiredError(Exception):
    """The token expired before there was another part."""


class _Timer:
    """Calls ``on_expiry`` on this event loop when ``clock`` reaches ``expires_at``."""

    __slots__ = ("_clock", "_expires_at", "_handle", "_on_expiry")

    def __init__(self, expires_at: float, clock: Callable[[], float], on_expiry: Callable[[], None]) -> None:
        self._expires_at, self._clock, self._on_expiry = expires_at, clock, on_expiry
        self._sleep()

    def _sleep(self) -> None:
        delay = min(LONGEST_SLEEP, self._expires_at - self._clock())
        self._handle = asyncio.get_running_loop().call_later(delay, self._check)

    def _check(self) -> None:
        if self._clock() < self._expires_at:
            self._sleep()
        else:
            self._on_expiry()

    def cancel(self) -> None:
        self._handle.cancel()


async def until_expiry(
    content: AsyncIterator[T],
    read_expiry: Callable[[], Awaitable[float | None]],
    clock: Callable[[], float],
    *,
    cut_off: bool,
) -> AsyncIterator[T]:
    """Yield the parts of ``content`` until the token expires. Then ``content`` is closed.

    Args:
        content: it is cancelled if it is awaited when the token expires, and must end then.
        read_expiry: returns when that is, in seconds since the epoch; ``None`` if it is not known.
        clock: returns seconds since the epoch.
        cut_off: whether the response must not look complete if the token expires before the content ends.

    Raises:
        ResponseCutOff: the token has expired, and ``cut_off`` is true.
    """
    try:
        expires_at = await read_expiry()
        while expires_at is None or clock() < expires_at:
            yield await (anext(content) if expires_at is None else _next_part(content, expires_at, clock))
    except StopAsyncIteration:
        return
    except _ExpiredError:
        pass
    except BaseException:
        await _close(content)
        raise
    try:
        await _close(content)
    except Exception as error:
        report_late_error(error)
    if cut_off:
        raise ResponseCutOff


async def _next_part(content: AsyncIterator[T], expires_at: float, clock: Callable[[], float]) -> T:
    # Cancel the content in this task: it may have entered a timeout or a task group that it will leave later.
    timeout = asyncio.timeout(None)
    try:
        async with timeout:
            timer = _Timer(expires_at, clock, partial(timeout.reschedule, 0.0))
            try:
                part = await anext(content)
            finally:
                # The consumer of the parts may never ask for the next one.
                timer.cancel()
    except Exception as error:
        if not timeout.expired():
            raise
        if not isinstance(error, TimeoutError | StopAsyncIteration):
            report_late_error(error)
        raise _ExpiredError from None
    if clock() >= expires_at:
        raise _ExpiredError
    return part


async def _close(content: AsyncIterator[Any]) -> None:
    aclose = getattr(content, "aclose", None)
    if aclose is not None:
        await aclose()


def report_late_error(error: Exception) -> None:
    """Log an error that is too late to change a response.

    Servers are not made for errors of applications whose client is still there: daphne stops looking after all others.
    """
    logs.write(logger, logging.ERROR, "error after the token of a connection had expired", error=error)
