"""An MCP server that is a Django view: stateless, with JSON responses."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from async_oauth_guard import AccessToken, require_oauth

from .scopes import READ, WRITE, is_reading, read_message

VERSION = "2025-06-18"
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

notes = ["Buy milk"]


@require_POST
@require_oauth(READ)
async def mcp(request: HttpRequest) -> HttpResponse:
    message = read_message(request.body)
    if message is None:
        return HttpResponse(status=400)
    return respond(request, message) if is_reading(message) else await write(request, message)


@require_oauth(WRITE)
async def write(request: HttpRequest, message: dict[str, Any]) -> HttpResponse:
    return respond(request, message)


@require_POST
@require_oauth(READ)
def sync_mcp(request: HttpRequest) -> HttpResponse:
    """The same on a thread."""
    message = read_message(request.body)
    if message is None:
        return HttpResponse(status=400)
    return respond(request, message) if is_reading(message) else sync_write(request, message)


@require_oauth(WRITE)
def sync_write(request: HttpRequest, message: dict[str, Any]) -> HttpResponse:
    return respond(request, message)


def respond(request: HttpRequest, message: dict[str, Any]) -> HttpResponse:
    """The response to one JSON-RPC message. A notification has no ``id``, and needs none."""
    if "id" not in message:
        return HttpResponse(status=202)
    method = METHODS.get(message["method"])
    outcome = _error(METHOD_NOT_FOUND) if method is None else method(request, message["params"])
    return JsonResponse({"jsonrpc": "2.0", "id": message["id"], **outcome})


def initialize(request: HttpRequest, params: dict[str, Any]) -> dict[str, Any]:
    capabilities = {"tools": {}}
    server = {"name": "notes", "version": "1"}
    return {"result": {"protocolVersion": VERSION, "capabilities": capabilities, "serverInfo": server}}


def list_tools(request: HttpRequest, params: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    nothing = {"type": "object", "properties": {}}
    tools = [
        {"name": "list_notes", "description": "The notes.", "inputSchema": nothing},
        {"name": "add_note", "description": "Add a note.", "inputSchema": text},
    ]
    return {"result": {"tools": tools}}


def call_tool(request: HttpRequest, params: dict[str, Any]) -> dict[str, Any]:
    if params.get("name") == "list_notes":
        return _text("\n".join(notes))
    match params:
        case {"name": "add_note", "arguments": {"text": str(text)}}:
            notes.append(text)
        case _:
            return _error(INVALID_PARAMS)
    token = AccessToken.of(request)
    assert token is not None
    return _text(f"{token['sub']} added a note")


METHODS: dict[str, Callable[[HttpRequest, dict[str, Any]], dict[str, Any]]] = {
    "initialize": initialize,
    "tools/list": list_tools,
    "tools/call": call_tool,
}


def _text(text: str) -> dict[str, Any]:
    return {"result": {"content": [{"type": "text", "text": text}]}}


def _error(code: int) -> dict[str, Any]:
    return {"error": {"code": code, "message": "unknown method" if code == METHOD_NOT_FOUND else "invalid params"}}
