"""The outbound event loop: it sends all requests to authorization servers, and does nothing else.

It runs in a separate daemon thread, which starts on first use. Sync and async callers wait for it, each on a separate
future. So neither a caller's cancellation nor the end of its event loop affects a request that others wait for, or a
pooled connection. Shared runs start, are joined and end on this loop only, so single flight needs no lock.
"""

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import copy
import logging
import threading
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ..errors import Reason, TemporarilyUnavailableError
from ..protocol import logs
from . import django_cache, workers
from .drivers import adrive
from .effects import (
    CacheAdd,
    CacheDelete,
    CacheRead,
    CacheWrite,
    Compute,
    Effect,
    OutboundRequest,
    SingleFlight,
    StartBackground,
)
from .forking import renew_in_child
from .http import Transport
from .observer import enter_shared_run, place_here
from .workers import call_on_loop, check_threads, start_thread

__all__ = ["GRACE", "LOOKUPS", "arun_single_flight", "close", "run_single_flight", "start"]

logger = logging.getLogger("async_oauth_guard.outgoing")

GRACE = 1.0
"""Seconds that a caller waits beyond the timeout of a shared run. If the loop is later than that, it is stuck."""

LOOKUPS = 32
"""Maximum number of concurrent host name lookups."""


# No `repr`: the value may contain personal data from a server.
@dataclass(frozen=True, slots=True, repr=False)
class _Outcome:
    """The result or the error of a shared run, for any number of waiting callers."""

    value: Any = None
    error: Exception | None = None

    def unpack(self) -> Any:
        error = self.error
        if error is None:
            return self.value
        # A caller may change what it catches, so callers must not share one exception.
        raise error.again() if isinstance(error, TemporarilyUnavailableError) else copy.deepcopy(error)


_TOO_SLOW = _Outcome(error=TemporarilyUnavailableError(reason=Reason.SERVER_TOO_SLOW))
_CLOSED = _Outcome(error=TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE))

# Called once, on the outbound loop.
_Deliver = Callable[[_Outcome], object]


@dataclass(eq=False, repr=False, slots=True)
class _SharedRun:
    """The run of a single flight's flow, and the callers that wait for it."""

    place: Any
    waiters: list[_Deliver] = field(default_factory=list)
    task: "asyncio.Task[None]" = field(init=False)


class _Outgoing:
    """The loop, its thread, and the current shared runs. Only the loop uses the attributes of the last group."""

    # Set once the thread has started.
    thread: threading.Thread

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # The loop looks up host names on these threads. A lookup that hangs must not delay others.
        self.loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, "async_oauth_guard looks up hosts"))
        # Signatures need CPU time. A separate thread keeps them from delaying network I/O.
        self.processor = ThreadPoolExecutor(1, "async_oauth_guard computes")

        # Callers append to it under the lock of this module.
        self.submitted: deque[tuple[SingleFlight, _Deliver, Any]] = deque()

        self.shared_runs: dict[Hashable, _SharedRun] = {}
        self.transport = Transport()

    def serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self.end())
        finally:
            asyncio.set_event_loop(None)
            self.processor.shutdown(wait=False)
            self.loop.close()

    async def end(self) -> None:
        tasks = [shared_run.task for shared_run in self.shared_runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.transport.aclose()

    def submit(self, single_flight: SingleFlight, deliver: _Deliver, place: Any) -> None:
        self.submitted.append((single_flight, deliver, place))
        # A wake-up is a system call, so those who submit before the loop has woken up share one.
        if len(self.submitted) == 1 and not call_on_loop(self.loop, self.join_submitted):
            # The loop was closed meanwhile: the process is about to end.
            self.submitted.clear()
            deliver(_CLOSED)

    def join_submitted(self) -> None:
        while self.submitted:
            single_flight, deliver, place = self.submitted.popleft()
            try:
                self.join(single_flight, deliver, place)
            except Exception as error:
                # The loop must go on: while others are left, nobody wakes it up again.
                deliver(_Outcome(error=_without_frames(error)))

    def join(self, single_flight: SingleFlight, deliver: _Deliver, place: Any) -> None:
        shared_run = self.shared_runs.get(single_flight.key)
        if shared_run is None:
            shared_run = self.shared_runs[single_flight.key] = _SharedRun(place)
            run = self.perform(single_flight, shared_run)
            # In a new context: a shared run must not see the context variables of the request that started it.
            shared_run.task = self.loop.create_task(run, context=contextvars.Context())
        shared_run.waiters.append(deliver)

    async def perform(self, single_flight: SingleFlight, shared_run: _SharedRun) -> None:
        outcome = _CLOSED
        enter_shared_run(shared_run.place)
        try:
            outcome = await self.outcome_of(single_flight)
        finally:
            # A run that has ended cannot be joined.
            del self.shared_runs[single_flight.key]
            for deliver in shared_run.waiters:
                deliver(outcome)

    async def outcome_of(self, single_flight: SingleFlight) -> _Outcome:
        try:
            performers = self.performers(self.loop.time() + single_flight.timeout)
            return _Outcome(await adrive(single_flight.flow(), performers))
        except Exception as error:
            return _Outcome(error=_without_frames(error))

    def performers(self, deadline: float) -> Mapping[type[Effect], Callable[[Any], Awaitable[Any]]]:
        """Return what performs each effect on this loop. Rows and site code are left out: they belong to a request."""

        async def exchange(call: OutboundRequest) -> Any:
            return await self.transport.exchange(call, deadline)

        async def compute(effect: Compute) -> Any:
            try:
                work = self.loop.run_in_executor(self.processor, effect.function)
            except RuntimeError:
                # The process has too many threads, or it is about to end.
                return _CLOSED.unpack()
            try:
                async with asyncio.timeout_at(deadline):
                    return await work
            except TimeoutError:
                return _TOO_SLOW.unpack()

        async def wait_for_shared_run(single_flight: SingleFlight) -> Any:
            future: asyncio.Future[_Outcome] = self.loop.create_future()
            self.join(single_flight, lambda outcome: _settle(future, outcome), place_here())
            return await _result_of(future, deadline)

        async def start_shared_run(effect: StartBackground) -> None:
            self.join(effect.single_flight, _ignore, place_here())

        return {
            OutboundRequest: exchange,
            CacheRead: django_cache.read,
            CacheWrite: django_cache.write,
            CacheDelete: django_cache.delete,
            CacheAdd: django_cache.add,
            Compute: compute,
            SingleFlight: wait_for_shared_run,
            StartBackground: start_shared_run,
        }


_lock = threading.Lock()
_outgoing: _Outgoing | None = None
# Kept so that a child never closes them: closing would affect the selector that it shares with the parent.
_of_parents: list[_Outgoing] = []


def _submit(single_flight: SingleFlight, deliver: _Deliver) -> None:
    place = place_here()
    # Hold the lock, so that `close` cannot stop the loop before the run is submitted: the caller would get no result.
    with _lock:
        _running().submit(single_flight, deliver, place)


def _running() -> _Outgoing:
    global _outgoing
    if _outgoing is None or not _outgoing.thread.is_alive():
        _outgoing = _start_outgoing()
    return _outgoing


def _start_outgoing() -> _Outgoing:
    check_threads()
    try:
        outgoing = _Outgoing()
    except OSError:
        # The process has too many open files.
        raise TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE) from None
    thread = start_thread(outgoing.serve, "async_oauth_guard calls out")
    if thread is None:
        outgoing.loop.close()
        raise TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE)
    outgoing.thread = thread
    return outgoing


