"""Sends Django's responses as ASGI messages, and completes the responses of applications."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http.response import HttpResponseBase

__all__ = ["Refuse", "completing", "respond"]

Refuse: TypeAlias = Callable[[HttpResponseBase, Any, Any, Any], Awaitable[None]]
"""Ends a connection with a response. It gets the response, and scope, receive and send of the connection."""

# The messages that have the headers of a response.
_STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})


async def respond(response: HttpResponseBase, scope: Any, receive: Any, send: Any) -> None:
    """Send ``response`` as Django's handler does."""
    if response.streaming:
        await _send(response, send)
        await sync_to_async(response.close)()
        return
    start, *parts = await _messages_of(response)
    # Middleware may change the list.
    await send({**start, "headers": [*start["headers"]]})
    for part in parts:
        await send(part)


async def _messages_of(response: Any) -> Any:
    """The messages of a response. Equal refusals share one response, so they are made once."""
    messages = vars(response).get("_asgi_messages")
    if messages is None:
        messages = []

        async def collect(message: Any) -> None:
            messages.append(message)

        await _send(response, collect)
        response._asgi_messages = messages
    return messages


async def _send(response: HttpResponseBase, send: Any) -> None:
    # An instance would load the site's middleware.
    await ASGIHandler.send_response(cast("Any", ASGIHandler), response, send)


def completing(send: Any, complete: Callable[[Any], Any]) -> Any:
    """``send`` for an application. ``complete`` returns the headers to send instead of those of its response."""

    async def send_completed(message: Any) -> None:
        if message["type"] in _STARTS:
            message = {**message, "headers": complete(message.get("headers") or ())}
        await send(message)

    return send_completed
