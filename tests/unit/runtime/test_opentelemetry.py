"""Spans and metrics: what they say, whose children they are, and what they never hold."""

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error
from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from async_oauth_guard import (
    InsufficientScopeError,
    InvalidTokenError,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
)
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime import event_loop
from async_oauth_guard.runtime.effects import (
    CacheRead,
    ClientOptions,
    ConcurrencyLimit,
    Flow,
    OutboundRequest,
    OutboundResponse,
    RequestFailedError,
    SingleFlight,
    StartBackground,
)
from async_oauth_guard.runtime.observer import set_observer, watch_call, watch_validation
from async_oauth_guard.runtime.opentelemetry import _Telemetry, instrument, uninstrument
from async_oauth_guard.runtime.run import arun, run
from tests import asgi, wsgi
from tests.answers import bearer
from tests.conftest import Send
from tests.faults import FaultServer, Gated, Json, Status
from tests.made_up import Fixed, GoodToken
from tests.remote.authority import CLIENT_SECRET, INTROSPECTION, KEYS, METADATA, SUBJECT, Authority
from tests.sites import MODES, serving

LIMIT = 10.0
TOKEN = "the-token-that-nobody-may-see"
VALIDATION = "oauth.validate_token"
sync_and_async = pytest.mark.parametrize("mode", MODES)


