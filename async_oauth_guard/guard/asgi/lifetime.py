"""Ends the connections of an ASGI application with their token."""

import asyncio
import logging
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ...errors import TemporarilyUnavailableError
from ...protocol import logs
from ...runtime.stream_expiry import LONGEST_SLEEP, is_event_stream, report_late_error

__all__ = ["GRACE", "Lifetime", "run_until_expiry"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_Application = Callable[[Any, _Receive, _Send], Awaitable[None]]

logger = logging.getLogger("async_oauth_guard.expiry")

GRACE = 10.0
"""Seconds that an application has to return after it got the disconnect. Then it is cancelled. daphne waits as long."""

# Seconds that the server has to send the end to a client that does not read.
_SENDING = 1.0

# Seconds that a message takes which is dropped.
_DROPPING = 0.05

# With these, a server sends a file by itself, and nothing could stop it.
_SENT_BY_SERVER = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a connection may stay open.

    Attributes:
        expires_at: when its token expires, in seconds since the epoch; ``None`` if that is not known. For a token that
            was presented within its leeway, this is ``exp`` plus the leeway.
        clock: returns seconds since the epoch.
        recheck: after how many seconds the token is validated again, each time; ``None`` for never.
        still_valid: validates it, and returns whether it is valid. During an outage, it raises
            `TemporarilyUnavailableError`, and the connection stays open.
        close_code: the code that a WebSocket is closed with.
        chance: returns a random number from 0 up to, but not including, 1.
    """

    expires_at: float | None
    clock: Callable[[], float]
    recheck: float | None
    still_valid: Callable[[], Awaitable[bool]]
    close_code: int
    chance: Callable[[], float] = random.random

    @property
    def is_endless(self) -> bool:
        """Whether only the application and the client end the connection."""
        return self.expires_at is None and self.recheck is None

    @property
    def remaining(self) -> float:
        """Seconds until the token expires."""
        return math.inf if self.expires_at is None else self.expires_at - self.clock()


async def run_until_expiry(app: _Application, scope: Any, receive: _Receive, send: _Send, lifetime: Lifetime) -> None:
    """Run an ASGI application, and end its connection when the token expires or is rejected.

    A WebSocket is closed. A response of the type ``text/event-stream`` is completed. Any other response that has
    started is not completed, so that the server cuts the connection. The application gets a disconnect, and what it
    sends after that is dropped. If it has not returned after `GRACE` seconds, it is cancelled.

    A response that has not started by then is sent if it comes in one piece, or with a ``Content-Length``. Otherwise
    it ends like one that had started.

    Raises: what ``app`` raises before it gets the disconnect. What it raises later is logged.
    """
    if lifetime.is_endless:
        return await app(scope, receive, send)
    connection = _CONNECTIONS[scope["type"]](receive, send, lifetime.close_code)
    patience = asyncio.timeout(None)
    try:
        async with patience:
            watcher = _Watcher(connection, lifetime, patience)
            try:
                await app(_without_own_sending(scope), connection.receive, connection.send)
            finally:
                await watcher.stop()
    except Exception as error:
        if not connection.is_over.is_set():
            raise
        if not (isinstance(error, TimeoutError) and patience.expired()):
            report_late_error(error)


def _without_own_sending(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    extensions = scope.get("extensions") or {}
    if _SENT_BY_SERVER.isdisjoint(extensions):
        return scope
    kept = {name: value for name, value in extensions.items() if name not in _SENT_BY_SERVER}
    return {**scope, "extensions": kept}


class _Watcher:
    """Ends a connection with its token. It begins with a timer, because most responses are short."""

    def __init__(self, connection: "_Connection", lifetime: Lifetime, patience: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        # Connections that were opened at the same time must not be rechecked at the same time.
        first = math.inf if lifetime.recheck is None else lifetime.recheck * lifetime.chance()
        due, delay = loop.time() + first, max(0.0, min(LONGEST_SLEEP, lifetime.remaining, first))
        self._task: asyncio.Task[None] | None = None
        self._timer = loop.call_later(delay, self._start, connection, lifetime, patience, due)

    def _start(self, *arguments: Any) -> None:
        self._task = asyncio.create_task(_watch(*arguments))

    async def stop(self) -> None:
        """End the watch, and leave no task and no timer behind."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def _watch(connection: "_Connection", lifetime: Lifetime, patience: asyncio.Timeout, due: float) -> None:
    """End the connection when its token is no longer valid, and let ``patience`` end some time later."""
    try:
        await _sleep_until_invalid(lifetime, due)
    except (Exception, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        # Fail closed. Code of the site that awaits a cancelled task gets a `CancelledError` too.
        logs.write(logger, logging.ERROR, "a token could not be rechecked; its connection is closed", error=error)
    await connection.expire()
    await connection.is_over.wait()
    patience.reschedule(asyncio.get_running_loop().time() + GRACE)


async def _sleep_until_invalid(lifetime: Lifetime, due: float) -> None:
    """Return when the token has expired, or a recheck has rejected it. The first recheck is ``due`` then."""
    now = asyncio.get_running_loop().time
    interval = lifetime.recheck
    while (remaining := lifetime.remaining) > 0:
        if interval is None or now() < due:
            await asyncio.sleep(min(LONGEST_SLEEP, remaining, due - now()))
            continue
        if not await _is_still_valid(lifetime, remaining):
            return
        # Skip those that a slow recheck has missed.
        due += interval * ((now() - due) // interval + 1)


async def _is_still_valid(lifetime: Lifetime, remaining: float) -> bool:
    """Validate the token again. Stop when it expires."""
    try:
        async with asyncio.timeout(min(LONGEST_SLEEP, remaining)):
            return await lifetime.still_valid()
    except (TemporarilyUnavailableError, TimeoutError):
        return True


class _Connection(ABC):
    """The ``receive`` and ``send`` of an application, and what is known about its connection.

    Attributes:
        is_over: set when the application has been told that the connection is over.
    """

    disconnect: _Message

    def __init__(self, receive: _Receive, send: _Send) -> None:
        self._receive, self._send = receive, send
        self._receiving: set[asyncio.Timeout] = set()
        self._is_muted = False
        self.is_over = asyncio.Event()

    async def receive(self) -> _Message:
        """The next message of the client, or the disconnect."""
        if not self.is_over.is_set():
            waiting = asyncio.timeout(None)
            try:
                async with waiting:
                    self._receiving.add(waiting)
                    try:
                        return await self._receive()
                    finally:
                        self._receiving.discard(waiting)
            except TimeoutError:
                if not waiting.expired():
                    raise
        return {**self.disconnect}

    async def send(self, message: _Message) -> None:
        """Send a message to the client, unless the connection is over."""
        if self._is_muted:
            # An application that only sends must not keep the event loop busy.
            return await asyncio.sleep(_DROPPING)
        self._note(message)
        try:
            await self._send(message)
        except Exception:
            # Some servers refuse what comes after the end. The application has not caused that.
            if not self._is_muted:
                raise

    @abstractmethod
    def _note(self, message: _Message) -> None:
        """Note what ``message`` says about the connection."""
        ...

    @abstractmethod
    async def expire(self) -> None:
        """End the connection, if it has to end now."""
        ...

    async def _end(self, closing: _Message | None) -> None:
        self._is_muted = True
        # The client may have left, or does not read.
        with suppress(Exception):
            async with asyncio.timeout(_SENDING):
                if closing is not None:
                    await self._send(closing)
        self.is_over.set()
        for waiting in self._receiving:
            waiting.reschedule(0.0)


class _WebSocket(_Connection):
    def __init__(self, receive: _Receive, send: _Send, close_code: int) -> None:
        super().__init__(receive, send)
        self._close: _Message = {"type": "websocket.close", "code": close_code}
        self.disconnect = {"type": "websocket.disconnect", "code": close_code}
        self._is_closed = False

    async def send(self, message: _Message) -> None:
        """See `_Connection.send`. What the server refuses has not closed the WebSocket."""
        earlier = self._is_closed
        try:
            await super().send(message)
        except Exception:
            self._is_closed = earlier
            raise

    def _note(self, message: _Message) -> None:
        # Both the close and a response that denies the connection are the application's own end.
        if message["type"] not in ("websocket.accept", "websocket.send"):
            self._is_closed = True

    async def expire(self) -> None:
        """Close the WebSocket. If it was not accepted yet, servers refuse it then."""
        if not self._is_closed:
            await self._end(self._close)


class _Response(_Connection):
    def __init__(self, receive: _Receive, send: _Send, close_code: int) -> None:
        super().__init__(receive, send)
        self.disconnect = {"type": "http.disconnect"}
        self._has_expired = self._is_in_progress = self._is_event_stream = False

    async def send(self, message: _Message) -> None:
        """See `_Connection.send`. A response that starts late is ended here."""
        if self._has_expired and message["type"] == "http.response.body" and message.get("more_body"):
            await self.expire()
        await super().send(message)
        if self._has_expired and self._is_event_stream:
            await self.expire()

    def _note(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            headers = {bytes(name).lower(): bytes(value) for name, value in message.get("headers", ())}
            self._is_in_progress = True
            self._is_event_stream = is_event_stream(headers.get(b"content-type", b"").decode("latin-1"))
            self._has_expired = self._has_expired and b"content-length" not in headers
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._is_in_progress = False

    async def expire(self) -> None:
        """Complete an event stream. Complete no other response: the server cuts it when the application returns."""
        self._has_expired = True
        if self._is_in_progress and not self._is_muted:
            await self._end({"type": "http.response.body", "body": b""} if self._is_event_stream else None)


_CONNECTIONS: Mapping[str, Callable[[_Receive, _Send, int], _Connection]] = {"websocket": _WebSocket, "http": _Response}
