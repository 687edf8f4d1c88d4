"""``BearerTokenValidator``: its options and its lookups."""

import re
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import Row
from tests.site.models import AnyTenantToken, HashedToken, LoginSession, OAuth2Token, TenantToken, UUIDToken, tenant
from tests.unit.driving import drive


def asked_for(validator: BearerTokenValidator, token: str = "abc") -> Row:
    """The lookup that the validator requests."""
    _, (effect,) = drive(validator.authenticate_flow(Secret(token)), [])
    assert isinstance(effect, Row)
    return effect


def sql(validator: BearerTokenValidator) -> str:
    return str(asked_for(validator).queryset.query)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"token_model": 7}, TypeError, "^token_model must be a model or its label, got 7"),
    ({"token_model": None}, TypeError, "^token_model must be a model or its label, got None"),
    ({"token_model": dict}, TypeError, "^token_model must be a model or its label, got <class 'dict'>"),
    ({"token_model": OAuth2Token()}, TypeError, "^token_model must be a model or its label"),
    ({"digest": "sha257"}, ValueError, "^digest must be the name of a hashlib algorithm .*, got 'sha257'"),
    ({"digest": "shake_128"}, ValueError, "^digest must be .*, got 'shake_128'$"),
    (
        {"using": "other", "queryset": OAuth2Token.objects.all()},
        ValueError,
        "^using and queryset must not both be given",
    ),
    ({"realm": "é"}, ValueError, "^realm must be printable ASCII"),
    ({"server": "é"}, ValueError, "^server must be printable ASCII"),
    ({"scope": "x"}, ValueError, "'scope'"),
    ({"token_format": "("}, ValueError, "^token_format must be .*unterminated"),
    ({"token_format": 7}, TypeError, "token_format must be a regular expression"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_wrong_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """R134: an invalid option is refused when the validator is created."""
    with pytest.raises(error, match=message):
        BearerTokenValidator(**{"token_model": OAuth2Token, **options})


MISTAKEN = [
    ("Lookup", "; did you mean 'lookup'?"),
    ("clientsecret", "; did you mean 'client_secret'?"),
    ("issuer", "; it is an option of IntrospectTokenValidator and JWTBearerTokenValidator"),
    ("client_secret", "; it is an option of IntrospectTokenValidator"),
    ("api_key", ", and every client would see it as a parameter of the challenge"),
]


@pytest.mark.parametrize(("name", "message"), MISTAKEN)
@pytest.mark.parametrize(
    "make",
    [lambda **options: BearerTokenValidator(OAuth2Token, **options), BearerTokenValidator.for_django_oauth_toolkit],
)
def test_unknown_options(make: Any, name: str, message: str) -> None:
    """A misspelt option does not become a challenge parameter, which every client sees."""
    with pytest.raises(TypeError) as caught:
        make(**{name: "hunter2"})
    assert str(caught.value) == f"{name}: BearerTokenValidator has no such option{message}"


def test_constructor_that_does_not_call_ours() -> None:
    """R134: a constructor that does not call ours is refused at registration, not by an ``AttributeError`` later."""
    cls: Any = type("Own", (BearerTokenValidator,), {"__init__": lambda self: None})
    with pytest.raises(TypeError, match=r"^Own.__init__\(\) must call super\(\).__init__\(\)$"):
        ResourceProtector(cls())


def test_options_of_the_challenge() -> None:
    """The realm and further keywords become challenge parameters."""
    assert BearerTokenValidator(OAuth2Token).realm is None
    assert BearerTokenValidator.for_django_oauth_toolkit().realm is None
    validator = BearerTokenValidator(OAuth2Token, "r", server="s")
    assert (validator.realm, validator.extra_attributes) == ("r", {"server": "s"})


@pytest.mark.parametrize(
    ("options", "active", "blocking"),
    [({}, True, False), ({"require_active_user": False}, False, False), ({"blocking_methods": True}, True, True)],
)
def test_other_options(options: dict[str, Any], active: bool, blocking: bool) -> None:
    """By default, inactive users are refused and methods are not blocking."""
    validator = BearerTokenValidator(OAuth2Token, **options)
    assert (validator.require_active_user, validator.blocking_methods) == (active, blocking)


@pytest.mark.parametrize("model", [OAuth2Token, "site.OAuth2Token", "site.oauth2token"])
def test_models(model: Any) -> None:
    """A model can be given by its label, which is resolved at first use."""
    assert BearerTokenValidator(model).token_model is OAuth2Token


@pytest.mark.parametrize("label", ["site.Nothing", "nowhere.OAuth2Token", "OAuth2Token", "a.b.c", ""])
def test_labels_of_nothing(label: str) -> None:
    """R134: a label of no model is reported at first use, by the option's name."""
    validator = BearerTokenValidator(label)
    with pytest.raises(
        ImproperlyConfigured, match=f"^token_model must be the label of a model, got '{re.escape(label)}'$"
    ):
        _ = validator.token_model


@pytest.mark.parametrize("lookup", ["token", "access_tokens", "nothing"])
def test_column_that_is_not_there(lookup: str) -> None:
    """R134: a missing column is reported at first use, by the option's name."""
    validator = BearerTokenValidator(OAuth2Token, lookup=lookup)
    with pytest.raises(ImproperlyConfigured, match=f"^lookup must name a field of site.OAuth2Token, got '{lookup}'$"):
        _ = validator.column


COLUMNS: list[tuple[BearerTokenValidator, str, Any]] = [
    (BearerTokenValidator(OAuth2Token), "access_token", "abc"),
    (BearerTokenValidator(OAuth2Token, lookup="client_id"), "client_id", "abc"),
    (
        BearerTokenValidator(HashedToken, lookup="token_hash", digest="sha256"),
        "token_hash",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ),
    (BearerTokenValidator(OAuth2Token, lookup="user"), "user_id", "abc"),
    (BearerTokenValidator(OAuth2Token, lookup="id"), "id", "abc"),
]


@pytest.mark.parametrize(("validator", "field", "key"), COLUMNS[:3])
def test_columns(validator: BearerTokenValidator, field: str, key: str) -> None:
    """The key is compared with the column ``lookup``, as a digest if one is named."""
    row = asked_for(validator)
    assert (row.field, row.key.reveal()) == (field, key)
    assert row.queryset.model is validator.token_model


@pytest.mark.parametrize(
    ("options", "joins"),
    [
        ({}, True),
        ({"select_related": "user"}, True),
        ({"select_related": ["user"]}, True),
        ({"select_related": ()}, False),
        ({"select_related": []}, False),
    ],
)
def test_related_rows(options: dict[str, Any], joins: bool) -> None:
    """The user is loaded with the row, unless ``select_related`` says otherwise."""
    assert ("JOIN" in sql(BearerTokenValidator(OAuth2Token, **options))) == joins


def test_models_without_a_user() -> None:
    """A model without a relation ``user`` loads nothing else."""

    class Userless(models.Model):
        access_token = models.CharField(max_length=9)

        class Meta:
            app_label = "nowhere"

    class Named(models.Model):
        access_token = models.CharField(max_length=9)
        user = models.CharField(max_length=9)

        class Meta:
            app_label = "nowhere"

    for model in (Userless, Named):
        assert "JOIN" not in sql(BearerTokenValidator(model))


def test_iterators_of_related_rows() -> None:
    """``select_related`` may be an iterator, and applies to every request."""
    validator = BearerTokenValidator(OAuth2Token, select_related=iter(["user"]))
    assert sql(validator) == sql(validator)
    assert "JOIN" in sql(validator)


def test_querysets() -> None:
    """A queryset keeps its filters and its database, and is not evaluated."""
    queryset = OAuth2Token.objects.using("default").filter(client_id="c")
    row = asked_for(BearerTokenValidator(OAuth2Token, queryset=queryset))
    assert "client_id" in str(row.queryset.query.where)
    assert "JOIN" in str(row.queryset.query)
    assert row.queryset is not queryset
    assert queryset._result_cache is None


def test_using() -> None:
    """``using`` replaces the routers' choice."""
    assert asked_for(BearerTokenValidator(OAuth2Token, using="other")).queryset.db == "other"
    assert asked_for(BearerTokenValidator(OAuth2Token)).queryset.db == "default"


def test_using_and_a_manager_of_its_own() -> None:
    """``using`` keeps the manager's filters."""
    row = asked_for(BearerTokenValidator(TenantToken, using="other"))
    assert row.queryset.db == "other"
    assert "tenant" in str(row.queryset.query.where)


FORMATS: list[tuple[Any, str, bool]] = [
    (None, "anything", True),
    ("[a-f]+", "abc", True),
    ("[a-f]+", "abcx", False),
    ("[a-f]+", "xabc", False),
    ("a|ab", "ab", True),
    (re.compile("[A-F]+", re.IGNORECASE), "abc", True),
    ("", "", True),
    ("", "a", False),
]


@pytest.mark.parametrize(("token_format", "token", "expected"), FORMATS)
def test_token_format(token_format: Any, token: str, expected: bool) -> None:
    """R12: the whole token must match. Other tokens cause no query."""
    assert BearerTokenValidator(OAuth2Token, token_format=token_format).recognises(token) is expected


@pytest.mark.parametrize("token", ["x" * 256, "a\0b", "\ud800"])
def test_no_query_for_what_the_column_cannot_hold(token: str) -> None:
    """R12: a token that the column cannot hold causes no query."""
    assert drive(BearerTokenValidator(OAuth2Token).authenticate_flow(Secret(token))) == (None, [])
    assert drive(BearerTokenValidator(UUIDToken).authenticate_flow(Secret("no uuid"))) == (None, [])


class OrderedQuerySet(models.QuerySet[Any]):
    """Adds methods, and overrides none."""

    def newest(self) -> Any:
        return self.order_by("-pk")


class NarrowQuerySet(models.QuerySet[Any]):
    """Overrides a method, so it may depend on the request."""

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        return super().filter(*args, **kwargs)


class DressedQuerySet(models.QuerySet[Any]):
    """Has only the names that any class statement may define."""

    def __class_getitem__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)


