"""Performs `effects.Row`: on this thread, or, under ASGI, batched with the lookups of other requests."""

import asyncio
from collections.abc import Hashable

from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async
from django.db import connections
from django.db.models import Model

from ..effects import OUTAGES, Row
from . import batching, sync_batching, threads
from .failures import Failure, failure_of, outage_of
from .queries import QueryResult, query_one

__all__ = ["aread_rows", "close", "read_rows"]


def read_rows(row: Row) -> list[Model]:
    """Return the rows that match ``row``, at most two.

    Under an ASGI server, lookups with the same group share queries, unless this thread has a connection. Otherwise the
    lookup uses this thread's connection and open transaction.

    Raises:
        TemporarilyUnavailableError: the database could not respond.
        Exception: a bug. It has the class that the query or a database router raised, but it is a new instance that
            contains no token. It is never a StopIteration: a future cannot hold one, and under Python 3.11 and early
            3.12 `aread_rows` would wait forever.
    """
    return _rows(_read(row, may_share=_is_request_thread() and _may_share(row)))


def _read_on_this_thread(row: Row) -> list[Model]:
    return _rows(_read(row, may_share=False))


_read_on_request_thread = sync_to_async(_read_on_this_thread, thread_sensitive=True)


async def aread_rows(row: Row) -> list[Model]:
    """See `read_rows`. Lookups with the same group share queries, unless a transaction may be open on the thread."""
    if _is_own_executor_next() and _may_share(row):
        return await batching.join(row)
    return await _read_on_request_thread(row)


def _rows(response: QueryResult) -> list[Model]:
    if isinstance(response, Failure):
        raise response.error()
    return response


def _read(row: Row, *, may_share: bool) -> QueryResult:
    try:
        # This may call a database router, which is site code.
        alias = row.queryset.db
    except OUTAGES as error:
        return outage_of(error)
    except Exception as error:
        return failure_of(error)
    if may_share and not _has_connection(alias) and not _is_in_memory(alias):
        return sync_batching.read(row, alias)
    # A lookup that shares no query may depend on what the site has set on this connection, such as a `search_path`.
    return query_one(row.queryset, row.field, row.key.reveal(), alias, may_reconnect=row.group is not None)


def _may_share(row: Row) -> bool:
    return row.group is not None and isinstance(row.key.reveal(), Hashable)


def _is_own_executor_next() -> bool:
    # True if `sync_to_async` would use a thread that belongs to this request alone, so no transaction is open on it.
    # This follows `SyncToAsync.__call__` in asgiref. Older versions of asgiref cannot be given an executor.
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None or getattr(context, "_executor", None) is not None:
        return False
    return getattr(AsyncToSync.executors, "current", None) is None


def _is_request_thread() -> bool:
    # ASGI servers set this context. WSGI, commands and test clients do not. On the thread of an event loop, Django
    # refuses the query, and waiting would block the loop.
    return SyncToAsync.thread_sensitive_context.get(None) is not None and asyncio._get_running_loop() is None


def _has_connection(alias: str) -> bool:
    # An open connection is cheap, and may hold a transaction, a `search_path` or locks. In `atomic`, Django refuses
    # queries on a connection that was closed.
    return any(
        connection.alias == alias and (connection.connection is not None or connection.in_atomic_block)
        for connection in connections.all(initialized_only=True)
    )


def _is_in_memory(alias: str) -> bool:
    # Each connection may have a database of its own. This is how Django recognises them.
    name = str(connections.databases.get(alias, {}).get("NAME"))
    return ":memory:" in name or "mode=memory" in name


def close() -> None:
    """Stop the reading threads and close their connections, for test teardown. The next lookup starts new threads."""
    threads.close()
