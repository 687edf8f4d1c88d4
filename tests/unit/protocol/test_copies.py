"""Copies that share nothing with what they were made from."""

from typing import Any

from async_oauth_guard.protocol.copies import changeable_members, own_copy


def test_copy_is_deep() -> None:
    """The value of a custom keyword may be a mapping, and a hook cannot change it."""
    given: Any = {"a": ["x"], "b": ({"y"}, "z")}
    copied = own_copy(given)
    assert copied == given
    copied["a"].append("changed")
    copied.clear()
    assert given == {"a": ["x"], "b": ({"y"}, "z")}


def test_changeable_members() -> None:
    """Only lists and dictionaries need a copy."""
    claims = {"a": "x", "b": 1, "c": 1.5, "d": True, "e": None, "f": ["x"], "g": {}}
    assert changeable_members(claims) == ["f", "g"]
