"""Verifies a JWT access token."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet

from async_oauth_guard.authorization_server.cache_entries import CacheSigner
from async_oauth_guard.authorization_server.jwks import RefreshPolicy, RemoteKeySource
from async_oauth_guard.errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.jwk import DEFAULT_ALGORITHMS
from async_oauth_guard.protocol.provider_profiles import get_profile
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import Call, OutboundRequest
from async_oauth_guard.runtime.lru_cache import SizedLRU
from async_oauth_guard.validators.jwt_verification import JwtPolicy, VerifiedJwt, find_verified_flow, verify_flow
from tests.ids import described
from tests.unit.driving import DOWN, ISSUER, KEYCLOAK, REMEMBERED, SigningKey, World, key_set, ok, traced_size

NOW = 1_800_000_000.0
API = "https://api.example.com"
JWKS_URI = f"{ISSUER}/keys"
KEY, NEW, FORGED = SigningKey("k1"), SigningKey("k2"), SigningKey("k1")
VAULT = CacheSigner(Secret("secret"), "validator")
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": API,
    "sub": "alice",
    "client_id": "app",
    "exp": NOW + 300,
    "iat": NOW - 1,
    "jti": "1",
    "scope": "read write",
}


def token(key: SigningKey = KEY, *, header: Mapping[str, Any] | None = None, **claims: Any) -> Secret[str]:
    """A valid token with these changes; ``...`` omits a claim."""
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return key.sign(merged, **{"typ": "at+jwt", **(header or {})})


GOOD = token()


class Site:
    """A validator and its cache."""

    def __init__(self, *responses: Any, **rules: Any) -> None:
        self.world = World()
        self.world.answer(JWKS_URI, *responses or [ok(key_set(KEY))])
        lifetimes = RefreshPolicy(600.0, 30.0, 86_400.0)
        keys = RemoteKeySource(self.world.server(), JWKS_URI, lifetimes, lambda: VAULT, DEFAULT_ALGORITHMS)
        usual: dict[str, Any] = {
            "profile": get_profile("rfc9068"),
            "algorithms": frozenset(DEFAULT_ALGORITHMS),
            "issuer": ISSUER,
            "audiences": (API,),
            "leeway": 10.0,
            "checks_times": True,
            "keys": keys,
            "clock": self.world.time.clock,
            "get_jwks": None,
            "validate_iss": None,
        }
        self.rules = JwtPolicy(**usual | rules)
        self.lru: SizedLRU[VerifiedJwt] = SizedLRU(1_000_000, self.world.time.clock.wall)

    def verify(self, presented: Secret[str] = GOOD) -> VerifiedJwt:
        verified = self.world.run(verify_flow(presented, self.rules, None))
        assert isinstance(verified, VerifiedJwt)
        return verified

    def find(self, presented: Secret[str] = GOOD, *, fresh: bool = False) -> VerifiedJwt:
        flow = find_verified_flow(presented, self.rules, self.lru, VAULT, fresh=fresh, cache=None)
        verified = self.world.run(flow)
        assert isinstance(verified, VerifiedJwt)
        return verified

    def why_not(self, presented: Secret[str] = GOOD, *, fresh: bool = False) -> Reason:
        with pytest.raises(InvalidTokenError) as caught:
            self.find(presented, fresh=fresh)
        return caught.value.reason

    @property
    def is_remembered(self) -> bool:
        return len(self.lru._entries) == 1


# Verifying


def test_good() -> None:
    """R35 to R39: a valid token is verified, and its parts are returned."""
    verified = Site().verify()
    assert verified.claims == CLAIMS
    assert verified.header == {"typ": "at+jwt", "kid": "k1", "alg": "ES256"}
    assert verified.scope == "read write"
    assert verified.client_id == "app"


def test_nothing_shows() -> None:
    """R31: the repr shows no claims and no token."""
    verified = Site().verify()
    assert "alice" not in repr(verified)
    assert GOOD.reveal() not in repr(verified)


HS256 = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9"
EARLY: dict[str, tuple[Secret[str], Reason]] = {
    "no JWT": (Secret("opaque"), Reason.MALFORMED_JWT),
    "four parts": (Secret(GOOD.reveal() + ".AAAA"), Reason.MALFORMED_JWT),
    "no signature": (Secret(GOOD.reveal().rpartition(".")[0] + "."), Reason.MALFORMED_JWT),
    "symmetric": (Secret(".".join([HS256, *GOOD.reveal().split(".")[1:]])), Reason.UNSUPPORTED_ALGORITHM),
    "critical": (token(header={"crit": ["x"], "x": 1}), Reason.CRITICAL_HEADER),
    "type": (token(header={"typ": "JWT"}), Reason.WRONG_TYPE),
    "issuer": (token(iss=f"{ISSUER}/"), Reason.WRONG_ISSUER),
    "no issuer": (token(iss=...), Reason.MISSING_CLAIM),
    "audience": (token(aud="https://other.example.com"), Reason.WRONG_AUDIENCE),
    "no audience": (token(aud=...), Reason.MISSING_CLAIM),
    "expired": (token(exp=NOW - 10), Reason.EXPIRED),
    "no end": (token(exp=...), Reason.MISSING_CLAIM),
    "end of a wrong type": (token(exp="never"), Reason.MALFORMED_CLAIM),
    "not yet": (token(nbf=NOW + 11), Reason.NOT_YET_VALID),
    "issued in the future": (token(iat=NOW + 61), Reason.ISSUED_IN_FUTURE),
    "no subject": (token(sub=...), Reason.MISSING_CLAIM),
    "no identifier": (token(jti=...), Reason.MISSING_CLAIM),
    "sender-constrained": (token(token_type="MAC"), Reason.SENDER_CONSTRAINED),
    "details of a wrong type": (token(authorization_details="all"), Reason.MALFORMED_CLAIM),
}


@pytest.mark.parametrize(("presented", "reason"), EARLY.values(), ids=EARLY)
def test_nothing_is_fetched_for_what_cannot_be_valid(presented: Secret[str], reason: Reason) -> None:
    """R29, R54: a token that no key can make valid causes no request."""
    site = Site()
    assert site.why_not(presented) == reason
    assert site.world.effects == []
    assert len(site.lru._entries) == 0


@pytest.mark.parametrize(
    ("presented", "reason"),
    [
        (token(SigningKey("unknown")), Reason.UNKNOWN_KEY),
        (token(FORGED), Reason.BAD_SIGNATURE),
        (token(FORGED, header={"jwk": FORGED.jwk}), Reason.BAD_SIGNATURE),
        (
            token(FORGED, header={"jku": "https://evil.example.com", "x5u": "https://evil.example.com"}),
            Reason.BAD_SIGNATURE,
        ),
        (
            Secret(".".join([*GOOD.reveal().split(".")[:2], token(jti="2").reveal().split(".")[2]])),
            Reason.BAD_SIGNATURE,
        ),
    ],
    ids=["unknown key", "forged", "with its own key", "with its own address", "another's signature"],
)
def test_forged(presented: Secret[str], reason: Reason) -> None:
    """R39, R54, E7: only a key from the server's own key set is accepted, and only that set is fetched."""
    site = Site()
    assert site.why_not(presented) == reason
    assert site.world.urls == [JWKS_URI]
    assert len(site.lru._entries) == 0


