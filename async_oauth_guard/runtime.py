"""Runs flows for callers of both colours, and performs what they ask for, on a thread or on an event loop.

Which code may run where is decided here, but for lookups (`rows`), for views (`decorators`), and for what goes out
(`outgoing`).
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from .credentials import Secret
from .drivers import adrive, drive
from .effects import Call, Effect, Flow, Notify, Once, ReadModel, Row, Start
from .outgoing import arun_once, run_once, start
from .rows import aread_rows, read_rows

__all__ = ["arun", "is_async", "is_in_loop", "run", "run_outside_loop"]

T = TypeVar("T")

# Models whose methods query: moved to the request's own thread the first time, and for good.
_QUERYING_MODELS: set[type] = set()


def run(flow: Flow[T]) -> T:
    """Run a flow on this thread."""
    return drive(flow, _PERFORM)


def run_outside_loop(flow: Flow[T], instead: str) -> T:
    """Run a flow on this thread, for doors that do I/O; ``instead`` is what to write in a coroutine.

    Raises:
        SynchronousOnlyOperation: an event loop runs in this thread.
    """
    if is_in_loop():
        flow.close()
        raise _would_block(instead)
    return run(flow)


def _would_block(instead: str) -> SynchronousOnlyOperation:
    return SynchronousOnlyOperation(f"This would block the event loop of this thread: {instead} instead.")


async def arun(flow: Flow[T]) -> T:
    """Run a flow on this event loop. A cancellation closes the flow, which cannot catch it."""
    return await adrive(flow, _APERFORM)


def _invoke(call: Call) -> Any:
    # Revealed in the call itself: a frame of ours that held the token would show it on Django's error pages.
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
    result = await _in_request_thread(_invoke, call)
    return await result if inspect.isawaitable(result) else result


async def _in_request_thread(perform: Callable[[Any], Any], effect: Effect) -> Any:
    return await sync_to_async(_perform_safely, thread_sensitive=True)(perform, effect)


def _perform_safely(perform: Callable[[Any], Any], effect: Effect) -> Any:
    try:
        return perform(effect)
    except StopIteration as error:
        # No future can hold it: under Python 3.11 and early 3.12 the request would wait for ever.
        raise RuntimeError("StopIteration was raised outside a generator") from error


def is_async(function: Any) -> bool:
    """Whether a call of ``function``, or of an object with an async ``__call__``, gives a coroutine."""
    if iscoroutinefunction(function):
        return True
    return not inspect.isroutine(function) and iscoroutinefunction(getattr(function, "__call__", None))


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread."""
    return asyncio._get_running_loop() is not None


def _read_model(effect: ReadModel) -> Any:
    return effect.read(effect.instance)


async def _aread_model(effect: ReadModel) -> Any:
    model = type(effect.instance)
    if not effect.blocking and model not in _QUERYING_MODELS:
        try:
            return _read_model(effect)
        except SynchronousOnlyOperation:
            _QUERYING_MODELS.add(model)
    return await _in_request_thread(_read_model, effect)


def _run_once(once: Once) -> Any:
    if is_in_loop():
        # As Django has it of queries.
        raise _would_block("call it by sync_to_async()")
    return run_once(once)


def _notify(effect: Notify) -> None:
    effect.signal.send(effect.sender, **effect.arguments)


async def _astart(effect: Start) -> None:
    start(effect)


async def _anotify(effect: Notify) -> None:
    await effect.signal.asend(effect.sender, **effect.arguments)


_PERFORM: Mapping[type[Effect], Callable[[Any], Any]] = {
    Row: read_rows,
    Call: _call,
    ReadModel: _read_model,
    Notify: _notify,
    Once: _run_once,
    Start: start,
}
_APERFORM: Mapping[type[Effect], Callable[[Any], Awaitable[Any]]] = {
    Row: aread_rows,
    Call: _acall,
    ReadModel: _aread_model,
    Notify: _anotify,
    Once: arun_once,
    Start: _astart,
}
