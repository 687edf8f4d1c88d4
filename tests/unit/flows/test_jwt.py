"""A JWT access token, from string to verified claims."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet

from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import Call, HttpCall
from async_oauth_guard.errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.caching import Vault
from async_oauth_guard.flows.jwt import JwtRules, VerifiedJwt, find_verified_flow, verify_flow
from async_oauth_guard.flows.keysets import Lifetimes, RemoteKeys
from async_oauth_guard.jose import DEFAULT_ALGORITHMS
from async_oauth_guard.memory import Memory
from async_oauth_guard.profiles import get_profile
from tests.unit.driving import DOWN, ISSUER, SigningKey, World, key_set, ok

NOW = 1_800_000_000.0
API = "https://api.example.com"
JWKS_URI = f"{ISSUER}/keys"
KEY, NEW, FORGED = SigningKey("k1"), SigningKey("k2"), SigningKey("k1")
VAULT = Vault(Secret("secret"), "validator")
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
    """A good token, but for what is given; ``...`` leaves a claim out."""
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return key.sign(merged, **{"typ": "at+jwt", **(header or {})})


GOOD = token()


class Site:
    """A validator and its memory."""

    def __init__(self, *answers: Any, **rules: Any) -> None:
        self.world = World()
        self.world.answer(JWKS_URI, *answers or [ok(key_set(KEY))])
        lifetimes = Lifetimes(600.0, 30.0, 86_400.0)
        keys = RemoteKeys(self.world.server(), JWKS_URI, lifetimes, lambda: VAULT, DEFAULT_ALGORITHMS)
        usual: dict[str, Any] = {
            "profile": get_profile("rfc9068"),
            "algorithms": frozenset(DEFAULT_ALGORITHMS),
            "issuer": ISSUER,
            "audiences": (API,),
            "leeway": 10.0,
            "judges_times": True,
            "keys": keys,
            "clock": self.world.time.clock,
            "get_jwks": None,
            "validate_iss": None,
        }
        self.rules = JwtRules(**usual | rules)
        self.memory: Memory[VerifiedJwt] = Memory(1_000_000)

    def verify(self, presented: Secret[str] = GOOD) -> VerifiedJwt:
        verified = self.world.run(verify_flow(presented, self.rules, None))
        assert isinstance(verified, VerifiedJwt)
        return verified

    def find(self, presented: Secret[str] = GOOD, *, fresh: bool = False) -> VerifiedJwt:
        flow = find_verified_flow(presented, self.rules, self.memory, VAULT, fresh=fresh, cache=None)
        verified = self.world.run(flow)
        assert isinstance(verified, VerifiedJwt)
        return verified

    def why_not(self, presented: Secret[str] = GOOD, *, fresh: bool = False) -> Reason:
        with pytest.raises(InvalidTokenError) as caught:
            self.find(presented, fresh=fresh)
        return caught.value.reason

    @property
    def is_remembered(self) -> bool:
        return len(self.memory) == 1


# Verifying


def test_good() -> None:
    """R35 to R39: a good token is verified, and what was read of it is there."""
    verified = Site().verify()
    assert verified.claims == CLAIMS
    assert verified.header == {"typ": "at+jwt", "kid": "k1", "alg": "ES256"}
    assert verified.scope == "read write"
    assert verified.client_id == "app"
    assert verified.size > len(GOOD.reveal())


def test_nothing_shows() -> None:
    """R31: no claim and no token is printed."""
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
    "sender-constrained": (token(cnf={"jkt": "x"}), Reason.SENDER_CONSTRAINED),
    "details of a wrong type": (token(authorization_details="all"), Reason.MALFORMED_CLAIM),
}


@pytest.mark.parametrize(("presented", "reason"), EARLY.values(), ids=EARLY)
def test_nothing_is_fetched_for_what_cannot_be_valid(presented: Secret[str], reason: Reason) -> None:
    """R29, R54: a token that is no good whatever its key is asks for nothing at all."""
    site = Site()
    assert site.why_not(presented) == reason
    assert site.world.effects == []
    assert len(site.memory) == 0


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
    """R39, R54, E7: only a key of the server's own set vouches for a token, and only that set is fetched."""
    site = Site()
    assert site.why_not(presented) == reason
    assert site.world.urls == [JWKS_URI]
    assert len(site.memory) == 0


def test_no_keys() -> None:
    """E17: without keys nobody can tell."""
    site = Site(DOWN)
    with pytest.raises(TemporarilyUnavailableError):
        site.find()
    assert len(site.memory) == 0


def test_algorithms_of_the_validator() -> None:
    """R41: an algorithm that the validator does not accept is refused, whatever the key says."""
    assert Site(algorithms=frozenset({"RS256"})).why_not() == Reason.UNSUPPORTED_ALGORITHM


def test_audience_that_is_not_checked() -> None:
    """Where the site says so, the audience is not looked at, when a token is verified or remembered."""
    site = Site(audiences=None)
    presented = token(aud="https://other.example.com")
    assert site.find(presented) is site.find(presented)


def test_times_that_a_hook_judges() -> None:
    """Where a hook is the sole judge of lifetime, an expired token is verified."""
    site = Site(judges_times=False)
    presented = token(exp=NOW - 1000)
    assert site.find(presented) is site.find(presented)


# Remembering


def test_remembered() -> None:
    """A token that was verified is known again without any effect."""
    site = Site()
    first = site.find()
    site.world.effects.clear()
    assert site.find() is first
    assert site.world.effects == []


