"""HTTP requests to a guarded application: what it gets, what it does not get, and what a guard leaves behind."""

import asyncio
import copy
import threading
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path, reverse

from async_oauth_guard import BearerTokenValidator, DPoP, ResourceProtector, require_oauth
from async_oauth_guard.guard.asgi.request import ScopeRequest, read_header
from async_oauth_guard.runtime.request_thread import RequestThread
from async_oauth_guard.testing import FakeAuthorizationServer, assert_guarded, override_oauth
from async_oauth_guard.validators.clock import CLOCK
from tests import asgi
from tests.answers import bearer
from tests.conftest import Committed
from tests.kit.guarded_sites import verifying
from tests.proofs import dpop, make_proof, thumbprint
from tests.site.models import OAuth2Token, QueryingToken
from tests.sites import Urls, serving

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    committed.token(access_token="row")
    committed.token(QueryingToken, access_token="querying")


class App:
    """An application that is not Django's, and what it got."""

    def __init__(self, headers: Any = ()) -> None:
        self.scopes: list[Any] = []
        self.headers = list(headers)
        self.context: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        self.context = SyncToAsync.thread_sensitive_context.get(None)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": self.headers})
            await send({"type": "http.response.body", "body": b"let in"})

    @property
    def scope(self) -> Any:
        (scope,) = self.scopes
        return scope


ROWS = ResourceProtector(BearerTokenValidator(OAuth2Token))


def test_scope() -> None:
    """The application gets a copy of the scope, with the token."""
    app, seen = App(), []
    guarded = ROWS.asgi(app)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        before = dict(scope)
        await guarded(scope, receive, send)
        seen.append(scope == before)

    assert asgi.send("/", bearer("row"), application=outer).body == b"let in"
    assert seen == [True]
    assert app.scope["oauth_token"].access_token == "row"
    assert "user" not in app.scope


@pytest.mark.parametrize("token", ["row", None])
def test_user(token: str | None) -> None:
    """With ``set_user``, the scope has the token's user. Without a token, it is not changed."""
    app = App()
    guarded = ResourceProtector(BearerTokenValidator(OAuth2Token), set_user=True).asgi(app, optional=True)
    asgi.send("/", bearer(token) if token else [], application=guarded, changes={"user": "of the session"})
    if token is None:
        assert (app.scope["user"], app.scope["oauth_token"]) == ("of the session", None)
    else:
        assert isinstance(app.scope["user"], User)


@pytest.mark.parametrize(
    ("headers", "vary", "cache_control"),
    [
        ([], "Authorization", "private"),
        ([(b"Vary", b"Accept"), (b"vary", b"Cookie")], "Accept, Cookie, Authorization", "private"),
        ([(b"vary", b"*")], "*", "private"),
        ([(b"cache-control", b"max-age=60")], "Authorization", "max-age=60, private"),
        ([(b"Cache-Control", b"public")], "Authorization", "public"),
        ([(b"cache-control", b"no-store")], "Authorization", "no-store"),
    ],
)
def test_headers_of_responses(headers: Any, vary: str, cache_control: str) -> None:
    """Responses of the application get the headers that a guarded view's get. Others are kept."""
    answer = asgi.send("/", bearer("row"), application=ROWS.asgi(App([(b"x-own", b"1"), *headers])))
    assert answer.header("x-own") == "1"
    assert answer.header("Vary") == vary
    assert answer.header("Cache-Control") == cache_control


def test_headers_without_a_token() -> None:
    """Without a token, caches may keep the response for others without one."""
    answer = asgi.send("/", application=ROWS.asgi(App(), optional=True))
    assert (answer.header("Vary"), answer.header("Cache-Control")) == ("Authorization", None)


def test_nonces(authority: FakeAuthorizationServer) -> None:
    """A response has at most one new nonce, also if a view behind has a guard too."""
    lasting = DPoP(nonce=True, nonce_lifetime=300)
    protector = ResourceProtector(verifying(), dpop=lasting)
    other = ResourceProtector(verifying(), dpop=lasting)
    token = authority.jwt("profile", claims={"cnf": {"jkt": thumbprint()}})

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("x")

    for guarded in (view, protector()(view), other()(view)):
        with serving(guarded):
            application = protector.asgi(ASGIHandler())
            first = asgi.send("/", dpop(token, make_proof(token)), application=application)
            assert first.status == 401
            nonce = first.header("DPoP-Nonce")
            now = CLOCK.wall()
            with mock.patch.object(CLOCK, "wall", lambda now=now: now + 200):
                claims = {"nonce": nonce, "iat": int(now + 200)}
                answer = asgi.send("/", dpop(token, make_proof(token, claims=claims)), application=application)
        assert answer.status == 200
        assert answer.header("DPoP-Nonce") not in (None, nonce)
        assert "no-store" in answer.members("Cache-Control")


