"""Batches lookups of threads: lookups that arrive while the reading thread is busy share the next query.

The reading thread itself wakes the waiting threads, so a blocked event loop delays none of them. As on event loops, a
lookup never joins a query that was sent before the lookup arrived.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

from ..effects import Row
from ..forking import renew_in_child
from . import batching, threads
from .failures import OVERDUE, REFUSED
from .queries import QueryResult

__all__ = ["read"]

_Waiter: TypeAlias = "queue.SimpleQueue[QueryResult]"


class _Collector:
    """The lookups that wait for the reading thread of one database. Attributes change only under ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # For each group, the batch that further lookups join. The reading thread has not taken it yet.
        self.open: dict[Hashable, _Batch] = {}
        self.waiting = 0

    def join(self, row: Row, alias: str, waiter: _Waiter) -> "_Batch | None":
        """Add a lookup to the open batch of its group, or to a new one. Return ``None`` if it is refused."""
        with self.lock:
            if self.waiting >= batching.MAX_WAITING:
                return None
            batch = self.open.get(row.group)
            if batch is None or len(batch.waiters) >= batching.MAX_KEYS:
                # All querysets of a group are equal.
                batch = _Batch(row.queryset, row.field, alias, [], row.group, self)
                if not threads.submit(batch):
                    return None
                self.open[row.group] = batch
            batch.keys.append(row.key)
            batch.waiters.append(waiter)
            self.waiting += 1
            return batch

    def close(self, batch: "_Batch") -> None:
        """Let no further lookup join ``batch``."""
        with self.lock:
            if batch.is_closed:
                return
            batch.is_closed = True
            self.waiting -= len(batch.waiters)
            if self.open.get(batch.group) is batch:
                del self.open[batch.group]


@dataclass(eq=False, repr=False, slots=True)
class _Batch(threads.Query):
    """Lookups of one group. None of them waits for longer than two deadlines: one in the queue, and one for the query.

    ``deadline`` and ``limit`` are times of `time.monotonic`, in seconds.
    """

    group: Hashable
    collector: _Collector
    waiters: list[_Waiter] = field(default_factory=list, init=False)
    is_closed: bool = field(default=False, init=False)
    limit: float = field(init=False)
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.limit = self.deadline = time.monotonic() + 2 * batching.DEADLINE

    def perform(self) -> list[QueryResult]:
        self.collector.close(self)
        self.deadline = min(time.monotonic() + batching.DEADLINE, self.limit)
        return threads.Query.perform(self)

    def deliver(self, result: list[QueryResult] | BaseException) -> None:
        """Wake the waiting threads."""
        for waiter, response in zip(self.waiters, self.results(result), strict=True):
            waiter.put(response)

    def wait(self, waiter: _Waiter) -> QueryResult:
        """Return the result for ``waiter``, or `OVERDUE` at the deadline."""
        while (seconds := self.deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                # The deadline becomes earlier when the reading thread takes the batch.
                return waiter.get(timeout=min(seconds, batching.DEADLINE))
        if threads.abandon(self):
            self.collector.close(self)
            for each in self.waiters:
                each.put(OVERDUE)
        # Another waiter may have abandoned the batch, or the results came in at this moment.
        return waiter.get()


_collectors: dict[str, _Collector] = {}


def read(row: Row, alias: str) -> QueryResult:
    """Return the rows that match ``row`` in database ``alias``, read in one query with lookups of other threads."""
    waiter: _Waiter = queue.SimpleQueue()
    collector = _collectors.get(alias) or _collectors.setdefault(alias, _Collector())
    batch = collector.join(row, alias, waiter)
    return REFUSED if batch is None else batch.wait(waiter)


# Threads do not survive a fork, and one of them may have held a lock.
renew_in_child(_collectors.clear)
