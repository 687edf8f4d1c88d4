"""Sends one HTTP request to an authorization server and reads the response.

This module decides nothing. The locals of httpx's frames contain what was sent, so no exception of httpx leaves this
module. A replacement is returned out of these frames, and raised where no other exception is being handled.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode
from weakref import WeakValueDictionary

from ..errors import Reason
from ..protocol.secrets import Secret
from ..protocol.uris import origin_of
from .effects import ClientOptions, ConcurrencyLimit, OutboundRequest, OutboundResponse, RequestFailedError
from .http_clients import Response, SiteClient, tls_context
from .observer import watch_call

if TYPE_CHECKING:
    from .http_pool import Pool

__all__ = ["TRANSPORT_OVERRIDES", "WAITING", "Transport"]

WAITING = 20
"""Maximum number of waiting requests for each request that may run at a time. Further requests fail at once."""

TRANSPORT_OVERRIDES: dict[str, Callable[[], Any]] = {}
"""For tests: for each origin, the factory of the client for requests to it. It replaces the client of the validators.

This applies to the whole process, not to a context: the outbound loop sends requests for all waiting callers.
"""

# Header fields that say when a response was generated, for how long it is fresh, and what a client may do with it.
_KEPT_FIELDS = {
    name.lower(): name for name in ("Date", "Age", "Cache-Control", "WWW-Authenticate", "Access-Control-Allow-Origin")
}


_Client: TypeAlias = "Pool | SiteClient"


class Transport:
    """Sends requests on the event loop that it was created on, and owns the clients and their connections."""

    def __init__(self) -> None:
        self._clients: dict[ClientOptions, _Client] = {}
        # A queue lives while a request runs or waits.
        self._queues: WeakValueDictionary[Any, _Queue] = WeakValueDictionary()

    async def exchange(self, call: OutboundRequest, deadline: float) -> OutboundResponse:
        """Return the server's response, whatever its status. ``deadline`` is in the time of the event loop.

        Raises:
            RequestFailedError: there is no response, or it must not be read.
            Exception: what ``call.ready`` or the factory of a client raises, or a bug.
        """
        queue = self._queue(call.concurrency_limit)
        has_waited = queue.locked()
        if not await queue.enter(deadline):
            raise RequestFailedError(Reason.TOO_MANY_CALLS, "the queue took longer than the deadline")
        try:
            call.ready()
            outcome = await self._exchange_with_a_client(call, deadline)
        finally:
            queue.release()
        if isinstance(outcome, RequestFailedError):
            if has_waited and outcome.reason is Reason.SERVER_TOO_SLOW:
                # The request spent part of its time in the queue, so the timeout says nothing about the server.
                raise RequestFailedError(Reason.TOO_MANY_CALLS, "too little time was left after the queue")
            raise outcome
        return outcome

    async def _exchange_with_a_client(
        self, call: OutboundRequest, deadline: float
    ) -> OutboundResponse | RequestFailedError:
        options = _options_for(call)
        try:
            client = self._client(options)
        except OSError as error:
            # The certificate file is missing, or the process has too many open files.
            return RequestFailedError(Reason.SERVER_UNREACHABLE, type(error).__name__)
        return await watch_call(call, _exchange(client, call, deadline))

    async def aclose(self) -> None:
        """Close all connections. Requests that are in progress fail."""
        clients = [*self._clients.values()]
        self._clients.clear()
        # If one client cannot be closed, the others are still closed.
        await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)

    def _queue(self, limit: ConcurrencyLimit) -> "_Queue":
        queue = self._queues.get(limit)
        if queue is None:
            queue = self._queues[limit] = _Queue(limit.limit)
        return queue

    def _client(self, options: ClientOptions) -> _Client:
        client = self._clients.get(options)
        if client is None:
            client = self._clients[options] = _make_client(options)
        return client


def _make_client(options: ClientOptions) -> _Client:
    if options.factory is not None:
        return SiteClient(options.factory())
    from .http_pool import Pool

    return Pool(tls_context(options.verify))


def _options_for(call: OutboundRequest) -> ClientOptions:
    factory = TRANSPORT_OVERRIDES.get(origin_of(call.url)) if TRANSPORT_OVERRIDES else None
    return call.client if factory is None else ClientOptions(factory)


class _Queue(asyncio.Semaphore):
    """Limits the number of concurrent requests, and of waiting requests, since each of these needs memory."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._most_waiting = limit * WAITING
        self._waiting = 0

    async def enter(self, deadline: float) -> bool:
        """Wait for a turn. Return whether it came within the deadline; if so, the caller must call `release`."""
        if not self.locked():
            return await self.acquire()
        if self._waiting >= self._most_waiting:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await self.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1