def test_no_keys() -> None:
    """E17: missing keys are an outage."""
    site = Site(DOWN)
    with pytest.raises(TemporarilyUnavailableError):
        site.find()
    assert len(site.lru._entries) == 0


def test_algorithms_of_the_validator() -> None:
    """R41: an algorithm that the validator does not allow is refused, whatever the key says."""
    assert Site(algorithms=frozenset({"RS256"})).why_not() == Reason.UNSUPPORTED_ALGORITHM


def test_audience_that_is_not_checked() -> None:
    """If the site disables the audience check, it is not checked for new or cached tokens."""
    site = Site(audiences=None)
    presented = token(aud="https://other.example.com")
    assert site.find(presented) is site.find(presented)


def test_times_that_a_hook_checks() -> None:
    """If a hook checks the lifetime, an expired token is verified."""
    site = Site(checks_times=False)
    presented = token(exp=NOW - 1000)
    assert site.find(presented) is site.find(presented)


# Remembering


def test_remembered() -> None:
    """A cached token is found without any effect."""
    site = Site()
    first = site.find()
    site.world.effects.clear()
    assert site.find() is first
    assert site.world.effects == []


def test_another_token() -> None:
    """R39: the result for one token is not used for another that differs only in its signature."""
    site = Site()
    site.find()
    head, _, signature = GOOD.reveal().rpartition(".")
    other = "A" if signature[0] != "A" else "B"
    assert site.why_not(Secret(f"{head}.{other}{signature[1:]}")) == Reason.BAD_SIGNATURE


def test_audience_of_each_request() -> None:
    """R28, R33: the audience of a cached token is checked on each request."""
    site = Site()
    site.find()
    site.rules = replace(site.rules, audiences=("https://other.example.com",))
    assert site.why_not() == Reason.WRONG_AUDIENCE
    site.rules = replace(site.rules, audiences=("https://other.example.com", API))
    site.find()


def test_fresh() -> None:
    """A fresh request verifies the token again, and caches the new result."""
    site = Site()
    first = site.find()
    second = site.find(fresh=True)
    assert second is not first
    assert site.find() is second


def test_forgotten_when_it_is_refused() -> None:
    """If a token is refused when it is verified again, its cached result is deleted."""
    site = Site()
    site.find()
    site.world.time.advance(400.0)
    assert site.why_not(fresh=True) == Reason.EXPIRED
    assert not site.is_remembered


def test_not_forgotten_without_keys() -> None:
    """E17: if keys are not available, the cached result stays."""
    site = Site(ok(key_set(KEY)), DOWN)
    site.find()
    site.world.time.advance(86_400.0)
    site.world.time.wall = NOW
    with pytest.raises(TemporarilyUnavailableError):
        site.find()
    assert site.is_remembered


