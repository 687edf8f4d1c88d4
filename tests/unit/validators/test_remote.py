"""What validators of remote tokens have in common: their options, for whom tokens have to be, and users."""

import dataclasses
import inspect
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.test import override_settings

from async_oauth_guard import (
    AccessToken,
    IntrospectTokenValidator,
    InvalidTokenError,
    JWTBearerTokenValidator,
    ResourceProtector,
)
from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import ClientOptions, Row
from async_oauth_guard.errors import Reason
from async_oauth_guard.flows.authorization import Inquiry
from async_oauth_guard.flows.users import UserLookup
from async_oauth_guard.validators.remote import _OPTIONS, FROM_PROTECTOR, RemoteTokenValidator, keep, repr_of
from tests.faults import FaultServer
from tests.unit.driving import ISSUER, SigningKey, World, drive, inquire, key_set, ok

SECRET = "s3cret"
ENDPOINT = f"{ISSUER}/introspect"
API, OTHER_API = "https://api.example.com", "https://other.example.com"
KEY = SigningKey("k")

Make = Callable[..., Any]


def jwt(audience: Any = FROM_PROTECTOR, issuer: str = ISSUER, **options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(issuer, audience, **{"jwks": key_set(KEY), **options})


def introspection(audience: Any = FROM_PROTECTOR, **options: Any) -> IntrospectTokenValidator:
    given = {"introspection_endpoint": ENDPOINT, "client_id": "api", "client_secret": SECRET, **options}
    return IntrospectTokenValidator(audience=audience, **given)


both = pytest.mark.parametrize("make", [jwt, introspection])


def claims(**values: Any) -> dict[str, Any]:
    now = time.time()
    usual = {
        "iss": ISSUER,
        "aud": API,
        "sub": "alice",
        "client_id": "app",
        "iat": now - 1,
        "exp": now + 3600,
        "jti": "j",
    }
    return {**usual, **values}


def token_of(make: Make, world: World, **values: Any) -> Secret[str]:
    """A token with these claims, as the validator that ``make`` makes would find it."""
    if make is jwt:
        return KEY.sign(claims(**values), typ="at+jwt")
    world.answer(ENDPOINT, ok({"active": True, **claims(**values)}))
    return Secret("opaque")


def inquiry_of(resource: str | None = None, **requirements: Any) -> Inquiry:
    return dataclasses.replace(inquire(**requirements), resource=resource)


# Options.


def make_client() -> httpx.AsyncClient:
    raise AssertionError("no client is made before there is a call")


SECONDS = [
    (-1, ValueError, "a number of seconds is wanted, 0 or more"),
    (float("nan"), ValueError, "a number of seconds is wanted, 0 or more"),
    (float("inf"), ValueError, "a number of seconds is wanted, 0 or more"),
    ("5", TypeError, "a number of seconds is wanted, not str"),
    (None, TypeError, "a number of seconds is wanted, not NoneType"),
    (True, TypeError, "a number of seconds is wanted, not bool"),
]
LOOKUP = "user_lookup: a field's name, a pair (field, claim), or a callable is wanted"
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    *(({"timeout": value}, error, f"timeout: {message}") for value, error, message in SECONDS),
    ({"timeout": 0}, ValueError, "timeout: seconds are wanted, more than 0"),
    *(
        ({"user_lookup": value}, TypeError, LOOKUP)
        for value in ("", 7, (), ("email",), ("email", "email", "email"), ("", "email"), ("email", ""), (7, "x"), User)
    ),
    ({"http_client": "no_such_module.make"}, ValueError, "http_client: cannot import 'no_such_module.make': "),
    ({"http_client": f"{__name__}.nothing"}, ValueError, f"http_client: cannot import '{__name__}.nothing': "),
    ({"http_client": "not a path"}, ValueError, "http_client: cannot import 'not a path': "),
    *(
        (
            {"http_client": value},
            TypeError,
            "http_client: a callable that makes an httpx.AsyncClient is wanted, or its dotted path",
        )
        for value in (7, f"{__name__}.SECRET")
    ),
    *(
        (
            {"verify": value},
            TypeError,
            f"verify: a file of CA certificates, or an ssl.SSLContext, is wanted, not {type(value).__name__}",
        )
        for value in (True, False, 7, b"ca.pem")
    ),
    ({"verify": "/no/such/file"}, ValueError, "verify: '/no/such/file' is no file of CA certificates: "),
    ({"verify": __file__}, ValueError, f"verify: {__file__!r} is no file of CA certificates: "),
    ({"realm": "\xe9"}, ValueError, "realm: a challenge holds printable ASCII only"),
    ({"error": "x"}, ValueError, "'error' would stand in the challenge twice"),
    ({"timeout": 3601}, ValueError, "timeout: seconds are wanted, 3600 at most"),
    ({"user_lookp": "email"}, TypeError, "user_lookp: "),
    ({"jwks_url": "x"}, TypeError, "jwks_url: "),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda part: repr(part)[:50])
