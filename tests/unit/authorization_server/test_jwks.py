"""Where keys come from, how long they are used, and when they are fetched again."""

import json
import logging
from typing import Any

import pytest
from joserfc.jwk import KeySet, OctKey, OKPKey

from async_oauth_guard.authorization_server.cache_entries import CacheSigner
from async_oauth_guard.authorization_server.jwks import (
    CallableKeySource,
    KeySource,
    RefreshPolicy,
    RemoteKeySource,
    StaticKeySource,
    import_called_keys,
)
from async_oauth_guard.authorization_server.metadata import METADATA_TTL, Metadata
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.jwk import DEFAULT_ALGORITHMS
from async_oauth_guard.protocol.jwt import Jwt, parse_jwt
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import (
    CacheRead,
    CacheWrite,
    Call,
    OutboundRequest,
    OutboundResponse,
    SingleFlight,
    StartBackground,
)
from tests.unit.driving import DOWN, ISSUER, Run, SigningKey, World, key_set, ok, status

JWKS_URI = f"{ISSUER}/keys"
PLACE = f"{ISSUER}/.well-known/oauth-authorization-server"
TTL, COOLDOWN, MAX_STALE = 600.0, 30.0, 86_400.0
DUE = 0.8 * TTL
LIFETIMES = RefreshPolicy(TTL, COOLDOWN, MAX_STALE)

OLD, NEW, FORGED = SigningKey("old"), SigningKey("new"), SigningKey("forged")
NAMELESS = SigningKey(None)


def jwt_by(key: SigningKey) -> Jwt:
    jwt = parse_jwt(key.sign({"iss": ISSUER}))
    assert isinstance(jwt, Jwt)
    return jwt


BY_OLD, BY_NEW, BY_FORGED, BY_NAMELESS = map(jwt_by, (OLD, NEW, FORGED, NAMELESS))
OLD_SET, NEW_SET, BOTH = ok(key_set(OLD)), ok(key_set(NEW)), ok(key_set(OLD, NEW))


def signer(secret_key: str = "secret") -> CacheSigner:
    return CacheSigner(Secret(secret_key), "validator")


NAME = ("default", signer().name("keys"))


class Site:
    """A validator in one worker. Two workers may share a ``world``."""

    def __init__(self, *answers: Any, world: World | None = None, **options: Any) -> None:
        self.world = world or World()
        self.server = self.world.server()
        usual: dict[str, Any] = {"location": JWKS_URI, "lifetimes": LIFETIMES, "signer": signer}
        self.keys = RemoteKeySource(self.server, algorithms=DEFAULT_ALGORITHMS, **usual | options)
        self.world.answers.setdefault(JWKS_URI, [])
        if answers:
            self.world.answer(JWKS_URI, *answers)

    @property
    def fetches(self) -> int:
        return self.world.urls.count(JWKS_URI)

    def ask(self, jwt: Jwt, cache: str | None = None) -> Run:
        return self.world.begin(self.keys.matching_keys_flow(jwt, cache))

    def candidates(self, jwt: Jwt, cache: str | None = None) -> list[str | None]:
        return [key.kid for key in self.ask(jwt, cache).result()]

    def identity(self, jwt: Jwt, cache: str | None = None) -> str:
        (key,) = self.ask(jwt, cache).result()
        return str(key.identity)

    def holds(self, identity: str, cache: str | None = None) -> bool:
        return bool(self.world.run(self.keys.is_current_flow(identity, cache)))

    def refusal(self, jwt: Jwt, cache: str | None = None) -> TemporarilyUnavailableError:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            self.candidates(jwt, cache)
        return caught.value


# The first fetch


def test_first_fetch() -> None:
    """Keys are fetched once, when they are first needed, by a request that reveals nothing about tokens."""
    site = Site(OLD_SET)
    site.world.hold = (OutboundRequest,)
    runs = [site.ask(jwt) for jwt in (BY_OLD, BY_OLD, BY_FORGED)]
    site.world.release()
    assert [[key.kid for key in run.result()] for run in runs] == [["old"], ["old"], []]
    (call,) = site.world.calls
    assert (call.method, call.url, call.form) == ("GET", JWKS_URI, None)
    assert call.headers == {"Accept": "application/json, application/jwk-set+json"}
    assert (call.client, call.concurrency_limit) == (site.server.client, site.server.concurrency_limit)
    assert {effect.timeout for effect in site.world.asked(SingleFlight)} == {5.0}


