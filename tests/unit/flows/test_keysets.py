"""Where keys come from, how long they serve, and when they are asked for anew."""

import json
import logging
from typing import Any

import pytest
from joserfc.jwk import KeySet, OctKey

from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import CacheRead, CacheWrite, Call, HttpAnswer, HttpCall, Once, Start
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.caching import Vault
from async_oauth_guard.flows.discovery import METADATA_TTL, Metadata
from async_oauth_guard.flows.keysets import CalledKeys, FixedKeys, KeySource, Lifetimes, RemoteKeys, import_called_keys
from async_oauth_guard.jose import DEFAULT_ALGORITHMS, Jwt, parse_jwt
from tests.unit.driving import DOWN, ISSUER, Run, SigningKey, World, key_set, ok, status

JWKS_URI = f"{ISSUER}/keys"
PLACE = f"{ISSUER}/.well-known/oauth-authorization-server"
TTL, COOLDOWN, MAX_STALE = 600.0, 30.0, 86_400.0
DUE = 0.8 * TTL
LIFETIMES = Lifetimes(TTL, COOLDOWN, MAX_STALE)

OLD, NEW, FORGED = SigningKey("old"), SigningKey("new"), SigningKey("forged")
NAMELESS = SigningKey(None)


def jwt_by(key: SigningKey) -> Jwt:
    jwt = parse_jwt(key.sign({"iss": ISSUER}))
    assert isinstance(jwt, Jwt)
    return jwt


BY_OLD, BY_NEW, BY_FORGED, BY_NAMELESS = map(jwt_by, (OLD, NEW, FORGED, NAMELESS))
OLD_SET, NEW_SET, BOTH = ok(key_set(OLD)), ok(key_set(NEW)), ok(key_set(OLD, NEW))


def vault(secret_key: str = "secret") -> Vault:
    return Vault(Secret(secret_key), "validator")


NAME = ("default", vault().name("keys"))


class Site:
    """A validator in one worker; ``world`` may be that of another worker too."""

    def __init__(self, *answers: Any, world: World | None = None, **options: Any) -> None:
        self.world = world or World()
        self.server = self.world.server()
        usual: dict[str, Any] = {"location": JWKS_URI, "lifetimes": LIFETIMES, "vault": vault}
        self.keys = RemoteKeys(self.server, algorithms=DEFAULT_ALGORITHMS, **usual | options)
        self.world.answers.setdefault(JWKS_URI, [])
        if answers:
            self.world.answer(JWKS_URI, *answers)

    @property
    def fetches(self) -> int:
        return self.world.urls.count(JWKS_URI)

    def ask(self, jwt: Jwt, cache: str | None = None) -> Run:
        return self.world.begin(self.keys.candidates_flow(jwt, cache))

    def candidates(self, jwt: Jwt, cache: str | None = None) -> list[str | None]:
        return [key.kid for key in self.ask(jwt, cache).result()]

    def identity(self, jwt: Jwt, cache: str | None = None) -> str:
        (key,) = self.ask(jwt, cache).result()
        return str(key.identity)

    def holds(self, identity: str, cache: str | None = None) -> bool:
        return bool(self.world.run(self.keys.still_holds_flow(identity, cache)))

    def refusal(self, jwt: Jwt, cache: str | None = None) -> TemporarilyUnavailableError:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            self.candidates(jwt, cache)
        return caught.value


# The first fetch


def test_first_fetch() -> None:
    """Keys are fetched when first needed, once for all who wait, with a request that says nothing of any token."""
    site = Site(OLD_SET)
    site.world.hold = (HttpCall,)
    runs = [site.ask(jwt) for jwt in (BY_OLD, BY_OLD, BY_FORGED)]
    site.world.release()
    assert [[key.kid for key in run.result()] for run in runs] == [["old"], ["old"], []]
    (call,) = site.world.calls
    assert (call.method, call.url, call.form) == ("GET", JWKS_URI, None)
    assert call.headers == {"Accept": "application/json, application/jwk-set+json"}
    assert (call.client, call.gate) == (site.server.client, site.server.gate)
    assert {effect.timeout for effect in site.world.asked(Once)} == {5.0}


