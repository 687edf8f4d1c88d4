"""Kept statements: they are the statements of Django's public path, and whatever is unusual uses that path."""

import gc
import threading
import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connections
from django.db.models import Case, CharField, F, Model, QuerySet, When
from django.db.models.lookups import In
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import override_settings, register_lookup

from async_oauth_guard.runtime.database import queries, statements
from tests.rows.conftest import make_tokens
from tests.site.models import OAuth2Token, TenantToken, UUIDToken

TOKENS = [f"token-{number:03}" for number in range(100)]
NUMBERS = [1, 2, 7, 100]


def fill(alias: str) -> None:
    make_tokens(alias, *TOKENS)
    user = User.objects.using(alias).get()
    TenantToken._base_manager.using(alias).create(access_token="same", tenant="a", user=user)
    TenantToken._base_manager.using(alias).create(access_token="same", tenant="b", groups=["x", {"y": 1}])
    UUIDToken._base_manager.using(alias).bulk_create([UUIDToken(access_token=uuid.UUID(int=1), user=user)])
    kind, _ = ContentType.objects.using(alias).get_or_create(app_label="site", model="token")
    Permission.objects.using(alias).get_or_create(codename="read", content_type=kind)


@pytest.fixture
def filled(alias: str) -> str:
    fill(alias)
    return alias


@pytest.fixture
def site(sqlite: str) -> str:
    fill(sqlite)
    return sqlite


LOOKUPS: dict[str, tuple[QuerySet[Any], str, list[Any]]] = {
    "token and user": (QuerySet(OAuth2Token).select_related("user"), "access_token", TOKENS),
    "token alone": (QuerySet(OAuth2Token), "access_token", ["token-001", "TOKEN-001", "token-001 ", "other"]),
    "two rows for a key": (QuerySet(TenantToken).select_related("user"), "access_token", ["same", "other"]),
    "UUID": (QuerySet(UUIDToken), "access_token", [uuid.UUID(int=number) for number in range(5)]),
    "number": (QuerySet(User), "id", [*range(1, 50)]),
    "user": (QuerySet(User), "username", ["alice", "Alice", "bob"]),
    "default ordering": (QuerySet(Permission).select_related("content_type"), "codename", ["read", "write"]),
    "some columns": (QuerySet(OAuth2Token).defer("scope"), "access_token", TOKENS),
}


def public(queryset: QuerySet[Any], field: str, keys: Sequence[Any], alias: str) -> list[Model]:
    return list(queryset.using(alias).filter(**{f"{field}__in": keys}))


def noting(alias: str, read: Callable[[], list[Model] | None]) -> tuple[list[Model] | None, list[Any]]:
    """What ``read`` returns, and the statements with their parameters that it executes."""
    seen: list[Any] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, tuple(params)))
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(note):
        return read(), seen


def contents(rows: list[Model] | None) -> list[Any]:
    """All that two equal rows have in common, with the related rows that are loaded."""
    assert rows is not None
    return [
        (
            type(row),
            {name: value for name, value in vars(row).items() if name != "_state"},
            (row._state.db, row._state.adding),
            {name: contents([related]) for name, related in row._state.fields_cache.items() if related is not None},
        )
        for row in rows
    ]


@pytest.mark.parametrize("lookup", LOOKUPS.values(), ids=LOOKUPS)
def test_statement_and_rows_are_those_of_the_public_path(
    filled: str, lookup: tuple[QuerySet[Any], str, list[Any]]
) -> None:
    """On every database and Django version, for every number of keys, the first time and later."""
    queryset, field, values = lookup
    queryset = queryset.all()
    for number in NUMBERS:
        keys = values[:number]
        expected, expected_statements = noting(filled, lambda keys=keys: public(queryset, field, keys, filled))
        for _ in range(2):
            rows, executed = noting(filled, lambda keys=keys: statements.read(queryset, field, keys, filled))
            assert executed == expected_statements
            assert contents(rows) == contents(expected)


def test_each_query_makes_new_instances(site: str) -> None:
    """What a kept statement returns is not kept."""
    queryset = QuerySet(OAuth2Token).select_related("user")
    found = [statements.read(queryset, "access_token", ["token-001"], site) for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0][0] is not found[1][0]
    assert found[0][0].user is not found[1][0].user


def test_statement_of_one_thread_serves_another(site: str) -> None:
    """A statement outlives the connection and the thread that compiled it."""
    queryset = QuerySet(OAuth2Token).select_related("user")
    found: list[Any] = []

    def look_up() -> None:
        found.append(statements.read(queryset, "access_token", ["token-001"], site))
        connections.close_all()

    for _ in range(2):
        thread = threading.Thread(target=look_up)
        thread.start()
        thread.join()
    assert contents(found[0]) == contents(found[1])


