"""What stands between a site's guards and its own cache and databases."""

import secrets
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import BaseCache, caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connections
from django.db.models import Field, Model

from ..credentials import Secret
from ..effects import CacheDelete, CacheRead, CacheWrite, Flow, Once
from ..errors import TemporarilyUnavailableError
from ..flows.database import find_row_flow, lookup_key
from ..runtime import run
from ..shared_cache import DONE_WITHOUT
from ..validators.remote import CLOCK
from ..validators.row_source import RowSource, is_indexed
from .examination import Finding, not_applicable, ok, overhearing, trouble, warning

__all__ = ["examine_cache", "examine_rows"]

# Seconds: to write, to read and to delete one entry. Each has a deadline of its own, which is shorter.
_CACHE_TIMEOUT = 5.0
_ENTRY_SECONDS = 60
_SLOW_LOOKUP = 0.1
_SHARED = (DatabaseCache, FileBasedCache, BaseMemcachedCache, RedisCache)


# --- the cache ---


def examine_cache(alias: str | None, has_remote: bool) -> Iterator[Finding]:
    """Whether what one worker learns of keys and tokens is there for the others."""
    if alias is None:
        because = (
            'each worker learns for itself what servers say (OAUTH_GUARD["CACHE"] is not set)'
            if has_remote
            else "tokens in a database are looked up for each request"
        )
        yield not_applicable(f"No cache is used: {because}.")
        return
    backend = caches[alias]
    facts = {"alias": alias, "backend": type(backend).__name__}
    what = f"The cache {alias!r} ({facts['backend']})"
    if isinstance(backend, DummyCache):
        yield warning(f"{what} keeps nothing.", _SHARE, fault="dummy", **facts)
        return
    began = CLOCK.steady()
    with overhearing() as said:
        is_kept = run(_round_trip_flow(alias))
    milliseconds = round((CLOCK.steady() - began) * 1000, 1)
    if not is_kept:
        yield trouble(
            f"{what} {_failure_of(alias, said)}.",
            f"Start its server, install the client library that its backend needs, or correct CACHES[{alias!r}]. Until "
            "then each worker asks servers for itself.",
            fault="cache",
            **facts,
        )
    elif isinstance(backend, LocMemCache):
        yield warning(f"{what} is local to one worker: no other sees what is in it.", _SHARE, fault="local", **facts)
    else:
        yield ok(f"{what} {_reach_of(backend)}; an entry went there and back in {milliseconds} ms.", **facts)


# In the names of errors, and in our own words.
_UNREACHABLE = ("Connect", "Timeout", "no answer")


def _failure_of(alias: str, said: Sequence[str]) -> str:
    before = DONE_WITHOUT % (alias, "")
    failure = next((line.removeprefix(before) for line in said if line.startswith(before)), None)
    if failure is None:
        return "did not give back what was put there: nothing was found"
    return f"cannot be {'reached' if any(each in failure for each in _UNREACHABLE) else 'used'} ({failure})"


_SHARE = (
    'Name in OAUTH_GUARD["CACHE"] a cache that workers share (Redis, Memcached, a database); with one worker, leave '
    "the key out."
)


def _reach_of(backend: BaseCache) -> str:
    if isinstance(backend, FileBasedCache):
        return "is shared by the workers of one machine"
    return "is shared by all workers" if isinstance(backend, _SHARED) else "is of a class that is not known here"


def _round_trip_flow(alias: str) -> Flow[bool]:
    key, text = f"async_oauth_guard:doctor:{secrets.token_hex(16)}", secrets.token_hex(16)

    def flow() -> Flow[bool]:
        yield CacheWrite(alias, key, text, _ENTRY_SECONDS)
        found = yield CacheRead(alias, key)
        yield CacheDelete(alias, key)
        return bool(found == text)

    is_kept: bool = yield Once(object(), flow, _CACHE_TIMEOUT)
    return is_kept


# --- databases ---


