"""Copies of JSON values, so that requests share nothing that one of them could change."""

from collections.abc import Mapping
from typing import Any

__all__ = ["changeable_members", "own_copy"]

_UNCHANGEABLE = frozenset({str, int, float, bool, type(None)})


def changeable_members(claims: Mapping[str, Any]) -> list[str]:
    """The names of the members that are lists or dictionaries."""
    return [name for name, value in claims.items() if type(value) not in _UNCHANGEABLE]


def own_copy(value: Any) -> Any:
    """A deep copy of the collections in ``value``, so that a hook cannot change what later requests get."""
    if type(value) in _UNCHANGEABLE:
        return value
    if isinstance(value, dict):
        if _UNCHANGEABLE.issuperset(map(type, value.values())):
            return dict(value)
        return {name: part if type(part) in _UNCHANGEABLE else own_copy(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        # The class of a named tuple takes its fields one by one.
        make = getattr(type(value), "_make", type(value))
        return make(map(own_copy, value))
    return value