async def _exchange(client: _Client, call: OutboundRequest, deadline: float) -> OutboundResponse | RequestFailedError:
    seconds = deadline - asyncio.get_running_loop().time()
    try:
        if seconds > 0:
            async with asyncio.timeout_at(deadline + client.grace):
                return await _attempt(client, call, seconds)
    except TimeoutError:
        pass
    return RequestFailedError(Reason.SERVER_TOO_SLOW, "no response within the deadline")


async def _attempt(client: _Client, call: OutboundRequest, seconds: float) -> OutboundResponse | RequestFailedError:
    library = client.library
    try:
        response = await client.send(call.method, call.url, _reveal_headers(call), _reveal_form(call), seconds)
        try:
            return await _read(response, call.max_body)
        finally:
            await response.aclose()
    # Some invalid host names fail only when they are encoded for DNS.
    except (library.InvalidURL, library.UnsupportedProtocol, UnicodeError) as error:
        return RequestFailedError(Reason.SERVER_ANSWER_UNUSABLE, type(error).__name__)
    except (library.TimeoutException, TimeoutError) as error:
        return RequestFailedError(Reason.SERVER_TOO_SLOW, type(error).__name__)
    # httpx does not wrap some TLS errors.
    except (library.HTTPError, OSError) as error:
        is_connected = not isinstance(error, library.ConnectError)
        return RequestFailedError(
            Reason.SERVER_UNREACHABLE, type(error).__name__, _root_of(error), is_connected=is_connected
        )
    except Exception as error:
        _clear_locals(error)
        raise


def _reveal_headers(call: OutboundRequest) -> dict[str, bytes]:
    headers = {name: _encode(value) for name, value in call.headers.items()}
    if call.form is not None:
        headers["Content-Type"] = b"application/x-www-form-urlencoded"
    return headers | {"Accept-Encoding": b"identity"}


def _reveal_form(call: OutboundRequest) -> bytes | None:
    if call.form is None:
        return None
    return urlencode({name: _encode(value) for name, value in call.form.items()}).encode()


def _encode(value: str | Secret[str]) -> bytes:
    # An encoding error would contain the text.
    return (value.reveal() if isinstance(value, Secret) else value).encode("utf-8", "surrogatepass")


async def _read(response: Response, max_body: int) -> OutboundResponse | RequestFailedError:
    fields = response.fields
    body: Secret[bytes] | RequestFailedError = Secret(b"")
    if response.status == 200:
        body = await _read_body(response, max_body)
    if isinstance(body, RequestFailedError):
        return body
    media_type = fields.get("content-type", "").partition(";")[0].strip().lower()
    kept = {name: fields[key] for key, name in _KEPT_FIELDS.items() if key in fields}
    return OutboundResponse(response.status, media_type, body, fields.get("retry-after"), kept)


async def _read_body(response: Response, max_body: int) -> Secret[bytes] | RequestFailedError:
    # The request accepts only identity. A small compressed body may expand to a huge one.
    if response.fields.get("content-encoding", "").strip().lower() not in ("", "identity"):
        return RequestFailedError(Reason.SERVER_ANSWER_UNUSABLE, "the response is compressed")
    too_long = RequestFailedError(Reason.SERVER_ANSWER_UNUSABLE, f"the response has more than {max_body} bytes")
    length = response.fields.get("content-length", "")
    # Python refuses to read very long numbers. The first digits suffice.
    if length.isdecimal() and int(length[:18]) > max_body:
        return too_long
    body = Secret(bytearray())
    async with contextlib.aclosing(response.chunks) as chunks:
        async for chunk in chunks:
            if body.reveal():
                # Yield to the loop, so that a server that quickly sends single bytes cannot occupy it.
                await asyncio.sleep(0)
            body.reveal().extend(chunk)
            if len(body.reveal()) > max_body:
                return too_long
    return Secret(bytes(body.reveal()))


def _root_of(error: Exception) -> str | None:
    """Return the name of the operating system's error behind a failure. httpx uses one class for all of these."""
    names = [type(link).__name__ for link in _chain(error) if isinstance(link, OSError)]
    return names[-1] if names else None


def _clear_locals(error: BaseException) -> None:
    """Remove the values from a bug's traceback, some of which were sent. The lines of code remain."""
    for link in _chain(error):
        traceback.clear_frames(link.__traceback__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    links = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        links += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            links += link.exceptions
