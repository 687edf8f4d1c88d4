"""Finds the user of a remote token."""

import uuid
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Field
from django.utils.functional import SimpleLazyObject

from async_oauth_guard.errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import Call, ReadModel, Row
from async_oauth_guard.validators.token_lookup import LookupColumn
from async_oauth_guard.validators.users import call_for_user_flow, check_email, compares_email, find_user_flow
from tests.unit.driving import PERFORM, drive

ALICE = User(pk=7, username="alice")
GONE = User(pk=8, username="gone", is_active=False)
QUERYSET = User.objects.all()


def column(name: str) -> LookupColumn:
    field: Field[Any, Any] = User._meta.get_field(name)  # type: ignore[assignment]
    return LookupColumn(field, None)


def ask_for(key: Secret[Any]) -> Row:
    return Row(QUERYSET, "username", key, "users")


def find(value: Any, *replies: Any, field: str = "username") -> Any:
    return drive(find_user_flow(value, column(field), ask_for), *replies)


def find_by(field: Any, value: str, row: Any) -> Any:
    return drive(find_user_flow(value, LookupColumn(field, None), ask_for), [row], PERFORM)[0]


@pytest.mark.parametrize(("field", "value", "key"), [("username", "alice", "alice"), ("id", "7", 7)])
def test_found(field: str, value: str, key: Any) -> None:
    """The only user whose field has the claim's value is found with one lookup."""
    user, effects = find(value, [ALICE], PERFORM, field=field)
    assert user is ALICE
    row, read = effects
    assert row.key.reveal() == key
    assert (read.instance, read.blocking) == (ALICE, False)


@pytest.mark.parametrize(
    ("name", "replies", "reason"),
    [
        ("alice", [[]], Reason.UNKNOWN_USER),
        ("alice", [[ALICE, ALICE]], Reason.UNKNOWN_USER),
        ("gone", [[GONE], PERFORM], Reason.INACTIVE_USER),
    ],
    ids=["unknown", "two", "not active"],
)
def test_refused(name: str, replies: list[Any], reason: Reason) -> None:
    """A token for an unknown, ambiguous or inactive user is refused."""
    with pytest.raises(InvalidTokenError) as caught:
        find(name, *replies)
    assert caught.value.reason == reason


class LowerField(models.CharField):  # type: ignore[type-arg]
    """Accepts any case and stores lower case."""

    def to_python(self, value: Any) -> str:
        return str(value).lower()


def named(field: Any, name: str) -> Any:
    field.set_attributes_from_name(name)
    return field


SOME_UUID = uuid.UUID("12345678-abcd-5678-1234-567812345678")
SPELLINGS: list[tuple[Any, Any, str, list[str]]] = [
    (models.IntegerField(), 12, "12", ["1_2", "+12", " 12", "12 ", "012", "12.0", "١٢", "１２"]),
    (models.IntegerField(), -12, "-12", ["-012", "- 12", "−12"]),
    (models.IntegerField(), 0, "0", ["-0", "+0", "00"]),
    (models.BigIntegerField(), 2**63 - 1, "9223372036854775807", ["9_223372036854775807", "+9223372036854775807"]),
    (
        models.UUIDField(),
        SOME_UUID,
        str(SOME_UUID),
        [SOME_UUID.hex, str(SOME_UUID).upper(), f"{{{SOME_UUID}}}", f"urn:uuid:{SOME_UUID}", f"{SOME_UUID}-"],
    ),
    (
        models.DecimalField(max_digits=6, decimal_places=2),
        Decimal("12.00"),
        "12.00",
        ["12", "12.0", "1.2E+1", "1_2.00"],
    ),
    (models.CharField(max_length=9), "alice", "alice", ["Alice", "alice ", "ALICE"]),
    (LowerField(max_length=9), "alice", "alice", ["Alice", "ALICE"]),
    (models.GenericIPAddressField(), "2001:db8::1", "2001:db8::1", ["2001:DB8::1", "2001:db8:0::1"]),
    (models.BooleanField(), True, "True", ["1", "t", "true"]),
]


@pytest.mark.parametrize(("field", "held", "text", "others"), SPELLINGS, ids=lambda part: str(part)[:30])
def test_spellings(field: Any, held: Any, text: str, others: list[str]) -> None:
    """A claim must be exactly the field's text, although the field converts other texts to the same value."""
    row = SimpleNamespace(field=held, is_authenticated=True)
    named(field, "field")
    assert find_by(field, text, row) is row
    for other in others:
        with pytest.raises(InvalidTokenError) as caught:
            drive(find_user_flow(other, LookupColumn(field, None), lambda key: ask_for(key)), [row])
        assert caught.value.reason == Reason.UNKNOWN_USER


