"""From a view of any kind to a guarded one of the same kind and colour."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from .effects import Flow
from .runtime import arun, is_async, is_in_loop, run
from .session_checks import exempt

__all__ = ["MAX_LAYERS", "Guard", "guard_view"]

MAX_LAYERS = 100
"""How many layers of a view are looked at: some `__wrapped__` lead back to where they came from."""


class Guard(Protocol):
    """What stands before a view; ``optional`` lets requests without credentials in."""

    @property
    def optional(self) -> bool: ...

    def admit_flow(
        self, request: HttpRequest, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Flow[HttpResponseBase | None]:
        """The answer in place of the view's, or ``None`` to let the request in."""
        ...

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Complete what the view answered."""
        ...


def guard_view(view: Any, guard: Guard) -> Any:
    """Wrap a function, method, class, ``partial`` or callable object.

    Raises:
        TypeError: it is nothing that can be called as a view.
    """
    if isinstance(view, type):
        return _guard_class(view, guard)
    if not callable(view):
        raise TypeError(f"only a view can be guarded, not {type(view).__name__}")
    guarded = _guard_async(view, guard) if is_async(view) else _guard_sync(view, guard)
    return _dress(guarded, view, guard)


def _dress(guarded: Any, view: Any, guard: Guard) -> Any:
    functools.update_wrapper(guarded, view)
    if isinstance(view, functools.partial):
        # A partial has no name of its own; Django's logs and reversals want one.
        functools.update_wrapper(guarded, view.func, updated=())
        guarded.__wrapped__ = view
    exempt(guarded, view, guard.optional)
    # For those who list views. Decorators that keep a view's attributes, and `as_view()`, pass it on.
    guarded._oauth_guard = guard
    return guarded


def _guard_class(cls: Any, guard: Guard) -> type:
    if not hasattr(cls, "dispatch"):
        raise TypeError(f"{cls.__name__} has no dispatch(), so there is nothing to guard; is it a View?")

    @functools.wraps(cls.dispatch)
    def inherited(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # Looked up at the call: a child of cls may have put another class between it and its parent.
        return super(cls, self).dispatch(request, *args, **kwargs)

    # Set on this very class, so that its parents and siblings stay as they were.
    cls.dispatch = guard_view(cls.__dict__.get("dispatch", inherited), guard)
    return cls  # type: ignore[no-any-return]


def _guard_sync(view: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    bound = _bound_object(view)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        if _is_called_async(bound, args):
            return guarded_async(*args, **kwargs)
        request, rest = _split(args, kwargs)
        refusal = run(guard.admit_flow(request, guarded, rest, kwargs))
        if refusal is not None:
            return refusal
        response = view(*args, **kwargs)
        guard.finish(request, response)
        return response

    guarded_async = _guard_async(view, guard, guarded)
    return guarded


def _guard_async(view: Callable[..., Any], guard: Guard, outer: Any = None) -> Callable[..., Any]:
    """``outer`` is the guard of a plain ``def``; called here, that may answer with something to await, or may not."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        request, rest = _split(args, kwargs)
        refusal = await arun(guard.admit_flow(request, outer or guarded, rest, kwargs))
        if refusal is not None:
            return refusal
        response = view(*args, **kwargs)
        if outer is None or inspect.isawaitable(response):
            response = await response
        guard.finish(request, response)
        return response

    return guarded


def _is_called_async(bound: Any, args: tuple[Any, ...]) -> bool:
    """Whether a plain ``def`` answers with something to await, as ``dispatch`` of an async class does.

    ``bound`` is the object whose method it is, where that was known when it was guarded; else the first argument is.
    """
    owner = args[0] if bound is None and args and not isinstance(args[0], HttpRequest) else bound
    if owner is None:
        return False
    if isinstance(owner, View):
        return bool(owner.view_is_async)
    return is_in_loop()


def _bound_object(view: Any) -> Any:
    """The object that ``view``, or what decorators and `functools.partial` have wrapped in it, is a method of."""
    for _ in range(MAX_LAYERS):
        bound = getattr(view, "__self__", None)
        if bound is not None or view is None:
            return bound
        view = view.func if isinstance(view, functools.partial) else getattr(view, "__wrapped__", None)
    return None


def _split(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[HttpRequest, tuple[Any, ...]]:
    """The request among a view's arguments, and the positional ones after it."""
    if args and isinstance(args[0], HttpRequest):
        return args[0], args[1:]
    if len(args) > 1 and isinstance(args[1], HttpRequest):
        # Of a method, after `self`.
        return args[1], args[2:]
    request = kwargs.get("request")
    if not isinstance(request, HttpRequest):
        raise TypeError("a guarded view was called without an HttpRequest")
    return request, args
