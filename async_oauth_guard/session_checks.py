"""Django's checks of browser sessions, which a token makes needless and its absence does not.

A guard exempts its views from the CSRF check and from ``LoginRequiredMiddleware``: a token in a header is no ambient
credential. Where the token is optional, a request without one may live on its session, so it gets those checks then.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from .effects import Call, Flow

__all__ = [
    "EXEMPT",
    "EXEMPT_WHILE_CHECKED",
    "ExemptByGuard",
    "ExemptWhileChecked",
    "exempt",
    "session_checks_flow",
    "unguarded_callback",
]


class ExemptByGuard:
    """True, for ``csrf_exempt``; and not the plain ``True`` by which a site's author exempts a view for good."""

    def __bool__(self) -> bool:
        return True


class ExemptWhileChecked(ExemptByGuard):
    """The same for a guard that lets in requests without a token: true while it asks the site's middleware about them.

    Without the middleware, ``csrf_protect`` may be all the protection that there is.
    """

    def __bool__(self) -> bool:
        from django.middleware.csrf import CsrfViewMiddleware

        return any(isinstance(check, CsrfViewMiddleware) for check in _installed_checks(tuple(settings.MIDDLEWARE)))


EXEMPT = ExemptByGuard()
EXEMPT_WHILE_CHECKED = ExemptWhileChecked()


def exempt(guarded: Any, view: Any, optional: bool) -> None:
    """Mark ``guarded``, which wraps ``view``, for Django's middlewares, and note what ``view`` itself wished."""
    wishes = getattr(view, "_unguarded_wishes", None) or {
        "csrf_exempt": getattr(view, "csrf_exempt", False) is True,
        "login_required": getattr(view, "login_required", True),
    }
    guarded._unguarded_wishes = wishes
    guarded.csrf_exempt = wishes["csrf_exempt"] or (EXEMPT_WHILE_CHECKED if optional else EXEMPT)
    guarded.login_required = False


def unguarded_callback(guarded: Any) -> Callable[..., Any]:
    """A stand-in for the view as it would be without a guard, for the middlewares to read its attributes from."""

    def callback(request: HttpRequest) -> None:  # pragma: no cover - middlewares read its attributes alone
        raise NotImplementedError

    functools.update_wrapper(callback, guarded)
    for name, wish in guarded._unguarded_wishes.items():
        setattr(callback, name, wish)
    return callback


def session_checks_flow(
    request: HttpRequest, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Flow[HttpResponseBase | None]:
    """Ask the site's own CSRF and login middlewares about a request without a token; their answer, or ``None``."""
    callback = unguarded_callback(guarded)
    for middleware in _installed_checks(tuple(settings.MIDDLEWARE)):
        response: HttpResponseBase | None = yield Call(middleware.process_view, (request, callback, args, kwargs))
        if response is not None:
            return response
    return None


@functools.lru_cache(maxsize=8)
def _installed_checks(paths: tuple[str, ...]) -> tuple[Any, ...]:
    """The middlewares among ``paths`` that check sessions, each an instance of our own."""
    kinds = _kinds_of_checks()
    return tuple(check for path in paths if isinstance(check := _make(import_string(path), kinds), kinds))


def _kinds_of_checks() -> tuple[type, ...]:
    # Imported here: they need the app registry.
    from django.middleware.csrf import CsrfViewMiddleware

    if not apps.is_installed("django.contrib.auth"):
        return (CsrfViewMiddleware,)
    from django.contrib.auth.middleware import LoginRequiredMiddleware

    return (CsrfViewMiddleware, LoginRequiredMiddleware)


def _make(factory: Any, kinds: tuple[type, ...]) -> Any:
    # Of a function nobody can tell what it makes, but by asking it.
    if isinstance(factory, type) and not issubclass(factory, kinds):
        return None
    try:
        return factory(_no_response)
    except MiddlewareNotUsed:
        return None


def _forget_checks(**kwargs: Any) -> None:
    # The middlewares keep what they read of the settings.
    _installed_checks.cache_clear()


setting_changed.connect(_forget_checks, dispatch_uid="async_oauth_guard.forget_checks")


def _no_response(request: HttpRequest) -> HttpResponse:  # pragma: no cover - process_view does not call it
    raise NotImplementedError