@pytest.mark.parametrize(
    "value", [None, 7, True, ["alice"], {"a": 1}, "", " ", "\t\u2003", "a\0", "\ud800", "x" * 151], ids=repr
)
def test_no_query_for_what_no_column_holds(value: Any) -> None:
    """R34: a claim that is not a string, or that the column cannot hold, names no user and causes no query."""
    with pytest.raises(InvalidTokenError) as caught:
        find(value)
    assert caught.value.reason == Reason.UNKNOWN_USER


def test_number_that_is_none() -> None:
    """A subject that is not a number is not a primary key and causes no query."""
    with pytest.raises(InvalidTokenError):
        find("seven", field="id")


def test_outage() -> None:
    """E21: if the database cannot respond, it is an outage, not a refusal."""
    error = TemporarilyUnavailableError()
    with pytest.raises(TemporarilyUnavailableError) as caught:
        find("alice", error)
    assert caught.value is error


def test_call() -> None:
    """A callable of the site gets its own copy of the claims."""
    claims = {"sub": "alice", "roles": ["a"], "deep": {"list": [1]}}

    def lookup(own: Any) -> Any:
        own["roles"].append("b")
        own["deep"]["list"].clear()
        own.clear()
        return ALICE

    user, effects = drive(call_for_user_flow(lookup, claims), PERFORM, PERFORM)
    assert user is ALICE
    assert [type(effect) for effect in effects] == [Call, ReadModel]
    assert claims == {"sub": "alice", "roles": ["a"], "deep": {"list": [1]}}


@pytest.mark.parametrize(("user", "reason"), [(None, Reason.UNKNOWN_USER), (GONE, Reason.INACTIVE_USER)])
def test_call_that_finds_no_user(user: Any, reason: Reason) -> None:
    """If a callable returns no user, or one that is not active, the token is refused."""
    with pytest.raises(InvalidTokenError) as caught:
        drive(call_for_user_flow(lambda claims: user, {}), PERFORM, PERFORM)
    assert caught.value.reason == reason


def test_users_of_other_kinds() -> None:
    """A user without `is_active` counts as active."""
    user = SimpleNamespace(is_authenticated=True)
    assert drive(call_for_user_flow(lambda claims: user, {}), PERFORM, PERFORM)[0] is user


def test_lazy_user() -> None:
    """A lazy user is resolved where queries are allowed, and the real user is returned."""
    lazy = SimpleLazyObject(lambda: ALICE)
    user, (_, read) = drive(call_for_user_flow(lambda claims: lazy, {}), PERFORM, PERFORM)
    assert type(user) is User
    assert user is ALICE
    assert read.blocking


def test_lookup_with_a_name() -> None:
    """An error about the result of a lookup names the lookup."""
    with pytest.raises(TypeError, match=r"^the result of user_lookup compares_email must be a user .* got str$"):
        drive(call_for_user_flow(compares_email, {}), "alice", PERFORM)


def test_lookup_without_a_name() -> None:
    """An error about the result of a lookup names its type if the lookup has no name."""
    with pytest.raises(TypeError, match=r"^the result of user_lookup partial must be a user .* or None, got bool$"):
        drive(call_for_user_flow(partial(bool), {}), PERFORM, PERFORM)


@pytest.mark.parametrize(
    ("field", "claim", "expected"),
    [
        ("email", "email", True),
        ("email", "upn", True),
        ("username", "email", True),
        ("username", "sub", False),
        ("username", "email_verified", False),
    ],
)
def test_fields_and_claims_of_addresses(field: str, claim: str, expected: bool) -> None:
    """A lookup compares e-mail addresses if the claim or the field is one."""
    assert compares_email(column(field).field, claim) is expected


def test_fields_of_addresses_by_their_type() -> None:
    """An e-mail field may have any name."""
    assert compares_email(named(models.EmailField(), "contact"), "upn")
    assert compares_email(named(models.CharField(), "email"), "upn")
    assert not compares_email(named(models.CharField(), "contact"), "upn")


@pytest.mark.parametrize("claims", [{}, {"email_verified": True}], ids=repr)
def test_addresses(claims: Any) -> None:
    """An address may be looked up if it is verified, or if the token does not say."""
    check_email(claims, column("email").field, "email")


@pytest.mark.parametrize("verified", [False, None, 0, 1, "true", "false"], ids=repr)
def test_addresses_that_are_not_verified(verified: Any) -> None:
    """Any value other than JSON ``true`` refuses an address."""
    with pytest.raises(InvalidTokenError) as caught:
        check_email({"email_verified": verified}, column("email").field, "email")
    assert caught.value.reason == Reason.UNKNOWN_USER
    check_email({"email_verified": verified}, column("username").field, "sub")
