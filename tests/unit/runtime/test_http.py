"""One exchange: what is sent, what is read, and what each fault of a server becomes."""

import asyncio
import base64
import gc
import importlib.metadata
import logging
import ssl
import sys
import threading
import traceback
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import (
    ClientOptions,
    ConcurrencyLimit,
    OutboundRequest,
    OutboundResponse,
    RequestFailedError,
)
from async_oauth_guard.runtime.http import WAITING, Transport
from async_oauth_guard.runtime.http_clients import POOL_GRACE, _library_of, user_agent
from async_oauth_guard.runtime.http_pool import Pool
from tests.faults import (
    PATIENCE,
    Behaviour,
    CloseAfterAnswer,
    Drip,
    FaultServer,
    Gated,
    GzipBomb,
    Hang,
    HangUp,
    Huge,
    Json,
    LyingLength,
    Raw,
    Redirect,
    Reset,
    Slow,
    Status,
    Truncated,
)

TOKEN = "the-token-that-nobody-may-see"
PASSWORD = "the-password-that-nobody-may-see"
AUTHORIZATION = "Basic " + base64.b64encode(f"us:{PASSWORD}".encode()).decode()
ANSWER = OutboundResponse(200, "application/json", Secret(b"{}"))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.aclose()


class Exchanges:
    """Calls to one server, each with a token and a password."""

    def __init__(self, transport: Transport, server: FaultServer) -> None:
        self.transport = transport
        self.server = server
        self.concurrency_limit = ConcurrencyLimit(100)

    def call(self, path: str = "/", **options: Any) -> OutboundRequest:
        defaults: dict[str, Any] = {
            "url": self.server.url + path,
            "client": ClientOptions(),
            "concurrency_limit": self.concurrency_limit,
            "headers": {"Authorization": Secret(AUTHORIZATION), "Accept": "application/json"},
            "form": {"token": Secret(TOKEN), "token_type_hint": "access_token"},
        }
        return OutboundRequest("POST", **(defaults | options))

    async def __call__(self, path: str = "/", *, within: float = PATIENCE, **options: Any) -> OutboundResponse:
        deadline = asyncio.get_running_loop().time() + within
        return await self.transport.exchange(self.call(path, **options), deadline)

    async def fail(self, path: str = "/", **options: Any) -> RequestFailedError:
        """The error, after a look at what it gives away."""
        with pytest.raises(RequestFailedError) as caught:
            await self(path, **options)
        assert_tells_nothing(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        return caught.value


@pytest.fixture
def exchange(transport: Transport, server: FaultServer) -> Exchanges:
    return Exchanges(transport, server)


def assert_tells_nothing(error: BaseException) -> None:
    """An error report shows the error, its chain, and the locals of every frame but those of the test itself."""
    texts = [*traceback.format_exception(error), repr(error), *map(repr, error.args)]
    links: list[BaseException | None] = [error]
    for link in links:
        if link is not None:
            frames = traceback.walk_tb(link.__traceback__)
            texts += [repr(f.f_locals) for f, _ in frames if f.f_code.co_filename != __file__]
            links += [link.__cause__, link.__context__]
    for secret in (TOKEN, PASSWORD, AUTHORIZATION):
        assert [text for text in texts if secret in text] == []


def body_of(answer: OutboundResponse) -> bytes:
    return answer.body.reveal()


# What is sent


async def test_what_is_sent(exchange: Exchanges, server: FaultServer) -> None:
    """R66: the request has the fields of the call and those that the exchange needs, and no others."""
    server.answer("/", Json({}))
    await exchange()
    (received,) = server.calls
    version = importlib.metadata.version("async-oauth-guard")
    assert (received.method, received.path, received.query) == ("POST", "/", "")
    assert {name.lower(): value for name, value in received.headers} == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": AUTHORIZATION,
        "connection": "keep-alive",
        "content-length": str(len(received.body)),
        "content-type": "application/x-www-form-urlencoded",
        "user-agent": f"async-oauth-guard/{version}",
    }
    assert received.form == {"token": TOKEN, "token_type_hint": "access_token"}


async def test_forms_are_percent_encoded(exchange: Exchanges, server: FaultServer) -> None:
    """R66: with whatever characters a token has, even those that no text should have."""
    server.answer("/", Json({}))
    await exchange(form={"token": Secret("a+b/c=~ é&\ud800"), "x": ""})
    assert server.calls[0].body == b"token=a%2Bb%2Fc%3D~+%C3%A9%26%ED%A0%80&x="


async def test_get(exchange: Exchanges, server: FaultServer) -> None:
    """Without a form nothing is said about one."""
    server.answer("/keys", Json({}))
    call = OutboundRequest("GET", server.url + "/keys?a=b", ClientOptions(), ConcurrencyLimit(1))
    await exchange.transport.exchange(call, asyncio.get_running_loop().time() + PATIENCE)
    (received,) = server.calls
    assert (received.method, received.query, received.body) == ("GET", "a=b", b"")
    assert received.header("content-type") is None
    assert received.header("content-length") is None


