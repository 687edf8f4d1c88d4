"""The ASGI application that real servers run in these tests. The first part of the path names what is served."""

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from async_oauth_guard import ResourceProtector, TokenValidator
from async_oauth_guard.guard.asgi import lifetime

# So that the tests of applications that never return are quick.
lifetime.GRACE = 0.5  # type: ignore[misc]

TYPES = {"events": "text/event-stream", "download": "application/octet-stream", "failing": "application/octet-stream"}


# --- WebSockets ---


async def listening(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, and listens until the client has gone."""
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})


async def rechecked(scope: Any, receive: Any, send: Any) -> None:
    """The same. Its token is rechecked."""
    await listening(scope, receive, send)


async def pending(scope: Any, receive: Any, send: Any) -> None:
    """Never accepts."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def talking(scope: Any, receive: Any, send: Any) -> None:
    """Sends all the time, also after the end."""
    listener = asyncio.create_task(listening(scope, receive, send))
    await asyncio.sleep(0.2)
    for _ in range(200):
        await send({"type": "websocket.send", "text": "tick"})
        await asyncio.sleep(0.02)
    await listener


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, and never returns."""
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


async def raising(scope: Any, receive: Any, send: Any) -> None:
    """Raises an error when the client has gone."""
    await listening(scope, receive, send)
    raise ValueError("after the end")


# --- Responses ---


async def parts() -> AsyncIterator[bytes]:
    while True:
        yield b"data: tick\n\n"
        await asyncio.sleep(0.1)


async def streaming(scope: Any, receive: Any, send: Any) -> None:
    """Streams until the client has gone."""

    async def stream() -> None:
        headers = [(b"content-type", TYPES[name_of(scope)].encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for part in parts():
            await send({"type": "http.response.body", "body": part, "more_body": True})

    sending = asyncio.create_task(stream())
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    if name_of(scope) == "failing":
        raise ValueError("while the response is cut off")


# --- Views ---


class Ending(TokenValidator):
    """The token is the time when it expires. It is valid once if it begins with ``once-``."""

    TOKEN_TYPE = "bearer"

    def __init__(self) -> None:
        super().__init__()
        self.seen = set[str]()

    async def authenticate_token(self, token: str) -> Any:
        if token in self.seen:
            return None
        if token.startswith("once-"):
            self.seen.add(token)
        return {"sub": "7", "exp": float(token.removeprefix("once-"))}

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        """Accept all."""


protector = ResourceProtector(Ending())


@protector
async def async_view(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(), content_type=TYPES[kind])


@protector
def sync_view(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(), content_type=TYPES[kind])


urlpatterns = [path("async/<kind>", async_view), path("sync/<kind>", sync_view)]


# --- The application ---


def name_of(scope: Any) -> str:
    return str(scope["path"].split("/")[1])


APPLICATIONS: Mapping[str, Any] = {
    **{app.__name__: protector.asgi(app) for app in (listening, pending, talking, deaf, raising)},
    **dict.fromkeys(TYPES, protector.asgi(streaming)),
    "rechecked": protector.asgi(rechecked, recheck=0.1),
}


def state() -> dict[str, int]:
    """What is alive in this process."""
    gc.collect()
    timers: list[Any] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return {
        "tasks": len(asyncio.all_tasks()),
        "timers": len([timer for timer in timers if not timer.cancelled()]),
        "threads": threading.active_count(),
        "sockets": sum(is_socket(entry) for entry in Path("/proc/self/fd").iterdir()),
    }


def is_socket(entry: Path) -> bool:
    try:
        return str(entry.readlink()).startswith("socket:")
    except OSError:
        return False


async def respond(body: bytes, send: Any) -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("no lifespan")
    name = name_of(scope)
    if name == "state":
        return await respond(json.dumps(state()).encode(), send)
    if name in ("async", "sync"):
        return await views(scope, receive, send)
    return await APPLICATIONS[name](scope, receive, send)


# Only what these views need: the other apps of the tests take most of the time in which a server starts.
settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, OAUTH_GUARD={})
django.setup()
views = get_asgi_application()
# What is loaded stays. So a garbage collection looks only through what came later.
gc.collect()
gc.freeze()
