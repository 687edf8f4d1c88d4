"""Batches lookups on an event loop: lookups that arrive while a query runs share the next query.

A lookup never joins a query that was sent before the lookup arrived, so a token that was revoked earlier is seen as
revoked. Work that one request starts for others runs in an empty context, so no request sees the context variables of
another.
"""

import asyncio
import contextvars
import functools
import weakref
from collections.abc import Hashable
from dataclasses import dataclass

from django.db.models import Model

from ...protocol.secrets import Secret
from ..effects import Row
from ..forking import renew_in_child
from . import threads
from .failures import OVERDUE, REFUSED, Failure
from .queries import QueryResult
from .threads import Batch

__all__ = ["DEADLINE", "MAX_KEYS", "MAX_WAITING", "PAUSE", "join"]

DEADLINE = 10.0
"""Seconds that a batch may take, from sending it to its results.

A lookup that joins while a batch is running first waits for that batch to end. If the database no longer responds, it
therefore fails after at most two deadlines. As long as batches get results, however slowly, a lookup that does not fit
into the next batch keeps waiting for its turn.
"""

MAX_KEYS = 100
"""Maximum number of lookups in one query."""

MAX_WAITING = 10_000
"""Maximum number of lookups that wait for the next query. Further lookups fail at once."""

PAUSE = 8
"""Iterations of the event loop between the results of one batch and the sending of the next.

Meanwhile, requests that just got their results finish and new requests arrive, so batches grow.
"""


# No `repr`: it would show the rows, and a model's `repr` may contain its token.
@dataclass(repr=False, slots=True)
class _Waiter:
    row: Row
    future: asyncio.Future[list[Model]]


class _Collector:
    """The lookups of one event loop, group and database. It lives while lookups wait or run, or while it pauses."""

    # The deadline of the running batch.
    deadline: asyncio.TimerHandle

    def __init__(self, loop: asyncio.AbstractEventLoop, alias: str) -> None:
        self.loop = loop
        self.alias = alias
        self.waiting: list[_Waiter] = []
        self.is_out = False
        self.is_pausing = False

    def join(self, row: Row) -> asyncio.Future[list[Model]]:
        waiter = _Waiter(row, self.loop.create_future())
        if len(self.waiting) >= MAX_WAITING:
            _wake(waiter, REFUSED)
            return waiter.future
        self.waiting.append(waiter)
        if not self.is_out and not self.is_pausing:
            self.send()
        return waiter.future

    def send(self) -> None:
        # Leave out lookups whose requests were cancelled.
        waiting = [waiter for waiter in self.waiting if not waiter.future.done()]
        leaving, self.waiting = waiting[:MAX_KEYS], waiting[MAX_KEYS:]
        if not leaving:
            return
        # All querysets of a group are equal.
        row = leaving[0].row
        keys = [waiter.row.key for waiter in leaving]
        deliver = functools.partial(self.deliver, leaving)
        batch = Batch(row.queryset, row.field, self.alias, keys, self.loop, deliver)
        if not threads.submit(batch):
            self.waiting = []
            _wake_all(waiting, REFUSED)
            return
        self.is_out = True
        # Lookups that do not fit into this batch expire with it: they will have waited just as long.
        self.deadline = self.loop.call_later(DEADLINE, self.expire, waiting, batch, context=contextvars.Context())

    def deliver(self, waiters: list[_Waiter], results: Secret[list[QueryResult]]) -> None:
        self.deadline.cancel()
        self.is_out = False
        for waiter, response in zip(waiters, results.reveal(), strict=True):
            _wake(waiter, response)
        # Do not pause if requests come one at a time: there is nothing to batch.
        if len(waiters) > 1 or self.waiting:
            self.is_pausing = True
            self.pause(PAUSE)

    def expire(self, waiters: list[_Waiter], batch: Batch) -> None:
        if not threads.abandon(batch):
            # The results are in already: a loop that was blocked for long sees them and the deadline together.
            return
        self.is_out = False
        _wake_all(waiters, OVERDUE)
        self.send()

    def pause(self, turns: int) -> None:
        if turns and len(self.waiting) < MAX_KEYS:
            self.loop.call_soon(self.pause, turns - 1, context=contextvars.Context())
            return
        self.is_pausing = False
        self.send()


def _wake_all(waiters: list[_Waiter], failure: Failure) -> None:
    for waiter in waiters:
        _wake(waiter, failure)


def _wake(waiter: _Waiter, response: QueryResult) -> None:
    if waiter.future.done():
        return
    if isinstance(response, Failure):
        waiter.future.set_exception(response.error())
    else:
        waiter.future.set_result(response)


# Keyed by the id of the loop, since a reference would keep the loop alive. A collector references its loop, so the id
# cannot be reused while the collector exists.
_collectors: weakref.WeakValueDictionary[tuple[int, Hashable, str], _Collector] = weakref.WeakValueDictionary()


def join(row: Row) -> asyncio.Future[list[Model]]:
    """Return a future of the rows that match ``row``, read in one query with other lookups of its group on this loop.

    Each caller gets a separate future, so cancelling it affects no other lookup. Its exception is a
    `TemporarilyUnavailableError` or a bug.
    """
    loop = asyncio.get_running_loop()
    alias = row.queryset.db
    key = (id(loop), row.group, alias)
    collector = _collectors.get(key)
    if collector is None:
        collector = _collectors[key] = _Collector(loop, alias)
    return collector.join(row)


renew_in_child(_collectors.clear)
