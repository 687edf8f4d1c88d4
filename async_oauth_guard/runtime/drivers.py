"""The two drivers of flows: they have each effect performed, and send its result to the flow.

A driver decides nothing. ``perform`` maps each kind of effect to the function that performs it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from .effects import Effect, Flow

__all__ = ["adrive", "drive", "interpose_flow"]

T = TypeVar("T")


def drive(flow: Flow[T], perform: Mapping[type[Effect], Callable[[Any], Any]]) -> T:
    """Run a flow on this thread."""
    try:
        effect = next(flow)
        while True:
            try:
                result = perform[type(effect)](effect)
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


async def adrive(flow: Flow[T], perform: Mapping[type[Effect], Callable[[Any], Awaitable[Any]]]) -> T:
    """Run a flow on this event loop. A cancellation closes the flow, and the flow cannot catch it."""
    try:
        effect = next(flow)
        while True:
            try:
                result = await perform[type(effect)](effect)
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def interpose_flow(flow: Flow[T], perform: Callable[[Effect], Flow[Any]]) -> Flow[T]:
    """Run ``flow`` inside another flow, and replace each of its effects by the flow ``perform(effect)``."""
    try:
        effect = next(flow)
        while True:
            try:
                result = yield from perform(effect)
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()
