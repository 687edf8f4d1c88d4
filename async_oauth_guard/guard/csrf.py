"""Django's checks of browser sessions, for requests that do not have a token in the ``Authorization`` header.

A guard exempts its views from the CSRF check and from ``LoginRequiredMiddleware``, because browsers do not send a token
in a header automatically. If the token is optional, a request without one may rely on its session, so the guard runs
both checks on it. If a browser may have sent automatically what lets a request in, such as a password, the guard runs
the CSRF check.
"""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from ..runtime.effects import Call, Flow

__all__ = [
    "ExemptByGuard",
    "exempt",
    "exemptions_by_guard",
    "kinds_of_checks",
    "session_checks_flow",
    "unguarded_callback",
]


class ExemptByGuard:
    """A true value for ``csrf_exempt`` that differs from the ``True`` with which a site exempts a view itself.

    ``checks_sessions``: whether the guard runs the site's middlewares on some requests. If so, the value is true only
    if the CSRF middleware is installed, because ``csrf_protect`` may be the only protection without it.
    """

    def __init__(self, checks_sessions: Callable[[], bool]) -> None:
        # Not a value: validators may be registered after the view was guarded.
        self._checks_sessions = checks_sessions

    def __bool__(self) -> bool:
        from django.middleware.csrf import CsrfViewMiddleware

        if not self._checks_sessions():
            return True
        return any(isinstance(check, CsrfViewMiddleware) for check in _installed_checks(tuple(settings.MIDDLEWARE)))


def exempt(guarded: Any, view: Any, checks_sessions: Callable[[], bool]) -> None:
    """Exempt ``guarded``, which wraps ``view``, from Django's middlewares, and remember the attributes of ``view``.

    ``checks_sessions``: see `ExemptByGuard`.
    """
    attributes = getattr(view, "_unguarded_attributes", None) or {
        "csrf_exempt": getattr(view, "csrf_exempt", False) is True,
        "login_required": getattr(view, "login_required", True),
    }
    guarded._unguarded_attributes = attributes
    guarded.csrf_exempt = attributes["csrf_exempt"] or ExemptByGuard(checks_sessions)
    guarded.login_required = False


def exemptions_by_guard(view: Any) -> Collection[str]:
    """The attributes that exempt ``view`` because of a guard, and not because its author set them.

    Decorators copy these attributes to every wrapper of a guarded view.
    """
    csrf = isinstance(getattr(view, "csrf_exempt", False), ExemptByGuard)
    # The mixin's `dispatch` does not have `_unguarded_attributes`.
    required_login = getattr(view, "_unguarded_attributes", {}).get("login_required", csrf)
    login = required_login and getattr(view, "login_required", True) is False
    return [name for name, is_by_guard in (("csrf_exempt", csrf), ("login_required", login)) if is_by_guard]


def unguarded_callback(guarded: Any) -> Callable[..., Any]:
    """A placeholder with the attributes that the view would have without a guard. The middlewares only read these."""

    def callback(request: HttpRequest) -> None:  # pragma: no cover - middlewares read its attributes alone
        raise NotImplementedError

    functools.update_wrapper(callback, guarded)
    for name, value in guarded._unguarded_attributes.items():
        setattr(callback, name, value)
    return callback


def session_checks_flow(
    request: HttpRequest, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, login: bool = True
) -> Flow[HttpResponseBase | None]:
    """Run the site's CSRF and login middlewares on a request without a token. Returns their response, or ``None``.

    ``login``: whether to run the login middleware too.
    """
    from django.middleware.csrf import CsrfViewMiddleware

    callback = unguarded_callback(guarded)
    for middleware in _installed_checks(tuple(settings.MIDDLEWARE)):
        if not login and not isinstance(middleware, CsrfViewMiddleware):
            continue
        response: HttpResponseBase | None = yield Call(middleware.process_view, (request, callback, args, kwargs))
        if response is not None:
            return response
    return None


@functools.lru_cache(maxsize=8)
def _installed_checks(paths: tuple[str, ...]) -> tuple[Any, ...]:
    """New instances of the middlewares in ``paths`` that check sessions."""
    kinds = kinds_of_checks()
    return tuple(check for path in paths if isinstance(check := _make(import_string(path), kinds), kinds))


def kinds_of_checks() -> tuple[type, ...]:
    """Django's middlewares that check sessions: for CSRF and, if ``django.contrib.auth`` is installed, for the login.

    They read ``csrf_exempt`` and ``login_required``, in this order.
    """
    # Import these here, because they need the app registry.
    from django.middleware.csrf import CsrfViewMiddleware

    if not apps.is_installed("django.contrib.auth"):
        return (CsrfViewMiddleware,)
    from django.contrib.auth.middleware import LoginRequiredMiddleware

    return (CsrfViewMiddleware, LoginRequiredMiddleware)


def _make(factory: Any, kinds: tuple[type, ...]) -> Any:
    # A class shows whether it is such a middleware. A function must be called to know what it returns.
    if isinstance(factory, type) and not issubclass(factory, kinds):
        return None
    try:
        return factory(_no_response)
    except MiddlewareNotUsed:
        return None


def _forget_checks(**kwargs: Any) -> None:
    # The middlewares keep the values that they read from the settings.
    _installed_checks.cache_clear()


setting_changed.connect(_forget_checks, dispatch_uid="async_oauth_guard.forget_checks")


def _no_response(request: HttpRequest) -> HttpResponse:  # pragma: no cover - process_view does not call it
    raise NotImplementedError
