"""The system checks of routes: each with its id and hint, and silent when all is well."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.utils.decorators import async_only_middleware, method_decorator, sync_only_middleware
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from async_oauth_guard import (
    BearerTokenValidator,
    ProtectedResourceMixin,
    ResourceProtector,
    TokenValidator,
    require_oauth,
)
from async_oauth_guard.diagnostics.review import mark_reviewed
from async_oauth_guard.diagnostics.routes import TO_GUARD
from async_oauth_guard.diagnostics.url_checks import check_site
from tests.site.models import OAuth2Token
from tests.sites import MODES, Urls, Witness, serving

sync_and_async = pytest.mark.parametrize("mode", MODES)
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


def guarded(mode: str, **asked: Any) -> Any:
    return protector(**asked)(Witness().view(mode))


@sync_and_async
def test_nothing_to_say(mode: str) -> None:
    """Of a site with the middleware that most have nothing is said, guarded or not."""
    views = [path("a", guarded(mode)), path("b", Witness().view(mode))]
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


class Password(TokenValidator):
    def __init__(self, scheme: str) -> None:
        self.TOKEN_TYPE = scheme  # type: ignore[misc]

    def authenticate_token(self, token_string: str) -> Any: ...


@pytest.mark.parametrize("scheme", ["basic", "Basic", "digest", "negotiate", "ntlm", "dpop", "bearer"])
@pytest.mark.parametrize("make", [exempted, exempted_class])
def test_exemption_above_a_guard_for_what_browsers_send(make: Callable[..., Any], scheme: str) -> None:
    """W004: the guard checks credentials that browsers add by themselves, so above it ``csrf_exempt`` has no effect."""
    expected = [] if scheme in ("dpop", "bearer") else ["W004"]
    guard = ResourceProtector(Password(scheme))
    assert ids(messages(make(guard, above=True, below=False))) == expected
    assert messages(make(guard, above=True, below=True)) == []
    assert messages(make(guard, above=False, below=False)) == []


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
    assert message.msg.startswith("Each request to tests.sites.Witness.vi")
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


@sync_and_async
def test_keyword_that_no_validator_takes(mode: str) -> None:
    """E006: a misspelt keyword would be an error of each request, where the setting names the validators."""
    misspelt = require_oauth("profile", opt=True)(Witness().view(mode))
    rows = {"BACKEND": f"{NAME}.BearerTokenValidator", "OPTIONS": {"token_model": "site.OAuth2Token"}}
    (message,) = messages([path("a", misspelt), path("b", misspelt)], OAUTH_GUARD={"VALIDATORS": [rows]})
    assert (type(message), message.id) == (Error, f"{NAME}.E006")
    assert message.msg.endswith("gets 500: BearerTokenValidator.validate_token() must accept the keyword opt.")
    # Another check reports a value that is not a list of validators.
    assert messages(misspelt, OAUTH_GUARD={"VALIDATORS": 7}) == []


def test_requirements_that_cannot_be_enforced() -> None:
    """E006: ``sender_constrained`` without ``dpop`` and ``mtls`` would be an error of each request."""
    rows = {"BACKEND": f"{NAME}.BearerTokenValidator", "OPTIONS": {"token_model": "site.OAuth2Token"}}
    view = require_oauth(sender_constrained=True)(Witness().view("def"))
    (message,) = messages(view, OAUTH_GUARD={"VALIDATORS": [rows]})
    assert (type(message), message.id) == (Error, f"{NAME}.E006")
    assert message.msg.endswith("gets 500: sender_constrained=True requires a ResourceProtector with dpop or mtls.")


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
HERE = "tests.unit.diagnostics.test_url_checks"
SYNC_ONLY = [f"{HERE}.sync_only", f"{HERE}.SyncOnly", f"{HERE}.Unmarked"]


@pytest.mark.parametrize("middleware", SYNC_ONLY)
def test_sync_only_middleware(middleware: str) -> None:
    """W010: middleware that cannot run on an event loop keeps a thread for each async view."""
    (message,) = messages(guarded("async def"), MIDDLEWARE=[CSRF, middleware])
    assert (type(message), message.id) == (checks.Warning, f"{NAME}.W010")
    assert message.msg == (
        f"MIDDLEWARE contains sync-only middleware: {middleware}. Under ASGI, each request to a guarded async view "
        "holds its own thread until its response."
    )


def test_all_sync_only_middleware_is_named_at_once() -> None:
    """W010: one message has them all."""
    (message,) = messages(guarded("async def"), MIDDLEWARE=SYNC_ONLY)
    assert f"middleware: {', '.join(SYNC_ONLY)}. " in message.msg


def test_middleware_that_costs_nothing() -> None:
    """W010: not for sync views, unguarded views, middleware that is both sync and async, or missing middleware."""
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


def test_reviewed_routes() -> None:
    """W011: a route that its author has reviewed is not named."""
    view = mark_reviewed("open price list")(Witness().view("def"))
    assert ids(messages(view, OAUTH_GUARD={"UNGUARDED": []})) == []
    assert ids(messages(Witness().view("def"), OAUTH_GUARD={"UNGUARDED": []})) == ["W011"]


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
    """Reaches its parent's guard through an overridden ``dispatch``, and has no mark."""

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
    """A view wrapped in a function that has only the named attributes of the view."""

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
    # Nobody can know what is behind these.
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
    """W013: if a class lacks the guard's mark, the CSRF check refuses token-only requests to its guarded methods."""
    found = messages([path("a", view), path("b", view)], MIDDLEWARE=[CSRF, f"{HERE}.async_only"])
    assert ids(found) == (["W013"] if expected else [])
    assert all(message.msg.startswith(f"Django's CSRF check applies to {expected}, so") for message in found)
    if expected:
        with serving(view, MIDDLEWARE=[CSRF]):
            assert b"CSRF" in Client(enforce_csrf_checks=True).post("/", headers={"authorization": "Bearer x"}).content


