"""One at a time, whatever event loop it runs on."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

PAUSE = 0.02
"""Seconds before a lock that is held is asked for again."""


@contextlib.asynccontextmanager
async def turn(lock: threading.Lock) -> AsyncIterator[None]:
    """Hold ``lock`` for as long as the block lasts."""
    # Asked again and again: asyncio's locks and events are of one loop, and a thread that waits cannot be cancelled.
    while not lock.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(PAUSE)
    try:
        yield
    finally:
        lock.release()
