"""Reads attributes that the site's tokens and users need not have."""

from typing import Any

__all__ = ["read_optional"]


def read_optional(owner: Any, name: str, default: Any = None) -> Any:
    """The attribute of ``owner``, or ``default`` if there is none.

    Raises:
        Exception: what the site's property raises.
    """
    # Fail closed: `getattr` with a default takes an `AttributeError` of a property for a missing attribute, and a bound
    # token would pass as a bearer token. The error of a one-to-one field without a row is an `AttributeError` too.
    return getattr(owner, name) if hasattr(type(owner), name) else getattr(owner, name, default)
