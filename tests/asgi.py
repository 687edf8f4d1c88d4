"""Sends a request through Django's ASGI handler, in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.core.handlers.asgi import ASGIHandler

from tests.answers import Answer, RawHeaders

Application = Callable[[Any, Any, Any], Awaitable[None]]


async def request(
    path: str,
    headers: RawHeaders = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    query: bytes = b"",
    application: Application | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Answer:
    """The answer of ``application``. Without one, the answer of the site that the current settings describe.

    ``changes`` are made to the scope.

    The request has a separate thread for sync code, with a separate database connection. It sees committed rows only.
    """
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"testserver"), *((name.lower(), value) for name, value in headers)],
        "client": ("127.0.0.1", 40000),
        "server": ("testserver", 80),
        **(changes or {}),
    }
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    outgoing: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not incoming:
            # The client stays, and has nothing more to say.
            await asyncio.get_running_loop().create_future()
        return incoming.pop()

    async def send(message: dict[str, Any]) -> None:
        outgoing.append(message)

    await (application or ASGIHandler())(scope, receive, send)
    start, *parts = outgoing
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return Answer(start["status"], lines, b"".join(part.get("body", b"") for part in parts))


def send(path: str, headers: RawHeaders = (), **options: Any) -> Answer:
    """The same for a test without a loop. It starts a new event loop, as a server would."""
    return asyncio.run(request(path, headers, **options))
