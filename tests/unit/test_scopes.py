"""The grammar of scope requirements."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_oauth_guard.scopes import (
    Requirement,
    own_copy,
    parse_requirement,
    parse_scopes,
    read_values,
)

NAMES = ["read", "Read", "read:all", "xread", "write", "admin"]
scope_names = st.sampled_from(NAMES)
strings = st.lists(scope_names, min_size=1, max_size=3).flatmap(
    lambda names: st.sampled_from([" ".join(names), "  ".join(names), f" {' '.join(names)} ", "\t".join(names)])
)
groups = st.lists(scope_names, min_size=1, max_size=3).flatmap(
    lambda names: st.sampled_from([names, tuple(names), set(names), frozenset(names)])
)
lists = st.lists(st.one_of(strings, groups), max_size=4).flatmap(lambda parts: st.sampled_from([parts, tuple(parts)]))
requirements = st.one_of(st.none(), strings, lists)


def is_enough(required: Any, held: set[str]) -> bool:
    """The rules of the documentation, word for word: a list is any of its members, a string or a group all."""
    if required is None or (not isinstance(required, str) and len(required) == 0):
        return True
    if isinstance(required, str):
        return all(scope in held for scope in required.split())
    for alternative in required:
        members = alternative.split() if isinstance(alternative, str) else alternative
        if all(scope in held for scope in members):
            return True
    return False


@settings(deadline=None)
@given(required=requirements, held=st.sets(scope_names))
def test_is_met_by_what_the_documentation_says(required: Any, held: set[str]) -> None:
    """R119, R120: AND, OR and their mixture let in exactly the tokens that a naive reading of the rules lets in."""
    requirement = parse_scopes(required).for_method("GET")
    assert requirement is not None
    assert requirement.is_met_by(read_values(" ".join(sorted(held)))) == is_enough(required, held)


@settings(deadline=None)
@given(required=requirements, held=st.frozensets(scope_names))
def test_nearest_alternative_suffices(required: Any, held: frozenset[str]) -> None:
    """What a challenge names would let in, and no alternative misses fewer scopes of those held."""
    requirement = parse_requirement(required, "scopes")
    nearest = requirement.nearest_alternative(held)
    assert requirement.is_met_by(held.union(nearest))
    missing = [len(set(alternative) - held) for alternative in requirement.alternatives]
    assert len(set(nearest) - held) == min(missing, default=0)


ALTERNATIVES: list[tuple[Any, Any, Any]] = [
    (None, (), None),
    ([], (), []),
    ((), (), ()),
    (set(), (), set()),
    ("a", (("a",),), ["a"]),
    ("read", (("read",),), ["read"]),
    ("a b", (("a", "b"),), ["a b"]),
    (" a\t b\n", (("a", "b"),), [" a\t b\n"]),
    ("a b a", (("a", "b"),), ["a b a"]),
    (["a"], (("a",),), ["a"]),
    (["a b", "c"], (("a", "b"), ("c",)), ["a b", "c"]),
    (("a", "b"), (("a",), ("b",)), ("a", "b")),
    ({"a"}, (("a",),), {"a"}),
    (frozenset({"a"}), (("a",),), frozenset({"a"})),
    ([["a", "b"], "c"], (("a", "b"), ("c",)), [["a", "b"], "c"]),
    ([("a", "b", "a")], (("a", "b"),), [("a", "b", "a")]),
    ([frozenset({"a"})], (("a",),), [frozenset({"a"})]),
    ("!#[]~'", (("!#[]~'",),), ["!#[]~'"]),
]


@pytest.mark.parametrize(("value", "alternatives", "given_to_hooks"), ALTERNATIVES, ids=repr)
def test_alternatives(value: Any, alternatives: Any, given_to_hooks: Any) -> None:
    """R120: strings are AND, lists are OR, and hooks written for Authlib get ``None`` or what can stand for a list."""
    expected = Requirement(alternatives=alternatives, written=given_to_hooks)
    assert parse_requirement(value, "scopes") == expected
    assert [parse_scopes(value).for_method(method) for method in ("GET", "X", None)] == [expected] * 3
    assert parse_requirement(value, "scopes").for_hook() == given_to_hooks


def test_lists_that_hooks_get_are_their_own() -> None:
    """What a hook does to its list changes neither the guard's requirement nor what the next hook gets."""
    value = [["a", "b"], "c"]
    requirement = parse_requirement(value, "scopes")
    handed = requirement.for_hook()
    assert handed == value
    handed[0].append("x")
    handed.clear()
    assert requirement.for_hook() == value == [["a", "b"], "c"]
    assert requirement.alternatives == (("a", "b"), ("c",))