def test_key_that_left_the_set() -> None:
    """A cached result is not used after its key left the server's key set."""
    site = Site(ok(key_set(KEY)), ok(key_set(NEW)))
    site.find()
    site.world.time.advance(480.0)
    site.world.time.wall = NOW
    site.find()
    assert site.why_not() == Reason.UNKNOWN_KEY
    assert not site.is_remembered


def test_key_that_stays_in_the_set() -> None:
    """A cached result is still used if its key is in the new key set."""
    site = Site(ok(key_set(KEY)), ok(key_set(NEW, KEY)))
    first = site.find()
    site.world.time.advance(480.0)
    assert site.find() is first
    assert len(site.world.asked(OutboundRequest)) == 2
    assert site.find() is first


def test_another_validator() -> None:
    """R33: validators that share a cache but differ in their options do not share results."""
    site = Site()
    site.find()
    other = CacheSigner(Secret("secret"), "another validator")
    site.world.run(find_verified_flow(GOOD, site.rules, site.lru, other, fresh=False, cache=None))
    assert len(site.lru._entries) == 2


# How much is remembered

SIZES: dict[str, dict[str, Any]] = {
    "bare": {},
    "Keycloak": KEYCLOAK,
    "nested lists": {"realm_access": [[[], [], [[]]]] * 50},
    "many roles": {"resource_access": {"app": {"roles": [f"role-{number}" for number in range(200)]}}},
    "long text": {"picture": "x" * 5000},
    "wide text": {"name": "\N{GRINNING FACE}" + "x" * 5000},
}


@pytest.mark.parametrize("claims", SIZES.values(), ids=SIZES)
def test_memory_that_is_used(claims: dict[str, Any]) -> None:
    """The size limit holds for the real memory in use, whatever tokens contain."""
    site = Site(audiences=(API,))
    site.lru = SizedLRU(REMEMBERED, lambda: 0.0)

    def fill() -> None:
        number = 0
        while len(site.lru._entries) == number:
            site.find(token(jti=f"{number}", sid=f"session-{number}", **claims))
            number += 1

    assert 1 / 1.5 < traced_size(fill, site.lru) / REMEMBERED < 1.5


# Hooks


def test_validate_iss() -> None:
    """R124: a hook that compares issuers is called last, only with claims whose signature was verified."""
    calls: list[Any] = []

    def validate_iss(claims: Any, issuer: Any) -> bool:
        calls.append((dict(claims), issuer))
        return bool(issuer == "https://tenant.example.com")

    site = Site(issuer=None, validate_iss=validate_iss)
    site.verify(token(iss="https://tenant.example.com"))
    assert type(site.world.effects[-1]) is Call
    assert calls == [({**CLAIMS, "iss": "https://tenant.example.com"}, "https://tenant.example.com")]
    site.world.effects.clear()
    assert site.why_not() == Reason.WRONG_ISSUER
    assert [type(effect) for effect in site.world.effects] == [Call]
    site.world.effects.clear()
    assert site.why_not(token(exp=NOW - 100)) == Reason.EXPIRED
    assert site.why_not(token(FORGED)) == Reason.BAD_SIGNATURE
    assert site.world.effects == []


def test_validate_iss_that_refuses() -> None:
    """R124: a token whose issuer the hook refuses is refused."""
    assert Site(issuer=None, validate_iss=lambda claims, issuer: False).why_not() == Reason.WRONG_ISSUER


@pytest.mark.parametrize("returned", [None, 0, 1, "", "yes", [], object()], ids=described)
def test_validate_iss_that_does_not_decide(returned: Any) -> None:
    """R124: a result that is not a ``bool`` is a bug of the site, and nothing is cached."""
    site = Site(issuer=None, validate_iss=lambda claims, issuer: returned)
    with pytest.raises(TypeError, match=rf"<lambda>\(\) must return a bool, got {type(returned).__name__}$"):
        site.find()
    assert not site.is_remembered


@pytest.mark.parametrize(
    "keys",
    [key_set(KEY), KEY.jwk, KeySet.import_key_set(key_set(KEY)), ECKey.import_key(KEY.jwk), [KEY.jwk]],
    ids=["set", "key", "KeySet", "joserfc's key", "list"],
)
def test_get_jwks(keys: Any) -> None:
    """A hook that returns keys replaces the server's, and is called on each request."""
    site = Site(get_jwks=lambda: keys)
    for _ in range(2):
        assert site.verify().claims == CLAIMS
    assert [type(effect) for effect in site.world.effects] == [Call, Call]


def test_get_jwks_without_the_key() -> None:
    """E7: a key that the hook does not return is unknown. The hook is not called for an invalid token."""
    site = Site(get_jwks=lambda: key_set(NEW))
    assert site.why_not() == Reason.UNKNOWN_KEY
    site.world.effects.clear()
    assert site.why_not(token(aud="other")) == Reason.WRONG_AUDIENCE
    assert site.world.effects == []


def test_get_jwks_without_any_key() -> None:
    """E17: a hook that returns no usable key is an outage."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        Site(get_jwks=lambda: {"keys": []}).verify()
    assert caught.value.reason == Reason.KEYS_UNAVAILABLE
