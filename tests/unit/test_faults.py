"""The server that answers badly on purpose."""

import asyncio
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing

import pytest

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
    Received,
    Redirect,
    Reset,
    Slow,
    Status,
    Truncated,
)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def get(server: FaultServer, path: str = "/", timeout: float = 5) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response.status, response.read()


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Json({"a": 1}), (200, b'{"a": 1}')),
        (Status(429, {"Retry-After": "3"}, b"no"), (429, b"no")),
        (Redirect("/elsewhere"), (302, b"")),
        (Raw(b"HTTP/1.1 201 Made\r\n\r\nraw"), (201, b"raw")),
        (Drip(b"drop", every=0.001), (200, b"drop")),
        (Slow(0.001, Json(1)), (200, b"1")),
        (LyingLength(b"longer", 4), (200, b"long")),
        (Huge(1), (200, b"x" * 1_048_576)),
        (Huge(1, is_announced=True), (200, b"x" * 1_048_576)),
        (CloseAfterAnswer(Json(2)), (200, b"2")),
    ],
)
def test_answers(server: FaultServer, behaviour: Behaviour, expected: tuple[int, bytes]) -> None:
    """What can be read is what was to be sent."""
    server.answer("/", behaviour)
    assert get(server) == expected


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Reset(), ConnectionResetError),
        (HangUp(), http.client.RemoteDisconnected),
        (LyingLength(b"short", 100), http.client.IncompleteRead),
        (Truncated(), http.client.IncompleteRead),
        (Raw(b"nonsense\r\n\r\n"), http.client.BadStatusLine),
    ],
)
def test_failures(server: FaultServer, behaviour: Behaviour, error: type[Exception]) -> None:
    """What breaks, breaks in the way it is to break."""
    server.answer("/", behaviour)
    with pytest.raises(error):
        get(server)


def test_hanging_calls_end_with_their_clients(server: FaultServer) -> None:
    """A client that goes is noticed, so calls in flight are counted."""
    server.answer("/", Hang())
    with pytest.raises(TimeoutError):
        get(server, timeout=0.05)
    server.wait_until_idle()
    assert (server.most_in_flight, len(server.calls)) == (1, 1)


def test_behaviours_take_turns(server: FaultServer) -> None:
    """The last one stays; a function may choose; what nobody spoke of is not found."""
    server.answer("/", Json(1), lambda received: Json(received.query))
    assert [get(server, path)[1] for path in ("/?a", "/?b", "/?c")] == [b"1", b'"b"', b'"c"']
    assert get(server, "/unknown")[0] == 404
    assert [call.path for call in server.calls] == ["/", "/", "/", "/unknown"]


def test_connections_are_kept(server: FaultServer) -> None:
    """One connection, several requests; their forms and documents can be read."""
    server.answer("/", Json(1))
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as connection:
        for body in ("a=%2B&b=", '{"a": 2}'):
            connection.request("POST", "/", body)
            connection.getresponse().read()
    form, document = server.calls_to("/")
    assert (form.form, document.json) == ({"a": "+", "b": ""}, {"a": 2})
    assert server.connections == 1


def test_stop_and_start(server: FaultServer) -> None:
    """Stopped, it refuses connections and breaks off calls; started again, it answers on the same port."""
    server.answer("/", Hang(), Json(1))
    errors: list[BaseException] = []

    def hang() -> None:
        try:
            get(server)
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    server.wait_for_calls("/", 1)
    port = server.port
    server.stop()
    thread.join(5)
    assert len(errors) == 1
    with pytest.raises(ConnectionRefusedError):
        get(server)
    server.start()
    assert (get(server), server.port) == ((200, b"1"), port)


class StopsAsAClientConnects(FaultServer):
    """Its loop finds the new connection in the same turn in which it begins to stop."""

    client: socket.socket

    def stop(self) -> None:
        stopping: Future[Future[None]] = Future()

        def connect_and_stop() -> None:
            self.client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            stopping.set_result(asyncio.run_coroutine_threadsafe(self._stop(), self._loop))

        self._loop.call_soon_threadsafe(connect_and_stop)
        stopping.result(PATIENCE).result(PATIENCE)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_connection_that_comes_when_it_stops(is_tls: bool) -> None:
    """It is closed too. It would be closed by the garbage collection, with a warning in whatever test runs then."""
    with StopsAsAClientConnects(tls=is_tls) as server:
        pass
    with server.client as client:
        assert client.recv(1) == b""


def test_gated(server: FaultServer) -> None:
    """The test says when there is an answer."""
    event = threading.Event()
    server.answer("/", Gated(event, Json(1)))

    def open_gate() -> None:
        server.wait_for_calls("/", 1)
        event.set()

    thread = threading.Thread(target=open_gate)
    thread.start()
    assert get(server) == (200, b"1")
    thread.join()


def test_bugs_of_behaviours_are_told() -> None:
    """A test whose own function fails is no test of a server that fails."""
    server = FaultServer().__enter__()
    server.answer("/", lambda received: Json(received.json))
    with pytest.raises(http.client.RemoteDisconnected):
        get(server)
    with pytest.raises(ExceptionGroup):
        server.__exit__(None, None, None)


def test_gzip_bomb(server: FaultServer) -> None:
    """It is small until it is unpacked."""
    server.answer("/", GzipBomb())
    status, body = get(server)
    assert status == 200
    assert len(body) < 200_000


def test_tls() -> None:
    """The certificate is for the host it was to be made for, and trusted by who trusts its file."""
    with FaultServer(tls=True) as server, FaultServer(tls=True, certificate_for="as.example") as other:
        server.answer("/", Json(1))
        for one, problem in ((server, None), (other, "mismatch")):
            context = ssl.create_default_context(cafile=one.ca_file)
            with closing(http.client.HTTPSConnection("127.0.0.1", one.port, timeout=5, context=context)) as connection:
                if problem is None:
                    connection.request("GET", "/")
                    assert connection.getresponse().read() == b"1"
                    continue
                with pytest.raises(ssl.SSLCertVerificationError, match=problem):
                    connection.request("GET", "/")


def test_nothing_of_a_broken_client_matters(server: FaultServer) -> None:
    """Half a request is no call, and the server goes on."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
    server.answer("/", Json(1))
    assert get(server) == (200, b"1")
    assert [type(call) for call in server.calls] == [Received]


def test_waiting_for_calls_ends(server: FaultServer) -> None:
    """A test that waits for a call in vain says so."""
    with pytest.raises(TimeoutError):
        server.wait_for_calls("/", 1, timeout=0.01)