def test_warm() -> None:
    """A known key needs no effects."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    identity = site.identity(BY_OLD)
    site.world.effects.clear()
    assert site.candidates(BY_OLD) == ["old"]
    assert site.holds(identity)
    assert site.world.effects == []


@pytest.mark.parametrize("media_type", ["application/json", "application/jwk-set+json"])
def test_media_types(media_type: str) -> None:
    """RFC 7517's own media type is accepted like JSON."""
    assert Site(ok(key_set(OLD), media_type)).candidates(BY_OLD) == ["old"]


def with_private_member(key: SigningKey) -> dict[str, Any]:
    return {"keys": [{**key.jwk, "d": key.jwk["x"]}]}


UNUSABLE: dict[str, Any] = {
    "down": DOWN,
    "status": status(500),
    "redirect": status(302),
    "nothing": ok(b""),
    "garbage": ok(b"<html>", "text/html"),
    "not JSON": ok(b"{"),
    "no object": ok([OLD.jwk]),
    "duplicate member": ok(b'{"keys": [], "keys": []}'),
    "wrong type": ok(key_set(OLD), "text/plain"),
    "empty set": ok({"keys": []}),
    "keys of a wrong type": ok({"keys": "old"}),
    "no set": ok({}),
    "not for signatures": ok({"keys": [{**OLD.jwk, "use": "enc"}]}),
    "symmetric": ok({"keys": [OctKey.generate_key(256).as_dict(private=True)]}),
    "private": ok(with_private_member(OLD)),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_no_keys_at_all(answer: Any) -> None:
    """R42, R65, E17: without usable keys the outage is reported, and the server is backing off."""
    site = Site(answer)
    error = site.refusal(BY_OLD)
    assert error.reason in (Reason.SERVER_ANSWER_UNUSABLE, Reason.SERVER_UNREACHABLE, Reason.KEYS_UNAVAILABLE)
    assert error.retry_after == 1
    error = site.refusal(BY_OLD)
    assert (error.reason, error.retry_after) == (Reason.BACKING_OFF, 1)
    assert site.fetches == 1
    site.world.time.advance(1.0)
    site.world.answer(JWKS_URI, OLD_SET)
    assert site.candidates(BY_OLD) == ["old"]


def test_wish_of_the_server() -> None:
    """E17: the server's ``Retry-After`` of a minute is honoured."""
    site = Site(status(503, "60"), OLD_SET)
    assert site.refusal(BY_OLD).retry_after == 60
    site.world.time.advance(59.5)
    assert site.refusal(BY_OLD).retry_after == 1
    site.world.time.advance(0.5)
    assert site.candidates(BY_OLD) == ["old"]


def test_bad_keys_are_left_out_one_by_one() -> None:
    """R58: one unusable key does not affect the others."""
    site = Site(ok({"keys": [{"kty": "RSA"}, 7, {**FORGED.jwk, "crv": "P-999"}, OLD.jwk]}))
    assert site.candidates(BY_OLD) == ["old"]


def test_without_a_kid() -> None:
    """R41: a token without ``kid`` is verified with the only key that fits, and refused if several fit."""
    site = Site(ok(key_set(NAMELESS)))
    assert site.candidates(BY_NAMELESS) == [None]
    assert Site(ok(key_set(NAMELESS, OLD))).candidates(BY_NAMELESS) == []


# Refreshing


def test_refresh_in_the_background() -> None:
    """After four fifths of its lifetime a set is refreshed once, in the background."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(DUE - 0.1)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 1
    site.world.time.advance(0.1)
    site.world.hold = (OutboundRequest,)
    assert [site.candidates(BY_OLD), site.candidates(BY_OLD)] == [["old"], ["old"]]
    assert site.fetches == 2
    assert site.world.asked(StartBackground)
    site.world.release()
    assert site.candidates(BY_NEW) == ["new"]
    assert site.fetches == 2


def test_refresh_for_remembered_tokens() -> None:
    """A set is refreshed even if it is only asked whether a key is current."""
    site = Site(OLD_SET, BOTH)
    identity = site.identity(BY_OLD)
    assert site.keys.is_settled(identity)
    site.world.time.advance(DUE)
    assert not site.keys.is_settled(identity)
    assert site.holds(identity)
    assert site.fetches == 2
    assert site.holds(identity)
    assert site.fetches == 2


def test_due_by_max_stale() -> None:
    """A set with a `max_stale` shorter than its lifetime is refreshed before `max_stale`."""
    site = Site(OLD_SET, BOTH, lifetimes=RefreshPolicy(TTL, COOLDOWN, 100.0))
    site.candidates(BY_OLD)
    site.world.time.advance(80.0)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 2


def test_replaced_and_never_merged() -> None:
    """A key that the server removed from its set verifies nothing, and tokens that it verified earlier are refused."""
    site = Site(OLD_SET, NEW_SET)
    identity = site.identity(BY_OLD)
    site.world.time.advance(DUE)
    site.candidates(BY_OLD)
    assert not site.holds(identity)
    assert site.candidates(BY_OLD) == []
    assert site.candidates(BY_NEW) == ["new"]


def test_same_kid_with_another_key() -> None:
    """R59: a result of one key is not valid for another key with the same kid."""
    other = SigningKey("old")
    site = Site(OLD_SET, ok(key_set(other)))
    identity = site.identity(BY_OLD)
    site.world.time.advance(DUE)
    site.candidates(BY_OLD)
    assert not site.holds(identity)
    assert site.identity(BY_OLD) != identity


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_failed_refresh(answer: Any) -> None:
    """E18: a failure never removes a set: it stays in use, with one attempt per cooldown."""
    site = Site(OLD_SET, answer)
    identity = site.identity(BY_OLD)
    site.world.time.advance(DUE)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 2
    site.world.time.advance(COOLDOWN - 0.1)
    site.world.effects.clear()
    assert site.candidates(BY_OLD) == ["old"]
    assert site.holds(identity)
    assert site.world.effects == []
    site.world.time.advance(0.1)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 3
    assert site.holds(identity)


def test_until_max_stale() -> None:
    """E17, E18: an old set is used until `max_stale` after the last successful fetch. Then the outage is reported."""
    site = Site(OLD_SET, DOWN)
    identity = site.identity(BY_OLD)
    site.world.time.advance(DUE)
    site.candidates(BY_OLD)
    site.world.time.advance(MAX_STALE - DUE - 0.1)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.holds(identity)
    site.world.time.advance(0.1)
    assert not site.holds(identity)
    fetches = site.fetches
    site.world.time.advance(40.0)
    assert site.refusal(BY_OLD).reason == Reason.SERVER_UNREACHABLE
    assert site.fetches == fetches + 1
    site.world.answer(JWKS_URI, OLD_SET)
    site.world.time.advance(60.0)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.holds(identity)


def test_a_remembered_token_asks_for_no_keys() -> None:
    """Without a usable set, earlier results are not current, and nothing is fetched for them."""
    site = Site(OLD_SET)
    assert not site.holds("any")
    assert site.world.effects == []


# Unknown keys


def test_rotation() -> None:
    """An unknown key causes an immediate refresh, and requests that need it wait."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (OutboundRequest,)
    run = site.ask(BY_NEW)
    assert not run.is_done
    assert site.candidates(BY_OLD) == ["old"]
    site.world.release()
    assert [key.kid for key in run.result()] == ["new"]


def test_unknown_key_after_a_success() -> None:
    """E7, R54: unknown keys cause one refresh per cooldown, counted from the attempt. Otherwise they are unknown."""
    site = Site(OLD_SET)
    assert site.candidates(BY_FORGED) == []
    assert site.fetches == 1
    site.world.time.advance(COOLDOWN - 0.1)
    assert site.candidates(BY_FORGED) == []
    assert site.fetches == 1
    site.world.time.advance(0.1)
    for _ in range(100):
        assert site.candidates(BY_FORGED) == []
    assert site.fetches == 2
    assert site.candidates(BY_OLD) == ["old"]


def test_unknown_key_after_a_failure() -> None:
    """E19: after a failed attempt an unknown key is reported as an outage, because it may be a new key."""
    site = Site(OLD_SET, DOWN)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    assert site.refusal(BY_NEW).reason == Reason.SERVER_UNREACHABLE
    error = site.refusal(BY_NEW)
    # There is no attempt before.
    assert (error.reason, error.retry_after) == (Reason.KEYS_UNAVAILABLE, COOLDOWN)
    assert site.fetches == 2
    assert site.candidates(BY_OLD) == ["old"]
    site.world.time.advance(COOLDOWN)
    site.world.answer(JWKS_URI, BOTH)
    assert site.candidates(BY_NEW) == ["new"]
    assert site.fetches == 3
    assert site.candidates(BY_FORGED) == []
    assert site.fetches == 3


def test_unknown_key_while_backing_off() -> None:
    """E19: a ``Retry-After`` longer than the cooldown is honoured, and the outage is reported meanwhile."""
    site = Site(OLD_SET, status(503, "100"), BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    assert site.refusal(BY_NEW).retry_after == 100
    site.world.time.advance(90.0)
    error = site.refusal(BY_NEW)
    assert (error.reason, error.retry_after) == (Reason.BACKING_OFF, 10)
    # A request that was not sent starts no cooldown.
    site.world.time.advance(10.0)
    assert site.candidates(BY_NEW) == ["new"]
    assert site.fetches == 3


def test_unknown_keys_wait_for_the_refresh_that_is_under_way() -> None:
    """E7: a request that needs a key during a fetch joins the fetch."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(DUE)
    site.world.hold = (OutboundRequest,)
    site.candidates(BY_OLD)
    runs = [site.ask(jwt) for jwt in (BY_NEW, BY_FORGED, BY_NEW)]
    assert site.fetches == 2
    site.world.release()
    assert [[key.kid for key in run.result()] for run in runs] == [["new"], [], ["new"]]
    assert site.fetches == 2


def test_a_request_just_after_a_refresh_starts_no_other() -> None:
    """E7: many requests with invented keys during a refresh do not cause a second one.

    Such a request sees a running refresh on its own thread, and the refresh may end before it joins.
    """
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (OutboundRequest,)
    first = site.ask(BY_FORGED)
    late = site.keys.matching_keys_flow(BY_FORGED, None)
    single_flight = next(late)
    assert isinstance(single_flight, SingleFlight)
    site.world.release()
    assert first.result() == ()
    site.world.hold = ()
    # What the outbound loop does with a request that arrives now.
    assert site.world.begin(single_flight.flow(), in_flight=True).result().keys
    assert site.fetches == 2


def test_requests_just_after_a_failed_refresh() -> None:
    """E19: the same holds after a refresh that failed."""
    site = Site(OLD_SET, DOWN)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (OutboundRequest,)
    first = site.ask(BY_FORGED)
    single_flight = next(site.keys.matching_keys_flow(BY_FORGED, None))
    assert isinstance(single_flight, SingleFlight)
    site.world.release()
    with pytest.raises(TemporarilyUnavailableError):
        first.result()
    site.world.time.advance(5.0)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        site.world.begin(single_flight.flow(), in_flight=True).result()
    assert caught.value.reason == Reason.KEYS_UNAVAILABLE
    assert site.fetches == 2


def test_an_attempt_that_never_ends() -> None:
    """E7: an attempt whose end is lost, as in a forked process, counts as over after its timeout."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (OutboundRequest,)
    site.ask(BY_FORGED)
    site.world.shared_runs.clear()
    site.world.time.advance(site.server.timeout)
    assert site.candidates(BY_FORGED) == []
    assert site.fetches == 2


def test_no_cooldown_for_a_set_that_is_too_old() -> None:
    """If no set may be used any more, it is fetched again, however long ago the last attempt was."""
    site = Site(OLD_SET, lifetimes=RefreshPolicy(TTL, COOLDOWN, 10.0))
    site.candidates(BY_OLD)
    site.world.time.advance(10.0)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 2


def test_a_set_that_is_replaced_while_it_is_looked_at() -> None:
    """E7: a new key is found even if the new set arrives while the old one is being searched."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(DUE)
    site.world.hold = (OutboundRequest,)
    site.candidates(BY_OLD)
    reads = iter(range(10))

    def end_of_the_refresh() -> None:
        # The second reading of the clock is the one after the search.
        if next(reads) == 1:
            site.world.time.when_read = lambda: None
            site.world.release()

    site.world.time.when_read = end_of_the_refresh
    assert site.candidates(BY_NEW) == ["new"]


# Discovery


def discovering(*answers: Any) -> Site:
    world = World()
    world.answer(PLACE, ok({"issuer": ISSUER, "jwks_uri": JWKS_URI}))
    site = Site(*answers, world=world)
    site.keys = RemoteKeySource(
        site.server, Metadata(site.server, MAX_STALE), LIFETIMES, signer, algorithms=DEFAULT_ALGORITHMS
    )
    return site


def test_discovered() -> None:
    """R63, R64: without a URL, the server's metadata provides it."""
    site = discovering(OLD_SET)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.world.urls == [PLACE, JWKS_URI]


@pytest.mark.parametrize(
    "metadata",
    [
        ok({"issuer": "https://evil.example.com", "jwks_uri": JWKS_URI}),
        ok({"issuer": ISSUER, "jwks_uri": "http://as.example.com/keys"}),
        ok({"issuer": ISSUER}),
        DOWN,
    ],
    ids=repr,
)
def test_nothing_discovered(metadata: Any) -> None:
    """R63, R65, E17, E20: without usable metadata no keys are fetched, and the outage is reported."""
    site = discovering(OLD_SET)
    site.world.answer(PLACE, metadata)
    assert site.refusal(BY_OLD).reason in (Reason.METADATA_UNUSABLE, Reason.SERVER_UNREACHABLE)
    assert site.fetches == 0


def test_metadata_is_down_and_keys_are_not() -> None:
    """E18: keys are refreshed from the known URL while the metadata is not available."""
    site = discovering(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.answer(PLACE, DOWN)
    site.world.time.advance(METADATA_TTL)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 2
    assert site.candidates(BY_NEW) == ["new"]


def test_keys_are_down_and_metadata_is_not() -> None:
    """E17: a failure to fetch keys does not count as a failure of the metadata."""
    site = discovering(DOWN, OLD_SET)
    site.refusal(BY_OLD)
    site.world.time.advance(1.0)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.world.urls == [PLACE, JWKS_URI, JWKS_URI]


def test_one_probe_of_a_server_that_is_down() -> None:
    """E24: after each wait one request is sent, whatever needs it."""
    site = discovering(OLD_SET)
    site.world.answer(PLACE, DOWN)
    for wait in (1, 2, 4):
        calls = len(site.world.calls)
        assert site.refusal(BY_OLD).retry_after == wait
        site.refusal(BY_OLD)
        assert len(site.world.calls) == calls + 1
        site.world.time.advance(wait)


def test_a_bug_is_no_outage() -> None:
    """R124: an unexpected error is raised unchanged, and the next request tries again."""
    site = Site(KeyError("a bug"), OLD_SET)
    with pytest.raises(KeyError):
        site.candidates(BY_OLD)
    assert site.candidates(BY_OLD) == ["old"]


# The shared cache


def shared(site: Site) -> str:
    return str(site.world.cache[NAME])


def test_left_for_other_workers() -> None:
    """A fetched set is stored in the shared cache, signed, for as long as it may be used."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD, "default")
    (read,), (write,) = site.world.asked(CacheRead), site.world.asked(CacheWrite)
    assert (read.alias, read.key) == NAME
    assert (write.alias, write.key, write.seconds) == (*NAME, MAX_STALE)
    now = site.world.time.wall
    assert signer().verify(NAME[1], shared(site), now) == {"document": key_set(OLD), "fetched_at": now}


def test_no_shared_cache() -> None:
    """Without a shared cache there are no effects for it."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD, None)
    assert not site.world.asked(CacheRead)
    assert not site.world.asked(CacheWrite)


def second_worker(first: Site, *answers: Any, **options: Any) -> Site:
    """A worker that starts now. ``answers`` are the server's responses from now on."""
    world = World()
    world.cache = first.world.cache
    world.time.wall = first.world.time.wall
    # Its steady clock has another origin.
    world.time.steady = 7.0
    return Site(*answers, world=world, **options)


def started(*answers: Any) -> Site:
    site = Site(*answers)
    site.candidates(BY_OLD, "default")
    return site


def test_a_new_worker() -> None:
    """A new worker uses the set that another worker stored, and sends no request while the set is fresh."""
    first = started(OLD_SET)
    first.world.time.advance(100.0)
    worker = second_worker(first, BOTH)
    assert worker.candidates(BY_OLD, "default") == ["old"]
    assert worker.holds(worker.identity(BY_OLD))
    assert worker.fetches == 0
    # The set is not from this worker's own attempt, so no cooldown delays a search for an unknown key.
    assert worker.candidates(BY_NEW, "default") == ["new"]
    assert worker.fetches == 1


def test_a_new_worker_counts_from_the_fetch() -> None:
    """A shared set is due and too old at the same time as in the worker that fetched it."""
    first = started(OLD_SET)
    first.world.time.advance(DUE - 1)
    worker = second_worker(first, BOTH)
    assert worker.candidates(BY_OLD, "default") == ["old"]
    assert worker.candidates(BY_OLD, "default") == ["old"]
    assert worker.fetches == 0
    worker.world.time.advance(1.0)
    assert worker.candidates(BY_OLD, "default") == ["old"]
    assert worker.fetches == 1


def test_a_new_worker_while_the_server_is_down() -> None:
    """E18: a worker that starts during an outage uses the shared set, up to `max_stale`."""
    first = started(OLD_SET)
    first.world.time.advance(MAX_STALE - 1)
    worker = second_worker(first, DOWN)
    assert worker.candidates(BY_OLD, "default") == ["old"]
    identity = worker.identity(BY_OLD)
    worker.world.time.advance(1.0)
    assert not worker.holds(identity)
    worker.refusal(BY_OLD, "default")


def test_a_set_that_is_too_old_for_this_worker() -> None:
    """E17: a worker with a shorter `max_stale` than the one that stored the set stops using it earlier."""
    first = started(OLD_SET)
    first.world.time.advance(60.0)
    worker = second_worker(first, DOWN, lifetimes=RefreshPolicy(TTL, COOLDOWN, 60.0))
    worker.refusal(BY_OLD, "default")
    assert worker.fetches == 1


def test_fetched_in_the_future() -> None:
    """A set from a worker whose clock is ahead counts as fetched now, not later."""
    first = Site(OLD_SET)
    first.world.time.wall += 3600
    first.candidates(BY_OLD, "default")
    worker = second_worker(first, BOTH)
    worker.world.time.wall -= 3600
    assert worker.candidates(BY_OLD, "default") == ["old"]
    worker.world.time.advance(DUE)
    worker.candidates(BY_OLD, "default")
    assert worker.fetches == 1


def planted(document: Any, secret_key: str = "secret") -> str:
    by = signer(secret_key)
    return by.sign(NAME[1], {"document": document, "fetched_at": 1_800_000_000.0}, 1_900_000_000.0)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        json.dumps(key_set(FORGED)),
        planted(key_set(FORGED), "a guess"),
        planted(key_set(OLD)).replace(OLD.jwk["x"], FORGED.jwk["x"]),
        planted(key_set(OLD))[:-1],
        planted({"keys": []}),
    ],
    ids=["none", "empty", "garbage", "not sealed", "another secret", "changed", "truncated", "no usable key"],
)
def test_planted(text: str | None) -> None:
    """R42, E22: someone with write access to the cache cannot plant a key: unsigned entries are ignored."""
    site = Site(OLD_SET)
    site.world.cache[NAME] = text
    assert site.candidates(BY_FORGED, "default") == []
    assert site.candidates(BY_OLD, "default") == ["old"]
    assert site.fetches == 1


def test_cache_is_down() -> None:
    """E22: a cache that fails counts as empty."""
    site = Site(OLD_SET)
    site.world.cache_is_down = True
    assert site.candidates(BY_OLD, "default") == ["old"]


def test_the_vault_is_asked_for_in_the_request() -> None:
    """The signer may depend on site code, which runs in the request and never on the outbound loop."""
    places: list[str] = []
    site = Site(OLD_SET, BOTH)

    def noting() -> CacheSigner:
        places.append("flight" if any(not run.is_done for run in site.world.shared_runs.values()) else "request")
        return signer()

    site.keys = RemoteKeySource(site.server, JWKS_URI, LIFETIMES, noting, algorithms=DEFAULT_ALGORITHMS)
    site.candidates(BY_OLD, "default")
    site.world.time.advance(DUE)
    site.holds(site.identity(BY_OLD, "default"), "default")
    site.world.time.advance(COOLDOWN)
    site.candidates(BY_FORGED, "default")
    assert len(site.world.asked(CacheWrite)) == 3
    assert set(places) == {"request"}


# The whole set


def test_document() -> None:
    """`get_jwks` returns the set as the server sent it, without a copy of each key."""
    site = Site(BOTH)
    assert site.world.run(site.keys.document_flow(None)) == key_set(OLD, NEW)


# Keys that are passed as an argument


@pytest.mark.parametrize(
    "handed_over", [key_set(OLD), OLD.jwk, KeySet.import_key_set(key_set(OLD))], ids=["set", "key", "KeySet"]
)
def test_fixed_keys(handed_over: Any) -> None:
    """Keys that are passed as an argument never change, and an unknown key causes no request."""
    world, keys = World(), StaticKeySource(handed_over, DEFAULT_ALGORITHMS)
    (key,) = world.run(keys.matching_keys_flow(BY_OLD, "default"))
    assert key.kid == "old"
    assert world.run(keys.matching_keys_flow(BY_FORGED, "default")) == ()
    assert world.run(keys.is_current_flow(key.identity, "default")) is True
    assert world.run(keys.is_current_flow("other", "default")) is False
    assert world.run(keys.document_flow("default")) is handed_over
    assert world.effects == []


# Keys that a callable returns


class Given:
    """A callable that returns keys and counts its calls."""

    def __init__(self, *answers: Any, lifetimes: RefreshPolicy = LIFETIMES) -> None:
        self.world = World()
        self.answers = list(answers)
        self.calls = 0
        self.keys = CallableKeySource(self, lifetimes, self.world.time.clock, DEFAULT_ALGORITHMS)

    def __call__(self) -> Any:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def candidates(self, jwt: Jwt) -> list[str | None]:
        return [key.kid for key in self.world.run(self.keys.matching_keys_flow(jwt, "default"))]


def test_called_keys() -> None:
    """The callable is called in the request that needs keys, and its result is kept for a set's lifetime."""
    given = Given(key_set(OLD), key_set(NEW))
    assert given.candidates(BY_OLD) == ["old"]
    given.world.time.advance(TTL - 0.1)
    assert given.candidates(BY_OLD) == ["old"]
    assert given.calls == 1
    given.world.time.advance(0.1)
    assert given.candidates(BY_OLD) == []
    assert given.calls == 2
    assert {type(effect) for effect in given.world.effects} == {Call}


def test_called_keys_and_an_unknown_one() -> None:
    """E7: unknown keys cause one call per cooldown."""
    given = Given(key_set(OLD), key_set(OLD, NEW))
    assert [given.candidates(BY_FORGED) for _ in range(3)] == [[], [], []]
    given.world.time.advance(COOLDOWN - 0.1)
    assert given.candidates(BY_NEW) == []
    assert given.calls == 1
    given.world.time.advance(0.1)
    assert given.candidates(BY_NEW) == ["new"]
    assert given.calls == 2


def test_called_keys_that_still_hold() -> None:
    """A result is current while the set that has its key is fresh."""
    given = Given(key_set(OLD), key_set(NEW))
    world, keys = given.world, given.keys
    assert world.run(keys.is_current_flow("any", None)) is False
    (key,) = world.run(keys.matching_keys_flow(BY_OLD, None))
    assert world.run(keys.is_current_flow(key.identity, None)) is True
    assert world.run(keys.is_current_flow("other", None)) is False
    world.time.advance(TTL)
    assert world.run(keys.is_current_flow(key.identity, None)) is False
    assert given.calls == 1


def test_called_document() -> None:
    """The set is what the callable returned. It is called if no set is fresh."""
    document = key_set(OLD)
    given = Given(document)
    for _ in range(2):
        assert given.world.run(given.keys.document_flow(None)) is document
    assert given.calls == 1


@pytest.mark.parametrize("error", [KeyError("a bug"), TemporarilyUnavailableError()])
def test_called_keys_that_fail(error: Exception) -> None:
    """R124: an error of the callable is raised in the request, and a second later it is called again."""
    given = Given(error, key_set(OLD))
    with pytest.raises(type(error)):
        given.candidates(BY_OLD)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        given.candidates(BY_OLD)
    assert caught.value.reason == Reason.KEYS_UNAVAILABLE
    assert given.calls == 1
    given.world.time.advance(1.0)
    assert given.candidates(BY_OLD) == ["old"]


SECRET = OctKey.generate_key(256)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"keys": []},
        [],
        (),
        "keys",
        {"keys": [SECRET.as_dict(private=True)]},
        [SECRET.as_dict(private=True)],
        with_private_member(OLD),
    ],
    ids=repr,
)
def test_nothing_usable_was_given(document: Any, caplog: pytest.LogCaptureFixture) -> None:
    """R42, E17: a dictionary counts as fetched, so symmetric and private keys in it are not used."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        import_called_keys(document, DEFAULT_ALGORITHMS)
    assert caught.value.reason == Reason.KEYS_UNAVAILABLE
    assert (
        "async_oauth_guard.outgoing",
        logging.WARNING,
        "get_jwks() or the jwks argument returned no usable key",
    ) in (caplog.record_tuples)


@pytest.mark.parametrize("given", [SECRET, KeySet([SECRET])], ids=["key", "KeySet"])
def test_a_secret_that_was_handed_over(given: Any) -> None:
    """A symmetric key is accepted as joserfc's key object."""
    (key,) = import_called_keys(given, DEFAULT_ALGORITHMS)
    assert "HS256" in key.algorithms


