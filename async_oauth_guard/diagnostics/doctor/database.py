"""Examines a table of a database: whether rows can be looked up in it, and how fast."""

import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connections
from django.db.models import Field, Model

from ...errors import TemporarilyUnavailableError
from ...protocol.secrets import Secret
from ...runtime.run import run
from ...validators.clock import CLOCK
from ...validators.token_lookup import find_row_flow, lookup_key
from ...validators.token_table import RowSource, is_indexed
from .examination import Finding, ok, problem, warning

__all__ = ["examine_rows"]

_SLOW_LOOKUP = 0.1
"""Seconds. A lookup that takes longer is worth a warning."""


def examine_rows(rows: RowSource, things: str) -> Iterator[Finding]:
    """Report whether ``things`` can be looked up in their table, and whether an index keeps the lookup fast."""
    try:
        column, model = rows.column, rows.model
    except ImproperlyConfigured as error:
        yield problem(f"{error}.", "Correct the option. See the check async_oauth_guard.E003.", fault="model")
        return
    alias = rows.ask_for(Secret("")).queryset.db
    if alias not in [*connections]:
        yield problem(f"There is no database {alias!r}.", "Correct using= or the database router.", fault="alias")
        return
    try:
        yield from _examine_table(rows, model, column.field, alias, things)
    except (DatabaseError, TemporarilyUnavailableError, ImproperlyConfigured) as error:
        cause = error.__cause__ if isinstance(error, TemporarilyUnavailableError) else error
        # Report only the class: messages of drivers may contain the connection parameters.
        yield problem(
            f"The database {alias!r} cannot be queried ({type(cause).__name__}).",
            f"Start it, or correct DATABASES[{alias!r}]. `manage.py dbshell --database {alias}` shows the error.",
            fault="database",
        )


def _examine_table(
    rows: RowSource, model: type[Model], field: "Field[Any, Any]", alias: str, things: str
) -> Iterator[Finding]:
    name, column = model._meta.db_table, str(field.column)
    table = _read_table(alias, name)
    facts = {"database": alias, "table": name, "column": column}
    migrate = (
        f"Run `manage.py migrate --database {alias}`. If there is nothing to migrate, check whether the model has all "
        "its migrations (`makemigrations --check`), and whether the table was changed by hand."
    )
    if table is None:
        yield problem(f"The database {alias!r} has no table {name}.", migrate, fault="table", **facts)
        return
    if column not in table.columns:
        yield problem(f"The table {name} has no column {column}.", migrate, fault="column", **facts)
        return
    has_index = column in table.indexed
    seconds = _time_of_lookup(rows)
    took = "" if seconds is None else f" A lookup took {seconds * 1000:.1f} ms."
    if not has_index and not table.is_view:
        yield problem(
            f"No index of the table {name} begins with {column}, so each request reads the whole table.{took}",
            f"{migrate} The model declares the index."
            if is_indexed(field, model)
            else f"Set unique=True or db_index=True on {model._meta.label}.{field.name}, and add a migration.",
            fault="index",
            **facts,
        )
    elif seconds is not None and seconds > _SLOW_LOOKUP:
        yield warning(
            f"Looking up {things} in {name} is slow{f', although {column} has an index' if has_index else ''}.{took}",
            _SLOW_TABLE if has_index else _SLOW_VIEW,
            fault="slow",
            **facts,
        )
    else:
        known = (
            f"{name}.{column} has an index" if has_index else f"{name} is a database view; its tables may have an index"
        )
        yield ok(f"{known}.{took}", **facts)


_SLOW_TABLE = "Check the database's load and the network, and let the database analyse the table."
_SLOW_VIEW = "Check whether the tables of the view have an index. Check the database's load and the network."


@dataclass(frozen=True, slots=True)
class _Table:
    """A table or view as the database describes it: its columns, and the columns with which an index begins."""

    columns: set[str]
    indexed: set[str]
    is_view: bool


def _read_table(alias: str, name: str) -> _Table | None:
    introspection = connections[alias].introspection
    with connections[alias].cursor() as cursor:
        # "t" is a table, "p" a partitioned table, and "v" a view. A view has no index unless it is materialized.
        kinds = {each.name: each.type for each in introspection.get_table_list(cursor)}
        if name not in kinds:
            return None
        columns = {each.name for each in introspection.get_table_description(cursor, name)}
        constraints = introspection.get_constraints(cursor, name).values()
    searched = [each for each in constraints if each["index"] or each["unique"] or each["primary_key"]]
    return _Table(columns, {each["columns"][0] for each in searched if each["columns"]}, kinds[name] == "v")


def _time_of_lookup(rows: RowSource) -> float | None:
    """Seconds for the lookup of a token that cannot exist, or ``None`` if no random token fits the column."""
    candidates: tuple[Callable[[], str], ...] = (
        lambda: "oauth-doctor-" + secrets.token_urlsafe(32),
        lambda: uuid.uuid4().hex,
        lambda: str(secrets.randbits(31)),
    )
    tokens = (Secret(make()) for make in candidates)
    token = next((each for each in tokens if lookup_key(each, rows.column) is not None), None)
    if token is None:
        return None
    began = CLOCK.steady()
    run(find_row_flow(token, rows.column, rows.ask_for))
    return CLOCK.steady() - began
