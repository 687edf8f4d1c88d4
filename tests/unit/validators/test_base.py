"""The base class of validators: its options, its public methods, and how it reads the state of a token."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.functional import SimpleLazyObject

from async_oauth_guard import (
    InsufficientScopeError,
    IntrospectTokenValidator,
    InvalidTokenError,
    JWTBearerTokenValidator,
    TokenValidator,
)
from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.access_token import AccessToken, TokenState
from async_oauth_guard.protocol.secrets import PresentedToken, Secret
from async_oauth_guard.runtime.effects import Call
from tests.site.models import OAuth2Token
from tests.unit.driving import authorization_context

ALICE = User(pk=7)
BOB = User(pk=8, is_active=False)


def test_options() -> None:
    """A validator has the same attributes as Authlib's: a scheme, a realm and challenge parameters."""
    validator = TokenValidator("r", server="s")
    assert isinstance(validator, AuthlibTokenValidator)
    assert (validator.TOKEN_TYPE, validator.realm, validator.extra_attributes) == ("bearer", "r", {"server": "s"})
    assert (validator.require_active_user, validator.blocking_methods) == (True, False)
    assert TokenValidator().realm is None
    assert TokenValidator().recognises("anything") is True


@pytest.mark.parametrize(("realm", "attributes"), [("é", {}), (None, {"a": "é"}), (None, {"scope": "x"})])
def test_wrong_options(realm: str | None, attributes: dict[str, str]) -> None:
    """R16: a value that a challenge cannot contain is refused when the validator is created."""
    with pytest.raises(ValueError):
        TokenValidator(realm, **attributes)


class Source(TokenValidator):
    """Finds tokens by its own flow."""

    def authenticate_flow(self, token: Secret[str]) -> Any:
        found = yield Call(self.look_up, (token,))
        return found

    def look_up(self, token: str) -> Any:
        assert type(token) is PresentedToken
        return {"good": OAuth2Token(pk=1, scope="a b", user=ALICE, roles=["r"])}.get(token)


def test_authenticate_token() -> None:
    """`authenticate_token` returns the token or ``None``, without checking its lifetime and scopes."""
    assert Source().authenticate_token("good").pk == 1
    assert Source().authenticate_token("bad") is None
    assert asyncio.run(Source().aauthenticate_token("good")).pk == 1
    assert asyncio.run(Source().aauthenticate_token("bad")) is None


def sync_validate(validator: Any, *args: Any, **kwargs: Any) -> Any:
    return validator.validate_token(*args, **kwargs)


def async_validate(validator: Any, *args: Any, **kwargs: Any) -> Any:
    return asyncio.run(validator.avalidate_token(*args, **kwargs))


VERDICTS: list[tuple[Any, Any, dict[str, Any], Any]] = [
    (OAuth2Token(scope="a b"), None, {}, None),
    (OAuth2Token(scope="a b"), "a", {}, None),
    (OAuth2Token(scope="a b"), ["c", "a b"], {}, None),
    (OAuth2Token(scope="a b"), "c", {}, Reason.INSUFFICIENT_SCOPE),
    (OAuth2Token(expires_at=1), None, {}, Reason.EXPIRED),
    (OAuth2Token(revoked=True), None, {}, Reason.REVOKED),
    (OAuth2Token(user=BOB), None, {}, Reason.INACTIVE_USER),
    (None, None, {}, Reason.UNKNOWN_TOKEN),
    (OAuth2Token(scope="a", groups=["g"]), "a", {"groups": "g"}, None),
]


@pytest.mark.parametrize("validate", [sync_validate, async_validate])
@pytest.mark.parametrize(("token", "scopes", "attributes", "reason"), VERDICTS)
def test_validate_token(validate: Any, token: Any, scopes: Any, attributes: Any, reason: Any) -> None:
    """R26, R27: `validate_token` checks a token as the guard does."""
    if reason is None:
        assert validate(TokenValidator(), token, scopes, None, **attributes) is None
        return
    with pytest.raises((InvalidTokenError, InsufficientScopeError)) as caught:
        validate(TokenValidator(), token, scopes, None, **attributes)
    assert caught.value.reason == reason


ASKED = [("groups", Reason.INSUFFICIENT_GROUPS), ("roles", Reason.INSUFFICIENT_ROLES)]


@pytest.mark.parametrize("validate", [sync_validate, async_validate])
@pytest.mark.parametrize(("name", "reason"), ASKED)
def test_validate_token_and_attributes(validate: Any, name: str, reason: Reason) -> None:
    """`validate_token` also checks groups, roles and entitlements."""
    with pytest.raises(InsufficientScopeError) as caught:
        validate(TokenValidator(), OAuth2Token(scope="a"), "a", None, **{name: "x"})
    assert caught.value.reason == reason


@pytest.mark.parametrize("validate", [sync_validate, async_validate])
def test_own_scope_rule_in_validate_token(validate: Any) -> None:
    """As in Authlib, ``validate_token`` calls a custom ``scope_insufficient``."""

    class Own(TokenValidator):
        @staticmethod
        def scope_insufficient(token_scopes: Any, required_scopes: Any) -> bool:
            return (token_scopes, required_scopes) != ("a", ["x"])

    validate(Own(), OAuth2Token(scope="a"), "x", None)
    with pytest.raises(InsufficientScopeError):
        validate(Own(), OAuth2Token(scope="a"), "y", None)


async def _coroutine_function(self: Any, *arguments: Any) -> Any: ...


