"""Django, with the MCP server of the SDK beside it."""

from typing import Any

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# Django must be set up before a guard is made.
from . import application as mcp_server  # noqa: E402


async def application(scope: Any, receive: Any, send: Any) -> None:
    is_django = scope["type"] == "http" and scope["path"] != "/mcp/asgi"
    await (django_application if is_django else mcp_server.application)(scope, receive, send)
