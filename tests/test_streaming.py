"""Streaming responses of guarded views, which end with the token of their request."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View

from async_oauth_guard import (
    InvalidTokenError,
    JWTBearerTokenValidator,
    ProtectedResourceMixin,
    ResourceProtector,
    TokenValidator,
)
from async_oauth_guard.protocol.access_token import AccessToken, end_of_use
from async_oauth_guard.runtime.run import is_in_loop
from async_oauth_guard.testing import FakeAuthorizationServer
from async_oauth_guard.validators.clock import CLOCK
from tests.sites import serving
from tests.virtual_time import EPOCH, VirtualLoop, run_virtually, virtual_loop, wall

EVENTS, FILE = "text/event-stream", "application/octet-stream"
FINAL = {"type": "http.response.body"}


class Claims(TokenValidator):
    """The token is the number of seconds after which it expires, or says nothing about that."""

    TOKEN_TYPE = "bearer"

    async def authenticate_token(self, token: str) -> Any:
        return {"sub": "7", "exp": EPOCH + float(token)} if token[0].isdigit() else {"sub": "7"}

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        pass


class Endless:
    """Streams the time each second, and records how that ends."""

    def __init__(self) -> None:
        self.ends = list[str]()
        self.content: AsyncIterator[str] | None = None

    async def stream(self) -> AsyncIterator[str]:
        try:
            while True:
                await asyncio.sleep(1)
                yield f"{virtual_loop().now:g} "
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise

    def response(self, content_type: str) -> StreamingHttpResponse:
        self.content = self.stream()
        return StreamingHttpResponse(self.content, content_type=content_type)


@pytest.fixture(autouse=True)
def _virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualLoop, "last", None)
    monkeypatch.setattr(CLOCK, "wall", wall)


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(Claims())


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
def finished() -> Iterator[list[Any]]:
    """A place for each request that Django has finished, and whose connections it has closed."""
    heard: list[Any] = []

    def receive(sender: Any, **kwargs: Any) -> None:
        heard.append(sender)

    request_finished.connect(receive)
    yield heard
    request_finished.disconnect(receive)


async def exchange(token: str, *, leaves_after: float | None = None, reads_for: float = 0) -> tuple[list[Any], float]:
    """What Django sends for a request with ``token``, and when the response ended. The client may leave before.

    ``reads_for``: for how many seconds the client reads each message.
    """
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"authorization", f"Bearer {token}".encode())],
    }
    incoming = [{"type": "http.request"}]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not incoming:
            await asyncio.sleep(1e9 if leaves_after is None else leaves_after)
            return {"type": "http.disconnect"}
        return incoming.pop()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        await asyncio.sleep(reads_for)

    await ASGIHandler()(scope, receive, send)
    return sent, virtual_loop().now


def get(token: str, **options: Any) -> tuple[list[bytes], bool, float]:
    """The parts of the response, whether it looks complete, and when it ended."""
    sent, end = run_virtually(exchange(token, **options))
    assert (sent[0]["type"], sent[0]["status"]) == ("http.response.start", 200)
    is_complete = not sent[-1].get("more_body")
    return [message["body"] for message in sent[1:] if message.get("body")], is_complete, end


def sync_view(endless: Endless, content_type: str) -> Any:
    return lambda request: endless.response(content_type)


def async_view(endless: Endless, content_type: str) -> Any:
    async def view(request: HttpRequest) -> HttpResponseBase:
        return endless.response(content_type)

    return view


def sync_class(endless: Endless, content_type: str) -> Any:
    class Stream(View):
        def get(self, request: HttpRequest) -> HttpResponseBase:
            return endless.response(content_type)

    return Stream


def async_class(endless: Endless, content_type: str) -> Any:
    class Stream(View):
        async def get(self, request: HttpRequest) -> HttpResponseBase:
            return endless.response(content_type)

    return Stream


KINDS: list[tuple[Any, Callable[[Any], Any]]] = [
    (sync_view, lambda guarded: guarded),
    (async_view, lambda guarded: guarded),
    (sync_class, lambda guarded: guarded.as_view()),
    (async_class, lambda guarded: guarded.as_view()),
]
both_kinds = pytest.mark.parametrize("kind", [sync_view, async_view])


@pytest.mark.parametrize(("kind", "as_view"), KINDS)
@pytest.mark.parametrize("content_type", [EVENTS, FILE])
def test_stream_ends_with_its_token(
    content_type: str,
    kind: Any,
    as_view: Any,
    protector: ResourceProtector,
    endless: Endless,
    finished: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An event stream ends cleanly, any other response is cut off. The content is closed, and nothing is logged."""
    caplog.set_level(logging.INFO)
    with serving(as_view(protector(kind(endless, content_type)))):
        assert get("2.5") == ([b"1 ", b"2 "], content_type == EVENTS, 2.5)
    assert endless.ends == ["CancelledError"]
    assert len(finished) == 1
    assert [record for record in caplog.records if record.name.startswith("django")] == []


