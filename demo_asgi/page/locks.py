"""Locks that work on every event loop."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

PAUSE = 0.02
"""Seconds between two attempts to acquire a lock."""


@contextlib.asynccontextmanager
async def holding(lock: threading.Lock) -> AsyncIterator[None]:
    """Hold ``lock`` during the block."""
    # Poll, because asyncio's locks belong to one event loop, and a waiting thread cannot be cancelled.
    while not lock.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(PAUSE)
    try:
        yield
    finally:
        lock.release()