def test_csrf_check_that_is_not_there() -> None:
    """W013: without the middleware nobody is refused."""
    assert messages(Single.as_view(), MIDDLEWARE=[f"{HERE}.Unmarked"]) == []


# Exemptions that were copied.


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


async def aanswer(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


guarded_answer = protector(answer)


@functools.wraps(guarded_answer)
def sometimes(request: HttpRequest) -> HttpResponse:
    if request.GET.get("legacy"):
        return answer(request)
    return guarded_answer(request)


def sometimes_below(view: Any) -> Any:
    @functools.wraps(view)
    def wrapper(request: HttpRequest) -> Any:
        return view(request) if request.GET else answer(request)

    return wrapper


def sometimes_awaited(view: Any) -> Any:
    @functools.wraps(view)
    async def wrapper(request: HttpRequest) -> Any:
        for _ in request.GET:
            return await view(request)
        return await aanswer(request)

    return wrapper


def never(view: Any) -> Any:
    return functools.wraps(view)(lambda request: answer(request))


def hidden(view: Any) -> Any:
    wrapper = never(view)
    del wrapper.__wrapped__
    return wrapper


def unassigned(view: Any) -> Any:
    @functools.wraps(view)
    def wrapper(request: HttpRequest) -> Any:
        return later(view, request)

    if view is None:
        later = wrapper
    return wrapper


def always(view: Any) -> Any:
    @functools.wraps(view)
    def wrapper(request: HttpRequest) -> Any:
        if not request.GET:
            raise Http404
        try:
            return view(request)
        finally:
            request.GET.get("x")

    return wrapper


def always_awaited(view: Any) -> Any:
    @functools.wraps(view)
    async def wrapper(request: HttpRequest) -> Any:
        while request.GET:
            if request.POST:
                return await view(request)
        return await view(request)

    return wrapper


def by_another_function(view: Any) -> Any:
    @functools.wraps(view)
    def wrapper(request: HttpRequest) -> Any:
        return (lambda: view(request))()

    return wrapper


MAY_SKIP: list[Any] = [
    lambda **asked: sometimes,
    lambda **asked: sometimes_below(protector(**asked)(answer)),
    lambda **asked: sometimes_awaited(protector(**asked)(aanswer)),
    lambda **asked: never(protector(**asked)(answer)),
    lambda **asked: hidden(protector(**asked)(answer)),
    lambda **asked: unassigned(protector(**asked)(answer)),
    lambda **asked: csrf_protect(always(sometimes_below(protector(**asked)(answer)))),
    lambda **asked: sometimes_below(protector(**asked)(type("Page", (View,), {})).as_view()),
]
MAY_SKIP.append(lambda **asked: sometimes_below((Optional if asked.get("optional") else Required).as_view()))
SKIPS_NOTHING: list[Any] = [
    protector(answer),
    always(protector(answer)),
    always_awaited(protector(aanswer)),
    by_another_function(protector(answer)),
    cache_page(60)(always(protector(optional=True)(answer))),
    functools.partial(protector(answer)),
    protector(sometimes_below(protector(answer))),
    protector(type("Page", (View,), {})).as_view(),
    always(Optional.as_view()),
    sometimes_below(answer),
    sometimes_below(csrf_exempt(answer)),
]
LOGIN_REQUIRED = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    f"{__name__}.OwnLoginMiddleware",
]


