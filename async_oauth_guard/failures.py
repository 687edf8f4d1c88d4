"""What went wrong with a query, as waiters and logs may see it: without the keys that it asked for.

SQL parameters stand in the locals of Django's frames, and sometimes in messages. So no original error is handed on.
"""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db import OperationalError

from .errors import Reason, TemporarilyUnavailableError

__all__ = ["BROKEN_OFF", "OVERDUE", "REFUSED", "Failure", "failure_of", "outage_of"]

_TOKEN = "<token>"
_QUOTES_A_TOKEN = "<message withheld: it quotes a token>"
_TOO_LONG = "<message withheld: too long to be searched for tokens>"
_UNPRINTABLE = "<message withheld: it cannot be printed>"
# Stands for a token until all have been found: of one character, so that replacing makes no text longer.
_PLACEHOLDER = "\0"
# Databases quote the beginning of a value, or the text around an error. Shorter pieces than this give nothing away.
_TELLING_LENGTH = 8
_MAX_TEXT_LENGTH = 2_000
# Characters of a message and of the keys it may quote, together: a few milliseconds.
_MAX_SEARCHED_LENGTH = 20_000


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
BROKEN_OFF = Failure(RuntimeError, ("the reading of rows was broken off",), is_outage=False)


def outage_of(error: Exception, keys: Sequence[Any]) -> Failure:
    """That the database could not answer because of ``error``."""
    return Failure(type(error), _scrubbed(error.args, keys), is_outage=True)


def failure_of(error: BaseException, keys: Sequence[Any]) -> Failure:
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


def _scrubbed(arguments: tuple[Any, ...], keys: Sequence[Any]) -> tuple[Any, ...]:
    # Numbers are the database's error codes.
    return tuple(value if type(value) is int else _scrub(value, keys) for value in arguments)


def _scrub(value: Any, keys: Sequence[Any]) -> str:
    try:
        text, written_keys = str(value), [str(key) for key in keys]
        if len(text) + sum(map(len, written_keys)) > _MAX_SEARCHED_LENGTH:
            return _TOO_LONG
        secrets = {form for key in keys for form in _written_forms(key)}
    except Exception:
        # Of users' classes. An error here would have the keys in its frames.
        return _UNPRINTABLE
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _PLACEHOLDER)
    text = text[:_MAX_TEXT_LENGTH]
    return _QUOTES_A_TOKEN if _quotes_any(text, secrets) else text.replace(_PLACEHOLDER, _TOKEN)


def _written_forms(key: Any) -> list[str]:
    text = repr(key)[2:-1] if isinstance(key, bytes) else str(key)
    # A UUID's is a text, that of bytes a method.
    digits = getattr(key, "hex", "")
    forms = [text, repr(text)[1:-1], str(digits() if callable(digits) else digits)]
    return [form for form in forms if form]


def _quotes_any(text: str, secrets: set[str]) -> bool:
    return not set(_pieces(text)).isdisjoint(chain.from_iterable(map(_pieces, secrets)))


def _pieces(text: str) -> Iterator[str]:
    folded = text.casefold()
    return (folded[start : start + _TELLING_LENGTH] for start in range(len(folded) - _TELLING_LENGTH + 1))
