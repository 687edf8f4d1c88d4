"""Runs flows for sync and async callers, and performs their effects on a thread or on an event loop.

This module decides which code runs where, except for rows and model instances (`database`), views (`guard.decorators`)
and requests to authorization servers (`event_loop`).
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.exceptions import SynchronousOnlyOperation

from ..protocol.secrets import Secret
from .database.instances import aread_model, read_model
from .database.lookup import aread_rows, read_rows
from .drivers import adrive, drive
from .effects import Call, Effect, Flow, Notify, ReadModel, Row, SingleFlight, StartBackground
from .event_loop import arun_single_flight, run_single_flight, start
from .request_thread import in_request_thread

__all__ = ["arun", "is_async", "is_in_loop", "run", "run_outside_loop"]

T = TypeVar("T")


def run(flow: Flow[T]) -> T:
    """Run a flow on this thread."""
    return drive(flow, _PERFORM)


def run_outside_loop(flow: Flow[T], instead: str) -> T:
    """Run a flow that does I/O on this thread. ``instead`` is the code to use in a coroutine.

    Raises:
        SynchronousOnlyOperation: an event loop is running in this thread.
    """
    if is_in_loop():
        flow.close()
        raise _would_block(instead)
    return run(flow)


def _would_block(instead: str) -> SynchronousOnlyOperation:
    return SynchronousOnlyOperation(f"This call would block the event loop of this thread. Use {instead} instead.")


async def arun(flow: Flow[T]) -> T:
    """Run a flow on this event loop. A cancellation closes the flow, and the flow cannot catch it."""
    return await adrive(flow, _APERFORM)


def _invoke(call: Call) -> Any:
    # Reveal secrets only in the call expression: Django's error pages would show a local variable with the token.
    return call.function(
        *(part.reveal() if isinstance(part, Secret) else part for part in call.arguments), **(call.keywords or {})
    )


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _call(call: Call) -> Any:
    result = _invoke(call)
    return async_to_sync(_await)(result) if inspect.isawaitable(result) else result


async def _acall(call: Call) -> Any:
    if is_async(call.function):
        return await _invoke(call)
    result, is_awaitable = await in_request_thread(_invoke_on_thread, call)
    return await result if is_awaitable else result


def _invoke_on_thread(call: Call) -> tuple[Any, bool]:
    result = _invoke(call)
    # Check on this thread, since the check resolves a lazy object, which may query.
    return result, inspect.isawaitable(result)


def is_async(function: Any) -> bool:
    """Whether ``function`` is a coroutine function or an object with an async ``__call__``."""
    if iscoroutinefunction(function):
        return True
    return not inspect.isroutine(function) and iscoroutinefunction(getattr(function, "__call__", None))


def is_in_loop() -> bool:
    """Whether an event loop is running in this thread."""
    return asyncio._get_running_loop() is not None


def _run_single_flight(single_flight: SingleFlight) -> Any:
    if is_in_loop():
        # Django treats queries the same way.
        raise _would_block("sync_to_async()")
    return run_single_flight(single_flight)


def _notify(effect: Notify) -> None:
    effect.signal.send(effect.sender, **effect.arguments)


async def _astart(effect: StartBackground) -> None:
    start(effect)


async def _anotify(effect: Notify) -> None:
    await effect.signal.asend(effect.sender, **effect.arguments)


_PERFORM: Mapping[type[Effect], Callable[[Any], Any]] = {
    Row: read_rows,
    Call: _call,
    ReadModel: read_model,
    Notify: _notify,
    SingleFlight: _run_single_flight,
    StartBackground: start,
}
_APERFORM: Mapping[type[Effect], Callable[[Any], Awaitable[Any]]] = {
    Row: aread_rows,
    Call: _acall,
    ReadModel: aread_model,
    Notify: _anotify,
    SingleFlight: arun_single_flight,
    StartBackground: _astart,
}