@both
def test_wrong_options(make: Make, options: dict[str, Any], error: type[Exception], message: str) -> None:
    """R134: an option that cannot work is refused when the validator is made, by name, with what to write instead."""
    with pytest.raises(error) as caught:
        make(API, **options)
    assert str(caught.value).startswith(message)
    assert SECRET not in repr(caught.value)


AUDIENCES: list[tuple[Any, type[Exception], str]] = [
    *((value, ValueError, "each audience is a string that is not empty") for value in ("", [], (), [""], [API, 7])),
    *((value, TypeError, "a string, several, or None is wanted") for value in (7, {API: 1}, b"api", object())),
]


@pytest.mark.parametrize(("audience", "error", "message"), AUDIENCES, ids=lambda part: repr(part)[:30])
@pytest.mark.parametrize(("make", "argument"), [(jwt, "resource_server"), (introspection, "audience")])
def test_wrong_audiences(make: Make, argument: str, audience: Any, error: type[Exception], message: str) -> None:
    """R134: nobody ends up without an audience check by a slip: only ``None`` switches it off."""
    with pytest.raises(error, match=f"^{argument}: {message}"):
        make(audience)


@both
def test_defaults(make: Make) -> None:
    """What is left out is safe."""
    validator = make()
    assert validator.takes_audience_from_protector
    assert (validator.allow_insecure_http, validator.user_lookup, validator.realm) == (False, None, None)
    assert validator._server.timeout == 5.0
    assert validator._server.gate.limit == 100
    assert validator._server.client == ClientOptions(None, None)
    assert validator.user_rows is None
    assert repr(validator.audience) == "<the protector's resource>"


@pytest.mark.parametrize(
    ("audience", "expected"),
    [(API, (API,)), ([API, OTHER_API], (API, OTHER_API)), ((API,), (API,)), ({API}, (API,)), (None, None)],
)
@both
def test_audiences(make: Make, audience: Any, expected: Any) -> None:
    """One or several; each is a whole string."""
    validator = make(audience)
    assert validator.audience == expected
    assert not validator.takes_audience_from_protector


@both
def test_no_secret_is_shown(make: Make) -> None:
    """R133: a validator shows no secret of its own, and neither does what it is made of."""
    validator = make(API)
    shown = repr(validator) + "".join(map(repr, vars(validator).values())) + repr(validator.fingerprint())
    assert SECRET not in shown


@pytest.mark.parametrize("http_client", [make_client, f"{__name__}.make_client", f"{__name__}:make_client"])
@both
def test_http_client(make: Make, http_client: Any) -> None:
    """A client is made by a callable of the site's, or by the one at a dotted path, when there is a call."""
    assert make(API, http_client=http_client)._server.client == ClientOptions(make_client)


@pytest.fixture(scope="module")
def ca_file() -> Iterator[Path]:
    """A file of CA certificates."""
    with FaultServer(tls=True) as server:
        yield Path(server.ca_file)


@both
def test_verify(make: Make, ca_file: Path) -> None:
    """Certificates may be one's own: in a file, or in a context."""
    context = ssl.create_default_context()
    assert make(API, verify=str(ca_file))._server.client == ClientOptions(None, str(ca_file))
    assert make(API, verify=context)._server.client.verify is context