@pytest.mark.parametrize("base", [TokenValidator, JWTBearerTokenValidator, IntrospectTokenValidator])
@pytest.mark.parametrize("name", ["cache_identity", "owns", "recognises", "scope_insufficient", "validate_iss"])
@pytest.mark.parametrize(
    "method", [_coroutine_function, staticmethod(_coroutine_function), "tenant", property(lambda self: "tenant")]
)
def test_hooks_that_must_be_plain(method: Any, name: str, base: type) -> None:
    """A hook that is async where it cannot be awaited, or is not a method, is refused when its class is created."""
    with pytest.raises(TypeError, match=rf"^Own\.{name} must be a method written with def, not async def$"):
        type("Own", (base,), {name: method})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda: Source().authenticate_token("good"), r"await aauthenticate_token\(\) instead"),
        (lambda: Source().validate_token(None, None, None), r"await avalidate_token\(\) instead"),
    ],
)
def test_sync_methods_on_an_event_loop(method: Any, message: str) -> None:
    """R126: the sync methods refuse to block an event loop, and name their async variants."""

    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=message):
            method()

    asyncio.run(main())


def test_class_without_a_source() -> None:
    """A subclass without ``authenticate_token`` gets an error that names it."""

    class Empty(TokenValidator):
        pass

    with pytest.raises(NotImplementedError, match=r"^Empty must define authenticate_token\(\)$"):
        Empty().authenticate_token("x")


def own(**values: Any) -> Any:
    """A token with Authlib's methods that is not a row."""
    return SimpleNamespace(**{"is_expired": bool, "is_revoked": bool, "get_scope": lambda: "a", **values})


class Related(SimpleNamespace):
    """A token whose class has a relation to a user."""

    user = None


def related(**values: Any) -> Any:
    return Related(**vars(own(**values)))


class FoundUser(dict[str, Any]):
    """The claims of a site, which looks up the user that they name."""

    user = property(lambda self: None)

    def get_scope(self) -> Any:
        return self["scope"]

    def is_expired(self) -> bool:
        return False

    is_revoked = is_expired


STATES: list[tuple[Any, TokenState]] = [
    (own(), TokenState(None, "a", None, {})),
    (own(is_expired=lambda: True, is_revoked=lambda: 1 / 0), TokenState(Reason.EXPIRED)),
    (own(is_revoked=lambda: True, get_scope=lambda: 1 / 0), TokenState(Reason.REVOKED)),
    (own(user=ALICE), TokenState(None, "a", ALICE, {})),
    (own(user=BOB), TokenState(Reason.INACTIVE_USER, "a", BOB, {})),
    (own(user=SimpleLazyObject(lambda: ALICE)), TokenState(None, "a", ALICE, {})),
    (own(user=SimpleLazyObject(lambda: BOB)), TokenState(Reason.INACTIVE_USER, "a", BOB, {})),
    (own(user=SimpleLazyObject(lambda: None)), TokenState(None, "a", None, {})),
    (own(user=AnonymousUser()), None),  # type: ignore[list-item]
    (own(user=SimpleNamespace(is_authenticated=False)), None),  # type: ignore[list-item]
    (own(user="a name"), TokenState(None, "a", "a name", {})),
    (own(user=SimpleNamespace(is_active=0)), None),  # type: ignore[list-item]
    (related(user_id=7), TokenState(Reason.INACTIVE_USER, "a", None, {})),
    (related(user_id=0), TokenState(Reason.INACTIVE_USER, "a", None, {})),
    (related(user_id=None), TokenState(None, "a", None, {})),
    (own(user_id=7), TokenState(None, "a", None, {})),
    (AccessToken({"scope": "a", "user_id": 7}), TokenState(None, "a", None, {}, None)),
    (FoundUser({"scope": "a", "user_id": 7}), TokenState(Reason.INACTIVE_USER, "a", None, {})),
    (FoundUser({"scope": "a"}), TokenState(None, "a", None, {})),
]


@pytest.mark.parametrize(("token", "state"), STATES)
def test_states(token: Any, state: TokenState | None) -> None:
    """R26, R123: the state is read in Authlib's order up to a refusal. A deleted or inactive user is refused."""
    read = TokenValidator().read_state(token, authorization_context())
    assert read == state if state is not None else read.reason == Reason.INACTIVE_USER


def test_attributes_of_a_state() -> None:
    """Only required attributes are read."""
    read = TokenValidator().read_state(
        own(groups=["g"], roles=["r"]), authorization_context(groups="g", entitlements="e")
    )
    assert read.attributes == {"groups": ["g"], "entitlements": None}


def test_inactive_users_may_be_allowed() -> None:
    """A validator without ``require_active_user`` lets inactive users in."""

    class Lenient(TokenValidator):
        require_active_user = False

    assert Lenient().read_state(own(user=BOB), authorization_context()).reason is None
    assert Lenient().read_state(related(user_id=7), authorization_context()).reason is None


@pytest.mark.parametrize("name", ["aauthenticate_token", "avalidate_token"])
def test_overridden_async_variants(name: str) -> None:
    """R124: a class that overrides an async variant is refused, because the guard never calls it."""

    async def async_variant(self: Any, *args: Any) -> None: ...

    for bases in ((TokenValidator,), (type("Mixin", (), {name: async_variant}), TokenValidator)):
        with pytest.raises(TypeError, match=rf"{name}\(\) would never be called: write async def {name[1:]}\(\)"):
            type("Own", bases, {name: async_variant} if len(bases) == 1 else {})


def test_user_who_is_gone() -> None:
    """A row whose user was deleted is refused, if the database allows such rows."""

    class Orphan(SimpleNamespace):
        @property
        def user(self) -> Any:
            raise User.DoesNotExist

    orphan = Orphan(is_expired=bool, is_revoked=bool, get_scope=lambda: "a")
    with pytest.raises(InvalidTokenError) as caught:
        TokenValidator().read_state(orphan, authorization_context())
    assert caught.value.reason == Reason.INACTIVE_USER
