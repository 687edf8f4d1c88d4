"""``authorization_details``: what a view requires, and what a token grants."""

from types import MappingProxyType
from typing import Any

import pytest

from async_oauth_guard.protocol.authorization_details import are_granted, describe_details, parse_details, read_details

PARSED: list[tuple[Any, tuple[Any, ...]]] = [
    (None, ()),
    ({"type": "a"}, ({"type": "a"},)),
    ([{"type": "a"}, {"type": "b"}], ({"type": "a"}, {"type": "b"})),
    (({"type": "a", "list": (1, "x"), "null": None},), ({"type": "a", "list": [1, "x"], "null": None},)),
    (MappingProxyType({"type": "a", "in": MappingProxyType({"b": 1.5})}), ({"type": "a", "in": {"b": 1.5}},)),
]


@pytest.mark.parametrize(("value", "expected"), PARSED)
def test_parse(value: Any, expected: Any) -> None:
    """R108: one object, or several of which any is enough, in the types of JSON."""
    assert parse_details(value) == expected


def test_later_changes_have_no_effect() -> None:
    """R108: the requirement is what it was when the view was guarded."""
    actions = ["read"]
    (parsed,) = parse_details({"type": "a", "actions": actions})
    actions.clear()
    assert parsed == {"type": "a", "actions": ["read"]}


WRONG: list[tuple[Any, type[Exception], str]] = [
    (7, TypeError, "^authorization_details must be a mapping or a list of mappings, got int"),
    ("a", TypeError, "^authorization_details must be a mapping or a list of mappings, got str"),
    (["a"], TypeError, "^authorization_details must contain only mappings, got str"),
    ([[{"type": "a"}]], TypeError, "^authorization_details must contain only mappings, got list"),
    ({"type": 7}, TypeError, "^authorization_details: type must be a string, got int"),
    ({"type": "a", 7: 1}, TypeError, "^authorization_details: the names of members must be strings"),
    ({"type": "a", "b": {7: 1}}, TypeError, "^authorization_details: the names of members must be strings"),
    ({"type": "a", "b": {1, 2}}, TypeError, "^authorization_details: JSON has no set"),
    ({"type": "a", "b": [b"x"]}, TypeError, "^authorization_details: JSON has no bytes"),
    ([], ValueError, "^authorization_details must not be empty"),
    ({}, ValueError, "^authorization_details must have a type"),
    ([{"type": "a"}, {"actions": ["x"]}], ValueError, "^authorization_details must have a type"),
    ({"type": ""}, ValueError, "^authorization_details must have a type"),
    ({"type": "a", "b": float("nan")}, ValueError, "^authorization_details: a number must be finite"),
]


@pytest.mark.parametrize(("value", "error", "message"), WRONG, ids=repr)
def test_wrong_arguments(value: Any, error: type[Exception], message: str) -> None:
    """R108: a requirement that no token could meet is refused when the view is guarded."""
    with pytest.raises(error, match=message):
        parse_details(value)


A = {"type": "a"}
# What is required besides the type, what is granted besides the type, and whether that is enough.
MEMBERS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({}, {"more": 1}, True),
    ({"x": 1}, {}, False),
    ({"x": None}, {}, False),
    ({"x": None}, {"x": None}, True),
    # Arrays are contained.
    ({"x": ["r"]}, {"x": ["w", "r"]}, True),
    ({"x": ["r", "w"]}, {"x": ["w", "r"]}, True),
    ({"x": ["r", "w"]}, {"x": ["w"]}, False),
    ({"x": []}, {"x": []}, True),
    ({"x": []}, {}, False),
    ({"x": ["r"]}, {"x": "r"}, False),
    ({"x": ["r"]}, {"x": "writer"}, False),
    ({"x": ["r"]}, {"x": {"r": 1}}, False),
    ({"x": [{"a": [1]}]}, {"x": [0, {"a": [1]}]}, True),
    ({"x": [{"a": [1]}]}, {"x": [{"a": [1, 2]}]}, False),
    # All other members are equal.
    ({"x": "r"}, {"x": ["r"]}, False),
    ({"x": "r"}, {"x": "R"}, False),
    ({"x": 1}, {"x": 1.0}, True),
    ({"x": 1}, {"x": True}, False),
    ({"x": True}, {"x": 1}, False),
    ({"x": False}, {"x": 0}, False),
    ({"x": False}, {"x": None}, False),
    ({"x": True}, {"x": True}, True),
    ({"x": "1"}, {"x": 1}, False),
    ({"x": [1]}, {"x": [True]}, False),
    ({"x": {"a": 1, "b": [1, 2]}}, {"x": {"b": [1, 2], "a": 1}}, True),
    ({"x": {"a": 1}}, {"x": {"a": 1, "b": 2}}, False),
    ({"x": {"a": 1}}, {"x": {"b": 1}}, False),
    ({"x": {"a": True}}, {"x": {"a": 1}}, False),
    ({"x": {"a": [1, 2]}}, {"x": {"a": [2, 1]}}, False),
    ({"x": {"a": [1]}}, {"x": {"a": [1, 2]}}, False),
    ({"x": {"a": 1}}, {"x": [{"a": 1}]}, False),
]


@pytest.mark.parametrize(("required", "granted", "expected"), MEMBERS, ids=repr)
def test_members(required: dict[str, Any], granted: dict[str, Any], expected: bool) -> None:
    """R108: the type is equal, each array is contained, and every other member is equal."""
    (detail,) = parse_details({**A, **required})
    assert are_granted([detail], [{"type": "other"}, {**A, **granted}]) == expected
    assert not are_granted([detail], [{"type": "A", **granted}])


def test_alternatives() -> None:
    """R108: one of the required objects is enough, granted by one object: parts of two do not add up."""
    required = parse_details([{"type": "b"}, {**A, "x": ["r", "w"]}])
    assert are_granted(required, [{**A, "x": ["w", "r"]}])
    assert are_granted(required, [{"type": "b"}])
    assert not are_granted(required, [{**A, "x": ["r"]}, {**A, "x": ["w"]}])


@pytest.mark.parametrize(
    "granted", [None, [], "a", 7, A, [["type", "a"]], ["a"], [{}], [{"type": 7}], [{"type": ["a"]}]]
)
def test_malformed_details_grant_nothing(granted: Any) -> None:
    """R108: a value of another type than RFC 9396 §2 defines grants nothing."""
    assert read_details(granted) == []
    assert not are_granted([A], granted)


def test_description() -> None:
    """The types are named, each of them once."""
    assert describe_details(parse_details([A, {"type": "b"}, {**A, "x": 1}])) == "a or b"
