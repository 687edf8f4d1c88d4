"""The one event loop for what goes out: calls to authorization servers, and nothing else.

It runs in a daemon thread of its own, started when first needed. Callers of both colours wait for it, each on a future
of its own, so that no caller's cancellation, and no end of its loop, touches a call that others wait for, or a pooled
connection. What is joined, started and ended here is so on that loop alone: single flight needs no lock.
"""

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import logging
import os
import threading
import traceback
from collections.abc import Awaitable, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from . import logs, shared_cache
from .drivers import adrive
from .effects import CacheDelete, CacheRead, CacheWrite, Effect, HttpCall, Once, Start
from .errors import Reason, TemporarilyUnavailableError
from .observation import Origin, enter_flight, origin_here
from .transport import Transport

__all__ = ["CLOSE_TIMEOUT", "GRACE", "LOOKUPS", "arun_once", "close", "run_once", "start"]

logger = logging.getLogger(__name__)

GRACE = 1.0
"""Seconds that a caller waits beyond the timeout of what it waits for: a loop that is that late is stuck."""

LOOKUPS = 32
"""Host names that are looked up at a time."""

CLOSE_TIMEOUT = 2.0
"""Seconds that `close` waits for the loop to end."""


# Without a `repr`: the value is what a server said of a person.
@dataclass(frozen=True, slots=True, repr=False)
class _Outcome:
    """What a flight ended with, for any number of waiters."""

    value: Any = None
    error: Exception | None = None

    def unpack(self) -> Any:
        if self.error is not None:
            raise _error_for_one(self.error)
        return self.value


_TOO_SLOW = _Outcome(error=TemporarilyUnavailableError(reason=Reason.SERVER_TOO_SLOW))
_CLOSED = _Outcome(error=TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE))

# Called on the outgoing loop, once.
_Deliver = Callable[[_Outcome], None]


@dataclass(eq=False, repr=False, slots=True)
class _Flight:
    origin: Origin | None
    waiters: list[_Deliver] = field(default_factory=list)


class _Outgoing:
    """The loop, its thread, and what is under way. The attributes in the second group are the loop's own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # It looks up host names there, of which a hanging one must not hold up others.
        self.loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, "async_oauth_guard looks up hosts"))
        self.thread = threading.Thread(target=self.serve, name="async_oauth_guard calls out", daemon=True)

        self.flights: dict[Hashable, _Flight] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.transport = Transport()

    def serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self.end())
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.transport.aclose()

    def submit(self, once: Once, deliver: _Deliver, origin: Origin | None) -> None:
        try:
            # In a context of its own: what one request starts for others sees no context variables of its.
            self.loop.call_soon_threadsafe(self.join, once, deliver, origin, context=contextvars.Context())
        except RuntimeError:
            # Closed since: the process is about to end.
            deliver(_CLOSED)

    def join(self, once: Once, deliver: _Deliver, origin: Origin | None) -> None:
        flight = self.flights.get(once.key)
        if flight is None:
            flight = self.flights[once.key] = _Flight(origin)
            task = self.loop.create_task(self.fly(once, flight), context=contextvars.Context())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif flight.origin is not None:
            flight.origin.is_shared = True
        flight.waiters.append(deliver)

    async def fly(self, once: Once, flight: _Flight) -> None:
        outcome = _CLOSED
        enter_flight(flight.origin)
        try:
            outcome = await self.outcome_of(once)
        finally:
            # Nobody joins what has ended.
            del self.flights[once.key]
            for deliver in flight.waiters:
                deliver(outcome)

    async def outcome_of(self, once: Once) -> _Outcome:
        try:
            return _Outcome(await adrive(once.flow(), self.performers(self.loop.time() + once.timeout)))
        except Exception as error:
            return _Outcome(error=error)

    def performers(self, deadline: float) -> Mapping[type[Effect], Callable[[Any], Awaitable[Any]]]:
        """What a flow may ask for here: no rows and no users' code, which belong to a request."""

        async def exchange(call: HttpCall) -> Any:
            return await self.transport.exchange(call, deadline)

        async def wait_for_flight(once: Once) -> Any:
            future: asyncio.Future[_Outcome] = self.loop.create_future()
            self.join(once, lambda outcome: _settle(future, outcome), origin_here())
            try:
                async with asyncio.timeout_at(deadline):
                    outcome = await future
            except TimeoutError:
                outcome = _TOO_SLOW
            return outcome.unpack()

        async def start_flight(effect: Start) -> None:
            self.join(effect.once, _ignore, origin_here(is_background=True))

        return {
            HttpCall: exchange,
            CacheRead: shared_cache.read,
            CacheWrite: shared_cache.write,
            CacheDelete: shared_cache.delete,
            Once: wait_for_flight,
            Start: start_flight,
        }


