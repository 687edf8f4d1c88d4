"""How requests reach the server, in process or on a port, and the faults that it simulates."""

import asyncio
import contextlib
import os
import socket
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, Final, Self, cast

import httpx

from ...runtime.http import TRANSPORT_OVERRIDES
from ..arguments import choose
from ..environment import is_test_environment
from .endpoints import ServerRequest, ServerResponse

__all__ = ["ENDPOINTS", "FAULTS", "Fault", "Faults", "InProcess", "NoResponseError", "Port"]

_HOST = "127.0.0.1"
_HEAD_END = b"\r\n\r\n"
# Bytes. No request of a guard is longer.
_LONGEST_REQUEST = 1_048_576

_Responding = Callable[[ServerRequest], Awaitable[ServerResponse]]

# --- faults ---

FAULTS: Final[Mapping[str, str]] = {
    "down": "connections are refused; on a port, closed without a response",
    "slow": "no response comes in time",
    "rotate": "all keys are replaced at once; older keys are no longer published",
    "unknown_kid": "JWTs name keys that the key set does not have",
    "wrong_issuer": "the server uses another issuer, in its metadata, responses and tokens",
    "garbage": "responses are not JSON",
    "refuses_us": "requests that need client authentication are refused",
}
"""The effect of each fault."""

ENDPOINTS: Final = ("metadata", "keys", "introspection", "revocation", "token")
"""The endpoints, by the names in `Call.endpoint`."""

# Faults that can be limited to one endpoint.
_OF_ENDPOINTS = frozenset({"down", "slow", "garbage", "refuses_us"})
# RFC 7662 §2.1, RFC 7009 §2.1, RFC 6749 §3.2.1: these endpoints authenticate the client; the others are public.
_AUTHENTICATING = frozenset({"introspection", "revocation", "token"})


class NoResponseError(Exception):
    """There is no response, because of ``fault``."""

    def __init__(self, fault: "Fault") -> None:
        super().__init__(fault.name)
        self.fault = fault


class Fault:
    """A fault that has started. ``with``, `end` and ``server.recover()`` end it.

    Attributes:
        name: its name.
        endpoints: the endpoints that fail.
    """

    def __init__(self, name: str, endpoints: Collection[str], end: Callable[["Fault"], None]) -> None:
        self.name = name
        self.endpoints = endpoints
        self._end = end
        self._is_over: Future[None] = Future()

    def __repr__(self) -> str:
        return f"<Fault {self.name!r}>"

    def end(self) -> None:
        """End the fault. It cannot start again."""
        self._end(self)

    def _release(self) -> None:
        """Release the requests that wait for the end of this fault."""
        self._is_over.set_result(None)

    async def _wait(self) -> None:
        """Wait for the end of the fault. If a client disconnects, the others still wait."""
        await asyncio.shield(asyncio.wrap_future(self._is_over))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.end()


class Faults:
    """The current faults of one server.

    ``begin`` applies a fault to the server by its name, and returns a function that undoes it. That function runs when
    no fault of that name is left.
    """

    def __init__(self, begin: Callable[[str], Callable[[], None]]) -> None:
        self._begin = begin
        self._begun: list[Fault] = []
        # By the names of the faults, in order.
        self._undoing: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    def begin(self, name: str, at: str | None) -> Fault:
        """Start a fault, at one endpoint if ``at`` names one."""
        choose("fault", name, FAULTS)
        if at is not None:
            choose("at", at, ENDPOINTS)
            if name not in _OF_ENDPOINTS:
                raise ValueError(f"at: {name} is a fault of the whole server; leave at= out")
        everywhere = _AUTHENTICATING if name == "refuses_us" else frozenset(ENDPOINTS)
        self._undoing[name].append(self._begin(name))
        fault = Fault(name, everywhere if at is None else {at}, self.end)
        self._begun.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """End a fault, unless it has ended already."""
        if fault not in self._begun:
            return
        self._begun.remove(fault)
        if all(other.name != fault.name for other in self._begun):
            for undo in reversed(self._undoing.pop(fault.name, [])):
                undo()
        fault._release()

    def end_all(self) -> None:
        for fault in [*self._begun]:
            self.end(fault)

    def find(self, name: str, endpoint: str) -> Fault | None:
        """The fault of this name at the endpoint, if there is one."""
        # Use a copy, because other threads may end faults during the search.
        begun = [*self._begun]
        return next((fault for fault in begun if fault.name == name and endpoint in fault.endpoints), None)


# --- in process ---