@both
def test_attributes_of_the_challenge(make: Make) -> None:
    """What is no option stands in the challenge."""
    validator = make(API, realm="r", server="s")
    assert (validator.realm, validator.extra_attributes) == ("r", {"server": "s"})


def test_the_base_alone_forgets_nothing() -> None:
    """A class that keeps something has to say how it is forgotten."""
    with pytest.raises(NotImplementedError):
        RemoteTokenValidator.invalidate_flow(jwt(API), Secret("x"), None)


# Who we are.


@pytest.mark.parametrize(("make", "argument"), [(jwt, "resource_server"), (introspection, "audience")])
def test_no_decision_on_the_audience(make: Make, argument: str) -> None:
    """R134: without an audience anywhere, the validator is refused at the latest where it is registered."""
    message = rf"TokenValidator has no audience: pass {argument}=, or give the protector a resource \(.*\); {argument}="
    entry = {
        "BACKEND": f"{__name__}.{make.__name__}",
        "OPTIONS": {},
    }
    with pytest.raises(ImproperlyConfigured, match=message):
        ResourceProtector(make())
    protector = ResourceProtector()
    with pytest.raises(ImproperlyConfigured, match=message):
        protector.register_token_validator(make())
    assert protector.validators == []
    ready_made = ResourceProtector.from_settings()
    with override_settings(OAUTH_GUARD={"VALIDATORS": [entry]}), pytest.raises(ImproperlyConfigured, match=message):
        _ = ready_made.validators
    with override_settings(OAUTH_GUARD={}), pytest.raises(ImproperlyConfigured, match=message):
        ready_made.register_token_validator(make())


@both
def test_decisions_on_the_audience(make: Make) -> None:
    """Any of the three will do: the validator's, the protector's, or that it is not checked."""
    ResourceProtector(make(API))
    ResourceProtector(make(None))
    ResourceProtector(make(), resource=API)
    ready_made = ResourceProtector.from_settings()
    entry = {"BACKEND": f"{__name__}.{make.__name__}"}
    with override_settings(OAUTH_GUARD={"RESOURCE": API, "VALIDATORS": [entry]}):
        ready_made.register_token_validator(make())
        assert len(ready_made.validators) == 2


AUDIENCE_RULES: list[tuple[Any, str | None, Any, bool]] = [
    # the validator's audience, the protector's resource, the token's, whether it is let in
    (API, None, API, True),
    (API, None, [OTHER_API, API], True),
    (API, None, OTHER_API, False),
    (API, OTHER_API, API, True),
    (API, OTHER_API, OTHER_API, False),
    ([API, OTHER_API], None, OTHER_API, True),
    (None, None, OTHER_API, True),
    (None, API, OTHER_API, True),
    (FROM_PROTECTOR, API, API, True),
    (FROM_PROTECTOR, API, OTHER_API, False),
    (FROM_PROTECTOR, API, f"{API}/", False),
]


@pytest.mark.parametrize(("audience", "resource", "aud", "expected"), AUDIENCE_RULES)
@both
def test_audience_of_tokens(make: Make, audience: Any, resource: Any, aud: Any, expected: bool) -> None:
    """R28, R38, R118: a token has to be for us, whoever says who we are; audiences compare as exact strings."""
    world, validator = World(), make(audience)
    protector = ResourceProtector(validator, resource=resource)
    token = token_of(make, world, aud=aud)
    flow = validator.authenticate_flow(token, inquiry_of(protector.options.resource))
    if expected:
        assert isinstance(world.run(flow), AccessToken)
        return
    with pytest.raises(InvalidTokenError) as caught:
        world.run(flow)
    assert caught.value.reason == Reason.WRONG_AUDIENCE


@both
def test_one_validator_of_several_protectors(make: Make) -> None:
    """R33: each protector's own resource counts, also for a token that was let in at another a moment ago."""
    world, validator = World(), make()
    ResourceProtector(validator, resource=API)
    ResourceProtector(validator, resource=OTHER_API)
    token = token_of(make, world, aud=API)
    assert world.run(validator.authenticate_flow(token, inquiry_of(API)))["sub"] == "alice"
    with pytest.raises(InvalidTokenError) as caught:
        world.run(validator.authenticate_flow(token, inquiry_of(OTHER_API)))
    assert caught.value.reason == Reason.WRONG_AUDIENCE
    assert world.run(validator.authenticate_flow(token, inquiry_of(API)))["sub"] == "alice"