_lock = threading.Lock()
_outgoing: _Outgoing | None = None
# Never closed in a child, where that would reach through to the parent's own selector.
_of_parents: list[_Outgoing] = []


def _submit(once: Once, deliver: _Deliver, *, is_background: bool = False) -> None:
    origin = origin_here(is_background=is_background)
    # Under the lock: a loop that is chosen is not ended before it has been asked, or nobody would ever answer.
    with _lock:
        _running().submit(once, deliver, origin)


def _running() -> _Outgoing:
    global _outgoing
    if _outgoing is None or not _outgoing.thread.is_alive():
        _outgoing = _start_outgoing()
    return _outgoing


def _start_outgoing() -> _Outgoing:
    try:
        outgoing = _Outgoing()
    except OSError:
        # The process has too many files open.
        raise TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE) from None
    try:
        outgoing.thread.start()
    except RuntimeError:
        # It has too many threads, or is about to end.
        outgoing.loop.close()
        raise TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE) from None
    return outgoing


def run_once(once: Once) -> Any:
    """Wait on this thread for what ``once`` asks for.

    Raises:
        TemporarilyUnavailableError: there was no answer in time, or none that is one.
    """
    future: concurrent.futures.Future[_Outcome] = concurrent.futures.Future()
    _submit(once, future.set_result)
    try:
        outcome = future.result(once.timeout + GRACE)
    except concurrent.futures.TimeoutError:
        outcome = _TOO_SLOW
    return outcome.unpack()


async def arun_once(once: Once) -> Any:
    """See `run_once`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Outcome] = loop.create_future()

    def deliver(outcome: _Outcome) -> None:
        # A loop that has closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, future, outcome, context=contextvars.Context())

    _submit(once, deliver)
    try:
        async with asyncio.timeout(once.timeout + GRACE):
            outcome = await future
    except TimeoutError:
        outcome = _TOO_SLOW
    return outcome.unpack()


def start(effect: Start) -> None:
    """Begin what ``effect`` names, and wait for nothing: not even for it to be possible."""
    with contextlib.suppress(TemporarilyUnavailableError):
        _submit(effect.once, _ignore, is_background=True)


def _settle(future: "asyncio.Future[_Outcome]", outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _ignore(outcome: _Outcome) -> None:
    """Nobody waits. Of an outage the flow itself has told; of a bug nobody else would."""
    if outcome.error is not None and not isinstance(outcome.error, TemporarilyUnavailableError):
        bug = _error_for_one(outcome.error)
        logs.write(logger, logging.ERROR, "%s", "\n".join([str(bug), *getattr(bug, "__notes__", ())]))


def _error_for_one(error: Exception) -> Exception:
    """An exception that one waiter may raise and change: never the one that all share."""
    if isinstance(error, TemporarilyUnavailableError):
        return error.again()
    if isinstance(error, ImproperlyConfigured):
        return ImproperlyConfigured(*error.args)
    # A bug. Its message and its frames may hold what was sent, so it is told by class and place alone.
    bug = RuntimeError(f"{type(error).__name__} in a call to an authorization server")
    bug.add_note("Raised while calling out:\n" + "".join(traceback.format_tb(error.__traceback__)))
    return bug


def close() -> None:
    """End the loop and its connections, for the teardown of tests and processes; the next call starts anew."""
    global _outgoing
    with _lock:
        outgoing, _outgoing = _outgoing, None
    shared_cache.close()
    if outgoing is not None and outgoing.thread.is_alive():
        outgoing.loop.call_soon_threadsafe(outgoing.loop.stop)
        outgoing.thread.join(CLOSE_TIMEOUT)


def _forget_parent() -> None:
    global _lock, _outgoing
    # Threads do not survive a fork, and the lock may have been held by one of them.
    _lock = threading.Lock()
    if _outgoing is not None:
        _of_parents.append(_outgoing)
    _outgoing = None


os.register_at_fork(after_in_child=_forget_parent)
atexit.register(close)
