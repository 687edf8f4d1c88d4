"""An HTTP server on a real socket, in a separate thread. A test sets its answers: good, bad, late or none at all.

::

    with FaultServer() as server:
        server.answer("/introspect", Hang(), Json({"active": True}))

The first call to ``/introspect`` hangs. Each later call is answered. ``server.calls`` has the requests received.
"""

import asyncio
import contextlib
import datetime
import functools
import ipaddress
import json
import socket
import ssl
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE = 30.0
_CHUNK = b"x" * 65_536
_MEGABYTE = 1_048_576


@dataclass(frozen=True)
class Received:
    """A request. ``path`` is without the query; ``at`` is in monotonic time."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes = field(repr=False)
    at: float
    connection: int

    def header(self, name: str) -> str | None:
        """The value of the only field of this name, or ``None``."""
        values = [value for field_name, value in self.headers if field_name.lower() == name.lower()]
        assert len(values) < 2
        return values[0] if values else None

    @property
    def form(self) -> dict[str, str]:
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ClientGoneError(Exception):
    """The client has closed the connection, or the server must stop."""


class Exchange:
    """A request, and the connection on which a behaviour answers it."""

    def __init__(self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received = received
        self.reader = reader
        self.writer = writer
        self.keep_alive = (received.header("connection") or "").lower() != "close"
        self.bytes_sent = 0

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            raise ClientGoneError from None
        self.bytes_sent += len(data)

    async def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await self.send(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1"))

    async def send_chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Wait, unless the client goes."""
        end = time.monotonic() + seconds
        while not until() and (left := end - time.monotonic()) > 0:
            if self.reader.at_eof() or self.writer.is_closing():
                raise ClientGoneError
            await asyncio.sleep(min(left, 0.002))


class Behaviour(Protocol):
    """How a request is answered."""

    def perform(self, exchange: Exchange) -> Awaitable[None]: ...


Answering: TypeAlias = Behaviour | Callable[[Received], Behaviour]


