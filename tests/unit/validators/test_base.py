"""The base class of validators: its options, its doors, and what it reads of a token."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation

from async_oauth_guard import InsufficientScopeError, InvalidTokenError, TokenValidator
from async_oauth_guard.credentials import PresentedToken, Secret
from async_oauth_guard.effects import Call
from async_oauth_guard.errors import Reason
from async_oauth_guard.tokens import TokenState
from tests.site.models import OAuth2Token
from tests.unit.driving import inquire

ALICE = User(pk=7)
BOB = User(pk=8, is_active=False)


def test_options() -> None:
    """A validator has what Authlib's has: a scheme, a realm and attributes for the challenge."""
    validator = TokenValidator("r", server="s")
    assert isinstance(validator, AuthlibTokenValidator)
    assert (validator.TOKEN_TYPE, validator.realm, validator.extra_attributes) == ("bearer", "r", {"server": "s"})
    assert (validator.require_active_user, validator.blocking_methods) == (True, False)
    assert TokenValidator().realm is None
    assert TokenValidator().recognises("anything") is True


@pytest.mark.parametrize(("realm", "attributes"), [("é", {}), (None, {"a": "é"}), (None, {"scope": "x"})])
def test_wrong_options(realm: str | None, attributes: dict[str, str]) -> None:
    """R16: what cannot stand in a challenge is refused when the validator is built."""
    with pytest.raises(ValueError):
        TokenValidator(realm, **attributes)


class Source(TokenValidator):
    """Finds by its own flow."""

    def authenticate_flow(self, token: Secret[str]) -> Any:
        found = yield Call(self.look_up, (token,))
        return found

    def look_up(self, token: str) -> Any:
        assert type(token) is PresentedToken
        return {"good": OAuth2Token(pk=1, scope="a b", user=ALICE, roles=["r"])}.get(token)


def test_doors() -> None:
    """A token is found, or not; its lifetime and scopes are nobody's business there."""
    assert Source().authenticate_token("good").pk == 1
    assert Source().authenticate_token("bad") is None
    assert asyncio.run(Source().aauthenticate_token("good")).pk == 1
    assert asyncio.run(Source().aauthenticate_token("bad")) is None


def sync_door(validator: Any, *args: Any, **kwargs: Any) -> Any:
    return validator.validate_token(*args, **kwargs)


def async_door(validator: Any, *args: Any, **kwargs: Any) -> Any:
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


@pytest.mark.parametrize("judge", [sync_door, async_door])
@pytest.mark.parametrize(("token", "scopes", "attributes", "reason"), VERDICTS)
def test_verdicts(judge: Any, token: Any, scopes: Any, attributes: Any, reason: Any) -> None:
    """R26, R27: the other door judges what was found, as the guard does."""
    if reason is None:
        assert judge(TokenValidator(), token, scopes, None, **attributes) is None
        return
    with pytest.raises((InvalidTokenError, InsufficientScopeError)) as caught:
        judge(TokenValidator(), token, scopes, None, **attributes)
    assert caught.value.reason == reason


ASKED = [("groups", Reason.INSUFFICIENT_GROUPS), ("roles", Reason.INSUFFICIENT_ROLES)]


@pytest.mark.parametrize("judge", [sync_door, async_door])
@pytest.mark.parametrize(("name", "reason"), ASKED)
def test_verdicts_on_attributes(judge: Any, name: str, reason: Reason) -> None:
    """The door judges groups, roles and entitlements too, as its description says."""
    with pytest.raises(InsufficientScopeError) as caught:
        judge(TokenValidator(), OAuth2Token(scope="a"), "a", None, **{name: "x"})
    assert caught.value.reason == reason


@pytest.mark.parametrize("judge", [sync_door, async_door])
def test_own_scope_rule_behind_the_door(judge: Any) -> None:
    """As in Authlib, ``validate_token`` calls a ``scope_insufficient`` of the site's own, of either colour."""

    class Own(TokenValidator):
        @staticmethod
        def scope_insufficient(token_scopes: Any, required_scopes: Any) -> bool:
            return (token_scopes, required_scopes) != ("a", ["x"])

    class AsyncOwn(TokenValidator):
        async def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
            return (token_scopes, required_scopes) != ("a", ["x"])

    for validator in (Own(), AsyncOwn()):
        judge(validator, OAuth2Token(scope="a"), "x", None)
        with pytest.raises(InsufficientScopeError):
            judge(validator, OAuth2Token(scope="a"), "y", None)