@both
def test_doors_outside_a_protector(make: Make) -> None:
    """A door of the validator's own has the resource of its protectors, where they have one; otherwise it says so."""
    message = f"has no audience, and no one protector to take it from: pass {make()._audience_argument}="
    world, validator = World(), make()
    token = token_of(make, world)
    with pytest.raises(ImproperlyConfigured, match=message):
        world.run(validator.authenticate_flow(token))
    ResourceProtector(validator, resource=API)
    ResourceProtector(validator, resource=API)
    assert world.run(validator.authenticate_flow(token))["sub"] == "alice"
    ResourceProtector(validator, resource=OTHER_API)
    with pytest.raises(ImproperlyConfigured, match=message):
        world.run(validator.authenticate_flow(token))
    assert world.run(make(API).authenticate_flow(token))["sub"] == "alice"


DOORS: list[tuple[Make, str, tuple[Any, ...]]] = [
    (jwt, "authenticate_token", ("x",)),
    (jwt, "get_jwks", ()),
    (introspection, "authenticate_token", ("x",)),
    (introspection, "introspect_token", ("x",)),
]


@pytest.mark.parametrize(("make", "name", "arguments"), DOORS)
def test_sync_doors_refuse_to_block_a_loop(make: Make, name: str, arguments: Any) -> None:
    """R126: where a loop runs they name their twins."""

    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=rf"await a{name}\(\) instead"):
            getattr(make(API), name)(*arguments)

    async_to_sync(main)()


# Users.

ALICE = User(pk=7, username="alice", email="alice@example.com")


@pytest.mark.parametrize(
    ("lookup", "field", "key"),
    [("username", "username", "alice"), (("email", "mail"), "email", "m"), (["email", "mail"], "email", "m")],
)
@both
def test_user_lookup(make: Make, lookup: Any, field: str, key: str) -> None:
    """``sub``, or the claim that is named, is looked up in the field that is named."""
    validator = make(API, user_lookup=lookup)
    user, effects = drive(validator._user_flow(claims(mail="m")), [ALICE])
    assert user is ALICE
    (row,) = effects
    assert isinstance(row, Row)
    assert (row.field, row.key.reveal(), row.queryset.model) == (field, key, User)
    assert row.group is not None


@both
def test_user_lookup_by_a_callable(make: Make) -> None:
    """A callable gets the claims, a copy that is its own."""
    seen: list[Any] = []

    def find(found: dict[str, Any]) -> User:
        seen.append(found)
        found["sub"] = "mallory"
        return ALICE

    lookup: UserLookup = find
    world, validator = World(), make(API, user_lookup=lookup)
    token = world.run(validator.authenticate_flow(token_of(make, world), inquire()))
    assert (token.user, token["sub"], seen[0]["iss"]) == (ALICE, "alice", ISSUER)
    assert validator.user_rows is None


@both
def test_clients_are_no_users(make: Make) -> None:
    """R34: a client's own token never becomes a user, whoever is called as the client is."""
    world, validator = World(), make(API, user_lookup="username")
    token = world.run(validator.authenticate_flow(token_of(make, world, sub="app", client_id="app"), inquire()))
    assert token.user is None
    assert world.asked(Row) == []


@pytest.mark.parametrize("lookup", ["nickname", ("nickname", "email")])
@both
def test_user_fields_that_are_not_there(make: Make, lookup: Any) -> None:
    """R134: a field that the user model does not have is told when it is needed, and by a system check before."""
    validator = make(API, user_lookup=lookup)
    with pytest.raises(ImproperlyConfigured, match=r"^user_lookup: auth.User has no field 'nickname'$"):
        drive(validator._user_flow(claims(email="x")))


# What stands for a validator in the names of what is kept.

