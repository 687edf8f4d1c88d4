"""Reads the site's tokens and users, which need not have every attribute."""

from collections.abc import Mapping
from types import MemberDescriptorType
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.utils.functional import LazyObject, empty

from ..errors import InvalidTokenError, Reason
from .strict_json import read_json

__all__ = [
    "check_user",
    "is_active",
    "is_lazy",
    "is_user",
    "read_binding",
    "read_confirmation",
    "read_member",
    "read_optional",
    "read_user",
    "resolve_user",
]


def read_optional(owner: Any, name: str, default: Any = None) -> Any:
    """The attribute of ``owner``, or ``default`` if it is missing.

    Raises:
        Exception: what the site's property raises.
    """
    # Fail closed: `getattr` with a default takes an `AttributeError` of a property for a missing attribute, and a bound
    # token would pass as a bearer token. The error of a one-to-one field without a row is an `AttributeError` too.
    return getattr(owner, name) if hasattr(type(owner), name) else getattr(owner, name, default)


def read_member(token: Any, name: str) -> Any:
    """The claim ``name`` of a token that is a mapping, or the attribute of another token; ``None`` if it is missing."""
    return token.get(name) if isinstance(token, Mapping) else read_optional(token, name)


def read_binding(token: Any, thumbprint_field: str | None = None) -> tuple[Any, Any]:
    """The ``cnf`` and the ``token_type`` of a token, unchecked. See `read_confirmation`."""
    return read_confirmation(token, thumbprint_field), read_member(token, "token_type")


def read_confirmation(token: Any, thumbprint_field: str | None = None) -> Any:
    """The ``cnf`` of a token, unchecked. A row may contain it as JSON text. Empty text means that it is missing.

    Text that is not JSON is returned unchanged, and `check_confirmation` refuses it.

    Args:
        thumbprint_field: the attribute that contains the thumbprint of a key, if the token has that instead of ``cnf``.
    """
    if thumbprint_field is not None:
        # An attribute error is a bug: without the field, bound tokens would pass as bearer tokens.
        thumbprint = getattr(token, thumbprint_field)
        return None if thumbprint in (None, "") else {"jkt": thumbprint}
    value = read_member(token, "cnf")
    if isinstance(token, Mapping) or not isinstance(value, str):
        return value
    if value in ("", "null"):
        return None
    return read_json(value.encode(errors="surrogatepass")) or value


def read_user(token: Any) -> Any:
    """The Django user of a token, with lazy objects resolved, or ``None``. A claim named ``user`` does not count.

    Raises:
        InvalidTokenError: the user was deleted, and the database kept the token.
    """
    try:
        return resolve_user(read_optional(token, "user"))
    except ObjectDoesNotExist:
        raise InvalidTokenError(reason=Reason.INACTIVE_USER) from None


def check_user(token: Any, *, must_be_active: bool) -> tuple[Any, Reason | None]:
    """The user of a token, and the reason to refuse the token because of its user, or ``None``.

    Raises: see `read_user` and `is_active`.
    """
    user = read_user(token)
    return user, Reason.INACTIVE_USER if must_be_active and not _is_usable(token, user) else None


def _is_usable(token: Any, user: Any) -> bool:
    if user is None:
        # A client's token needs no user. But refuse the token of a user who was deleted.
        return not _has_relation(token) or read_member(token, "user_id") is None
    return is_active(user)


def _has_relation(token: Any) -> bool:
    """Whether the class of ``token`` finds its user, so that ``None`` may mean that there is no such user any more."""
    cls = type(token)
    # The user of an `AccessToken` is in a slot. Its claim `user_id` may be about anything.
    is_slot = isinstance(token, Mapping) and isinstance(getattr(cls, "user", None), MemberDescriptorType)
    return hasattr(cls, "user") and not is_slot


def is_lazy(user: Any) -> bool:
    """Whether ``user`` is one of Django's lazy objects."""
    # `isinstance()` would read `__class__`, which resolves the object.
    return issubclass(type(user), LazyObject)


def resolve_user(user: Any) -> Any:
    """``user`` without the lazy objects around it. Resolving them may run a query."""
    while is_lazy(user):
        if user._wrapped is empty:
            user._setup()
        user = user._wrapped
    return user


def is_user(user: Any, what: str) -> bool:
    """Whether ``user`` is authenticated. ``None`` and anonymous users are not. ``what`` is its name in messages.

    Raises:
        TypeError: ``user`` is not a user and not ``None``.
    """
    if user is None:
        return False
    authenticated = getattr(user, "is_authenticated", None)
    # Fail closed: other objects are truthy, for example a method.
    if not isinstance(authenticated, bool):
        raise TypeError(
            f"{what} must be a user (an object whose is_authenticated is a bool) or None, got {type(user).__name__}"
        )
    return authenticated


def is_active(user: Any) -> bool:
    """Whether ``user`` is not marked as anonymous or inactive.

    Raises:
        TypeError: ``is_active`` is a method, which would always count as true.
    """
    active = read_optional(user, "is_active", True)
    if callable(active):
        raise TypeError(f"{type(user).__name__}.is_active must be a value or a property, got a method")
    return bool(read_optional(user, "is_authenticated", True) and active)