@pytest.mark.parametrize(
    ("door", "message"),
    [
        (lambda: Source().authenticate_token("good"), r"await aauthenticate_token\(\) instead"),
        (lambda: Source().validate_token(None, None, None), r"await avalidate_token\(\) instead"),
    ],
)
def test_doors_on_a_loop(door: Any, message: str) -> None:
    """R126: the sync doors would block a loop, so they refuse, and name their twins."""

    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=message):
            door()

    asyncio.run(main())


def test_class_without_a_source() -> None:
    """A subclass that finds nothing says what it lacks."""

    class Empty(TokenValidator):
        pass

    with pytest.raises(NotImplementedError, match=r"^Empty defines no authenticate_token\(\)$"):
        Empty().authenticate_token("x")


def own(**values: Any) -> Any:
    """A token that is no row, with Authlib's protocol."""
    return SimpleNamespace(**{"is_expired": bool, "is_revoked": bool, "get_scope": lambda: "a", **values})


class Related(SimpleNamespace):
    """A token whose class has a relation to a user."""

    user = None


def related(**values: Any) -> Any:
    return Related(**vars(own(**values)))


STATES: list[tuple[Any, TokenState]] = [
    (own(), TokenState(None, "a", None, {})),
    (own(is_expired=lambda: True, is_revoked=lambda: 1 / 0), TokenState(Reason.EXPIRED)),
    (own(is_revoked=lambda: True, get_scope=lambda: 1 / 0), TokenState(Reason.REVOKED)),
    (own(user=ALICE), TokenState(None, "a", ALICE, {})),
    (own(user=BOB), TokenState(Reason.INACTIVE_USER, "a", BOB, {})),
    (own(user="a name"), TokenState(None, "a", "a name", {})),
    (own(user=SimpleNamespace(is_active=0)), None),  # type: ignore[list-item]
    (related(user_id=7), TokenState(Reason.INACTIVE_USER, "a", None, {})),
    (related(user_id=0), TokenState(Reason.INACTIVE_USER, "a", None, {})),
    (related(user_id=None), TokenState(None, "a", None, {})),
    (own(user_id=7), TokenState(None, "a", None, {})),
]


@pytest.mark.parametrize(("token", "state"), STATES)
def test_states(token: Any, state: TokenState | None) -> None:
    """R26, R123: in Authlib's order, no further than a refusal needs; a user who is gone or inactive is none."""
    read = TokenValidator().read_state(token, inquire())
    assert read == state if state is not None else read.reason == Reason.INACTIVE_USER


def test_attributes_of_a_state() -> None:
    """Only the attributes that are asked for are read."""
    read = TokenValidator().read_state(own(groups=["g"], roles=["r"]), inquire(groups="g", entitlements="e"))
    assert read.attributes == {"groups": ["g"], "entitlements": None}


def test_inactive_users_may_be_allowed() -> None:
    """A validator that does not ask lets inactive users in."""

    class Lenient(TokenValidator):
        require_active_user = False

    assert Lenient().read_state(own(user=BOB), inquire()).reason is None
    assert Lenient().read_state(related(user_id=7), inquire()).reason is None


@pytest.mark.parametrize("name", ["aauthenticate_token", "avalidate_token"])
def test_twins_are_not_to_be_overridden(name: str) -> None:
    """R124: the guard asks the other name, so an override of the twin would judge nothing, and is refused."""

    async def twin(self: Any, *args: Any) -> None: ...

    for bases in ((TokenValidator,), (type("Mixin", (), {name: twin}), TokenValidator)):
        with pytest.raises(TypeError, match=rf"{name}\(\) would never be called: write async def {name[1:]}\(\)"):
            type("Own", bases, {name: twin} if len(bases) == 1 else {})


def test_user_who_is_gone() -> None:
    """A row whose user no longer exists, where the database allows that, is no good."""

    class Orphan(SimpleNamespace):
        @property
        def user(self) -> Any:
            raise User.DoesNotExist

    orphan = Orphan(is_expired=bool, is_revoked=bool, get_scope=lambda: "a")
    with pytest.raises(InvalidTokenError) as caught:
        TokenValidator().read_state(orphan, inquire())
    assert caught.value.reason == Reason.INACTIVE_USER