def test_no_handler_and_no_thread() -> None:
    """A refusal enters no handler and no middleware of Django, and needs no thread, if no user code does."""
    threads = {thread.ident for thread in threading.enumerate()}
    with mock.patch.object(ASGIHandler, "get_response_async") as entered:
        for headers in ([], bearer("a b"), [(b"authorization", b"Basic x")]):
            assert asgi.send("/", headers, application=ROWS.asgi(ASGIHandler())).status in {400, 401}
    assert not entered.called
    assert {thread.ident for thread in threading.enumerate()} <= threads


def test_context_of_the_thread() -> None:
    """The application does not run in the context in which the checks ran."""
    app, during = App(), []

    async def check(request: HttpRequest, token: Any) -> bool:
        during.append(SyncToAsync.thread_sensitive_context.get(None))
        return True

    assert asgi.send("/", bearer("row"), application=ROWS.asgi(app, check=check)).status == 200
    assert isinstance(during[0], RequestThread)
    assert app.context is None


@pytest.mark.parametrize("status", [200, 403, None])
def test_connections_of_hooks(status: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to the database that hooks have opened are closed on their thread, before the application runs."""
    events: list[Any] = []
    close_all = type(connections).close_all
    monkeypatch.setattr(
        type(connections), "close_all", lambda self: (events.append(threading.current_thread()), close_all(self))
    )

    def check(request: HttpRequest, token: Any) -> bool:
        User.objects.count()
        events.append(threading.current_thread())
        if status is None:
            raise ZeroDivisionError
        return status == 200

    class Late(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            events.append("application")
            await super().__call__(scope, receive, send)

    application = ROWS.asgi(Late(), check=check)
    if status is None:
        with pytest.raises(ZeroDivisionError):
            asgi.send("/", bearer("row"), application=application)
    else:
        assert asgi.send("/", bearer("row"), application=application).status == status
    thread, *rest = events
    assert rest == ([thread, "application"] if status == 200 else [thread])
    thread.join(10)
    assert not thread.is_alive()


def test_inside_another_context() -> None:
    """Inside the context of another handler, the guard closes nothing: the thread is not its own."""

    async def run() -> None:
        async with ThreadSensitiveContext():
            await sync_to_async(User.objects.count)()
            with mock.patch.object(type(connections), "close_all") as close_all:
                application = ROWS.asgi(App(), check=lambda request, token: User.objects.count() > 0)
                assert (await asgi.request("/", bearer("row"), application=application)).status == 200
            assert not close_all.called
            await sync_to_async(connections.close_all)()

    asyncio.run(run())


def test_models_that_query() -> None:
    """A model whose methods query works in front of an application too."""
    guarded = ResourceProtector(BearerTokenValidator(QueryingToken)).asgi(App())
    assert asgi.send("/", bearer("querying"), application=guarded).status == 200


def test_request_of_hooks() -> None:
    """Hooks get Django's request, without the body."""
    seen: list[Any] = []

    def check(request: HttpRequest, token: Any) -> bool:
        seen.extend([request.GET["q"], request.headers["X-Own"], request.COOKIES["c"], request.resolver_match])
        seen.extend([request.path, request.path_info, reverse("here"), hasattr(request, "session")])
        with pytest.raises(OSError, match="in front of an ASGI application cannot read the body"):
            request.body  # noqa: B018
        return True

    headers = [*bearer("row"), (b"x-own", b"1"), (b"cookie", b"c=2")]
    with override_settings(ROOT_URLCONF=Urls(path("here/", App, name="here"))):
        guarded = ROWS.asgi(App(), check=check)
        changes = {"root_path": "/api"}
        answer = asgi.send("/api/here/", headers, query=b"q=1", method="POST", application=guarded, changes=changes)
    assert answer.status == 200
    assert seen == ["1", "1", "2", None, "/api/here/", "/here/", "/api/here/", False]


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "", "raw_path": b""},
        {"query_string": b"\xff\xfe=\x80"},
        {"query_string": b""},
        {"raw_path": None},
        {"client": None, "server": None},
        {"root_path": None},
        {"headers": [(b"host", b"testserver"), (b"\xff", b"\x00\xff"), (b"authorization", b"Bearer row"), (b"", b"")]},
        {"headers": [(b"host", b"testserver"), (b"AUTHORIZATION", b"Bearer row")]},
        {"extensions": None},
    ],
)
def test_odd_scopes(changes: Any) -> None:
    """A scope that is unusual or broken is no error of ours, whether or not a hook looks at the request."""
    headers = [] if "headers" in changes else bearer("row")
    merged = {"headers": [(b"host", b"testserver"), *headers], **changes}
    for check in (None, lambda request, token: bool(request.META) and request.GET is not None):
        guarded = ROWS.asgi(App(), check=check)
        assert asgi.send("/", application=guarded, changes=merged).status == 200
        assert asgi.send("/", application=guarded, changes={**merged, "headers": []}).status == 401


