"""Where an observer may watch: validations, and calls to authorization servers.

There is one observer for the process, or none: then each place asks whether there is one, and that is all. An observer
decides nothing. What it raises is told to the log, once for as long as it watches, and changes no verdict.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

from . import logs
from .effects import CallFailedError, Flow, HttpAnswer, HttpCall

__all__ = [
    "End",
    "Observer",
    "Origin",
    "enter_flight",
    "origin_here",
    "set_observer",
    "watch_call",
    "watch_validation",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")

End: TypeAlias = Callable[[Any], None]
"""Is told how it ended: with an exception, or with something else."""


@dataclass(slots=True, eq=False)
class Origin:
    """Where a flight began, which may be the call of many requests.

    Attributes:
        place: what the observer gave for it, or ``None``.
        is_background: nobody waited when it began.
        is_shared: somebody else has come to wait for it.
    """

    place: Any
    is_background: bool
    is_shared: bool = False


class Observer(Protocol):
    """Who watches. Its methods are called on threads and event loops, and may not block."""

    def place(self) -> Any:
        """What to remember of the place where a flight begins."""

    def begin_validation(self, scheme: str | None) -> End:
        """A token is about to be judged; ``scheme`` is the one it was presented with, if any.

        What is given back is told ``None`` for a yes, or the exception: a `GuardError`, a bug, or what ends a
        validation that nobody waits for any more. It is called in the same context, unless nothing is left of that.
        """
        ...

    def begin_call(self, call: HttpCall, origin: Origin | None) -> End:
        """A call goes out now: its turn has come. What is given back is told the `HttpAnswer`, or the exception."""
        ...


_observer: Observer | None = None
# Of the flight whose task this is, on the loop for what goes out.
_ORIGIN: ContextVar[Origin | None] = ContextVar("async_oauth_guard.origin", default=None)
# Of this observer: it has been told to the log.
_has_failed = False


def set_observer(observer: Observer | None) -> None:
    """Let ``observer`` watch from now on, in the place of any other; ``None`` for nobody."""
    global _observer, _has_failed
    _observer, _has_failed = observer, False


def watch_validation(flow: Flow[T], scheme: str | None) -> Flow[T]:
    """``flow``, which judges a token, watched by the observer if there is one."""
    observer = _observer
    return flow if observer is None else _watch_flow(flow, lambda: observer.begin_validation(scheme))


def watch_call(
    call: HttpCall, exchange: Coroutine[Any, Any, HttpAnswer | CallFailedError]
) -> Awaitable[HttpAnswer | CallFailedError]:
    """``exchange``, which makes ``call``, watched by the observer if there is one."""
    observer = _observer
    return exchange if observer is None else _watch_exchange(exchange, lambda: observer.begin_call(call, _ORIGIN.get()))


def origin_here(*, is_background: bool = False) -> Origin | None:
    """What a flight that begins here is to know of it; ``None`` while nobody watches.

    A flight that is begun by another has that one's place.
    """
    observer = _observer
    if observer is None:
        return None
    outer = _ORIGIN.get()
    if outer is not None:
        return Origin(outer.place, is_background or outer.is_background)
    return Origin(_guarded(observer.place), is_background)


def enter_flight(origin: Origin | None) -> None:
    """Remember for the rest of this task where its flight began."""
    if origin is not None:
        _ORIGIN.set(origin)


def _watch_flow(flow: Flow[T], begin: Callable[[], End]) -> Flow[T]:
    with _Watch(begin):
        return (yield from flow)


async def _watch_exchange(
    exchange: Awaitable[HttpAnswer | CallFailedError], begin: Callable[[], End]
) -> HttpAnswer | CallFailedError:
    with _Watch(begin) as watch:
        outcome = watch.result = await exchange
        return outcome


class _Watch:
    """Tells the observer of the beginning and the end of a block, whichever way it is left."""

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
    """What the observer's ``function`` gives, or ``None`` where it fails."""
    try:
        return function()
    except Exception as error:
        _tell_failure(error)
        return None


def _tell_failure(error: Exception) -> None:
    global _has_failed
    if not _has_failed:
        _has_failed = True
        # By class and place alone: nobody knows what the message holds, and the frames hold what is judged.
        where = "".join(traceback.format_tb(error.__traceback__))
        what = "What watches the guards fails, with %s:\n%s"
        logs.write(logger, logging.ERROR, what, type(error).__name__, where)
