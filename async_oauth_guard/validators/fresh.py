"""Tells our methods, if a hook calls them, that the view requires a fresh result."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..protocol.secrets import Secret
from ..runtime.effects import Call, Flow

__all__ = ["call_hook_flow", "is_fresh"]

# Set while a hook runs for a view that requires a fresh result.
_FRESH: ContextVar[bool] = ContextVar("async_oauth_guard.fresh", default=False)


def call_hook_flow(find: Callable[..., Any], token: Secret[str], *, fresh: bool) -> Flow[Any]:
    """Call the hook that finds ``token``. If the hook calls ``super()``, our method learns whether to use the cache."""
    if not fresh:
        return (yield Call(find, (token,)))
    earlier = _FRESH.set(True)
    try:
        return (yield Call(find, (token,)))
    finally:
        _FRESH.reset(earlier)


def is_fresh() -> bool:
    """Whether a hook runs now for a view that requires a fresh result, so that our method must use no cached one."""
    return _FRESH.get()
