"""Guards on operations of Django Ninja: each row of the table in ``docs/ninja.md``."""

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI
from ninja.decorators import decorate_view
from ninja.errors import HttpError

from async_oauth_guard import ResourceProtector
from async_oauth_guard.contrib.ninja import OAuth, install
from async_oauth_guard.testing import iter_routes
from tests import asgi, wsgi
from tests.answers import bearer
from tests.conftest import Send
from tests.frameworks.conftest import GOOD, NARROW
from tests.frameworks.grid import REFUSED, essence, site
from tests.frameworks.rows import shows
from tests.sites import MODES, serving

pytestmark = pytest.mark.django_db
sync_and_async = pytest.mark.parametrize("mode", MODES)


def operation(mode: str, entered: list[int]) -> Any:
    """A function for Ninja, with a parameter that Ninja reads from the query."""

    def sync_notes(request: HttpRequest, number: int = 1) -> dict[str, Any]:
        entered.append(number)
        token = getattr(request, "oauth_token", None)
        return {"number": number, "user": token and token.user.username}

    async def async_notes(request: HttpRequest, number: int = 1) -> dict[str, Any]:
        return sync_notes(request, number)

    return sync_notes if mode == "def" else async_notes


def check_refusals(protector: ResourceProtector, send: Send) -> None:
    """Refused requests are answered as by a guarded function of Django, byte for byte."""
    for headers in REFUSED.values():
        assert essence(send("/plain", headers)) == essence(send("/api/notes", headers))


@shows('`@decorate_view(require_oauth("…"))` below `@api.get`', '`@decorate_view(require_oauth("…"))` above `@api.get`')
@pytest.mark.parametrize("place", ["below", "above"])
@sync_and_async
def test_decorate_view(place: str, mode: str, protector: ResourceProtector, send: Send) -> None:
    """The guard stands before all that Ninja does for the operation, and completes its answer."""
    asked, entered = list[HttpRequest](), list[int]()

    def authenticate(request: HttpRequest) -> bool:
        asked.append(request)
        return True

    api = NinjaAPI(urls_namespace=f"{place} {mode}", auth=authenticate)
    register, guard = api.get("/notes"), decorate_view(protector("profile email"))
    notes = operation(mode, entered)
    register(guard(notes)) if place == "below" else guard(register(notes))
    with serving([path("api/", api.urls), *site([], protector)]):
        check_refusals(protector, send)
        assert send("/api/notes", query=b"number=x").status == 401
        assert asked == []
        assert send("/api/notes", bearer(GOOD), query=b"number=x").status == 422
        assert entered == []
        answer = send("/api/notes", bearer(GOOD), query=b"number=7")
    assert answer.json == {"number": 7, "user": "alice"}
    assert answer.members("Vary") == {"authorization"}
    assert answer.members("Cache-Control") == {"private"}


@shows("`@require_oauth` below `@api.get`", "`@require_oauth` above `@api.get`")
@pytest.mark.parametrize("place", ["below", "above"])
@sync_and_async
def test_require_oauth(place: str, mode: str, protector: ResourceProtector, send: Send) -> None:
    """The same: the guard refuses before Ninja authenticates and reads the parameters."""
    asked, entered = list[HttpRequest](), list[int]()

    def authenticate(request: HttpRequest) -> bool:
        asked.append(request)
        return True

    api = NinjaAPI(urls_namespace=f"require {place} {mode}", auth=authenticate)
    register, guard = api.get("/notes"), protector("profile email")
    notes = operation(mode, entered)
    register(guard(notes)) if place == "below" else guard(register(notes))
    with serving([path("api/", api.urls), *site([], protector)]):
        check_refusals(protector, send)
        assert send("/api/notes", query=b"number=x").status == 401
        assert asked == []
        assert send("/api/notes", bearer(GOOD), query=b"number=x").status == 422
        assert entered == []
        answer = send("/api/notes", bearer(GOOD), query=b"number=7")
    assert answer.json == {"number": 7, "user": "alice"}
    assert answer.members("Vary") == {"authorization"}
    assert answer.members("Cache-Control") == {"private"}


