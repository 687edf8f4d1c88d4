"""One at a time, whatever event loop it runs on."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

PAUSE = 0.02
"""Seconds before a lock that is held is asked for again."""


@contextlib.asynccontextmanager
async def turn(lock: threading.Lock) -> AsyncIterator[None]:
    """Hold ``lock`` for as long as the block lasts. An `asyncio.Lock` would be of the first loop that waits for it."""
    # Asked again and again: a thread that waits in the place of a task does not end with it.
    while not lock.acquire(blocking=False):
        await asyncio.sleep(PAUSE)
    try:
        yield
    finally:
        lock.release()
