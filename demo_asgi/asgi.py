"""The ASGI application: ``uvicorn demo_asgi.asgi:application``."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_asgi.settings")

views = get_asgi_application()

# Django must be set up before models are imported.
from async_oauth_guard import require_oauth  # noqa: E402

from .socket import countdown  # noqa: E402

sockets = require_oauth.asgi(countdown, "profile", subprotocol="bearer")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Django's views, and a guarded WebSocket."""
    await (sockets if scope["type"] == "websocket" else views)(scope, receive, send)
