"""The arguments of a guard are parsed."""

from typing import Any

import pytest

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.requirements import (
    ATTRIBUTES,
    Requirements,
    describe_requirements,
    parse_requirements,
)
from async_oauth_guard.protocol.scopes import parse_requirement, parse_scopes
from tests.ids import described


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


@pytest.mark.parametrize(("keywords", "expected"), CASES, ids=lambda part: described(part)[:60])
def test_keywords(keywords: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each argument has its place. Unknown ones are kept for the validators, strings in a list."""
    requirements = parse_requirements(**keywords)
    assert {name: getattr(requirements, name) for name in FIELDS} == {
        **{name: getattr(NOTHING, name) for name in FIELDS},
        **expected,
    }


def test_scopes_are_positional() -> None:
    """The first argument is ``scopes``."""
    assert parse_requirements("a") == parse_requirements(scopes="a")


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"scopes": "a", "scope": "a"}, TypeError, "^scopes and scope are the same argument"),
    ({"scopes": [], "scope": []}, TypeError, "^scopes and scope are the same argument"),
    ({"scope": ""}, ValueError, "^scopes must not have a blank alternative"),
    ({"require_user": 1}, TypeError, "^require_user must be True or False, got int"),
    ({"require_user": None}, TypeError, "^require_user must be True or False, got NoneType"),
    ({"fresh": "yes"}, TypeError, "^fresh must be True or False, got str"),
    ({"sender_constrained": 1}, TypeError, "^sender_constrained must be True or False, got int"),
    ({"acr_values": 7}, TypeError, "^acr_values must be "),
    ({"acr_values": []}, ValueError, "^acr_values must "),
    ({"max_age": "1"}, TypeError, "^max_age must be "),
    ({"max_age": -1}, ValueError, "^max_age must "),
    ({"authorization_details": "a"}, TypeError, "^authorization_details must be "),
    ({"authorization_details": {}}, ValueError, "^authorization_details must "),
    ({"check": "name"}, TypeError, "^check must be a callable .* got str"),
    ({"check": True}, TypeError, "^check must be a callable .* got bool"),
    ({"check": [check, None]}, TypeError, "^check must be a callable .* got NoneType"),
    ({"check": {check}}, TypeError, "^check must be a callable .* got set"),
    ({"groups": ""}, ValueError, "^groups must not have a blank alternative"),
    ({"groups": 7}, TypeError, "^groups must be "),
    ({"roles": {"GET": "a"}}, TypeError, "^roles must be .* got dict"),
    ({"entitlements": [7]}, TypeError, "^entitlements: "),
]


@pytest.mark.parametrize(("keywords", "error", "message"), WRONG, ids=lambda part: described(part)[:60])
def test_wrong_keywords(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    """R120, R134: an invalid argument is refused by name when the view is guarded."""
    with pytest.raises(error, match=message):
        parse_requirements(**keywords)


NAMES: list[tuple[dict[str, Any], bool, tuple[str, ...]]] = [
    ({"scopes": "a", "check": check, "require_user": True, "fresh": True}, False, ()),
    ({"groups": "a"}, False, ("groups",)),
    ({"acr_values": "gold"}, True, ("acr", "auth_time")),
    ({"max_age": 0, "roles": "a"}, True, ("roles", "acr", "auth_time")),
    ({"authorization_details": {"type": "a"}}, True, ("authorization_details",)),
    ({"sender_constrained": True}, True, ()),
]


@pytest.mark.parametrize(("keywords", "narrow", "names"), NAMES, ids=lambda part: repr(part)[:60])
def test_what_is_read_of_a_row(keywords: dict[str, Any], narrow: bool, names: tuple[str, ...]) -> None:
    """Only what a requirement needs is read, because reading it may cost a query."""
    requirements = parse_requirements(**keywords)
    assert (requirements.narrow_tokens, requirements.attribute_names) == (narrow, names)
    assert requirements.go_beyond_scopes == any(name in keywords for name in ("check", "groups", "roles"))


def test_attributes() -> None:
    """RFC 9068 names three attributes. Each has its own reason for a token that lacks the required values."""
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
    ({"scopes": {"GET": None, "POST": ["a b", "c"]}}, "GET: any token; POST: a and b, or c; other methods: refused"),
    ({"scopes": {"*": None}}, "any token"),
    ({"groups": "staff", "roles": ["editor author", "chief"]}, "groups staff; roles editor and author, or chief"),
    ({"groups": []}, "any token"),
    ({"scopes": "a", "require_user": True, "fresh": True}, "a; a user; fresh"),
    ({"check": [is_own_page, Own()]}, "check is_own_page; check Own"),
    ({"acr": "gold"}, "acr by its validator"),
    ({"acr_values": ["gold", "silver"], "max_age": 300}, "acr gold or silver; a login at most 300 s ago"),
    ({"scopes": "a", "acr_values": "gold"}, "a; acr gold"),
    ({"max_age": 0}, "a login at most 0 s ago"),
    ({"authorization_details": [{"type": "a"}, {"type": "b"}]}, "authorization_details a or b"),
    ({"sender_constrained": True, "require_user": True}, "sender-constrained; a user"),
]


@pytest.mark.parametrize(("keywords", "words"), WORDS, ids=lambda part: described(part)[:60])
def test_words(keywords: dict[str, Any], words: str) -> None:
    """The description of requirements is readable text with "and" and "or"."""
    assert describe_requirements(parse_requirements(**keywords)) == words
