"""Errors as others see them: of the right class, new each time, and without a token."""

import time
import traceback
import uuid
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, OperationalError, ProgrammingError, connections

from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.failures import OVERDUE, failure_of, outage_of
from async_oauth_guard.rows import read_rows
from tests.rows.conftest import look_up, make_tokens, row, settle

TOKEN = "S3cr3t-token-of-somebody"


def shown(error: BaseException) -> str:
    """All that an error page or a log could show of ``error``."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format()) + repr(error) + repr(error.__cause__) + repr(error.__context__)


@pytest.mark.parametrize(
    "message",
    [
        f"no such thing: {TOKEN}",
        f"LINE 1: ... WHERE token IN ('{TOKEN[:12]}",
        f"near '{TOKEN[5:]}' at line 1",
        f"no such thing: {TOKEN.upper()}",
    ],
)
def test_messages_show_no_token_nor_a_piece_of_one(message: str) -> None:
    """Databases quote values whole, cut off, and in another case."""
    for failure in (failure_of(ProgrammingError(message), [TOKEN, "x"]), outage_of(OperationalError(message), [TOKEN])):
        text = shown(failure.error())
        assert not any(TOKEN[i : i + 8].lower() in text.lower() for i in range(len(TOKEN) - 7))


def test_the_rest_of_a_message_is_kept() -> None:
    """Who has to mend the table learns what is wrong, with the database's error code."""
    error = failure_of(ProgrammingError(1146, f"Table 'tokens' does not exist, not even for {TOKEN}"), [TOKEN]).error()
    assert type(error) is ProgrammingError
    assert error.args == (1146, "Table 'tokens' does not exist, not even for <token>")


def test_other_forms_of_a_key_are_removed_too() -> None:
    """A UUID may be written without dashes, and text with its escapes."""
    key = uuid.uuid4()
    assert failure_of(DataError(f"bad {key.hex} {key}"), [key]).error().args == ("bad <token> <token>",)
    assert failure_of(DataError(r"bad a\nb"), ["a\nb", ""]).error().args == ("bad <token>",)


def test_forms_of_a_binary_key_are_removed_too() -> None:
    """Databases write bytes as hexadecimal digits or as they are."""
    key = b"S3cr3t-\xff"
    assert failure_of(DataError(r"bad \x5333637233742dff, S3cr3t-\xff"), [key]).error().args == (
        r"bad \x<token>, <token>",
    )


def test_keys_of_one_character_do_not_eat_what_took_the_place_of_others() -> None:
    """Whatever keys share a batch, a message does not grow with their number."""
    assert failure_of(DataError("to"), [*"token"]).error().args == ("<token><token>",)


@pytest.mark.parametrize("count", [1, 100])
def test_messages_are_not_searched_for_very_long_tokens(count: int) -> None:
    """A batch of the longest tokens takes no processor time to speak of; the message is withheld, and its code kept."""
    keys = [f"{number:05}" * 12_000 for number in range(count)]
    start = time.thread_time()
    failure = outage_of(OperationalError(2013, "Lost connection " * 100 + keys[0][:20]), keys)
    assert time.thread_time() - start < 0.1
    assert failure.arguments == (2013, "<message withheld: too long to be searched for tokens>")


def test_usual_batches_are_searched() -> None:
    """A full batch of tokens of the usual length leaves a message in the log."""
    keys = [f"{number:05}" * 10 for number in range(100)]
    start = time.thread_time()
    assert outage_of(OperationalError("lost connection " * 100), keys).arguments == ("lost connection " * 100,)
    assert time.thread_time() - start < 0.1


class UnprintableError(Exception):
    """Its argument cannot be written."""

    def __init__(self) -> None:
        super().__init__(self)

    def __str__(self) -> str:
        raise ValueError(TOKEN)


def test_error_that_cannot_be_printed_is_an_error_all_the_same() -> None:
    """What users' classes do when asked for their text ends no thread, and shows no token."""
    error = failure_of(UnprintableError(), [TOKEN]).error()
    assert type(error) is RuntimeError
    assert str(error) == "UnprintableError: <message withheld: it cannot be printed>"
    assert TOKEN not in shown(error)


def test_each_error_is_new() -> None:
    """No two waiters raise the same instance."""
    failure = failure_of(ValueError("x"), [])
    assert failure.error() is not failure.error()
    assert OVERDUE.error() is not OVERDUE.error()


def test_where_a_bug_was_raised_is_told_without_locals() -> None:
    """The original traceback is gone, but its lines are noted."""
    try:
        raise ValueError("x")
    except ValueError as caught:
        error = failure_of(caught, [TOKEN]).error()
    assert error.__traceback__ is None
    assert 'raise ValueError("x")' in error.__notes__[0]


class DemandingError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


@pytest.mark.parametrize(
    ("original", "text"),
    [
        (DemandingError(TOKEN, "b"), "DemandingError: <token>"),
        (ValidationError("bad %(value)s", "invalid", {"value": TOKEN}), "ValidationError: bad %(value)s: invalid: "),
        (StopIteration(TOKEN), "StopIteration: <token>"),
        (SystemExit(TOKEN), "SystemExit: <token>"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_errors_that_cannot_be_made_again_are_named(original: BaseException, text: str) -> None:
    """What has arguments of its own, or would break a coroutine or end a thread, becomes a RuntimeError."""
    error = failure_of(original, [TOKEN]).error()
    assert type(error) is RuntimeError
    assert str(error).startswith(text)
    assert TOKEN not in shown(error)


def test_outage_has_a_cause_for_logs() -> None:
    """The answer says nothing of it, the log does."""
    error = outage_of(OperationalError(f"lost connection while asking for {TOKEN}"), [TOKEN]).error()
    assert isinstance(error, TemporarilyUnavailableError)
    assert error.reason is Reason.DATABASE_UNAVAILABLE
    assert isinstance(error.__cause__, OperationalError)
    assert error.__cause__.args == ("lost connection while asking for <token>",)


@pytest.fixture
def broken(alias: str) -> Any:
    """A database whose token table has lost a column."""
    make_tokens(alias, TOKEN)
    table = "site_oauth2token"
    with connections[alias].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME COLUMN scope TO was_scope")
    yield alias
    with connections[alias].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME COLUMN was_scope TO scope")


async def test_shared_lookup_shows_no_token_when_the_database_fails(broken: str) -> None:
    """Whatever the database has to say about a query, nobody learns the token from it."""
    errors = await settle(*(look_up(row(broken, key)) for key in (TOKEN, TOKEN, TOKEN + "2", "3" + TOKEN)))
    assert {type(error) for error in errors} <= {ProgrammingError, TemporarilyUnavailableError}
    for error in errors:
        assert TOKEN not in shown(error)
        assert error.__context__ is None


def test_sync_lookup_shows_no_token_when_the_database_fails(broken: str) -> None:
    """See the shared one."""
    with pytest.raises((ProgrammingError, TemporarilyUnavailableError)) as caught:
        read_rows(row(broken, TOKEN))
    # From the library's own frame on: this test's holds the token.
    caught.value.__traceback__ = caught.tb.tb_next
    assert TOKEN not in shown(caught.value)
    assert caught.value.__context__ is None
