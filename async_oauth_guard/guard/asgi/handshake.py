"""Reads and refuses the handshakes of WebSockets (RFC 6455 §4)."""

from collections.abc import Mapping
from typing import Any

from django.http.response import HttpResponseBase

from ...protocol.subprotocols import BEARER, split_subprotocols
from .messages import respond
from .request import HiddenScope

__all__ = ["read_handshake", "refuse_handshake"]

_SCHEMES: Mapping[str, str] = {"ws": "http", "wss": "https"}
# The extension of ASGI with which an application can respond to a handshake.
_RESPONSE = "websocket.http.response"


def read_handshake(scope: HiddenScope, subprotocol: str | None, send: Any) -> tuple[HiddenScope, HiddenScope, Any]:
    """What the application gets as scope, the scope of the handshake as an HTTP request, and the application's send.

    With a ``subprotocol``, a token after it counts as one in ``Authorization``, and the application does not see it.
    """
    headers: list[tuple[bytes, bytes]] = [*(scope.get("headers") or ())]
    if subprotocol is not None:
        credentials, offered = split_subprotocols(scope.get("subprotocols") or ())
        headers = [(name, value) for name, value in headers if name.lower() != b"sec-websocket-protocol"]
        if offered:
            headers.append((b"sec-websocket-protocol", ", ".join(offered).encode("latin-1", "replace")))
        scope = HiddenScope(scope, subprotocols=offered, headers=headers)
        # Next to an `Authorization` header, they are refused like a repeated one.
        headers = [*headers, *((b"authorization", value) for value in credentials)]
        send = _choosing(send) if BEARER in offered else send
    # RFC 6455 §4.1: "The method of the request MUST be GET".
    scheme = scope.get("scheme") or "ws"
    handshake = HiddenScope(scope, method="GET", scheme=_SCHEMES.get(scheme, scheme), headers=headers)
    return scope, handshake, send


def _choosing(send: Any) -> Any:
    async def send_choice(message: Any) -> None:
        if message["type"] == "websocket.accept" and message.get("subprotocol") is None:
            # Browsers fail the connection if none of the subprotocols that they offered is chosen.
            message = {**message, "subprotocol": BEARER}
        await send(message)

    return send_choice


async def refuse_handshake(response: HttpResponseBase, scope: Any, receive: Any, send: Any) -> None:
    """Send ``response`` instead of accepting the WebSocket. A server that cannot do that sends a 403."""
    message = await receive()
    if message["type"] != "websocket.connect":
        # The client has gone.
        return
    if _RESPONSE not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return

    async def send_denial(message: Any) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await respond(response, scope, receive, send_denial)
