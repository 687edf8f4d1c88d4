"""Keeps the compiled statements of simple lookups, because compiling one takes longer than executing it.

A lookup is simple if its queryset is Django's own, without filters, annotations or prefetches. All other lookups use
the ORM's public path, and so does whatever goes wrong here: `get_compiler`, `as_sql` and `ModelIterable` are not part
of Django's documented API. The rows are made by Django's own code in any case.
"""

import threading
import weakref
from collections.abc import Sequence
from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.lookups import In
from django.db.models.query import ModelIterable
from django.db.models.sql import Query

from ..effects import OUTAGES

__all__ = ["read"]


class _Prepared:
    """Takes the place of a queryset in `ModelIterable`, with a compiler that has its statement already."""

    def __init__(self, queryset: QuerySet[Model], compiler: Any, alias: str) -> None:
        self.queryset = queryset
        self.compiler = compiler
        self.db = alias
        self.query = self

    def get_compiler(self, using: str) -> Any:
        return self.compiler

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queryset, name)


class _Statements:
    """The statements for a queryset, a column and a database. They are the same for all threads and connections."""

    # Without its connection and its query, which contains keys.
    compiler: Any = None
    # For each thread, a copy of it with the connection of the thread, and with the converters for this connection.
    bound: threading.local

    def __init__(self, queryset: QuerySet[Model], field: str, alias: str) -> None:
        self.field = field
        self.column: Any = queryset.model._meta.get_field(field)
        self.alias = alias
        self.is_simple = _is_simple(queryset) and self.column.get_lookup("in") is In
        # By the number of keys. ``None`` means that the public path must be used.
        self.forget()

    def forget(self) -> None:
        self.sql: dict[int, str | None] = {}
        self.bound = threading.local()

    def rows(self, queryset: QuerySet[Model], keys: Sequence[Any]) -> list[Model] | None:
        connection: Any = connections[self.alias]
        parameters = self.parameters(keys, connection)
        if len(keys) not in self.sql:
            self.sql[len(keys)] = self.compile(queryset, keys, parameters)
        sql = self.sql[len(keys)]
        if sql is None:
            return None
        compiler = _copy(self.bind(connection), as_sql=lambda: (sql, parameters))
        prepared: Any = _Prepared(queryset, compiler, self.alias)
        return list(ModelIterable(prepared))

    def bind(self, connection: BaseDatabaseWrapper) -> Any:
        compiler: Any = getattr(self.bound, "compiler", None)
        if compiler is None or compiler.connection is not connection:
            compiler = self.bound.compiler = _copy(self.compiler, connection=connection)
            converters = compiler.get_converters([column for column, *_ in compiler.select[: compiler.col_count]])
            compiler.get_converters = lambda expressions: converters
        return compiler

    def compile(self, queryset: QuerySet[Model], keys: Sequence[Any], parameters: tuple[Any, ...]) -> str | None:
        wanted = queryset.using(self.alias).filter(**{f"{self.field}__in": keys})
        compiler: Any = wanted.query.get_compiler(self.alias)
        sql, compiled = compiler.as_sql()
        # Another package's compiler may do anything. With other parameters, more than the keys would matter.
        if not type(compiler).__module__.startswith("django.db.") or tuple(compiled) != parameters:
            return None
        compiler.connection = compiler.query = None
        self.compiler = compiler
        return str(sql)

    def parameters(self, keys: Sequence[Any], connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
        prepare = self.column.get_db_prep_value
        return tuple(prepare(self.column.get_prep_value(key), connection, prepared=True) for key in keys)


# A validator keeps its queryset, unless requests make their own.
_statements: weakref.WeakKeyDictionary[QuerySet[Model], dict[tuple[str, str], _Statements]] = (
    weakref.WeakKeyDictionary()
)


def read(queryset: QuerySet[Model], field: str, keys: Sequence[Any], alias: str) -> list[Model] | None:
    """Return the rows of database ``alias`` whose ``field`` is among ``keys``, which must be distinct.

    Return ``None`` if the public path must be used.
    """
    kept = _statements.setdefault(queryset, {})
    statements = kept.get((field, alias)) or kept.setdefault((field, alias), _Statements(queryset, field, alias))
    if not statements.is_simple:
        return None
    try:
        return statements.rows(queryset, keys)
    except OUTAGES:
        statements.forget()
        raise
    except Exception:
        # The public path raises the same error if the site or the database caused it.
        statements.forget()
        return None


def _copy(compiler: Any, **attributes: Any) -> Any:
    # `copy.copy` takes four times as long.
    copied = object.__new__(type(compiler))
    vars(copied).update(vars(compiler), **attributes)
    return copied


def _is_simple(queryset: QuerySet[Model]) -> bool:
    query: Any = queryset.query
    return (
        type(queryset) is QuerySet
        and type(query) is Query
        and queryset._iterable_class is ModelIterable
        and not queryset._prefetch_related_lookups  # type: ignore[attr-defined]
        and not (query.where or query.annotations or query.select_for_update)
    )


def _forget_all(**_: Any) -> None:
    # Which converters there are may depend on settings, such as `USE_TZ`.
    _statements.clear()


setting_changed.connect(_forget_all, dispatch_uid="async_oauth_guard.forget_statements")