def run_single_flight(single_flight: SingleFlight) -> Any:
    """Run ``single_flight`` on the outbound loop, wait for it on this thread, and return its result.

    Raises:
        TemporarilyUnavailableError: there was no response in time, or no usable response.
        ImproperlyConfigured: gevent or eventlet has replaced Python's threads.
    """
    future: concurrent.futures.Future[_Outcome] = concurrent.futures.Future()
    _submit(single_flight, future.set_result)
    try:
        outcome = future.result(single_flight.timeout + GRACE)
    except concurrent.futures.TimeoutError:
        outcome = _TOO_SLOW
    return outcome.unpack()


async def arun_single_flight(single_flight: SingleFlight) -> Any:
    """See `run_single_flight`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Outcome] = loop.create_future()

    _submit(single_flight, lambda outcome: call_on_loop(loop, _settle, future, outcome))
    return await _result_of(future, loop.time() + single_flight.timeout + GRACE)


async def _result_of(future: "asyncio.Future[_Outcome]", deadline: float) -> Any:
    # `asyncio.timeout_at` would create more objects for each request.
    context = contextvars.Context()
    timer = future.get_loop().call_at(deadline, _settle, future, _TOO_SLOW, context=context)
    try:
        outcome = await future
    finally:
        timer.cancel()
    return outcome.unpack()


def start(effect: StartBackground) -> None:
    """Start the flow of ``effect`` without waiting for it. If it cannot be started, do nothing."""
    with contextlib.suppress(TemporarilyUnavailableError):
        _submit(effect.single_flight, _ignore)


def _settle(future: "asyncio.Future[_Outcome]", outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _ignore(outcome: _Outcome) -> None:
    """Log a bug in a shared run that nobody waits for. The flow itself has already logged an outage."""
    if outcome.error is not None and not isinstance(outcome.error, TemporarilyUnavailableError):
        bug = outcome.error
        logs.write(logger, logging.ERROR, "%s", "\n".join([str(bug), *getattr(bug, "__notes__", ())]))


def _without_frames(error: Exception) -> Exception:
    """Return an exception that refers to no frame: frames contain tokens, and one refers to the outcome."""
    if isinstance(error, TemporarilyUnavailableError):
        return error.again()
    if isinstance(error, ImproperlyConfigured):
        return ImproperlyConfigured(*error.args)
    # A bug. Its message and its frames may contain what was sent, so only its class and its location are reported.
    bug = RuntimeError(f"{type(error).__name__} during a request to an authorization server")
    bug.add_note("Raised during the request:\n" + "".join(traceback.format_tb(error.__traceback__)))
    return bug


def close() -> None:
    """Stop the loop and close its connections, for the teardown of tests and processes. The next request starts one."""
    global _outgoing
    with _lock:
        outgoing, _outgoing = _outgoing, None
    django_cache.close()
    if outgoing is not None and outgoing.thread.is_alive():
        outgoing.loop.call_soon_threadsafe(outgoing.loop.stop)
        outgoing.thread.join(workers.CLOSE_TIMEOUT)


def _forget_parent() -> None:
    global _lock, _outgoing
    # Threads do not survive a fork, and one of them may have held the lock.
    _lock = threading.Lock()
    if _outgoing is not None:
        _of_parents.append(_outgoing)
    _outgoing = None


renew_in_child(_forget_parent)
atexit.register(close)
