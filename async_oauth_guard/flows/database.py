"""A token in the database: from string to row."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import CharField, Field, IntegerField, Model

from .. import logs
from ..credentials import MAX_TOKEN_LENGTH, Secret, is_encodable
from ..effects import Flow, Row
from ..errors import InvalidTokenError, Reason

__all__ = ["LookupColumn", "find_row_flow", "lookup_key"]

logger = logging.getLogger("async_oauth_guard.database")


@dataclass(frozen=True, slots=True)
class LookupColumn:
    """The column that tokens are looked up in, and the ``hashlib`` name of the digest that it holds, if any."""

    field: "Field[Any, Any]"
    digest: str | None


def lookup_key(token: Secret[str], column: LookupColumn) -> Secret[Any] | None:
    """What the column holds of ``token``, or ``None`` where it cannot hold it, so that nobody need ask."""
    # Its repr shows nothing; the plain string is made below, within a call, so that no frame of ours holds it.
    text = token.reveal()
    # An empty column is no token's: some tables have it beside a digest. PostgreSQL refuses NUL, and no database can
    # encode a lone surrogate.
    if not text or "\0" in text or not (text.isascii() or is_encodable(text)):
        return None
    if column.digest is not None:
        return Secret(hashlib.new(column.digest, text.encode()).hexdigest())
    if isinstance(column.field, CharField) and len(text) > (column.field.max_length or MAX_TOKEN_LENGTH):
        return None
    try:
        key = Secret(column.field.to_python(str(text)))
        if isinstance(column.field, IntegerField):
            # Databases refuse what is out of range, instead of finding nothing.
            column.field.run_validators(key.reveal())
        return key
    except (ValidationError, ValueError):
        # Such as what is no UUID, for a column of UUIDs.
        return None


def find_row_flow(
    token: Secret[str], column: LookupColumn, ask_for: Callable[[Secret[Any]], Row]
) -> Flow[Model | None]:
    """The one row that holds ``token``, or ``None``. ``ask_for`` says where to look for a key.

    Raises:
        InvalidTokenError: several rows hold it, so that nobody can tell whose it is.
        TemporarilyUnavailableError: the database could not be asked.
    """
    key = lookup_key(token, column)
    if key is None:
        return None
    # No queryset among the locals: error pages print these, and the repr of a queryset is what it finds.
    rows: list[Model] = yield ask_for(key)
    if len(rows) > 1:
        reason, table = Reason.AMBIGUOUS_TOKEN, rows[0]._meta.label
        what = "%s has two rows for one access token; both are refused"
        logs.write(logger, logging.ERROR, what, table, extra={"reason": reason})
        raise InvalidTokenError(reason=reason)
    return rows[0] if rows else None
