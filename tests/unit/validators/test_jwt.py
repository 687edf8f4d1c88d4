"""``JWTBearerTokenValidator``: its options, and from a token to what views see."""

import dataclasses
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet, OctKey
from joserfc.jwt import encode

from async_oauth_guard import AccessToken, InvalidTokenError, JWTBearerTokenValidator, TemporarilyUnavailableError
from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import Call, HttpCall, Once, Row
from async_oauth_guard.errors import Reason
from async_oauth_guard.flows.keysets import CalledKeys, FixedKeys, RemoteKeys
from async_oauth_guard.jose import DEFAULT_ALGORITHMS, SYMMETRIC_ALGORITHMS
from tests.unit.driving import DOWN, ISSUER, SigningKey, World, inquire, key_set, ok

API = "https://api.example.com"
JWKS_URI = f"{ISSUER}/keys"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
KEY, OTHER_KEY = SigningKey("k"), SigningKey("other")
SHARED, OTHER_SECRET = OctKey.generate_key(384), OctKey.generate_key(384)
OCT = SHARED.as_dict()


def jwt(issuer: Any = ISSUER, audience: Any = API, **options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(issuer, audience, **options)


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
    return {**usual, "scope": "a b", **values}


def token(key: SigningKey = KEY, **values: Any) -> Secret[str]:
    return key.sign(claims(**values), typ="at+jwt")


def reason_of(world: World, flow: Any) -> Reason:
    with pytest.raises(InvalidTokenError) as caught:
        world.run(flow)
    return caught.value.reason


# Options.

HTTPS = "https:// is wanted; in a private network, http:// with allow_insecure_http=True"
NO_URL = "an absolute https:// URL is wanted"
SECONDS = [
    (-1, ValueError, "a number of seconds is wanted, 0 or more"),
    (float("inf"), ValueError, "a number of seconds is wanted, 0 or more"),
    ("5", TypeError, "a number of seconds is wanted, not str"),
    (None, TypeError, "a number of seconds is wanted, not NoneType"),
    (False, TypeError, "a number of seconds is wanted, not bool"),
]
WRONG: list[Any] = [
    *(({"issuer": value}, TypeError, "issuer: the server's issuer identifier") for value in (None, 7, "", b"x", [])),
    ({"issuer": "http://as.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://127.0.0.1.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://10.0.0.1"}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://as.example.com", "jwks_uri": JWKS_URI}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://as.example.com", "jwks": key_set(KEY)}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "as.example.com"}, ValueError, f"issuer: {NO_URL}"),
    ({"issuer": "urn:x"}, ValueError, f"issuer: {NO_URL}"),
    ({"issuer": "https://u:p@as.example.com"}, ValueError, "issuer: a URL without user, password and fragment"),
    ({"issuer": "https://as.example.com/#x"}, ValueError, "issuer: a URL without user, password and fragment"),
    ({"jwks_uri": "http://as.example.com/keys"}, ValueError, f"jwks_uri: {HTTPS}"),
    *(({"jwks_uri": value}, ValueError, f"jwks_uri: {NO_URL}") for value in ("", 7, "keys", "https://", "https://a b")),
    ({"jwks_uri": JWKS_URI, "jwks": key_set(KEY)}, ValueError, "jwks_uri: jwks has the keys already; give one of them"),
    *(
        ({"jwks": value}, ValueError, "jwks: it has no key that can verify a signature")
        for value in ({}, [], {"keys": []}, {"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}, {"kty": "RSA"})
    ),
    *(({"jwks": value}, TypeError, "jwks: a JWK Set") for value in (7, "keys", b"keys")),
    *(({"jwks": value}, ValueError, "jwks: it has no key") for value in ("{}", b"{}", "[]")),
    ({"leeway": 301}, ValueError, "leeway: a few minutes are wanted, 300 seconds at most"),
    ({"max_stale": 29}, ValueError, "max_stale: cooldown at least is wanted"),
    ({"algorithms": "RS256"}, TypeError, "algorithms: a list of names is wanted, such as ['RS256']"),
    ({"algorithms": []}, ValueError, "algorithms: without any, no token could be valid"),
    *(({"algorithms": value}, TypeError, "algorithms: a list of names") for value in ("RS256", 7, {"RS256": 1})),
    *(({"algorithms": [value]}, ValueError, f"algorithms: {value!r} is none of ") for value in ("none", "rs256", 7)),
    ({"algorithms": [["RS256"]]}, (TypeError, ValueError), "algorithms: "),
    *(
        ({"algorithms": ["RS256", name], **fetched}, ValueError, f"algorithms: {name} needs a secret that only the ser")
        for name in SYMMETRIC_ALGORITHMS
        for fetched in ({}, {"jwks_uri": JWKS_URI}, {"jwks": lambda: OCT})
    ),
    *(({"profile": value}, ValueError, f"profile: {value!r} is none of 'rfc9068'") for value in ("", "Okta", None, 7)),
    ({"profile": "keycloack"}, ValueError, "profile: 'keycloack' is none of "),
    ({"profile": []}, (TypeError, ValueError), "profile: "),
    *(
        ({name: value}, error, f"{name}: {message}")
        for name in ("leeway", "jwks_ttl", "cooldown", "max_stale")
        for value, error, message in SECONDS
    ),
    *(({"allow_insecure_http": value}, TypeError, "allow_insecure_http: ") for value in ("no", 1, None)),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda part: repr(part)[:60])
def test_wrong_options(options: dict[str, Any], error: Any, message: str) -> None:
    """R134, R65: an option that cannot work is refused when the validator is made, by name, with what to write."""
    with pytest.raises(error) as caught:
        jwt(**options)
    assert str(caught.value).startswith(message)


def test_near_misses() -> None:
    """R134: of a profile that does not exist, the nearest that does is named."""
    with pytest.raises(ValueError, match=r"Did you mean 'keycloak'\?$"):
        jwt(profile="keycloack")


def test_defaults() -> None:
    """What is left out is what the documentation says."""
    validator = jwt()
    assert validator.algorithms == DEFAULT_ALGORITHMS
    assert not set(SYMMETRIC_ALGORITHMS) & set(validator.algorithms)
    assert (validator.leeway, validator.jwks_uri, validator.jwks) == (10, None, None)
    lifetimes = validator._lifetimes
    assert (lifetimes.ttl, lifetimes.cooldown, lifetimes.max_stale) == (600, 30, 86_400)
    assert validator._profile.name == "rfc9068"


GOOD: list[dict[str, Any]] = [
    {"issuer": "http://localhost:9000"},
    {"issuer": "http://127.0.0.1:9000/tenant"},
    {"issuer": "http://[::1]"},
    {"issuer": "http://as.internal", "allow_insecure_http": True},
    {"issuer": "urn:as", "jwks_uri": JWKS_URI},
    {"issuer": "urn:as", "jwks": key_set(KEY)},
    {"issuer": "accounts", "jwks": lambda: key_set(KEY)},
    {"algorithms": ("RS256",)},
    {"algorithms": {"ES256", "Ed448"}},
    {"leeway": 0, "jwks_ttl": 0, "cooldown": 0, "max_stale": 0},
    {"leeway": 0.5, "timeout": 0.1},
    {"profile": "keycloak"},
]


@pytest.mark.parametrize("options", GOOD, ids=repr)
def test_good_options(options: dict[str, Any]) -> None:
    """What can work is taken; an issuer that is only compared may be any string."""
    assert jwt(**options).issuer == options.get("issuer", ISSUER)


SYMMETRIC: list[tuple[Any, Any, bool]] = [
    ({"keys": [OCT]}, None, True),
    (OCT, ["HS256"], True),
    (SHARED, None, True),
    (KeySet([SHARED]), ["HS256", "HS384"], True),
    (OCT, ["RS256"], False),
    (None, None, False),
]


@pytest.mark.parametrize(("keys", "algorithms", "expected"), SYMMETRIC)
def test_symmetric_algorithms(keys: Any, algorithms: Any, expected: bool) -> None:
    """R42: a secret serves only where it was handed over in this process; then it need not be said again."""
    validator = jwt(jwks=keys, algorithms=algorithms)
    assert ("HS256" in validator.algorithms) is expected


def test_one_audience_of_its_own() -> None:
    """``resource_server`` is what Authlib's users read."""
    assert jwt().resource_server == API
    assert JWTBearerTokenValidator(ISSUER, jwks=key_set(KEY)).resource_server is None


SOURCES: list[tuple[dict[str, Any], type]] = [
    ({}, RemoteKeys),
    ({"jwks_uri": JWKS_URI}, RemoteKeys),
    ({"jwks": key_set(KEY)}, FixedKeys),
    ({"jwks": ECKey.generate_key("P-256")}, FixedKeys),
    ({"jwks": lambda: key_set(KEY)}, CalledKeys),
]


@pytest.mark.parametrize(("options", "expected"), SOURCES)
def test_where_keys_come_from(options: dict[str, Any], expected: type) -> None:
    """Keys are fetched, handed over, or called for."""
    assert type(jwt(**options)._own_keys) is expected


# Tokens.


def test_discovery() -> None:
    """R63, R64: with an issuer alone, keys are found by its metadata."""
    world = World()
    world.answer(METADATA, ok({"issuer": ISSUER, "jwks_uri": JWKS_URI}))
    world.answer(JWKS_URI, ok(key_set(KEY)))
    found = world.run(jwt().authenticate_flow(token(), inquire()))
    assert isinstance(found, AccessToken)
    assert (found.subject, found.client_id, found.scopes, found.user) == ("alice", "app", {"a", "b"}, None)
    assert found.header["kid"] == "k"
    assert world.urls == [METADATA, JWKS_URI]


def test_given_address() -> None:
    """With an address of the keys nothing is discovered."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    assert world.run(jwt(jwks_uri=JWKS_URI).authenticate_flow(token(), inquire()))["sub"] == "alice"
    assert world.urls == [JWKS_URI]


def test_given_keys() -> None:
    """With the keys themselves nothing is asked for."""
    world = World()
    assert world.run(jwt(jwks=key_set(KEY)).authenticate_flow(token(), inquire()))["sub"] == "alice"
    assert world.effects == []


def test_called_keys() -> None:
    """A callable is called where users' code may run, and what it gave is kept."""
    world, validator = World(), jwt(jwks=lambda: key_set(KEY))
    for _ in range(3):
        assert world.run(validator.authenticate_flow(token(jti="x"), inquire()))["sub"] == "alice"
    assert len(world.asked(Call)) == 1
    assert world.asked(Once) == []


REFUSALS: list[tuple[Secret[str], Reason]] = [
    (Secret("opaque"), Reason.MALFORMED_JWT),
    (token(iss=f"{ISSUER}/"), Reason.WRONG_ISSUER),
    (token(aud="https://other.example.com"), Reason.WRONG_AUDIENCE),
    (token(exp=time.time() - 11), Reason.EXPIRED),
    (token(OTHER_KEY), Reason.UNKNOWN_KEY),
    (SigningKey("k").sign(claims(), typ="at+jwt"), Reason.BAD_SIGNATURE),
    (KEY.sign(claims(), typ="JWT"), Reason.WRONG_TYPE),
]


@pytest.mark.parametrize(("presented", "reason"), REFUSALS, ids=lambda part: str(part)[:30])
def test_refusals(presented: Secret[str], reason: Reason) -> None:
    """R29: a token that is no good is refused, each for its own reason."""
    assert reason_of(World(), jwt(jwks=key_set(KEY)).authenticate_flow(presented, inquire())) == reason


def test_algorithms_are_kept_to() -> None:
    """R41: what the list does not name is not taken, whatever the key could do."""
    validator = jwt(jwks=key_set(KEY), algorithms=["RS256"])
    assert reason_of(World(), validator.authenticate_flow(token(), inquire())) == Reason.UNSUPPORTED_ALGORITHM


def test_symmetric_tokens() -> None:
    """R42: a token that is signed with the secret that was handed over is taken; with another secret it is not."""
    validator = jwt(jwks=OCT)
    good, bad = (Secret(encode({"alg": "HS256", "typ": "at+jwt"}, claims(), key)) for key in (SHARED, OTHER_SECRET))
    assert World().run(validator.authenticate_flow(good, inquire()))["sub"] == "alice"
    assert reason_of(World(), validator.authenticate_flow(bad, inquire())) == Reason.BAD_SIGNATURE


def test_remembered_tokens() -> None:
    """A token that was verified is known, until it is invalidated, or a view asks for a fresh look."""
    world, validator, presented = World(), jwt(jwks_uri=JWKS_URI), token()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    first = world.run(validator.authenticate_flow(presented, inquire()))
    second = world.run(validator.authenticate_flow(presented, inquire()))
    assert (first, len(validator._memory)) == (second, 1)
    assert first is not second
    first["scope"] = "everything"
    assert world.run(validator.authenticate_flow(presented, inquire(fresh=True)))["scope"] == "a b"
    world.run(validator.invalidate_flow(presented, None))
    assert len(validator._memory) == 0
    assert world.urls == [JWKS_URI]


def test_outage() -> None:
    """Without keys nobody can tell, which is no refusal."""
    world = World()
    world.answer(JWKS_URI, DOWN)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        world.run(jwt(jwks_uri=JWKS_URI).authenticate_flow(token(), inquire()))
    assert caught.value.reason == Reason.SERVER_UNREACHABLE


def test_shared_cache() -> None:
    """With a cache that workers share, another worker's keys serve."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    inquiry = dataclasses.replace(inquire(), cache="default")
    for _ in range(2):
        world.run(jwt(jwks_uri=JWKS_URI).authenticate_flow(token(), inquiry))
    assert len(world.asked(HttpCall)) == 1
    assert len(world.cache) == 1


def test_expired_tokens_cost_no_query() -> None:
    """An expired token that is remembered is refused before its user is looked up."""
    validator = jwt(jwks=key_set(KEY), user_lookup="username", leeway=0)
    presented = token(exp=time.time() - 1)
    world = World()
    assert reason_of(world, validator.authenticate_flow(presented, inquire())) == Reason.EXPIRED
    assert world.effects == []


def test_tokens_that_expire_meanwhile_cost_no_query() -> None:
    """Nor does one that expires while its keys are waited for."""
    world = World()

    def get_keys() -> Any:
        world.time.advance(100)
        return key_set(KEY)

    validator = jwt(jwks=get_keys, user_lookup="username")
    validator._server = dataclasses.replace(validator._server, clock=world.time.clock)
    presented = token(iat=world.time.wall - 1, exp=world.time.wall + 50)
    assert reason_of(world, validator.authenticate_flow(presented, inquire())) == Reason.EXPIRED
    assert len(world.asked(Call)) == 1
    assert world.asked(Row) == []


# Routing.


def test_owned_issuers() -> None:
    """A JWT of the issuer is this validator's alone, and no other token is its at all."""
    validator = jwt()
    assert [validator.owns(issuer) for issuer in (ISSUER, f"{ISSUER}/", "", None)] == [True, False, False, False]


def test_own_validate_iss_is_offered_every_jwt() -> None:
    """A subclass that says itself which issuers it takes may take any JWT, and nothing else."""

    class Own(JWTBearerTokenValidator):
        def validate_iss(self, claims: Any, iss: Any) -> bool:
            return True

    validator = Own(ISSUER, API)
    assert [validator.owns(issuer) for issuer in (ISSUER, "https://other", None)] == [None, None, False]


# What the claims say.


def state_of(validator: JWTBearerTokenValidator, found: Any, **requirements: Any) -> Any:
    return validator.read_state(found, inquire(**requirements))


def test_state() -> None:
    """Lifetime is read at each look, scopes and attributes as the profile has them."""
    validator = jwt(jwks=key_set(KEY))
    found = World().run(validator.authenticate_flow(token(groups=["g"], roles=["r"]), inquire()))
    state = state_of(validator, found, groups="g")
    assert (state.reason, state.scope, state.user) == (None, "a b", None)
    assert state.attributes == {"groups": ["g"]}
    assert state_of(validator, found).attributes == {}
    assert state_of(validator, AccessToken(claims(exp=time.time() - 11))).reason == Reason.EXPIRED
    assert state_of(validator, claims()).scope == "a b"


def test_state_without_scopes() -> None:
    """A token without a scope has none."""
    validator = jwt(jwks=key_set(KEY))
    assert state_of(validator, {**claims(), "scope": None}).scope == []


# Doors.


def test_get_jwks() -> None:
    """What ``get_jwks`` gives is the set as it was, in a copy."""
    given = key_set(KEY)
    validator = jwt(jwks=given)
    assert validator.get_jwks() == given
    validator.get_jwks()["keys"].clear()
    assert validator.get_jwks() == given


async def test_aget_jwks() -> None:
    """So does its twin."""
    assert await jwt(jwks=key_set(KEY)).aget_jwks() == key_set(KEY)


def test_authenticate_token() -> None:
    """Called directly, it finds and verifies."""
    assert jwt(jwks=key_set(KEY)).authenticate_token(token().reveal())["sub"] == "alice"


def test_validate_iss() -> None:
    """R37: an issuer is compared code point by code point."""
    validator = jwt()
    assert [validator.validate_iss({}, iss) for iss in (ISSUER, f"{ISSUER}/", None, [ISSUER])] == [True] + [False] * 3


# What is kept apart.

DIFFERENCES: list[dict[str, Any]] = [
    {"jwks": None, "jwks_uri": JWKS_URI},
    {"jwks": key_set(OTHER_KEY)},
    {"jwks": lambda: key_set(KEY)},
    {"algorithms": ["ES256"]},
    {"profile": "generic"},
    {"leeway": 0},
]


@pytest.mark.parametrize("options", DIFFERENCES, ids=repr)
def test_fingerprints(options: dict[str, Any]) -> None:
    """What decides a verdict keeps what is kept apart; how often keys are fetched decides none."""
    plain = jwt(jwks=key_set(KEY))
    assert jwt(jwks=key_set(KEY), jwks_ttl=1, cooldown=1, max_stale=1).fingerprint() == plain.fingerprint()
    assert jwt(**{"jwks": key_set(KEY), **options}).fingerprint() != plain.fingerprint()


# Subclasses.


class OwnKeys(JWTBearerTokenValidator):
    calls = 0

    def get_jwks(self) -> Any:
        self.calls += 1
        return key_set(KEY)


def test_own_keys() -> None:
    """R42: what a hook gives is asked for in each request, and a secret among it only where it is handed over."""
    world, validator, presented = World(), OwnKeys("urn:as", API), token(iss="urn:as")
    for _ in range(2):
        assert world.run(validator.authenticate_flow(presented, inquire()))["sub"] == "alice"
    assert validator.calls == 2
    assert len(validator._memory) == 0
    assert "HS256" in validator.algorithms
    assert not validator.shares


def test_own_keys_with_an_identity() -> None:
    """Where the class says what its keys depend on, they are kept, and verified tokens too, apart for each."""

    class Tenant(OwnKeys):
        name = "a"

        def cache_identity(self) -> str:
            return self.name

    world, validator, presented = World(), Tenant("urn:as", API), token(iss="urn:as")
    for name in ("a", "a", "b", "b", "a"):
        validator.name = name
        assert world.run(validator.authenticate_flow(presented, inquire()))["sub"] == "alice"
    assert validator.calls == 2
    assert len(validator._memory) == 2
    assert validator.shares
    assert validator.fingerprint()["jwks"] == "None"


class OwnIssuers(JWTBearerTokenValidator):
    def validate_iss(self, claims: Any, iss: Any) -> bool:
        return iss in (self.issuer or ["urn:as"])


class OwnIssuersAndKeys(OwnIssuers):
    def get_jwks(self) -> Any:
        return key_set(KEY)


class OwnIssuersAndFind(OwnIssuers):
    def authenticate_token(self, token_string: str) -> Any:
        return None


@pytest.mark.parametrize("issuer", [None, ["urn:as", "urn:bs"], ("urn:as",), {"urn:as": 1}], ids=repr)
def test_issuers_of_ones_own(issuer: Any) -> None:
    """R33: who compares issuers by itself, and needs no server of ours, may name them as Authlib's users do."""
    validator = OwnIssuersAndKeys(issuer, API)
    assert World().run(validator.authenticate_flow(token(iss="urn:as"), inquire()))["sub"] == "alice"
    assert validator.vault().name("x") == OwnIssuersAndKeys(issuer, API).vault().name("x")
    assert OwnIssuersAndFind(issuer, API).issuer == issuer
    with pytest.raises(TypeError, match=r"^issuer: the server's issuer identifier is wanted, a string$"):
        OwnIssuers(issuer, API)


def test_text_that_a_hook_gives() -> None:
    """PEM and JSON text serve as they do with Authlib; a secret does not come as text."""
    pem = ECKey.import_key(KEY.jwk).as_pem(private=False)
    for text in (pem, pem.decode(), json.dumps(key_set(KEY))):
        validator = jwt(jwks=lambda text=text: text)
        assert World().run(validator.authenticate_flow(token(), inquire()))["sub"] == "alice"


def test_callables_without_a_hash() -> None:
    """Their keys could not be found again."""

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> Any: ...

    with pytest.raises(TypeError, match=r"^jwks: a callable that can be hashed is wanted, not Unhashable$"):
        jwt(jwks=Unhashable())


def test_keys_are_made_once() -> None:
    """Threads that come first at one time find one source of keys, and one flight."""
    assert {"_own_keys"} <= set(vars(jwt()))


class OwnFind(JWTBearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return None


OWN_FINDS: list[tuple[dict[str, Any], Reason | None]] = [
    ({}, None),
    ({"iss": "https://other.example.com"}, Reason.WRONG_ISSUER),
    ({"aud": "https://other.example.com"}, Reason.WRONG_AUDIENCE),
    ({"cnf": {"jkt": "x"}}, Reason.SENDER_CONSTRAINED),
    ({"exp": 1}, Reason.EXPIRED),
    ({"authorization_details": "x"}, Reason.MALFORMED_CLAIM),
    ({"authorization_details": [{"type": "t"}]}, None),
]


@pytest.mark.parametrize(("values", "reason"), OWN_FINDS)
@pytest.mark.parametrize("kind", [dict, AccessToken])
def test_what_a_subclass_finds_is_judged_alike(kind: Any, values: dict[str, Any], reason: Reason | None) -> None:
    """R28, R37: issuer, audience and lifetime count, whoever found the token."""
    assert state_of(OwnFind(ISSUER, API), kind(claims(**values))).reason == reason


def test_what_a_subclass_finds_and_is_no_claims() -> None:
    """A token of another kind is asked what Authlib asks."""
    found = SimpleNamespace(is_expired=lambda: True, is_revoked=lambda: False, get_scope=lambda: "")
    assert state_of(OwnFind(ISSUER, API), found).reason == Reason.EXPIRED


@pytest.mark.parametrize("name", ["aget_jwks", "aauthenticate_token", "avalidate_token"])
def test_twins_are_not_to_be_written(name: str) -> None:
    """R124: an override of a twin would never be called, so the class is refused."""
    with pytest.raises(TypeError, match=rf"Own.{name}\(\) would never be called: write async def {name[1:]}\(\)"):
        type("Own", (JWTBearerTokenValidator,), {name: lambda self: None})
