"""The client of this package: its connections, and what hostile servers do to it and to httpx's own client."""

import asyncio
import contextlib
import functools
import gc
import importlib.util
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any

import httpx
import psutil
import pytest

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime import happy_eyeballs, http_pool
from async_oauth_guard.runtime.effects import (
    ClientOptions,
    ConcurrencyLimit,
    OutboundRequest,
    OutboundResponse,
    RequestFailedError,
)
from async_oauth_guard.runtime.http import Transport
from async_oauth_guard.runtime.http_connection import MAX_HEAD, Connection, WholeResponse, connect
from async_oauth_guard.runtime.http_pool import KEPT_ALIVE, Pool, _request_head
from tests.faults import (
    PATIENCE,
    Behaviour,
    CloseAfterAnswer,
    Drip,
    Exchange,
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
from tests.unit.runtime.test_http import Exchanges, body_of

HTTPX = ClientOptions(factory=lambda: httpx.AsyncClient(trust_env=False))
ONE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def tls_server() -> Iterator[FaultServer]:
    with FaultServer(tls=True) as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.aclose()


@pytest.fixture
def exchange(transport: Transport, server: FaultServer) -> Exchanges:
    return Exchanges(transport, server)


def idle_in(transport: Transport, client: ClientOptions | None = None) -> int:
    pool = transport._client(client or ClientOptions())
    assert isinstance(pool, Pool)
    return sum(len(idle) for idle in pool._idle.values())


def sockets_to(port: int) -> int:
    """The sockets of this process that are connected to a server of this process, without those of the server."""
    connections = psutil.Process().net_connections("tcp")
    return len([each for each in connections if each.raddr and each.raddr.port == port and each.status != "TIME_WAIT"])


# Compared with httpx


class Kept:
    """Bytes in place of an answer. The connection stays open."""

    def __init__(self, *parts: bytes, every: float = 0.01) -> None:
        self.parts, self.every = parts, every

    async def perform(self, exchange: Exchange) -> None:
        for part in self.parts:
            await exchange.send(part)
            await asyncio.sleep(self.every)


def head(*fields: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((status, b"Content-Type: application/json", *fields, b"", b""))


HOSTILE: dict[str, Behaviour] = {
    "answer": Json({"a": 1}),
    "404": Status(404, body=b"no"),
    "429": Status(429, {"Retry-After": "7"}),
    "redirect": Redirect("/elsewhere"),
    "reset": Reset(),
    "hang up": HangUp(),
    "hang": Hang(),
    "drip": Drip(b"{}" * 100, every=0.05),
    "slow": Slow(0.01, Json({})),
    "lying length": LyingLength(b"{}", 100),
    "truncated": Truncated(),
    "huge": Huge(20),
    "huge, announced": Huge(20, is_announced=True),
    "gzip bomb": GzipBomb(),
    "close": CloseAfterAnswer(Json({})),
    "connection: close": Json({}, headers={"Connection": "close"}),
    "nothing but a line end": Raw(b"\r\n"),
    "no HTTP": Raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "zeros": Raw(bytes(1000)),
    "HTTP/1.0": Raw(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{}"),
    "HTTP/0.9": Raw(b"{}"),
    "HTTP/2": Raw(b"HTTP/2 200\r\n\r\n{}"),
    "HTTP/2 frames": Raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    "no reason phrase": Raw(head(b"Content-Length: 2", status=b"HTTP/1.1 200") + b"{}"),
    "status of four digits": Raw(head(b"Content-Length: 2", status=b"HTTP/1.1 2000 OK") + b"{}"),
    "status of letters": Raw(head(b"Content-Length: 2", status=b"HTTP/1.1 abc OK") + b"{}"),
    "line feeds only": Raw(ONE.replace(b"\r\n", b"\n")),
    "folded field": Raw(head(b"X: a\r\n  b", b"Content-Length: 2") + b"{}"),
    "field without a colon": Raw(head(b"nonsense", b"Content-Length: 2") + b"{}"),
    "space before the colon": Raw(head(b"Content-Length : 2") + b"{}"),
    "zero byte in a field": Raw(head(b"X: a\0b", b"Content-Length: 2") + b"{}"),
    "field that is not ASCII": Raw(head("X: é".encode("latin-1"), b"Content-Length: 2") + b"{}"),
    "negative length": Raw(head(b"Content-Length: -2") + b"{}"),
    "length that is no number": Raw(head(b"Content-Length: two") + b"{}"),
    "length of 5,000 digits": Raw(head(b"Content-Length: " + b"9" * 5000) + b"{}"),
    "two equal lengths": Raw(head(b"Content-Length: 2", b"Content-Length: 2") + b"{}"),
    "two different lengths": Raw(head(b"Content-Length: 2", b"Content-Length: 3") + b"{}"),
    "length and chunks": Raw(head(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks": Kept(
        head(b"Transfer-Encoding: chunked"), b"1\r\n{\r\n", b"1;x=y\r\n}\r\n", b"0\r\n", b"Trailer: 1\r\n\r\n"
    ),
    "chunk of bad size": Raw(head(b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunk of huge size": Raw(head(b"Transfer-Encoding: chunked") + b"f" * 100 + b"\r\n{}\r\n0\r\n\r\n"),
    "chunk without an end": Raw(head(b"Transfer-Encoding: chunked") + b"2\r\n{}XX0\r\n\r\n"),
    "unknown transfer coding": Raw(head(b"Transfer-Encoding: gzip") + b"{}"),
    "single bytes": Kept(*(bytes([byte]) for byte in ONE), every=0.001),
    "early hints": Kept(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + ONE),
    "continue": Kept(b"HTTP/1.1 100 Continue\r\n\r\n", ONE),
    "endless interim responses": Kept(*[b"HTTP/1.1 102 Processing\r\n\r\n" * 200] * 40),
    "switching protocols": Raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
    "204 with a body": Kept(head(b"Content-Length: 2", status=b"HTTP/1.1 204 No Content") + b"{}"),
    "304": Kept(head(status=b"HTTP/1.1 304 Not Modified")),
    "long status line": Raw(b"HTTP/1.1 200 " + b"x" * 2 * MAX_HEAD),
    "long field": Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * MAX_HEAD),
    "many fields": Raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MAX_HEAD),
    "many fields, complete": Raw(head(*[b"X: y"] * 1000, b"Content-Length: 2") + b"{}"),
}


# Those that end at the deadline.
TOO_SLOW = {"hang", "drip", "endless interim responses"}


async def outcome_of(exchange: Exchanges, client: ClientOptions, within: float) -> Any:
    """What a caller sees of a request: the response, or the reason why there is none."""
    try:
        answer = await exchange("/", within=within, client=client)
    except RequestFailedError as error:
        return error.reason, error.is_connected
    return answer.status, answer.media_type, answer.retry_after, body_of(answer)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def hostile_server(request: pytest.FixtureRequest) -> Iterator[tuple[FaultServer, ssl.SSLContext]]:
    """One server for all of them, and what trusts it: each test has connections of its own."""
    with FaultServer(tls=request.param) as server:
        yield server, trusting(server)


@pytest.fixture(autouse=True)
def no_search_for_sniffio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Httpcore tries to import it for each request. If it is not installed, each search for it takes long."""
    if importlib.util.find_spec("sniffio") is None:
        monkeypatch.setitem(sys.modules, "sniffio", None)


def trusting(server: FaultServer) -> ssl.SSLContext:
    """Trusts the server alone: to load the certificates of the system takes long."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if server.ca_file:
        context.load_verify_locations(server.ca_file)
    return context


@pytest.mark.parametrize("name", HOSTILE)
async def test_outcomes_are_those_of_httpx(
    name: str, hostile_server: tuple[FaultServer, ssl.SSLContext], transport: Transport
) -> None:
    """E15: of the first request on a connection, and of one on a connection that was kept. Then all is well again."""
    outcomes: list[Any] = []
    server, context = hostile_server
    exchange = Exchanges(transport, server)
    others = ClientOptions(factory=lambda: httpx.AsyncClient(verify=context, trust_env=False))
    for client in (others, ClientOptions(verify=context)):
        for number in (1, 2):
            server.answer("/", HOSTILE[name])
            outcomes.append(await outcome_of(exchange, client, 0.4 if name in TOO_SLOW else PATIENCE))
            server.answer("/", Json({"well": number}))
            assert (await outcome_of(exchange, client, PATIENCE))[-1] == b'{"well": %d}' % number
    theirs, ours = outcomes[:2], outcomes[2:]
    assert ours == theirs


async def test_surplus_of_a_response_is_no_response(exchange: Exchanges, server: FaultServer) -> None:
    """R61: it would be taken for the response about another token. httpx takes it for that."""
    server.answer("/", Kept(ONE + ONE.replace(b"{}", b"[]")), Json({"well": 1}))
    assert body_of(await exchange()) == b"{}"
    assert idle_in(exchange.transport) == 0
    assert body_of(await exchange()) == b'{"well": 1}'


async def test_response_without_a_request_ends_the_connection(exchange: Exchanges, server: FaultServer) -> None:
    """It arrives while the connection is idle."""
    event = threading.Event()

    class Twice:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.send(ONE)
            await exchange.wait(PATIENCE, event.is_set)
            await exchange.send(ONE)

    server.answer("/", Twice(), Json({"well": 1}))
    await exchange()
    assert sockets_to(server.port) == 1
    event.set()
    await eventually(lambda: sockets_to(server.port) == 0)
    assert body_of(await exchange()) == b'{"well": 1}'
    assert server.connections == 2


# Connections


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def test_connection_that_the_server_closes_while_it_is_idle(exchange: Exchanges, server: FaultServer) -> None:
    """It is closed here too, at once, and takes no second request."""
    server.answer("/", CloseAfterAnswer(Json({})))
    await exchange()
    await eventually(lambda: sockets_to(server.port) == 0)
    await exchange()
    assert [received.connection for received in server.calls] == [1, 2]


async def test_connections_are_kept_over_tls(transport: Transport, tls_server: FaultServer) -> None:
    """One handshake serves twenty calls."""
    tls_server.answer("/", Json({}))
    exchange = Exchanges(transport, tls_server)
    for _ in range(20):
        await exchange(client=ClientOptions(verify=tls_server.ca_file))
    assert tls_server.connections == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        Json({}, headers={"Connection": "close"}),
        Raw(ONE.replace(b"HTTP/1.1", b"HTTP/1.0")),
        Status(404, body=b"a page"),
    ],
    ids=["close", "HTTP/1.0", "body that is not read"],
)
async def test_connections_that_are_not_kept(behaviour: Behaviour, exchange: Exchanges, server: FaultServer) -> None:
    """The server closes them, or something is left to read on them."""
    server.answer("/", behaviour)
    await exchange()
    assert idle_in(exchange.transport) == 0
    await eventually(lambda: sockets_to(server.port) == 0)


async def test_connections_are_kept_for_a_while(
    exchange: Exchanges, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old one takes no more requests: the server may close it at any time."""
    server.answer("/", Json({}))
    await exchange()
    monkeypatch.setattr(http_pool, "KEPT_ALIVE_SECONDS", -1)
    await exchange()
    assert [received.connection for received in server.calls] == [1, 2]
    await eventually(lambda: sockets_to(server.port) == 1)


async def test_only_so_many_connections_are_kept(
    exchange: Exchanges, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were idle for longest are closed."""
    assert KEPT_ALIVE == 100
    monkeypatch.setattr(http_pool, "KEPT_ALIVE", 2)
    event = threading.Event()
    server.answer("/", Gated(event, Json({})))
    calls = [asyncio.ensure_future(exchange()) for _ in range(5)]
    await asyncio.to_thread(server.wait_for_calls, "/", 5)
    event.set()
    await asyncio.gather(*calls)
    assert idle_in(exchange.transport) == 2
    await eventually(lambda: sockets_to(server.port) == 2)


async def test_connection_that_is_in_use_when_all_are_closed(exchange: Exchanges, server: FaultServer) -> None:
    """Its request ends, and it is not kept."""
    event = threading.Event()
    server.answer("/", Gated(event, Json({})))
    call = asyncio.ensure_future(exchange())
    await asyncio.to_thread(server.wait_for_calls, "/", 1)
    await exchange.transport.aclose()
    event.set()
    assert body_of(await call) == b"{}"
    assert sockets_to(server.port) == 0


async def test_nothing_is_open_after_closing(transport: Transport, tls_server: FaultServer) -> None:
    """Although the loop may run no more after it."""
    tls_server.answer("/", Json({}))
    await Exchanges(transport, tls_server)(client=ClientOptions(verify=tls_server.ca_file))
    assert sockets_to(tls_server.port) == 1
    await transport.aclose()
    assert sockets_to(tls_server.port) == 0


# A response before the request was sent


@contextlib.asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]], host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """A server on the loop of the test, for what the fault server cannot do. Gives its port."""
    server = await asyncio.start_server(serve, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(transport: Transport, url: str, within: float = PATIENCE, **options: Any) -> OutboundResponse:
    defaults: dict[str, Any] = {"client": ClientOptions(), "form": {"token": Secret("x")}}
    call = OutboundRequest("POST", url, concurrency_limit=ConcurrencyLimit(1), **(defaults | options))
    return await transport.exchange(call, asyncio.get_running_loop().time() + within)


async def failure_of(transport: Transport, url: str, **options: Any) -> tuple[Reason, str, str | None, bool]:
    with pytest.raises(RequestFailedError) as caught:
        await ask(transport, url, **options)
    error = caught.value
    return error.reason, str(error), error.root, error.is_connected


@pytest.mark.parametrize("then", ["close", "wait"])
async def test_response_before_the_request_was_sent(then: str, transport: Transport) -> None:
    """It counts (httpx waits until it has sent all). Another request would be read as the rest of the first one."""
    connections = 0
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ONE)
        if then == "wait":
            await over.wait()
        writer.close()

    async with listening(serve) as port:
        for number in (1, 2):
            form = {"token": Secret("x" * (20 << 20))}
            answer = await ask(transport, f"http://127.0.0.1:{port}/", form=form)
            assert body_of(answer) == b"{}"
            assert connections == number
        over.set()


# Cancellation


class CancelledAt:
    """Awaits a coroutine that is cancelled where it waits for the ``number``-th time, or just after that wait."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], number: int, *, is_over: bool) -> None:
        self.coroutine = coroutine
        self.number = number
        self.is_over = is_over

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            for _ in range(self.number):
                yield self.coroutine.send(None)
            if self.is_over:
                yield self.coroutine.throw(asyncio.CancelledError)
        except StopIteration as end:
            return end.value
        # The loop throws the cancellation into the coroutine when it waits for the next time.
        task = asyncio.current_task()
        assert task is not None
        if not self.is_over:
            task.cancel()
        return (yield from self.coroutine.__await__())


class WhenAwaited:
    """A response in three parts. Each is sent when the client waits for it, so that none comes with another one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = 0
        send, resume = Connection.send, Connection._resume

        async def count_anew(connection: Connection, *args: Any) -> Any:
            self.waits = 0
            return await send(connection, *args)

        def count(connection: Connection) -> None:
            self.waits += 1
            resume(connection)

        monkeypatch.setattr(Connection, "send", count_anew)
        monkeypatch.setattr(Connection, "_resume", count)

    async def perform(self, exchange: Exchange) -> None:
        for number, part in enumerate((head(b"Content-Length: 2"), b"{", b"}"), 1):
            await exchange.wait(PATIENCE, functools.partial(self.is_waiting, number))
            await exchange.send(part)

    def is_waiting(self, number: int) -> bool:
        return self.waits >= number


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """It would close what was left open."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.usefixtures("no_garbage_collection")
async def test_cancelled_request_leaves_no_socket(
    is_kept: bool, is_over: bool, is_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was cancelled, while it waited or just afterwards. The next request is not affected."""
    ends: list[str] = []
    number = 0
    with FaultServer(tls=is_tls) as server:
        server.answer("/", WhenAwaited(monkeypatch))
        client = ClientOptions(verify=trusting(server))
        while "response" not in ends:
            transport = Transport()
            if is_kept:
                await ask(transport, server.url + "/", client=client)

            async def ask_and_be_cancelled(transport: Transport = transport, number: int = number) -> None:
                coroutine = ask(transport, server.url + "/", client=client)
                await CancelledAt(coroutine, number, is_over=is_over)

            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.ensure_future(ask_and_be_cancelled())
                ends.append("response")
            await asyncio.sleep(0)
            assert sockets_to(server.port) == idle_in(transport, client)
            assert body_of(await ask(transport, server.url + "/", client=client)) == b"{}"
            await transport.aclose()
            assert sockets_to(server.port) == 0
            number += 1
    assert number > 4


# Addresses and host names


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> list[str]:
    """Whatever the name of a host, these are its addresses. Returns the names that are looked up."""
    names: list[str] = []

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
        names.append(host)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, number))
            for address, number in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return names


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that accepts no further connection, and does not refuse it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_ipv6(transport: Transport) -> None:
    """An address in a URL is in brackets, and is so in the field Host."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ONE)
        writer.close()

    try:
        async with listening(serve, "::1") as port:
            assert body_of(await ask(transport, f"http://[::1]:{port}/")) == b"{}"
            assert b"\r\nHost: [::1]:%d\r\n" % port in heads[0]
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_address_that_refuses(transport: Transport, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8305: the next address is tried at once."""
    server.answer("/", Json({}))
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", PATIENCE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    resolve_to(monkeypatch, ("127.0.0.1", closed), ("127.0.0.1", server.port))
    assert body_of(await ask(transport, "http://as.example/", within=PATIENCE / 2)) == b"{}"