class InProcess:
    """Responds to the requests of guards in this process. Nothing leaves the process."""

    def __init__(self, respond: _Responding) -> None:
        self._respond_to = respond
        self._origins: set[str] = set()

    def open(self, origins: set[str]) -> None:
        """Receive the requests to ``origins``.

        Raises:
            RuntimeError: another server receives them.
        """
        for origin in sorted(origins & TRANSPORT_OVERRIDES.keys()):
            raise RuntimeError(
                f"another server replaces {origin} already; leave that one first, or pass another issuer to this one"
            )
        self._origins = origins
        TRANSPORT_OVERRIDES.update(dict.fromkeys(origins, self.make_client))

    def close(self) -> None:
        """Send requests to the network again."""
        for origin in self._origins:
            del TRANSPORT_OVERRIDES[origin]
        self._origins = set()

    def make_client(self) -> httpx.AsyncClient:
        """A client whose requests this object receives."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._respond), trust_env=False)

    async def _respond(self, sent: httpx.Request) -> httpx.Response:
        if not is_test_environment():
            # Refuse outside of tests, in case a test left it installed.
            raise httpx.ConnectError("this server responds only in tests", request=sent)
        headers = {name.lower(): value for name, value in sent.headers.items()}
        try:
            response = await self._respond_to(ServerRequest(sent.method, str(sent.url), headers, sent.content))
        except NoResponseError as error:
            if error.fault.name == "slow":
                # Simulate that the timeout has passed.
                raise httpx.ReadTimeout("no response in time", request=sent) from None
            raise httpx.ConnectError("connection refused", request=sent) from None
        return httpx.Response(response.status, headers=dict(response.headers), content=response.body)


# --- on a port ---


class Port:
    """Listens on the loopback address, on a separate event loop.

    Raises:
        OSError: ``port`` is in use, or needs more privileges.
    """

    def __init__(self, respond: _Responding, port: int) -> None:
        self.respond = respond
        self.connections: set[_Connection] = set()
        self._listener = _listen(port)
        self.origin = f"http://{_HOST}:{self._listener.getsockname()[1]}"
        self._stopped = asyncio.Event()
        self._loop = asyncio.SelectorEventLoop()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="fake authorization server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections, and abort the open ones."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # `create_server` never closes connections that it accepted just before it was closed.
        self._loop.add_reader(self._listener, self._accept)
        await self._stopped.wait()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await asyncio.gather(*self._accepting)
        while self.connections:
            for connection in [*self.connections]:
                connection.abort()
            await asyncio.sleep(0)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: _Connection(self), client))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)


def _listen(port: int) -> socket.socket:
    try:
        listener = socket.create_server((_HOST, port), backlog=1024)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        because = f"{reason}: cannot listen on port {port} of {_HOST}; on_port() without a number uses a free port"
        raise OSError(error.errno, because) from None
    listener.setblocking(False)
    return listener


class _Connection(asyncio.Protocol):
    """One connection. Its requests are handled one after the other."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._received = b""
        self._responding: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._port.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.connections.discard(self)
        if self._responding is not None:
            self._responding.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _LONGEST_REQUEST:
            self.abort()
        elif self._responding is None:
            self._handle_next()

    def _handle_next(self) -> None:
        head, end, rest = self._received.partition(_HEAD_END)
        if not end:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        length = headers.get("content-length", "0")
        size = int(length) if length.isdecimal() else 0
        if len(rest) < size:
            return
        self._received = rest[size:]
        method, _, target = line.partition(" ")
        path, _, version = target.rpartition(" ")
        # Without a valid length, it is unknown where the next request begins.
        is_kept = version == "HTTP/1.1" and length.isdecimal() and headers.get("connection", "").lower() != "close"
        request = ServerRequest(method, self._port.origin + path, headers, rest[:size])
        self._responding = asyncio.get_running_loop().create_task(self._handle(request, is_kept))

    async def _handle(self, request: ServerRequest, is_kept: bool) -> None:
        try:
            response = await self._port.respond(request)
        except NoResponseError:
            self._transport.close()
            return
        except Exception as error:
            # The function of the test raised it: hide it from the client, and show it to the test.
            asyncio.get_running_loop().call_exception_handler({"message": "no response", "exception": error})
            self._transport.close()
            return
        self._transport.write(_written(response, has_body=request.method != "HEAD", is_kept=is_kept))
        self._responding = None
        if is_kept:
            self._handle_next()
        else:
            self._transport.close()


def _written(response: ServerResponse, *, has_body: bool, is_kept: bool) -> bytes:
    fields = response.headers if is_kept else {**response.headers, "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"HTTP/1.1 {response.status} \r\n{lines}\r\n"
    return head.encode("latin-1") + (response.body if has_body else b"")
