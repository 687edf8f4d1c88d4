"""Error reports print the local variables of each frame. In those of a guarded application, none shows the token."""

from types import SimpleNamespace
from typing import Any

import pytest

from async_oauth_guard import ResourceProtector, TokenValidator
from tests.frames import check_frames, frames_of_package

TOKEN = "gooood-4bF7"


class BugError(Exception):
    """Of the site's own code."""


class Accepting(TokenValidator):
    """Accepts every token."""

    def authenticate_token(self, token_string: str) -> Any:
        return SimpleNamespace(
            is_expired=lambda: False, is_revoked=lambda: False, get_scope=lambda: "", expires_at=99_999_999_999
        )


class Failing(TokenValidator):
    """Has a bug."""

    async def authenticate_token(self, token_string: str) -> Any:
        raise BugError


class FailingForAll(TokenValidator):
    """Has a bug that does not depend on the token."""

    async def validate_request(self, request: Any) -> None:
        raise BugError

    def authenticate_token(self, token_string: str) -> None:
        raise AssertionError


async def failing(scope: Any, receive: Any, send: Any) -> None:
    """An application with a bug."""
    raise BugError


async def wait(*args: Any) -> Any:
    return {"type": "websocket.connect"}


CONNECTIONS: dict[str, Any] = {
    "http": {"type": "http", "method": "GET", "headers": [(b"authorization", b"Bearer " + TOKEN.encode())]},
    "websocket": {"type": "websocket", "headers": [(b"authorization", b"Bearer " + TOKEN.encode())]},
    "subprotocol": {"type": "websocket", "headers": [], "subprotocols": ["bearer", TOKEN]},
    "header of subprotocols": {
        "type": "websocket",
        "headers": [(b"sec-websocket-protocol", b"bearer, " + TOKEN.encode())],
        "subprotocols": ["bearer", TOKEN],
    },
}


@pytest.mark.parametrize("validator", [Accepting, Failing, FailingForAll])
@pytest.mark.parametrize("name", CONNECTIONS)
async def test_frames_show_no_token(name: str, validator: type[TokenValidator]) -> None:
    """R31, R133: neither if a hook fails, nor if the application does."""
    scope = {"path": "/", "query_string": b"", "subprotocols": [], **CONNECTIONS[name]}
    scope["headers"] = [(b"host", b"testserver"), *scope["headers"]]
    subprotocol = "bearer" if "subprotocol" in name else None
    with pytest.raises(BugError) as caught:
        await ResourceProtector(validator()).asgi(failing, subprotocol=subprotocol)(scope, wait, wait)
    assert len(frames_of_package(caught.value)) > 1
    check_frames(caught.value, TOKEN)
