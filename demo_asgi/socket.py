"""A WebSocket that does not know when it ends: the guard in front of it closes it with its token."""

import asyncio
import contextlib
import time
from typing import Any

from .models import OAuth2Token

PATH = "/countdown"


async def countdown(scope: Any, receive: Any, send: Any) -> None:
    """Sends each second how many seconds the token has left, until somebody closes the WebSocket."""
    await receive()
    if scope["path"] != PATH:
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    counting = asyncio.create_task(_count(scope["oauth_token"], send))
    while (await receive())["type"] != "websocket.disconnect":
        pass
    counting.cancel()
    # A server may refuse to send to a client that has gone.
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await counting


async def _count(token: OAuth2Token, send: Any) -> None:
    while True:
        await send({"type": "websocket.send", "text": str(round(token.get_expires_at() - time.time()))})
        await asyncio.sleep(1)
