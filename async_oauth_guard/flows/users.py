"""The Django user for whom a remote token speaks."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..credentials import Secret
from ..effects import Call, Flow, Row
from ..errors import InvalidTokenError, Reason
from ..scopes import own_copy
from .database import LookupColumn, lookup_key

__all__ = ["UserLookup", "call_for_user_flow", "check_user", "find_user_flow"]

UserLookup: TypeAlias = str | tuple[str, str] | Callable[..., Any]


def find_user_flow(value: Any, column: LookupColumn, ask_for: Callable[[Secret[Any]], Row]) -> Flow[Any]:
    """The one active user whose ``column`` holds ``value``.

    Raises:
        InvalidTokenError: there is none, or more than one, or they are not active.
        TemporarilyUnavailableError: the database could not be asked.
    """
    key = lookup_key(Secret(value), column) if isinstance(value, str) else None
    rows: list[Any] = (yield ask_for(key)) if key is not None else []
    if len(rows) != 1:
        raise InvalidTokenError(reason=Reason.UNKNOWN_USER)
    return check_user(rows[0])


def call_for_user_flow(lookup: Callable[..., Any], claims: Mapping[str, Any]) -> Flow[Any]:
    """The active user that code of the site's finds for ``claims``.

    Raises:
        InvalidTokenError: there is none, or they are not active.
    """
    return check_user((yield Call(lookup, (own_copy(dict(claims)),))))


def check_user(user: Any) -> Any:
    """``user``, if there is one and they are active."""
    if user is None:
        raise InvalidTokenError(reason=Reason.UNKNOWN_USER)
    if not getattr(user, "is_active", True):
        raise InvalidTokenError(reason=Reason.INACTIVE_USER)
    return user
