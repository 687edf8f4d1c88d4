"""Finds the methods of a validator that the site overrides."""

import functools
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from authlib.oauth2.rfc6750 import BearerTokenValidator as AuthlibBearerTokenValidator

from async_oauth_guard import BearerTokenValidator, TokenValidator
from async_oauth_guard.validators.hooks import Hooks, hooks_of, keywords_named, keywords_taken, overridden
from tests.site.models import OAuth2Token

HOOKS = ("authenticate_token", "validate_token", "validate_request", "scope_insufficient")


class Plain(TokenValidator):
    """Overrides nothing."""


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
    """Inherits hooks from the site's own base class."""


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
    """Only methods that the site wrote are found, not our methods and not Authlib's empty ones."""
    assert {name for name in HOOKS if overridden(validator, name) is not None} == expected


def test_hook_is_the_bound_method() -> None:
    """The method that is found is bound."""
    validator = Sync()
    assert overridden(validator, "validate_request") == validator.validate_request


def test_wrapped_method() -> None:
    """Our method in the site's wrapper counts as the site's, because the wrapper may check more."""

    def audited(method: Any) -> Any:
        @functools.wraps(method)
        def call(*arguments: Any) -> Any:
            return method(*arguments)

        return call

    owner = type("Owner", (TokenValidator,), {"validate_token": audited(TokenValidator.validate_token)})()
    assert overridden(owner, "validate_token") == owner.validate_token


def test_method_put_into_our_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that a test sets on our class counts as the site's until the test removes it."""
    monkeypatch.setattr(TokenValidator, "validate_token", lambda *arguments: None)
    assert overridden(Plain(), "validate_token") is not None
    monkeypatch.undo()
    assert overridden(Plain(), "validate_token") is None


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
    """The keywords are the parameters after token, scopes and request, or all with ``**``."""
    assert set(keywords_taken(function, ASKED)) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (names_roles, {"roles", "level"}),
        (takes_all, set()),
        (takes_some_and_all, {"roles"}),
        (named_like_a_keyword, set()),
    ],
)
def test_keywords_named(function: Any, expected: set[str]) -> None:
    """A parameter ``**`` names no keyword, and the first three parameters are none, whatever their names."""
    assert set(keywords_named(function, ASKED)) == expected


def test_nothing_asked_is_nothing_taken() -> None:
    """Without keywords, none is accepted."""
    assert set(keywords_taken(takes_all, {})) == set()
    assert set(keywords_taken(names_roles, {})) == set()


def test_rest_of_the_positional_arguments_is_no_keyword() -> None:
    """``*roles`` is not a keyword ``roles``, so passing one would raise a ``TypeError``."""
    assert set(keywords_taken(takes_rest, ASKED)) == set()


class Slotted:
    """Has no dictionary, and not all methods."""

    __slots__ = ()

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None: ...


def test_hooks() -> None:
    """`hooks_of` finds what `overridden` finds, in the class and in the object, whatever else the class lacks."""
    plain, slotted = Plain(), Slotted()
    assert hooks_of(plain) == Hooks()
    assert hooks_of(slotted) == Hooks(validate_token=slotted.validate_token)
    own = lambda *arguments: None  # noqa: E731
    plain.scope_insufficient = own  # type: ignore[method-assign]
    assert hooks_of(plain) == Hooks(scope_insufficient=own)
