"""The system checks of routes: what stands around guarded views, and which views have no guard."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt

from .guarding import Step
from .routes import TO_GUARD, Route, is_allowed, iter_routes, patterns_of_allowed
from .session_checks import EXEMPT_WHILE_CHECKED

__all__ = ["check_site"]

_APP = "async_oauth_guard"

# RFC 9110 §9.2.1 has the safe ones, which Django's check lets be.
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


def _routes_of_site() -> list[Route]:
    """Every route; none of a site whose URL configuration is broken, which Django itself says."""
    try:
        return list(iter_routes())
    except ImproperlyConfigured:
        return []


def check_site(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E005: ``ATOMIC_REQUESTS`` around async views. E006: a keyword of a guard that no validator takes.

    W010: middleware around async views that is sync-only.

    And of each route W004: an exemption without effect. W011, W012: it has no guard, or is excused for nothing.
    W013: Django's CSRF check stands before its guard.
    """
    routes = _routes_of_site()
    asynchronous = [route for route in routes if route.all_guards and route.colour == "async"]
    return [
        *_transaction_messages(asynchronous),
        *_keyword_messages(routes),
        *_middleware_messages(asynchronous),
        *_unguarded_messages(routes),
        *(message for callback in _callbacks(routes) for message in _exemption_messages(callback)),
        *_csrf_messages(routes),
    ]


def _callbacks(routes: Iterable[Route]) -> Iterable[Route]:
    """Of several routes to one view, the first."""
    first: dict[int, Route] = {}
    for route in routes:
        first.setdefault(id(route.callback), route)
    return first.values()


def _transaction_messages(routes: Sequence[Route]) -> Iterator[CheckMessage]:
    aliases = {alias for alias in connections if connections.settings[alias]["ATOMIC_REQUESTS"]}
    refused = [route.view for route in routes if aliases - getattr(route.callback, "_non_atomic_requests", set())]
    if refused:
        yield Error(
            f"ATOMIC_REQUESTS makes Django answer with an error in place of {_listed(refused)}: async views cannot run "
            "in a transaction.",
            hint="Decorate them with @transaction.non_atomic_requests, or leave ATOMIC_REQUESTS out.",
            id=f"{_APP}.E005",
        )


def _keyword_messages(routes: Iterable[Route]) -> Iterator[CheckMessage]:
    for route in _callbacks(routes):
        for guard in route.all_guards:
            try:
                guard.protector.check_keywords(guard.requirements)
            except TypeError as error:
                yield Error(
                    f"Each request for {route.view} is answered with an error: {error}.",
                    hint="Correct the keyword at the view, or let that method take it.",
                    id=f"{_APP}.E006",
                )
            except ImproperlyConfigured:
                # E002 says so.
                pass


def _middleware_messages(routes: Sequence[Route]) -> Iterator[CheckMessage]:
    # As Django asks it.
    sync_only = [path for path, middleware in _middleware() if not getattr(middleware, "async_capable", False)]
    if routes and sync_only:
        yield checks.Warning(
            f"{_listed(sync_only)} cannot run on an event loop, so each request of a guarded async view holds a thread "
            "until it is answered.",
            hint="Use middleware with async_capable = True throughout, or make these views plain ones.",
            id=f"{_APP}.W010",
        )


def _middleware() -> Iterator[tuple[str, Any]]:
    for path in settings.MIDDLEWARE:
        try:
            yield path, import_string(path)
        except ImportError:
            # Django says so as soon as it serves.
            continue


def _unguarded_messages(routes: Sequence[Route]) -> Iterator[CheckMessage]:
    try:
        patterns = patterns_of_allowed()
    except ImproperlyConfigured:
        # E002 says so.
        return
    if patterns is None:
        return
    unguarded = [route for route in routes if not route.is_guarded]
    for route in unguarded:
        if not is_allowed(route, patterns):
            yield checks.Warning(
                f"{route.path} ({route.view}) {_lack(route)}.",
                hint=TO_GUARD,
                id=f"{_APP}.W011",
            )
    for pattern in patterns:
        if routes and not any(is_allowed(route, [pattern]) for route in unguarded):
            yield checks.Warning(
                f"OAUTH_GUARD['UNGUARDED'] has {pattern!r}, which matches no unguarded route.",
                hint="Take it out, before it excuses a route that somebody adds.",
                id=f"{_APP}.W012",
            )


def _lack(route: Route) -> str:
    if not route.all_guards:
        return "is not guarded"
    return f"is not guarded for each method: {route.requirement}"


def _exemption_messages(route: Route) -> Iterator[CheckMessage]:
    steps = route.guarding.steps
    if any(_is_marked(step) and _has_exemption(steps[:number]) for number, step in enumerate(steps)):
        yield checks.Warning(
            f"csrf_exempt has no effect above the optional guard of {route.view}.",
            hint="Write @csrf_exempt below the guard, next to the view, if requests without a token are to be exempt.",
            id=f"{_APP}.W004",
        )


def _is_marked(step: Step) -> bool:
    """Whether it is an optional guard. Below one, an exemption takes the place of its mark."""
    is_optional = step.guard is not None and step.guard.optional
    return is_optional and getattr(step.layer, "csrf_exempt", None) is EXEMPT_WHILE_CHECKED


def _has_exemption(above: Iterable[Step]) -> bool:
    return any(_exempts(step.layer) for step in above)


def _exempts(layer: Any) -> bool:
    # Django's decorator copies the guard's mark over its own ``True``, so it is known by its code.
    code = getattr(layer, "__code__", None)
    is_decorated = code is not None and code.co_qualname.startswith(f"{csrf_exempt.__name__}.")
    return getattr(layer, "csrf_exempt", False) is True or is_decorated


def _csrf_messages(routes: Iterable[Route]) -> Iterator[CheckMessage]:
    if not any(isinstance(each, type) and issubclass(each, CsrfViewMiddleware) for _, each in _middleware()):
        return
    for route in _callbacks(routes):
        methods = [method for method in _UNSAFE if _is_guarded_in_vain(route, method)]
        if methods:
            yield checks.Warning(
                f"Django's CSRF check covers {_listed(methods)} of {route.view}, so requests are refused there "
                "although they have a token.",
                hint="Guard the class or its dispatch(), or exempt the view with csrf_exempt if none of its other "
                "methods relies on a session.",
                id=f"{_APP}.W013",
            )


def _is_guarded_in_vain(route: Route, method: str) -> bool:
    if getattr(route.callback, "csrf_exempt", False):
        return False
    return method in route.guarding.methods and bool(route.guards_for(method))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
