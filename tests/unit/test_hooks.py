"""Which methods of a validator are its author's own."""

from typing import Any

import pytest
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from authlib.oauth2.rfc6750 import BearerTokenValidator as AuthlibBearerTokenValidator

from async_oauth_guard import BearerTokenValidator, TokenValidator
from async_oauth_guard.hooks import door, hook, keywords_taken
from tests.site.models import OAuth2Token

HOOKS = ("authenticate_token", "validate_token", "validate_request", "scope_insufficient")


class Plain(TokenValidator):
    """Defines nothing."""


class Sync(TokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return None

    def validate_token(self, token: Any, scopes: Any, request: Any, **attributes: Any) -> None:
        return None

    def validate_request(self, request: Any) -> None:
        return None

    def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
        return False


class Async(TokenValidator):
    async def authenticate_token(self, token_string: str) -> Any:
        return None

    async def validate_request(self, request: Any) -> None:
        return None


class Static(TokenValidator):
    @staticmethod
    def scope_insufficient(token_scopes: Any, required_scopes: Any) -> bool:
        return False


class Heir(Sync):
    """Inherits hooks from a class of its author's."""


class Back(Sync):
    validate_token = TokenValidator.validate_token


class OnTheInstance(TokenValidator):
    def __init__(self) -> None:
        super().__init__()
        self.validate_request = lambda request: None  # type: ignore[method-assign]


class OfAuthlib(AuthlibBearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return None


DEFINED: list[tuple[Any, set[str]]] = [
    (Plain(), set()),
    (BearerTokenValidator(OAuth2Token), set()),
    (BearerTokenValidator.for_django_oauth_toolkit(), set()),
    (Sync(), set(HOOKS)),
    (Heir(), set(HOOKS)),
    (Async(), {"authenticate_token", "validate_request"}),
    (Static(), {"scope_insufficient"}),
    (Back(), set(HOOKS) - {"validate_token"}),
    (OnTheInstance(), {"validate_request"}),
    (AuthlibTokenValidator(), {"authenticate_token", "validate_token"}),
    (OfAuthlib(), {"authenticate_token", "validate_token"}),
    (object(), set()),
]


@pytest.mark.parametrize(("validator", "expected"), DEFINED, ids=lambda part: type(part).__name__)
def test_defined_hooks(validator: Any, expected: set[str]) -> None:
    """Only what somebody has written something into is called: neither our doors nor Authlib's no-ops."""
    assert {name for name in HOOKS if hook(validator, name) is not None} == expected


def test_hook_is_the_bound_method() -> None:
    """What is found can be called as it is."""
    validator = Sync()
    assert hook(validator, "validate_request") == validator.validate_request


def test_doors() -> None:
    """A marked method stays itself, and is no hook for those who inherit it."""

    def method(self: Any) -> str:
        return "ours"

    assert door(method) is method
    owner = type("Owner", (), {"method": method})()
    assert owner.method() == "ours"
    assert hook(owner, "method") is None


def names_roles(token: Any, scopes: Any, request: Any, roles: Any = None, *, level: int = 0) -> None: ...
def takes_all(token: Any, scopes: Any, request: Any, **anything: Any) -> None: ...
def takes_some_and_all(token: Any, scopes: Any, request: Any, roles: Any, **anything: Any) -> None: ...
def takes_none(token: Any, scopes: Any, request: Any) -> None: ...
def named_like_a_keyword(roles: Any, groups: Any, level: Any) -> None: ...
def takes_rest(token: Any, scopes: Any, request: Any, *roles: Any) -> None: ...
async def names_roles_async(token: Any, scopes: Any, request: Any, roles: Any = None) -> None: ...


ASKED = {"roles": ["a"], "groups": ["b"], "level": 7}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (names_roles, {"roles", "level"}),
        (takes_all, {"roles", "groups", "level"}),
        (takes_some_and_all, {"roles", "groups", "level"}),
        (takes_none, set()),
        (named_like_a_keyword, set()),
        (names_roles_async, {"roles"}),
        (Sync().validate_token, {"roles", "groups", "level"}),
        (OfAuthlib().validate_token, set()),
    ],
)
def test_keywords_taken(function: Any, expected: set[str]) -> None:
    """The keywords are those after token, scopes and request, or all where there are two asterisks."""
    assert set(keywords_taken(function, ASKED)) == expected


def test_nothing_asked_is_nothing_taken() -> None:
    """Of no keywords none is taken."""
    assert set(keywords_taken(takes_all, {})) == set()
    assert set(keywords_taken(names_roles, {})) == set()


def test_rest_of_the_positional_arguments_is_no_keyword() -> None:
    """``*roles`` takes no keyword ``roles``, so to hand it one would be a ``TypeError`` at every request."""
    assert set(keywords_taken(takes_rest, ASKED)) == set()
