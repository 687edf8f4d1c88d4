"""That nothing is left unguarded, as a test."""

from collections.abc import Iterable
from typing import Any

from ..guarding import guarding_of
from ..routes import TO_GUARD, Route, dotted_path, is_allowed, iter_routes, patterns_of_allowed, route_of

__all__ = ["assert_guarded"]


def assert_guarded(url_or_view: Any = None, *, urlconf: Any = None) -> None:
    """Fail unless a guard stands before every request for what is given, or for every route of the site.

    A guard with ``optional=True`` is a guard, although it lets in requests that present nothing. What a guard asks for
    is not looked at.

    Args:
        url_or_view: a path (``/reports/2024``), the name of a URL (``reports:yearly``), or a view: a function, a class,
            or what ``as_view()`` returned. Left out, every route but those that ``OAUTH_GUARD["UNGUARDED"]`` names.
        urlconf: the URL configuration to look in; the site's unless given.

    Raises:
        AssertionError: there is no guard, or a request can pass it by; or there is no such URL.
        TypeError: ``url_or_view`` is none of these.
        ImproperlyConfigured: the URL configuration cannot be loaded, or the setting is wrong.
    """
    # pytest need not show what is in here.
    __tracebackhide__ = True
    if url_or_view is None:
        patterns = patterns_of_allowed() or ()
        # To name it in the setting helps here alone: a route that a test names itself is to have a guard.
        _fail_for((route for route in iter_routes(urlconf) if not is_allowed(route, patterns)), TO_GUARD)
    elif isinstance(url_or_view, str):
        _fail_for(_routes_called(url_or_view, urlconf))
    elif not callable(url_or_view):
        raise TypeError(f"a path, the name of a URL, or a view is wanted, not {type(url_or_view).__name__}")
    elif not guarding_of(url_or_view).is_whole:
        raise AssertionError(f"unguarded: {dotted_path(url_or_view)}")


def _routes_called(url: str, urlconf: Any) -> list[Route]:
    if "/" not in url:
        routes = [route for route in iter_routes(urlconf) if route.name == url]
        if not routes:
            raise AssertionError(f"there is no URL named {url!r}; a path begins with '/'")
        return routes
    try:
        return [route_of(url, urlconf)]
    except LookupError as error:
        raise AssertionError(str(error)) from None


def _fail_for(routes: Iterable[Route], *advice: str) -> None:
    __tracebackhide__ = True
    lines = [f"  {route.path} ({route.view}): {route.requirement}" for route in routes if not route.is_guarded]
    if lines:
        raise AssertionError("\n".join(["unguarded:", *lines, *advice]))