def test_another_token() -> None:
    """R39: what is remembered of one token says nothing of one that differs in its signature only."""
    site = Site()
    site.find()
    head, _, signature = GOOD.reveal().rpartition(".")
    other = "A" if signature[0] != "A" else "B"
    assert site.why_not(Secret(f"{head}.{other}{signature[1:]}")) == Reason.BAD_SIGNATURE


def test_audience_of_each_request() -> None:
    """R28, R33: a remembered token is still only for whom it is."""
    site = Site()
    site.find()
    site.rules = replace(site.rules, audiences=("https://other.example.com",))
    assert site.why_not() == Reason.WRONG_AUDIENCE
    site.rules = replace(site.rules, audiences=("https://other.example.com", API))
    site.find()


def test_fresh() -> None:
    """A fresh request has the token verified anew, and what comes of it is remembered."""
    site = Site()
    first = site.find()
    second = site.find(fresh=True)
    assert second is not first
    assert site.find() is second


def test_forgotten_when_it_is_refused() -> None:
    """A token that is refused when it is verified anew is remembered no longer."""
    site = Site()
    site.find()
    site.world.time.advance(400.0)
    assert site.why_not(fresh=True) == Reason.EXPIRED
    assert not site.is_remembered


def test_not_forgotten_when_nobody_can_tell() -> None:
    """E17: that keys cannot be had now says nothing of a token that was verified."""
    site = Site(ok(key_set(KEY)), DOWN)
    site.find()
    site.world.time.advance(86_400.0)
    site.world.time.wall = NOW
    with pytest.raises(TemporarilyUnavailableError):
        site.find()
    assert site.is_remembered


def test_key_that_left_the_set() -> None:
    """What a key verified is dropped when the server takes the key out of its set."""
    site = Site(ok(key_set(KEY)), ok(key_set(NEW)))
    site.find()
    site.world.time.advance(480.0)
    site.world.time.wall = NOW
    site.find()
    assert site.why_not() == Reason.UNKNOWN_KEY
    assert not site.is_remembered


def test_key_that_stays_in_the_set() -> None:
    """A set that was replaced and still has the key makes nobody verify again."""
    site = Site(ok(key_set(KEY)), ok(key_set(NEW, KEY)))
    first = site.find()
    site.world.time.advance(480.0)
    assert site.find() is first
    assert len(site.world.asked(HttpCall)) == 2
    assert site.find() is first


def test_another_validator() -> None:
    """R33: one memory serves validators that differ in what decides a verdict, and none takes the other's."""
    site = Site()
    site.find()
    other = Vault(Secret("secret"), "another validator")
    site.world.run(find_verified_flow(GOOD, site.rules, site.memory, other, fresh=False, cache=None))
    assert len(site.memory) == 2


# Hooks


def test_validate_iss() -> None:
    """R124: a hook that judges the issuer is called last, about claims that are signed, and about no forged ones."""
    asked: list[Any] = []

    def validate_iss(claims: Any, issuer: Any) -> bool:
        asked.append((dict(claims), issuer))
        return bool(issuer == "https://tenant.example.com")

    site = Site(issuer=None, validate_iss=validate_iss)
    site.verify(token(iss="https://tenant.example.com"))
    assert type(site.world.effects[-1]) is Call
    assert asked == [({**CLAIMS, "iss": "https://tenant.example.com"}, "https://tenant.example.com")]
    site.world.effects.clear()
    assert site.why_not() == Reason.WRONG_ISSUER
    assert [type(effect) for effect in site.world.effects] == [Call]
    site.world.effects.clear()
    assert site.why_not(token(exp=NOW - 100)) == Reason.EXPIRED
    assert site.why_not(token(FORGED)) == Reason.BAD_SIGNATURE
    assert site.world.effects == []


@pytest.mark.parametrize("verdict", [False, None, 0, ""])
def test_validate_iss_that_says_no(verdict: Any) -> None:
    """R124: what is no yes is a no."""
    assert Site(issuer=None, validate_iss=lambda claims, issuer: verdict).why_not() == Reason.WRONG_ISSUER


@pytest.mark.parametrize(
    "keys",
    [key_set(KEY), KEY.jwk, KeySet.import_key_set(key_set(KEY)), ECKey.import_key(KEY.jwk), [KEY.jwk]],
    ids=["set", "key", "KeySet", "joserfc's key", "list"],
)
def test_get_jwks(keys: Any) -> None:
    """A hook that gives keys takes the place of the server's, and is called in each request."""
    site = Site(get_jwks=lambda: keys)
    for _ in range(2):
        assert site.verify().claims == CLAIMS
    assert [type(effect) for effect in site.world.effects] == [Call, Call]


def test_get_jwks_without_the_key() -> None:
    """E7: a token by a key that the hook does not give is unknown, and one that is no good does not call it."""
    site = Site(get_jwks=lambda: key_set(NEW))
    assert site.why_not() == Reason.UNKNOWN_KEY
    site.world.effects.clear()
    assert site.why_not(token(aud="other")) == Reason.WRONG_AUDIENCE
    assert site.world.effects == []


def test_get_jwks_without_any_key() -> None:
    """E17: a hook that gives nothing usable leaves nobody who can tell."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        Site(get_jwks=lambda: {"keys": []}).verify()
    assert caught.value.reason == Reason.KEYS_UNAVAILABLE