async def testuser_agent_of_a_copy(exchange: Exchanges, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that nobody installed has no version."""

    def fail(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", fail)
    user_agent.cache_clear()
    server.answer("/", Json({}))
    await exchange()
    user_agent.cache_clear()
    assert server.calls[0].header("user-agent") == "async-oauth-guard"


async def test_environment_changes_nothing(
    exchange: Exchanges, server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Neither a proxy nor credentials are taken from it."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.answer("/", Json({}))
    await exchange(headers={})
    assert server.calls[0].header("authorization") is None


async def test_credentials_of_a_url_are_not_sent(exchange: Exchanges, server: FaultServer) -> None:
    """They would take the place of the call's own."""
    server.answer("/", Json({}))
    await exchange(url=server.url.replace("//", "//other:other@") + "/")
    assert server.calls[0].header("authorization") == AUTHORIZATION


@pytest.mark.parametrize("factory", [None, httpx.AsyncClient])
async def test_cookies_are_never_sent_back(
    factory: Callable[[], Any] | None, exchange: Exchanges, server: FaultServer
) -> None:
    """Cookies are dropped whichever factory made the client: the next call may be about somebody else."""
    server.answer("/", Json({}, headers={"Set-Cookie": "session=1; Path=/"}))
    for _ in range(2):
        await exchange(client=ClientOptions(factory=factory))
    assert [received.header("cookie") for received in server.calls] == [None, None]


# What is read


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Json({"active": True}), OutboundResponse(200, "application/json", Secret(b'{"active": true}'))),
        (
            Status(200, {"Content-Type": "Text/HTML; charset=utf-8"}, b"<p>"),
            OutboundResponse(200, "text/html", Secret(b"<p>")),
        ),
        (Status(200), OutboundResponse(200, "", Secret(b""))),
        (Json({}, headers={"Content-Encoding": "identity"}), ANSWER),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}"), ANSWER),
        (Raw(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}"), ANSWER),
        (Slow(0.01, Json({})), ANSWER),
        (Drip(b"{}", every=0.001), ANSWER),
        (Json({"error": "x"}, 400), OutboundResponse(400, "application/json", Secret(b""))),
        (Status(401), OutboundResponse(401, "", Secret(b""))),
        (Status(429, {"Retry-After": "7"}), OutboundResponse(429, "", Secret(b""), "7")),
        (
            Status(503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, b"down"),
            OutboundResponse(503, "", Secret(b""), "Fri, 31 Dec 1999 23:59:59 GMT"),
        ),
        (Json({}, 500, {"Content-Encoding": "gzip"}), OutboundResponse(500, "application/json", Secret(b""))),
        (Json({}, 206), OutboundResponse(206, "application/json", Secret(b""))),
        (Status(204), OutboundResponse(204, "", Secret(b""))),
    ],
)
async def test_answers(
    behaviour: Behaviour, expected: OutboundResponse, exchange: Exchanges, server: FaultServer
) -> None:
    """Any status is an answer; the body is read where it is 200."""
    server.answer("/", behaviour)
    answer = await exchange()
    assert (answer.status, answer.media_type, answer.retry_after, body_of(answer)) == (
        expected.status,
        expected.media_type,
        expected.retry_after,
        body_of(expected),
    )


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(code: int, exchange: Exchanges, server: FaultServer) -> None:
    """R65: what was sent is only for the server that it was sent to."""
    server.answer("/", Redirect("/elsewhere", code))
    assert (await exchange()).status == code
    assert [received.path for received in server.calls] == ["/"]


async def test_redirect_to_nonsense(exchange: Exchanges, server: FaultServer) -> None:
    """It is a redirect like others. httpx raises an error. In both cases there is no second call."""
    server.answer("/", Redirect("http://999.1.1.1/"))
    assert (await exchange()).status == 302
    error = await exchange.fail(client=ClientOptions(factory=httpx.AsyncClient))
    assert error.reason == Reason.SERVER_UNREACHABLE
    assert len(server.calls) == 2


@pytest.mark.parametrize("is_announced", [True, False])
@pytest.mark.parametrize("surplus", [0, 1])
async def test_longest_body(is_announced: bool, surplus: int, exchange: Exchanges, server: FaultServer) -> None:
    """A body of exactly the limit is read, one of a byte more is not, whether or not its length was announced."""
    body = b"x" * (1000 + surplus)
    announced = b"Content-Length: %d\r\n" % len(body) if is_announced else b""
    server.answer("/", Raw(b"HTTP/1.1 200 OK\r\n" + announced + b"\r\n" + body))
    if not surplus:
        assert body_of(await exchange(max_body=1000)) == body
        return
    error = await exchange.fail(max_body=1000)
    assert (error.reason, str(error)) == (Reason.SERVER_ANSWER_UNUSABLE, "the response has more than 1000 bytes")


