"""A plugin for pytest, ``-p tests.demo.offline``: code that opens a connection, listens, or sleeps fails."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest


class ForbiddenError(Exception):
    """The tests must not use the network, and must not wait."""


def pytest_configure(config: pytest.Config) -> None:
    """Forbid the network and sleeping, and check that they are forbidden."""
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
        # The sockets that event loops use internally are of another family.
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
