"""``assert_guarded``: a test that no view is left unguarded."""

from collections.abc import Iterable
from typing import Any

from ..diagnostics.routes import TO_GUARD, Route, dotted_path, is_excused, iter_routes, patterns_of_allowed, route_of
from ..diagnostics.view_analysis import guarding_of

__all__ = ["assert_guarded"]


def assert_guarded(url_or_view: Any = None, *, urlconf: Any = None) -> None:
    """Fail unless every request to a view, or to any route of the site, passes a guard.

    A guard with ``optional=True`` counts, although it lets in requests that present nothing. The requirements of the
    guard do not matter.

    Args:
        url_or_view: a path (``/reports/2024``), the name of a URL (``reports:yearly``), or a view: a function, a class,
            or the result of ``as_view()``. Default: every route except those that ``OAUTH_GUARD["UNGUARDED"]`` names or
            `mark_reviewed` marks.
        urlconf: the URL configuration to search. Default: that of the site.

    Raises:
        AssertionError: there is no guard, or some requests bypass it, or there is no such URL.
        TypeError: ``url_or_view`` has another type.
        ImproperlyConfigured: the URL configuration cannot be loaded, or the setting is wrong.
    """
    # Leave this frame out of pytest's tracebacks.
    __tracebackhide__ = True
    if url_or_view is None:
        patterns = patterns_of_allowed() or ()
        # Give the advice only here: if the test names a route itself, the route must have a guard.
        _fail_for((route for route in iter_routes(urlconf) if not is_excused(route, patterns)), TO_GUARD)
    elif isinstance(url_or_view, str):
        _fail_for(_routes_called(url_or_view, urlconf))
    elif not callable(url_or_view):
        raise TypeError(f"url_or_view must be a path, the name of a URL, or a view, got {type(url_or_view).__name__}")
    elif not guarding_of(url_or_view).is_complete:
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