@dataclass(frozen=True)
class Status:
    """An answer of any status."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.send_head(self.code, {"Content-Length": str(len(self.body))} | dict(self.headers))
        await exchange.send(self.body)


@dataclass(frozen=True)
class Json:
    """What a server of good faith answers."""

    data: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def perform(self, exchange: Exchange) -> None:
        headers = {"Content-Type": "application/json"} | dict(self.headers)
        await Status(self.status, headers, json.dumps(self.data).encode()).perform(exchange)


@dataclass(frozen=True)
class Redirect:
    """A redirect, for clients that follow it."""

    to: str
    code: int = 302

    async def perform(self, exchange: Exchange) -> None:
        await Status(self.code, {"Location": self.to}).perform(exchange)


@dataclass(frozen=True)
class Raw:
    """These bytes, whatever they are; then the connection is closed."""

    data: bytes

    async def perform(self, exchange: Exchange) -> None:
        exchange.keep_alive = False
        await exchange.send(self.data)


@dataclass(frozen=True)
class Hang:
    """No answer, until the client goes."""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.wait(3600)


@dataclass(frozen=True)
class Reset:
    """The connection is reset (RST) in place of an answer."""

    async def perform(self, exchange: Exchange) -> None:
        exchange.keep_alive = False
        linger = struct.pack("ii", 1, 0)
        exchange.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        exchange.writer.transport.abort()


@dataclass(frozen=True)
class HangUp:
    """The connection is closed (FIN) in place of an answer."""

    async def perform(self, exchange: Exchange) -> None:
        exchange.keep_alive = False


@dataclass(frozen=True)
class Drip:
    """The body comes one byte at a time."""

    body: bytes
    every: float = 1.0

    async def perform(self, exchange: Exchange) -> None:
        await exchange.send_head(200, {"Content-Type": "application/json", "Content-Length": str(len(self.body))})
        for number in range(len(self.body)):
            await exchange.wait(self.every)
            await exchange.send(self.body[number : number + 1])


@dataclass(frozen=True)
class Slow:
    """An answer that takes its time."""

    seconds: float
    then: Behaviour

    async def perform(self, exchange: Exchange) -> None:
        await exchange.wait(self.seconds)
        await self.then.perform(exchange)


@dataclass(frozen=True)
class Gated:
    """An answer that waits for the test."""

    event: threading.Event
    then: Behaviour

    async def perform(self, exchange: Exchange) -> None:
        await exchange.wait(3600, self.event.is_set)
        await self.then.perform(exchange)


@dataclass(frozen=True)
class LyingLength:
    """A body of another length than the one announced; then the connection is closed."""

    body: bytes
    length: int

    async def perform(self, exchange: Exchange) -> None:
        exchange.keep_alive = False
        headers = {"Content-Type": "application/json", "Content-Length": str(self.length)}
        await Status(200, headers, self.body).perform(exchange)


@dataclass(frozen=True)
class Truncated:
    """A chunked body that ends in the middle of a chunk."""

    async def perform(self, exchange: Exchange) -> None:
        exchange.keep_alive = False
        await exchange.send_head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        await exchange.send(b'40\r\n{"active": tr')


@dataclass(frozen=True)
class Huge:
    """A body of many megabytes, announced or not."""

    megabytes: int
    is_announced: bool = False

    async def perform(self, exchange: Exchange) -> None:
        headers = {"Content-Type": "application/json"}
        if self.is_announced:
            await exchange.send_head(200, headers | {"Content-Length": str(self.megabytes * _MEGABYTE)})
        else:
            await exchange.send_head(200, headers | {"Transfer-Encoding": "chunked"})
        for _ in range(self.megabytes * _MEGABYTE // len(_CHUNK)):
            await (exchange.send(_CHUNK) if self.is_announced else exchange.send_chunk(_CHUNK))
        if not self.is_announced:
            await exchange.send_chunk(b"")


@dataclass(frozen=True)
class GzipBomb:
    """A small body that a decoder makes into a hundred megabytes."""

    async def perform(self, exchange: Exchange) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        await Status(200, headers, _gzip_bomb()).perform(exchange)


@dataclass(frozen=True)
class CloseAfterAnswer:
    """An answer after which the connection is closed, though nothing says so."""

    then: Behaviour

    async def perform(self, exchange: Exchange) -> None:
        await self.then.perform(exchange)
        exchange.keep_alive = False


class FaultServer:
    """The server. It may be stopped, so that connections are refused, and started again on the same port.

    With ``tls``, ``ca_file`` is a file with its self-signed certificate, which is made for ``certificate_for``.
    """

    def __init__(self, *, tls: bool = False, certificate_for: str = "127.0.0.1") -> None:
        self.calls: list[Received] = []
        self.most_in_flight = 0
        self.connections = 0
        self.bytes_sent = 0
        self.port = 0
        self.ca_file = ""
        self._tls = tls
        self._certificate_for = certificate_for
        self._context: ssl.SSLContext | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._bugs: list[Exception] = []
        self._behaviours: dict[str, list[Answering]] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="fault server", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._in_flight: set[asyncio.StreamReader] = set()

    @property
    def in_flight(self) -> int:
        """The calls that are under way, without those whose client has gone."""
        return len([reader for reader in [*self._in_flight] if not reader.at_eof()])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        if self._tls:
            self._make_certificate()
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()
            if self._folder is not None:
                self._folder.cleanup()
        if self._bugs:
            raise ExceptionGroup("while the fault server answered", self._bugs)

    def start(self) -> None:
        """Take connections."""
        self._do(self._start())

    def stop(self) -> None:
        """Refuse connections, and break off those that are open."""
        self._do(self._stop())

    def answer(self, path: str, *behaviours: Answering) -> None:
        """Answer calls to ``path`` with each in turn; the last one stays."""
        with self._changed:
            self._behaviours[path] = [*behaviours]

    def calls_to(self, path: str) -> list[Received]:
        with self._changed:
            return [call for call in self.calls if call.path == path]

    def wait_for_calls(self, path: str, number: int, timeout: float = PATIENCE) -> list[Received]:
        """The calls to ``path``, as soon as there are so many."""
        self._wait(lambda: len([call for call in self.calls if call.path == path]) >= number, timeout)
        return self.calls_to(path)

    def wait_until_idle(self, timeout: float = PATIENCE) -> None:
        """Return when no call is under way."""
        self._wait(lambda: not self._in_flight, timeout)

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"{len(self.calls)} calls, {self.in_flight} in flight")

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        done.result(PATIENCE)

    def _run_loop(self) -> None:
        # Clients break off handshakes and connections; that is what they are tested for.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._loop.run_forever()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._context, limit=_MEGABYTE, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is None:
            return
        # `Server.close()` loses a connection that was just accepted, so it comes last.
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        # Connections that were just accepted, or are in their TLS handshake, have no task in `_open`.
        transports: Any = getattr(self._loop, "_transports", {})
        while len(asyncio.all_tasks()) > 1 or any(transport._sock is not None for transport in transports.values()):
            for transport in [*transports.values()]:
                transport.abort()
            for task in self._open:
                task.cancel()
            await asyncio.sleep(0)
        self._server.close()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            await self._serve_calls(reader, writer, self.connections)
        except (ClientGoneError, OSError, EOFError, asyncio.CancelledError):
            pass
        except Exception as error:
            self._bugs.append(error)
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._open.discard(task)

    async def _serve_calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        is_kept = True
        while is_kept:
            exchange = Exchange(await _read_request(reader, connection), reader, writer)
            with self._under_way(exchange) as behaviour:
                try:
                    await behaviour.perform(exchange)
                finally:
                    self.bytes_sent += exchange.bytes_sent
            is_kept = exchange.keep_alive

    @contextlib.contextmanager
    def _under_way(self, exchange: Exchange) -> Iterator[Behaviour]:
        received = exchange.received
        with self._changed:
            self.calls.append(received)
            self._in_flight.add(exchange.reader)
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            behaviour = self._behaviour_for(received.path)
            self._changed.notify_all()
        try:
            yield behaviour(received) if callable(behaviour) else behaviour
        finally:
            with self._changed:
                self._in_flight.discard(exchange.reader)
                self._changed.notify_all()

    def _behaviour_for(self, path: str) -> Answering:
        behaviours = self._behaviours.get(path) or [Status(404)]
        return behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]

    def _make_certificate(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="oauth-guard-tests-")
        key_file, ca_file = Path(self._folder.name) / "key.pem", Path(self._folder.name) / "ca.pem"
        key, certificate = _certificate(self._certificate_for)
        key_file.write_bytes(key)
        ca_file.write_bytes(certificate)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(ca_file, key_file)
        self.ca_file = str(ca_file)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = request_line.split(" ")
    path, _, query = target.partition("?")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body = await reader.readexactly(length)
    return Received(method, path, query, headers, body, time.monotonic(), connection)


@functools.cache
def _gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(_MEGABYTE)
    return b"".join([*(packer.compress(zeros) for _ in range(100)), packer.flush()])


@functools.cache
def _certificate(host: str) -> tuple[bytes, bytes]:
    """A key and a self-signed certificate, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fault server")])
    now = datetime.datetime.now(datetime.UTC)
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret, certificate.public_bytes(pem)