class Telemetry:
    """What was recorded."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])
        self.tracer = self.tracers.get_tracer("the site")

    def instrument(self) -> None:
        instrument(tracer_provider=self.tracers, meter_provider=self.meters)

    def shutdown(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()

    def spans(self, name: str | None = None) -> list[Any]:
        return [span for span in self._exporter.get_finished_spans() if name in (None, span.name)]

    def validation(self) -> Any:
        (span,) = self.spans(VALIDATION)
        return span

    def points(self, name: str) -> list[Any]:
        data: Any = self._reader.get_metrics_data()
        metrics = [m for each in data.resource_metrics for scope in each.scope_metrics for m in scope.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    def attributes(self, name: str) -> list[dict[str, Any]]:
        return [dict(point.attributes) for point in self.points(name)]

    def everything(self) -> str:
        """All that anybody may read of it."""
        return "".join(span.to_json() for span in self.spans()) + repr(self._reader.get_metrics_data())


@pytest.fixture
def telemetry(caplog: pytest.LogCaptureFixture) -> Iterator[Telemetry]:
    """Recorded in memory. Nothing fails meanwhile, and no context is detached where it was not attached."""
    telemetry = Telemetry()
    telemetry.instrument()
    yield telemetry
    uninstrument()
    event_loop.close()
    telemetry.shutdown()
    said = [record.name for record in caplog.get_records("call")]
    complaints = [name for name in said if name.startswith(("opentelemetry", "async_oauth_guard.observation"))]
    assert complaints == []


@pytest.fixture
def authority() -> Iterator[Authority]:
    with FaultServer() as server:
        yield Authority(server)


def view_of(mode: str, seen: Callable[[], None] = lambda: None) -> Any:
    def sync_view(request: HttpRequest) -> HttpResponse:
        seen()
        return HttpResponse()

    async def async_view(request: HttpRequest) -> HttpResponse:
        seen()
        return HttpResponse()

    return sync_view if mode == "def" else async_view


def guarded(mode: str, *validators: Any, **asked: Any) -> Any:
    return ResourceProtector(*validators)(**asked)(view_of(mode))


class TroubleError(Exception):
    pass


ERROR, UNSET = StatusCode.ERROR, StatusCode.UNSET
BY_US = {"oauth.scheme": "bearer", "oauth.validator": "Fixed"}
REFUSED = {"oauth.validation.outcome": "refused"}
UNAVAILABLE = {"oauth.validation.outcome": "unavailable"}
OUTCOMES: dict[str, tuple[Any, Any, int, StatusCode, dict[str, Any]]] = {
    "accepted": (
        bearer(TOKEN),
        GoodToken("profile"),
        200,
        UNSET,
        {"oauth.scheme": "bearer", "oauth.validation.outcome": "accepted"},
    ),
    "missing": ([], None, 401, UNSET, REFUSED | {"oauth.reason": "missing_credentials"}),
    "malformed": (
        bearer("a b"),
        None,
        400,
        UNSET,
        REFUSED | {"oauth.reason": "malformed_credentials", "oauth.scheme": "bearer"},
    ),
    "unknown": (bearer(TOKEN), None, 401, UNSET, REFUSED | BY_US | {"oauth.reason": "unknown_token"}),
    "scope": (
        bearer(TOKEN),
        InsufficientScopeError(),
        403,
        UNSET,
        REFUSED | BY_US | {"oauth.reason": "insufficient_scope"},
    ),
    "hook": (bearer(TOKEN), OAuth2Error(), 400, UNSET, REFUSED | BY_US | {"oauth.reason": "refused_by_hook"}),
    "made up": (
        bearer(TOKEN),
        InvalidTokenError(reason=f"{TOKEN} is no good"),  # type: ignore[arg-type]
        401,
        UNSET,
        REFUSED | BY_US | {"oauth.reason": "refused_by_hook"},
    ),
    "outage": (
        bearer(TOKEN),
        TemporarilyUnavailableError(reason=Reason.KEYS_UNAVAILABLE),
        503,
        ERROR,
        UNAVAILABLE | BY_US | {"oauth.reason": "keys_unavailable", "error.type": "keys_unavailable"},
    ),
    "bug": (
        bearer(TOKEN),
        TroubleError(TOKEN),
        500,
        ERROR,
        {
            "oauth.scheme": "bearer",
            "oauth.validation.outcome": "failed",
            "error.type": "tests.unit.runtime.test_opentelemetry.TroubleError",
        },
    ),
    "builtin": (
        bearer(TOKEN),
        KeyError(TOKEN),
        500,
        ERROR,
        {"oauth.scheme": "bearer", "oauth.validation.outcome": "failed", "error.type": "KeyError"},
    ),
}


# Validations


@sync_and_async
@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_validation(outcome: Any, mode: str, send: Send, telemetry: Telemetry) -> None:
    """A validation is a span and counts once, by how it ended; the span is an error for our trouble alone."""
    headers, found, status, code, attributes = outcome
    with serving(guarded(mode, Fixed(found))):
        assert send("/", headers).status == status
    span = telemetry.validation()
    assert (span.kind, span.status.status_code, span.parent) == (SpanKind.INTERNAL, code, None)
    assert dict(span.attributes) == attributes
    assert telemetry.attributes("oauth.validations") == [attributes]
    assert telemetry.attributes("oauth.validation.duration") == [attributes]
    (count,), (duration,) = telemetry.points("oauth.validations"), telemetry.points("oauth.validation.duration")
    assert (count.value, duration.count) == (1, 1)
    assert (span.events, span.status.description) == ((), None)
    assert TOKEN not in telemetry.everything()


@sync_and_async
def test_no_validation(mode: str, send: Send, telemetry: Telemetry) -> None:
    """A request that is let in without a token leaves nothing."""
    with serving(guarded(mode, Fixed(None), optional=True)):
        assert send("/").status == 200
    assert telemetry.spans() == []


def test_tokens_without_requests(telemetry: Telemetry) -> None:
    """Validating a token without a request is a validation too, without a scheme."""
    protector = ResourceProtector(Fixed(GoodToken("profile")))
    protector.validate_token(TOKEN)
    asyncio.run(protector.avalidate_token(TOKEN))
    assert [dict(span.attributes) for span in telemetry.spans()] == [{"oauth.validation.outcome": "accepted"}] * 2


def tracing(telemetry: Telemetry, view: Any, mode: str) -> Any:
    """``view`` within a span of the request's, as a middleware makes one."""

    def sync_view(request: HttpRequest) -> Any:
        with telemetry.tracer.start_as_current_span("request"):
            return view(request)

    async def async_view(request: HttpRequest) -> Any:
        with telemetry.tracer.start_as_current_span("request"):
            return await view(request)

    return sync_view if mode == "def" else async_view


@sync_and_async
@pytest.mark.parametrize("hook_mode", MODES)
def test_hooks_run_within(hook_mode: str, mode: str, send: Send, telemetry: Telemetry) -> None:
    """The span is the request's child. Sync and async hooks run in it, and the view runs after it."""

    def check(request: Any, token: Any) -> bool:
        with telemetry.tracer.start_as_current_span("hook"):
            return True

    async def acheck(request: Any, token: Any) -> bool:
        await asyncio.sleep(0)
        return check(request, token)

    guard = ResourceProtector(Fixed(GoodToken("profile")))(check=check if hook_mode == "def" else acheck)
    view = guard(view_of(mode, lambda: telemetry.tracer.start_span("view").end()))
    with serving(tracing(telemetry, view, mode)):
        assert send("/", bearer(TOKEN)).status == 200
    (outer,), (hook,), (inner,) = telemetry.spans("request"), telemetry.spans("hook"), telemetry.spans("view")
    assert telemetry.validation().parent == outer.context
    assert hook.parent == telemetry.validation().context
    assert inner.parent == outer.context