DIFFERENCES: list[dict[str, Any]] = [
    {"audience": OTHER_API},
    {"audience": [API, OTHER_API]},
    {"audience": None},
    {"audience": FROM_PROTECTOR},
    {"issuer": OTHER_API},
    {"user_lookup": "username"},
    {"user_lookup": ("email", "email")},
    {"user_lookup": make_client},
    {"http_client": make_client},
    {"verify": ssl.create_default_context()},
]


@pytest.mark.parametrize("options", DIFFERENCES, ids=repr)
@both
def test_fingerprints(make: Make, options: dict[str, Any]) -> None:
    """What decides a verdict stands in the fingerprint; what does not, does not."""
    plain = make(API)
    same = make([API], timeout=1, realm="r")
    assert plain.fingerprint() == same.fingerprint()
    assert plain.vault().name("x") == same.vault().name("x")
    other = make(**{"audience": API, **options})
    assert other.fingerprint() != plain.fingerprint()
    assert other.vault().name("x") != plain.vault().name("x")


@both
def test_subclasses_are_apart(make: Make) -> None:
    """A subclass's verdicts are its own."""
    plain = make(API)
    own: Any = type("Own", (type(plain),), {})
    arguments = {"jwks": key_set(KEY)} if make is jwt else {"client_id": "api", "client_secret": SECRET}
    other = own(ISSUER if make is jwt else ENDPOINT, **arguments)
    other.audience = plain.audience
    assert other.vault().name("x") != plain.vault().name("x")


@both
def test_secret_keys_are_apart(make: Make) -> None:
    """With another ``SECRET_KEY`` nothing that was kept is known any more."""
    validator = make(API)
    digest = validator.vault().digest(Secret("token"))
    assert validator.vault().digest(Secret("token")) == digest
    with override_settings(SECRET_KEY="another"):
        assert validator.vault().digest(Secret("token")) != digest


@both
def test_identities_of_a_cache(make: Make) -> None:
    """What a class says its verdicts depend on is asked each time, and keeps them apart."""
    plain = make(API)
    tenants = iter(["a", "b", "a"])
    plain.cache_identity = lambda: next(tenants)
    digests = [plain.vault().digest(Secret("token")) for _ in range(3)]
    assert digests[0] == digests[2]
    assert digests[0] != digests[1]
    assert digests[0] != make(API).vault().digest(Secret("token"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (make_client, f"{__name__}.make_client"),
        (Secret, "async_oauth_guard.credentials.Secret"),
        (("a", "b"), ["a", "b"]),
        ("a", "'a'"),
        (None, "None"),
    ],
)
def test_options_in_fingerprints(value: Any, expected: Any) -> None:
    """An option stands there by what it is called, never by where it is in memory."""
    assert repr_of(value) == expected


@both
def test_certificates_in_fingerprints(make: Make, ca_file: Path) -> None:
    """A file of certificates stands there by its path."""
    assert make(API, verify=str(ca_file)).fingerprint()["verify"] == str(ca_file)


def test_what_is_forgotten_when_it_is_too_much() -> None:
    """``cache_identity()`` may name as many as there are requests; what another thread made meanwhile is kept."""
    entries: dict[int, str] = {}
    for number in range(3000):
        assert keep(entries, number, "a") == "a"
        assert keep(entries, number, "b") == "a"
        assert len(entries) <= 1024


@both
def test_identities_without_bound(make: Make) -> None:
    """What is made for each identity does not pile up."""
    validator, world = make(API), World()
    names = iter(map(str, range(10_000)))
    validator.cache_identity = lambda: next(names)
    for _ in range(1500):
        validator.vault()
    assert len(validator._vaults) <= 1024
    presented = token_of(make, world)
    for _ in range(1100 if make is jwt else 1):
        world.run(validator.authenticate_flow(presented, inquire()))
    assert len(getattr(validator, "_rules", ())) <= 1024


# Parameters of the challenge that are none.


def test_options_are_known() -> None:
    """The list of options is what the constructors take."""
    for cls in (JWTBearerTokenValidator, IntrospectTokenValidator):
        parameters = set(inspect.signature(cls.__init__).parameters) - {"self", "extra_attributes"}
        assert _OPTIONS[cls.__name__] == parameters


