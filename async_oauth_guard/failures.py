"""What went wrong with a query, as waiters and logs may see it: without the keys that it asked for.

SQL parameters stand in the locals of Django's frames, and sometimes in messages. So no original error is handed on.
"""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError

from .errors import Reason, TemporarilyUnavailableError

__all__ = ["OVERDUE", "REFUSED", "Failure", "failure_of", "outage_of"]

_TOKEN = "<token>"
_WITHHELD = "<message withheld: it quotes a token>"
# Databases quote the beginning of a value, or the text around an error. Shorter pieces than this give nothing away.
_TELLING_LENGTH = 8
_MAX_TEXT_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class Failure:
    """An error to be raised more than once: ``error()`` makes a new one for each waiter.

    Attributes:
        kind: the class of the error; for an outage, of its cause.
        arguments: its arguments, without keys.
        is_outage: the database could not answer, which is nobody's bug.
        origin: where a bug was raised, as text.
    """

    kind: type[Exception]
    arguments: tuple[Any, ...]
    is_outage: bool
    origin: str = ""

    def error(self) -> Exception:
        """A new exception, without traceback and context."""
        try:
            error = self.kind(*self.arguments)
        except Exception:
            # A class that only its author can make: its name has to do.
            error = _unnamed(self.kind, self.arguments)
        if self.is_outage:
            unavailable = TemporarilyUnavailableError(reason=Reason.DATABASE_UNAVAILABLE)
            unavailable.__cause__ = error
            return unavailable
        error.add_note(self.origin)
        return error


OVERDUE = Failure(OperationalError, ("the database did not answer in time",), is_outage=True)
REFUSED = Failure(
    OperationalError, ("too many lookups wait, or the database left too many unanswered",), is_outage=True
)


def outage_of(error: Exception, keys: Iterable[Any]) -> Failure:
    """That the database could not answer because of ``error``."""
    return Failure(type(error), _scrubbed(error.args, keys), is_outage=True)


def failure_of(error: BaseException, keys: Iterable[Any]) -> Failure:
    """The bug that ``error`` is: of the same class, where that can be made anew and raised in a coroutine."""
    kind, arguments = type(error), _scrubbed(error.args, keys)
    # Lines of code without the locals.
    origin = "Raised while rows were read:\n" + "".join(traceback.format_tb(error.__traceback__))
    is_plain = all(type(value) in (str, int) for value in error.args)
    if is_plain and issubclass(kind, Exception) and not issubclass(kind, StopIteration):
        return Failure(kind, arguments, is_outage=False, origin=origin)
    return Failure(RuntimeError, _unnamed(kind, arguments).args, is_outage=False, origin=origin)


def _unnamed(kind: type[BaseException], arguments: tuple[Any, ...]) -> RuntimeError:
    return RuntimeError(": ".join([kind.__name__, *map(str, arguments)]))


def _scrubbed(arguments: tuple[Any, ...], keys: Iterable[Any]) -> tuple[Any, ...]:
    # Numbers are the database's error codes.
    secrets = {form for key in keys for form in _written_forms(key)}
    return tuple(value if type(value) is int else _scrub(str(value), secrets) for value in arguments)


def _written_forms(key: Any) -> list[str]:
    text = str(key)
    forms = [text, repr(text)[1:-1], str(getattr(key, "hex", ""))]
    return [form for form in forms if form]


def _scrub(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _TOKEN)
    text = text[:_MAX_TEXT_LENGTH]
    return _WITHHELD if _quotes_any(text, secrets) else text


def _quotes_any(text: str, secrets: set[str]) -> bool:
    everything = "\0".join(secrets).casefold()
    folded = text.casefold()
    pieces = (folded[start : start + _TELLING_LENGTH] for start in range(len(folded) - _TELLING_LENGTH + 1))
    return any(piece in everything for piece in pieces)