@shows('`require_oauth.protect_urls(api.urls, "…")`')
@sync_and_async
def test_protect_urls(mode: str, protector: ResourceProtector, send: Send) -> None:
    """Every operation is guarded, and so are the pages of the documentation."""
    api, entered = NinjaAPI(urls_namespace=f"urls {mode}"), list[int]()
    api.get("/notes")(operation(mode, entered))
    urls = protector.protect_urls(api.urls, "profile email")
    with serving([path("api/", urls), *site([], protector)]):
        check_refusals(protector, send)
        assert send("/api/openapi.json").status == 401
        answer = send("/api/notes", bearer(GOOD), query=b"number=7")
    assert answer.json == {"number": 7, "user": "alice"}
    assert answer.members("Cache-Control") == {"private"}


@shows("an exception that Ninja handles")
@pytest.mark.parametrize("place", ["below", "above", "decorate_view"])
@sync_and_async
def test_exceptions(place: str, mode: str, protector: ResourceProtector, send: Send) -> None:
    """Its answer is marked for caches like any other."""

    def sync_notes(request: HttpRequest) -> None:
        raise HttpError(409, "of the view")

    async def async_notes(request: HttpRequest) -> None:
        raise HttpError(409, "of the view")

    api = NinjaAPI(urls_namespace=f"exceptions {place} {mode}")
    notes: Any = sync_notes if mode == "def" else async_notes
    register = api.get("/notes")
    if place == "above":
        protector(register(notes))
    else:
        register(protector(notes) if place == "below" else decorate_view(protector)(notes))
    with serving([path("api/", api.urls)]):
        answer = send("/api/notes", bearer(GOOD))
    assert answer.status == 409
    assert answer.members("Vary") == {"authorization"}
    assert answer.members("Cache-Control") == {"private"}


@shows("the OpenAPI page")
def test_openapi(protector: ResourceProtector) -> None:
    """It shows the guard only with `install`."""
    for name, installed in (("plain", False), ("installed", True)):
        api = NinjaAPI(urls_namespace=name)
        if installed:
            install(api, authorization_url="https://as.example/authorize", token_url="https://as.example/token")
        api.get("/notes")(protector("profile email")(operation("def", [])))
        with serving([path("api/", api.urls)]):
            details = api.get_openapi_schema()["paths"]["/api/notes"]["get"]
        assert details.get("security") == ([{"OAuth": ["profile", "email"]}] if installed else None)


@shows("`oauth_routes` and `assert_guarded`")
def test_routes(protector: ResourceProtector) -> None:
    """They see each of these guards, and call no operation guarded that has none."""

    def guarded(urls: Any) -> dict[str, bool]:
        with serving([path("", urls)]):
            return {route.path: route.is_guarded for route in iter_routes()}

    api = NinjaAPI(urls_namespace="routes", openapi_url=None)
    api.get("/decorated")(decorate_view(protector)(operation("def", [])))
    api.get("/below")(protector(operation("def", [])))
    protector(api.get("/above")(operation("def", [])))
    api.get("/oauth", auth=OAuth())(operation("def", []))
    api.get("/open")(operation("def", []))
    are_guarded = dict.fromkeys(("/decorated", "/below", "/above", "/oauth"), True)
    assert guarded(api.urls) == {**are_guarded, "/open": False, "/": False}
    assert set(guarded(protector.protect_urls(api.urls)).values()) == {True}


