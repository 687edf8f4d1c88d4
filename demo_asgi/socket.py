"""A WebSocket without code for its end: the guard closes it when the token expires."""

import asyncio
import contextlib
import time
from typing import Any

from .models import OAuth2Token

PATH = "/countdown"


async def countdown(scope: Any, receive: Any, send: Any) -> None:
    """Send each second how many seconds the token is still valid, until the WebSocket is closed."""
    await receive()
    if scope["path"] != PATH:
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    counting = asyncio.create_task(_count(scope["oauth_token"], send))
    while (await receive())["type"] != "websocket.disconnect":
        pass
    counting.cancel()
    # Servers may raise an error if the client has disconnected.
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await counting


async def _count(token: OAuth2Token, send: Any) -> None:
    while True:
        await send({"type": "websocket.send", "text": str(round(token.get_expires_at() - time.time()))})
        await asyncio.sleep(1)