def test_statements_are_compiled_once(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each number of keys, Django compiles one statement."""
    compiled = []
    as_sql = SQLCompiler.as_sql

    def count(self: Any, *args: Any, **options: Any) -> Any:
        compiled.append(self)
        return as_sql(self, *args, **options)

    monkeypatch.setattr(SQLCompiler, "as_sql", count)
    queryset = QuerySet(OAuth2Token)
    for keys in (["a"], ["b"], ["a", "b"], ["c", "d"]):
        assert queries.query_all(queryset, "access_token", keys, site) == [[]] * len(keys)
    assert len(compiled) == 2


def test_converters_are_made_once_for_each_connection(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django looks up how to convert the columns once, and again when the thread has another connection."""
    asked = []
    get_converters = SQLCompiler.get_converters

    def note(self: Any, expressions: Any) -> Any:
        asked.append(self.connection)
        return get_converters(self, expressions)

    monkeypatch.setattr(SQLCompiler, "get_converters", note)
    queryset = QuerySet(OAuth2Token).select_related("user")
    first = connections[site]
    found = [statements.read(queryset, "access_token", ["token-001"], site) for _ in range(2)]
    assert asked == [first]
    connections[site] = first.copy()
    try:
        found.append(statements.read(queryset, "access_token", ["token-001"], site))
        assert asked == [first, connections[site]]
    finally:
        connections[site].close()
        connections[site] = first
    assert contents(found[0]) == contents(found[1]) == contents(found[2])


def test_changed_settings_are_noticed(site: str) -> None:
    """Which converters a column has may depend on settings."""
    queryset = QuerySet(OAuth2Token)
    statements.read(queryset, "access_token", ["token-001"], site)
    with override_settings(USE_TZ=False):
        assert queryset not in statements._statements


def test_nothing_kept_holds_a_key_or_outlives_its_queryset(site: str) -> None:
    """The statements of a validator end with it, and no token stays in memory with them."""
    queryset = QuerySet(OAuth2Token)
    statements.read(queryset, "access_token", ["token-001"], site)
    (kept,) = statements._statements[queryset].values()
    assert (kept.compiler.query, kept.compiler.connection) == (None, None)
    assert "token-001" not in str(kept.sql)
    seen = weakref.ref(kept)
    del kept, queryset
    gc.collect()
    assert seen() is None


class OwnQuerySet(QuerySet[Any]):
    """A class of the site."""


UNUSUAL: dict[str, Callable[[], QuerySet[Any]]] = {
    "filter": lambda: QuerySet(OAuth2Token).filter(client_id="client"),
    "filter without parameters": lambda: QuerySet(OAuth2Token).filter(user__isnull=False),
    "empty": lambda: QuerySet(OAuth2Token).none(),
    "annotation": lambda: QuerySet(OAuth2Token).annotate(owner=F("user_id")),
    "prefetch": lambda: QuerySet(OAuth2Token).prefetch_related("user"),
    "dictionaries": lambda: QuerySet(OAuth2Token).values("access_token"),
    "class": lambda: OwnQuerySet(OAuth2Token),
    "lock": lambda: QuerySet(OAuth2Token).select_for_update(),
    "slice": lambda: QuerySet(OAuth2Token)[:5],
    "union": lambda: QuerySet(OAuth2Token).union(QuerySet(OAuth2Token)),
    "ordering with parameters": lambda: QuerySet(OAuth2Token).order_by(
        Case(When(client_id="client", then=1), default=2)
    ),
}


@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_querysets_use_the_public_path(site: str, make: Callable[[], QuerySet[Any]]) -> None:
    """No statement is executed for anything but Django's own querysets without filters."""
    rows, executed = noting(site, lambda: statements.read(make(), "access_token", ["token-001"], site))
    assert (rows, executed) == (None, [])


def test_lookups_of_a_site_use_the_public_path(site: str) -> None:
    """A field's own ``__in`` may prepare the keys in another way."""

    class OwnIn(In):
        pass

    with register_lookup(CharField, OwnIn):
        assert statements.read(QuerySet(OAuth2Token), "access_token", ["token-001"], site) is None


def test_compilers_of_other_packages_use_the_public_path(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database backend that is not Django's may compile statements that depend on more than the keys."""

    class OwnCompiler(SQLCompiler):
        pass

    queryset = QuerySet(OAuth2Token)
    with monkeypatch.context() as patch:
        patch.setattr(type(connections[site].ops), "compiler", lambda self, name: OwnCompiler)
        assert statements.read(queryset, "access_token", ["token-001"], site) is None
        ((found,),) = queries.query_all(queryset, "access_token", ["token-001"], site)  # type: ignore[misc]
    assert found.access_token == "token-001"


def test_unexpected_errors_use_the_public_path(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Django's internals change, lookups are slower, and still right."""
    queryset = QuerySet(OAuth2Token)

    def fail(*_: Any) -> None:
        raise AttributeError("select")

    with monkeypatch.context() as patch:
        patch.setattr(statements._Prepared, "get_compiler", fail)
        ((found,),) = queries.query_all(queryset, "access_token", ["token-001"], site)  # type: ignore[misc]
    assert found.access_token == "token-001"
    assert contents(statements.read(queryset, "access_token", ["token-001"], site)) == contents([found])


def test_outage_is_passed_on_and_the_statement_forgotten(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is never hidden by a second query. The next lookup compiles anew."""
    queryset = QuerySet(OAuth2Token)
    assert statements.read(queryset, "access_token", ["token-001"], site)

    def fail(*_: Any) -> None:
        raise OperationalError("no such column")

    with connections[site].execute_wrapper(fail), pytest.raises(OperationalError):
        statements.read(queryset, "access_token", ["token-001"], site)
    (kept,) = statements._statements[queryset].values()
    assert kept.sql == {}
    assert statements.read(queryset, "access_token", ["token-001"], site)