@pytest.mark.parametrize("is_announced", [True, False])
async def test_huge_body_is_not_read(is_announced: bool, exchange: Exchanges, server: FaultServer) -> None:
    """Neither into memory nor from the network: what is sent of it is what fits into buffers."""
    server.answer("/", Huge(200, is_announced))
    assert (await exchange.fail()).reason == Reason.SERVER_ANSWER_UNUSABLE
    server.wait_until_idle()
    assert server.bytes_sent < 32 * 1_048_576


@pytest.mark.parametrize("length", ["9" * 18, "9" * 19, "9" * 5000])
async def test_length_beyond_all_bounds(length: str, transport: Transport) -> None:
    """No number is made of it that Python would refuse to make."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Length": length}, stream=httpx.ByteStream(b"{}"))

    error = await fail_at(transport, handle)
    assert error.reason == Reason.SERVER_ANSWER_UNUSABLE


# Faults


@pytest.mark.parametrize(
    ("behaviour", "reason", "detail"),
    [
        (Reset(), Reason.SERVER_UNREACHABLE, "ReadError"),
        (HangUp(), Reason.SERVER_UNREACHABLE, "RemoteProtocolError"),
        (Truncated(), Reason.SERVER_UNREACHABLE, "RemoteProtocolError"),
        (LyingLength(b"{}", 100), Reason.SERVER_UNREACHABLE, "RemoteProtocolError"),
        (Raw(b"nonsense\r\n\r\n"), Reason.SERVER_UNREACHABLE, "RemoteProtocolError"),
        (Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), Reason.SERVER_UNREACHABLE, "RemoteProtocolError"),
        (GzipBomb(), Reason.SERVER_ANSWER_UNUSABLE, "the response is compressed"),
        (
            Json({}, headers={"Content-Encoding": "identity, br"}),
            Reason.SERVER_ANSWER_UNUSABLE,
            "the response is compressed",
        ),
    ],
)
async def test_faults(
    behaviour: Behaviour, reason: Reason, detail: str, exchange: Exchanges, server: FaultServer
) -> None:
    """E15: each has its reason, and tells by its text what the server did; the next call is not affected."""
    server.answer("/", behaviour, Json({}))
    error = await exchange.fail()
    assert (error.reason, str(error)) == (reason, detail)
    assert error.is_connected is (reason is Reason.SERVER_UNREACHABLE)
    assert body_of(await exchange()) == b"{}"
    assert len(server.calls) == 2


@pytest.mark.parametrize("behaviour", [Hang(), Drip(b"{}" * 100), Slow(60, Json({}))])
@pytest.mark.parametrize("is_kept", [True, False])
async def test_slow_servers(behaviour: Behaviour, is_kept: bool, exchange: Exchanges, server: FaultServer) -> None:
    """E15: the deadline is that of the whole exchange, on a new connection and on a kept one."""
    server.answer("/", Json({}))
    # Apart from that, it is made by the first call, which takes its time too.
    exchange.transport._client(ClientOptions())
    if is_kept:
        await exchange()
    server.answer("/", behaviour)
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert (await exchange.fail(within=0.2)).reason == Reason.SERVER_TOO_SLOW
    assert loop.time() - start < 5
    # The connection is not kept: another call could get its answer.
    await asyncio.to_thread(server.wait_until_idle)
    server.answer("/", Json({}))
    assert body_of(await exchange()) == b"{}"


async def test_deadline_that_has_passed(exchange: Exchanges, server: FaultServer) -> None:
    """Nothing is sent any more, not even on a connection that is open."""
    assert (await exchange.fail(within=-1)).reason == Reason.SERVER_TOO_SLOW
    assert server.calls == []
    server.answer("/", Json({}))
    await exchange()
    assert (await exchange.fail(within=-1)).reason == Reason.SERVER_TOO_SLOW
    assert len(server.calls) == 1


async def test_refused_connection(exchange: Exchanges, server: FaultServer) -> None:
    """E15: and the server is used again once it is back."""
    server.answer("/", Json({}))
    server.stop()
    error = await exchange.fail()
    assert (error.reason, str(error), error.is_connected) == (Reason.SERVER_UNREACHABLE, "ConnectError", False)
    server.start()
    assert body_of(await exchange()) == b"{}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:99999/", Reason.SERVER_UNREACHABLE),
        ("http://127.0.0.1:-1/", Reason.SERVER_UNREACHABLE),
        ("http://[::1", Reason.SERVER_ANSWER_UNUSABLE),
        ("http://999.1.1.1/", Reason.SERVER_ANSWER_UNUSABLE),
        ("http://xn--a/", Reason.SERVER_ANSWER_UNUSABLE),
        ("https://127.0.0.1/\ud800", Reason.SERVER_ANSWER_UNUSABLE),
        ("http://127.0.0.1/\n", Reason.SERVER_ANSWER_UNUSABLE),
        ("file:///etc/passwd", Reason.SERVER_ANSWER_UNUSABLE),
        ("http:///path", Reason.SERVER_ANSWER_UNUSABLE),
        ("", Reason.SERVER_ANSWER_UNUSABLE),
        (f"http://{'a' * 70}.invalid/", Reason.SERVER_UNREACHABLE),
    ],
)
async def test_urls_that_lead_nowhere(url: str, reason: Reason, exchange: Exchanges) -> None:
    """R65: a server's metadata may name any URL; none of them counts as a bug in the library."""
    assert (await exchange.fail(url=url)).reason == reason


