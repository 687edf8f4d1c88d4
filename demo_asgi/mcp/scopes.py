"""Which scopes a message needs. The rule is the same for the ASGI application and for the view."""

import json
from typing import Any

READ = "notes:read"
WRITE = "notes:write"

READING_TOOLS = ("list_notes",)


def read_message(body: bytes) -> dict[str, Any] | None:
    """The JSON-RPC message in the body of a request. ``None``: it is not exactly one request or notification."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return None
    return message if isinstance(message.setdefault("params", {}), dict) else None


def is_reading(message: dict[str, Any]) -> bool:
    """Whether the scope for reading is enough. A tool that is not known to read may write."""
    return message["method"] != "tools/call" or message["params"].get("name") in READING_TOOLS