@pytest.mark.parametrize("given", [None, 7, object()], ids=["None", "number", "object"])
def test_what_is_no_key(given: Any) -> None:
    """R124: another type is a bug in the site's code, and raises an error."""
    with pytest.raises(TypeError):
        import_called_keys(given, DEFAULT_ALGORITHMS)


def test_all_are_sources() -> None:
    """All three kinds of sources have the same methods."""
    world = World()
    sources: list[KeySource] = [
        StaticKeySource(key_set(OLD), DEFAULT_ALGORITHMS),
        CallableKeySource(lambda: key_set(OLD), LIFETIMES, world.time.clock, DEFAULT_ALGORITHMS),
        RemoteKeySource(world.server(), JWKS_URI, LIFETIMES, signer, DEFAULT_ALGORITHMS),
    ]
    world.answer(JWKS_URI, OLD_SET)
    for source in sources:
        (key,) = world.run(source.matching_keys_flow(BY_OLD, None))
        assert key.kid == "old"
        assert world.run(source.is_current_flow(key.identity, None)) is True


def test_algorithms_of_all_sources() -> None:
    """R62: from every kind of source, an Ed448 key verifies ``EdDSA`` only if Ed448 is in the algorithms."""
    jwk = OKPKey.generate_key("Ed448").as_dict(private=False)
    for algorithms, expected in ((DEFAULT_ALGORITHMS, {"Ed448"}), (("EdDSA", "Ed448"), {"EdDSA", "Ed448"})):
        world = World()
        world.answer(JWKS_URI, ok({"keys": [jwk]}))
        sources: list[KeySource] = [
            StaticKeySource(jwk, algorithms),
            CallableKeySource(lambda: jwk, LIFETIMES, world.time.clock, algorithms),
            RemoteKeySource(world.server(), JWKS_URI, LIFETIMES, signer, algorithms),
        ]
        for source in sources:
            world.run(source.document_flow(None))
            (key,) = source.settled_keys
            assert key.algorithms == expected