class OwnLoginMiddleware(LoginRequiredMiddleware):
    """A site's own."""


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("make", MAY_SKIP)
def test_exemptions_of_views_that_may_skip_the_guard(make: Any, optional: bool) -> None:
    """W019: a view that copied a guard's exemptions and may answer without that guard, once for a view."""
    view = make(optional=optional)
    (message,) = messages([path("a", view), path("b", view)], MIDDLEWARE=[CSRF])
    assert (type(message), message.id) == (checks.Warning, f"{NAME}.W019")
    assert message.msg.startswith("/a (")
    assert "Django's CSRF check, " in message.msg
    assert "or move its outer decorator below the guard" in message.hint
    assert ids(messages(view, MIDDLEWARE=LOGIN_REQUIRED)) == ["W019"]
    (both,) = messages(view, MIDDLEWARE=[*LOGIN_REQUIRED, CSRF])
    assert "Django's CSRF check and LoginRequiredMiddleware, " in both.msg


@pytest.mark.parametrize("make", MAY_SKIP)
def test_exemptions_from_nothing(make: Any) -> None:
    """W019: where neither check is installed, there is nothing to be exempt from."""
    assert messages(make(), MIDDLEWARE=["django.middleware.common.CommonMiddleware"]) == []


@pytest.mark.parametrize("view", SKIPS_NOTHING)
def test_exemptions_of_views_that_do_not_skip_the_guard(view: Any) -> None:
    """W019: not of a view that always passes its guard, of one that Django's decorators wrap, and of an open one."""
    assert messages(view, MIDDLEWARE=[*LOGIN_REQUIRED, CSRF]) == []


def test_exemptions_that_their_author_chose() -> None:
    """W019: what is set on the outer function is its author's choice; so is what stands below the guard."""
    view = sometimes_below(protector(answer))
    for csrf, login in ((True, True), (False, True)):
        view.csrf_exempt, view.login_required = csrf, login
        assert messages(view, MIDDLEWARE=[*LOGIN_REQUIRED, CSRF]) == []
    view = sometimes_below(protector(login_not_required(csrf_exempt(lambda request: answer(request)))))
    assert messages(view, MIDDLEWARE=[*LOGIN_REQUIRED, CSRF]) == []


def test_copied_exemption_lets_a_forged_request_in() -> None:
    """W019: what it warns of: a branch that no guard covers is not checked; guarded as a whole, it is refused."""
    client = Client(enforce_csrf_checks=True)
    with serving(sometimes, MIDDLEWARE=[CSRF]):
        assert client.post("/?legacy=1").status_code == 200
    with serving(protector(sometimes), MIDDLEWARE=[CSRF]):
        assert client.post("/?legacy=1").status_code == 401