# TLS


async def test_certificates(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """R74: a certificate is checked before anything is sent; who trusts its issuer says so in one of four ways."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    with FaultServer(tls=True) as server:
        server.answer("/", Json({}))
        exchange = Exchanges(transport, server)
        error = await exchange.fail()
        assert (error.reason, str(error), error.is_connected) == (Reason.SERVER_UNREACHABLE, "ConnectError", False)
        assert server.calls == []
        context = ssl.create_default_context(cafile=server.ca_file)
        for verify in (server.ca_file, context):
            assert body_of(await exchange(client=ClientOptions(verify=verify))) == b"{}"
        factory = lambda: httpx.AsyncClient(verify=context)  # noqa: E731
        assert body_of(await exchange(client=ClientOptions(factory=factory))) == b"{}"
        monkeypatch.setenv("SSL_CERT_FILE", server.ca_file)
        # The client without options exists already, and stays as it was made.
        assert (await exchange.fail()).reason == Reason.SERVER_UNREACHABLE
        await transport.aclose()
        assert body_of(await exchange()) == b"{}"


async def test_certificate_for_another_host(transport: Transport) -> None:
    """R74: nothing is sent to who has one."""
    with FaultServer(tls=True, certificate_for="as.example") as server:
        exchange = Exchanges(transport, server)
        error = await exchange.fail(client=ClientOptions(verify=server.ca_file))
        assert error.reason == Reason.SERVER_UNREACHABLE
        assert server.calls == []


@pytest.mark.parametrize("behaviour", [Reset(), HangUp(), Truncated(), Huge(200)])
async def test_faults_over_tls(behaviour: Behaviour, transport: Transport) -> None:
    """What breaks in TLS is an outage as well, and leaves nothing open."""
    with FaultServer(tls=True) as server:
        server.answer("/", behaviour, Json({}))
        exchange = Exchanges(transport, server)
        client = ClientOptions(verify=server.ca_file)
        assert (await exchange.fail(client=client)).reason in (
            Reason.SERVER_UNREACHABLE,
            Reason.SERVER_ANSWER_UNUSABLE,
        )
        assert body_of(await exchange(client=client)) == b"{}"


# Kept connections


async def test_connections_are_kept(exchange: Exchanges, server: FaultServer) -> None:
    """Calls one after the other take one connection."""
    server.answer("/", Json({}))
    for _ in range(5):
        await exchange()
    assert server.connections == 1


async def test_closed_connection_is_replaced(exchange: Exchanges, server: FaultServer) -> None:
    """A server that closes what it promised to keep is not noticed."""
    server.answer("/", CloseAfterAnswer(Json({})))
    for _ in range(5):
        await exchange()
    assert len(server.calls) == 5


@pytest.mark.parametrize("fault", [Reset(), HangUp()])
async def test_connection_that_closes_when_it_is_used_again(
    fault: Behaviour, exchange: Exchanges, server: FaultServer
) -> None:
    """The call is made once more, on another connection, and nobody sees it."""
    server.answer("/", Json({}), fault, Json({"second": True}))
    await exchange()
    assert body_of(await exchange()) == b'{"second": true}'
    assert [received.connection for received in server.calls] == [1, 1, 2]


async def test_it_is_made_once_more_only(exchange: Exchanges, server: FaultServer) -> None:
    """A server that closes the new connection too is down."""
    server.answer("/", Json({}), HangUp())
    await exchange()
    error = await exchange.fail()
    assert (error.reason, str(error)) == (Reason.SERVER_UNREACHABLE, "RemoteProtocolError")
    assert len(server.calls) == 3


@pytest.mark.parametrize("fault", [Truncated(), Huge(2), Drip(b"{}")])
async def test_nothing_is_made_once_more_after_an_answer_began(
    fault: Behaviour, exchange: Exchanges, server: FaultServer
) -> None:
    """The server did answer, though the answer cannot be used."""
    server.answer("/", Json({}), fault)
    await exchange()
    await exchange.fail(within=0.5)
    assert len(server.calls) == 2


# Gates


async def test_gate_bounds_the_calls(exchange: Exchanges, server: FaultServer) -> None:
    """No more than its limit are under way; the others have their turn."""
    server.answer("/", Slow(0.005, Json({})))
    exchange.concurrency_limit = ConcurrencyLimit(3)
    answers = await asyncio.gather(*(exchange() for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert server.most_in_flight == 3


async def test_full_gate(exchange: Exchanges, server: FaultServer) -> None:
    """E24: who has no place within the deadline was one too many; other gates are not concerned."""
    event = threading.Event()
    server.answer("/", Gated(event, Json({})))
    server.answer("/other", Json({}))
    exchange.concurrency_limit = ConcurrencyLimit(1)
    first = asyncio.create_task(exchange())
    await asyncio.to_thread(server.wait_for_calls, "/", 1)
    error = await exchange.fail(within=0.02)
    assert error.reason == Reason.TOO_MANY_CALLS
    assert body_of(await exchange("/other", concurrency_limit=ConcurrencyLimit(1))) == b"{}"
    event.set()
    assert body_of(await first) == b"{}"
    assert body_of(await exchange()) == b"{}"


async def test_ready_is_asked_when_there_is_a_place(exchange: Exchanges, server: FaultServer) -> None:
    """E24: what it raises is raised, nothing is sent, and the place is free again."""
    exchange.concurrency_limit = ConcurrencyLimit(1)
    server.answer("/", Json({}))
    refusal = TemporarilyUnavailableError(reason=Reason.BACKING_OFF)

    def refuse() -> None:
        raise refusal

    with pytest.raises(TemporarilyUnavailableError) as caught:
        await exchange(ready=refuse)
    assert caught.value is refusal
    assert_tells_nothing(caught.value)
    assert server.calls == []
    asked: list[int] = []
    await exchange(ready=lambda: asked.append(len(server.calls)))
    assert asked == [0]


async def test_cancelled_calls_leave_their_place(exchange: Exchanges, server: FaultServer) -> None:
    """Both who is under way and who waits."""
    exchange.concurrency_limit = ConcurrencyLimit(1)
    server.answer("/", Hang(), Json({}))
    tasks = [asyncio.create_task(exchange())]
    await asyncio.to_thread(server.wait_for_calls, "/", 1)
    tasks += [asyncio.create_task(exchange()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 4
    assert body_of(await exchange()) == b"{}"


async def test_hung_server_leaves_nothing_stuck(exchange: Exchanges, server: FaultServer) -> None:
    """Although more calls wait than there are places, all of them end, and the server's return is noticed at once."""
    exchange.concurrency_limit = ConcurrencyLimit(5)
    server.answer("/", Hang())
    for _ in range(3):
        results = await asyncio.gather(*(exchange(within=0.2) for _ in range(40)), return_exceptions=True)
        reasons = [result.reason for result in results if isinstance(result, RequestFailedError)]
        assert {*reasons} <= {Reason.SERVER_TOO_SLOW, Reason.TOO_MANY_CALLS}
        assert len(reasons) == 40
    server.answer("/", Json({}))
    answers = await asyncio.gather(*(exchange() for _ in range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    client = exchange.transport._client(ClientOptions())
    assert isinstance(client, Pool)
    assert sum(len(idle) for idle in client._idle.values()) <= 5


def test_client_of_no_library() -> None:
    """A client of a site's own, below no class of a library's, is taken to raise what httpx raises."""

    class Client:
        pass

    assert _library_of(Client()) is httpx


async def test_gates_are_not_kept(exchange: Exchanges, server: FaultServer) -> None:
    """Protectors that are made for a moment leave nothing behind."""
    server.answer("/", Json({}))
    for _ in range(3):
        await exchange(concurrency_limit=ConcurrencyLimit(1))
    gc.collect()
    assert len(exchange.transport._queues) == 0


# Clients


async def test_each_call_at_a_time_takes_a_connection(exchange: Exchanges, server: FaultServer) -> None:
    """And twenty calls one after the other take one of those that there are."""
    event = threading.Event()
    server.answer("/", Gated(event, Json({})))
    calls = [asyncio.ensure_future(exchange()) for _ in range(24)]
    await asyncio.to_thread(server.wait_for_calls, "/", 24)
    event.set()
    await asyncio.gather(*calls)
    assert server.connections == 24
    for _ in range(20):
        await exchange()
    assert server.connections == 24
    assert len({received.connection for received in server.calls[24:]}) == 1


async def test_clients_are_shared_by_equal_options(exchange: Exchanges, server: FaultServer) -> None:
    """And made when they are needed."""
    made: list[httpx.AsyncClient] = []

    def factory() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient())
        return made[-1]

    server.answer("/", Json({}))
    for _ in range(2):
        await exchange(client=ClientOptions(factory=factory))
    assert len(made) == 1
    await exchange(client=ClientOptions(factory=factory, verify="other"))
    assert len(made) == 2
    await exchange.transport.aclose()
    assert [client.is_closed for client in made] == [True, True]


async def test_options_of_a_factorys_client(exchange: Exchanges, server: FaultServer) -> None:
    """Its default fields are sent; deadline, redirects, content coding and credentials are those of the call."""

    def factory() -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers={"X-Own": "1", "User-Agent": "own", "Accept-Encoding": "gzip"},
            auth=("other", "other"),
            follow_redirects=True,
            timeout=0.001,
        )

    server.answer("/", Slow(0.05, Redirect("/elsewhere")))
    assert (await exchange(client=ClientOptions(factory=factory))).status == 302
    (received,) = server.calls
    assert (received.header("x-own"), received.header("user-agent")) == ("1", "own")
    assert (received.header("accept-encoding"), received.header("authorization")) == ("identity", AUTHORIZATION)


@pytest.mark.parametrize("made", [None, object()])
async def test_factories_that_make_no_client(made: Any, exchange: Exchanges) -> None:
    """A bug of the site's, and no outage."""
    with pytest.raises(AttributeError):
        await exchange(client=ClientOptions(factory=lambda: made))


async def test_factories_that_fail(exchange: Exchanges) -> None:
    """A bug as well; and the place at the gate is free again."""

    def factory() -> httpx.AsyncClient:
        raise KeyError("a bug")

    exchange.concurrency_limit = ConcurrencyLimit(1)
    for _ in range(2):
        with pytest.raises(KeyError, match="a bug"):
            await exchange(client=ClientOptions(factory=factory))


async def test_certificates_that_are_gone(exchange: Exchanges, tmp_path: Any) -> None:
    """A file that was there when the site started makes no bug of the request that misses it."""
    for _ in range(2):
        with pytest.raises(RequestFailedError) as caught:
            await exchange(client=ClientOptions(verify=str(tmp_path / "gone.pem")))
        assert caught.value.reason == Reason.SERVER_UNREACHABLE


async def test_answer_that_was_read_already(exchange: Exchanges, server: FaultServer) -> None:
    """A transport of the site's own may read all of an answer before it gives it."""

    def client_with(body: bytes) -> ClientOptions:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=body))
        return ClientOptions(factory=lambda: httpx.AsyncClient(transport=transport))

    assert body_of(await exchange(client=client_with(b"{}"), max_body=2)) == b"{}"
    with pytest.raises(RequestFailedError) as caught:
        await exchange(client=client_with(b"{ }"), max_body=2)
    assert caught.value.reason == Reason.SERVER_ANSWER_UNUSABLE