@both_kinds
def test_stream_that_does_not_end(kind: Any, protector: ResourceProtector, endless: Endless) -> None:
    """A stream goes on with ``until_expiry=False``, without a known expiry, and without a token."""
    guarded = protector(until_expiry=False)(kind(endless, FILE))
    with serving(guarded):
        assert get("2.5", leaves_after=5.5)[0][-1] == b"5 "
    with serving(protector(kind(endless, FILE))):
        assert get("endless", leaves_after=5.5)[0][-1] == b"5 "
    assert endless.ends == ["CancelledError"] * 2


def test_optional_without_a_token(protector: ResourceProtector, endless: Endless) -> None:
    """A request that an optional guard lets in without a token has no expiry."""
    response = protector(optional=True)(sync_view(endless, EVENTS))(AsyncRequestFactory().get("/"))
    assert response.status_code == 200
    assert response._iterator.__name__ == "stream"


@both_kinds
def test_client_that_leaves(kind: Any, protector: ResourceProtector, endless: Endless) -> None:
    """If the client leaves first, the content is cancelled as without a guard, and no timer is left."""
    with serving(protector(kind(endless, EVENTS))):
        parts, _, end = get("100", leaves_after=2.5)
    assert (parts, end) == ([b"1 ", b"2 "], 2.5)
    assert endless.ends == ["CancelledError"]


@both_kinds
@pytest.mark.parametrize("content_type", [EVENTS, FILE])
def test_client_that_reads_slowly(content_type: str, kind: Any, protector: ResourceProtector, endless: Endless) -> None:
    """If the token expires while a part is sent, the content is closed at once, also if the view still refers to it."""

    async def scenario() -> None:
        sent, _ = await exchange("4", reads_for=2)
        assert [message["body"] for message in sent[1:] if message.get("body")] == [b"3 "]
        assert (sent[-1] == FINAL) == (content_type == EVENTS)
        assert endless.ends == ["GeneratorExit"]

    with serving(protector(kind(endless, content_type))):
        run_virtually(scenario())


@pytest.mark.parametrize("outer", [{}, {"until_expiry": False}])
def test_nested_guards(outer: dict[str, Any], protector: ResourceProtector, endless: Endless) -> None:
    """With several guards, the first token that expires ends the stream."""

    class Later(Claims):
        async def authenticate_token(self, token: str) -> Any:
            return {"sub": "7", "exp": EPOCH + float(token) + (3 if outer else -1)}

    guarded = ResourceProtector(Later())(**outer)(protector(async_view(endless, EVENTS)))
    with serving(guarded):
        assert get("4.5")[2] == (4.5 if outer else 3.5)


def test_token_that_the_view_replaces(protector: ResourceProtector, endless: Endless) -> None:
    """The expiry is that of the token which the guard let in, whatever the view does to the request."""

    async def view(request: Any) -> HttpResponseBase:
        request.oauth_token = None
        return endless.response(EVENTS)

    with serving(protector(view)):
        assert get("2.5")[2] == 2.5


def test_other_ways_to_guard(protector: ResourceProtector, endless: Endless) -> None:
    """``protect_urls``, ``method_decorator`` and the mixin guard streams as well."""

    class Mixed(ProtectedResourceMixin, async_class(endless, EVENTS)):  # type: ignore[misc]
        pass

    Mixed.protector = protector
    views = [path("", async_view(endless, EVENTS))]
    decorated = method_decorator(protector, name="dispatch")(async_class(endless, EVENTS))
    for guarded in (Mixed.as_view(), [path("", protector.protect_urls(views))], decorated.as_view()):
        with serving(guarded):
            assert get("2.5")[2] == 2.5
    with serving([path("", protector.protect_urls(include(views), until_expiry=False))]):
        assert get("2.5", leaves_after=3.5)[2] == 3.5


def test_middleware_that_changes_the_content(protector: ResourceProtector, endless: Endless) -> None:
    """A middleware may compress the stream. It ends all the same."""
    with serving(protector(async_view(endless, EVENTS)), MIDDLEWARE=["django.middleware.gzip.GZipMiddleware"]):
        _, is_complete, end = get("2.5")
    assert (is_complete, end) == (True, 2.5)


