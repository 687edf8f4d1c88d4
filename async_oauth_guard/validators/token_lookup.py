"""Finds the row of a token in the database."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import CharField, Field, IntegerField, Model

from ..errors import InvalidTokenError, Reason
from ..protocol import logs
from ..protocol.credentials import MAX_TOKEN_LENGTH, is_encodable
from ..protocol.rules import Rule, Trace, reported
from ..protocol.secrets import Secret
from ..runtime.effects import Flow, Row

__all__ = ["LOOKUP", "LookupColumn", "find_row_flow", "lookup_key"]

logger = logging.getLogger("async_oauth_guard.database")


@dataclass(frozen=True, slots=True)
class LookupColumn:
    """The column that is compared with tokens, and the ``hashlib`` name of its digest, if it contains digests."""

    field: "Field[Any, Any]"
    digest: str | None


def lookup_key(token: Secret[str], column: LookupColumn) -> Secret[Any] | None:
    """The value of the column for ``token``, or ``None`` if the column cannot hold it, so no query is needed."""
    # This string has a safe repr. The plain string is created within a call below, so no local variable holds it.
    text = token.reveal()
    # An empty string must not match: some tables leave the column empty and store a digest in another. PostgreSQL
    # refuses NUL, and no database can encode a lone surrogate.
    if not text or "\0" in text or not (text.isascii() or is_encodable(text)):
        return None
    if column.digest is not None:
        return Secret(hashlib.new(column.digest, text.encode()).hexdigest())
    if isinstance(column.field, CharField) and len(text) > (column.field.max_length or MAX_TOKEN_LENGTH):
        return None
    try:
        key = Secret(column.field.to_python(str(text)))
        if isinstance(column.field, IntegerField):
            # Databases raise an error for a value that is out of range, instead of finding no row.
            column.field.run_validators(key.reveal())
        return key
    except (ValidationError, ValueError):
        # For example, the token is not a UUID, but the column contains UUIDs.
        return None


def find_row_flow(
    token: Secret[str], column: LookupColumn, ask_for: Callable[[Secret[Any]], Row], trace: Trace | None = None
) -> Flow[Model | None]:
    """The only row that contains ``token``, or ``None``. ``ask_for`` returns the lookup for a key.

    Raises:
        InvalidTokenError: several rows contain it, so its user is ambiguous.
        TemporarilyUnavailableError: the database had an outage.
    """
    lookup = _Lookup(lookup_key(token, column), ask_for)
    for rule in LOOKUP if trace is None else reported(LOOKUP, trace):
        reason = (yield from rule.check(lookup)) if rule.is_flow else rule.check(lookup)
        if reason is Reason.AMBIGUOUS_TOKEN:
            raise InvalidTokenError(reason=reason)
        if reason is not None:
            return None
    return lookup.rows[0]


# Error pages print the repr of local variables. Do not show querysets, because their repr runs the query.
@dataclass(slots=True, repr=False)
class _Lookup:
    """The subject of the rules for a lookup."""

    # A secret, or `None` if the column cannot hold it.
    key: Any
    ask_for: Callable[[Secret[Any]], Row]
    rows: Sequence[Model] = ()

    def fetch_flow(self) -> Flow[None]:
        self.rows = yield self.ask_for(self.key)

    def check_one(self) -> Reason | None:
        if len(self.rows) < 2:
            return None
        reason, table = Reason.AMBIGUOUS_TOKEN, self.rows[0]._meta.label
        what = "%s has two rows for one access token; both are refused"
        logs.write(logger, logging.ERROR, what, table, extra={"reason": reason})
        return reason


def _form_of(column: LookupColumn) -> str:
    kind = type(column.field).__name__
    length = "" if column.digest else getattr(column.field, "max_length", None) or ""
    return f"{kind}({length})" if length else kind


LOOKUP: Sequence[Rule[_Lookup, LookupColumn]] = (
    Rule(
        "the column can hold it",
        lambda lookup: Reason.UNKNOWN_TOKEN if lookup.key is None else None,
        asks_for=_form_of,
    ),
    Rule("database answers", _Lookup.fetch_flow, is_flow=True),
    Rule("one row has it, not two", _Lookup.check_one),
    Rule(
        "a row has it",
        lambda lookup: None if lookup.rows else Reason.UNKNOWN_TOKEN,
        asks_for=lambda column: f"in {column.field.model._meta.label}.{column.field.name}",
    ),
)
"""The rules for finding a row."""