async def test_waiting_says_nothing_of_the_server(exchange: Exchanges, server: FaultServer) -> None:
    """E24: a call whose time was spent on waiting for its turn is one too many, however slow the server is then."""
    event = threading.Event()
    server.answer("/", Gated(event, Json({})))
    exchange.concurrency_limit = ConcurrencyLimit(1)
    first = asyncio.ensure_future(exchange(within=0.3))
    await asyncio.to_thread(server.wait_for_calls, "/", 1, 10)
    with pytest.raises(RequestFailedError) as caught:
        await exchange(within=0.6)
    assert caught.value.reason == Reason.TOO_MANY_CALLS
    with pytest.raises(RequestFailedError) as caught:
        await first
    assert caught.value.reason == Reason.SERVER_TOO_SLOW
    event.set()


async def test_waiting_is_bounded(exchange: Exchanges, server: FaultServer) -> None:
    """E24: more calls than may wait are refused at once, and when there is room again they are not."""
    event = threading.Event()
    server.answer("/", Gated(event, Json({})))
    exchange.concurrency_limit = ConcurrencyLimit(1)
    calls = [asyncio.ensure_future(exchange(within=10)) for _ in range(1 + WAITING)]
    await asyncio.to_thread(server.wait_for_calls, "/", 1, 10)
    with pytest.raises(RequestFailedError) as caught:
        await exchange(within=10)
    assert caught.value.reason == Reason.TOO_MANY_CALLS
    event.set()
    await asyncio.gather(*calls)
    await exchange()


