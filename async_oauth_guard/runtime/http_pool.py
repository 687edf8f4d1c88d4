"""The client of this package. It costs less CPU time than a client of httpx, whose errors it raises.

It has no proxies, redirects, cookies or HTTP/2.
"""

import asyncio
import functools
import ssl
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeAlias

import h11
import httpx

from .http_clients import Response, user_agent
from .http_connection import Connection, RequestHead, WholeResponse, connect

__all__ = ["KEPT_ALIVE", "KEPT_ALIVE_SECONDS", "Pool"]

KEPT_ALIVE = 100
"""Maximum number of idle connections to an origin."""

KEPT_ALIVE_SECONDS = 30.0
"""Seconds for which an idle connection may be used again."""

_Origin: TypeAlias = tuple[str, str, int]
_PORTS = {"http": 80, "https": 443}


class Pool:
    """Sends each request on an idle connection to its origin, or else on a new one. ``context`` is for TLS."""

    grace = 0.0
    library: Any = httpx

    def __init__(self, context: ssl.SSLContext) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._fields = (("User-Agent", user_agent().encode()), ("Connection", b"keep-alive"))
        # For each origin, the connection that was used last is at the right.
        self._idle: defaultdict[_Origin, deque[Connection]] = defaultdict(deque)
        self._is_closed = False

    async def send(
        self, method: str, url: str, fields: Mapping[str, bytes], content: bytes | None, seconds: float
    ) -> Response:
        """See `SiteClient.send`. ``seconds`` is not used: the caller cancels the request at its deadline."""
        origin = _connection_origin(url)
        length = None if content is None else len(content)
        head = _request_head(method, url, (*self._fields, *fields.items()), length)
        connection = self._take(origin)
        if connection is not None:
            try:
                return await self._exchange(origin, connection, head, content)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                if connection.has_received:
                    raise
                # The server closed a connection that was kept.
        scheme, host, port = origin
        connection = await connect(host, port, self._context if scheme == "https" else None)
        return await self._exchange(origin, connection, head, content)

    async def aclose(self) -> None:
        """Close the idle connections. A connection in use is closed after its request."""
        self._is_closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().abort()
        # Now the loop closes the sockets.
        await asyncio.sleep(0)

    async def _put_back(self, origin: _Origin, connection: Connection) -> None:
        """Keep ``connection``, whose request has ended, if it can be used again."""
        if self._is_closed or not connection.prepare_next():
            await connection.aclose()
            return
        idle = self._idle[origin]
        idle.append(connection)
        if len(idle) > KEPT_ALIVE:
            idle.popleft().abort()

    def _take(self, origin: _Origin) -> Connection | None:
        idle = self._idle[origin]
        earliest = time.monotonic() - KEPT_ALIVE_SECONDS
        while idle and idle[0].idle_since < earliest:
            idle.popleft().abort()
        while idle:
            connection = idle.pop()
            if not connection.is_closing:
                return connection
        return None

    async def _exchange(
        self, origin: _Origin, connection: Connection, head: RequestHead, content: bytes | None
    ) -> Response:
        try:
            response = await connection.send(head, content or b"")
        except BaseException:
            # Before another request may take the place of this one.
            await connection.aclose()
            raise
        aclose = functools.partial(self._put_back, origin, connection)
        if isinstance(response, WholeResponse):
            return Response(200, response.fields, _chunk(response), aclose)
        return Response(response.status_code, _fields_of(response), _chunks(connection), aclose)


# The URLs of a site's authorization servers are few.
@functools.lru_cache(64)
def _connection_origin(address: str) -> _Origin:
    url = httpx.URL(address)
    default = _PORTS.get(url.scheme)
    if default is None or not url.host:
        raise httpx.UnsupportedProtocol("the URL must begin with http:// or https://, and have a host")
    return url.scheme, url.raw_host.decode("ascii"), url.port or default


def _fields_of(response: h11.Response) -> dict[str, str]:
    fields: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


async def _chunk(response: WholeResponse) -> AsyncGenerator[bytes, None]:
    yield response.body


async def _chunks(connection: Connection) -> AsyncGenerator[bytes, None]:
    while isinstance(event := await connection.receive(), h11.Data):
        yield event.data


# A validator sends the same header fields each time, and most of its tokens have the same length.
@functools.lru_cache(256)
def _request_head(method: str, address: str, fields: tuple[tuple[str, bytes], ...], length: int | None) -> RequestHead:
    url = httpx.URL(address)
    headers = [(b"Host", url.netloc), *((name.encode(), value) for name, value in fields)]
    if length is not None:
        headers.append((b"Content-Length", b"%d" % length))
    try:
        request = h11.Request(method=method, target=url.raw_path, headers=headers)
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error
    return RequestHead(request, h11.Connection(h11.CLIENT).send(request))
