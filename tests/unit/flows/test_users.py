"""For whom a token speaks."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Field

from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import Call, Row
from async_oauth_guard.errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.database import LookupColumn
from async_oauth_guard.flows.users import call_for_user_flow, check_user, find_user_flow
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


@pytest.mark.parametrize(("field", "value", "key"), [("username", "alice", "alice"), ("id", "7", 7)])
def test_found(field: str, value: str, key: Any) -> None:
    """The one user whose field holds the claim is found with one look-up."""
    user, effects = find(value, [ALICE], field=field)
    assert user is ALICE
    (effect,) = effects
    assert effect.key.reveal() == key


@pytest.mark.parametrize(
    ("rows", "reason"),
    [([], Reason.UNKNOWN_USER), ([ALICE, ALICE], Reason.UNKNOWN_USER), ([GONE], Reason.INACTIVE_USER)],
    ids=["nobody", "two", "not active"],
)
def test_refused(rows: list[User], reason: Reason) -> None:
    """A token that speaks for nobody whom we know, for two, or for somebody who is not active, is no good."""
    with pytest.raises(InvalidTokenError) as caught:
        find("alice", rows)
    assert caught.value.reason == reason


@pytest.mark.parametrize("value", [None, 7, True, ["alice"], {"a": 1}, "", "a\0", "\ud800", "x" * 151], ids=repr)
def test_no_query_for_what_no_column_holds(value: Any) -> None:
    """R34: a claim that is no string, or cannot be in the column, is nobody's name, and costs no query."""
    with pytest.raises(InvalidTokenError) as caught:
        find(value)
    assert caught.value.reason == Reason.UNKNOWN_USER


def test_number_that_is_none() -> None:
    """A subject that is no number is no primary key, and costs no query."""
    with pytest.raises(InvalidTokenError):
        find("seven", field="id")


def test_outage() -> None:
    """E21: what the database could not tell is no verdict."""
    error = TemporarilyUnavailableError()
    with pytest.raises(TemporarilyUnavailableError) as caught:
        find("alice", error)
    assert caught.value is error


def test_call() -> None:
    """A callable of the site's finds the user by claims that are its own to change."""
    claims = {"sub": "alice", "roles": ["a"], "deep": {"list": [1]}}

    def lookup(own: Any) -> Any:
        own["roles"].append("b")
        own["deep"]["list"].clear()
        own.clear()
        return ALICE

    user, effects = drive(call_for_user_flow(lookup, claims), PERFORM)
    assert user is ALICE
    assert [type(effect) for effect in effects] == [Call]
    assert claims == {"sub": "alice", "roles": ["a"], "deep": {"list": [1]}}


@pytest.mark.parametrize(("user", "reason"), [(None, Reason.UNKNOWN_USER), (GONE, Reason.INACTIVE_USER)])
def test_call_that_finds_nobody(user: Any, reason: Reason) -> None:
    """Nobody, and somebody who is not active, make the token no good."""
    with pytest.raises(InvalidTokenError) as caught:
        drive(call_for_user_flow(lambda claims: user, {}), PERFORM)
    assert caught.value.reason == reason


def test_users_of_other_kinds() -> None:
    """A user without `is_active` counts as active."""
    user = SimpleNamespace(name="alice")
    assert check_user(user) is user