def examine_rows(rows: RowSource, things: str) -> Iterator[Finding]:
    """Whether ``things`` can be looked up in their table, and fast however many there are."""
    try:
        column, model = rows.column, rows.model
    except ImproperlyConfigured as error:
        yield trouble(f"{error}.", "Correct the option: see the check async_oauth_guard.E003.", fault="model")
        return
    alias = rows.ask_for(Secret("")).queryset.db
    if alias not in [*connections]:
        yield trouble(f"There is no database {alias!r}.", "Correct using=, or the database router.", fault="alias")
        return
    try:
        yield from _examine_table(rows, model, column.field, alias, things)
    except (DatabaseError, TemporarilyUnavailableError, ImproperlyConfigured) as error:
        cause = error.__cause__ if isinstance(error, TemporarilyUnavailableError) else error
        # By its class alone: messages of drivers may quote how they connect.
        yield trouble(
            f"The database {alias!r} cannot be asked ({type(cause).__name__}).",
            f"Start it, or correct DATABASES[{alias!r}]; `manage.py dbshell --database {alias}` shows what it says.",
            fault="database",
        )


def _examine_table(
    rows: RowSource, model: type[Model], field: "Field[Any, Any]", alias: str, things: str
) -> Iterator[Finding]:
    name, column = model._meta.db_table, str(field.column)
    table = _read_table(alias, name)
    facts = {"database": alias, "table": name, "column": column}
    migrate = (
        f"Run `manage.py migrate --database {alias}`. Where that finds nothing to do, look whether the model has all "
        "its migrations (`makemigrations --check`), and whether the table was changed by hand."
    )
    if table is None:
        yield trouble(f"The database {alias!r} has no table {name}.", migrate, fault="table", **facts)
        return
    if column not in table.columns:
        yield trouble(f"The table {name} has no column {column}.", migrate, fault="column", **facts)
        return
    has_index = column in table.indexed
    seconds = _time_of_lookup(rows)
    took = "" if seconds is None else f" A lookup took {seconds * 1000:.1f} ms."
    if not has_index and not table.is_view:
        yield trouble(
            f"No index of the table {name} begins with {column}, so each request reads all of it.{took}",
            f"{migrate} The model has the index."
            if is_indexed(field, model)
            else f"Give {model._meta.label}.{field.name} unique=True or db_index=True, and make a migration.",
            fault="index",
            **facts,
        )
    elif seconds is not None and seconds > _SLOW_LOOKUP:
        yield warning(
            f"To look up {things} in {name} takes long{f', though {column} has an index' if has_index else ''}.{took}",
            _SLOW_TABLE if has_index else _SLOW_VIEW,
            fault="slow",
            **facts,
        )
    else:
        known = f"{name}.{column} has an index" if has_index else f"{name} is a view, whose tables may have an index"
        yield ok(f"{known}.{took}", **facts)


_SLOW_TABLE = "Look at the database's load and at the network, and have it analyse the table."
_SLOW_VIEW = "Look whether the tables below the view have an index, and at the database's load and the network."


@dataclass(frozen=True, slots=True)
class _Table:
    """What the database has under the name of a table: its columns, and those with which an index begins."""

    columns: set[str]
    indexed: set[str]
    is_view: bool


def _read_table(alias: str, name: str) -> _Table | None:
    introspection = connections[alias].introspection
    with connections[alias].cursor() as cursor:
        # "t" is a table, "p" one in partitions, "v" a view, which has no index of its own unless it is materialized.
        kinds = {each.name: each.type for each in introspection.get_table_list(cursor)}
        if name not in kinds:
            return None
        columns = {each.name for each in introspection.get_table_description(cursor, name)}
        constraints = introspection.get_constraints(cursor, name).values()
    searched = [each for each in constraints if each["index"] or each["unique"] or each["primary_key"]]
    return _Table(columns, {each["columns"][0] for each in searched if each["columns"]}, kinds[name] == "v")


def _time_of_lookup(rows: RowSource) -> float | None:
    """Seconds that the lookup of a token takes that cannot exist; ``None`` where the column holds none of ours."""
    made_up: tuple[Callable[[], str], ...] = (
        lambda: "oauth-doctor-" + secrets.token_urlsafe(32),
        lambda: uuid.uuid4().hex,
        lambda: str(secrets.randbits(31)),
    )
    tokens = (Secret(make()) for make in made_up)
    token = next((each for each in tokens if lookup_key(each, rows.column) is not None), None)
    if token is None:
        return None
    began = CLOCK.steady()
    run(find_row_flow(token, rows.column, rows.ask_for))
    return CLOCK.steady() - began