MISTAKEN: list[tuple[Make, str, str]] = [
    (jwt, "cooldwon", "JWTBearerTokenValidator has no such option; did you mean 'cooldown'?"),
    (jwt, "Leeway", "JWTBearerTokenValidator has no such option; did you mean 'leeway'?"),
    (jwt, "client_secret", "JWTBearerTokenValidator has no such option; it is one of IntrospectTokenValidator"),
    (introspection, "cache_tll", "IntrospectTokenValidator has no such option; did you mean 'cache_ttl'?"),
    (introspection, "leeway", "IntrospectTokenValidator has no such option; it is one of JWTBearerTokenValidator"),
    (
        introspection,
        "resource_server",
        "IntrospectTokenValidator has no such option: it is called audience= here",
    ),
    *(
        (
            make,
            name,
            f"{make(API)._kind} has no such option, and as a parameter of the challenge every client would see it",
        )
        for make in (jwt, introspection)
        for name in ("secret", "password", "key", "token", "client_assertion", "api_key", "API-KEY", "secretvalue")
    ),
]


@pytest.mark.parametrize(("make", "name", "message"), MISTAKEN)
def test_options_that_are_none(make: Make, name: str, message: str) -> None:
    """R134, R133: a slip does not become a parameter of the challenge, where every client would read its value."""
    with pytest.raises(TypeError) as caught:
        make(API, **{name: "hunter2"})
    assert str(caught.value) == f"{name}: {message}"


def test_audience_of_a_jwt_validator() -> None:
    """Of the other validator's option, the name that it has here is told."""
    with pytest.raises(TypeError, match=r"^audience: .* it is called resource_server= here$"):
        JWTBearerTokenValidator(ISSUER, audience=API)


@pytest.mark.parametrize(
    "name", ["resource_metadata", "resource", "charset", "authorization_uri", "foo", "server", "token_type"]
)
@both
def test_parameters_of_the_challenge(make: Make, name: str) -> None:
    """What a challenge may well have is taken."""
    assert make(API, **{name: "x"}).extra_attributes == {name: "x"}


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> Any: ...


@both
def test_clients_without_a_hash(make: Make) -> None:
    """Calls with equal options share a client, so it has to be found again."""
    with pytest.raises(TypeError, match=r"^http_client: a callable that can be hashed is wanted, not Unhashable$"):
        make(API, http_client=Unhashable())


@both
def test_constructor_that_leaves_ours_out(make: Make) -> None:
    """R134: it is told when the validator is registered, not by an ``AttributeError`` later."""
    cls: Any = type("Own", (type(make(API)),), {"__init__": lambda self: None})
    with pytest.raises(TypeError, match=r"^Own.__init__\(\) never called super\(\).__init__\(\)$"):
        ResourceProtector(cls(), resource=API)


def test_address_in_place_of_keys() -> None:
    """An address is told what its option is called."""
    for make, options in ((jwt, {}), (introspection, {"issuer": ISSUER, "signed_responses": "required"})):
        with pytest.raises(TypeError, match=r"^jwks: the keys themselves are wanted; for an address, jwks_uri=$"):
            make(API, jwks="https://as.example.com/keys", **options)  # type: ignore[operator]


def test_callable_objects_in_fingerprints() -> None:
    """An object that can be called stands there by its class."""

    class Finder:
        def __call__(self, found: Any) -> None: ...

    assert repr_of(Finder()).endswith("Finder")
    assert "0x" not in repr_of(Finder())


@both
def test_certificates_of_a_client_of_ones_own(make: Make, ca_file: Path) -> None:
    """R74: a client of the site's own has its own certificates; others beside it would be looked at by nobody."""
    with pytest.raises(ValueError, match=r"^verify: the client that http_client makes has certificates of its own$"):
        make(API, http_client=make_client, verify=str(ca_file))


def test_what_each_kind_remembers() -> None:
    """What changes while a validator is used, each kind makes itself: there is none for a kind that makes nothing."""
    with pytest.raises(NotImplementedError):
        RemoteTokenValidator._begin(object())  # type: ignore[arg-type]
