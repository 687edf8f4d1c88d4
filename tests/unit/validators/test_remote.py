"""The defaults, users and methods that validators of remote tokens have in common."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation

from async_oauth_guard import (
    AccessToken,
    ResourceProtector,
)
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import ClientOptions, Row
from async_oauth_guard.validators.authorization import validate_flow
from async_oauth_guard.validators.remote import RemoteTokenValidator, issuers_of
from async_oauth_guard.validators.users import UserLookup
from tests.unit.driving import ISSUER, PERFORM, World, authorization_context, drive
from tests.unit.validators.remote_validators import (
    API,
    SECRET,
    Make,
    both,
    claims,
    context_of,
    introspection,
    jwt,
    token_of,
)


@both
def test_defaults(make: Make) -> None:
    """The defaults are safe."""
    validator = make()
    assert validator.takes_audience_from_protector
    assert (validator.allow_insecure_http, validator.user_lookup, validator.realm) == (False, None, None)
    assert validator._server.timeout == 5.0
    assert validator._server.concurrency_limit.limit == 100
    assert validator._server.client == ClientOptions(None, None)
    assert validator.user_rows is None
    assert repr(validator.audience) == "<the protector's resource>"


@both
def test_no_secret_is_shown(make: Make) -> None:
    """R133: the repr of a validator and of its attributes shows no secret."""
    validator = make(API)
    shown = repr(validator) + "".join(map(repr, vars(validator).values())) + repr(validator.fingerprint())
    assert SECRET not in shown


@both
def test_state_of_claims(make: Make) -> None:
    """The state of a token that was found before is in its claims, so that no effect may cost a change of threads."""
    found = AccessToken({"active": True, **claims(scope="a")})
    authorization, effects = drive(validate_flow(make(API), found, authorization_context("a")))
    assert (authorization.token, effects) == (found, [])


def test_base_class_cannot_invalidate() -> None:
    """A subclass must define how to find and how to invalidate a token."""
    with pytest.raises(NotImplementedError):
        RemoteTokenValidator.find_flow(jwt(API), Secret("x"), context_of())
    with pytest.raises(NotImplementedError):
        RemoteTokenValidator.invalidate_flow(jwt(API), Secret("x"), None)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("_remembered", (b"",)),
        ("_admit", (b"", None, None, None)),
        ("_present", (None, ())),
        ("_read_grant_of", (None, None)),
    ],
)
def test_base_class_remembers_nothing(name: str, arguments: Any) -> None:
    """A subclass must define how cached results are found and used."""
    with pytest.raises(NotImplementedError):
        getattr(RemoteTokenValidator, name)(jwt(API), *arguments)


def find_again(validator: Any, world: World, token: Secret[str]) -> Any:
    """The token and its state when it is found for the second time. Only then is it worth remembering."""
    world.run(validator.find_flow(token, context_of()))
    return world.run(validator.find_flow(token, context_of()))


@both
def test_admissions(make: Make) -> None:
    """An admission is found for the same token and circumstances only, while the cached result is there."""
    validator, world = make(API), World()
    token = token_of(make, world)
    found, state = find_again(validator, world, token)
    validator.keep(token, "here", found, state)
    again, its_state = validator.recall(token, "here")
    recalled = again.token
    assert (again.validator, again.remembered) == (validator, state.remembered)
    assert (recalled, recalled.header, recalled.user, its_state) == (found, found.header, None, state)
    assert recalled is not found
    assert validator.recall(token, "elsewhere") is None
    assert validator.recall(Secret("other"), "here") is None
    world.run(validator.invalidate_flow(token, None))
    assert validator.recall(token, "here") is None


@both
@pytest.mark.parametrize("change", ["no result", "own class", "user", "cnf", "no lifetime"])
def test_what_is_not_admitted_again(make: Make, change: str) -> None:
    """A token is not remembered if more than its cached result and the time decided about it."""
    validator, world = make(API), World()
    token = token_of(make, world)
    found, state = find_again(validator, world, token)
    if change == "no result":
        state.remembered = None
    elif change == "own class":
        found = type("Own", (AccessToken,), {})(found)
    elif change == "user":
        found.user = object()
    else:
        found.update({"cnf": {"jkt": "x"}} if change == "cnf" else {"exp": "soon"})
    validator.keep(token, "here", found, state)
    assert validator.recall(token, "here") is None


@both
def test_admissions_count(make: Make) -> None:
    """Admissions count towards the memory limit, and one token has a few of them only."""
    validator, world = make(API), World()
    token = token_of(make, world)
    found, state = find_again(validator, world, token)
    known = state.remembered[0]
    size = known.size
    for number in range(20):
        validator.keep(token, number, found, state)
        assert known.size == size + 400 * len(known.admissions)
        assert validator.recall(token, number) is not None
        memory = validator._verified_tokens if make is jwt else validator._results._active
        assert memory._entries.currsize == known.size
    assert len(known.admissions) == 4


def test_a_token_that_is_presented_once() -> None:
    """A JWT is not remembered until its cached result is used: many clients present a token only once."""
    validator, world = jwt(API), World()
    token = token_of(jwt, world)
    found, state = world.run(validator.find_flow(token, context_of()))
    validator.keep(token, "here", found, state)
    assert validator.recall(token, "here") is None
    found, state = world.run(validator.find_flow(token, context_of()))
    validator.keep(token, "here", found, state)
    assert validator.recall(token, "here") is not None


METHODS: list[tuple[Make, str, tuple[Any, ...]]] = [
    (jwt, "authenticate_token", ("x",)),
    (jwt, "get_jwks", ()),
    (introspection, "authenticate_token", ("x",)),
    (introspection, "introspect_token", ("x",)),
]


@pytest.mark.parametrize(("make", "name", "arguments"), METHODS)
def test_sync_methods_on_an_event_loop(make: Make, name: str, arguments: Any) -> None:
    """R126: on an event loop, sync methods raise an error that names their async variants."""

    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=rf"await a{name}\(\) instead"):
            getattr(make(API), name)(*arguments)

    async_to_sync(main)()


# Users.

ALICE = User(pk=7, username="alice", email="alice@example.com")


@pytest.mark.parametrize(
    ("lookup", "field", "key"),
    [
        ("username", "username", "alice"),
        (("email", "mail"), "email", "alice@example.com"),
        (["email", "mail"], "email", "alice@example.com"),
    ],
)
@both
def test_user_lookup(make: Make, lookup: Any, field: str, key: str) -> None:
    """``sub``, or the named claim, is looked up in the named field."""
    validator = make(API, user_lookup=lookup)
    user, effects = drive(validator._user_flow(claims(mail="alice@example.com")), [ALICE], PERFORM)
    assert user is ALICE
    row, _ = effects
    assert isinstance(row, Row)
    assert (row.field, row.key.reveal(), row.queryset.model) == (field, key, User)
    assert row.group is not None


@both
def test_user_lookup_by_a_callable(make: Make) -> None:
    """A callable gets its own copy of the claims."""
    seen: list[Any] = []

    def find(found: dict[str, Any]) -> User:
        seen.append(found)
        found["sub"] = "mallory"
        return ALICE

    lookup: UserLookup = find
    world, validator = World(), make(API, user_lookup=lookup)
    token = world.run(validator.authenticate_flow(token_of(make, world), authorization_context()))
    assert (token.user, token["sub"], seen[0]["iss"]) == (ALICE, "alice", ISSUER)
    assert validator.user_rows is None


@both
def test_clients_are_no_users(make: Make) -> None:
    """R34: a client's own token has no user, even if a user has the client's name."""
    world, validator = World(), make(API, user_lookup="username")
    token = world.run(
        validator.authenticate_flow(token_of(make, world, sub="app", client_id="app"), authorization_context())
    )
    assert token.user is None
    assert world.asked(Row) == []


@pytest.mark.parametrize("lookup", ["nickname", ("nickname", "email")])
@both
def test_user_fields_that_are_not_there(make: Make, lookup: Any) -> None:
    """R134: a missing field of the user model is reported at first use, and before by a system check."""
    validator = make(API, user_lookup=lookup)
    with pytest.raises(ImproperlyConfigured, match=r"^user_lookup must name a field of auth.User, got 'nickname'$"):
        drive(validator._user_flow(claims(email="x")))


@both
def test_constructor_that_does_not_call_ours(make: Make) -> None:
    """R134: a constructor that does not call ours is refused at registration, not by an ``AttributeError`` later."""
    cls: Any = type("Own", (type(make(API)),), {"__init__": lambda self: None})
    with pytest.raises(TypeError, match=r"^Own.__init__\(\) must call super\(\).__init__\(\)$"):
        ResourceProtector(cls(), resource=API)


def test_base_class_has_no_state() -> None:
    """A subclass must define its policy and how to reset its state."""
    with pytest.raises(NotImplementedError):
        RemoteTokenValidator._reset_state(object())  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        RemoteTokenValidator._policy(object(), None)  # type: ignore[arg-type]


def test_issuers() -> None:
    """A remote validator's issuers, as strings; a validator of another kind has none."""
    assert (issuers_of(jwt()), issuers_of(object())) == ({ISSUER}, set())