def test_sync_iterators(protector: ResourceProtector) -> None:
    """Under ASGI, Django reads a sync iterator as a whole, so there is nothing to end."""

    async def view(request: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse(iter(["a", "b"]))

    with serving(protector(view)), pytest.warns(Warning, match="must consume synchronous iterators"):
        assert get("5")[:2] == ([b"a", b"b"], True)


def test_wsgi(protector: ResourceProtector, endless: Endless) -> None:
    """Under WSGI, nothing is ended."""
    response = protector(sync_view(endless, EVENTS))(RequestFactory().get("/", HTTP_AUTHORIZATION="Bearer 5"))
    assert response.status_code == 200
    assert response._iterator.__name__ == "stream"


@both_kinds
@pytest.mark.parametrize(("seconds", "end"), [(-5, 5.0), (3, 3.0)])
def test_leeway_of_a_jwt(seconds: int, end: float, kind: Any, endless: Endless) -> None:
    """A JWT that was presented within its leeway lasts until the leeway ends, and any other until ``exp``."""
    api = "https://api.example.com"
    with FakeAuthorizationServer() as server:
        claims = {"exp": int(EPOCH) + seconds, "iat": int(EPOCH) - 60}
        issuer, keys, token = server.issuer, server.jwks, server.jwt("a", audience=api, claims=claims)
    protector = ResourceProtector(JWTBearerTokenValidator(issuer, api, jwks=keys, leeway=10))
    with serving(protector(kind(endless, EVENTS))):
        # The memo lets the third request in.
        for _ in range(3):
            assert get(token)[2] == end


class Row:
    """A row of a model."""

    def __init__(self, expires_at: Any, expired: bool) -> None:
        self.expires_at, self.expired = expires_at, expired

    def is_expired(self) -> bool:
        return self.expired


@pytest.mark.parametrize(
    ("token", "leeway", "expected"),
    [
        ({"exp": 150}, 10.0, 150),
        ({"exp": 95}, 10.0, 105),
        # It expired while it was checked.
        ({"exp": 85}, 10.0, 95),
        ({}, 10.0, None),
        ({"exp": None}, 10.0, None),
        ({"exp": "100"}, 10.0, None),
        ({"exp": True}, 10.0, None),
        ({"exp": float("nan")}, 10.0, None),
        ({"exp": float("inf")}, 10.0, None),
        (AccessToken({"exp": 85}), 10.0, 95),
        (Row(150, False), 0.0, 150),
        (Row(None, False), 0.0, None),
        (Row(90, True), 0.0, 90),
        # This time is not when the row expires.
        (Row(0, False), 0.0, None),
    ],
)
def test_end_of_use(token: Any, leeway: float, expected: float | None) -> None:
    """Until when a token that was let in at 100 may be used."""
    assert end_of_use(token, leeway, 100.0) == expected


@pytest.mark.parametrize("value", [None, 1, "no"])
def test_until_expiry_must_be_a_flag(value: Any, protector: ResourceProtector) -> None:
    """A value that is not a ``bool`` is refused when the view is decorated."""
    for guard in (protector, lambda **keywords: protector.protect_urls([], **keywords)):
        with pytest.raises(TypeError, match="until_expiry must be True or False, got"):
            guard(until_expiry=value)
    with pytest.raises(TypeError, match="a view must be the only argument"):
        protector(lambda request: HttpResponse(), until_expiry=False)


def test_other_responses(protector: ResourceProtector) -> None:
    """Nothing changes for responses that are not streams."""
    with serving(protector(lambda request: HttpResponse(b"hello"))):
        assert get("5")[:2] == ([b"hello"], True)


def test_refused(protector: ResourceProtector, endless: Endless) -> None:
    """A refused request has no stream."""

    class Refusing(Claims):
        async def authenticate_token(self, token: str) -> Any:
            raise InvalidTokenError

    with serving(ResourceProtector(Refusing())(async_view(endless, EVENTS))):
        sent, _ = run_virtually(exchange("5"))
    assert sent[0]["status"] == 401


class SlowRow:
    """A row whose expiry is elsewhere: in another table, unless ``error`` says that Django would not notice."""

    user = None
    get_scope = str
    is_revoked = is_expired = bool

    def __init__(self, expires_at: float, error: type[Exception]) -> None:
        self.expires_at, self.error = expires_at, error

    def get_expires_at(self) -> float:
        if is_in_loop():
            raise self.error("this blocks the event loop")
        return self.expires_at


@both_kinds
@pytest.mark.parametrize("blocking", [False, True])
def test_expiry_that_needs_io(blocking: bool, kind: Any, endless: Endless) -> None:
    """A model's methods may run queries, or with ``blocking_methods`` do other I/O, but not on the event loop."""

    class SlowRows(TokenValidator):
        TOKEN_TYPE = "bearer"
        blocking_methods = blocking

        async def authenticate_token(self, token: str) -> Any:
            return SlowRow(EPOCH + float(token), AssertionError if blocking else SynchronousOnlyOperation)

    with serving(ResourceProtector(SlowRows())(kind(endless, EVENTS))):
        assert get("2.5") == ([b"1 ", b"2 "], True, 2.5)
