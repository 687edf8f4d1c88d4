"""Runs one query for one or more keys on this thread: rows match exactly, and a dead connection may be replaced once.

Errors are returned, not raised: a traceback gives access to the locals of each frame, and these hold the keys.
"""

import pickle
from collections.abc import Sequence
from typing import Any, TypeAlias

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from ..effects import OUTAGES
from . import statements
from .failures import Failure, failure_of, outage_of

__all__ = ["QueryResult", "query_all", "query_one"]

QueryResult: TypeAlias = list[Model] | Failure
_TypedKey: TypeAlias = tuple[type, Any]

# Two rows suffice to see that a key is ambiguous.
_MOST_ROWS = 2


def query_one(
    queryset: QuerySet[Model], field: str, key: Any, alias: str, *, may_reconnect: bool = True
) -> QueryResult:
    """Return the first two rows of database ``alias`` whose ``field`` is exactly ``key``."""
    try:
        rows = _read(queryset, field, [key], alias, may_reconnect=may_reconnect)
        name = _attribute_name(queryset, field)
        return [row for row in rows if _is_exactly(getattr(row, name), key)][:_MOST_ROWS]
    except OUTAGES as error:
        return outage_of(error)
    except Exception as error:
        return failure_of(error)


def query_all(queryset: QuerySet[Model], field: str, keys: Sequence[Any], alias: str) -> list[QueryResult]:
    """Return what `query_one` returns for each of ``keys`` (hashable), in order, with one query of database ``alias``.

    No two results share a model instance.
    """
    if len(keys) == 1:
        return [query_one(queryset, field, keys[0], alias)]
    try:
        return [*_read_each(queryset, field, keys, alias)]
    except OUTAGES as error:
        return [outage_of(error)] * len(keys)
    except Exception:
        # One key or one row may have caused the error, so look up each key separately.
        return [query_one(queryset, field, key, alias) for key in keys]


def _read_each(queryset: QuerySet[Model], field: str, keys: Sequence[Any], alias: str) -> list[list[Model]]:
    typed_keys = [(type(key), key) for key in keys]
    rows = _read(queryset, field, [key for _, key in dict.fromkeys(typed_keys)], alias)
    name = _attribute_name(queryset, field)
    # Databases may ignore case or trailing spaces in comparisons. Python does not.
    found: dict[_TypedKey, list[Model]] = {}
    for row in rows:
        value = getattr(row, name)
        found.setdefault((type(value), value), []).append(row)
    # Rows that were prefetched together may share the prefetched instances, so all keys get copies.
    taken = set(typed_keys) if getattr(queryset, "_prefetch_related_lookups", ()) else set()
    return _hand_out(found, typed_keys, taken)


def _hand_out(
    found: dict[_TypedKey, list[Model]], typed_keys: list[_TypedKey], taken: set[_TypedKey]
) -> list[list[Model]]:
    handed_out = []
    pickled: dict[_TypedKey, bytes] = {}
    for key in typed_keys:
        rows = found.get(key, [])[:_MOST_ROWS]
        if rows and key in taken:
            if key not in pickled:
                # Django's models support pickling, and a copy takes a quarter of the time of `copy.deepcopy`.
                pickled[key] = pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
            rows = pickle.loads(pickled[key])  # noqa: S301 -- pickled above; the bytes never leave this thread
        taken.add(key)
        handed_out.append(rows)
    return handed_out


def _read(
    queryset: QuerySet[Model], field: str, keys: list[Any], alias: str, *, may_reconnect: bool = True
) -> list[Model]:
    connection = connections[alias]
    try:
        return _rows(queryset, field, keys, alias)
    except OUTAGES:
        if not (may_reconnect and _is_dead(connection)):
            raise
        _replace(connection)
    return _rows(queryset, field, keys, alias)


def _rows(queryset: QuerySet[Model], field: str, keys: list[Any], alias: str) -> list[Model]:
    rows = statements.read(queryset, field, keys, alias)
    if rows is not None:
        return rows
    # The request chose the database. A router would choose again here, without the request's context.
    return list(queryset.using(alias).filter(**{f"{field}__in": keys}))


def _is_dead(connection: BaseDatabaseWrapper) -> bool:
    # A new connection cannot continue a transaction, and without a connection there is nothing to replace.
    if connection.connection is None or connection.in_atomic_block or not connection.get_autocommit():
        return False
    # Django calls PyMySQL's ping(), which would reconnect unnoticed and then report the connection as usable.
    was_closed_by_driver = not getattr(connection.connection, "open", True)
    return was_closed_by_driver or not connection.is_usable()


def _replace(connection: BaseDatabaseWrapper) -> None:
    connection.close()
    pool: Any = getattr(connection, "pool", None)
    # If one connection of a pool died, others often died too, and the pool would hand out the next dead one.
    if hasattr(pool, "check"):
        with connection.wrap_database_errors:
            pool.check()


def _attribute_name(queryset: QuerySet[Model], field: str) -> str:
    column: Any = queryset.model._meta.get_field(field)
    return str(column.attname)


def _is_exactly(value: Any, key: Any) -> bool:
    return type(value) is type(key) and bool(value == key)
