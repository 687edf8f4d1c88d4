"""Sends many requests at once to a guarded and to a plain view, and records their queries."""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse

from ..models import OAuth2Token
from ..seed import LOAD_PREFIX, LOAD_TOKENS
from .locks import holding

GUARDED = "/profile"
PLAIN = "/page/plain"
"""The two views. Both look up a token and return its user's name."""


async def plain(request: HttpRequest) -> HttpResponse:
    """The same as `views.profile` without a guard: it looks the token up with Django's async ORM."""
    _, _, presented = request.headers.get("Authorization", "").partition(" ")
    try:
        token = await OAuth2Token.objects.select_related("user").aget(access_token=presented)
    except OAuth2Token.DoesNotExist:
        return JsonResponse({"error": "invalid_token"}, status=401)
    if token.is_expired() or token.is_revoked() or "profile" not in token.scope.split():
        return JsonResponse({"error": "invalid_token"}, status=401)
    return JsonResponse({"username": None if token.user is None else token.user.get_username()})


# --- Recording ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """The start and end of a query, in seconds since the load began, and how many tokens it looked up."""

    began: float
    ended: float
    tokens: int


@dataclass(slots=True)
class Recording:
    """One load. Several threads append to its lists, which needs no lock."""

    began: float = field(default_factory=time.perf_counter)
    queries: list[Query] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    response_times: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def elapsed(self) -> float:
        return time.perf_counter() - self.began

    def as_json(self) -> dict[str, object]:
        return {
            "seconds": max(self.response_times),
            "queries": [
                {"began": query.began, "ended": query.ended, "tokens": query.tokens}
                for query in sorted(self.queries, key=lambda query: query.began)
            ],
            "threads": len(set(self.threads)),
            "connections": len(self.connections),
            "response_times": sorted(self.response_times),
            "statuses": Counter(self.statuses),
        }


_recording: Recording | None = None
# One load at a time, because another one would distort its figures.
_lock = threading.Lock()


@contextlib.asynccontextmanager
async def _recording_load() -> AsyncIterator[Recording]:
    global _recording
    recording = _recording = Recording()
    try:
        yield recording
    finally:
        _recording = None


@receiver(connection_created, dispatch_uid="demo_asgi.page.load")
def _watch_connection(sender: Any, connection: BaseDatabaseWrapper, **_: Any) -> None:
    # Each thread opens its own connection.
    if _record_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_record_query)
    if _recording is not None:
        _recording.connections.append(connection.alias)


def _record_query(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    recording = _recording
    # Ignore the tokens of other requests.
    tokens = 0 if recording is None else sum(str(param).startswith(LOAD_PREFIX) for param in params or ())
    if recording is None or not tokens:
        return execute(sql, params, many, context)
    began = recording.elapsed()
    try:
        return execute(sql, params, many, context)
    finally:
        recording.queries.append(Query(began, recording.elapsed(), tokens))
        recording.threads.append(threading.get_ident())


# --- The load ---------------------------------------------------------------------------------------------------------


async def run() -> dict[str, object]:
    """The same load on both views, one after the other."""
    # Use a separate handler without server and sockets, to measure only the views.
    handler = ASGIHandler()
    async with holding(_lock):
        return {
            "requests": len(LOAD_TOKENS),
            "guarded": (await _load(handler, GUARDED)).as_json(),
            "plain": (await _load(handler, PLAIN)).as_json(),
        }


async def _load(handler: ASGIHandler, path: str) -> Recording:
    # The first request of a view does more work, so it is not counted.
    await _in_new_context(_send(handler, path, LOAD_TOKENS[0], Recording()))
    async with _recording_load() as recording:
        await asyncio.gather(*(_in_new_context(_send(handler, path, token, recording)) for token in LOAD_TOKENS))
    return recording


def _in_new_context(request: Any) -> asyncio.Task[None]:
    # A server gives each request a new context. In the context of the current request, all of them would share one
    # thread, which would slow down the plain view.
    return asyncio.get_running_loop().create_task(request, context=contextvars.Context())


async def _send(handler: ASGIHandler, path: str, token: str, recording: Recording) -> None:
    messages: Iterator[dict[str, object]] = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        for message in messages:
            return message
        # The client never disconnects.
        return await asyncio.Future[Any]()

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            recording.statuses.append(message["status"])
            recording.response_times.append(recording.elapsed())

    await handler(_scope(path, token), receive, send)


def _scope(path: str, token: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 0),
    }
