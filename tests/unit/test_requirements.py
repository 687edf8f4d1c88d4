"""The keywords of a guard, compiled."""

from typing import Any

import pytest

from async_oauth_guard.errors import Reason
from async_oauth_guard.requirements import ATTRIBUTES, Requirements, describe_requirements, parse_requirements
from async_oauth_guard.scopes import parse_requirement, parse_scopes


def check(request: Any, token: Any) -> bool:
    return True


NOTHING = Requirements(parse_scopes(None), {}, require_user=False, checks=(), extra={})
FIELDS = ("scopes", "attributes", "require_user", "checks", "extra")

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"scopes": "a"}, {"scopes": parse_scopes("a")}),
    ({"scope": "a"}, {"scopes": parse_scopes("a")}),
    ({"scopes": None, "scope": ["a"]}, {"scopes": parse_scopes(["a"])}),
    ({"scopes": ["a"], "scope": None}, {"scopes": parse_scopes(["a"])}),
    ({"scope": {"GET": "a"}}, {"scopes": parse_scopes({"GET": "a"})}),
    ({"scopes": []}, {"scopes": parse_scopes([])}),
    ({"groups": "a"}, {"attributes": {"groups": parse_requirement("a", "groups")}}),
    ({"roles": ["a b", "c"]}, {"attributes": {"roles": parse_requirement(["a b", "c"], "roles")}}),
    ({"entitlements": [["a b"]]}, {"attributes": {"entitlements": parse_requirement([["a b"]], "entitlements")}}),
    ({"groups": None, "roles": "é"}, {"attributes": {"roles": parse_requirement("é", "roles")}}),
    ({"groups": []}, {"attributes": {"groups": parse_requirement([], "groups")}}),
    ({"require_user": True}, {"require_user": True}),
    ({"fresh": True}, {}),
    ({"check": None}, {}),
    ({"check": check}, {"checks": (check,)}),
    ({"check": [check, check]}, {"checks": (check, check)}),
    ({"check": (check,)}, {"checks": (check,)}),
    ({"check": []}, {}),
    ({"acr": "gold"}, {"extra": {"acr": ["gold"]}}),
    ({"acr": ["gold"]}, {"extra": {"acr": ["gold"]}}),
    ({"acr": None, "level": 7}, {"extra": {"acr": None, "level": 7}}),
    ({"acr": "", "groups": "a"}, {"extra": {"acr": [""]}, "attributes": {"groups": parse_requirement("a", "groups")}}),
]


@pytest.mark.parametrize(("keywords", "expected"), CASES, ids=lambda part: repr(part)[:60])
def test_keywords(keywords: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each keyword ends where it belongs; those that are not ours are kept for the validators, strings in a list."""
    requirements = parse_requirements(**keywords)
    assert {name: getattr(requirements, name) for name in FIELDS} == {
        **{name: getattr(NOTHING, name) for name in FIELDS},
        **expected,
    }


def test_scopes_are_positional() -> None:
    """The first argument is ``scopes``."""
    assert parse_requirements("a") == parse_requirements(scopes="a")


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"scopes": "a", "scope": "a"}, TypeError, "^scopes and scope are two spellings of one argument"),
    ({"scopes": [], "scope": []}, TypeError, "^scopes and scope are two spellings of one argument"),
    ({"scope": ""}, ValueError, "^scopes: a blank alternative"),
    ({"require_user": 1}, TypeError, "^require_user: True or False is wanted, not int"),
    ({"require_user": None}, TypeError, "^require_user: True or False is wanted, not NoneType"),
    ({"fresh": "yes"}, TypeError, "^fresh: True or False is wanted, not str"),
    ({"check": "name"}, TypeError, "^check: a callable .* is wanted, not str"),
    ({"check": True}, TypeError, "^check: a callable .* is wanted, not bool"),
    ({"check": [check, None]}, TypeError, "^check: a callable .* is wanted, not NoneType"),
    ({"check": {check}}, TypeError, "^check: a callable .* is wanted, not set"),
    ({"groups": ""}, ValueError, "^groups: a blank alternative"),
    ({"groups": 7}, TypeError, "^groups: "),
    ({"roles": {"GET": "a"}}, TypeError, "^roles: .* not dict"),
    ({"entitlements": [7]}, TypeError, "^entitlements: "),
]


@pytest.mark.parametrize(("keywords", "error", "message"), WRONG, ids=lambda part: repr(part)[:60])
def test_wrong_keywords(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    """R120, R134: what cannot work is refused when the view is guarded, by the argument's name."""
    with pytest.raises(error, match=message):
        parse_requirements(**keywords)


def test_attributes() -> None:
    """RFC 9068 names three attributes, and a token without one of them is refused for that reason."""
    assert ATTRIBUTES == {
        "groups": Reason.INSUFFICIENT_GROUPS,
        "roles": Reason.INSUFFICIENT_ROLES,
        "entitlements": Reason.INSUFFICIENT_ENTITLEMENTS,
    }


def is_own_page() -> None: ...


class Own:
    def __call__(self) -> None: ...


WORDS: list[tuple[dict[str, Any], str]] = [
    ({}, "any token"),
    ({"scopes": []}, "any token"),
    ({"scopes": "profile"}, "profile"),
    ({"scopes": "profile email"}, "profile and email"),
    ({"scopes": ["profile", "email"]}, "profile or email"),
    ({"scopes": ["profile email", "user"]}, "profile and email, or user"),
    ({"scopes": {"GET": "read", "*": "write"}}, "GET: read; other methods: write"),
    ({"scopes": {"*": "write", "GET": "read"}}, "GET: read; other methods: write"),
    ({"scopes": {"GET": None, "POST": ["a b", "c"]}}, "GET: any token; POST: a and b, or c; other methods: no token"),
    ({"scopes": {"*": None}}, "any token"),
    ({"groups": "staff", "roles": ["editor author", "chief"]}, "groups staff; roles editor and author, or chief"),
    ({"groups": []}, "any token"),
    ({"scopes": "a", "require_user": True, "fresh": True}, "a; a user; fresh"),
    ({"check": [is_own_page, Own()]}, "check is_own_page; check Own"),
    ({"acr": "gold"}, "acr by its validator"),
]


@pytest.mark.parametrize(("keywords", "words"), WORDS, ids=lambda part: repr(part)[:60])
def test_words(keywords: dict[str, Any], words: str) -> None:
    """What is asked for can be read: who knows the words "and" and "or" needs no grammar."""
    assert describe_requirements(parse_requirements(**keywords)) == words