def test_copies_of_requests() -> None:
    """A hook may copy the request, before or after something of it was needed."""
    request = ScopeRequest({"type": "http", "method": "GET", "path": "/a", "headers": []})
    assert copy.copy(request).path == "/a"
    assert copy.copy(copy.copy(request)).META == request.META


@pytest.mark.parametrize(
    "headers", [[], [(b"authorization", b"a")], [(b"Authorization", b"a"), (b"x", b"y"), (b"authorization", b"\xe9")]]
)
def test_reading_headers(headers: Any) -> None:
    """A header is read from the scope as Django reads it."""
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    request = ScopeRequest(scope)
    before = read_header(request, "HTTP_AUTHORIZATION")
    assert "META" not in vars(request)
    assert before == request.META.get("HTTP_AUTHORIZATION") == read_header(request, "HTTP_AUTHORIZATION")


def test_shared_refusals_stay_the_same() -> None:
    """A middleware that changes the messages of a refusal does not change those of the next one."""
    guarded = ROWS.asgi(App())

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        async def changed(message: Any) -> None:
            message.get("headers", []).append((b"x-outer", b"1"))
            await send(message)

        await guarded(scope, receive, changed)

    answers = [asgi.send("/", application=outer) for _ in range(2)]
    assert answers[0].header("x-outer") == answers[1].header("x-outer") == "1"


def test_streamed_refusal() -> None:
    """A site may stream its refusals, and what it opened is closed."""
    closed = []

    class Body:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._parts()

        async def _parts(self) -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        def close(self) -> None:
            closed.append(1)

    def render(request: HttpRequest, error: Any) -> Any:
        return StreamingHttpResponse(Body(), status=error.status_code)

    guarded = ResourceProtector(BearerTokenValidator(OAuth2Token), render_error=render).asgi(App())
    assert asgi.send("/", application=guarded).body == b"ab"
    assert closed == [1]


def test_other_scopes() -> None:
    """``lifespan`` reaches the application unchanged. Types that a guard does not know are an error."""
    app = App()
    guarded = ROWS.asgi(app)
    scope = {"type": "lifespan"}
    asyncio.run(guarded(scope, None, None))
    assert app.scope is scope
    with pytest.raises(ValueError, match="got a scope of type 'carrier-pigeon'"):
        asyncio.run(guarded({"type": "carrier-pigeon"}, None, None))


def test_bugs_let_nobody_in() -> None:
    """An error in the site's code enters no application. The server responds."""
    app = App()

    async def check(request: HttpRequest, token: Any) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asgi.send("/", bearer("row"), application=ROWS.asgi(app, check=check))
    assert app.scopes == []


def test_views_do_not_count_as_guarded() -> None:
    """A guard in front guards no view, for tools that list guarded views, and exempts none from CSRF checks."""

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("x")

    csrf = ["django.middleware.csrf.CsrfViewMiddleware"]
    with serving(view, MIDDLEWARE=csrf):
        application = ROWS.asgi(ASGIHandler())
        with pytest.raises(AssertionError):
            assert_guarded()
        assert asgi.send("/", bearer("row"), method="POST", application=application).status == 403
        assert asgi.send("/", bearer("row"), application=application).status == 200


def test_overrides() -> None:
    """A test's override lets in requests to an application."""
    app = App()
    with override_oauth(scopes="profile"):
        assert asgi.send("/", application=require_oauth.asgi(app, "profile")).status == 200
    assert app.scope["oauth_token"].scopes == {"profile"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"app": None}, TypeError, "app must be an ASGI application, got NoneType"),
        ({"optional": 1}, TypeError, "optional must be True or False"),
        ({"scopes": ""}, ValueError, "blank alternative"),
        ({"scopes": 3}, TypeError, "scopes"),
        ({"subprotocol": "token"}, ValueError, "subprotocol must be 'bearer' or None, got 'token'"),
        ({"until_expiry": None}, TypeError, "until_expiry must be True or False, got NoneType"),
        ({"recheck": True}, TypeError, "recheck must be a number of seconds or None, got bool"),
        ({"recheck": "1"}, TypeError, "recheck must be a number of seconds or None, got str"),
        ({"recheck": 0}, ValueError, "recheck must be a positive number of seconds, got 0"),
        ({"recheck": float("inf")}, ValueError, "recheck must be a positive number of seconds, got inf"),
        ({"close_code": "3000"}, TypeError, "close_code must be an integer, got str"),
        ({"close_code": True}, TypeError, "close_code must be an integer, got bool"),
        ({"close_code": 1008}, ValueError, "close_code must be 1000, or from 3000 to 4999, got 1008"),
        ({"close_code": 5000}, ValueError, "close_code must be 1000, or from 3000 to 4999, got 5000"),
        ({"unknown": 1}, TypeError, "unknown"),
    ],
)
def test_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    """A wrong argument is an error at once."""
    with pytest.raises(error, match=message):
        ROWS.asgi(**{"app": App(), **arguments})
