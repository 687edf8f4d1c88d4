"""Django's checks of browser sessions."""

import functools
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory, override_settings
from django.views.decorators.csrf import csrf_exempt

from async_oauth_guard.guard.csrf import (
    ExemptByGuard,
    exempt,
    exemptions_by_guard,
    session_checks_flow,
    unguarded_callback,
)
from async_oauth_guard.runtime.effects import Call
from tests.unit.driving import drive

CSRF = "django.middleware.csrf.CsrfViewMiddleware"
LOGIN = "django.contrib.auth.middleware.LoginRequiredMiddleware"
OWN = "tests.unit.guard.test_csrf.OwnCsrfMiddleware"
OTHERS = ["django.middleware.common.CommonMiddleware", "tests.unit.guard.test_csrf.function_middleware"]


def function_middleware(get_response: Any) -> Any:
    return get_response


def make_csrf_middleware(get_response: Any) -> Any:
    return CsrfViewMiddleware(get_response)


def unused_middleware(get_response: Any) -> Any:
    raise MiddlewareNotUsed


class OwnCsrfMiddleware(CsrfViewMiddleware):
    """A site's own."""


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def wrapped(inner: Any, *, optional: bool = False) -> Any:
    @functools.wraps(inner)
    def guarded(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    exempt(guarded, inner, lambda: optional)
    return guarded


def marked(mark: Any) -> Any:
    def marked_view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    marked_view.csrf_exempt = mark  # type: ignore[attr-defined]
    return marked_view


WISHES: list[tuple[Any, bool, bool]] = [
    (view, False, True),
    (csrf_exempt(view), True, True),
    (login_not_required(marked(False)), False, False),
    (marked(True), True, True),
    (marked(1), False, True),
    (marked(ExemptByGuard(lambda: False)), False, True),
    (wrapped(view), False, True),
    (wrapped(csrf_exempt(view)), True, True),
    (wrapped(login_not_required(marked(False))), False, False),
]


@pytest.mark.parametrize(("inner", "csrf", "login"), WISHES)
def test_wishes(inner: Any, csrf: bool, login: bool) -> None:
    """R129, R130: a guarded view is exempt; what its author wished is noted, through another guard too."""
    guarded = wrapped(inner)
    assert bool(guarded.csrf_exempt) is True
    assert (guarded.csrf_exempt is True) == csrf
    assert guarded.login_required is False
    callback = unguarded_callback(guarded)
    assert (callback.csrf_exempt, callback.login_required) == (csrf, login)  # type: ignore[attr-defined]
    assert callback.__name__ == guarded.__name__
    by_guard = {"csrf_exempt": not csrf, "login_required": login}
    assert exemptions_by_guard(guarded) == [name for name, is_by_guard in by_guard.items() if is_by_guard]


def test_mark_of_an_optional_guard() -> None:
    """R130: where the token is optional the mark is true only while the guard asks the site's own middleware."""
    guarded = wrapped(view, optional=True)
    for middleware, expected in (([], False), ([LOGIN], False), ([CSRF], True), ([OWN], True)):
        with override_settings(MIDDLEWARE=middleware):
            assert bool(guarded.csrf_exempt) == expected
    assert wrapped(csrf_exempt(view), optional=True).csrf_exempt is True
    assert guarded.login_required is False


@pytest.mark.parametrize("checks_sessions", [False, True])
def test_marks_are_no_wishes(checks_sessions: bool) -> None:
    """R130: a guard's mark is not the plain ``True`` of a site's author."""
    mark = ExemptByGuard(lambda: checks_sessions)
    assert unguarded_callback(wrapped(marked(mark))).csrf_exempt is False  # type: ignore[attr-defined]


def asked(middleware: list[str], *replies: Any) -> tuple[Any, list[Any]]:
    """The answer of the checks, and which middlewares' ``process_view`` were called with which arguments."""
    request = RequestFactory().post("/")
    with override_settings(MIDDLEWARE=middleware):
        answer, effects = drive(session_checks_flow(request, wrapped(view), (1,), {"a": 2}), *replies)
    calls = []
    for effect in effects:
        assert isinstance(effect, Call)
        assert effect.arguments[0] is request
        assert effect.arguments[2:] == ((1,), {"a": 2})
        assert effect.arguments[1].csrf_exempt is False
        owner: Any = effect.function
        assert owner.__name__ == "process_view"
        calls.append(type(owner.__self__))
    return answer, calls


REFUSAL = HttpResponse(status=403)

CHECKS: list[tuple[list[str], list[Any], Any, list[type]]] = [
    ([], [], None, []),
    (OTHERS, [], None, []),
    ([CSRF], [None], None, [CsrfViewMiddleware]),
    ([CSRF], [REFUSAL], REFUSAL, [CsrfViewMiddleware]),
    ([*OTHERS, CSRF, LOGIN], [None, None], None, [CsrfViewMiddleware, LoginRequiredMiddleware]),
    ([LOGIN, CSRF], [None, REFUSAL], REFUSAL, [LoginRequiredMiddleware, CsrfViewMiddleware]),
    ([LOGIN, CSRF], [REFUSAL], REFUSAL, [LoginRequiredMiddleware]),
    ([OWN], [None], None, [OwnCsrfMiddleware]),
    (["tests.unit.guard.test_csrf.make_csrf_middleware"], [None], None, [CsrfViewMiddleware]),
    (["tests.unit.guard.test_csrf.unused_middleware"], [], None, []),
]


@pytest.mark.parametrize(("middleware", "replies", "answer", "classes"), CHECKS, ids=lambda part: repr(part)[:40])
def test_installed_checks(middleware: list[str], replies: list[Any], answer: Any, classes: list[type]) -> None:
    """R129, R130: the installed middlewares, subclasses too, are called in their order; the first answer counts."""
    assert asked(middleware, *replies) == (answer, classes)


def test_a_site_without_users_has_no_login_to_check() -> None:
    """If ``django.contrib.auth`` is not installed, only the CSRF check is called."""
    from async_oauth_guard.guard import csrf

    apps = [
        name for name in settings.INSTALLED_APPS if name in ("django.contrib.contenttypes", "django.contrib.sessions")
    ]
    csrf._installed_checks.cache_clear()
    try:
        with override_settings(INSTALLED_APPS=apps):
            assert asked([CSRF, LOGIN], None) == (None, [CsrfViewMiddleware])
    finally:
        csrf._installed_checks.cache_clear()


@pytest.mark.parametrize("middleware", [[LOGIN, CSRF], [CSRF, LOGIN]])
def test_without_the_login_check(middleware: list[str]) -> None:
    """A request with credentials that a browser sends by itself needs the CSRF check, but no session's login."""
    request = RequestFactory().post("/")
    with override_settings(MIDDLEWARE=middleware):
        answer, effects = drive(session_checks_flow(request, wrapped(view), (), {}, login=False), REFUSAL)
    assert answer is REFUSAL
    [effect] = effects
    assert type(effect.function.__self__) is CsrfViewMiddleware