WRONG: list[tuple[Any, type[Exception], str]] = [
    ("", ValueError, "scopes: a blank alternative"),
    ("  ", ValueError, "scopes: a blank alternative"),
    ([""], ValueError, "scopes: a blank alternative"),
    (["a", " "], ValueError, "scopes: a blank alternative"),
    (["a", []], ValueError, "scopes: a blank alternative"),
    ([["a", ""]], ValueError, "scopes: a blank alternative"),
    ([["a", " "]], ValueError, "scopes: a blank alternative"),
    ([()], ValueError, "scopes: a blank alternative"),
    (7, TypeError, "scopes: a string, a list of strings or None is wanted, not int"),
    (b"a", TypeError, "scopes: a string, a list of strings or None is wanted, not bytes"),
    (True, TypeError, "scopes: a string, a list of strings or None is wanted, not bool"),
    (iter(["a"]), TypeError, "scopes: a string, a list of strings or None is wanted, not list_iterator"),
    (["a", 7], TypeError, "scopes: a list holds strings or lists of strings, not int"),
    ([None], TypeError, "scopes: a list holds strings or lists of strings, not NoneType"),
    ([b"a"], TypeError, "scopes: a list holds strings or lists of strings, not bytes"),
    ([{"a": 1}], TypeError, "scopes: a list holds strings or lists of strings, not dict"),
    ([["a", 7]], TypeError, "scopes: a group within a list holds strings only"),
    ([["a", None]], TypeError, "scopes: a group within a list holds strings only"),
    ([["a", ("b",)]], TypeError, "scopes: a group within a list holds strings only"),
    ('a"b', ValueError, "scopes: 'a\"b' has characters that a scope cannot have"),
    ("a\\b", ValueError, "scopes: .* has characters that a scope cannot have"),
    (["é"], ValueError, "scopes: 'é' has characters that a scope cannot have"),
    (["a", "b\x7f"], ValueError, "scopes: .* has characters that a scope cannot have"),
    ([["a b"]], ValueError, "scopes: 'a b' has characters that a scope cannot have"),
    ("a\0", ValueError, "scopes: .* has characters that a scope cannot have"),
    ({}, ValueError, "scopes: an empty mapping grants no method"),
    ({"get": "a"}, ValueError, "scopes: HTTP methods are written in capitals.*not 'get'"),
    ({"Get": "a"}, ValueError, "scopes: HTTP methods are written in capitals.*not 'Get'"),
    ({"": "a"}, ValueError, "scopes: HTTP methods are written in capitals.*not ''"),
    ({7: "a"}, TypeError, "scopes: HTTP methods are strings such as 'GET', not int"),
    ({None: "a"}, TypeError, "scopes: HTTP methods are strings such as 'GET', not NoneType"),
    ({"GET": 7}, TypeError, "scopes: a string, a list of strings or None is wanted, not int"),
    ({"GET": ""}, ValueError, "scopes: a blank alternative"),
    ({"GET": {"GET": "a"}}, TypeError, "scopes: a string, a list of strings or None is wanted, not dict"),
    ({"GET": "é"}, ValueError, "scopes: .* has characters that a scope cannot have"),
]


@pytest.mark.parametrize(("value", "error", "message"), WRONG, ids=repr)
def test_wrong_scopes(value: Any, error: type[Exception], message: str) -> None:
    """R120: a wrong type is a ``TypeError``, a blank alternative a ``ValueError``, and each says which argument."""
    with pytest.raises(error, match=f"^{message}"):
        parse_scopes(value)


@pytest.mark.parametrize("value", ['a"b', "é", ["a\\b"], [["a b"]]], ids=repr)
def test_other_requirements_are_no_scopes(value: Any) -> None:
    """Groups and roles have the grammar of scopes, but any characters."""
    assert parse_requirement(value, "groups").alternatives


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [("", ValueError, "groups: a blank"), (7, TypeError, "groups: a string"), ([7], TypeError, "groups: a list")],
)
def test_messages_name_the_argument(value: Any, error: type[Exception], message: str) -> None:
    """An error of another requirement than scopes says which."""
    with pytest.raises(error, match=f"^{message}"):
        parse_requirement(value, "groups")


