"""Wraps a view of any kind. The guarded view has the same kind, and is sync or async like the original."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from ..runtime.effects import Flow
from ..runtime.run import arun, is_async, is_in_loop, run
from .csrf import exempt
from .ninja_operations import PASSED, guard_operations
from .responses import StoringSuspended

__all__ = ["MAX_LAYERS", "Guard", "django_request", "guard_view"]

MAX_LAYERS = 100
"""How many layers of a view are examined. The limit is needed because a chain of `__wrapped__` can be a cycle."""


class Guard(Protocol):
    """What decides about requests to a view. ``checks_sessions``: it runs Django's session checks on some requests."""

    @property
    def checks_sessions(self) -> bool: ...

    def check_flow(
        self, request: HttpRequest, given: Any, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Flow[HttpResponseBase | None]:
        """The response to send instead of the view's, or ``None`` to let the request in.

        The view is called with ``given``: ``request`` itself, or a framework's request that wraps it.
        """
        ...

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Complete the response of the view."""
        ...


def django_request(request: Any) -> HttpRequest | None:
    """Django's request: ``request`` itself, or the one inside a request of Django REST framework; otherwise ``None``.

    A framework's request has the same ``META`` as the request inside it. This distinguishes it from a view that stores
    a request as ``_request``.
    """
    if isinstance(request, HttpRequest):
        return request
    inner = getattr(request, "_request", None)
    if isinstance(inner, HttpRequest) and getattr(request, "META", None) is inner.META:
        return inner
    return None


def guard_view(view: Any, guard: Guard) -> Any:
    """Guard a function, method, class, ``partial`` or callable object.

    Raises:
        TypeError: ``view`` is not callable, or is a class without ``dispatch()``.
    """
    if isinstance(view, type):
        return _guard_class(view, guard)
    if not callable(view):
        raise TypeError(f"a guarded view must be callable, got {type(view).__name__}")
    guarded = _guard_callable(view, guard)
    guard_operations(guarded, view, functools.partial(_guard_run, guard, guarded))
    return guarded


def _guard_callable(view: Any, guard: Guard) -> Any:
    if inspect.isasyncgenfunction(view):
        return _dress(_guard_generator(view, guard), view, guard)
    guarded = _guard_async(view, guard) if is_async(view) else _guard_sync(view, guard)
    return _dress(guarded, view, guard)


def _guard_run(guard: Guard, function: Any, run: Any) -> Any:
    """Guard the operation of a guarded function of Django Ninja."""
    guarded = _guard_callable(run, _OperationGuard(guard))
    guarded._oauth_guard = guard
    # If the guard runs Django's session checks, the exemptions of the function apply.
    guarded._unguarded_attributes = function._unguarded_attributes
    return guarded


@dataclass(frozen=True, slots=True, eq=False)
class _OperationGuard:
    """Tells the guard of a function which requests it need not check again."""

    guard: Guard

    @property
    def checks_sessions(self) -> bool:
        return self.guard.checks_sessions

    def check_flow(
        self, request: HttpRequest, given: Any, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Flow[HttpResponseBase | None]:
        refusal = yield from self.guard.check_flow(request, given, guarded, args, kwargs)
        if refusal is None:
            setattr(request, PASSED, (*getattr(request, PASSED, ()), self.guard))
        return refusal

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:
        self.guard.finish(request, response)


def _dress(guarded: Any, view: Any, guard: Guard) -> Any:
    functools.update_wrapper(guarded, view)
    if isinstance(view, functools.partial):
        # A partial has no name, but Django's logs and URL reversing need one.
        functools.update_wrapper(guarded, view.func, updated=())
        guarded.__wrapped__ = view
    exempt(guarded, view, lambda: guard.checks_sessions)
    # For code that lists views. Decorators that copy a view's attributes, and `as_view()`, keep it.
    guarded._oauth_guard = guard
    return guarded


def _guard_class(cls: Any, guard: Guard) -> type:
    if not hasattr(cls, "dispatch"):
        raise TypeError(f"{cls.__name__} must have a dispatch() to be guarded; derive it from Django's View")

    @functools.wraps(cls.dispatch)
    def inherited(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # Look it up at each call: a subclass may put another class between cls and its parent.
        return super(cls, self).dispatch(request, *args, **kwargs)

    # Set it only on this class, so that its parents and siblings do not change.
    cls.dispatch = guard_view(cls.__dict__.get("dispatch", inherited), guard)
    return cls  # type: ignore[no-any-return]


def _guard_sync(view: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    bound = _bound_object(view)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        request, given, rest = _split(args, kwargs)
        if _is_called_async(bound, args, request, given):
            return guarded_async(*args, **kwargs)
        with StoringSuspended(request) as storing:
            response = run(guard.check_flow(request, given, guarded, rest, kwargs))
            if response is None:
                response = view(*args, **kwargs)
                guard.finish(request, response)
            storing.resume(response)
        return response

    guarded_async = _guard_async(view, guard, guarded)
    return guarded


def _guard_async(view: Callable[..., Any], guard: Guard, outer: Any = None) -> Callable[..., Any]:
    """Guard an async view. ``outer`` is the guarded sync view, if the view is a ``def`` that may give an awaitable."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        request, given, rest = _split(args, kwargs)
        with StoringSuspended(request) as storing:
            response: Any = await arun(guard.check_flow(request, given, outer or guarded, rest, kwargs))
            if response is None:
                response = view(*args, **kwargs)
                if outer is None or inspect.isawaitable(response):
                    response = await response
                guard.finish(request, response)
            storing.resume(response)
        return response

    return guarded


def _guard_generator(view: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    """Guard an async generator. Django Ninja sends what it yields; the guard in front of Ninja has sent refusals."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        request, given, rest = _split(args, kwargs)
        if await arun(guard.check_flow(request, given, guarded, rest, kwargs)) is not None:
            raise PermissionDenied(
                "require_oauth must be directly above the async generator, or next to Django Ninja's decorator"
            )
        async for item in view(*args, **kwargs):
            yield item

    return guarded


def _is_called_async(bound: Any, args: tuple[Any, ...], request: HttpRequest, given: Any) -> bool:
    """Whether a ``def`` may return an awaitable, as ``dispatch`` of an async class does.

    ``bound`` is the object of the method, if it was known when the view was guarded. Otherwise, it is the first
    argument.
    """
    if given is not request:
        # A framework does not await the result of a ``def`` handler, not even in an async class.
        return False
    owner = args[0] if bound is None and args and args[0] is not request else bound
    if owner is None:
        return False
    if isinstance(owner, View):
        return bool(owner.view_is_async)
    return is_in_loop()


def _bound_object(view: Any) -> Any:
    """The object of a method: of ``view``, or of what decorators and `functools.partial` wrap in it."""
    for _ in range(MAX_LAYERS):
        bound = getattr(view, "__self__", None)
        if bound is not None or view is None:
            return bound
        view = view.func if isinstance(view, functools.partial) else getattr(view, "__wrapped__", None)
    return None


def _split(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[HttpRequest, Any, tuple[Any, ...]]:
    """Django's request, the request among a view's arguments, and the positional arguments after it."""
    # Look for Django's own request first, because `self` may delegate to an earlier request and so look like a
    # framework's request.
    if args and isinstance(args[0], HttpRequest):
        return args[0], args[0], args[1:]
    # For a method, the request is the second argument, after `self`.
    if len(args) > 1 and isinstance(args[1], HttpRequest):
        return args[1], args[1], args[2:]
    for number, given in enumerate(args[:2], start=1):
        if (request := django_request(given)) is not None:
            return request, given, args[number:]
    given = kwargs.get("request")
    if (request := django_request(given)) is None:
        names = ", ".join(type(each).__name__ for each in args) or "no positional arguments"
        raise TypeError(
            f"a guarded view must be called with an HttpRequest as its first argument, or as request=, got {names}"
        )
    return request, given, args
