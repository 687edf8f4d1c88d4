"""``JWTBearerTokenValidator``: its options, and what views see of a token."""

import dataclasses
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2.rfc6750 import InvalidTokenError as AuthlibInvalidTokenError
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc.jwk import ECKey, KeySet, OctKey
from joserfc.jwt import encode

from async_oauth_guard import (
    AccessToken,
    InsufficientScopeError,
    InvalidTokenError,
    JWTBearerTokenValidator,
    TemporarilyUnavailableError,
)
from async_oauth_guard.authorization_server.jwks import CallableKeySource, RemoteKeySource, StaticKeySource
from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.jwk import DEFAULT_ALGORITHMS, SYMMETRIC_ALGORITHMS
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import Call, OutboundRequest, Row, SingleFlight
from async_oauth_guard.validators.authorization import adopt_token_flow, authorize_flow
from tests.ids import described
from tests.unit.driving import DOWN, ISSUER, SigningKey, World, authorization_context, key_set, ok

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

HTTPS = "must be an https:// URL; to use http:// in a private network, set allow_insecure_http=True"
NO_URL = "must be an absolute https:// URL"
SECONDS = [
    (-1, ValueError, "must be a number of seconds, 0 or more, got "),
    (float("inf"), ValueError, "must be a number of seconds, 0 or more, got "),
    ("5", TypeError, "must be a number of seconds, got str"),
    (None, TypeError, "must be a number of seconds, got NoneType"),
    (False, TypeError, "must be a number of seconds, got bool"),
]
WRONG: list[Any] = [
    *(({"issuer": value}, TypeError, "issuer must be a non-empty string, got ") for value in (None, 7, "", b"x", [])),
    ({"issuer": "http://as.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://127.0.0.1.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://10.0.0.1"}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://as.example.com", "jwks_uri": JWKS_URI}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "http://as.example.com", "jwks": key_set(KEY)}, ValueError, f"issuer: {HTTPS}"),
    ({"issuer": "as.example.com"}, ValueError, f"issuer: {NO_URL}"),
    ({"issuer": "urn:x"}, ValueError, f"issuer: {NO_URL}"),
    (
        {"issuer": "https://u:p@as.example.com"},
        ValueError,
        "issuer: must be a URL without user name, password and fragment",
    ),
    (
        {"issuer": "https://as.example.com/#x"},
        ValueError,
        "issuer: must be a URL without user name, password and fragment",
    ),
    ({"jwks_uri": "http://as.example.com/keys"}, ValueError, f"jwks_uri: {HTTPS}"),
    *(({"jwks_uri": value}, ValueError, f"jwks_uri: {NO_URL}") for value in ("", 7, "keys", "https://", "https://a b")),
    ({"jwks_uri": JWKS_URI, "jwks": key_set(KEY)}, ValueError, "jwks and jwks_uri must not both be given"),
    *(
        ({"jwks": value}, ValueError, "jwks must contain a key that can verify a signature")
        for value in ({}, [], {"keys": []}, {"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}, {"kty": "RSA"})
    ),
    *(({"jwks": value}, TypeError, "jwks: the key set must be a JWK Set") for value in (7, "keys", b"keys")),
    *(({"jwks": value}, ValueError, "jwks must contain a key") for value in ("{}", b"{}", "[]")),
    ({"leeway": 301}, ValueError, "leeway must be at most 300 seconds, got 301"),
    ({"max_stale": 29}, ValueError, "max_stale must be at least cooldown"),
    ({"algorithms": "RS256"}, TypeError, "algorithms must be a list of names, such as ['RS256'], got str"),
    ({"algorithms": []}, ValueError, "algorithms must not be empty, because no token could be valid"),
    *(({"algorithms": value}, TypeError, "algorithms must be a list of names") for value in ("RS256", 7, {"RS256": 1})),
    *(({"algorithms": [value]}, ValueError, "algorithms must be names from ") for value in ("none", "rs256", 7)),
    ({"algorithms": [["RS256"]]}, (TypeError, ValueError), "algorithms must be "),
    *(
        (
            {"algorithms": ["RS256", name], **fetched},
            ValueError,
            f"algorithms contains {name}, which needs ",
        )
        for name in SYMMETRIC_ALGORITHMS
        for fetched in ({}, {"jwks_uri": JWKS_URI}, {"jwks": lambda: OCT})
    ),
    *(({"profile": value}, ValueError, "profile must be one of 'rfc9068'") for value in ("", "Okta", None, 7)),
    ({"profile": "keycloack"}, ValueError, "profile must be one of "),
    ({"profile": []}, (TypeError, ValueError), "profile must be one of "),
    *(
        ({name: value}, error, f"{name} {message}")
        for name in ("leeway", "jwks_ttl", "cooldown", "max_stale")
        for value, error, message in SECONDS
    ),
    *(({"allow_insecure_http": value}, TypeError, "allow_insecure_http must be ") for value in ("no", 1, None)),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda part: described(part)[:60])
def test_wrong_options(options: dict[str, Any], error: Any, message: str) -> None:
    """R134, R65: an invalid option is refused when the validator is created, by a message that says what is allowed."""
    with pytest.raises(error) as caught:
        jwt(**options)
    assert str(caught.value).startswith(message)


def test_near_misses() -> None:
    """R134: for a misspelt profile, the message names the nearest one."""
    with pytest.raises(ValueError, match=r"Did you mean 'keycloak'\?$"):
        jwt(profile="keycloack")


def test_defaults() -> None:
    """The defaults are those in the documentation."""
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


@pytest.mark.parametrize("options", GOOD, ids=described)
def test_good_options(options: dict[str, Any]) -> None:
    """Valid options are accepted. An issuer that is only compared may be any string."""
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
    """R42: a shared secret works only if the site passes it. Then ``algorithms`` is not needed."""
    validator = jwt(jwks=keys, algorithms=algorithms)
    assert ("HS256" in validator.algorithms) is expected


def test_one_audience_of_its_own() -> None:
    """``resource_server`` has the value that Authlib's users expect."""
    assert jwt().resource_server == API
    assert JWTBearerTokenValidator(ISSUER, jwks=key_set(KEY)).resource_server is None


SOURCES: list[tuple[dict[str, Any], type]] = [
    ({}, RemoteKeySource),
    ({"jwks_uri": JWKS_URI}, RemoteKeySource),
    ({"jwks": key_set(KEY)}, StaticKeySource),
    ({"jwks": ECKey.generate_key("P-256")}, StaticKeySource),
    ({"jwks": lambda: key_set(KEY)}, CallableKeySource),
]


@pytest.mark.parametrize(("options", "expected"), SOURCES)
def test_where_keys_come_from(options: dict[str, Any], expected: type) -> None:
    """Keys are fetched, passed as an option, or returned by a callable."""
    assert type(jwt(**options)._own_keys) is expected


# Tokens.


def test_discovery() -> None:
    """R63, R64: with an issuer alone, keys are discovered from its metadata."""
    world = World()
    world.answer(METADATA, ok({"issuer": ISSUER, "jwks_uri": JWKS_URI}))
    world.answer(JWKS_URI, ok(key_set(KEY)))
    found = world.run(jwt().authenticate_flow(token(), authorization_context()))
    assert isinstance(found, AccessToken)
    assert (found.subject, found.client_id, found.scopes, found.user) == ("alice", "app", {"a", "b"}, None)
    assert found.header["kid"] == "k"
    assert world.urls == [METADATA, JWKS_URI]


def test_given_address() -> None:
    """With ``jwks_uri``, nothing is discovered."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    assert world.run(jwt(jwks_uri=JWKS_URI).authenticate_flow(token(), authorization_context()))["sub"] == "alice"
    assert world.urls == [JWKS_URI]


def test_given_keys() -> None:
    """With ``jwks``, nothing is fetched."""
    world = World()
    assert world.run(jwt(jwks=key_set(KEY)).authenticate_flow(token(), authorization_context()))["sub"] == "alice"
    assert world.effects == []


def test_called_keys() -> None:
    """A callable runs where the site's code may run, and its keys are cached."""
    world, validator = World(), jwt(jwks=lambda: key_set(KEY))
    for _ in range(3):
        assert world.run(validator.authenticate_flow(token(jti="x"), authorization_context()))["sub"] == "alice"
    assert len(world.asked(Call)) == 1
    assert world.asked(SingleFlight) == []


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
    """R29: an invalid token is refused, each with its own reason."""
    assert reason_of(World(), jwt(jwks=key_set(KEY)).authenticate_flow(presented, authorization_context())) == reason


def test_algorithms_are_kept_to() -> None:
    """R41: an algorithm that is not in the list is refused, even if the key supports it."""
    validator = jwt(jwks=key_set(KEY), algorithms=["RS256"])
    assert (
        reason_of(World(), validator.authenticate_flow(token(), authorization_context()))
        == Reason.UNSUPPORTED_ALGORITHM
    )


def test_symmetric_tokens() -> None:
    """R42: a token that is signed with the shared secret is accepted, and one with another secret is refused."""
    validator = jwt(jwks=OCT)
    good, bad = (Secret(encode({"alg": "HS256", "typ": "at+jwt"}, claims(), key)) for key in (SHARED, OTHER_SECRET))
    assert World().run(validator.authenticate_flow(good, authorization_context()))["sub"] == "alice"
    assert reason_of(World(), validator.authenticate_flow(bad, authorization_context())) == Reason.BAD_SIGNATURE


def test_remembered_tokens() -> None:
    """The result for a token is cached until it is invalidated, or until a view requires a fresh one."""
    world, validator, presented = World(), jwt(jwks_uri=JWKS_URI), token()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    first = world.run(validator.authenticate_flow(presented, authorization_context()))
    second = world.run(validator.authenticate_flow(presented, authorization_context()))
    assert (first, len(validator._verified_tokens._entries)) == (second, 1)
    assert first is not second
    first["scope"] = "everything"
    assert world.run(validator.authenticate_flow(presented, authorization_context(fresh=True)))["scope"] == "a b"
    world.run(validator.invalidate_flow(presented, None))
    assert len(validator._verified_tokens._entries) == 0
    assert world.urls == [JWKS_URI]


def test_outage() -> None:
    """Missing keys are an outage, not a refusal."""
    world = World()
    world.answer(JWKS_URI, DOWN)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        world.run(jwt(jwks_uri=JWKS_URI).authenticate_flow(token(), authorization_context()))
    assert caught.value.reason == Reason.SERVER_UNREACHABLE


def test_shared_cache() -> None:
    """With a shared cache, keys that another worker fetched are used."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    context = dataclasses.replace(authorization_context(), cache="default")
    for _ in range(2):
        world.run(jwt(jwks_uri=JWKS_URI).authenticate_flow(token(), context))
    assert len(world.asked(OutboundRequest)) == 1
    assert len(world.cache) == 1


def test_expired_tokens_cost_no_query() -> None:
    """A cached token that is expired is refused before its user is looked up."""
    validator = jwt(jwks=key_set(KEY), user_lookup="username", leeway=0)
    presented = token(exp=time.time() - 1)
    world = World()
    assert reason_of(world, validator.authenticate_flow(presented, authorization_context())) == Reason.EXPIRED
    assert world.effects == []


def test_tokens_that_expire_meanwhile_cost_no_query() -> None:
    """A token that expires while its keys are fetched is refused before its user is looked up."""
    world = World()

    def get_keys() -> Any:
        world.time.advance(100)
        return key_set(KEY)

    validator = jwt(jwks=get_keys, user_lookup="username")
    validator._server = dataclasses.replace(validator._server, clock=world.time.clock)
    presented = token(iat=world.time.wall - 1, exp=world.time.wall + 50)
    assert reason_of(world, validator.authenticate_flow(presented, authorization_context())) == Reason.EXPIRED
    assert len(world.asked(Call)) == 1
    assert world.asked(Row) == []


# Routing.


def test_owned_issuers() -> None:
    """Only this validator accepts JWTs from its issuer, and it accepts no others."""
    validator = jwt()
    assert [validator.owns(issuer) for issuer in (ISSUER, f"{ISSUER}/", "", None)] == [True, False, False, False]


def test_own_validate_iss_is_offered_every_jwt() -> None:
    """A custom ``validate_iss`` makes the validator a candidate for every JWT, and for nothing else."""

    class Own(JWTBearerTokenValidator):
        def validate_iss(self, claims: Any, iss: Any) -> bool:
            return True

    validator = Own(ISSUER, API)
    assert [validator.owns(issuer) for issuer in (ISSUER, "https://other", None)] == [None, None, False]


# State.


def state_of(validator: JWTBearerTokenValidator, found: Any, **requirements: Any) -> Any:
    return validator.read_state(found, authorization_context(**requirements))


def test_state() -> None:
    """The lifetime is checked each time. Scopes and attributes are read as the profile says."""
    validator = jwt(jwks=key_set(KEY))
    found = World().run(validator.authenticate_flow(token(groups=["g"], roles=["r"]), authorization_context()))
    state = state_of(validator, found, groups="g")
    assert (state.reason, state.scope, state.user) == (None, "a b", None)
    assert state.attributes == {"groups": ["g"]}
    assert state_of(validator, found).attributes == {}
    assert state_of(validator, AccessToken(claims(exp=time.time() - 11))).reason == Reason.EXPIRED
    assert state_of(validator, claims()).scope == "a b"


def test_state_without_scopes() -> None:
    """A token without a scope claim has no scopes."""
    validator = jwt(jwks=key_set(KEY))
    assert state_of(validator, {**claims(), "scope": None}).scope == []


# Public methods.


def test_get_jwks() -> None:
    """``get_jwks`` returns a copy of the key set."""
    given = key_set(KEY)
    validator = jwt(jwks=given)
    assert validator.get_jwks() == given
    validator.get_jwks()["keys"].clear()
    assert validator.get_jwks() == given


async def test_aget_jwks() -> None:
    """``aget_jwks`` does the same."""
    assert await jwt(jwks=key_set(KEY)).aget_jwks() == key_set(KEY)


def test_authenticate_token() -> None:
    """``authenticate_token`` finds and verifies a token."""
    assert jwt(jwks=key_set(KEY)).authenticate_token(token().reveal())["sub"] == "alice"


def test_validate_iss() -> None:
    """R37: issuers are compared code point by code point."""
    validator = jwt()
    assert [validator.validate_iss({}, iss) for iss in (ISSUER, f"{ISSUER}/", None, [ISSUER])] == [True] + [False] * 3


# Fingerprints.

DIFFERENCES: list[dict[str, Any]] = [
    {"jwks": None, "jwks_uri": JWKS_URI},
    {"jwks": key_set(OTHER_KEY)},
    {"jwks": lambda: key_set(KEY)},
    {"algorithms": ["ES256"]},
    {"profile": "generic"},
    {"leeway": 0},
]


@pytest.mark.parametrize("options", DIFFERENCES, ids=described)
def test_fingerprints(options: dict[str, Any]) -> None:
    """Options that can change a result separate cached results. How often keys are fetched does not."""
    plain = jwt(jwks=key_set(KEY))
    assert jwt(jwks=key_set(KEY), jwks_ttl=1, cooldown=1, max_stale=1).fingerprint() == plain.fingerprint()
    assert jwt(**{"jwks": key_set(KEY), **options}).fingerprint() != plain.fingerprint()


# Subclasses.


class JudgesAlone(JWTBearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        """Does not check roles."""


KEYCLOAK = {
    "azp": "app",
    "typ": "Bearer",
    "realm_access": {"roles": ["admin"]},
    "resource_access": {API: {"roles": ["auditor"]}, "other": {"roles": ["owner"]}},
}


@pytest.mark.parametrize(("roles", "is_held"), [("admin auditor", True), ("owner", False)])
def test_roles_of_a_profile_with_a_hook(roles: str, is_held: bool) -> None:
    """If a hook validates the token, the guard reads roles as the profile says, as without a hook."""
    validator = JudgesAlone(ISSUER, API, jwks=key_set(KEY), profile="keycloak")
    presented, context = token(**KEYCLOAK), authorization_context(roles=roles)
    found = World().run(validator.authenticate_flow(presented, context))
    for flow in (
        authorize_flow([validator], presented, context),
        adopt_token_flow(Call(lambda: found, ()), authorization_context(roles=roles)),
    ):
        if is_held:
            assert World().run(flow).token == found
        else:
            with pytest.raises(InsufficientScopeError):
                World().run(flow)


class OwnKeys(JWTBearerTokenValidator):
    calls = 0

    def get_jwks(self) -> Any:
        self.calls += 1
        return key_set(KEY)


def test_own_keys() -> None:
    """R42: ``get_jwks`` is called on each request. A shared secret among its keys is allowed."""
    world, validator, presented = World(), OwnKeys("urn:as", API), token(iss="urn:as")
    for _ in range(2):
        assert world.run(validator.authenticate_flow(presented, authorization_context()))["sub"] == "alice"
    assert validator.calls == 2
    assert len(validator._verified_tokens._entries) == 0
    assert "HS256" in validator.algorithms
    assert not validator.shares


def test_own_keys_with_an_identity() -> None:
    """With ``cache_identity()``, keys and verified tokens are cached, separately for each identity."""

    class Tenant(OwnKeys):
        name = "a"

        def cache_identity(self) -> str:
            return self.name

    world, validator, presented = World(), Tenant("urn:as", API), token(iss="urn:as")
    for name in ("a", "a", "b", "b", "a"):
        validator.name = name
        assert world.run(validator.authenticate_flow(presented, authorization_context()))["sub"] == "alice"
    assert validator.calls == 2
    assert len(validator._verified_tokens._entries) == 2
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


@pytest.mark.parametrize("issuer", [None, ["urn:as", "urn:bs"], ("urn:as",), {"urn:as": 1}], ids=described)
def test_own_comparison_of_issuers(issuer: Any) -> None:
    """R33: a subclass that compares issuers itself, and needs no server, may pass any issuer, as with Authlib."""
    validator = OwnIssuersAndKeys(issuer, API)
    assert World().run(validator.authenticate_flow(token(iss="urn:as"), authorization_context()))["sub"] == "alice"
    assert validator.signer().name("x") == OwnIssuersAndKeys(issuer, API).signer().name("x")
    assert OwnIssuersAndFind(issuer, API).issuer == issuer
    with pytest.raises(TypeError, match=r"^issuer must be a non-empty string, got "):
        OwnIssuers(issuer, API)


def test_text_that_a_hook_gives() -> None:
    """PEM and JSON text work as with Authlib. A shared secret as text is refused."""
    pem = ECKey.import_key(KEY.jwk).as_pem(private=False)
    for text in (pem, pem.decode(), json.dumps(key_set(KEY))):
        validator = jwt(jwks=lambda text=text: text)
        assert World().run(validator.authenticate_flow(token(), authorization_context()))["sub"] == "alice"


def test_callables_without_a_hash() -> None:
    """A callable must be hashable, because its keys are cached by it."""

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> Any: ...

    with pytest.raises(TypeError, match=r"^jwks must be hashable, got Unhashable$"):
        jwt(jwks=Unhashable())


def test_keys_are_made_once() -> None:
    """Threads that start at the same time use one source of keys and one single flight."""
    assert {"_own_keys"} <= set(vars(jwt()))


class OwnFind(JWTBearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return None


OWN_FINDS: list[tuple[dict[str, Any], Reason | None]] = [
    ({}, None),
    ({"iss": "https://other.example.com"}, Reason.WRONG_ISSUER),
    ({"aud": "https://other.example.com"}, Reason.WRONG_AUDIENCE),
    ({"token_type": "MAC"}, Reason.SENDER_CONSTRAINED),
    ({"token_use": "refresh"}, Reason.WRONG_TYPE),
    ({"exp": 1}, Reason.EXPIRED),
    ({"authorization_details": "x"}, Reason.MALFORMED_CLAIM),
    ({"authorization_details": [{"type": "t"}]}, None),
]


@pytest.mark.parametrize(("values", "reason"), OWN_FINDS)
@pytest.mark.parametrize("kind", [dict, AccessToken])
def test_claims_that_a_subclass_finds(kind: Any, values: dict[str, Any], reason: Reason | None) -> None:
    """R28, R37: issuer, audience, lifetime and token type are checked for tokens from a subclass too."""
    assert state_of(OwnFind(ISSUER, API), kind(claims(**values))).reason == reason


def test_authlibs_claims_that_a_subclass_finds() -> None:
    """R28: Authlib checks its own claims by the options that they were given, and the package checks them too."""
    with pytest.raises(AuthlibInvalidTokenError):
        state_of(OwnFind(ISSUER, API), JWTAccessTokenClaims(claims(), {}, {"client_id": {"values": ["other"]}}))
    for values, reason in OWN_FINDS:
        if reason is not Reason.EXPIRED:  # Authlib checks this too
            assert state_of(OwnFind(ISSUER, API), JWTAccessTokenClaims(claims(**values), {})).reason == reason


def test_custom_tokens_that_a_subclass_finds() -> None:
    """A custom token is checked with Authlib's methods."""
    found = SimpleNamespace(is_expired=lambda: True, is_revoked=lambda: False, get_scope=lambda: "")
    assert state_of(OwnFind(ISSUER, API), found).reason == Reason.EXPIRED


@pytest.mark.parametrize("name", ["aget_jwks", "aauthenticate_token", "avalidate_token"])
def test_overridden_async_variants(name: str) -> None:
    """R124: a class that overrides an async variant is refused, because it would never be called."""
    with pytest.raises(TypeError, match=rf"Own.{name}\(\) would never be called: write async def {name[1:]}\(\)"):
        type("Own", (JWTBearerTokenValidator,), {name: lambda self: None})
