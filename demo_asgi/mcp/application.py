"""The MCP server of the official SDK, behind ``require_oauth.asgi``."""

import json
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

from async_oauth_guard import require_oauth

from .scopes import READ, WRITE, is_reading, read_message

LONGEST_MESSAGE = 1_000_000
"""Bytes."""

server = MCPServer("notes", log_level="WARNING")
notes = ["Buy milk"]


@server.tool()
def list_notes() -> list[str]:
    """The notes."""
    return notes


@server.tool()
def add_note(text: str, context: Context[Any, Any]) -> str:
    """Add a note."""
    notes.append(text)
    token = context.request_context.request.scope["oauth_token"]
    return f"{token['sub']} added a note"


mcp_application = server.streamable_http_app(streamable_http_path="/mcp/asgi", json_response=True, stateless_http=True)
writing = require_oauth.asgi(mcp_application, WRITE)


async def check_tool(scope: Any, receive: Any, send: Any) -> None:
    """Require one more scope for tools that write."""
    if scope["type"] == "lifespan" or scope["method"] != "POST":
        await mcp_application(scope, receive, send)
        return
    message = read_message(await read_body(receive))
    if message is None:
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body"})
        return
    # The application gets the message that was checked, whatever its parser makes of the original.
    checked = [{"type": "http.request", "body": json.dumps(message).encode()}]

    async def receive_checked() -> Any:
        return checked.pop() if checked else await receive()

    await (mcp_application if is_reading(message) else writing)(scope, receive_checked, send)


async def read_body(receive: Any) -> bytes:
    """The body of a request. It is empty if it is too long, or if the client has gone."""
    body, is_complete = b"", False
    while not is_complete:
        part = await receive()
        body += part.get("body", b"")
        if part["type"] == "http.disconnect" or len(body) > LONGEST_MESSAGE:
            return b""
        is_complete = not part.get("more_body")
    return body


application = require_oauth.asgi(check_tool, READ)
