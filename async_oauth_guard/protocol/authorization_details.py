"""Rich authorization requests (RFC 9396): which ``authorization_details`` a view requires, and what a token grants."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["Detail", "are_granted", "describe_details", "parse_details", "read_details"]

Detail: TypeAlias = Mapping[str, Any]
"""One object of ``authorization_details``, with a ``type`` (RFC 9396 §2)."""


def parse_details(value: Any) -> tuple[Detail, ...]:
    """Parse the argument ``authorization_details`` of a guard: one object, or a list of which any is enough.

    Raises:
        TypeError: the argument, or a value in it, has a type that JSON does not have.
        ValueError: a list is empty, or an object has no ``type``.
    """
    if value is None:
        return ()
    details: Sequence[Any] = [value] if isinstance(value, Mapping) else value
    if not isinstance(details, list | tuple):
        raise TypeError(f"authorization_details must be a mapping or a list of mappings, got {type(value).__name__}")
    if not details:
        raise ValueError("authorization_details must not be empty; to require none, use None")
    return tuple(_parse_detail(detail) for detail in details)


def _parse_detail(detail: Any) -> Detail:
    if not isinstance(detail, Mapping):
        raise TypeError(f"authorization_details must contain only mappings, got {type(detail).__name__}")
    kind = detail.get("type", "")
    if not isinstance(kind, str):
        raise TypeError(f"authorization_details: type must be a string, got {type(kind).__name__}")
    if not kind:
        raise ValueError("authorization_details must have a type, such as {'type': 'payment_initiation'}")
    parsed: Detail = _copy(detail)
    return parsed


def _copy(value: Any) -> Any:
    """A copy in the types that a JSON parser returns, so that later changes to the argument have no effect."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("authorization_details: the names of members must be strings")
        return {name: _copy(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(part) for part in value]
    if value is not None and not isinstance(value, str | bool | int | float):
        raise TypeError(f"authorization_details: JSON has no {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("authorization_details: a number must be finite")
    return value


def are_granted(required: Sequence[Detail], granted: Any) -> bool:
    """Whether a token with these ``granted`` details has one of the ``required`` ones (RFC 9396 §9)."""
    return any(_is_satisfied(detail, each) for detail in required for each in read_details(granted))


def _is_satisfied(required: Detail, granted: Detail) -> bool:
    """Whether the granted object has each required array's members and equals all other required members."""
    return all(name in granted and _is_contained(value, granted[name]) for name, value in required.items())


def _is_contained(required: Any, granted: Any) -> bool:
    if not isinstance(required, list):
        return _is_equal(required, granted)
    return isinstance(granted, list) and all(any(_is_equal(part, each) for each in granted) for part in required)


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal. In Python, ``True == 1``; in JSON, they differ."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_equal(part, other[name]) for name, part in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(one == other)


def read_details(value: Any) -> list[Detail]:
    """The objects with a ``type`` in a token's ``authorization_details``. A malformed value grants nothing."""
    if not isinstance(value, list):
        return []
    return [detail for detail in value if isinstance(detail, Mapping) and isinstance(detail.get("type"), str)]


def describe_details(required: Sequence[Detail]) -> str:
    """The types of the required details, as text."""
    return " or ".join(dict.fromkeys(str(detail["type"]) for detail in required))
