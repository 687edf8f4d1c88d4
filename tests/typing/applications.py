"""Guarded ASGI applications stand where applications stand."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.core.asgi import get_asgi_application
from django.http import HttpRequest

from async_oauth_guard import AccessToken, require_oauth

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def consumer(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """An application as Starlette and Channels type it."""


class Consumer:
    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None: ...


def is_new(request: HttpRequest, token: AccessToken) -> bool:
    return token.expires_at is None


def serve(application: Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]) -> None:
    """What a server accepts."""


serve(require_oauth.asgi(get_asgi_application()))
serve(require_oauth.asgi(consumer, "profile", optional=True))
serve(require_oauth.asgi(Consumer(), ["a", "b"], subprotocol="bearer", recheck=60, close_code=4001))
serve(require_oauth.asgi(require_oauth.asgi(consumer), until_expiry=False, check=is_new, fresh=True))
