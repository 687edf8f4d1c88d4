"""A connection to a server, and HTTP/1.1 on it.

h11 writes requests and parses responses. That is most of the CPU time of an exchange, so it writes the head of a
request once for all requests that have the same one, and a short response in its usual form is read without it.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import h11
import httpx

from . import happy_eyeballs

__all__ = ["MAX_HEAD", "Connection", "RequestHead", "WholeResponse", "connect", "read_whole_response"]

MAX_HEAD = 102_400
"""Maximum bytes of the status line and the header fields of a response."""

# Bytes. While so many wait to be read, no more are received. One read of the loop may exceed this.
_MAX_UNREAD = 65_536

_Part: TypeAlias = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]
_DONE = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
# Its reason phrase and its field values are printable ASCII.
_USUAL_HEAD = re.compile(rb"HTTP/1\.1 200(?: [ -~]*+)?\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[ -~]*+\r\n)++)\r\n")


@dataclass(frozen=True, slots=True, repr=False)
class RequestHead:
    """The method, the target and the header fields of a request, and the bytes that h11 writes for them."""

    event: h11.Request
    text: bytes


@dataclass(frozen=True, slots=True, repr=False)
class WholeResponse:
    """A response with status 200 that has arrived completely. The names of its header fields are in lower case."""

    fields: Mapping[str, str]
    body: bytes


def read_whole_response(received: bytes) -> WholeResponse | None:
    """Read a complete response in its usual form: with a ``Content-Length``, and nothing after it.

    ``None`` does not mean that the response is not valid: h11 must read it.
    """
    head = _USUAL_HEAD.match(received, 0, MAX_HEAD)
    if head is None:
        return None
    lines = head[1].decode("ascii").split("\r\n")[:-1]
    parts = [line.partition(":") for line in lines]
    fields = {name.lower(): value.strip(" ") for name, _, value in parts}
    is_usual = (
        len(fields) == len(lines)
        and fields.get("content-length") == str(len(received) - head.end())
        and fields.get("connection", "keep-alive").lower() == "keep-alive"
        and "transfer-encoding" not in fields
    )
    return WholeResponse(fields, received[head.end() :]) if is_usual else None


async def connect(host: str, port: int, context: ssl.SSLContext | None) -> "Connection":
    """Return a new connection, with TLS if there is a ``context``.

    Raises:
        httpx.ConnectError: there is no connection, or the certificate is not valid.
    """
    connection = Connection()
    try:
        connected = await happy_eyeballs.connect(host, port)
        await asyncio.get_running_loop().create_connection(
            lambda: connection, sock=connected, ssl=context, server_hostname=None if context is None else host
        )
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(str(error)) from error
    except asyncio.CancelledError:
        if connection.is_made:
            await connection.aclose()
        raise
    return connection


class Connection(asyncio.Protocol):
    """One request at a time is sent on it.

    Attributes:
        is_made: whether there is a connection, after any TLS handshake.
        has_received: whether a part of the response to the current request has arrived.
        idle_since: when the last request ended, in monotonic time.
    """

    def __init__(self) -> None:
        # The current exchange, unless its response was read without h11.
        self._http: h11.Connection | None = None
        # What has arrived while there is no `_http`.
        self._received = b""
        self._has_ended = False
        # Whether the server sent something before the current request.
        self._is_early = False
        self._loop = asyncio.get_running_loop()
        self._arrival: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._is_idle = False
        self._unread = 0
        self.is_made = False
        self.has_received = False
        self.idle_since = 0.0

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self) -> None:
        """Close the connection when the loop runs next. TLS is not ended in order: the server could delay that."""
        self._transport.abort()

    async def aclose(self) -> None:
        """Close the connection."""
        self.abort()
        await asyncio.sleep(0)

    async def send(self, head: RequestHead, content: bytes) -> h11.Response | WholeResponse:
        """Send a request, and return the response or its beginning. Interim responses (1xx) are skipped.

        Raises:
            httpx.TransportError: there is no response.
        """
        self._is_idle = self.has_received = False
        self._is_early = self._received != b""
        self._transport.write(head.text + content)
        # A server may respond as soon as there is a connection.
        if not self._is_early:
            await self._wait_for_more()
        whole = read_whole_response(self._received)
        if whole is not None:
            self._received = b""
            return whole
        self._http = self._begin_with_h11(head.event, content)
        event = await self.receive()
        while isinstance(event, h11.InformationalResponse):
            # Yield to the loop, so that a server that quickly sends many of them cannot occupy it.
            await asyncio.sleep(0)
            event = await self.receive()
        return cast(h11.Response, event)

    def _begin_with_h11(self, request: h11.Request, content: bytes) -> h11.Connection:
        http = h11.Connection(h11.CLIENT, MAX_HEAD)
        for event in (request, h11.Data(data=content), h11.EndOfMessage()):
            http.send(event)
        if self._received:
            http.receive_data(self._received)
            self._received = b""
        if self._has_ended:
            http.receive_data(b"")
        return http

    async def receive(self) -> _Part:
        """Return the next part of a response that did not arrive as a whole.

        Raises:
            httpx.TransportError: the connection was closed, or this is no HTTP.
        """
        while (event := self._next_event()) is h11.NEED_DATA:
            await self._wait_for_more()
        return event

    async def _wait_for_more(self) -> None:
        if self._error is not None:
            raise httpx.ReadError(str(self._error)) from self._error
        self._resume()
        self._arrival = self._loop.create_future()
        await self._arrival

    def _next_event(self) -> _Part:
        try:
            return cast(h11.Connection, self._http).next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def prepare_next(self) -> bool:
        """Return whether another request may be sent on this connection after the current one."""
        http, self._http = self._http, None
        is_complete = http is None or (http.states == _DONE and not any(http.trailing_data))
        # Further bytes would be taken for the next response. The server may also have responded before it received
        # the whole request, or any of it: then it may still respond to the request itself.
        if not is_complete or self._received or self._has_ended or self._is_early:
            return False
        if self._transport.get_write_buffer_size():
            return False
        self._resume()
        self._is_idle = True
        self.idle_since = time.monotonic()
        return not self.is_closing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_made = True

    def data_received(self, data: bytes) -> None:
        self.has_received = True
        self._receive(data)

    def eof_received(self) -> None:
        self._receive(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc or ConnectionAbortedError("the connection was closed")
        self._wake()

    def _receive(self, data: bytes) -> None:
        if self._is_idle:
            # The server has closed the connection, or responds to a request that was not sent.
            self.abort()
        else:
            self._has_ended = not data
            if self._http is None:
                self._received += data
            else:
                self._http.receive_data(data)
            self._unread += len(data)
            if self._unread > _MAX_UNREAD:
                self._transport.pause_reading()
            self._wake()

    def _resume(self) -> None:
        """Receive further bytes, because h11 has used all that it can."""
        if self._unread > _MAX_UNREAD:
            self._transport.resume_reading()
        self._unread = 0

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
