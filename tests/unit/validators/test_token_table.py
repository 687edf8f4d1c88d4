"""Looks up rows by one column."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.validators.token_table import RowSource
from tests.site.models import OAuth2Token, TenantToken, tenant

KEY = Secret("key")


def source(model: Any = OAuth2Token, lookup: str = "access_token", **options: Any) -> RowSource:
    return RowSource(lambda: model, lookup, **options)


def test_model_is_resolved_at_the_first_lookup() -> None:
    """The model is resolved once, at the first lookup, because apps may not be loaded before."""
    requested: list[str] = []

    def get_model() -> Any:
        requested.append("requested")
        return OAuth2Token

    rows = RowSource(get_model, "access_token")
    assert requested == []
    rows.ask_for(KEY)
    rows.ask_for(KEY)
    assert requested == ["requested"]


def test_rows() -> None:
    """A lookup has the column, the key as a secret, and the group that may share its query."""
    rows = source()
    row = rows.ask_for(KEY)
    assert (row.field, row.key, row.group) == ("access_token", KEY, rows)
    assert row.queryset.model is OAuth2Token
    assert "key" not in repr(row).replace("key=<secret>", "")


def test_columns_by_their_attribute() -> None:
    """A foreign key is compared by its own column."""
    assert source(OAuth2Token, "user").ask_for(KEY).field == "user_id"


@pytest.mark.parametrize("argument", ["lookup", "user_lookup"])
def test_columns_that_are_not_there(argument: str) -> None:
    """R134: the message names the argument as the user wrote it."""
    with pytest.raises(ImproperlyConfigured, match=rf"^{argument} must name a field of auth.User, got 'nickname'$"):
        _ = source(User, "nickname", argument=argument).column


def test_digests() -> None:
    """The column may contain digests."""
    assert source(digest="sha256").column.digest == "sha256"
    assert source().column.digest is None


RELATED: list[tuple[Any, Any, Any]] = [
    (OAuth2Token, None, {"user": {}}),
    (OAuth2Token, (), False),
    (OAuth2Token, "user", {"user": {}}),
    (OAuth2Token, ["user"], {"user": {}}),
    (User, None, False),
]


@pytest.mark.parametrize(("model", "select_related", "expected"), RELATED)
def test_what_is_loaded_with_a_row(model: Any, select_related: Any, expected: Any) -> None:
    """The user is loaded with the row if the model has one, unless other relations are named."""
    row = source(model, "id", select_related=select_related).ask_for(KEY)
    assert row.queryset.query.select_related == expected


def test_databases() -> None:
    """A given queryset keeps its database and filters. Otherwise the alias counts, or else the routers."""
    given = OAuth2Token.objects.using("other").filter(revoked=False)
    requested = source(queryset=given).ask_for(KEY).queryset
    assert (requested.db, "revoked" in str(requested.query)) == ("other", True)
    assert requested is not given
    assert source(using="other").ask_for(KEY).queryset.db == "other"
    assert source().ask_for(KEY).queryset.db == "default"


class NarrowQuerySet(models.QuerySet[Any]):
    def filter(self, *args: Any, **kwargs: Any) -> Any:
        return super().filter(*args, **kwargs)


class DressedQuerySet(models.QuerySet[Any]):
    def active(self) -> Any:
        return self.filter(revoked=False)


COALESCING: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"coalesce": False}, False),
    ({"coalesce": True}, True),
    ({"queryset": models.QuerySet(OAuth2Token)}, True),
    ({"queryset": DressedQuerySet(OAuth2Token)}, True),
    ({"queryset": NarrowQuerySet(OAuth2Token)}, False),
    ({"model": TenantToken}, False),
    ({"model": TenantToken, "coalesce": True}, True),
    ({"model": User, "lookup": "username"}, True),
]


@pytest.mark.parametrize(("options", "expected"), COALESCING)
def test_coalescing(options: dict[str, Any], expected: bool) -> None:
    """Lookups share queries unless the site's code creates or filters the querysets. ``coalesce`` overrides this."""
    rows = source(**options)
    assert rows.coalesces is expected
    assert (rows.ask_for(KEY).group is not None) is expected


def test_groups_of_querysets_of_their_own_way() -> None:
    """If a manager may depend on the request, only lookups with the same SQL share a query."""
    rows = source(TenantToken, coalesce=True)
    groups = []
    for name in ("a", "b", "a"):
        reset = tenant.set(name)
        groups.append(rows.ask_for(KEY).group)
        tenant.reset(reset)
    assert groups[0] == groups[2]
    assert groups[0] != groups[1]
    assert groups[0] != source(TenantToken, coalesce=True).ask_for(KEY).group


@pytest.mark.parametrize(
    "queryset",
    [
        models.QuerySet(TenantToken).none(),
        models.QuerySet(TenantToken).prefetch_related("user"),
        NarrowQuerySet(TenantToken),
    ],
    ids=["nothing", "prefetching", "own methods"],
)
def test_querysets_that_share_no_query(queryset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Querysets with properties that their SQL does not show share no query."""
    monkeypatch.setattr(type(TenantToken.objects), "get_queryset", lambda self: queryset.all())
    assert source(TenantToken, coalesce=True).ask_for(KEY).group is None


class ByAnotherName(models.Model):
    access_token = models.CharField(max_length=9)
    rows: Any = models.Manager()

    class Meta:
        app_label = "nowhere"


def test_managers_of_another_name() -> None:
    """A model whose manager is not called ``objects`` is queried through its default manager."""
    assert source(ByAnotherName).ask_for(KEY).queryset.model is ByAnotherName
    assert source(ByAnotherName, using="other").ask_for(KEY).queryset.db == "other"


@pytest.mark.parametrize("lookup", ["groups", "oauth2_provider_accesstoken"])
def test_what_is_no_column(lookup: str) -> None:
    """A relation that is stored in another table is not a column."""
    with pytest.raises(
        ImproperlyConfigured, match=rf"^user_lookup must name a column, but auth\.User\.{lookup} has none$"
    ):
        _ = source(User, lookup, argument="user_lookup").column
