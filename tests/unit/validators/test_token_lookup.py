"""Finds the row of a token, without a database."""

import hashlib
import logging
import uuid
from typing import Any

import pytest
from django.db import models

from async_oauth_guard.errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.credentials import MAX_TOKEN_LENGTH
from async_oauth_guard.protocol.secrets import PresentedToken, Secret
from async_oauth_guard.runtime.effects import Row
from async_oauth_guard.validators.token_lookup import LookupColumn, find_row_flow, lookup_key
from tests.ids import described
from tests.site.models import OAuth2Token, UUIDToken
from tests.unit.driving import drive

NOTHING = object()
PLAIN = models.CharField(max_length=5)
UNBOUNDED = models.CharField()
TEXT = models.TextField()
UUIDS = models.UUIDField()
SOME_UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")

KEYS: list[tuple[str, Any, str | None, Any]] = [
    ("abcde", PLAIN, None, "abcde"),
    ("abcdef", PLAIN, None, NOTHING),
    ("äöüßé", PLAIN, None, "äöüßé"),
    ("ABC", PLAIN, None, "ABC"),
    ("abc  ", PLAIN, None, "abc  "),
    ("x" * MAX_TOKEN_LENGTH, UNBOUNDED, None, "x" * MAX_TOKEN_LENGTH),
    ("x" * (MAX_TOKEN_LENGTH + 1), UNBOUNDED, None, NOTHING),
    ("x" * (MAX_TOKEN_LENGTH + 1), TEXT, None, "x" * (MAX_TOKEN_LENGTH + 1)),
    ("a\0", PLAIN, None, NOTHING),
    ("\0", PLAIN, "sha256", NOTHING),
    ("\ud800", PLAIN, None, NOTHING),
    ("a\udfff", TEXT, None, NOTHING),
    ("\ud800", PLAIN, "sha256", NOTHING),
    ("a token longer than its column", PLAIN, "sha256", hashlib.sha256(b"a token longer than its column").hexdigest()),
    ("é", PLAIN, "sha512", hashlib.sha512("é".encode()).hexdigest()),
    ("abc", PLAIN, "md5", hashlib.md5(b"abc").hexdigest()),
    (str(SOME_UUID), UUIDS, None, SOME_UUID),
    (SOME_UUID.hex, UUIDS, None, SOME_UUID),
    ("no uuid", UUIDS, None, NOTHING),
    ("é" * 32, UUIDS, None, NOTHING),
    ("12", models.IntegerField(), None, 12),
    ("twelve", models.IntegerField(), None, NOTHING),
    (str(10**30), models.IntegerField(), None, NOTHING),
    (str(2**31 - 1), models.IntegerField(), None, 2**31 - 1),
    (str(2**63), models.BigIntegerField(), None, NOTHING),
    ("", PLAIN, None, NOTHING),
    ("", PLAIN, "sha256", NOTHING),
    ("not base64", models.BinaryField(), None, NOTHING),
]


@pytest.mark.parametrize(("token", "field", "digest", "expected"), KEYS, ids=lambda part: described(part)[:30])
def test_keys(token: str, field: Any, digest: str | None, expected: Any) -> None:
    """R12: the key is the column's value for the token. A token that the column cannot hold causes no query."""
    key = lookup_key(Secret(PresentedToken(token)), LookupColumn(field, digest))
    found = NOTHING if key is None else key.reveal()
    assert found == expected
    assert type(found) is type(expected)


COLUMN = LookupColumn(OAuth2Token._meta.get_field("access_token"), None)
QUERYSET = OAuth2Token.objects.all()


def ask_for(key: Secret[Any]) -> Row:
    return Row(QUERYSET, "access_token", key, "group")


def find(token: str = "abc", *replies: Any) -> Any:
    return drive(find_row_flow(Secret(token), COLUMN, ask_for), *replies)


@pytest.mark.parametrize("row", [OAuth2Token(pk=1), UUIDToken(pk=2)])
def test_one_row(row: Any) -> None:
    """The only row that contains the token is found, with one lookup of exactly the key."""
    found, effects = find("abc", [row])
    assert found is row
    (effect,) = effects
    assert isinstance(effect, Row)
    assert effect.queryset is QUERYSET
    assert (effect.field, effect.key.reveal(), effect.group) == ("access_token", "abc", "group")


def test_no_row() -> None:
    """A token without a row is not an error here."""
    assert find("abc", [])[0] is None


@pytest.mark.parametrize("token", ["a\0", "\ud800", "x" * 256])
def test_no_query_for_what_the_column_cannot_hold(token: str) -> None:
    """R12: a token that the column cannot hold causes no query."""
    assert find(token) == (None, [])


def test_two_rows(caplog: pytest.LogCaptureFixture) -> None:
    """Two rows for one token are refused, and logged as an error that names the model and not the token."""
    with pytest.raises(InvalidTokenError) as caught:
        find("the-token", [OAuth2Token(pk=1, access_token="the-token"), OAuth2Token(pk=2)])
    assert caught.value.reason == Reason.AMBIGUOUS_TOKEN
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("async_oauth_guard.database", logging.ERROR)
    assert record.getMessage() == "site.OAuth2Token has two rows for one access token; both are refused"
    assert vars(record)["reason"] is Reason.AMBIGUOUS_TOKEN


@pytest.mark.parametrize("error", [TemporarilyUnavailableError(), KeyError("a bug")])
def test_errors_go_through(error: Exception) -> None:
    """E21: an error of the lookup is raised, and is not a refusal."""
    with pytest.raises(type(error)) as caught:
        find("abc", error)
    assert caught.value is error


def test_closing() -> None:
    """A flow that is closed during the lookup yields nothing more."""
    flow = find_row_flow(Secret("abc"), COLUMN, ask_for)
    next(flow)
    flow.close()
    assert list(flow) == []