def test_warm() -> None:
    """A key that is at hand costs no effect at all."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    identity = site.identity(BY_OLD)
    site.world.effects.clear()
    assert site.candidates(BY_OLD) == ["old"]
    assert site.holds(identity)
    assert site.world.effects == []


@pytest.mark.parametrize("media_type", ["application/json", "application/jwk-set+json"])
def test_media_types(media_type: str) -> None:
    """RFC 7517's own media type counts as JSON."""
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
    """R42, R65, E17: where there are no usable keys nobody can tell, and the server is left alone for a while."""
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
    """E17: a server that asks to be left alone for a minute is."""
    site = Site(status(503, "60"), OLD_SET)
    assert site.refusal(BY_OLD).retry_after == 60
    site.world.time.advance(59.5)
    assert site.refusal(BY_OLD).retry_after == 1
    site.world.time.advance(0.5)
    assert site.candidates(BY_OLD) == ["old"]


def test_bad_keys_are_left_out_one_by_one() -> None:
    """R58: one key that cannot be used takes no other with it."""
    site = Site(ok({"keys": [{"kty": "RSA"}, 7, {**FORGED.jwk, "crv": "P-999"}, OLD.jwk]}))
    assert site.candidates(BY_OLD) == ["old"]


def test_without_a_kid() -> None:
    """R41: a token that names no key is tried with the one that fits, and with none of several."""
    site = Site(ok(key_set(NAMELESS)))
    assert site.candidates(BY_NAMELESS) == [None]
    assert Site(ok(key_set(NAMELESS, OLD))).candidates(BY_NAMELESS) == []


# Refreshing


def test_refresh_in_the_background() -> None:
    """At four fifths of its lifetime a set is refreshed, once, and nobody waits for that."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(DUE - 0.1)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 1
    site.world.time.advance(0.1)
    site.world.hold = (HttpCall,)
    assert [site.candidates(BY_OLD), site.candidates(BY_OLD)] == [["old"], ["old"]]
    assert site.fetches == 2
    assert site.world.asked(Start)
    site.world.release()
    assert site.candidates(BY_NEW) == ["new"]
    assert site.fetches == 2


def test_refresh_for_remembered_tokens() -> None:
    """A set that is only asked whether a key still serves is refreshed all the same."""
    site = Site(OLD_SET, BOTH)
    identity = site.identity(BY_OLD)
    site.world.time.advance(DUE)
    assert site.holds(identity)
    assert site.fetches == 2
    assert site.holds(identity)
    assert site.fetches == 2


def test_due_by_max_stale() -> None:
    """A set that may serve for a shorter time than it is fresh is refreshed before that is over."""
    site = Site(OLD_SET, BOTH, lifetimes=Lifetimes(TTL, COOLDOWN, 100.0))
    site.candidates(BY_OLD)
    site.world.time.advance(80.0)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 2


def test_replaced_and_never_merged() -> None:
    """A key that the server took out of its set verifies nothing any more, nor does what it verified earlier hold."""
    site = Site(OLD_SET, NEW_SET)
    identity = site.identity(BY_OLD)
    site.world.time.advance(DUE)
    site.candidates(BY_OLD)
    assert not site.holds(identity)
    assert site.candidates(BY_OLD) == []
    assert site.candidates(BY_NEW) == ["new"]


def test_same_kid_with_another_key() -> None:
    """R59: what one key verified does not hold by another key of the same kid."""
    other = SigningKey("old")
    site = Site(OLD_SET, ok(key_set(other)))
    identity = site.identity(BY_OLD)
    site.world.time.advance(DUE)
    site.candidates(BY_OLD)
    assert not site.holds(identity)
    assert site.identity(BY_OLD) != identity


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_failed_refresh(answer: Any) -> None:
    """E18: a set is never thrown away for a failure: it serves on, with one attempt each cooldown."""
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
    """E17, E18: the old set serves until `max_stale` after the last good fetch; then nobody can tell."""
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
    """Where there is no set, or one too old, what was verified earlier does not hold, and nothing is fetched for it."""
    site = Site(OLD_SET)
    assert not site.holds("any")
    assert site.world.effects == []


# Unknown keys


def test_rotation() -> None:
    """A key that is not in the set is looked for at once, and whoever needs it waits."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (HttpCall,)
    run = site.ask(BY_NEW)
    assert not run.is_done
    assert site.candidates(BY_OLD) == ["old"]
    site.world.release()
    assert [key.kid for key in run.result()] == ["new"]