async def test_client_that_cannot_be_closed(exchange: Exchanges, server: FaultServer) -> None:
    """The others are closed."""

    class Stubborn(httpx.AsyncClient):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError

    last = httpx.AsyncClient()
    server.answer("/", Json({}))
    for factory in (Stubborn, lambda: last):
        await exchange(client=ClientOptions(factory=factory))
    await exchange.transport.aclose()
    assert last.is_closed


async def fail_at(transport: Transport, handle: Callable[[httpx.Request], Any], **options: Any) -> RequestFailedError:
    """The error of a call to a server that is a function."""
    client = ClientOptions(factory=lambda: httpx.AsyncClient(transport=httpx.MockTransport(handle)))
    call = OutboundRequest("GET", "https://as.example/", client, ConcurrencyLimit(1), **options)
    with pytest.raises(RequestFailedError) as caught:
        await transport.exchange(call, asyncio.get_running_loop().time() + PATIENCE)
    return caught.value


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ReadError("x"), Reason.SERVER_UNREACHABLE),
        (httpx.RemoteProtocolError("x"), Reason.SERVER_UNREACHABLE),
        (httpx.ProxyError("x"), Reason.SERVER_UNREACHABLE),
        (httpx.ConnectTimeout("x"), Reason.SERVER_TOO_SLOW),
        (httpx.PoolTimeout("x"), Reason.SERVER_TOO_SLOW),
        (TimeoutError("x"), Reason.SERVER_TOO_SLOW),
        # As httpx raises it where the server of a TLS 1.3 connection does not like the client's certificate.
        (ssl.SSLError("x"), Reason.SERVER_UNREACHABLE),
    ],
)
async def test_errors_of_other_transports(error: Exception, reason: Reason, transport: Transport) -> None:
    """They have the same reasons as httpx's own errors; without reported steps, no request is sent twice."""
    calls: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        raise error

    failure = await fail_at(transport, handle)
    assert (failure.reason, str(failure)) == (reason, type(error).__name__)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (httpx.ReadError("x"), 2),
        (httpx.WriteError("x"), 2),
        (httpx.RemoteProtocolError("x"), 2),
        (httpx.ReadTimeout("x"), 1),
        (httpx.ConnectError("x"), 1),
        (httpx.ProxyError("x"), 1),
        (ssl.SSLError("x"), 1),
    ],
)
async def test_what_a_sites_client_is_asked_once_more(error: Exception, times: int, transport: Transport) -> None:
    """What broke after an earlier response, whose connection may have been kept, and nothing that took too long."""
    calls: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) == 1:
            return httpx.Response(200)
        raise error

    client = ClientOptions(factory=lambda: httpx.AsyncClient(transport=httpx.MockTransport(handle)))
    call = OutboundRequest("GET", "https://as.example/", client, ConcurrencyLimit(1))
    deadline = asyncio.get_running_loop().time() + PATIENCE
    await transport.exchange(call, deadline)
    with pytest.raises(RequestFailedError):
        await transport.exchange(call, deadline)
    assert len(calls) == 1 + times


