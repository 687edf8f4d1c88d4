"""The site that a real server serves behind a guard in these tests."""

from typing import Any

from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from async_oauth_guard import require_oauth


def who(request: HttpRequest) -> JsonResponse:
    token = request.scope["oauth_token"]  # type: ignore[attr-defined]
    return JsonResponse({"user": token.user.username})


urlpatterns = [path("guarded/", require_oauth("profile")(who)), path("unguarded/", who)]
site = get_asgi_application()


async def route(scope: Any, receive: Any, send: Any) -> None:
    """Leaves HTTP to Django, and accepts WebSockets."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    else:
        await site(scope, receive, send)


in_front = require_oauth.asgi(route, "profile", subprotocol="bearer")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The site behind the guard, or without it where a client sends ``X-Unguarded``. So one process serves both."""
    is_unguarded = (b"x-unguarded", b"1") in scope["headers"]
    await (site if is_unguarded else in_front)(scope, receive, send)
