"""Copies that share nothing with what they were made from."""

from typing import Any, NamedTuple

from async_oauth_guard.protocol.copies import changeable_members, own_copy


class Range(NamedTuple):
    """A tuple that is not made of an iterable."""

    lowest: Any
    highest: Any


class Levels(list[Any]):
    """The site's own list."""


def test_copy_is_deep() -> None:
    """The value of a custom keyword may be a mapping, and a hook cannot change it."""
    given: Any = {"a": ["x"], "b": ({"y"}, "z")}
    copied = own_copy(given)
    assert copied == given
    copied["a"].append("changed")
    copied.clear()
    assert given == {"a": ["x"], "b": ({"y"}, "z")}


def test_copy_of_other_collections() -> None:
    """Each collection keeps its class, also a named tuple, whose class takes its fields one by one."""
    given: Any = {"range": Range("low", ["high"]), "levels": Levels(["a"]), "sets": [{1}, frozenset({2})]}
    copied = own_copy(given)
    assert copied == given
    assert (type(copied["range"]), type(copied["levels"])) == (Range, Levels)
    copied["range"].highest.append("changed")
    copied["levels"].append("changed")
    assert given == {"range": Range("low", ["high"]), "levels": ["a"], "sets": [{1}, frozenset({2})]}


def test_changeable_members() -> None:
    """Only lists and dictionaries need a copy."""
    claims = {"a": "x", "b": 1, "c": 1.5, "d": True, "e": None, "f": ["x"], "g": {}}
    assert changeable_members(claims) == ["f", "g"]
