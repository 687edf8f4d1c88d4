"""Django's cache, on daemon threads of its own and with a deadline: what it does not answer in time is a miss.

Django's async cache methods would hold the request's only thread while the cache is slow. These threads are few, and
end when nothing was asked for a second. One that is stuck is left behind, and another takes its place. All of it is
called on the loop for what goes out, but for `close`.
"""

import asyncio
import atexit
import contextlib
import contextvars
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import BaseCache, caches
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from . import logs
from .credentials import Secret
from .effects import CacheDelete, CacheRead, CacheWrite

__all__ = [
    "CLOSE_TIMEOUT",
    "DEADLINE",
    "DONE_WITHOUT",
    "IDLE_TIMEOUT",
    "MAX_ABANDONED",
    "MAX_WAITING",
    "PAUSE",
    "THREADS",
    "close",
    "delete",
    "read",
    "write",
]

DONE_WITHOUT = "The cache %r is done without: %s"
"""What the log says of a cache, with the first failure of a row of them."""

DEADLINE = 0.25
"""Seconds from asking to the answer."""

PAUSE = 2.0
"""Seconds for which a cache that missed the deadline is left alone. Then one operation tries whether it answers."""

THREADS = 4
"""Threads that serve one alias."""

MAX_WAITING = 100
"""Operations that wait for a thread of one alias; one more is not asked."""

MAX_ABANDONED = 8
"""Stuck threads of one alias at once. With that many, no other thread is started until one of them returns."""

IDLE_TIMEOUT = 1.0
"""Seconds without work after which a thread ends."""

CLOSE_TIMEOUT = 2.0
"""Seconds that `close` waits for the threads that are in the middle of an operation."""

_logger = logging.getLogger("async_oauth_guard.cache")


async def read(effect: CacheRead) -> str | None:
    """The text under the key. What is there and is no text is a miss as well."""
    value = await _perform(effect.alias, lambda cache: cache.get(effect.key))
    return value if isinstance(value, str) else None


async def write(effect: CacheWrite) -> None:
    """Keep the text. It is kept for whole seconds, so not at all for less than one."""
    seconds = int(effect.seconds)
    if seconds >= 1:
        await _perform(effect.alias, lambda cache: cache.set(effect.key, effect.text, seconds))


async def delete(effect: CacheDelete) -> None:
    """Forget the key."""
    await _perform(effect.alias, lambda cache: cache.delete(effect.key))


