"""A connection to a server, and HTTP/1.1 on it. h11 writes the requests and parses the responses."""

import asyncio
import ssl
import time
from typing import TypeAlias, cast

import h11
import httpx

from . import happy_eyeballs

__all__ = ["MAX_HEAD", "Connection", "connect"]

MAX_HEAD = 102_400
"""Maximum bytes of the status line and the header fields of a response."""

# Bytes. While so many wait to be read, no more are received. One read of the loop may exceed this.
_MAX_UNREAD = 65_536

_Part: TypeAlias = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]
_DONE = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}


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
        self._http = h11.Connection(h11.CLIENT, MAX_HEAD)
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

    async def send(self, request: h11.Request, content: bytes) -> h11.Response:
        """Send a request, and return the beginning of the response. Interim responses (1xx) are skipped.

        Raises:
            httpx.TransportError: there is no response.
        """
        self._is_idle = self.has_received = False
        events = (request, h11.Data(data=content), h11.EndOfMessage())
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))
        event = await self.receive()
        while isinstance(event, h11.InformationalResponse):
            # Yield to the loop, so that a server that quickly sends many of them cannot occupy it.
            await asyncio.sleep(0)
            event = await self.receive()
        return cast(h11.Response, event)

    async def receive(self) -> _Part:
        """Return the next part of the response.

        Raises:
            httpx.TransportError: the connection was closed, or this is no HTTP.
        """
        while (event := self._next_event()) is h11.NEED_DATA:
            if self._error is not None:
                raise httpx.ReadError(str(self._error)) from self._error
            self._resume()
            self._arrival = self._loop.create_future()
            await self._arrival
        return event

    def _next_event(self) -> _Part:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def prepare_next(self) -> bool:
        """Return whether another request may be sent on this connection after the current one."""
        http = self._http
        # Further bytes would be taken for the next response. The server may also have responded before it received
        # the whole request.
        if http.states != _DONE or any(http.trailing_data) or self._transport.get_write_buffer_size():
            return False
        http.start_next_cycle()
        self._resume()
        self._is_idle = True
        self.idle_since = time.monotonic()
        return not self.is_closing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_made = True

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.has_received = True
        self._receive(data)

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        self._receive(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._error = exc or ConnectionAbortedError("the connection was closed")
        self._wake()

    def _receive(self, data: bytes) -> None:
        if self._is_idle:
            # The server has closed the connection, or responds to a request that was not sent.
            self.abort()
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
