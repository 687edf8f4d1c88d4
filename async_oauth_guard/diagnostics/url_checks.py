"""The system checks of routes: which views have no guard, and what around a guarded view conflicts with the guard."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations, pairwise
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

from ..guard.csrf import ExemptByGuard, exemptions_by_guard, kinds_of_checks
from ..guard.keywords import UnenforceableError
from .code_analysis import may_skip
from .framework_checks import check_operations, check_rest_views
from .routes import TO_GUARD, Route, is_allowed, is_excused, iter_routes, patterns_of_allowed
from .view_analysis import Step

__all__ = ["check_site"]

# All other methods that Django's views support are safe (RFC 9110 §9.2.1), and Django's CSRF check ignores those.
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


def _routes_of_site() -> list[Route]:
    """All routes; none if the URL configuration cannot be loaded, because Django itself reports that."""
    try:
        return list(iter_routes())
    except ImproperlyConfigured:
        return []


def check_site(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the site (E005, W010, W012) and each route (E006, E008, W004, W011, W013, W019, W027-W029).

    E005: ``ATOMIC_REQUESTS`` applies to guarded async views. E006: a guard has a keyword that no validator knows.
    W004: ``csrf_exempt`` has no effect. W010: sync-only middleware runs around guarded async views. W011: a route has
    no guard. W012: a pattern in ``UNGUARDED`` matches no unguarded route. W013: Django's CSRF check refuses requests
    that have a token. W019: a view has the exemptions of a guarded view, but may respond without the guard. E008, W029:
    see `check_operations`. W027, W028: see `check_rest_views`.
    """
    routes, allowed = _routes_of_site(), _allowed_patterns()
    views = _first_of_each_view(routes)
    asynchronous = [route for route in routes if route.all_guards and route.is_async]
    return [
        *_transaction_messages(asynchronous),
        *_keyword_messages(views),
        *_middleware_messages(asynchronous),
        *([] if allowed is None else _unguarded_messages(routes, allowed)),
        *(message for view in views for message in _exemption_messages(view)),
        *_csrf_messages(views),
        *_copied_exemption_messages(views),
        *check_operations(routes, allowed or ()),
        *check_rest_views(views),
    ]


def _first_of_each_view(routes: Iterable[Route]) -> Sequence[Route]:
    first: dict[int, Route] = {}
    for route in routes:
        first.setdefault(id(route.callback), route)
    return list(first.values())


def _allowed_patterns() -> Collection[str] | None:
    """See `patterns_of_allowed`. If they are invalid, E002 reports this."""
    try:
        return patterns_of_allowed()
    except ImproperlyConfigured:
        return None


def _transaction_messages(routes: Sequence[Route]) -> Iterator[CheckMessage]:
    aliases = {alias for alias in connections if connections.settings[alias]["ATOMIC_REQUESTS"]}
    refused = [route.view for route in routes if aliases - getattr(route.callback, "_non_atomic_requests", set())]
    if refused:
        yield Error(
            f"Each request to {_listed(refused)} gets 500, because a database has ATOMIC_REQUESTS, and Django cannot "
            "run async views in a transaction.",
            hint="Set @transaction.non_atomic_requests on these views, or do not use ATOMIC_REQUESTS.",
            id="async_oauth_guard.E005",
        )


def _keyword_messages(routes: Iterable[Route]) -> Iterator[CheckMessage]:
    for route in routes:
        for guard in route.all_guards:
            try:
                guard.protector.check_keywords(guard.requirements)
            except (TypeError, UnenforceableError) as error:
                yield Error(
                    f"Each request to {route.view} gets 500: {error}.",
                    hint="Correct the keyword, add it to the signature of that validate_token, or set "
                    "the option that the message names.",
                    id="async_oauth_guard.E006",
                )
            except ImproperlyConfigured:
                # E002 reports this.
                pass


def _middleware_messages(routes: Sequence[Route]) -> Iterator[CheckMessage]:
    # The same test as in Django's handler.
    sync_only = [path for path, middleware in _middleware() if not getattr(middleware, "async_capable", False)]
    if routes and sync_only:
        yield checks.Warning(
            f"MIDDLEWARE contains sync-only middleware: {_listed(sync_only)}. Under ASGI, each request to a guarded "
            "async view holds its own thread until its response.",
            hint="Use only middleware with async_capable = True, or sync views.",
            id="async_oauth_guard.W010",
        )