def close() -> None:
    """End the threads; the next operation starts anew.

    For the teardown of tests and of processes. A thread in the middle of an operation is waited for, but not long.
    """
    pools = [*_pools.values()]
    _pools.clear()
    for pool in pools:
        pool.close(time.monotonic() + CLOSE_TIMEOUT)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an operation gave, or why it gave nothing. Loops print the arguments of slow callbacks."""

    value: Secret[Any] = field(default_factory=lambda: Secret(None))
    failure: str | None = None


@dataclass(eq=False, repr=False, slots=True)
class _Job:
    """An operation, and the loop that waits for it. ``thread`` is the one that performs it."""

    operation: Callable[[BaseCache], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[_Outcome]
    thread: threading.Thread | None = None
    is_over: bool = False


async def _perform(alias: str, operation: Callable[[BaseCache], Any]) -> Any:
    pool = _pools.setdefault(alias, _Pool(alias))
    loop = asyncio.get_running_loop()
    job = _Job(operation, loop, loop.create_future())
    refusal = pool.submit(job)
    if refusal is not None:
        pool.note(refusal)
        return None
    # Not a timeout of the waiting: who waits may be cancelled, and the thread is stuck all the same.
    overdue = loop.call_later(DEADLINE, pool.give_up, job)
    job.answer.add_done_callback(lambda answer: None if answer.cancelled() else overdue.cancel())
    return (await job.answer).value.reveal()


class _Pool:
    """The threads of one alias and what they are asked. Attributes change under ``changed``, but for ``is_down``."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.changed = threading.Condition()
        self.jobs: deque[_Job] = deque()
        self.threads: set[threading.Thread] = set()
        self.abandoned: set[threading.Thread] = set()
        self.idle = 0
        self.is_closed = False
        # Since a missed deadline, nothing has been answered in time.
        self.is_hanging = False
        self.next_try = 0.0
        # The loop's own: the failure of this episode has been logged.
        self.is_down = False

    def note(self, failure: str | None) -> None:
        """Log the first failure of a row of them."""
        if failure is not None and not self.is_down:
            logs.write(_logger, logging.WARNING, DONE_WITHOUT, self.alias, failure)
        self.is_down = failure is not None

    def submit(self, job: _Job) -> str | None:
        """Queue ``job``, or say why not."""
        with self.changed:
            if self.is_closed:
                return "it is being closed"
            if len(self.jobs) >= MAX_WAITING:
                return "too many operations wait"
            if self.is_hanging and time.monotonic() < self.next_try:
                return "it is left alone for a while"
            if len(self.jobs) >= self.idle:
                self.start()
            if not self.threads:
                return "no thread is free"
            # While one operation tries, the others do not wait with it.
            self.next_try = time.monotonic() + PAUSE
            self.jobs.append(job)
            self.changed.notify()
            return None

    def start(self) -> None:
        if len(self.threads) >= THREADS or len(self.abandoned) >= MAX_ABANDONED:
            return
        # A context for all the thread's life: Django keeps its cache objects, and their connections, in it.
        thread = threading.Thread(
            target=contextvars.Context().run,
            args=(self.serve,),
            name=f"async_oauth_guard caches {self.alias}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:
            # The process has too many threads, or is about to end.
            return
        self.threads.add(thread)

    def give_up(self, job: _Job) -> None:
        """The deadline has passed: answer ``job``, and leave the thread behind that is stuck with it."""
        with self.changed:
            if job.is_over:
                return
            job.is_over = self.is_hanging = True
            self.next_try = time.monotonic() + PAUSE
            if job.thread is None:
                self.jobs.remove(job)
            else:
                self.threads.discard(job.thread)
                self.abandoned.add(job.thread)
        self.deliver(job, _Outcome(failure=f"no answer within {DEADLINE} s"))

    def serve(self) -> None:
        while (job := self.take()) is not None:
            self.finish(job, _outcome_of(self.alias, job.operation))
            # Nothing of it is kept while the thread waits.
            del job
        for cache in caches.all(initialized_only=True):
            with contextlib.suppress(Exception):
                cache.close()

    def take(self) -> _Job | None:
        """The next job, or ``None`` where the thread is to end."""
        thread = threading.current_thread()
        with self.changed:
            if thread in self.abandoned:
                self.abandoned.discard(thread)
                return None
            self.idle += 1
            self.changed.wait_for(lambda: self.jobs or self.is_closed, IDLE_TIMEOUT)
            self.idle -= 1
            if not self.jobs:
                self.threads.discard(thread)
                return None
            job = self.jobs.popleft()
            job.thread = thread
            return job

    def finish(self, job: _Job, outcome: _Outcome) -> None:
        with self.changed:
            if job.is_over:
                return
            job.is_over = True
            if outcome.failure is None:
                self.is_hanging = False
        # A loop that has closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            job.loop.call_soon_threadsafe(self.deliver, job, outcome, context=contextvars.Context())

    def deliver(self, job: _Job, outcome: _Outcome) -> None:
        self.note(outcome.failure)
        if not job.answer.done():
            job.answer.set_result(outcome)

    def close(self, deadline: float) -> None:
        with self.changed:
            self.is_closed = True
            threads = [*self.threads]
            self.changed.notify_all()
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))


_pools: dict[str, _Pool] = {}


def _outcome_of(alias: str, operation: Callable[[BaseCache], Any]) -> _Outcome:
    # Whatever a backend raises, its frames hold what was to be written: the name has to do.
    try:
        try:
            return _Outcome(Secret(operation(caches[alias])))
        finally:
            _close_connections()
    except BaseException as error:
        return _Outcome(failure=type(error).__name__)


def _close_connections() -> None:
    # Those of a cache that lives in a database.
    for connection in connections.all(initialized_only=True):
        with contextlib.suppress(Exception):
            connection.close()
        if connection.connection is not None:
            # Django keeps the connection of an SQLite database in memory; this thread's own has to end with it.
            BaseDatabaseWrapper.close(connection)


# Threads do not survive a fork.
os.register_at_fork(after_in_child=_pools.clear)
atexit.register(close)
