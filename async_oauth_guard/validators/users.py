"""Finds the Django user of a remote token."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from django.contrib.auth import get_user_model
from django.db.models import EmailField, Field

from ..errors import InvalidTokenError, Reason
from ..protocol.attributes import is_active, is_lazy, is_user, resolve_user
from ..protocol.copies import own_copy
from ..protocol.secrets import Secret
from ..runtime.effects import Call, Flow, ReadModel, Row
from .token_lookup import LookupColumn, lookup_key
from .token_table import RowSource

__all__ = [
    "UserLookup",
    "call_for_user_flow",
    "check_email",
    "compares_email",
    "field_and_claim",
    "find_user_flow",
    "user_source",
]

UserLookup: TypeAlias = str | tuple[str, str] | Callable[..., Any]


def user_source(lookup: Any) -> RowSource | None:
    """The rows that users are looked up in; ``None`` without a lookup in the database.

    Raises:
        TypeError: ``lookup`` is not a `UserLookup`.
    """
    if lookup is None or (callable(lookup) and not isinstance(lookup, type)):
        return None
    pair = field_and_claim(lookup)
    if len(pair) != 2 or not all(isinstance(name, str) and name for name in pair):
        raise TypeError("user_lookup must be the name of a field, a pair (field, claim) or a callable")
    return RowSource(get_user_model, cast("str", pair[0]), argument="user_lookup", select_related=())


def field_and_claim(lookup: Any) -> Sequence[Any]:
    """The field of the user model, and the claim that it must equal: ``sub`` if ``lookup`` names only the field."""
    return lookup if isinstance(lookup, tuple | list) else (lookup, "sub")


def find_user_flow(value: Any, column: LookupColumn, ask_for: Callable[[Secret[Any]], Row]) -> Flow[Any]:
    """Return the only user whose ``column`` is exactly ``value``. The user must be active.

    Raises:
        InvalidTokenError: there is no such user, there are several, or the user is not active.
        TemporarilyUnavailableError: the database could not respond.
    """
    # A blank claim never identifies a user, even if users have a blank field.
    key = lookup_key(Secret(value), column) if isinstance(value, str) and value.strip() else None
    rows: list[Any] = (yield ask_for(key)) if key is not None else []
    # A field may convert several texts to one value ("12", "+12", "1_2"). For the authorization server, each text is
    # another user.
    if len(rows) != 1 or column.field.value_to_string(rows[0]) != value:
        raise InvalidTokenError(reason=Reason.UNKNOWN_USER)
    return (yield from _check_user_flow(rows[0], repr(column.field.name)))


def call_for_user_flow(lookup: Callable[..., Any], claims: Mapping[str, Any]) -> Flow[Any]:
    """Return the user that the ``lookup`` of the site returns for ``claims``. The user must be active.

    Raises:
        InvalidTokenError: there is no such user, or the user is not active.
        TypeError: the lookup returned something other than a user or ``None``.
    """
    found = yield Call(lookup, (own_copy(dict(claims)),))
    return (yield from _check_user_flow(found, getattr(lookup, "__qualname__", type(lookup).__qualname__)))


def compares_email(field: "Field[Any, Any]", claim: str) -> bool:
    """Whether the lookup compares e-mail addresses."""
    return "email" in (claim, field.name) or isinstance(field, EmailField)


def check_email(claims: Mapping[str, Any], field: "Field[Any, Any]", claim: str) -> None:
    """Refuse an e-mail address that is not verified: an attacker can register the address of another user.

    This is checked only if the lookup compares e-mail addresses. A token without ``email_verified`` passes.

    Raises:
        InvalidTokenError: ``email_verified`` is present and is not ``true``.
    """
    if compares_email(field, claim) and claims.get("email_verified", True) is not True:
        raise InvalidTokenError(reason=Reason.UNKNOWN_USER)


def _check_user_flow(found: Any, lookup: str) -> Flow[Any]:
    """Return the user that a lookup found, without a lazy object around it.

    Raises:
        InvalidTokenError: there is no user, or the user is anonymous or not active.
        TypeError: ``found`` is not a user.
    """
    # Resolving a lazy object can do anything, so it must not happen on an event loop.
    user, reason = yield ReadModel(
        lambda found: _read_user(found, f"the result of user_lookup {lookup}"), found, blocking=is_lazy(found)
    )
    if reason is not None:
        raise InvalidTokenError(reason=reason)
    return user


def _read_user(found: Any, what: str) -> tuple[Any, Reason | None]:
    user = resolve_user(found)
    if not is_user(user, what):
        return user, Reason.UNKNOWN_USER
    return user, None if is_active(user) else Reason.INACTIVE_USER