def test_requests_at_once(telemetry: Telemetry) -> None:
    """Requests that take turns on one loop keep their spans apart."""
    concurrency_limit = asyncio.Event()

    async def check(request: HttpRequest, token: Any) -> bool:
        with telemetry.tracer.start_as_current_span("hook", attributes={"of": request.headers["X-Number"]}):
            if request.headers["X-Number"] == "9":
                concurrency_limit.set()
            await concurrency_limit.wait()
        return True

    view = ResourceProtector(Fixed(GoodToken("profile")))(check=check)(view_of("async def"))

    async def crowd() -> None:
        async def one(number: int) -> Any:
            with telemetry.tracer.start_as_current_span("request", attributes={"of": str(number)}):
                return await asgi.request("/", [*bearer(TOKEN), (b"X-Number", b"%d" % number)])

        await asyncio.gather(*map(one, range(10)))

    with serving(view):
        asyncio.run(crowd())
    requests = {span.context.span_id: span.attributes["of"] for span in telemetry.spans("request")}
    validations = {span.context.span_id: requests[span.parent.span_id] for span in telemetry.spans(VALIDATION)}
    assert sorted(validations.values()) == sorted(map(str, range(10)))
    assert [validations[span.parent.span_id] for span in telemetry.spans("hook")] == [
        span.attributes["of"] for span in telemetry.spans("hook")
    ]


def test_threads_at_once(telemetry: Telemetry) -> None:
    """Requests on threads keep theirs apart."""
    barrier = threading.Barrier(5)

    def check(request: HttpRequest, token: Any) -> bool:
        barrier.wait(LIMIT)
        telemetry.tracer.start_span("hook", attributes={"of": request.headers["X-Number"]}).end()
        barrier.wait(LIMIT)
        return True

    def one(number: int) -> Any:
        return wsgi.send("/", [*bearer(TOKEN), (b"X-Number", b"%d" % number)])

    guarded_view = ResourceProtector(Fixed(GoodToken("profile")))(check=check)(view_of("def"))

    def view(request: HttpRequest) -> Any:
        with telemetry.tracer.start_as_current_span("request", attributes={"of": request.headers["X-Number"]}):
            return guarded_view(request)

    with serving(view), ThreadPoolExecutor(5) as pool:
        assert [answer.status for answer in pool.map(one, range(5))] == [200] * 5
    traces = {span.context.trace_id: span.attributes["of"] for span in telemetry.spans("request")}
    assert [traces[span.context.trace_id] for span in telemetry.spans("hook")] == [
        span.attributes["of"] for span in telemetry.spans("hook")
    ]
    assert {span.context.trace_id for span in telemetry.spans(VALIDATION)} == set(traces)


# Ends that nobody waits for


def waiting_flow() -> Flow[None]:
    yield CacheRead("default", "key")