class OwnAll(models.Manager[Any]):
    def all(self) -> Any:
        return super().all()


class OwnUsing(models.Manager[Any]):
    def using(self, alias: str | None) -> Any:
        return super().using(alias)


def managed(manager: Any) -> type[models.Model]:
    """A model with that manager."""
    meta = type("Meta", (), {"app_label": "nowhere"})
    column = models.CharField(max_length=9)
    return type(
        "Managed", (models.Model,), {"__module__": __name__, "Meta": meta, "access_token": column, "objects": manager}
    )


@pytest.mark.filterwarnings("ignore:Model .* was already registered:RuntimeWarning")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: managed(NarrowQuerySet.as_manager()), False),
        (lambda: managed(models.Manager.from_queryset(NarrowQuerySet)()), False),
        (lambda: managed(DressedQuerySet.as_manager()), True),
        (lambda: managed(OwnAll()), False),
        (lambda: managed(OwnUsing()), False),
        (lambda: managed(models.Manager()), True),
    ],
)
def test_managers_that_may_depend_on_the_request(make: Any, expected: bool) -> None:
    """A manager or queryset that overrides a method of Django may depend on the request."""
    assert BearerTokenValidator(make()).coalesces is expected


@pytest.mark.parametrize(
    ("cls", "expected"), [(models.QuerySet, True), (NarrowQuerySet, False), (OrderedQuerySet, True)]
)
def test_querysets_that_may_depend_on_the_request(cls: Any, expected: bool) -> None:
    """A given queryset that overrides a method may depend on the request too."""
    assert BearerTokenValidator(OAuth2Token, queryset=cls(OAuth2Token)).coalesces is expected
    wished = BearerTokenValidator(OAuth2Token, queryset=cls(OAuth2Token), coalesce=True)
    assert (asked_for(wished).group is wished.rows) == expected