def test_unknown_key_after_a_success() -> None:
    """E7, R54: an unknown key asks for one refresh per cooldown, counted from the attempt; else it is just unknown."""
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
    """E19: while the last attempt is one that failed, nobody can tell a new key from an invented one."""
    site = Site(OLD_SET, DOWN)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    assert site.refusal(BY_NEW).reason == Reason.SERVER_UNREACHABLE
    error = site.refusal(BY_NEW)
    # Nothing is tried before.
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
    """E19: a server that wishes to be left alone for longer than the cooldown is, and nobody can tell meanwhile."""
    site = Site(OLD_SET, status(503, "100"), BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    assert site.refusal(BY_NEW).retry_after == 100
    site.world.time.advance(90.0)
    error = site.refusal(BY_NEW)
    assert (error.reason, error.retry_after) == (Reason.BACKING_OFF, 10)
    # What was not tried is no attempt, from which a cooldown would count.
    site.world.time.advance(10.0)
    assert site.candidates(BY_NEW) == ["new"]
    assert site.fetches == 3


def test_unknown_keys_wait_for_the_refresh_that_is_under_way() -> None:
    """E7: whoever needs a key while the set is being fetched waits for that, and starts nothing."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(DUE)
    site.world.hold = (HttpCall,)
    site.candidates(BY_OLD)
    runs = [site.ask(jwt) for jwt in (BY_NEW, BY_FORGED, BY_NEW)]
    assert site.fetches == 2
    site.world.release()
    assert [[key.kid for key in run.result()] for run in runs] == [["new"], [], ["new"]]
    assert site.fetches == 2


def test_whoever_comes_just_after_a_refresh_starts_no_other() -> None:
    """E7: a flood of invented keys that asked while a refresh was under way is no reason for a second one after it.

    A request sees on its own thread that a refresh is under way; until it has joined, that may be over.
    """
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (HttpCall,)
    first = site.ask(BY_FORGED)
    late = site.keys.candidates_flow(BY_FORGED, None)
    once = next(late)
    assert isinstance(once, Once)
    site.world.release()
    assert first.result() == ()
    site.world.hold = ()
    # What the loop for what goes out does with a request that arrives now.
    assert site.world.begin(once.flow(), in_flight=True).result().keys
    assert site.fetches == 2


def test_whoever_comes_just_after_a_failed_refresh_cannot_tell() -> None:
    """E19: likewise after a refresh that failed."""
    site = Site(OLD_SET, DOWN)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (HttpCall,)
    first = site.ask(BY_FORGED)
    once = next(site.keys.candidates_flow(BY_FORGED, None))
    assert isinstance(once, Once)
    site.world.release()
    with pytest.raises(TemporarilyUnavailableError):
        first.result()
    site.world.time.advance(5.0)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        site.world.begin(once.flow(), in_flight=True).result()
    assert caught.value.reason == Reason.KEYS_UNAVAILABLE
    assert site.fetches == 2


def test_an_attempt_that_never_ends() -> None:
    """E7: an attempt whose end nobody hears of, as in a process forked meanwhile, is over after its timeout."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    site.world.time.advance(COOLDOWN)
    site.world.hold = (HttpCall,)
    site.ask(BY_FORGED)
    site.world.flights.clear()
    site.world.time.advance(site.server.timeout)
    assert site.candidates(BY_FORGED) == []
    assert site.fetches == 2


def test_no_cooldown_for_a_set_that_is_too_old() -> None:
    """Where no set may be used any more, it is fetched anew, however long ago the last attempt was."""
    site = Site(OLD_SET, lifetimes=Lifetimes(TTL, COOLDOWN, 10.0))
    site.candidates(BY_OLD)
    site.world.time.advance(10.0)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 2


def test_a_set_that_is_replaced_while_it_is_looked_at() -> None:
    """E7: a token by a new key is never unknown because the new set came while the old one was being searched."""
    site = Site(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.time.advance(DUE)
    site.world.hold = (HttpCall,)
    site.candidates(BY_OLD)
    reads = iter(range(10))

    def end_of_the_refresh() -> None:
        # The second look at the clock is the one after the search.
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
    site.keys = RemoteKeys(
        site.server, Metadata(site.server, MAX_STALE), LIFETIMES, vault, algorithms=DEFAULT_ALGORITHMS
    )
    return site


def test_discovered() -> None:
    """R63, R64: without an address, the server's metadata tells where its keys are."""
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
    """R63, R65, E17, E20: without metadata that may be used no key is fetched, and nobody can tell."""
    site = discovering(OLD_SET)
    site.world.answer(PLACE, metadata)
    assert site.refusal(BY_OLD).reason in (Reason.METADATA_UNUSABLE, Reason.SERVER_UNREACHABLE)
    assert site.fetches == 0


def test_metadata_is_down_and_keys_are_not() -> None:
    """E18: keys are refreshed where they were, while the metadata that says where cannot be had."""
    site = discovering(OLD_SET, BOTH)
    site.candidates(BY_OLD)
    site.world.answer(PLACE, DOWN)
    site.world.time.advance(METADATA_TTL)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.fetches == 2
    assert site.candidates(BY_NEW) == ["new"]


def test_keys_are_down_and_metadata_is_not() -> None:
    """E17: that keys cannot be had is no failure of the metadata."""
    site = discovering(DOWN, OLD_SET)
    site.refusal(BY_OLD)
    site.world.time.advance(1.0)
    assert site.candidates(BY_OLD) == ["old"]
    assert site.world.urls == [PLACE, JWKS_URI, JWKS_URI]


def test_one_probe_of_a_server_that_is_down() -> None:
    """E24: each wait is followed by one call, whoever asks."""
    site = discovering(OLD_SET)
    site.world.answer(PLACE, DOWN)
    for wait in (1, 2, 4):
        calls = len(site.world.calls)
        assert site.refusal(BY_OLD).retry_after == wait
        site.refusal(BY_OLD)
        assert len(site.world.calls) == calls + 1
        site.world.time.advance(wait)


def test_a_bug_is_no_outage() -> None:
    """R124: an unexpected error is raised as it is, and the next request tries anew."""
    site = Site(KeyError("a bug"), OLD_SET)
    with pytest.raises(KeyError):
        site.candidates(BY_OLD)
    assert site.candidates(BY_OLD) == ["old"]


# The shared cache


def shared(site: Site) -> str:
    return str(site.world.cache[NAME])


def test_left_for_other_workers() -> None:
    """A fetched set is left in the shared cache, sealed, for as long as it may serve."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD, "default")
    (read,), (write,) = site.world.asked(CacheRead), site.world.asked(CacheWrite)
    assert (read.alias, read.key) == NAME
    assert (write.alias, write.key, write.seconds) == (*NAME, MAX_STALE)
    now = site.world.time.wall
    assert vault().unseal(NAME[1], shared(site), now) == {"document": key_set(OLD), "fetched_at": now}


def test_no_shared_cache() -> None:
    """Without one, nobody asks for it."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD, None)
    assert not site.world.asked(CacheRead)
    assert not site.world.asked(CacheWrite)


def second_worker(first: Site, *answers: Any, **options: Any) -> Site:
    """A worker that starts now; ``answers`` are those of the server from now on."""
    world = World()
    world.cache = first.world.cache
    world.time.wall = first.world.time.wall
    # Its own clock began elsewhere.
    world.time.steady = 7.0
    return Site(*answers, world=world, **options)


def started(*answers: Any) -> Site:
    site = Site(*answers)
    site.candidates(BY_OLD, "default")
    return site


def test_a_new_worker() -> None:
    """A new worker starts with the set that another left, and asks the server for nothing while it is fresh."""
    first = started(OLD_SET)
    first.world.time.advance(100.0)
    worker = second_worker(first, BOTH)
    assert worker.candidates(BY_OLD, "default") == ["old"]
    assert worker.holds(worker.identity(BY_OLD))
    assert worker.fetches == 0
    # The set was not this worker's own attempt, so no cooldown keeps it from looking for a key that is not there.
    assert worker.candidates(BY_NEW, "default") == ["new"]
    assert worker.fetches == 1


def test_a_new_worker_counts_from_the_fetch() -> None:
    """The set of another worker is due, and too old, when it is so for the one that fetched it."""
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
    """E18: a worker that starts during an outage serves from the set that another left, up to `max_stale`."""
    first = started(OLD_SET)
    first.world.time.advance(MAX_STALE - 1)
    worker = second_worker(first, DOWN)
    assert worker.candidates(BY_OLD, "default") == ["old"]
    identity = worker.identity(BY_OLD)
    worker.world.time.advance(1.0)
    assert not worker.holds(identity)
    worker.refusal(BY_OLD, "default")


def test_a_set_that_is_too_old_for_this_worker() -> None:
    """E17: a worker with a shorter `max_stale` than the one that left the set does not use it on."""
    first = started(OLD_SET)
    first.world.time.advance(60.0)
    worker = second_worker(first, DOWN, lifetimes=Lifetimes(TTL, COOLDOWN, 60.0))
    worker.refusal(BY_OLD, "default")
    assert worker.fetches == 1


def test_fetched_in_the_future() -> None:
    """A set by a worker whose clock is ahead is not younger than one that was fetched now."""
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
    by = vault(secret_key)
    return by.seal(NAME[1], {"document": document, "fetched_at": 1_800_000_000.0}, 1_900_000_000.0)


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
    """R42, E22: who can write the cache can plant no key: what is not from us is a miss."""
    site = Site(OLD_SET)
    site.world.cache[NAME] = text
    assert site.candidates(BY_FORGED, "default") == []
    assert site.candidates(BY_OLD, "default") == ["old"]
    assert site.fetches == 1


def test_cache_is_down() -> None:
    """E22: a cache that does not answer is a miss."""
    site = Site(OLD_SET)
    site.world.cache_is_down = True
    assert site.candidates(BY_OLD, "default") == ["old"]


def test_the_vault_is_asked_for_in_the_request() -> None:
    """Names in the cache may depend on code of the site's, which runs in the request and never on the outgoing loop."""
    places: list[str] = []
    site = Site(OLD_SET, BOTH)

    def noting() -> Vault:
        places.append("flight" if any(not run.is_done for run in site.world.flights.values()) else "request")
        return vault()

    site.keys = RemoteKeys(site.server, JWKS_URI, LIFETIMES, noting, algorithms=DEFAULT_ALGORITHMS)
    site.candidates(BY_OLD, "default")
    site.world.time.advance(DUE)
    site.holds(site.identity(BY_OLD, "default"), "default")
    site.world.time.advance(COOLDOWN)
    site.candidates(BY_FORGED, "default")
    assert len(site.world.asked(CacheWrite)) == 3
    assert set(places) == {"request"}


# The whole set


def test_document() -> None:
    """`get_jwks` gives the set as the server gave it, without a copy of each key."""
    site = Site(BOTH)
    assert site.world.run(site.keys.document_flow(None)) == key_set(OLD, NEW)


# Keys that were handed over


@pytest.mark.parametrize(
    "handed_over", [key_set(OLD), OLD.jwk, KeySet.import_key_set(key_set(OLD))], ids=["set", "key", "KeySet"]
)
def test_fixed_keys(handed_over: Any) -> None:
    """Keys that were handed over serve for good, and nothing is fetched for an unknown one."""
    world, keys = World(), FixedKeys(handed_over, DEFAULT_ALGORITHMS)
    (key,) = world.run(keys.candidates_flow(BY_OLD, "default"))
    assert key.kid == "old"
    assert world.run(keys.candidates_flow(BY_FORGED, "default")) == ()
    assert world.run(keys.still_holds_flow(key.identity, "default")) is True
    assert world.run(keys.still_holds_flow("other", "default")) is False
    assert world.run(keys.document_flow("default")) is handed_over
    assert world.effects == []


# Keys that code of the site's gives


class Given:
    """A callable that gives keys, and how often it was called."""

    def __init__(self, *answers: Any, lifetimes: Lifetimes = LIFETIMES) -> None:
        self.world = World()
        self.answers = list(answers)
        self.calls = 0
        self.keys = CalledKeys(self, lifetimes, self.world.time.clock, DEFAULT_ALGORITHMS)

    def __call__(self) -> Any:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def candidates(self, jwt: Jwt) -> list[str | None]:
        return [key.kid for key in self.world.run(self.keys.candidates_flow(jwt, "default"))]


def test_called_keys() -> None:
    """A callable is called in the request that needs keys, and what it gave is kept for a set's lifetime."""
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
    """E7: an unknown key asks for one call per cooldown."""
    given = Given(key_set(OLD), key_set(OLD, NEW))
    assert [given.candidates(BY_FORGED) for _ in range(3)] == [[], [], []]
    given.world.time.advance(COOLDOWN - 0.1)
    assert given.candidates(BY_NEW) == []
    assert given.calls == 1
    given.world.time.advance(0.1)
    assert given.candidates(BY_NEW) == ["new"]
    assert given.calls == 2


def test_called_keys_that_still_hold() -> None:
    """What was verified holds while the set that has its key is fresh."""
    given = Given(key_set(OLD), key_set(NEW))
    world, keys = given.world, given.keys
    assert world.run(keys.still_holds_flow("any", None)) is False
    (key,) = world.run(keys.candidates_flow(BY_OLD, None))
    assert world.run(keys.still_holds_flow(key.identity, None)) is True
    assert world.run(keys.still_holds_flow("other", None)) is False
    world.time.advance(TTL)
    assert world.run(keys.still_holds_flow(key.identity, None)) is False
    assert given.calls == 1


def test_called_document() -> None:
    """The set is what the callable gave; it is called where none is fresh."""
    document = key_set(OLD)
    given = Given(document)
    for _ in range(2):
        assert given.world.run(given.keys.document_flow(None)) is document
    assert given.calls == 1


@pytest.mark.parametrize("error", [KeyError("a bug"), TemporarilyUnavailableError()])
def test_called_keys_that_fail(error: Exception) -> None:
    """R124: what the callable raises is raised in the request; a second later it is called again."""
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
    """R42, E17: a dictionary counts as fetched from somewhere, so no secret and no private key is taken from it."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        import_called_keys(document, DEFAULT_ALGORITHMS)
    assert caught.value.reason == Reason.KEYS_UNAVAILABLE
    assert ("async_oauth_guard.outgoing", logging.WARNING, "get_jwks() or jwks= gave no usable key") in (
        caplog.record_tuples
    )


@pytest.mark.parametrize("given", [SECRET, KeySet([SECRET])], ids=["key", "KeySet"])
def test_a_secret_that_was_handed_over(given: Any) -> None:
    """A secret is taken as joserfc's own key, which nobody fetched by mistake."""
    (key,) = import_called_keys(given, DEFAULT_ALGORITHMS)
    assert "HS256" in key.algorithms


@pytest.mark.parametrize("given", [None, 7, object()], ids=["None", "number", "object"])
def test_what_is_no_key(given: Any) -> None:
    """R124: what is no such thing at all is a bug of the site's."""
    with pytest.raises(TypeError):
        import_called_keys(given, DEFAULT_ALGORITHMS)


def test_all_are_sources() -> None:
    """The three kinds of sources are asked alike."""
    world = World()
    sources: list[KeySource] = [
        FixedKeys(key_set(OLD), DEFAULT_ALGORITHMS),
        CalledKeys(lambda: key_set(OLD), LIFETIMES, world.time.clock, DEFAULT_ALGORITHMS),
        RemoteKeys(world.server(), JWKS_URI, LIFETIMES, vault, DEFAULT_ALGORITHMS),
    ]
    world.answer(JWKS_URI, OLD_SET)
    for source in sources:
        (key,) = world.run(source.candidates_flow(BY_OLD, None))
        assert key.kid == "old"
        assert world.run(source.still_holds_flow(key.identity, None)) is True


def test_nothing_shows() -> None:
    """What was fetched is not printed with the set."""
    site = Site(OLD_SET)
    site.candidates(BY_OLD)
    assert OLD.jwk["x"] not in repr(site.keys._current)


def test_answers_are_of_the_right_kind() -> None:
    """The answers that this module uses are what the transport gives."""
    assert isinstance(OLD_SET, HttpAnswer)


def test_a_shared_set_without_a_usable_key() -> None:
    """E22: a set in the shared cache of which no key can be used is a miss, and not what `get_jwks` gives."""
    site = Site(OLD_SET)
    site.world.cache[NAME] = planted({"keys": []})
    assert site.world.run(site.keys.document_flow("default")) == key_set(OLD)
    assert site.fetches == 1


def test_two_key_sets_at_once() -> None:
    """R42: who waits for the keys of one server is given no other's, not even under the same name."""
    site = Site(OLD_SET)
    namesake, elsewhere = SigningKey("old"), f"{ISSUER}/other-keys"
    other = Site(world=site.world, location=elsewhere)
    site.world.answer(elsewhere, ok(key_set(namesake)))
    site.world.hold = (HttpCall,)
    runs = [site.ask(BY_OLD), other.ask(BY_OLD)]
    assert site.world.urls == [JWKS_URI, elsewhere]
    site.world.release()
    site.world.release()
    assert [key.key.as_dict()["x"] for run in runs for key in run.result()] == [OLD.jwk["x"], namesake.jwk["x"]]
