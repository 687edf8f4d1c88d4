"""Errors as others see them: of the right class, new each time, and without a token."""

import traceback
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, OperationalError, ProgrammingError, connections

from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.runtime.database.failures import OVERDUE, failure_of, outage_of
from async_oauth_guard.runtime.database.lookup import read_rows
from tests.rows.conftest import look_up, make_tokens, row, settle

TOKEN = "S3cr3t-token-of-somebody"


class UnprintableError(Exception):
    """Its argument cannot be written."""

    def __str__(self) -> str:
        raise ValueError(TOKEN)


def shown(error: BaseException) -> str:
    """All that an error page or a log could show of ``error``."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format()) + repr(error) + repr(error.__cause__) + repr(error.__context__)


WITHHELD = "<message withheld: it may quote a token>"


def caused_by_driver() -> OperationalError:
    error = OperationalError(TOKEN)
    error.__cause__ = LookupError(TOKEN)
    return error


@pytest.mark.parametrize(
    ("original", "arguments"),
    [
        (ProgrammingError(f"no such thing: {TOKEN}"), (WITHHELD,)),
        (ProgrammingError(1146, f"Table 'tokens' does not exist, not even for {TOKEN}"), (1146, WITHHELD)),
        (ProgrammingError(99_999, "x"), (99_999, WITHHELD)),
        (DataError(100_000), (WITHHELD,)),
        (DataError(-1), (WITHHELD,)),
        (OperationalError(), (WITHHELD,)),
        (ValueError(1146), (WITHHELD,)),
        (UnprintableError(), (WITHHELD,)),
        (caused_by_driver(), (f"LookupError: {WITHHELD}",)),
    ],
)
def test_messages_are_withheld(original: Exception, arguments: tuple[Any, ...]) -> None:
    """Databases quote the query, so of an error only its class and the database's error code are kept."""
    assert (type(error := failure_of(original).error()), error.args) == (type(original), arguments)
    assert TOKEN not in shown(error)
    cause = outage_of(original).error().__cause__
    assert (type(cause), cause.args) == (type(original), arguments)  # type: ignore[union-attr]


def test_each_error_is_new() -> None:
    """No two waiters raise the same instance."""
    failure = failure_of(ValueError("x"))
    assert failure.error() is not failure.error()
    assert OVERDUE.error() is not OVERDUE.error()


def test_where_a_bug_was_raised_is_told_without_locals() -> None:
    """The original traceback is gone, but its lines are noted."""
    try:
        raise ValueError("x")
    except ValueError as caught:
        error = failure_of(caught).error()
    assert error.__traceback__ is None
    assert 'raise ValueError("x")' in error.__notes__[0]


class DemandingError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


@pytest.mark.parametrize(
    ("original", "text"),
    [
        (DemandingError(TOKEN, "b"), f"DemandingError: {WITHHELD}"),
        (ValidationError("bad %(value)s", "invalid", {"value": TOKEN}), f"ValidationError: {WITHHELD}"),
        (StopIteration(TOKEN), f"StopIteration: {WITHHELD}"),
        (SystemExit(TOKEN), f"SystemExit: {WITHHELD}"),
        (KeyboardInterrupt(), f"KeyboardInterrupt: {WITHHELD}"),
    ],
)
def test_errors_that_cannot_be_made_again_are_named(original: BaseException, text: str) -> None:
    """An exception with other arguments, or that would break a coroutine or end a thread, becomes a RuntimeError."""
    error = failure_of(original).error()
    assert type(error) is RuntimeError
    assert str(error) == text
    assert TOKEN not in shown(error)


def test_outage_has_a_cause_for_logs() -> None:
    """The answer says nothing of it, the log does."""
    error = outage_of(OperationalError(f"lost connection while asking for {TOKEN}")).error()
    assert isinstance(error, TemporarilyUnavailableError)
    assert error.reason is Reason.DATABASE_UNAVAILABLE
    assert isinstance(error.__cause__, OperationalError)
    assert error.__cause__.args == (WITHHELD,)


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
