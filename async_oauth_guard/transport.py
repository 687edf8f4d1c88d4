"""One HTTP exchange with an authorization server.

This is the only module that imports httpx, and not before there is a call to make: a site without such a server needs
none of it, and where rich is installed httpx imports that as well.

Nothing is decided here. What was sent stands in the locals of httpx's frames, so no exception of httpx's is handed on:
what stands for it is returned out of these frames, and raised where no other exception is being handled.
"""

import asyncio
import contextlib
import functools
import importlib.metadata
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlencode, urlsplit
from weakref import WeakValueDictionary

from .credentials import Secret
from .effects import CallFailedError, ClientOptions, HttpAnswer, HttpCall
from .errors import Reason
from .observation import watch_call

if TYPE_CHECKING:
    import httpx

__all__ = ["CALLS", "KEPT_ALIVE", "KEPT_ALIVE_SECONDS", "STAND_INS", "WAITING", "Transport"]

CALLS = 8
"""Calls at a time with which a client of ours is busy enough for another to be made.

httpx goes through all connections of a client several times for each call, so that a hundred in one are slow.
"""

WAITING = 20
"""Calls that may wait for each that may be out at a time; one more is refused at once."""

KEPT_ALIVE = 100
"""Connections without work that a client keeps."""

KEPT_ALIVE_SECONDS = 30.0
"""Seconds for which it keeps one."""

STAND_INS: dict[str, Callable[[], Any]] = {}
"""For tests: by origin, what makes the client for calls to it, in place of what the validators have.

For the whole process, and not for a context: calls are made on a loop of their own, for all who wait.
"""

# Digits of a Content-Length that is read as a number. A longer one is too long in any case.
_MAX_LENGTH_DIGITS = 18
# Header fields that tell when an answer was made, and for how long it holds.
_TIMES = ("Date", "Age", "Cache-Control")


class Transport:
    """Makes exchanges on one event loop, the one it was made on, and owns the clients and their connections."""

    def __init__(self) -> None:
        self._clients: dict[ClientOptions, list[_Client]] = {}
        # By gate. A queue lives while a call has its turn or waits for it.
        self._queues: WeakValueDictionary[Any, _Queue] = WeakValueDictionary()

    async def exchange(self, call: HttpCall, deadline: float) -> HttpAnswer:
        """The server's answer, of whatever status. ``deadline`` is in the time of the loop.

        Raises:
            CallFailedError: there is none, or none that may be read.
            Exception: what ``call.ready`` raises, what the factory of a client does, and bugs.
        """
        queue = self._queues.setdefault(call.gate, _Queue(call.gate.limit))
        has_waited = queue.is_full
        if not await queue.enter(deadline):
            raise CallFailedError(Reason.TOO_MANY_CALLS, "no turn within the deadline")
        try:
            call.ready()
            outcome = await self._exchange_with_a_client(call, deadline)
        finally:
            queue.leave()
        if isinstance(outcome, CallFailedError):
            if has_waited and outcome.reason is Reason.SERVER_TOO_SLOW:
                # Its own time had been spent on waiting: that says nothing of the server.
                raise CallFailedError(Reason.TOO_MANY_CALLS, "too little time was left")
            raise outcome
        return outcome

    async def _exchange_with_a_client(self, call: HttpCall, deadline: float) -> HttpAnswer | CallFailedError:
        options = _options_for(call)
        try:
            client = self._client(options)
        except OSError as error:
            # The file of certificates is gone, or the process has too many open.
            return CallFailedError(Reason.SERVER_UNREACHABLE, type(error).__name__)
        client.calls += 1
        try:
            return await watch_call(call, _exchange(client, call, deadline))
        finally:
            client.calls -= 1
            if client.is_spoilt and not client.calls:
                await self._retire(options, client)

    async def _retire(self, options: ClientOptions, client: "_Client") -> None:
        self._clients[options] = [each for each in self._clients.get(options, ()) if each is not client]
        await _aclose(client)

    async def aclose(self) -> None:
        """Close all connections. Exchanges that are under way fail."""
        clients = [client for clients in self._clients.values() for client in clients]
        self._clients.clear()
        # What closing one has to say is no reason to leave the others open.
        await asyncio.gather(*map(_aclose, clients), return_exceptions=True)

    def _client(self, options: ClientOptions) -> "_Client":
        """The client with the fewest calls. Of ours there are several where there are many calls: see `CALLS`."""
        clients = self._clients.setdefault(options, [])
        fit = [client for client in clients if not client.is_spoilt]
        if not fit:
            fit = [_make_client(options)]
            clients += fit
        client = min(fit, key=_calls_of)
        if client.calls >= CALLS and client.context is not None:
            client = _Client(_our_client(client.context), client.library, client.context)
            clients.append(client)
        return client


