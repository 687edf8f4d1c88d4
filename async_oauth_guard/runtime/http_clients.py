"""What every HTTP client needs, and the client for sites that bring their own.

httpx is imported only when there is a request to send. A site without an authorization server does not need httpx, and
httpx also imports rich if that is installed.
"""

import contextlib
import functools
import importlib.metadata
import ssl
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

__all__ = ["POOL_GRACE", "Response", "SiteClient", "tls_context", "user_agent"]

POOL_GRACE = 0.1
"""Seconds after the deadline at which a request of a site's client is cancelled.

At the deadline itself, httpx ends a request that waits in the client's pool. If such a request is cancelled, the pool
may keep a connection for it forever.
"""

# Errors of a client that was connected. httpx raises them if the server closed a connection that was kept.
_CLOSED = frozenset({"ReadError", "RemoteProtocolError", "WriteError"})


@dataclass(frozen=True, slots=True)
class Response:
    """A response whose body was not read yet. Field names are in lower case. ``aclose`` ends the exchange."""

    status: int
    fields: Mapping[str, str]
    chunks: AsyncGenerator[bytes, None]
    aclose: Callable[[], Awaitable[None]]


class SiteClient:
    """Sends requests with a client that the site created.

    Attributes:
        grace: the seconds after a deadline at which the caller cancels a request.
        library: the library whose exceptions the client raises.
    """

    grace = POOL_GRACE

    def __init__(self, http: Any) -> None:
        self.library = _library_of(http)
        self._http = http
        self._has_responded = False
        # Cookies of a server are neither stored nor sent.
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def send(
        self, method: str, url: str, fields: Mapping[str, bytes], content: bytes | None, seconds: float
    ) -> Response:
        """Return the response when its header fields have arrived. The caller must close it.

        At the deadline, which is in ``seconds``, the client ends a request that waits in its pool. The caller cancels
        the request `POOL_GRACE` seconds later. Errors are those of ``library``.
        """
        try:
            response = await self._send(method, url, fields, content, seconds)
        except self.library.HTTPError as error:
            # Perhaps the server closed a connection that was kept. No request that is sent here changes anything on
            # the server.
            if not self._has_responded or type(error).__name__ not in _CLOSED:
                raise
            response = await self._send(method, url, fields, content, seconds)
        self._has_responded = True
        return Response(response.status_code, response.headers, _chunks(response), response.aclose)

    async def _send(
        self, method: str, url: str, fields: Mapping[str, bytes], content: bytes | None, seconds: float
    ) -> Any:
        return await self._http.send(
            # The timeout replaces the client's own.
            self._http.build_request(method, url, headers=fields, content=content, timeout=seconds),
            stream=True,
            # Use neither the client's own credentials nor those in a URL.
            auth=_leave_as_it_is,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


async def _chunks(response: Any) -> AsyncGenerator[bytes, None]:
    if response.is_stream_consumed:
        # A custom transport has already read the whole body.
        yield response.content
        return
    async with contextlib.aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            yield chunk


def _leave_as_it_is(request: Any) -> Any:
    return request


def tls_context(verify: str | ssl.SSLContext | None) -> ssl.SSLContext:
    """Return the TLS context for an option ``verify``: the path of a file with CA certificates, or a context.

    Raises:
        OSError: the certificates cannot be read.
    """
    if verify is None:
        import httpx

        # Honours SSL_CERT_FILE and SSL_CERT_DIR.
        return httpx.create_ssl_context()
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return verify


@functools.cache
def user_agent() -> str:
    """Return the name and the version of this package."""
    name = "async-oauth-guard"
    try:
        return f"{name}/{importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        # The package is used from a copy that was not installed.
        return name


def _library_of(http: Any) -> Any:
    """``httpx``, or ``httpx2``, which has the same exceptions."""
    # The client's class may be a subclass of the library's.
    roots = (sys.modules.get(base.__module__.partition(".")[0]) for base in type(http).__mro__)
    library = next((root for root in roots if hasattr(root, "UnsupportedProtocol")), None)
    if library is None:
        import httpx as library
    return library
