"""Lookups collected on an event loop: what arrives while a query is out leaves together in the next one.

A lookup never joins a query that was sent before it arrived, so a token revoked earlier is seen as revoked. What one
request starts for others runs in an empty context, so no request sees another's context variables.
"""

import asyncio
import contextvars
import functools
import os
import weakref
from collections.abc import Hashable
from dataclasses import dataclass

from django.db.models import Model

from . import reading
from .credentials import Secret
from .effects import Row
from .failures import OVERDUE, REFUSED, Failure
from .queries import Answer
from .reading import Batch

__all__ = ["DEADLINE", "MAX_KEYS", "MAX_WAITING", "PAUSE", "join"]

DEADLINE = 10.0
"""Seconds from the sending of a batch to its answers.

Who joins while a batch is out waits for its end first, so for two deadlines at most where nothing is answered any more.
While batches are answered, however slowly, who found no place in the next one keeps waiting for its turn.
"""

MAX_KEYS = 100
"""Lookups in one query."""

MAX_WAITING = 10_000
"""Lookups that wait for the next query; one more is refused at once."""

PAUSE = 8
"""Turns of the event loop between the answers of one batch and the next one's leaving.

The requests just answered finish meanwhile and others arrive, so that batches grow.
"""


# Without a `repr`, which would show the rows: models write their tokens into theirs.
@dataclass(repr=False, slots=True)
class _Waiter:
    row: Row
    future: asyncio.Future[list[Model]]


class _Collector:
    """What waits on one loop for one group and database. It lives as long as something waits, is out, or pauses."""

    # Of the batch that is out.
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
        # Those whose requests were cancelled are not asked for.
        waiting = [waiter for waiter in self.waiting if not waiter.future.done()]
        leaving, self.waiting = waiting[:MAX_KEYS], waiting[MAX_KEYS:]
        if not leaving:
            return
        # Within a group all querysets are the same.
        row = leaving[0].row
        keys = [waiter.row.key for waiter in leaving]
        deliver = functools.partial(self.deliver, leaving)
        batch = Batch(row.queryset, row.field, self.alias, keys, self.loop, deliver)
        if not reading.submit(batch):
            self.waiting = []
            _wake_all(waiting, REFUSED)
            return
        self.is_out = True
        # Whoever stays behind will have waited as long as those who leave.
        self.deadline = self.loop.call_later(DEADLINE, self.expire, waiting, batch, context=contextvars.Context())

    def deliver(self, waiters: list[_Waiter], answers: Secret[list[Answer]]) -> None:
        self.deadline.cancel()
        self.is_out = False
        for waiter, answer in zip(waiters, answers.reveal(), strict=True):
            _wake(waiter, answer)
        # Where requests come one at a time, the next one finds nobody to wait for.
        if len(waiters) > 1 or self.waiting:
            self.is_pausing = True
            self.pause(PAUSE)

    def expire(self, waiters: list[_Waiter], batch: Batch) -> None:
        if not reading.abandon(batch):
            # A loop that was blocked for long finds the answers and the deadline at once.
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


def _wake(waiter: _Waiter, answer: Answer) -> None:
    if waiter.future.done():
        return
    if isinstance(answer, Failure):
        waiter.future.set_exception(answer.error())
    else:
        waiter.future.set_result(answer)


# By the loop's identity, since a reference would keep it. A collector holds its loop, so none is mistaken for another.
_collectors: weakref.WeakValueDictionary[tuple[int, Hashable, str], _Collector] = weakref.WeakValueDictionary()


def join(row: Row) -> asyncio.Future[list[Model]]:
    """The rows that ``row`` asks for, read together with what else its group asks for on the running loop.

    The future is the caller's own: to cancel it disturbs nobody. Its error is a `TemporarilyUnavailableError` or a bug.
    """
    loop = asyncio.get_running_loop()
    alias = row.queryset.db
    key = (id(loop), row.group, alias)
    collector = _collectors.get(key)
    if collector is None:
        collector = _collectors[key] = _Collector(loop, alias)
    return collector.join(row)


os.register_at_fork(after_in_child=_collectors.clear)