def _options_for(call: HttpCall) -> ClientOptions:
    factory = STAND_INS.get(_origin_of(call.url)) if STAND_INS else None
    return call.client if factory is None else ClientOptions(factory)


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _Queue:
    """Lets a number of calls out at a time. Those that wait are bounded as well: each holds memory."""

    def __init__(self, limit: int) -> None:
        self._semaphore = asyncio.Semaphore(limit)
        self._most_waiting = limit * WAITING
        self._waiting = 0

    @property
    def is_full(self) -> bool:
        return self._semaphore.locked()

    async def enter(self, deadline: float) -> bool:
        """Whether there was a turn within the deadline; who had it calls `leave`."""
        if self.is_full and self._waiting >= self._most_waiting:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await self._semaphore.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        self._semaphore.release()


class _Library(Protocol):
    """What the modules ``httpx`` and ``httpx2`` have in common, as far as it is needed here."""

    HTTPError: type[Exception]
    InvalidURL: type[Exception]
    TimeoutException: type[Exception]
    UnsupportedProtocol: type[Exception]


@dataclass(slots=True, eq=False)
class _Client:
    """A client, the library whose exceptions it raises, and how many calls it makes at the moment.

    One of ours is spoilt once its pool has a connection that nobody can use: it makes no further call.
    """

    http: Any
    library: _Library
    context: ssl.SSLContext | None = None
    calls: int = 0
    is_spoilt: bool = False


async def _aclose(client: _Client) -> None:
    # What is no client of asyncio's fails here, and not before the others are asked.
    await client.http.aclose()


def _calls_of(client: _Client) -> int:
    return client.calls


def _make_client(options: ClientOptions) -> _Client:
    if options.factory is None:
        context = _tls_context(options.verify)
        ours = _our_client(context)
        return _Client(ours, _library_of(ours), context)
    http = options.factory()
    _keep_no_cookies(http)
    return _Client(http, _library_of(http))


def _keep_no_cookies(http: Any) -> None:
    # Whatever a server sets is neither kept nor sent to anyone.
    http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))


def _our_client(context: ssl.SSLContext) -> "httpx.AsyncClient":
    import httpx

    http = httpx.AsyncClient(
        # Neither proxies nor credentials from the environment. That it may name certificates is up to `_tls_context`.
        trust_env=False,
        verify=context,
        headers={"User-Agent": _user_agent()},
        # Gates bound the connections. A call cancelled while it queues inside httpx may block that queue for good.
        limits=httpx.Limits(
            max_connections=None, max_keepalive_connections=KEPT_ALIVE, keepalive_expiry=KEPT_ALIVE_SECONDS
        ),
    )
    _keep_no_cookies(http)
    return http


def _tls_context(verify: str | ssl.SSLContext | None) -> ssl.SSLContext:
    if verify is None:
        import httpx

        # Honours SSL_CERT_FILE and SSL_CERT_DIR.
        return httpx.create_ssl_context()
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return verify


@functools.cache
def _user_agent() -> str:
    name = "async-oauth-guard"
    try:
        return f"{name}/{importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        # A copy that nobody installed.
        return name


def _library_of(http: Any) -> _Library:
    # The client may be of a class derived from the library's.
    roots = (sys.modules.get(base.__module__.partition(".")[0]) for base in type(http).__mro__)
    library = next((root for root in roots if hasattr(root, "UnsupportedProtocol")), None)
    if library is None:
        import httpx as library
    return cast(_Library, library)


async def _exchange(client: _Client, call: HttpCall, deadline: float) -> HttpAnswer | CallFailedError:
    if not _has_possible_port(call.url):
        return CallFailedError(Reason.SERVER_ANSWER_UNUSABLE, "an impossible URL")
    try:
        async with asyncio.timeout_at(deadline):
            steps = _Steps()
            outcome = await _attempt(client, call, deadline, steps)
            if _is_unreachable(outcome) and steps.met_a_closed_connection:
                outcome = await _attempt(client, call, deadline, _Steps())
            return outcome
    except TimeoutError:
        return CallFailedError(Reason.SERVER_TOO_SLOW, "no answer within the deadline")


def _is_unreachable(outcome: HttpAnswer | CallFailedError) -> bool:
    return isinstance(outcome, CallFailedError) and outcome.reason is Reason.SERVER_UNREACHABLE


def _has_possible_port(url: str) -> bool:
    # With another one, httpx raises whatever sockets raise.
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


async def _attempt(client: _Client, call: HttpCall, deadline: float, steps: "_Steps") -> HttpAnswer | CallFailedError:
    library = client.library
    try:
        response = await client.http.send(
            _build_request(client.http, call, deadline, steps),
            stream=True,
            # Not the client's own, nor the user name and password of a URL.
            auth=_leave_as_it_is,
            follow_redirects=False,
        )
        try:
            return await _read(response, call.max_body)
        finally:
            await response.aclose()
    # Some host names are not known to be wrong before they are encoded for DNS.
    except (library.InvalidURL, library.UnsupportedProtocol, UnicodeError) as error:
        return CallFailedError(Reason.SERVER_ANSWER_UNUSABLE, type(error).__name__)
    except (library.TimeoutException, TimeoutError) as error:
        return CallFailedError(Reason.SERVER_TOO_SLOW, type(error).__name__)
    # httpx lets some errors of TLS through as they are.
    except (library.HTTPError, OSError) as error:
        return CallFailedError(Reason.SERVER_UNREACHABLE, type(error).__name__, _root_of(error))
    except Exception as error:
        _clear_locals(error)
        raise
    finally:
        # httpcore keeps for ever a connection whose call was cancelled between its making and its first use.
        client.is_spoilt |= steps.left_a_new_connection and client.context is not None
        await steps.aclose()


