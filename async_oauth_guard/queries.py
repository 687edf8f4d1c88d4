"""One query for one or more keys, on this thread: rows matched exactly, one retry on a new connection.

Errors are returned: an exception's traceback shows the locals of every frame it passed, and these hold the keys.
"""

import pickle
from collections.abc import Sequence
from typing import Any, TypeAlias

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from .effects import OUTAGES
from .failures import Failure, failure_of, outage_of

__all__ = ["Answer", "answer_all", "answer_one"]

Answer: TypeAlias = list[Model] | Failure
_TypedKey: TypeAlias = tuple[type, Any]

# One more than one is refused anyway.
_MOST_ROWS = 2


def answer_one(queryset: QuerySet[Model], field: str, key: Any) -> Answer:
    """The first two rows of ``queryset`` whose ``field`` is exactly ``key``, read from the database that it names."""
    try:
        # Here, since a router is users' code like the rest.
        rows = _read(queryset, field, [key], queryset.db)
        name = _attribute_name(queryset, field)
        return [row for row in rows if _is_exactly(getattr(row, name), key)][:_MOST_ROWS]
    except OUTAGES as error:
        return outage_of(error, [key])
    except Exception as error:
        return failure_of(error, [key])


def answer_all(queryset: QuerySet[Model], field: str, keys: Sequence[Any], alias: str) -> list[Answer]:
    """As `answer_one` for each of ``keys`` (hashable), in their order, with one query of the database ``alias``.

    No two answers share an instance.
    """
    try:
        return [*_read_each(queryset, field, keys, alias)]
    except OUTAGES as error:
        return [outage_of(error, keys)] * len(keys)
    except Exception as error:
        if len(keys) == 1:
            return [failure_of(error, keys)]
    # The reason may be one key or one row, so each gets what it would have got alone.
    return [answer for key in keys for answer in answer_all(queryset, field, [key], alias)]


def _read_each(queryset: QuerySet[Model], field: str, keys: Sequence[Any], alias: str) -> list[list[Model]]:
    typed_keys = [(type(key), key) for key in keys]
    rows = _read(queryset, field, [key for _, key in dict.fromkeys(typed_keys)], alias)
    name = _attribute_name(queryset, field)
    # Databases may compare without regard to case or trailing spaces; Python does not.
    found: dict[_TypedKey, list[Model]] = {}
    for row in rows:
        value = getattr(row, name)
        found.setdefault((type(value), value), []).append(row)
    # Rows that were prefetched together may share what was prefetched.
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
                # A quarter of what `copy.deepcopy` takes for each copy, and supported by Django's models.
                pickled[key] = pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
            rows = pickle.loads(pickled[key])  # noqa: S301 -- our own bytes, which never left this thread
        taken.add(key)
        handed_out.append(rows)
    return handed_out


def _read(queryset: QuerySet[Model], field: str, keys: list[Any], alias: str) -> list[Model]:
    connection = connections[alias]
    # The request chose the database; a router would choose anew, and without the request's context.
    wanted = queryset.using(alias).filter(**{f"{field}__in": keys})
    try:
        return list(wanted)
    except OUTAGES:
        if not _is_dead(connection):
            raise
        _replace(connection)
    return list(wanted)


def _is_dead(connection: BaseDatabaseWrapper) -> bool:
    # Inside a transaction a new connection would not do, and without a connection there is nothing to replace.
    if connection.connection is None or connection.in_atomic_block or not connection.get_autocommit():
        return False
    # PyMySQL's ping(), which is what Django asks, would connect anew behind our back and call that usable.
    was_closed_by_driver = not getattr(connection.connection, "open", True)
    return was_closed_by_driver or not connection.is_usable()


def _replace(connection: BaseDatabaseWrapper) -> None:
    connection.close()
    pool: Any = getattr(connection, "pool", None)
    # What ended one connection has often ended its siblings, and the pool would hand out the next dead one.
    if hasattr(pool, "check"):
        with connection.wrap_database_errors:
            pool.check()


def _attribute_name(queryset: QuerySet[Model], field: str) -> str:
    column: Any = queryset.model._meta.get_field(field)
    return str(column.attname)


def _is_exactly(value: Any, key: Any) -> bool:
    return type(value) is type(key) and bool(value == key)
