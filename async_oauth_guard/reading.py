"""The reading threads: one for each database alias of the process, shared by all event loops.

More of them would cost (smaller batches, a contended GIL) and not gain. A thread ends, and its connection with it, when
nothing was asked for a second. One that is stuck is left behind, and another takes over its queue.
"""

import atexit
import contextlib
import contextvars
import os
import queue
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core import mail
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from .credentials import Secret
from .failures import BROKEN_OFF, Failure, failure_of
from .queries import Answer, answer_all

__all__ = ["CLOSE_TIMEOUT", "IDLE_TIMEOUT", "MAX_ABANDONED", "Batch", "abandon", "close", "submit"]

IDLE_TIMEOUT = 1.0
"""Seconds without work after which a thread ends and its connection is closed."""

MAX_ABANDONED = 3
"""Stuck threads of one alias at once. With that many, nobody is asked until one of them returns."""

CLOSE_TIMEOUT = 2.0
"""Seconds that `close` waits for a thread in the middle of a query."""


# Without a `repr`: that of a queryset is what it finds.
@dataclass(eq=False, repr=False, slots=True)
class Batch:
    """Keys that leave in one query, and where their answers are wanted.

    ``deliver`` is called on ``loop`` with the answers, in the order of ``keys``, unless the loop closes or the batch is
    abandoned.
    """

    queryset: QuerySet[Model]
    field: str
    alias: str
    keys: Sequence[Secret[Any]]
    loop: AbstractEventLoop
    # Loops print the arguments of slow or failing callbacks, and models write their tokens into their `repr`.
    deliver: Callable[[Secret[list[Answer]]], object]
    is_answered: bool = False
    is_overdue: bool = False

    def reveal_keys(self) -> list[Any]:
        """The keys themselves. Keep them out of locals."""
        return [key.reveal() for key in self.keys]


class _Reader:
    """One alias's queue, the thread that serves it, and those left behind. Attributes change under ``_lock`` only."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        # ``None`` ends the thread.
        self.queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.batch: Batch | None = None
        self.abandoned: set[threading.Thread] = set()

    def start(self) -> bool:
        """Whether a thread serves the queue, started now if need be."""
        if self.thread is not None:
            return True
        if len(self.abandoned) >= MAX_ABANDONED:
            return False
        thread = threading.Thread(target=self.serve, name=f"async_oauth_guard reads {self.alias}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The process has too many threads, or is about to end.
            return False
        self.thread = thread
        return True

    def leave_thread_behind(self, thread: threading.Thread) -> None:
        self.abandoned.add(thread)
        self.thread = self.batch = None
        self.start()

    def serve(self) -> None:
        # Until `queue.Empty`, or an error, which is told to its waiters only: a report of the thread's own would show
        # the locals of every frame, and some of these hold the keys.
        with contextlib.suppress(BaseException):
            while self.read(self.queue.get(timeout=IDLE_TIMEOUT)):
                pass
        with contextlib.suppress(BaseException):
            _close_connections()
        with _lock:
            self.forget(threading.current_thread())

    def forget(self, thread: threading.Thread) -> None:
        self.abandoned.discard(thread)
        if self.thread is thread:
            self.thread = self.batch = None
        if self.thread is None and not self.queue.empty():
            self.start()

    def read(self, batch: Batch | None) -> bool:
        """Read and deliver; whether this thread is to go on with the queue."""
        with _lock:
            if self.thread is not threading.current_thread():
                # In a process that stood still, a thread may be left behind before it gets to see what it was given.
                # Another one serves the queue now. No collector has two batches in it, so no order is lost.
                self.queue.put(batch)
                return False
            if batch is None:
                return False
            if batch.is_overdue:
                return True
            self.batch = batch
        answers: list[Answer] = [BROKEN_OFF] * len(batch.keys)
        try:
            # Users' code (managers, converters) may set context variables, which are not for the next batch.
            answers = contextvars.Context().run(_answer, batch)
        finally:
            self.finish(batch, answers)
        return self.thread is threading.current_thread()

    def finish(self, batch: Batch, answers: list[Answer]) -> None:
        with _lock:
            if self.batch is batch:
                self.batch = None
            if batch.is_overdue:
                return
            batch.is_answered = True
        # A loop that has closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            batch.loop.call_soon_threadsafe(batch.deliver, Secret(answers), context=contextvars.Context())


_lock = threading.Lock()
_readers: dict[str, _Reader] = {}


def submit(batch: Batch) -> bool:
    """Queue ``batch`` for its alias's thread, or return ``False`` if too many of these are stuck."""
    with _lock:
        reader = _readers.get(batch.alias)
        if reader is None:
            reader = _readers[batch.alias] = _Reader(batch.alias)
        if not reader.start():
            return False
        reader.queue.put(batch)
        return True


def abandon(batch: Batch) -> bool:
    """Give up ``batch``, whose deadline has passed, and the thread that is stuck. ``False``: it has been answered."""
    with _lock:
        if batch.is_answered:
            return False
        batch.is_overdue = True
        reader = _readers.get(batch.alias)
        # A thread that took nothing from its queue all that time is stuck as well, with closing a connection.
        if reader is not None and reader.thread is not None and reader.batch in (batch, None):
            reader.leave_thread_behind(reader.thread)
        return True


def close() -> None:
    """End the reading threads and close their connections; the next lookup starts anew.

    For the teardown of tests and of processes. A thread in the middle of a query is waited for, but not long.
    """
    with _lock:
        readers = [*_readers.values()]
        _readers.clear()
        threads = [reader.thread for reader in readers if reader.thread is not None]
    for reader in readers:
        reader.queue.put(None)
    for thread in threads:
        thread.join(CLOSE_TIMEOUT)


def _answer(batch: Batch) -> list[Answer]:
    answers: list[Answer]
    try:
        answers = answer_all(batch.queryset, batch.field, batch.reveal_keys(), batch.alias)
    except BaseException as error:
        # What would end a thread (users' code that exits) must not leave its waiters without an answer.
        answers = [failure_of(error, batch.reveal_keys())] * len(batch.keys)
    # In this order: where there is no such alias, there are failures only, and no connection to ask.
    if any(isinstance(answer, Failure) for answer in answers) or _is_not_to_be_kept(connections[batch.alias]):
        _close_connections()
    return answers


def _is_not_to_be_kept(connection: BaseDatabaseWrapper) -> bool:
    settings = connection.settings_dict
    # To close is to give back to a pool. Without autocommit, the next query would see this one's snapshot. In tests, an
    # open connection keeps the test database from being dropped.
    return bool(settings["OPTIONS"].get("pool")) or not settings["AUTOCOMMIT"] or hasattr(mail, "outbox")


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        # The rows are read, or the error is known: what closing has to say changes neither, and Django forgets the
        # connection in either case.
        with contextlib.suppress(Exception):
            connection.close()
        if connection.connection is not None:
            # Django keeps the connection of an SQLite database in memory; this thread's own has to end with it.
            BaseDatabaseWrapper.close(connection)


def _forget_parent() -> None:
    global _lock
    # Threads do not survive a fork, and the lock may have been held by one of them.
    _lock = threading.Lock()
    _readers.clear()


os.register_at_fork(after_in_child=_forget_parent)
atexit.register(close)
