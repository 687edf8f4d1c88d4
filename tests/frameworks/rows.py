"""Which rows of the tables about a framework a test shows."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


def shows(*rows: str) -> Callable[[T], T]:
    """Mark a test with the rows that it shows, each named as in the first column of its table."""

    def mark(test: T) -> T:
        test.shown_rows = rows  # type: ignore[attr-defined]
        return test

    return mark


def rows_shown_by(tests: ModuleType) -> list[str]:
    """The rows that a module's tests show, in their order."""
    return [row for test in vars(tests).values() for row in getattr(test, "shown_rows", ())]