def test_nothing_shows() -> None:
    """The ``repr`` of a set does not show what was fetched."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    assert OLD.jwk["x"] not in repr(site.keys._current)


def test_answers_are_of_the_right_kind() -> None:
    """The transport returns the responses that these tests use."""
    assert isinstance(OLD_SET, OutboundResponse)


def test_a_shared_set_without_a_usable_key() -> None:
    """E22: a shared set without a usable key is ignored, and `get_jwks` does not return it."""
    site = Site(OLD_SET)
    site.world.cache[NAME] = planted({"keys": []})
    assert site.world.run(site.keys.document_flow("default")) == key_set(OLD)
    assert site.fetches == 1


def test_two_key_sets_at_once() -> None:
    """R42: a request that waits for the keys of one server never gets those of another with the same name."""
    site = Site(OLD_SET)
    namesake, elsewhere = SigningKey("old"), f"{ISSUER}/other-keys"
    other = Site(world=site.world, location=elsewhere)
    site.world.answer(elsewhere, ok(key_set(namesake)))
    site.world.hold = (OutboundRequest,)
    runs = [site.ask(BY_OLD), other.ask(BY_OLD)]
    assert site.world.urls == [JWKS_URI, elsewhere]
    site.world.release()
    site.world.release()
    assert [key.key.as_dict()["x"] for run in runs for key in run.result()] == [OLD.jwk["x"], namesake.jwk["x"]]
