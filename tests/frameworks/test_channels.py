"""Tokens in consumers of Channels, as they work today: each row of its table in ``docs/frameworks.md``."""

import asyncio
from typing import Any
from unittest import mock

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper

from async_oauth_guard import GuardError, ResourceProtector
from tests.frameworks.conftest import GOOD, NARROW, UNKNOWN
from tests.frameworks.rows import shows

pytestmark = pytest.mark.django_db


def token_of(scope: Any) -> str:
    """The token of the header; what the client has sent is for the consumer to read."""
    headers = dict(scope["headers"])
    return headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")


def connect(consumer: Any, token: str) -> dict[str, Any]:
    """What the consumer answers to a client that connects with this token, and leaves."""

    async def talk() -> list[dict[str, Any]]:
        scope = {
            "type": "websocket",
            "path": "/",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "subprotocols": [],
        }
        incoming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
        outgoing: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop(0)

        async def send(message: dict[str, Any]) -> None:
            outgoing.append(message)

        await consumer.as_asgi()(scope, receive, send)
        return outgoing

    [answer] = asyncio.run(talk())
    return answer


def check_connections(consumer: Any) -> None:
    assert connect(consumer, GOOD)["type"] == "websocket.accept"
    for token, code in [(NARROW, 4403), (UNKNOWN, 4401), ("", 4401)]:
        assert _close_code(connect(consumer, token)) == code
    with mock.patch.object(CursorWrapper, "execute", side_effect=OperationalError("no route to host")):
        assert _close_code(connect(consumer, GOOD)) == 4503


def _close_code(answer: dict[str, Any]) -> int | None:
    return answer["code"] if answer["type"] == "websocket.close" else None


@shows('`await require_oauth.avalidate_token(token, "…")` in an async consumer')
def test_async_consumer(protector: ResourceProtector) -> None:
    """A good token opens the connection; what is raised for another closes it."""

    class Notes(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            try:
                token = await protector.avalidate_token(token_of(self.scope), "profile email")
            except GuardError as error:
                await self.close(code=4000 + error.status_code)
            else:
                assert token.user.username == "alice"
                await self.accept()

    check_connections(Notes)


@shows('`require_oauth.validate_token(token, "…")` in a sync consumer')
def test_sync_consumer(protector: ResourceProtector) -> None:
    """So it does in a consumer that runs on a thread."""

    class Notes(WebsocketConsumer):
        def connect(self) -> None:
            try:
                token = protector.validate_token(token_of(self.scope), "profile email")
            except GuardError as error:
                self.close(code=4000 + error.status_code)
            else:
                assert token.user.username == "alice"
                self.accept()

    check_connections(Notes)


@shows("an error that the consumer does not catch")
def test_uncaught(protector: ResourceProtector) -> None:
    """It ends the consumer before a connection is accepted."""

    class Notes(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await protector.avalidate_token(token_of(self.scope), "profile email")
            await self.accept()

    with pytest.raises(GuardError):
        connect(Notes, UNKNOWN)


@shows("`@require_oauth` on a method of a consumer")
def test_decorator(protector: ResourceProtector) -> None:
    """There is no request of Django's: the consumer ends with a `TypeError`, and its method is not entered."""

    class Notes(AsyncWebsocketConsumer):
        @protector
        async def connect(self) -> None:
            raise AssertionError("not entered")

    with pytest.raises(TypeError, match="must be called with an HttpRequest"):
        connect(Notes, GOOD)


@shows("`@require_oauth` on a consumer's class")
def test_class(protector: ResourceProtector) -> None:
    """A consumer's ``dispatch`` takes messages, not requests: it ends with a `TypeError` in the same way."""

    @protector
    class Notes(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            raise AssertionError("not entered")

    with pytest.raises(TypeError, match="must be called with an HttpRequest"):
        connect(Notes, GOOD)
