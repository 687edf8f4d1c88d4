"""The reading threads: one for each database alias of the process, shared by all event loops and sync views.

More threads would gain nothing: they would make batches smaller and compete for the GIL.
"""

import contextvars
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core import mail
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from ...protocol.secrets import Secret
from ..workers import Job, WorkerPool, WorkerPools, call_on_loop, close_connections
from .failures import BROKEN_OFF, Failure, failure_of
from .queries import QueryResult, query_all

__all__ = ["MAX_ABANDONED", "Batch", "Query", "abandon", "close", "submit"]

MAX_ABANDONED = 3
"""Maximum number of stuck threads of one alias. At this number, queries are refused until one thread returns."""


# No `repr`: the `repr` of a queryset contains the rows that it finds.
@dataclass(eq=False, repr=False, slots=True)
class Query(Job):
    """Keys that are looked up in one query."""

    queryset: QuerySet[Model]
    field: str
    alias: str
    keys: list[Secret[Any]]

    def perform(self) -> list[QueryResult]:
        """Return the results, in the order of ``keys``."""
        # Site code (managers, converters) may set context variables, which the next query must not see.
        return contextvars.Context().run(_perform, self)

    def results(self, result: list[QueryResult] | BaseException) -> list[QueryResult]:
        """Return what `perform` returned, or a failure for each key if the thread was ended."""
        return [BROKEN_OFF] * len(self.keys) if isinstance(result, BaseException) else result


@dataclass(eq=False, repr=False, slots=True)
class Batch(Query):
    """A query for requests on an event loop, and the callback for the results.

    ``on_results`` is called on ``loop`` with the results, in the order of ``keys``, unless the loop closes or the batch
    is abandoned.
    """

    loop: AbstractEventLoop
    # Event loops log the arguments of slow or failing callbacks, and a model's `repr` may contain its token.
    on_results: Callable[[Secret[list[QueryResult]]], object]

    def deliver(self, result: list[QueryResult] | BaseException) -> None:
        """Pass the results to ``on_results``."""
        call_on_loop(self.loop, self.on_results, Secret(self.results(result)))


_pools = WorkerPools(
    lambda alias: WorkerPool(f"async_oauth_guard reads {alias}", max_threads=1, max_abandoned=MAX_ABANDONED)
)


def submit(query: Query) -> bool:
    """Queue ``query`` for the thread of its alias. Return ``False`` if too many threads of the alias are stuck."""
    return _pools[query.alias].submit(query)


def abandon(query: Query) -> bool:
    """Abandon ``query`` after its deadline and the thread that is stuck with it. Return ``False`` if it has results."""
    return query.pool.abandon(query, replace=True)


def close() -> None:
    """Stop the reading threads and close their connections. See `workers.WorkerPools.close`."""
    _pools.close()


def _perform(query: Query) -> list[QueryResult]:
    results: list[QueryResult] = []
    try:
        # The plain keys are in no local variable.
        results = query_all(query.queryset, query.field, [key.reveal() for key in query.keys], query.alias)
    except BaseException as error:
        # Even an error that ends the thread (site code may call `sys.exit()`) must give the waiting requests a result.
        results = [failure_of(error)] * len(query.keys)
    finally:
        # Check for failures first: if the alias does not exist, there is no connection to look up.
        if not results or any(isinstance(each, Failure) for each in results) or not _is_kept(connections[query.alias]):
            close_connections()
    return results


def _is_kept(connection: BaseDatabaseWrapper) -> bool:
    settings = connection.settings_dict
    # With a connection pool, closing returns the connection to the pool. Without autocommit, the next query would see
    # the snapshot of this one. In tests, an open connection prevents Django from dropping the test database.
    return not settings["OPTIONS"].get("pool") and settings["AUTOCOMMIT"] and not hasattr(mail, "outbox")