def test_cancelled_request(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is cancelled ends its span, which is no error, and leaves its context as it was."""

    async def main() -> None:
        began = asyncio.Event()

        async def authenticate_token(self: Any, token_string: str) -> Any:
            began.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Fixed, "authenticate_token", authenticate_token)

        async def request() -> None:
            with telemetry.tracer.start_as_current_span("request") as span:
                try:
                    await ResourceProtector(Fixed(None)).avalidate_token(TOKEN)
                finally:
                    assert trace.get_current_span() is span

        task = asyncio.create_task(request())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    span = telemetry.validation()
    assert dict(span.attributes) == {"oauth.validation.outcome": "cancelled"}
    assert span.status.status_code is UNSET


def test_task_that_is_forgotten(telemetry: Telemetry) -> None:
    """A flow that is collected in a context of others' ends its span, and leaves theirs alone."""
    flow = watch_validation(waiting_flow(), "bearer")
    contextvars.Context().run(next, flow)
    with telemetry.tracer.start_as_current_span("somebody else") as span:
        del flow
        gc.collect()
        assert trace.get_current_span() is span
    assert telemetry.validation().attributes["oauth.validation.outcome"] == "cancelled"


# Calls to authorization servers


def get_all(mode: str, guards: Any, tokens: Sequence[str]) -> list[int]:
    """The statuses of requests that are made at once."""
    with serving(guards):
        if mode == "def":
            with ThreadPoolExecutor(len(tokens)) as pool:
                return [answer.status for answer in pool.map(lambda token: wsgi.send("/", bearer(token)), tokens)]

        async def crowd() -> Any:
            return await asyncio.gather(*(asgi.request("/", bearer(token)) for token in tokens))

        return [answer.status for answer in asyncio.run(crowd())]


def calls(telemetry: Telemetry) -> list[Any]:
    return [span for span in telemetry.spans() if span.kind is SpanKind.CLIENT]


def known_of(authority: Authority, method: str, purpose: str) -> dict[str, Any]:
    return {
        "http.request.method": method,
        "oauth.call.purpose": purpose,
        "server.address": "127.0.0.1",
        "server.port": authority.server.port,
    }


@sync_and_async
def test_calls(mode: str, authority: Authority, telemetry: Telemetry) -> None:
    """Each call is a client's span in the trace of the request that began it, and is measured."""
    view = tracing(telemetry, guarded(mode, authority.verifying(timeout=LIMIT)), mode)
    token = authority.jwt()
    assert get_all(mode, view, [token]) == [200]
    metadata, keys = calls(telemetry)
    assert (metadata.name, keys.name) == ("GET", "GET")
    for span, purpose, path in ((metadata, "metadata", METADATA), (keys, "keys", KEYS)):
        measured = known_of(authority, "GET", purpose) | {"http.response.status_code": 200}
        told = {"url.full": authority.issuer + path}
        assert dict(span.attributes) == measured | told
        assert measured in telemetry.attributes("http.client.request.duration")
        assert span.parent == telemetry.validation().context
        assert (span.status.status_code, span.links) == (UNSET, ())
    assert token not in telemetry.everything()
    assert SUBJECT not in telemetry.everything()


@sync_and_async
def test_boundaries(mode: str, authority: Authority, telemetry: Telemetry) -> None:
    """Calls are counted in the buckets of OpenTelemetry's conventions; validations in finer ones as well."""
    assert get_all(mode, guarded(mode, authority.introspecting(timeout=LIMIT)), [authority.opaque()]) == [200]
    (call,) = telemetry.points("http.client.request.duration")
    assert call.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    (validation,) = telemetry.points("oauth.validation.duration")
    assert validation.explicit_bounds == (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *call.explicit_bounds)


@sync_and_async
@pytest.mark.parametrize("status", [401, 500])
def test_calls_that_are_refused(status: int, mode: str, authority: Authority, telemetry: Telemetry) -> None:
    """An answer of 400 or more is an error of the call's, named by its status; no secret is recorded."""
    authority.server.answer(INTROSPECTION, Status(status))
    token = authority.opaque()
    assert get_all(mode, guarded(mode, authority.introspecting(timeout=LIMIT)), [token]) == [503]
    (span,) = calls(telemetry)
    assert span.name == "POST"
    assert span.attributes["oauth.call.purpose"] == "introspection"
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["error.type"] == str(status)
    assert (span.status.status_code, span.status.description, span.events) == (ERROR, None, ())
    assert telemetry.validation().status.status_code is ERROR
    for secret in (token, CLIENT_SECRET):
        assert secret not in telemetry.everything()


@sync_and_async
def test_calls_without_an_answer(mode: str, authority: Authority, telemetry: Telemetry) -> None:
    """A server that cannot be reached is an error by our name for it; what is not asked meanwhile is no call."""
    authority.server.stop()
    validator = authority.introspecting(timeout=LIMIT)
    token = authority.opaque()
    assert get_all(mode, guarded(mode, validator), [token]) == [503]
    (span,) = calls(telemetry)
    assert span.attributes["error.type"] == "server_unreachable"
    assert "http.response.status_code" not in span.attributes
    assert get_all(mode, guarded(mode, validator), [token]) == [503]
    assert len(calls(telemetry)) == 1
    assert telemetry.spans(VALIDATION)[1].attributes["oauth.reason"] == "backing_off"
    authority.server.start()


@sync_and_async
def test_shared_calls(mode: str, authority: Authority, telemetry: Telemetry) -> None:
    """A call that several requests wait for is one span, in the trace of one of them."""
    concurrency_limit = threading.Event()
    authority.server.answer(INTROSPECTION, lambda received: Gated(concurrency_limit, authority.introspect(received)))
    join, joined = event_loop._Outgoing.join, threading.Semaphore(0)

    def tell(self: Any, *arguments: Any) -> None:
        join(self, *arguments)
        joined.release()

    def open_when_all_wait() -> None:
        for _ in range(5):
            assert joined.acquire(timeout=LIMIT)
        concurrency_limit.set()

    view = guarded(mode, authority.introspecting(timeout=LIMIT))
    with pytest.MonkeyPatch.context() as monkeypatch, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(event_loop._Outgoing, "join", tell)
        opened = pool.submit(open_when_all_wait)
        assert get_all(mode, view, [authority.opaque()] * 5) == [200] * 5
        opened.result(LIMIT)
    (span,) = calls(telemetry)
    validations = telemetry.spans(VALIDATION)
    assert len(validations) == 5
    assert span.parent in [validation.context for validation in validations]


def test_nothing_is_propagated(authority: Authority, telemetry: Telemetry) -> None:
    """No trace is sent to the authorization server, which may be somebody else's."""
    assert get_all("def", guarded("def", authority.introspecting(timeout=LIMIT)), [authority.opaque()]) == [200]
    (received,) = authority.server.calls_to(INTROSPECTION)
    assert {"traceparent", "tracestate", "baggage"}.isdisjoint(name.lower() for name, _ in received.headers)


@pytest.fixture
def call(authority: Authority) -> OutboundRequest:
    authority.server.answer("/", Json({}))
    return OutboundRequest("GET", authority.server.url + "/", ClientOptions(), ConcurrencyLimit(1))


def call_flow(call: OutboundRequest) -> Flow[Any]:
    return (yield call)


def flow_of(*effects: Any) -> Flow[Any]:
    result = None
    for effect in effects:
        result = yield effect
    return result


@pytest.mark.parametrize("driver", [run, lambda flow: asyncio.run(arun(flow))], ids=["thread", "loop"])
def test_background_calls(driver: Any, call: OutboundRequest, telemetry: Telemetry) -> None:
    """What is begun and not waited for belongs to where it was begun."""
    background = SingleFlight("key", lambda: call_flow(call), LIMIT)
    with telemetry.tracer.start_as_current_span("request") as span:
        driver(flow_of(StartBackground(background), background))
    (recorded,) = calls(telemetry)
    assert (recorded.parent, recorded.links) == (span.get_span_context(), ())


def test_nested_background_calls(call: OutboundRequest, telemetry: Telemetry) -> None:
    """So is what a flight begins, and what that begins in turn."""
    inner = SingleFlight("inner", lambda: call_flow(call), LIMIT)
    middle = SingleFlight("middle", lambda: flow_of(inner), LIMIT)
    outer = SingleFlight("outer", lambda: flow_of(StartBackground(middle), middle), LIMIT)
    with telemetry.tracer.start_as_current_span("request") as span:
        run(flow_of(outer))
    (recorded,) = calls(telemetry)
    assert (recorded.parent, recorded.links) == (span.get_span_context(), ())


def test_calls_that_nobody_traces(call: OutboundRequest, telemetry: Telemetry) -> None:
    """A call that begins outside any trace starts a new trace, without links."""
    run(
        flow_of(
            StartBackground(SingleFlight("key", lambda: call_flow(call), LIMIT)),
            SingleFlight("key", lambda: call_flow(call), LIMIT),
        )
    )
    (recorded,) = calls(telemetry)
    assert (recorded.parent, recorded.links) == (None, ())


def test_calls_that_began_unwatched(call: OutboundRequest, telemetry: Telemetry) -> None:
    """If a flight began before anybody watched, its call starts a new trace."""

    async def exchange() -> Any:
        return OutboundResponse(302, "", Secret(b""))

    async def main() -> None:
        await watch_call(call, exchange())

    with telemetry.tracer.start_as_current_span("request"):
        asyncio.run(main())
    (recorded,) = calls(telemetry)
    assert (recorded.parent, recorded.links) == (None, ())
    assert recorded.status.status_code is UNSET


def test_call_is_current(telemetry: Telemetry) -> None:
    """While a call is made its span is the current one, for what instruments the client."""
    call = OutboundRequest("GET", "https://as.example.com/", ClientOptions(), ConcurrencyLimit(1))
    inner: list[Any] = []

    async def exchange() -> Any:
        inner.append(trace.get_current_span())
        return RequestFailedError(Reason.SERVER_TOO_SLOW, "no answer")

    async def main() -> Any:
        await watch_call(call, exchange())
        return trace.get_current_span()

    after = asyncio.run(main())
    (recorded,) = calls(telemetry)
    assert inner[0].get_span_context() == recorded.context
    assert not after.get_span_context().is_valid
    assert recorded.attributes["error.type"] == "server_too_slow"


def test_bugs_of_calls(telemetry: Telemetry) -> None:
    """What a call raised is named by its class alone."""
    call = OutboundRequest("GET", "https://as.example.com/", ClientOptions(), ConcurrencyLimit(1))

    async def exchange() -> Any:
        raise TroubleError(TOKEN)

    async def main() -> Any:
        await watch_call(call, exchange())

    with pytest.raises(TroubleError):
        asyncio.run(main())
    (recorded,) = calls(telemetry)
    assert recorded.attributes["error.type"] == "tests.unit.runtime.test_opentelemetry.TroubleError"
    assert recorded.events == ()
    assert TOKEN not in telemetry.everything()


URLS: dict[str, tuple[str, dict[str, Any]]] = {
    "https://as.example.com/keys": ("https://as.example.com/keys", {"address": "as.example.com", "port": 443}),
    "http://as.example.com/": ("http://as.example.com/", {"address": "as.example.com", "port": 80}),
    "https://as.example.com:8443": ("https://as.example.com:8443", {"address": "as.example.com", "port": 8443}),
    "https://as.example.com/a@b?key=secret": (
        "https://as.example.com/a@b",
        {"address": "as.example.com", "port": 443},
    ),
    "https://[::1]:8443/?secret": ("https://[::1]:8443/", {"address": "::1", "port": 8443}),
}


@pytest.mark.parametrize(("url", "expected"), URLS.items(), ids=URLS)
def test_addresses(url: str, expected: tuple[str, dict[str, Any]], telemetry: Telemetry) -> None:
    """A URL is shown without its query."""
    shown, server = expected
    call = OutboundRequest("GET", url, ClientOptions(), ConcurrencyLimit(1))

    async def exchange() -> Any:
        return OutboundResponse(200, "", Secret(b""))

    async def main() -> Any:
        await watch_call(call, exchange())

    asyncio.run(main())
    (recorded,) = calls(telemetry)
    assert recorded.attributes["url.full"] == shown
    told = {name: value for name, value in recorded.attributes.items() if name.startswith("server.")}
    assert told == {f"server.{name}": value for name, value in server.items()}
    assert "url.full" not in telemetry.attributes("http.client.request.duration")[0]


# On and off


def test_uninstrument(telemetry: Telemetry) -> None:
    """Afterwards nothing is recorded; what has begun is ended."""
    flow = watch_validation(waiting_flow(), "bearer")
    next(flow)
    uninstrument()
    with pytest.raises(StopIteration):
        flow.send(None)
    ResourceProtector(Fixed(GoodToken("profile"))).validate_token(TOKEN)
    assert len(telemetry.spans()) == 1


def test_instrument_again(telemetry: Telemetry) -> None:
    """The later call counts, and nothing is recorded twice."""
    later = Telemetry()
    later.instrument()
    ResourceProtector(Fixed(GoodToken("profile"))).validate_token(TOKEN)
    assert (len(telemetry.spans()), len(later.spans())) == (0, 1)
    later.shutdown()


def test_global_providers(send: Send) -> None:
    """Without providers the global ones are used, which do nothing until somebody sets them."""
    instrument()
    try:
        with serving(guarded("async def", Fixed(GoodToken("profile")))):
            assert send("/", bearer(TOKEN)).status == 200
    finally:
        uninstrument()


def test_failing_meters(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """If metrics fail, the span still ends, and the context and the result are unchanged."""

    class FailingMeter:
        def __getattr__(self, name: str) -> Any:
            return lambda *args, **kwargs: self

        def add(self, *args: Any) -> None:
            raise TroubleError

    set_observer(_Telemetry(telemetry.tracer, FailingMeter()))  # type: ignore[arg-type]
    assert ResourceProtector(Fixed(GoodToken("profile"))).validate_token(TOKEN) is not None
    assert not trace.get_current_span().get_span_context().is_valid
    assert len(telemetry.spans(VALIDATION)) == 1
    assert [record.name for record in caplog.records] == ["async_oauth_guard.observation"]
    caplog.clear()


def test_origins_of_failed_places(telemetry: Telemetry) -> None:
    """If a flight's place could not be remembered, its call starts a new trace."""
    call = OutboundRequest("GET", "https://as.example.com/", ClientOptions(), ConcurrencyLimit(1))
    end = _Telemetry(telemetry.tracer, telemetry.meters.get_meter("x")).begin_call(call, None)
    end(OutboundResponse(200, "", Secret(b"")))
    (recorded,) = calls(telemetry)
    assert (recorded.parent, recorded.links) == (None, ())
