"""The system checks of routes: each with its id and hint, and silent when all is well."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.utils.decorators import async_only_middleware, method_decorator, sync_only_middleware
from django.views import View
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from async_oauth_guard import BearerTokenValidator, ProtectedResourceMixin, ResourceProtector, require_oauth
from async_oauth_guard.routes import TO_GUARD
from async_oauth_guard.site_checks import check_site
from tests.site.models import OAuth2Token
from tests.sites import COLOURS, Urls, Witness, serving

both_colours = pytest.mark.parametrize("colour", COLOURS)
protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
NAME = "async_oauth_guard"


def messages(view: Any, **settings: Any) -> list[CheckMessage]:
    """What the check says of a site with this view, or these patterns; each message has a hint."""
    with serving(view, **settings):
        found = check_site(None)
    assert all(message.hint for message in found)
    return found


def ids(found: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix(f"{NAME}.") for message in found]


def guarded(colour: str, **asked: Any) -> Any:
    return protector(**asked)(Witness().view(colour))


@both_colours
def test_nothing_to_say(colour: str) -> None:
    """Of a site with the middleware that most have nothing is said, guarded or not."""
    views = [path("a", guarded(colour)), path("b", Witness().view(colour))]
    assert messages(views, MIDDLEWARE=[CSRF, "django.middleware.common.CommonMiddleware"]) == []


def test_broken_urlconf() -> None:
    """What is wrong with a URL configuration Django says itself."""
    with override_settings(ROOT_URLCONF="tests.nowhere"):
        assert check_site(None) == []


# Exemptions.


def exempted(guard: Any, *, above: bool, below: bool) -> Any:
    """A guarded view with ``csrf_exempt`` above or below the guard, or both, or neither."""
    view: Any = Witness().view("def")
    view = guard(csrf_exempt(view) if below else view)
    return csrf_exempt(view) if above else view


def exempted_class(guard: Any, *, above: bool, below: bool) -> Any:
    """The same for a class, by ``method_decorator``."""
    layers = [*([csrf_exempt] if above else []), guard, *([csrf_exempt] if below else [])]

    @method_decorator(layers, name="dispatch")
    class Page(View):
        def get(self, request: HttpRequest) -> HttpResponse: ...

    return Page.as_view()


EXEMPTIONS = [
    (True, True, False, True),
    (True, True, True, False),
    (True, False, False, False),
    (True, False, True, False),
    (False, True, False, False),
    (False, False, True, False),
]


@pytest.mark.parametrize(("optional", "above", "below", "expected"), EXEMPTIONS)
@pytest.mark.parametrize("make", [exempted, exempted_class])
def test_exemption_above_an_optional_guard(
    make: Callable[..., Any], optional: bool, above: bool, below: bool, expected: bool
) -> None:
    """W004, R130: above an optional guard ``csrf_exempt`` has no effect, at whatever depth of the URLconf."""
    view = make(protector(optional=optional), above=above, below=below)
    found = messages([path("a/", include([path("b/", view), path("c/", view)]))])
    # Once for a view, however many lead to it.
    assert ids(found) == (["W004"] if expected else [])


class Optional(ProtectedResourceMixin, View):
    oauth_optional = True
    protector = protector

    def get(self, request: HttpRequest) -> HttpResponse: ...


class Required(Optional):
    oauth_optional = False


@pytest.mark.parametrize(("view", "expected"), [(Optional, ["W004"]), (Required, [])])
def test_exemption_above_the_mixin(view: Any, expected: list[str]) -> None:
    """W004: the mixin is a guard as well; above one that is not optional an exemption only says what holds anyway."""
    assert ids(messages(csrf_exempt(view.as_view()))) == expected
    assert messages(view.as_view()) == []


def test_exemption_of_an_open_view() -> None:
    """W004: a view without a guard is nobody's business here."""
    assert messages(csrf_exempt(Witness().view("def"))) == []


# Transactions.


