"""Describes failed queries for requests and logs, without the keys that were looked up.

SQL parameters are in the locals of Django's frames, and databases quote them in error messages. Therefore neither the
original error nor its message is passed on.
"""

import traceback
from dataclasses import dataclass
from typing import Any

from django.db import Error as DatabaseError
from django.db import OperationalError

from ...errors import Reason, TemporarilyUnavailableError

__all__ = ["BROKEN_OFF", "OVERDUE", "REFUSED", "Failure", "failure_of", "outage_of"]

_WITHHELD = "<message withheld: it may quote a token>"
# Error codes of MySQL and MariaDB have at most five digits. A larger number may be a key.
_LARGEST_CODE = 99_999


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that can be raised several times: ``error()`` creates a new exception for each waiting request.

    If it ``is_outage``, the database could not respond, and ``kind`` is the class of the cause. Otherwise it is a bug,
    and ``origin`` shows the lines of code that raised it.
    """

    kind: type[Exception]
    arguments: tuple[Any, ...]
    is_outage: bool
    origin: str = ""

    def error(self) -> Exception:
        """Return a new exception, without traceback and context."""
        try:
            error = self.kind(*self.arguments)
        except Exception:
            # The class needs other arguments, so only its name is reported.
            error = RuntimeError(f"{self.kind.__name__}: {_WITHHELD}")
        if self.is_outage:
            unavailable = TemporarilyUnavailableError(reason=Reason.DATABASE_UNAVAILABLE)
            unavailable.__cause__ = error
            return unavailable
        error.add_note(self.origin)
        return error


OVERDUE = Failure(OperationalError, ("the database did not respond in time",), is_outage=True)
REFUSED = Failure(
    OperationalError,
    ("too many lookups are waiting, or the database did not respond to too many of them",),
    is_outage=True,
)
BROKEN_OFF = Failure(RuntimeError, ("reading rows was aborted",), is_outage=False)


def outage_of(error: Exception) -> Failure:
    """Return the failure for an outage: the database could not respond because of ``error``."""
    return Failure(type(error), _arguments_of(error), is_outage=True)


def failure_of(error: BaseException) -> Failure:
    """Return the failure for a bug. It keeps the class if that can be created again and raised in a coroutine."""
    # The lines of code, without the locals.
    origin = "Raised while reading rows:\n" + "".join(traceback.format_tb(error.__traceback__))
    is_plain = all(type(value) in (str, int) for value in error.args)
    if is_plain and isinstance(error, Exception) and not isinstance(error, StopIteration):
        return Failure(type(error), _arguments_of(error), is_outage=False, origin=origin)
    return Failure(RuntimeError, (f"{type(error).__name__}: {_WITHHELD}",), is_outage=False, origin=origin)


def _arguments_of(error: Exception) -> tuple[Any, ...]:
    # The class of the driver's error often says more than Django's.
    cause = "" if error.__cause__ is None else f"{type(error.__cause__).__name__}: "
    code = error.args[0] if isinstance(error, DatabaseError) and error.args else None
    has_code = type(code) is int and 0 <= code <= _LARGEST_CODE
    return (code, cause + _WITHHELD) if has_code else (cause + _WITHHELD,)