def _middleware() -> Iterator[tuple[str, Any]]:
    for path in settings.MIDDLEWARE:
        try:
            yield path, import_string(path)
        except ImportError:
            # Django reports this when it handles requests.
            continue


def _unguarded_messages(routes: Sequence[Route], patterns: Collection[str]) -> Iterator[CheckMessage]:
    unguarded = [route for route in routes if not route.is_guarded]
    for route in unguarded:
        if not is_excused(route, patterns):
            yield checks.Warning(
                f"{route.path} ({route.view}) {_lack(route)}.",
                hint=TO_GUARD,
                id="async_oauth_guard.W011",
            )
    for pattern in patterns:
        if routes and not any(is_allowed(route, [pattern]) for route in unguarded):
            yield checks.Warning(
                f"The pattern {pattern!r} in OAUTH_GUARD['UNGUARDED'] matches no unguarded route.",
                hint="Remove it, because it would excuse a route that is added later.",
                id="async_oauth_guard.W012",
            )


def _lack(route: Route) -> str:
    if not route.all_guards:
        return "is not guarded"
    return f"is not guarded for each method: {route.requirement}"


def _exemption_messages(route: Route) -> Iterator[CheckMessage]:
    steps = route.guarding.steps
    if any(_is_marked(inner) and _exempts(outer.layer) for outer, inner in combinations(steps, 2)):
        yield checks.Warning(
            f"csrf_exempt has no effect above the guard of {route.view}, because that guard itself runs Django's CSRF "
            "check on requests that a browser may send by itself.",
            hint="Put @csrf_exempt below the guard, next to the view, if these requests should be exempt.",
            id="async_oauth_guard.W004",
        )


def _is_marked(step: Step) -> bool:
    """Whether this is a guard that runs the CSRF check itself. An exemption below the guard would replace its mark."""
    checks_sessions = step.guard is not None and step.guard.checks_sessions
    return checks_sessions and isinstance(getattr(step.layer, "csrf_exempt", None), ExemptByGuard)


def _exempts(layer: Any) -> bool:
    # Django's decorator overwrites its own ``True`` with the guard's mark, so recognise it by its code.
    code = getattr(layer, "__code__", None)
    is_decorated = code is not None and code.co_qualname.startswith(f"{csrf_exempt.__name__}.")
    return getattr(layer, "csrf_exempt", False) is True or is_decorated


def _is_installed(kind: type) -> bool:
    return any(isinstance(each, type) and issubclass(each, kind) for _, each in _middleware())


def _csrf_messages(routes: Iterable[Route]) -> Iterator[CheckMessage]:
    if not _is_installed(CsrfViewMiddleware):
        return
    for route in routes:
        methods = [method for method in _UNSAFE if _is_guarded_in_vain(route, method)]
        if methods:
            yield checks.Warning(
                f"Django's CSRF check applies to {_listed(methods)} of {route.view}, so these requests get 403 "
                "although they have a token.",
                hint="Guard the class or its dispatch(); or set csrf_exempt, if none of its other methods relies on a "
                "session.",
                id="async_oauth_guard.W013",
            )


def _is_guarded_in_vain(route: Route, method: str) -> bool:
    if getattr(route.callback, "csrf_exempt", False):
        return False
    return method in route.guarding.methods and bool(route.guards_for(method))


def _copied_exemption_messages(routes: Iterable[Route]) -> Iterator[CheckMessage]:
    attributes = {"csrf_exempt": "Django's CSRF check", "login_required": "LoginRequiredMiddleware"}
    checked = {name for name, kind in zip(attributes, kinds_of_checks(), strict=False) if _is_installed(kind)}
    for route in routes:
        exemptions = [attributes[name] for name in exemptions_by_guard(route.callback) if name in checked]
        if exemptions and _may_skip_guard(route):
            yield checks.Warning(
                f"{route.path} ({route.view}) is exempt from {' and '.join(exemptions)}, because it copied the "
                "attributes of a guarded view, but it may respond to some requests without that guard.",
                hint="Guard this outer view too, or move its outer decorator below the guard; or set csrf_exempt and "
                "login_required on the outer view yourself.",
                id="async_oauth_guard.W019",
            )


def _may_skip_guard(route: Route) -> bool:
    """Whether a layer above the outermost guard may respond to some requests, as far as its code shows."""
    layers = []
    for step in route.guarding.steps:
        layers.append(step.layer)
        if step.guard is not None:
            return any(may_skip(wrapper, wrapped) for wrapper, wrapped in pairwise(layers))
    return not route.is_guarded


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
