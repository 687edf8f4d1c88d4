"""Marks views that were reviewed and need no guard, for the reports on unguarded views."""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["mark_reviewed", "review_of"]

V = TypeVar("V", bound=Callable[..., Any])


def mark_reviewed(reason: str) -> Callable[[V], V]:
    """Mark a view as reviewed, if it needs no guard: ``@mark_reviewed("open price list")``.

    ``oauth_routes``, ``assert_guarded()`` and the check ``W011`` then report the view as reviewed instead of unguarded.
    The mark has no other effect: it does not guard the view, and it lets no request past a guard. Subclasses do not
    inherit it.

    Args:
        reason: why the view needs no guard, for readers of the report.

    Raises:
        TypeError: ``reason`` is not a non-empty string, or the view cannot be marked. You can mark a function, a class,
            an object or the result of ``as_view()``.
    """
    # Without parentheses, the view itself is the argument.
    if type(reason) is not str or not reason.strip():
        raise TypeError(f"mark_reviewed: reason must be a non-empty string, got {type(reason).__name__}")

    def mark(view: V) -> V:
        target: Any = view
        try:
            # Store the view too, because decorators copy its attributes and subclasses inherit them.
            target._oauth_review = (view, reason)
        except AttributeError:
            raise TypeError(f"mark_reviewed cannot mark a {type(view).__name__}; mark the function or class") from None
        return view

    return mark


def review_of(view: Any) -> str | None:
    """The reason that `mark_reviewed` got for exactly this view, or ``None``."""
    match getattr(view, "_oauth_review", None):
        case (marked, str(reason)) if marked is view:
            return reason
        case _:
            return None
