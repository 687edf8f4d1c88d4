"""Uses Django's cache on separate daemon threads and with a deadline: a late result counts as a miss.

Django's async cache methods would occupy the request's only thread while the cache is slow. Everything here except
`close` is called on the outbound loop.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.cache import BaseCache, caches

from ..protocol import logs
from ..protocol.secrets import Secret
from .effects import CacheAdd, CacheDelete, CacheRead, CacheWrite
from .workers import Job, WorkerPool, WorkerPools, call_on_loop, close_connections

__all__ = [
    "ADD_DEADLINE",
    "DEADLINE",
    "DONE_WITHOUT",
    "MAX_ABANDONED",
    "MAX_WAITING",
    "PAUSE",
    "REFUSED_WITHOUT",
    "THREADS",
    "add",
    "close",
    "delete",
    "read",
    "write",
]

DONE_WITHOUT = "Continuing without the cache %r: %s"
"""The log message about a cache. It is logged for the first of consecutive failures."""

REFUSED_WITHOUT = "Refusing requests with DPoP proofs, because the cache %r does not work: %s"
"""The same for a cache that must say whether a proof is new."""

DEADLINE = 0.25
"""Seconds that an operation may take, including the wait for a thread."""

ADD_DEADLINE = 2.0
"""The same for `add`. Without its result, a request is refused, so it is worth waiting for."""

PAUSE = 2.0
"""Seconds for which a cache is not used after a missed deadline. Then one operation tests whether it responds."""

THREADS = 4
"""Maximum number of threads for one alias."""

MAX_WAITING = 100
"""Maximum number of operations that wait for a thread of one alias. Further operations are misses at once."""

MAX_ABANDONED = 8
"""Maximum number of stuck threads of one alias. At this number, no thread starts until one of them returns."""

_logger = logging.getLogger("async_oauth_guard.cache")


async def read(effect: CacheRead) -> str | None:
    """Return the text under the key, or ``None``. A value that is not text counts as a miss."""
    value = await _perform(_pools[effect.alias], lambda cache: cache.get(effect.key))
    return value if isinstance(value, str) else None


async def write(effect: CacheWrite) -> None:
    """Store the text. Seconds are rounded down, and less than one second stores nothing."""
    seconds = int(effect.seconds)
    if seconds >= 1:
        await _perform(_pools[effect.alias], lambda cache: cache.set(effect.key, effect.text, seconds))


async def delete(effect: CacheDelete) -> None:
    """Delete the key."""
    await _perform(_pools[effect.alias], lambda cache: cache.delete(effect.key))


async def add(effect: CacheAdd) -> bool | None:
    """Store the key, and return whether it is new; ``None`` if that is not known. Seconds are rounded up."""
    seconds = max(math.ceil(effect.seconds), 1)
    added: bool | None = await _perform(_stores[effect.alias], lambda cache: _add(cache, effect.key, seconds))
    return added


def _add(cache: BaseCache, key: str, seconds: int) -> bool | None:
    # Some backends return `None` instead of raising an error. Django's database cache returns `False` if it could not
    # write, so `False` alone does not say that the key was there.
    return bool(cache.add(key, "1", seconds)) or (False if cache.has_key(key) else None)


def close() -> None:
    """Stop the threads. See `workers.WorkerPools.close`."""
    _pools.close()
    _stores.close()


@dataclass(eq=False, repr=False, slots=True)
class _Operation(Job):
    """A cache operation, and the event loop that waits for its result."""

    cache: "_Cache"
    perform_on: Callable[[BaseCache], Any]
    loop: asyncio.AbstractEventLoop
    response: asyncio.Future[Secret[Any]]

    def perform(self) -> Any:
        try:
            return self.perform_on(caches[self.cache.alias])
        finally:
            # Django's database cache opens connections.
            close_connections()

    def deliver(self, result: Any) -> None:
        # An error of a backend may quote the value to be written, so only the name of its class is used.
        failure = type(result).__name__ if isinstance(result, BaseException) else None
        # Event loops log the arguments of slow callbacks, so hide the value.
        call_on_loop(self.loop, self.cache.settle, self, Secret(None if failure else result), failure)


async def _perform(cache: "_Cache", perform_on: Callable[[BaseCache], Any]) -> Any:
    loop = asyncio.get_running_loop()
    operation = _Operation(cache, perform_on, loop, loop.create_future())
    refusal = cache.enqueue(operation)
    if refusal is not None:
        cache.note(refusal)
        return None
    # A timer instead of a timeout: if the waiting task is cancelled, the thread may still be stuck.
    overdue = loop.call_later(cache.deadline, cache.give_up, operation)
    operation.response.add_done_callback(lambda response: None if response.cancelled() else overdue.cancel())
    return (await operation.response).reveal()


class _Cache(WorkerPool):
    """The threads of one alias, and whether it responds. Only the loop uses the attributes that are set here."""

    log_message = DONE_WITHOUT
    max_waiting = MAX_WAITING
    deadline = DEADLINE

    def __init__(self, alias: str) -> None:
        super().__init__(f"async_oauth_guard caches {alias}", max_threads=THREADS, max_abandoned=MAX_ABANDONED)
        self.alias = alias
        # True from a missed deadline until an operation succeeds.
        self.is_hanging = False
        self.next_try = 0.0
        # The first of the current consecutive failures has been logged.
        self.is_down = False

    def note(self, failure: str | None) -> None:
        """Log the first of consecutive failures."""
        if failure is not None and not self.is_down:
            logs.write(_logger, logging.WARNING, self.log_message, self.alias, failure)
        self.is_down = failure is not None

    def enqueue(self, operation: _Operation) -> str | None:
        """Queue ``operation``, or return why it cannot be performed."""
        if self.waiting >= self.max_waiting:
            return "too many operations are waiting"
        if self.is_hanging and time.monotonic() < self.next_try:
            return "it is not used for a while"
        if not self.submit(operation):
            return "no thread is free"
        # While one operation tests the cache, the others must not wait for it.
        self.next_try = time.monotonic() + PAUSE
        return None

    def give_up(self, operation: _Operation) -> None:
        """End ``operation`` with a miss after its deadline, and do not use the cache for a while."""
        if self.abandon(operation, replace=False):
            self.is_hanging = True
            self.next_try = time.monotonic() + PAUSE
            self.settle(operation, Secret(None), f"no response within {self.deadline} s")

    def settle(self, operation: _Operation, value: Secret[Any], failure: str | None) -> None:
        self.note(failure)
        if failure is None:
            self.is_hanging = False
        if not operation.response.done():
            operation.response.set_result(value)

    def clean_up(self) -> None:
        for cache in caches.all(initialized_only=True):
            with contextlib.suppress(Exception):
                cache.close()


class _Store(_Cache):
    """The same for `add`: with threads of its own, so that an introspection result that is late affects no proof."""

    log_message = REFUSED_WITHOUT
    # Each waiting operation belongs to a request, and ends at its deadline.
    max_waiting = 10_000
    deadline = ADD_DEADLINE


_pools = WorkerPools(_Cache)
_stores = WorkerPools(_Store)
