"""Performs `effects.Row`: on this thread, or, on an event loop, together with the lookups of other requests."""

from collections.abc import Hashable

from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async
from django.db.models import Model

from . import batches, reading
from .effects import Row
from .failures import Failure
from .queries import answer_one

__all__ = ["aread_rows", "close", "read_rows"]


def read_rows(row: Row) -> list[Model]:
    """The rows that ``row`` asks for, two at most, on this thread and its connection, within its transaction.

    Raises:
        TemporarilyUnavailableError: the database could not answer.
        Exception: a bug, of the class that the query or a router raised, but a new one that shows no token. It is never
            a StopIteration: no future can hold one, and under Python 3.11 and early 3.12 `aread_rows` would wait for
            ever.
    """
    answer = answer_one(row.queryset, row.field, row.key.reveal())
    if isinstance(answer, Failure):
        raise answer.error()
    return answer


_read_on_request_thread = sync_to_async(read_rows, thread_sensitive=True)


async def aread_rows(row: Row) -> list[Model]:
    """See `read_rows`. Lookups of one group share queries, where no transaction can be open on the request's thread."""
    if row.group is not None and _is_own_executor_next() and isinstance(row.key.reveal(), Hashable):
        return await batches.join(row)
    return await _read_on_request_thread(row)


def _is_own_executor_next() -> bool:
    # Whether `sync_to_async` would use a thread that is this request's alone, so that no transaction is open on it: the
    # rule is asgiref's own (`SyncToAsync.__call__`). Older versions take no executor of others.
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None or getattr(context, "_executor", None) is not None:
        return False
    return getattr(AsyncToSync.executors, "current", None) is None


def close() -> None:
    """End the reading threads and close their connections, for the teardown of tests; the next lookup starts anew."""
    reading.close()