def _build_request(http: Any, call: HttpCall, deadline: float, steps: "_Steps") -> Any:
    return http.build_request(
        call.method,
        call.url,
        headers=_reveal_headers(call),
        content=_reveal_form(call),
        # In place of the client's own. The deadline comes first; this stays should a cancellation get lost.
        timeout=max(deadline - asyncio.get_running_loop().time(), 0),
        extensions={"trace": steps},
    )


def _reveal_headers(call: HttpCall) -> dict[str, bytes]:
    headers = {name: _encode(_reveal(value)) for name, value in call.headers.items()}
    if call.form is not None:
        headers["Content-Type"] = b"application/x-www-form-urlencoded"
    return headers | {"Accept-Encoding": b"identity"}


def _reveal_form(call: HttpCall) -> bytes | None:
    if call.form is None:
        return None
    return urlencode({name: _encode(_reveal(value)) for name, value in call.form.items()}).encode()


def _reveal(value: str | Secret[str]) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _encode(text: str) -> bytes:
    # An error of encoding would hold the text.
    return text.encode("utf-8", "surrogatepass")


def _leave_as_it_is(request: Any) -> Any:
    return request


async def _read(response: Any, max_body: int) -> HttpAnswer | CallFailedError:
    headers = response.headers
    body: Secret[bytes] | CallFailedError = Secret(b"")
    if response.status_code == 200:
        body = await _read_body(response, max_body)
    if isinstance(body, CallFailedError):
        return body
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    fields = {name: headers[name] for name in _TIMES if name in headers}
    return HttpAnswer(response.status_code, media_type, body, headers.get("Retry-After"), fields)


async def _read_body(response: Any, max_body: int) -> Secret[bytes] | CallFailedError:
    # None but identity was asked for; a small body of another coding may be a huge one.
    if response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        return CallFailedError(Reason.SERVER_ANSWER_UNUSABLE, "a content coding")
    too_long = CallFailedError(Reason.SERVER_ANSWER_UNUSABLE, f"more than {max_body} bytes")
    if _is_longer(response.headers.get("Content-Length", ""), max_body):
        return too_long
    if response.is_stream_consumed:
        # By a transport of the site's own, which read it all.
        return too_long if len(response.content) > max_body else Secret(response.content)
    body = Secret(bytearray())
    async with contextlib.aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            body.reveal().extend(chunk)
            if len(body.reveal()) > max_body:
                return too_long
            # A server that sends byte by byte, and fast, does not keep the loop to itself.
            await asyncio.sleep(0)
    return Secret(bytes(body.reveal()))


def _is_longer(content_length: str, limit: int) -> bool:
    if not content_length.isdecimal():
        return False
    return len(content_length) > _MAX_LENGTH_DIGITS or int(content_length) > limit


class _Steps:
    """What httpcore tells of an attempt: the names of its steps, and a connection that is being made."""

    def __init__(self) -> None:
        self._names: list[str] = []
        # Until it speaks HTTP.
        self._stream: Any = None

    async def __call__(self, name: str, info: Any) -> None:
        self._names.append(name)
        if name.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]
        elif name.startswith("http"):
            self._stream = None

    async def aclose(self) -> None:
        """Close a connection that was begun and left: httpcore forgets one whose TLS handshake is cancelled."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(Exception):
                await stream.aclose()

    @property
    def left_a_new_connection(self) -> bool:
        """Whether the attempt has ended between a connection's making and its first use."""
        return bool(self._names) and self._names[-1].endswith((".connect_tcp.complete", ".start_tls.complete"))

    @property
    def met_a_closed_connection(self) -> bool:
        """Of an attempt that failed: whether it used a kept connection, and got no answer on it.

        Transports that tell nothing are taken to have made a new one. To ask once more is safe: nothing that is sent
        here changes anything at the server.
        """
        # "connection.connect_tcp.started", "http11.receive_response_headers.complete", and the like
        return bool(self._names) and not any(
            ".connect_" in name or name.endswith(".receive_response_headers.complete") for name in self._names
        )


def _root_of(error: Exception) -> str | None:
    """The operating system's own word for a failure: httpx has one for all of them."""
    names = [type(link).__name__ for link in _chain(error) if isinstance(link, OSError)]
    return names[-1] if names else None


def _clear_locals(error: BaseException) -> None:
    """Leave the lines of a bug's traceback and take the values, some of which were sent."""
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