METHODS: list[tuple[Any, str | None, Any]] = [
    ("a", "GET", (("a",),)),
    ("a", None, (("a",),)),
    (None, "DELETE", ()),
    ({"GET": "a"}, "GET", (("a",),)),
    ({"GET": "a"}, "HEAD", (("a",),)),
    ({"GET": "a", "HEAD": "b"}, "HEAD", (("b",),)),
    ({"GET": "a", "HEAD": "b"}, "GET", (("a",),)),
    ({"HEAD": "b"}, "GET", None),
    ({"GET": "a"}, "POST", None),
    ({"GET": "a"}, "OPTIONS", None),
    ({"GET": "a"}, "get", None),
    ({"GET": "a"}, None, None),
    ({"GET": None}, "GET", ()),
    ({"GET": []}, "GET", ()),
    ({"GET": "a", "*": "b"}, "POST", (("b",),)),
    ({"GET": "a", "*": "b"}, "OPTIONS", (("b",),)),
    ({"GET": "a", "*": "b"}, "HEAD", (("a",),)),
    ({"POST": "a", "*": "b"}, "HEAD", (("b",),)),
    ({"GET": "a", "*": "b"}, None, (("b",),)),
    ({"POST": ["a b", "c"]}, "POST", (("a", "b"), ("c",))),
]


@pytest.mark.parametrize(("value", "method", "alternatives"), METHODS, ids=repr)
def test_requirements_by_method(value: Any, method: str | None, alternatives: Any) -> None:
    """HEAD counts as GET unless it is named, ``*`` stands for the rest, and what has no entry is granted to nobody."""
    requirement = parse_scopes(value).for_method(method)
    assert (None if requirement is None else requirement.alternatives) == alternatives


NEAREST = [
    (None, set(), ()),
    ([], {"a"}, ()),
    ("a b", set(), ("a", "b")),
    ("a b", {"a"}, ("a", "b")),
    (["a b", "c"], set(), ("c",)),
    (["a b", "c"], {"a"}, ("a", "b")),
    (["a b", "c d"], {"d"}, ("c", "d")),
    (["a", "b"], set(), ("a",)),
    (["b", "a"], set(), ("b",)),
    (["a b c", "d e"], {"x"}, ("d", "e")),
]


@pytest.mark.parametrize(("value", "held", "expected"), NEAREST)
def test_nearest_alternative(value: Any, held: set[str], expected: tuple[str, ...]) -> None:
    """E8: the challenge names one alternative in full, the one that misses the fewest scopes, the first of several."""
    assert parse_requirement(value, "scopes").nearest_alternative(frozenset(held)) == expected


def test_nearest_alternative_of_a_token_without_scopes() -> None:
    """Where nothing was presented, the smallest alternative is named."""
    assert parse_requirement(["a b", "c"], "scopes").nearest_alternative() == ("c",)


VALUES = [
    (None, set()),
    ("", set()),
    (" ", set()),
    ("read", {"read"}),
    ("read write", {"read", "write"}),
    ("  read   write ", {"read", "write"}),
    ("read read", {"read"}),
    ("read\twrite", {"read\twrite"}),
    ("read\nwrite", {"read\nwrite"}),
    ("read,write", {"read,write"}),
    ("readwrite", {"readwrite"}),
    ("Read", {"Read"}),
    (["read", "write"], {"read", "write"}),
    (("read write",), {"read write"}),
    ({"read"}, {"read"}),
    (frozenset({"read"}), {"read"}),
    ([], set()),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=repr)
def test_values_of_a_token(value: Any, expected: set[str]) -> None:
    """R119, R121: a string is split at spaces and nothing else, a list is taken as it is."""
    assert read_values(value) == expected
    assert isinstance(read_values(value), frozenset)


@pytest.mark.parametrize(
    "value", [7, True, 1.5, b"read", {"read": 1}, ["read", 7], [None], [["read"]], object(), iter(["read"])], ids=repr
)
def test_values_of_a_wrong_type(value: Any) -> None:
    """R121: of anything else nobody can tell what was granted."""
    with pytest.raises(ValueError, match=r"^neither a string nor a list of strings$"):
        read_values(value)


@pytest.mark.parametrize("held", ["Read", "read:all", "xread", "read\twrite", "read,write", "readwrite", ""])
def test_exact_scopes(held: str) -> None:
    """R119, R121: none of these is ``read``."""
    assert not parse_requirement("read", "scopes").is_met_by(read_values(held))


def test_mappings_are_copied_too() -> None:
    """A keyword of a site's own may be a mapping; what a hook does to it changes nothing."""
    given: Any = {"a": ["x"], "b": ({"y"}, "z")}
    copied = own_copy(given)
    assert copied == given
    copied["a"].append("changed")
    copied.clear()
    assert given == {"a": ["x"], "b": ({"y"}, "z")}