SESSION_CHECKS = ["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]


@pytest.mark.parametrize("place", ["below", "above", "copied"])
@sync_and_async
def test_one_check(place: str, mode: str, protector: ResourceProtector, send: Send) -> None:
    """A request is checked once; or where the guard in front of Ninja is lost, by the guard of the function."""
    api, entered, checked = NinjaAPI(urls_namespace=f"once {place} {mode}"), list[int](), list[str]()

    def check(request: HttpRequest, token: Any) -> bool:
        checked.append(request.path)
        return True

    guard, register = protector("profile email", check=check), api.get("/notes")
    notes = operation(mode, entered)
    registered = guard(register(notes)) if place == "above" else register(guard(notes))
    if place == "copied":
        del registered._ninja_operation.run
        registered._ninja_operation._run_decorators = []
    with serving([path("api/", api.urls), *site([], protector)]):
        check_refusals(protector, send)
        assert send("/api/notes", bearer(GOOD)).status == 200
    assert checked == ["/api/notes"]


@shows("a request without a token, with `optional=True`")
@pytest.mark.parametrize("is_exempt", [False, True])
@pytest.mark.parametrize("place", ["below", "above"])
@sync_and_async
def test_session_checks(place: str, mode: str, is_exempt: bool, protector: ResourceProtector, send: Send) -> None:
    """If a token is optional, a request without one passes Django's CSRF check, unless the function is exempt."""
    api, entered = NinjaAPI(urls_namespace=f"session {place} {mode} {is_exempt}"), list[int]()
    notes = operation(mode, entered)
    notes.csrf_exempt = is_exempt
    register, guard = api.post("/notes"), protector("profile", optional=True)
    register(guard(notes)) if place == "below" else guard(register(notes))
    with serving([path("api/", api.urls)], MIDDLEWARE=SESSION_CHECKS):
        assert send("/api/notes", method="POST").status == (200 if is_exempt else 403)
        assert send("/api/notes", bearer(GOOD), method="POST").status == 200
    assert len(entered) == 1 + is_exempt


@shows("generators that stream")
@pytest.mark.parametrize("place", ["below", "above", "auth"])
@sync_and_async
def test_streams(place: str, mode: str, protector: ResourceProtector) -> None:
    """Generators work too, where Ninja knows them: sync ones under WSGI, async ones under ASGI."""
    streaming = pytest.importorskip("ninja.streaming", reason="Ninja has no streams before 1.6.")

    def sync_lines(request: HttpRequest) -> Iterator[int]:
        yield from (1, 2)

    async def async_lines(request: HttpRequest) -> AsyncIterator[int]:
        for number in (1, 2):
            yield number

    send = wsgi.send if mode == "def" else asgi.send
    lines: Any = sync_lines if mode == "def" else async_lines
    api = NinjaAPI(urls_namespace=f"streams {place} {mode}")
    install(api)
    auth = type("OAuth", (OAuth,), {"protector": protector})("profile")
    register = api.get("/lines", response=streaming.JSONL[int], **({"auth": auth} if place == "auth" else {}))
    if place == "above":
        protector("profile")(register(lines))
    else:
        register(protector("profile")(lines) if place == "below" else lines)
    with serving([path("api/", api.urls)]):
        assert send("/api/lines").status == 401
        answer = send("/api/lines", bearer(GOOD))
    assert answer.body == b"1\n2\n"
    assert answer.members("Cache-Control") == {"private"}


@shows("another decorator between the guard and `@api.get`")
@sync_and_async
def test_other_decorators(mode: str, protector: ResourceProtector, send: Send) -> None:
    """A decorator between the guard and Ninja's changes nothing; without `functools.wraps`, Ninja reads first."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def decorated(request: HttpRequest, **kwargs: Any) -> Any:
            return function(request, **kwargs)

        @functools.wraps(function)
        async def adecorated(request: HttpRequest, **kwargs: Any) -> Any:
            return await function(request, **kwargs)

        return decorated if mode == "def" else adecorated

    api, entered = NinjaAPI(urls_namespace=f"decorators {mode}"), list[int]()
    api.get("/wrapped")(decorate(protector("profile email")(operation(mode, entered))))
    hidden = decorate(protector("profile email")(operation(mode, entered)))
    del hidden._ninja_contribute_to_operation
    api.get("/hidden")(hidden)
    api.get("/two")(protector("profile")(protector("email")(operation(mode, entered))))
    with serving([path("api/", api.urls), *site([], protector)]):
        for name, first in (("wrapped", 401), ("two", 401), ("hidden", 422)):
            assert send(f"/api/{name}", query=b"number=x").status == first
            assert send(f"/api/{name}").status == 401
            assert send(f"/api/{name}", bearer(GOOD), query=b"number=7").status == 200
        assert send("/api/two", bearer(NARROW)).status == 403
    assert entered == [7, 7, 7]
