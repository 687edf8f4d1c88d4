"""A plugin for pytest, ``-p tests.demo.offline``: code that opens a connection, listens, or sleeps fails."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest


class ForbiddenError(Exception):
    """This run has no network, and no time to wait."""


def pytest_configure(config: pytest.Config) -> None:
    """Forbid it, and see to it that it is forbidden."""
    for name in ("bind", "connect", "connect_ex"):
        setattr(socket.socket, name, _without_network(getattr(socket.socket, name)))
    time.sleep = _refuse
    asyncio.sleep = _without_delay(asyncio.sleep)  # type: ignore[assignment]
    with pytest.raises(ForbiddenError):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(ForbiddenError):
        socket.create_server(("127.0.0.1", 0))
    with pytest.raises(ForbiddenError):
        time.sleep(0)
    with pytest.raises(ForbiddenError):
        asyncio.run(asyncio.sleep(0.001))


def _without_network(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: socket.socket, *args: Any) -> Any:
        # Pairs of connected sockets, as event loops have them for themselves, are of another family.
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise ForbiddenError(method.__name__)
        return method(self, *args)

    return call


def _without_delay(sleep: Callable[..., Any]) -> Callable[..., Any]:
    async def call(delay: float, *args: Any) -> Any:
        return _refuse() if delay > 0 else await sleep(delay, *args)

    return call


def _refuse(*args: Any) -> Any:
    raise ForbiddenError("sleep")