@pytest.fixture
def atomic(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ATOMIC_REQUESTS`` for one of the databases."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


@pytest.mark.usefixtures("atomic")
def test_atomic_requests() -> None:
    """E005: an async view cannot run in a transaction, so Django answers 500, guard or not."""
    asynchronous = guarded("async def")
    with serving(asynchronous), pytest.raises(RuntimeError, match="You cannot use ATOMIC_REQUESTS with async views"):
        Client().get("/")
    (message,) = messages([path("a", asynchronous), path("b", asynchronous), path("c", guarded("def"))])
    assert (type(message), message.id) == (Error, f"{NAME}.E005")
    assert message.msg.startswith(
        "ATOMIC_REQUESTS makes Django answer with an error in place of tests.sites.Witness.vi"
    )
    # Each view once.
    assert message.msg.count("Witness") == 1


@pytest.mark.usefixtures("atomic")
def test_views_outside_transactions() -> None:
    """E005: not of plain views, of those that are excused, and of those that nothing guards."""
    assert messages(guarded("def")) == []
    assert messages(Witness().view("async def")) == []
    assert messages(transaction.non_atomic_requests(guarded("async def"))) == []
    assert ids(messages(transaction.non_atomic_requests(using="other")(guarded("async def")))) == ["E005"]


# Keywords.


@both_colours
def test_keyword_that_no_validator_takes(colour: str) -> None:
    """E006: a misspelt keyword would be an error of each request, where the setting names the validators."""
    misspelt = require_oauth("profile", opt=True)(Witness().view(colour))
    rows = {"BACKEND": f"{NAME}.BearerTokenValidator", "OPTIONS": {"token_model": "site.OAuth2Token"}}
    (message,) = messages([path("a", misspelt), path("b", misspelt)], OAUTH_GUARD={"VALIDATORS": [rows]})
    assert (type(message), message.id) == (Error, f"{NAME}.E006")
    assert message.msg.endswith("error: opt: BearerTokenValidator.validate_token() takes no such keyword.")
    # What is no list of validators is said by a check of its own.
    assert messages(misspelt, OAUTH_GUARD={"VALIDATORS": 7}) == []


# Middleware.


@sync_only_middleware
def sync_only(get_response: Any) -> Any: ...


@async_only_middleware
def async_only(get_response: Any) -> Any: ...


class SyncOnly:
    async_capable = False


class Unmarked:
    pass


CSRF = "django.middleware.csrf.CsrfViewMiddleware"
HERE = "tests.unit.test_site_checks"
SYNC_ONLY = [f"{HERE}.sync_only", f"{HERE}.SyncOnly", f"{HERE}.Unmarked"]


@pytest.mark.parametrize("middleware", SYNC_ONLY)
def test_sync_only_middleware(middleware: str) -> None:
    """W010: middleware that cannot run on an event loop keeps a thread for each async view."""
    (message,) = messages(guarded("async def"), MIDDLEWARE=[CSRF, middleware])
    assert (type(message), message.id) == (checks.Warning, f"{NAME}.W010")
    assert message.msg == (
        f"{middleware} cannot run on an event loop, so each request of a guarded async view holds a thread until it is "
        "answered."
    )


def test_all_sync_only_middleware_is_named_at_once() -> None:
    """W010: one message has them all."""
    (message,) = messages(guarded("async def"), MIDDLEWARE=SYNC_ONLY)
    assert message.msg.startswith(f"{', '.join(SYNC_ONLY)} cannot run")


def test_middleware_that_costs_nothing() -> None:
    """W010: not for plain views, for unguarded ones, for middleware of both colours, or for what is not there."""
    assert messages(guarded("def"), MIDDLEWARE=SYNC_ONLY) == []
    assert messages(Witness().view("async def"), MIDDLEWARE=SYNC_ONLY) == []
    assert messages(guarded("async def"), MIDDLEWARE=[CSRF, f"{HERE}.async_only", "tests.nowhere.Middleware"]) == []


# Routes without a guard.


def open_site(*allowed: str) -> list[CheckMessage]:
    views = [
        path("health", Witness().view("def"), name="health"),
        path("live", Witness().view("async def")),
        path("profile", guarded("async def")),
        path("timeline", guarded("def", optional=True)),
    ]
    return messages(views, OAUTH_GUARD={"UNGUARDED": list(allowed)})


def test_unguarded_routes() -> None:
    """W011: where the setting asks for it, each route without a guard is named; an optional guard is one."""
    found = open_site()
    assert [(type(message), message.id) for message in found] == [(checks.Warning, f"{NAME}.W011")] * 2
    assert [message.msg for message in found] == [
        "/health (tests.sites.Witness.view.<locals>.sync_view) is not guarded.",
        "/live (tests.sites.Witness.view.<locals>.async_view) is not guarded.",
    ]
    assert {message.hint for message in found} == {TO_GUARD}


ALLOWED: list[tuple[tuple[str, ...], list[str]]] = [
    (("/health", "/live"), []),
    (("health", "*async_view"), []),
    (("tests.sites.*",), []),
    (("/health",), ["W011"]),
    (("*",), []),
    (("/health", "/live", "/nothing"), ["W012"]),
    (("/health", "/live", "/profile"), ["W012"]),
]


@pytest.mark.parametrize(("allowed", "expected"), ALLOWED)
def test_allowed_routes(allowed: tuple[str, ...], expected: list[str]) -> None:
    """W011, W012: the setting names paths, names or views; of what it excuses in vain somebody should know."""
    assert ids(open_site(*allowed)) == expected


@pytest.mark.parametrize("setting", [{}, {"UNGUARDED": None}, {"UNGUARDED": 7}, {"REALMS": 1}])
def test_unguarded_routes_of_those_who_have_not_asked(setting: Any) -> None:
    """W011: without the key nothing is said of any; a wrong setting is said by its own check."""
    assert messages(Witness().view("def"), OAUTH_GUARD=setting) == []


def test_unguarded_routes_of_a_site_without_the_setting() -> None:
    """W011: nor without the setting."""
    with override_settings(ROOT_URLCONF=Urls(path("", Witness().view("def")))):
        from django.conf import settings

        del settings.OAUTH_GUARD
        assert check_site(None) == []


def test_allow_list_of_a_broken_site() -> None:
    """W012: where no route can be read, none is missing."""
    with override_settings(ROOT_URLCONF="tests.nowhere", OAUTH_GUARD={"UNGUARDED": ["/health"]}):
        assert check_site(None) == []


def test_partly_guarded_class() -> None:
    """W011: a class of which one method is open is named, with what is open."""

    class Page(View):
        @protector("profile")
        def get(self, request: HttpRequest) -> HttpResponse: ...

        def post(self, request: HttpRequest) -> HttpResponse: ...

    (message,) = messages(Page.as_view(), OAUTH_GUARD={"UNGUARDED": []})
    assert message.msg.endswith("Page) is not guarded for each method: GET: profile; POST: unguarded.")


# The CSRF check before the guard.


def answer(self: Any, request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


class Single(View):
    """Guards of single methods, one of them on an open page."""

    get = answer
    post = protector()(answer)
    delete = protector()(answer)


class Overriding(require_oauth(type("Base", (View,), {}))):  # type: ignore[misc]
    """Comes to its parent's guard by ways of its own, and bears no mark."""

    post = answer

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)


class Reading(View):
    get = protector()(answer)
    post = answer


@protector()
class Whole(View):
    post = answer


def wrapped(view: Any, *copied: str) -> Any:
    """A view within a function of its own, which has nothing of what that says of itself, but what is named."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    for name in copied:
        setattr(wrapper, name, getattr(view, name))
    return wrapper


IN_VAIN: list[tuple[Any, str | None]] = [
    (Single.as_view(), f"POST, DELETE of {HERE}.Single"),
    (Overriding.as_view(), f"POST of {HERE}.Overriding"),
    (csrf_protect(Single.as_view()), f"POST, DELETE of {HERE}.Single"),
    (functools.partial(Single.as_view()), f"POST, DELETE of {HERE}.Single"),
    (functools.wraps(view := Single.as_view(), updated=())(wrapped(view)), f"POST, DELETE of {HERE}.Single"),
    # Of what is behind these nobody can tell.
    (wrapped(Single.as_view(), "view_class"), None),
    (wrapped(Single.as_view(), "view_class", "view_initkwargs"), None),
    (Single, None),
    (functools.partial(Whole), None),
    (str.upper, None),
    (Reading.as_view(), None),
    (csrf_exempt(Single.as_view()), None),
    (Whole.as_view(), None),
    (Required.as_view(), None),
    (Optional.as_view(), None),
    (Single.as_view(http_method_names=["get"]), None),
    (protector(Witness().view("def")), None),
    (Witness().view("def"), None),
]


@pytest.mark.parametrize(("view", "expected"), IN_VAIN)
def test_csrf_check_before_a_guard(view: Any, expected: str | None) -> None:
    """W013: a guarded method of a class without the guard's mark is refused to whoever has but a token."""
    found = messages([path("a", view), path("b", view)], MIDDLEWARE=[CSRF, f"{HERE}.async_only"])
    assert ids(found) == (["W013"] if expected else [])
    assert all(message.msg.startswith(f"Django's CSRF check covers {expected}, so") for message in found)
    if expected:
        with serving(view, MIDDLEWARE=[CSRF]):
            assert b"CSRF" in Client(enforce_csrf_checks=True).post("/", headers={"authorization": "Bearer x"}).content


def test_csrf_check_that_is_not_there() -> None:
    """W013: without the middleware nobody is refused."""
    assert messages(Single.as_view(), MIDDLEWARE=[f"{HERE}.Unmarked"]) == []