async def test_sites_client_is_not_asked_once_more_after_an_answer_began(
    exchange: Exchanges, server: FaultServer
) -> None:
    """The server did answer, though the answer cannot be used."""
    client = ClientOptions(factory=httpx.AsyncClient)
    server.answer("/", Json({}), Truncated())
    await exchange(client=client)
    await exchange.fail(client=client)
    assert len(server.calls) == 2


async def test_call_that_queues_in_a_sites_pool_is_not_cancelled(exchange: Exchanges, server: FaultServer) -> None:
    """The library ends it itself, at the deadline: the pool could keep a connection for a cancelled call forever."""
    ends: list[str] = []

    class Noting(httpx.AsyncClient):
        async def send(self, *args: Any, **options: Any) -> httpx.Response:
            try:
                return await super().send(*args, **options)
            except BaseException as error:
                ends.append(type(error).__name__)
                raise

    client = ClientOptions(factory=lambda: Noting(limits=httpx.Limits(max_connections=1)))
    server.answer("/", Gated(threading.Event(), Json({})), Json({}))
    first = asyncio.ensure_future(exchange(client=client))
    await asyncio.to_thread(server.wait_for_calls, "/", 1)
    started = asyncio.get_running_loop().time()
    assert (await exchange.fail(client=client, within=0.2)).reason == Reason.SERVER_TOO_SLOW
    assert ends == ["PoolTimeout"]
    assert asyncio.get_running_loop().time() - started < 0.2 + POOL_GRACE
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert body_of(await exchange(client=client)) == b"{}"


async def test_deadline_of_a_sites_client(exchange: Exchanges, server: FaultServer) -> None:
    """It is that of the whole call, although httpx counts from each byte anew."""
    server.answer("/", Drip(b"{}" * 100, every=0.05))
    started = asyncio.get_running_loop().time()
    error = await exchange.fail(client=ClientOptions(factory=httpx.AsyncClient), within=0.2)
    assert error.reason == Reason.SERVER_TOO_SLOW
    assert asyncio.get_running_loop().time() - started < 1


