"""Lets an observer watch validations and requests to authorization servers.

The process has at most one observer. Without one, each place only checks that it is not set. An observer decides
nothing. Its first exception is logged, later ones are ignored, and none of them changes the result of a validation.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

from ..protocol import logs
from .effects import Flow, OutboundRequest, OutboundResponse, RequestFailedError

__all__ = [
    "End",
    "Observer",
    "enter_shared_run",
    "is_watched",
    "place_here",
    "set_observer",
    "watch_call",
    "watch_validation",
]

logger = logging.getLogger("async_oauth_guard.observation")

T = TypeVar("T")

End: TypeAlias = Callable[[Any], None]
"""Called at the end, with the result or the exception."""


class Observer(Protocol):
    """What an observer must implement. Its methods are called on threads and event loops, and must not block."""

    def place(self) -> Any:
        """Return what to remember about the place where a shared run begins."""

    def begin_validation(self, scheme: str | None) -> End:
        """Called before a token is validated. ``scheme`` is the auth-scheme it was presented with, if any.

        The returned function is called at the end: with ``None`` if the token was accepted, or else with the exception.
        That is a `GuardError`, a bug, or the exception that ends an abandoned validation. The function is called in the
        same context, unless that context no longer exists.
        """
        ...

    def begin_call(self, call: OutboundRequest, place: Any) -> End:
        """Called before a request is sent, after its wait in the queue.

        ``place`` is what `place` returned where the shared run that sends the request began, or ``None``. The returned
        function is called at the end, with the `OutboundResponse` or the exception.
        """
        ...


_observer: Observer | None = None
# The place of the current task's shared run, on the outbound loop.
_PLACE: ContextVar[Any] = ContextVar("async_oauth_guard.place", default=None)
# Whether a failure of the current observer has been logged.
_has_failed = False


def set_observer(observer: Observer | None) -> None:
    """Let ``observer`` watch from now on, and replace any earlier observer. ``None`` removes it."""
    global _observer, _has_failed
    _observer, _has_failed = observer, False


def is_watched() -> bool:
    """Whether there is an observer."""
    return _observer is not None


def watch_validation(flow: Flow[T], scheme: str | None) -> Flow[T]:
    """Return ``flow``, which validates a token, watched by the observer if there is one."""
    observer = _observer
    return flow if observer is None else _watch_flow(flow, lambda: observer.begin_validation(scheme))


def watch_call(
    call: OutboundRequest, exchange: Coroutine[Any, Any, OutboundResponse | RequestFailedError]
) -> Awaitable[OutboundResponse | RequestFailedError]:
    """Return ``exchange``, which sends ``call``, watched by the observer if there is one."""
    observer = _observer
    return exchange if observer is None else _watch_exchange(exchange, lambda: observer.begin_call(call, _PLACE.get()))


def place_here() -> Any:
    """Return what a shared run that begins here remembers about this place, or ``None`` if there is no observer.

    A shared run that begins inside another one has the place of the outer one.
    """
    observer = _observer
    if observer is None:
        return None
    outer = _PLACE.get()
    return _guarded(observer.place) if outer is None else outer


def enter_shared_run(place: Any) -> None:
    """Remember, for the rest of this task, the place where its shared run began."""
    _PLACE.set(place)


def _watch_flow(flow: Flow[T], begin: Callable[[], End]) -> Flow[T]:
    with _Watch(begin):
        return (yield from flow)


async def _watch_exchange(
    exchange: Awaitable[OutboundResponse | RequestFailedError], begin: Callable[[], End]
) -> OutboundResponse | RequestFailedError:
    with _Watch(begin) as watch:
        outcome = watch.result = await exchange
        return outcome


class _Watch:
    """Calls the observer at the beginning and at the end of a block, also if the block raises."""

    def __init__(self, begin: Callable[[], End]) -> None:
        self._begin = begin
        self._end: End | None = None
        self.result: Any = None

    def __enter__(self) -> "_Watch":
        self._end = _guarded(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        end = self._end
        if end is not None:
            outcome = self.result if error is None else error
            _guarded(lambda: end(outcome))


def _guarded(function: Callable[[], T]) -> T | None:
    """Return the result of ``function``, which belongs to the observer, or ``None`` if it raises an error."""
    try:
        return function()
    except Exception as error:
        _log_failure(error)
        return None


def _log_failure(error: Exception) -> None:
    global _has_failed
    if not _has_failed:
        _has_failed = True
        # Log only the class and the location: the message may contain anything, and the frames contain the token.
        where = "".join(traceback.format_tb(error.__traceback__))
        what = "The observer of validations and requests raised %s:\n%s"
        logs.write(logger, logging.ERROR, what, type(error).__name__, where)