def test_no_group_for_what_the_sql_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Querysets that prefetch or override methods share no query."""
    validator = BearerTokenValidator(TenantToken, coalesce=True)
    assert asked_for(validator).group is not None
    manager: Any = type(TenantToken.objects)
    for queryset in (models.QuerySet(TenantToken).prefetch_related("user"), NarrowQuerySet(TenantToken)):
        monkeypatch.setattr(manager, "get_queryset", lambda self, queryset=queryset: queryset.all())
        assert asked_for(validator).group is None


class Plain(models.Model):
    access_token = models.CharField(max_length=9)
    objects = OrderedQuerySet.as_manager()

    class Meta:
        app_label = "nowhere"


class Renamed(models.Model):
    access_token = models.CharField(max_length=9)
    rows: Any = models.Manager()

    class Meta:
        app_label = "nowhere"


COALESCES: list[tuple[BearerTokenValidator, bool]] = [
    (BearerTokenValidator(OAuth2Token), True),
    (BearerTokenValidator(OAuth2Token, coalesce=False), False),
    (BearerTokenValidator(OAuth2Token, coalesce=True), True),
    (BearerTokenValidator(TenantToken), False),
    (BearerTokenValidator(TenantToken, coalesce=True), True),
    (BearerTokenValidator(TenantToken, queryset=AnyTenantToken.objects.all()), True),
    (BearerTokenValidator(TenantToken, queryset=AnyTenantToken.objects.all(), coalesce=False), False),
    (BearerTokenValidator(AnyTenantToken), True),
    (BearerTokenValidator(LoginSession, lookup="id"), True),
    (BearerTokenValidator(Plain), True),
    (BearerTokenValidator(Renamed), True),
]


@pytest.mark.parametrize(("validator", "expected"), COALESCES)
def test_coalescing(validator: BearerTokenValidator, expected: bool) -> None:
    """Lookups share queries, unless the manager may depend on the request. ``coalesce`` overrides this."""
    assert validator.coalesces is expected


def test_managers_of_another_name() -> None:
    """A model whose manager is not called ``objects`` is queried through its default manager."""
    assert asked_for(BearerTokenValidator(Renamed)).queryset.model is Renamed


def test_groups() -> None:
    """A group contains lookups of one validator only."""
    first, second = BearerTokenValidator(OAuth2Token), BearerTokenValidator(OAuth2Token)
    assert asked_for(first).group == asked_for(first, "other").group
    assert asked_for(first).group is not None
    assert asked_for(first).group != asked_for(second).group
    assert asked_for(BearerTokenValidator(OAuth2Token, coalesce=False)).group is None
    assert asked_for(BearerTokenValidator(TenantToken)).group is None


def test_groups_of_tenants() -> None:
    """With a manager that filters, a group has one set of filters, so tenants do not share queries."""
    validator = BearerTokenValidator(TenantToken, coalesce=True)
    groups = []
    for name in ("a", "b", "a"):
        reset = tenant.set(name)
        groups.append(asked_for(validator).group)
        tenant.reset(reset)
    assert groups[0] == groups[2]
    assert groups[0] != groups[1]
    assert groups[0] != asked_for(BearerTokenValidator(TenantToken, coalesce=True)).group
    assert None not in groups


def test_groups_of_managers_that_see_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manager that has no rows for this request shares no query, and finds nothing."""
    validator = BearerTokenValidator(TenantToken, coalesce=True)
    assert validator.coalesces
    manager: Any = type(TenantToken.objects)
    monkeypatch.setattr(manager, "get_queryset", lambda self: models.QuerySet(TenantToken).none())
    assert asked_for(validator).group is None


def test_for_django_oauth_toolkit() -> None:
    """The class also creates the validator for django-oauth-toolkit."""
    validator = BearerTokenValidator.for_django_oauth_toolkit("r", require_active_user=False, server="s")
    assert isinstance(validator, BearerTokenValidator)
    assert (validator.realm, validator.require_active_user, validator.extra_attributes) == ("r", False, {"server": "s"})
