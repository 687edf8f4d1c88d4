"""Copies that share nothing with what they were made from."""

from typing import Any, NamedTuple

from async_oauth_guard.protocol.copies import changeable_members, own_copy


class Range(NamedTuple):
    """A tuple that is not made of an iterable."""

    lowest: Any
    highest: Any


def test_copy_is_deep() -> None:
    """The value of a custom keyword may be a mapping, and a hook cannot change it."""
    given: Any = {"a": ["x"], "b": ({"y"}, "z")}
    copied = own_copy(given)
    assert copied == given
    copied["a"].append("changed")
    copied.clear()
    assert given == {"a": ["x"], "b": ({"y"}, "z")}


def test_copy_of_other_collections() -> None:
    """A subclass may take other arguments than its base class, so the copy is one of the base class."""
    assert own_copy({"range": Range("low", ["high"]), "sets": [{1}, frozenset({2})]}) == {
        "range": ("low", ["high"]),
        "sets": [{1}, frozenset({2})],
    }


def test_changeable_members() -> None:
    """Only lists and dictionaries need a copy."""
    claims = {"a": "x", "b": 1, "c": 1.5, "d": True, "e": None, "f": ["x"], "g": {}}
    assert changeable_members(claims) == ["f", "g"]