async def test_bugs_are_no_outages(exchange: Exchanges) -> None:
    """They are raised as they are, with the lines they come from, and without the values that were there."""

    class Buggy(httpx.AsyncClient):
        def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
            return broken(dict(kwargs["headers"]), kwargs["content"])

    with pytest.raises(ExceptionGroup) as caught:
        await exchange(client=ClientOptions(factory=Buggy))
    assert "in broken" in "".join(traceback.format_exception(caught.value))
    first, second = caught.value.exceptions
    cause = caught.value.__cause__
    assert [str(error) for error in (first, second, cause)] == ["0", "1", "2"]
    for error in (caught.value, first, second, cause):
        assert error is not None
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert frames[-1].f_code.co_name in ("broken", "raise_one")
        for frame in frames:
            is_of_the_test = frame.f_code.co_name == "test_bugs_are_no_outages"
            assert is_of_the_test or TOKEN not in repr(frame.f_locals)
            assert is_of_the_test or AUTHORIZATION not in repr(frame.f_locals)


def broken(headers: dict[str, bytes], content: bytes) -> httpx.Request:
    bugs: list[Exception] = []
    for number in (0, 1):
        try:
            raise_one(headers, content, number)
        except ArithmeticError as error:
            bugs.append(error)
    try:
        raise_one(headers, content, 2)
    except ArithmeticError as error:
        raise ExceptionGroup("bugs", bugs) from error
    raise AssertionError


def raise_one(headers: dict[str, bytes], content: bytes, number: int) -> None:
    raise ArithmeticError(number)


async def test_logs_tell_nothing(exchange: Exchanges, server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    """Nor do those of the libraries that are used, at any level."""
    server.answer("/", Json({}), HangUp(), Json({}), Reset(), HangUp())
    with caplog.at_level(logging.DEBUG):
        await exchange()
        await exchange()
        await exchange.fail()
    assert [text for text in (TOKEN, PASSWORD, AUTHORIZATION) if text in caplog.text] == []


def test_repr_of_an_answer() -> None:
    """R75: what the server knows of a person is not in it."""
    assert "alice" not in repr(OutboundResponse(200, "", Secret(b"alice")))


# Clients of other libraries


def other_library(failure: str) -> Any:
    """A module with a client, and exceptions, that have nothing to do with httpx's."""
    library: Any = types.ModuleType("otherx")
    library.HTTPError = type("HTTPError", (Exception,), {})
    library.ConnectError = type("ConnectError", (library.HTTPError,), {})
    library.InvalidURL = type("InvalidURL", (Exception,), {})
    library.TimeoutException = type("TimeoutException", (library.HTTPError,), {})
    library.UnsupportedProtocol = type("UnsupportedProtocol", (library.HTTPError,), {})

    class AsyncClient:
        __module__ = "otherx._client"
        cookies = httpx.Cookies()

        def build_request(self, *args: Any, **kwargs: Any) -> object:
            return object()

        async def send(self, *args: Any, **kwargs: Any) -> object:
            raise getattr(library, failure)("of another library")

        async def aclose(self) -> None: ...

    library.AsyncClient = AsyncClient
    return library


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("HTTPError", Reason.SERVER_UNREACHABLE),
        ("TimeoutException", Reason.SERVER_TOO_SLOW),
        ("UnsupportedProtocol", Reason.SERVER_ANSWER_UNUSABLE),
        ("InvalidURL", Reason.SERVER_ANSWER_UNUSABLE),
    ],
)
@pytest.mark.parametrize("is_derived", [True, False])
async def test_errors_of_other_libraries(
    failure: str, reason: Reason, is_derived: bool, exchange: Exchanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are recognised by the client's library, even if the site derived its own client class."""
    library = other_library(failure)
    monkeypatch.setitem(sys.modules, "otherx", library)
    kind = type("Own", (library.AsyncClient,), {"__module__": "nowhere"}) if is_derived else library.AsyncClient
    error = await exchange.fail(client=ClientOptions(factory=kind))
    assert (error.reason, str(error)) == (reason, failure)


async def test_httpx2(exchange: Exchanges, server: FaultServer) -> None:
    """The library of that name, where it is installed."""
    httpx2 = pytest.importorskip("httpx2")
    client = ClientOptions(factory=httpx2.AsyncClient)
    server.answer("/", Json({}, headers={"Set-Cookie": "a=b"}), HangUp(), Json({}), Truncated(), Hang(), Json({}))
    assert [body_of(await exchange(client=client)) for _ in range(2)] == [b"{}"] * 2
    assert (await exchange.fail(client=client)).reason == Reason.SERVER_UNREACHABLE
    assert (await exchange.fail(client=client, within=1)).reason == Reason.SERVER_TOO_SLOW
    assert (await exchange.fail(client=client, url="http://[::1")).reason == Reason.SERVER_ANSWER_UNUSABLE
    assert body_of(await exchange(client=client)) == b"{}"
    assert {received.header("cookie") for received in server.calls} == {None}
