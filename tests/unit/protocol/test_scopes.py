"""The grammar of scope requirements."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_oauth_guard import ResourceProtector
from async_oauth_guard.protocol.scopes import (
    Requirement,
    parse_implied_scopes,
    parse_requirement,
    parse_scopes,
    read_values,
    with_implied,
)
from tests.ids import described

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
    """A list requires any of its members. A string or a group requires all of them."""
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
    """R119, R120: AND, OR and mixtures of them accept exactly the tokens that a naive reading of the rules accepts."""
    requirement = parse_scopes(required).for_method("GET")
    assert requirement is not None
    assert requirement.is_met_by(read_values(" ".join(sorted(held)))) == is_enough(required, held)


@settings(deadline=None)
@given(required=requirements, held=st.frozensets(scope_names))
def test_nearest_alternative_suffices(required: Any, held: frozenset[str]) -> None:
    """The alternative in a challenge would be sufficient, and no other lacks fewer of the held scopes."""
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


@pytest.mark.parametrize(("value", "alternatives", "given_to_hooks"), ALTERNATIVES, ids=described)
def test_alternatives(value: Any, alternatives: Any, given_to_hooks: Any) -> None:
    """R120: strings are AND, lists are OR, and hooks written for Authlib get ``None`` or a list."""
    expected = Requirement(alternatives=alternatives, written=given_to_hooks)
    assert parse_requirement(value, "scopes") == expected
    assert [parse_scopes(value).for_method(method) for method in ("GET", "X", None)] == [expected] * 3
    assert parse_requirement(value, "scopes").for_hook() == given_to_hooks


def test_lists_that_hooks_get_are_their_own() -> None:
    """A hook that changes its list does not change the requirement, or what the next hook gets."""
    value = [["a", "b"], "c"]
    requirement = parse_requirement(value, "scopes")
    handed = requirement.for_hook()
    assert handed == value
    handed[0].append("x")
    handed.clear()
    assert requirement.for_hook() == value == [["a", "b"], "c"]
    assert requirement.alternatives == (("a", "b"), ("c",))


WRONG: list[tuple[Any, type[Exception], str]] = [
    ("", ValueError, "scopes must not have a blank alternative"),
    ("  ", ValueError, "scopes must not have a blank alternative"),
    ([""], ValueError, "scopes must not have a blank alternative"),
    (["a", " "], ValueError, "scopes must not have a blank alternative"),
    (["a", []], ValueError, "scopes must not have a blank alternative"),
    ([["a", ""]], ValueError, "scopes must not have a blank alternative"),
    ([["a", " "]], ValueError, "scopes must not have a blank alternative"),
    ([()], ValueError, "scopes must not have a blank alternative"),
    (7, TypeError, "scopes must be a string, a list of strings or None, got int"),
    (b"a", TypeError, "scopes must be a string, a list of strings or None, got bytes"),
    (True, TypeError, "scopes must be a string, a list of strings or None, got bool"),
    (iter(["a"]), TypeError, "scopes must be a string, a list of strings or None, got list_iterator"),
    (["a", 7], TypeError, "scopes: a list must contain strings or lists of strings, got int"),
    ([None], TypeError, "scopes: a list must contain strings or lists of strings, got NoneType"),
    ([b"a"], TypeError, "scopes: a list must contain strings or lists of strings, got bytes"),
    ([{"a": 1}], TypeError, "scopes: a list must contain strings or lists of strings, got dict"),
    ([["a", 7]], TypeError, "scopes: an inner list must contain only strings"),
    ([["a", None]], TypeError, "scopes: an inner list must contain only strings"),
    ([["a", ("b",)]], TypeError, "scopes: an inner list must contain only strings"),
    ('a"b', ValueError, "scopes: 'a\"b' has characters that are not allowed in a scope"),
    ("a\\b", ValueError, "scopes: .* has characters that are not allowed in a scope"),
    (["é"], ValueError, "scopes: 'é' has characters that are not allowed in a scope"),
    (["a", "b\x7f"], ValueError, "scopes: .* has characters that are not allowed in a scope"),
    ([["a b"]], ValueError, "scopes: 'a b' has characters that are not allowed in a scope"),
    ("a\0", ValueError, "scopes: .* has characters that are not allowed in a scope"),
    ({}, ValueError, r"scopes must name at least one HTTP method, or '\*', got an empty mapping"),
    ({"get": "a"}, ValueError, "scopes: an HTTP method must be in capitals.*got 'get'"),
    ({"Get": "a"}, ValueError, "scopes: an HTTP method must be in capitals.*got 'Get'"),
    ({"": "a"}, ValueError, "scopes: an HTTP method must be in capitals.*got ''"),
    ({7: "a"}, TypeError, "scopes: an HTTP method must be a string such as 'GET', got int"),
    ({None: "a"}, TypeError, "scopes: an HTTP method must be a string such as 'GET', got NoneType"),
    ({"GET": 7}, TypeError, "scopes must be a string, a list of strings or None, got int"),
    ({"GET": ""}, ValueError, "scopes must not have a blank alternative"),
    ({"GET": {"GET": "a"}}, TypeError, "scopes must be a string, a list of strings or None, got dict"),
    ({"GET": "é"}, ValueError, "scopes: .* has characters that are not allowed in a scope"),
]


@pytest.mark.parametrize(("value", "error", "message"), WRONG, ids=described)
def test_wrong_scopes(value: Any, error: type[Exception], message: str) -> None:
    """R120: a wrong type is a ``TypeError``, a blank alternative a ``ValueError``, and each names the argument."""
    with pytest.raises(error, match=f"^{message}"):
        parse_scopes(value)


@pytest.mark.parametrize("value", ['a"b', "é", ["a\\b"], [["a b"]]], ids=described)
def test_other_requirements_are_no_scopes(value: Any) -> None:
    """Groups and roles have the grammar of scopes, but allow any characters."""
    assert parse_requirement(value, "groups").alternatives


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("", ValueError, "groups must not have a blank"),
        (7, TypeError, "groups must be a string"),
        ([7], TypeError, "groups: a list"),
    ],
)
def test_messages_name_the_argument(value: Any, error: type[Exception], message: str) -> None:
    """An error in another requirement than scopes names it."""
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


@pytest.mark.parametrize(("value", "method", "alternatives"), METHODS, ids=described)
def test_requirements_by_method(value: Any, method: str | None, alternatives: Any) -> None:
    """HEAD counts as GET unless it is named, ``*`` covers all other methods, and methods without entry are refused."""
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
    """E8: the challenge names the first alternative that lacks the fewest scopes."""
    assert parse_requirement(value, "scopes").nearest_alternative(frozenset(held)) == expected


def test_nearest_alternative_of_a_token_without_scopes() -> None:
    """Without credentials the smallest alternative is named."""
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


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=described)
def test_values_of_a_token(value: Any, expected: set[str]) -> None:
    """R119, R121: a string is split at spaces only, and a list is not split."""
    assert read_values(value) == expected
    assert isinstance(read_values(value), frozenset)


@pytest.mark.parametrize(
    "value",
    [7, True, 1.5, b"read", {"read": 1}, ["read", 7], [None], [["read"]], object(), iter(["read"])],
    ids=described,
)
def test_values_of_a_wrong_type(value: Any) -> None:
    """R121: for any other value it is unclear what was granted, so it is an error."""
    with pytest.raises(ValueError, match=r"^neither a string nor a list of strings$"):
        read_values(value)


@pytest.mark.parametrize("held", ["Read", "read:all", "xread", "read\twrite", "read,write", "readwrite", ""])
def test_exact_scopes(held: str) -> None:
    """R119, R121: none of these values contains ``read``."""
    assert not parse_requirement("read", "scopes").is_met_by(read_values(held))


IMPLIED: list[tuple[Any, set[str], set[str]]] = [
    ({}, {"a"}, {"a"}),
    ({"admin": ["read", "write"]}, {"admin", "x"}, {"admin", "read", "write", "x"}),
    ({"admin": ["read"]}, {"read"}, {"read"}),
    ({"admin": "read write"}, {"admin"}, {"admin", "read", "write"}),
    ({"admin": ("write",), "write": {"read"}}, {"admin"}, {"admin", "write", "read"}),
    ({"a": ["b"], "b": ["c"], "c": ["a"]}, {"b"}, {"a", "b", "c"}),
    ({"a": ["a"]}, {"a"}, {"a"}),
    ({"a": []}, {"a"}, {"a"}),
    ({"a": ["c"], "b": ["d"]}, {"a", "b"}, {"a", "b", "c", "d"}),
    ({"Admin": ["read"]}, {"admin"}, {"admin"}),
]


@pytest.mark.parametrize(("implied", "held", "expected"), IMPLIED)
def test_implied_scopes(implied: Any, held: set[str], expected: set[str]) -> None:
    """R115: scopes count together with all that they imply, directly or through others, in cycles too."""
    assert with_implied(frozenset(held), parse_implied_scopes(implied)) == expected
    assert with_implied(frozenset(held), None) == held


WRONG_IMPLIED: list[tuple[Any, type[Exception], str]] = [
    (["admin"], TypeError, "^implied_scopes must be a mapping, such as .*, got list"),
    ({7: ["a"]}, TypeError, "^implied_scopes: a scope must be a string, got int"),
    ({"a": 7}, TypeError, "^implied_scopes: a value must be a list of scopes, got int"),
    ({"a": None}, TypeError, "^implied_scopes: a value must be a list of scopes, got NoneType"),
    ({"a": [7]}, TypeError, "^implied_scopes: a scope must be a string, got int"),
    ({"a": [["b"]]}, TypeError, "^implied_scopes: a scope must be a string, got list"),
    ({"": ["a"]}, ValueError, "^implied_scopes: '' is not a scope"),
    ({"a b": ["c"]}, ValueError, "^implied_scopes: 'a b' is not a scope"),
    ({"a": ["b c"]}, ValueError, "^implied_scopes: 'b c' is not a scope"),
    ({"a": ["é"]}, ValueError, "^implied_scopes: 'é' is not a scope"),
]


@pytest.mark.parametrize(("value", "error", "message"), WRONG_IMPLIED, ids=repr)
def test_wrong_implied_scopes(value: Any, error: type[Exception], message: str) -> None:
    """R115: an implication that no token could use is refused when the protector is created."""
    with pytest.raises(error, match=message):
        parse_implied_scopes(value)
    with pytest.raises(error, match=r"^implied_scopes"):
        ResourceProtector(implied_scopes=value)