async def test_address_that_does_not_respond(
    transport: Transport, server: FaultServer, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8305: another one is tried after a quarter of a second, and the first attempt leaves no socket."""
    assert happy_eyeballs.ATTEMPT_DELAY == 0.25
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 0.01)
    server.answer("/", Json({}))
    before = sockets_to(black_hole)
    resolve_to(monkeypatch, ("127.0.0.1", black_hole), ("127.0.0.1", black_hole), ("127.0.0.1", server.port))
    assert body_of(await ask(transport, "http://as.example/")) == b"{}"
    assert sockets_to(black_hole) == before


async def test_two_addresses_respond_at_once(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One socket is used, and the other one is closed."""
    resolve_to(monkeypatch, *[("127.0.0.1", server.port)] * 2)
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 0.0)
    both = asyncio.Barrier(2)
    connect_to = happy_eyeballs._connect_to

    async def connect_with_the_other(*address: Any) -> socket.socket:
        connected = await connect_to(*address)
        await both.wait()
        return connected

    monkeypatch.setattr(happy_eyeballs, "_connect_to", connect_with_the_other)
    with await happy_eyeballs.connect("as.example", 80):
        await asyncio.sleep(0)
        assert sockets_to(server.port) == 1


async def test_no_address_responds(
    transport: Transport, black_hole: int, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is that of all attempts together, which leave no socket."""
    before = sockets_to(black_hole)
    resolve_to(monkeypatch, *[("127.0.0.1", black_hole)] * 3)
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 0.01)
    assert (await failure_of(transport, "http://as.example/", within=0.2))[0] == Reason.SERVER_TOO_SLOW
    assert sockets_to(black_hole) == before


async def test_all_addresses_refuse(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report names the operating system's error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    resolve_to(monkeypatch, *[("127.0.0.1", closed)] * 3)
    expected = (Reason.SERVER_UNREACHABLE, "ConnectError", "ConnectionRefusedError", False)
    assert await failure_of(transport, "http://as.example/") == expected


def test_order_of_addresses() -> None:
    """RFC 8305 §4: the families alternate, and the first one is that of the system's first address."""
    order = happy_eyeballs._interleave([(6, 1), (6, 2), (6, 3), (4, 1)])
    assert [*order] == [(6, 1), (4, 1), (6, 2), (6, 3)]


async def test_internationalised_host_name(
    transport: Transport, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5890: it is looked up, and sent, as an A-label."""
    server.answer("/", Json({}))
    names = resolve_to(monkeypatch, ("127.0.0.1", server.port))
    await ask(transport, "http://bücher.example/")
    assert names == ["xn--bcher-kva.example"]
    assert server.calls[0].header("host") == "xn--bcher-kva.example"


@pytest.mark.parametrize("client", [ClientOptions(), HTTPX], ids=["ours", "httpx"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host", ["a" * 64 + ".invalid", "a." * 200 + "invalid", "a..invalid", ".invalid", "under_score.invalid"]
)
async def test_host_names_that_cannot_be_found(
    host: str, scheme: str, client: ClientOptions, transport: Transport
) -> None:
    """E15: they are no bugs."""
    reason, _, _, is_connected = await failure_of(transport, f"{scheme}://{host}/", client=client)
    assert (reason, is_connected) == (Reason.SERVER_UNREACHABLE, False)


async def test_header_that_http_refuses(transport: Transport, server: FaultServer) -> None:
    """Nothing is sent."""
    server.answer("/", Json({}))
    for client in (ClientOptions(), HTTPX):
        reason, detail, _, _ = await failure_of(transport, server.url, headers={"X": "a\r\nY: b"}, client=client)
        assert (reason, detail) == (Reason.SERVER_UNREACHABLE, "LocalProtocolError")
    assert server.calls == []


# TLS and deadlines


async def test_certificate_errors_are_those_of_httpx(transport: Transport) -> None:
    """R74: an unknown issuer, and another host's certificate; and there was no connection."""
    for host in ("127.0.0.1", "as.example"):
        with FaultServer(tls=True, certificate_for=host) as server:
            trusting = ssl.create_default_context(cafile=server.ca_file)
            contexts = (
                [ssl.create_default_context(), trusting] if host == "as.example" else [ssl.create_default_context()]
            )
            for context in contexts:
                theirs = ClientOptions(factory=lambda context=context: httpx.AsyncClient(verify=context))
                expected = (Reason.SERVER_UNREACHABLE, "ConnectError", "SSLCertVerificationError", False)
                for client in (theirs, ClientOptions(verify=context)):
                    assert await failure_of(transport, server.url, client=client) == expected
            assert server.calls == []


@pytest.mark.parametrize("client", [ClientOptions(), HTTPX], ids=["ours", "httpx"])
async def test_server_without_tls(client: ClientOptions, transport: Transport) -> None:
    """E15: what responds to a TLS handshake with something else is an outage before there is a connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with listening(serve) as port:
        reason, detail, _, is_connected = await failure_of(transport, f"https://127.0.0.1:{port}/", client=client)
        assert (reason, detail, is_connected) == (Reason.SERVER_UNREACHABLE, "ConnectError", False)


async def test_handshake_that_never_ends(transport: Transport) -> None:
    """The deadline is that of the whole call, which leaves no socket."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with listening(serve) as port:
        url = f"https://127.0.0.1:{port}/"
        assert (await failure_of(transport, url, within=0.2))[0] == Reason.SERVER_TOO_SLOW
        await asyncio.sleep(0)
        assert sockets_to(port) == 0
        over.set()


async def test_lookup_that_never_ends(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is that of the whole call."""

    async def getaddrinfo(*args: Any, **options: Any) -> list[Any]:
        await asyncio.sleep(3600)
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert (await failure_of(transport, "http://as.example/", within=0.1))[0] == Reason.SERVER_TOO_SLOW


async def test_server_that_does_not_read(transport: Transport) -> None:
    """The deadline is that of the whole call, also while the request is being sent."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await over.wait()
        writer.close()

    async with listening(serve) as port:
        form = {"token": Secret("x" * (20 << 20))}
        failure = await failure_of(transport, f"http://127.0.0.1:{port}/", form=form, within=0.5)
        assert failure[0] == Reason.SERVER_TOO_SLOW
        await asyncio.sleep(0)
        assert sockets_to(port) == 0
        over.set()


async def test_usual_response_is_read_without_h11(
    exchange: Exchanges, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the next one on the connection. One that arrives in parts, on the same connection, is read with h11."""
    begun: list[Connection] = []
    begin = Connection._begin_with_h11

    def begin_with_h11(self: Connection, *arguments: Any) -> Any:
        begun.append(self)
        return begin(self, *arguments)

    monkeypatch.setattr(Connection, "_begin_with_h11", begin_with_h11)
    server.answer("/", Kept(ONE), Kept(ONE), Kept(ONE[:-2], ONE[-2:], every=0.05), Kept(ONE))
    for number in (0, 0, 1, 1):
        assert body_of(await exchange()) == b"{}"
        assert len(begun) == number
    assert [received.connection for received in server.calls] == [1, 1, 1, 1]


async def test_response_before_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may respond as soon as there is a connection, and then wait.

    It may still respond to the request, and the next request must not get that response.
    """
    over, received = asyncio.Event(), asyncio.Event()
    receive = Connection.data_received

    def data_received(self: Connection, data: bytes) -> None:
        receive(self, data)
        received.set()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ONE)
        await over.wait()
        writer.close()

    monkeypatch.setattr(Connection, "data_received", data_received)
    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    connection = await connect("127.0.0.1", server.sockets[0].getsockname()[1], None)
    await received.wait()
    request = _request_head("GET", "http://127.0.0.1/", (), None)
    async with asyncio.timeout(PATIENCE):
        response = await connection.send(request, b"")
    assert isinstance(response, WholeResponse)
    assert not connection.prepare_next()
    await connection.aclose()
    over.set()
    server.close()


async def test_loop_is_not_occupied_by_interim_responses(exchange: Exchanges, server: FaultServer) -> None:
    """Other tasks run while a server sends many of them at once."""
    server.answer("/", Kept(b"HTTP/1.1 102 Processing\r\n\r\n" * 2000 + ONE))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert body_of(await exchange()) == b"{}"
    assert turns > 2000
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 102 Processing\r\n\r\n" * 100_000,
        head(b"Transfer-Encoding: chunked") + b"1\r\n \r\n" * 400_000,
    ],
    ids=["interim responses", "chunks of one byte"],
)
async def test_only_so_much_is_received_before_it_is_read(
    flood: bytes, exchange: Exchanges, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends small parts faster than they are read fills the buffers of the sockets, not our memory."""
    most = 0
    receive = Connection.data_received

    def data_received(self: Connection, data: bytes) -> None:
        nonlocal most
        receive(self, data)
        unread = self._received if self._http is None else self._http.trailing_data[0]
        most = max(most, len(unread))

    monkeypatch.setattr(Connection, "data_received", data_received)
    server.answer("/", Kept(flood))
    assert (await exchange.fail(within=0.5)).reason is Reason.SERVER_TOO_SLOW
    # One read of the loop is at most 256 KiB.
    assert 0 < most < 400_000


async def test_connections_are_kept_after_much_was_received_at_once(exchange: Exchanges, server: FaultServer) -> None:
    """Until it was read, no more was received. Then the next response is received, and also that the server closes."""
    server.answer("/", Json("x" * 200_000), Json("x" * 200_000), CloseAfterAnswer(Json("x" * 200_000)))
    for _ in range(3):
        assert len(body_of(await exchange())) > 200_000
    assert [received.connection for received in server.calls] == [1, 1, 1]
    await eventually(lambda: sockets_to(server.port) == 0)
