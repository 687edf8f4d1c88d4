"""What a server says of a token, and for how long its word is used."""

import base64
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey

from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import CacheDelete, CacheRead, CacheWrite, CallFailedError, HttpAnswer, HttpCall, Once
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.caching import Vault
from async_oauth_guard.flows.discovery import METADATA_TTL, Metadata
from async_oauth_guard.flows.introspection import (
    SIGNED,
    Introspection,
    Lifetimes,
    SignedResponses,
    Verdicts,
    Word,
    read_word,
)
from async_oauth_guard.flows.keysets import FixedKeys, KeySource, RemoteKeys
from async_oauth_guard.flows.keysets import Lifetimes as KeyLifetimes
from async_oauth_guard.jose import DEFAULT_ALGORITHMS
from async_oauth_guard.memory import Memory
from tests.unit.driving import DOWN, ISSUER, Run, SigningKey, World, key_set, ok, status

ENDPOINT = f"{ISSUER}/introspect"
JWKS_URI = f"{ISSUER}/keys"
PLACE = f"{ISSUER}/.well-known/oauth-authorization-server"
TOKEN, OTHER = Secret("the-token+/~="), Secret("another-token")
CREDENTIALS = ({"Authorization": Secret("Basic se-cret")}, {"client_id": "api"})
NOW = 1_800_000_000.0
YES, NO = ok({"active": True}), ok({"active": False})
KEY = SigningKey("as-1")


def yes(**members: Any) -> HttpAnswer:
    return ok({"active": True, **members})


def vault(secret_key: str = "secret", fingerprint: str = "validator") -> Vault:
    return Vault(Secret(secret_key), fingerprint)


def place_of(token: Secret[str]) -> tuple[str, str]:
    return ("default", vault().name("yes", vault().digest(token)))


class Site:
    """A validator in one worker. ``lifetimes`` are a yes's, a no's, and how long a yes is used on in an outage."""

    def __init__(
        self,
        *answers: Any,
        lifetimes: tuple[float, float, float] = (30.0, 5.0, 0.0),
        no_size: int = 1_000_000,
        world: World | None = None,
        discovers: bool = False,
        **options: Any,
    ) -> None:
        self.world = world or World()
        self.server = self.world.server()
        usual: dict[str, Any] = {
            "endpoint": Metadata(self.server, 86_400.0) if discovers else ENDPOINT,
            "authenticate": lambda url, now: CREDENTIALS,
            "vault": vault,
            "signed": None,
        }
        self.introspection = Introspection(
            server=self.server,
            verdicts=Verdicts(Memory(1_000_000), Memory(no_size), Lifetimes(*lifetimes)),
            **usual | options,
        )
        if answers:
            self.world.answer(ENDPOINT, *answers)

    @property
    def calls(self) -> int:
        return self.world.urls.count(ENDPOINT)

    def begin(self, token: Secret[str] = TOKEN, *, fresh: bool = False, cache: str | None = None) -> Run:
        return self.world.begin(self.introspection.ask_flow(token, fresh=fresh, cache=cache))

    def ask(self, token: Secret[str] = TOKEN, **options: Any) -> Mapping[str, Any]:
        word: Word = self.begin(token, **options).result()
        assert word.is_active is word.claims["active"]
        return word.claims

    def is_active(self, token: Secret[str] = TOKEN, **options: Any) -> bool:
        return bool(self.ask(token, **options)["active"])

    def refusal(self, token: Secret[str] = TOKEN, **options: Any) -> TemporarilyUnavailableError:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            self.ask(token, **options)
        return caught.value

    def invalidate(self, token: Secret[str] = TOKEN, cache: str | None = None) -> Run:
        return self.world.begin(self.introspection.forget_flow(token, cache))

    def hold(self, *kinds: Any) -> None:
        self.world.hold = kinds


def active(run: Run) -> bool:
    return bool(run.result().is_active)


# The call


def test_call() -> None:
    """R66: the server is asked by an authenticated POST of a form that holds the token."""
    seen: list[Any] = []

    def authenticate(url: str, now: float) -> Any:
        seen.append((url, now))
        return CREDENTIALS

    site = Site(YES, authenticate=authenticate)
    site.ask()
    (call,) = site.world.calls
    assert (call.method, call.url) == ("POST", ENDPOINT)
    assert call.headers == {"Accept": "application/json", **CREDENTIALS[0]}
    assert call.form == {"token": TOKEN, "token_type_hint": "access_token", "client_id": "api"}
    assert (call.client, call.gate) == (site.server.client, site.server.gate)
    assert seen == [(ENDPOINT, NOW)]
    assert {effect.timeout for effect in site.world.asked(Once)} == {5.0}


def test_nothing_shows() -> None:
    """R31, R75: no effect and no word shows a token, our credentials, or what the server said of a person."""
    site = Site(yes(sub="alice", scope="read"))
    word = site.begin().result()
    for shown in (repr(site.world.effects), repr(word)):
        for secret in ("the-token", "se-cret", "alice"):
            assert secret not in shown


def test_discovered() -> None:
    """R64: without an address, the server's metadata tells where it is asked."""
    site = Site(YES, discovers=True)
    site.world.answer(PLACE, ok({"issuer": ISSUER, "introspection_endpoint": ENDPOINT}))
    assert site.is_active()
    assert site.world.urls == [PLACE, ENDPOINT]
    site.world.time.advance(METADATA_TTL)
    site.world.answer(PLACE, DOWN)
    assert site.is_active()
    site.world.time.advance(40.0)
    assert site.is_active()
    assert site.calls == 3


def test_no_metadata_for_a_server_that_is_left_alone() -> None:
    """E24: while the endpoint is not to be asked, nobody asks where it is."""
    site = Site(status(503, "100"), discovers=True)
    site.world.answer(PLACE, ok({"issuer": ISSUER, "introspection_endpoint": ENDPOINT}))
    site.world.time.advance(1.0)
    site.refusal()
    site.world.time.advance(METADATA_TTL - 1.0)
    site.refusal()
    site.world.time.advance(99.0)
    assert site.refusal().reason == Reason.BACKING_OFF
    assert site.world.urls == [PLACE, ENDPOINT, ENDPOINT]


@pytest.mark.parametrize(
    "metadata",
    [DOWN, ok({"issuer": "https://evil.example.com", "introspection_endpoint": ENDPOINT}), ok({"issuer": ISSUER})],
    ids=repr,
)
def test_not_discovered(metadata: Any) -> None:
    """R63, E17, E20: no token is sent to an address that nobody vouches for."""
    site = Site(YES, discovers=True)
    site.world.answer(PLACE, metadata)
    site.refusal()
    assert site.calls == 0


# Yes, no, and no answer

WORDS: dict[str, tuple[Any, bool | None]] = {
    "yes": ({"active": True}, True),
    "no": ({"active": False}, False),
    "all that a yes may say": ({"active": True, "exp": 1.5, "nbf": 0, "iat": 10**17, "scope": {"a": 1}}, True),
    "no times": ({"active": True, "exp": None, "nbf": None, "iat": None}, True),
    "no, with other members": ({"active": False, "scope": "admin", "exp": "never"}, False),
    "string true": ({"active": "true"}, None),
    "string false": ({"active": "false"}, None),
    "1": ({"active": 1}, None),
    "0": ({"active": 0}, None),
    "list": ({"active": [True]}, None),
    "null": ({"active": None}, None),
    "not there": ({"sub": "alice"}, None),
    "empty": ({}, None),
    "upper case": ({"Active": True}, None),
    "no object": ([{"active": True}], None),
    "true": (True, None),
    "nothing": (None, None),
    **{
        f"{name}: {value!r}": ({"active": True, name: value}, None)
        for name in ("exp", "nbf", "iat")
        for value in ("1", True, False, -1, [1], {"a": 1}, 1e18, 10**30, "")
    },
}


@pytest.mark.parametrize(("document", "expected"), WORDS.values(), ids=WORDS)
def test_words(document: Any, expected: bool | None, caplog: pytest.LogCaptureFixture) -> None:
    """R68, R69, E15: only a Boolean says yes or no; anything else, or a time that is none, is no answer."""
    if expected is None:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            read_word(document, ENDPOINT)
        assert caught.value.reason == Reason.TOKEN_ANSWER_UNUSABLE
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{ENDPOINT} answered with")
        assert "alice" not in record.getMessage()
    else:
        assert read_word(document, ENDPOINT)["active"] is expected


def test_yes() -> None:
    """The whole answer is what is said of the token."""
    members = {"sub": "alice", "exp": NOW + 60, "authorization_details": [{"type": "account"}]}
    assert Site(yes(**members)).ask() == {"active": True, **members}


def test_no() -> None:
    """R69: of a token that is not active nothing else is said, whatever else the server answered."""
    site = Site(ok({"active": False, "scope": "admin", "sub": "alice"}))
    assert site.ask() == {"active": False}
    assert site.ask() == {"active": False}


# Of the server as a whole.
FAILURES: dict[str, Any] = {
    "down": DOWN,
    "429": status(429),
    "500": status(500),
    "503": status(503),
    "redirect": status(302),
}
# Of one token: whoever has it may bring them about.
ODDITIES: dict[str, Any] = {
    "404": status(404),
    "201": status(201),
    "204": status(204),
    "no JSON": ok(b"<html>", "text/html"),
    "other type": ok({"active": True}, "text/plain"),
    "no type": ok({"active": True}, ""),
    "signed, unasked": ok(b"x.y.z", SIGNED),
    "400": status(400),
    "413": status(413),
    "414": status(414),
    "422": status(422),
    "431": status(431),
    "too long": CallFailedError(Reason.SERVER_ANSWER_UNUSABLE, "more than 65536 bytes"),
    "empty": ok(b""),
    "broken": ok(b'{"active": true'),
    "said twice": ok(b'{"active": false, "active": true}'),
    "byte order mark": ok(b'\xef\xbb\xbf{"active": true}'),
    "not finite": ok(b'{"active": true, "exp": 1e400}'),
    "no object": ok([True]),
    "no Boolean": ok({"active": "true"}),
    "time of a wrong type": yes(exp="tomorrow"),
}
NO_ANSWERS = FAILURES | ODDITIES


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_failure(answer: Any) -> None:
    """R65, E15: what is no answer says nothing of the token, is not kept, and the server is left alone a while."""
    site = Site(answer, YES)
    error = site.refusal(cache="default")
    assert error.reason in (Reason.SERVER_UNREACHABLE, Reason.SERVER_ANSWER_UNUSABLE)
    assert error.retry_after == 1
    assert site.refusal(cache="default").reason == Reason.BACKING_OFF
    assert site.refusal(OTHER, cache="default").reason == Reason.BACKING_OFF
    assert site.calls == 1
    assert site.world.cache == {}
    site.world.time.advance(1.0)
    assert site.is_active()
    assert site.calls == 2


@pytest.mark.parametrize("answer", ODDITIES.values(), ids=ODDITIES)
def test_odd_answer_about_one_token(answer: Any) -> None:
    """R68, E15: an answer that makes no sense is no verdict and is not kept, and keeps nobody from asking of others."""
    site = Site(answer, YES)
    error = site.refusal(cache="default")
    assert (error.reason, error.retry_after) == (Reason.TOKEN_ANSWER_UNUSABLE, 1)
    assert site.world.cache == {}
    assert site.is_active(OTHER)
    assert site.is_active(TOKEN)
    assert site.calls == 3


def test_odd_answer_to_a_probe() -> None:
    """A server that answers at all is well again, whatever it thinks of the token that was asked about."""
    site = Site(DOWN, status(400), YES)
    site.refusal()
    site.world.time.advance(1.0)
    assert site.refusal().reason == Reason.TOKEN_ANSWER_UNUSABLE
    assert site.is_active(OTHER)


@pytest.mark.parametrize("code", [401, 403])
def test_our_credentials_are_refused(code: int, caplog: pytest.LogCaptureFixture) -> None:
    """E16, R31: that the server does not know us is one error in the log, without secrets, and no token's fault."""
    site = Site(status(code))
    assert site.refusal().reason == Reason.SERVER_REFUSES_US
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("async_oauth_guard.introspection", logging.ERROR)
    assert record.getMessage() == f"{ENDPOINT} refuses our own credentials (status {code})"
    assert vars(record)["reason"] is Reason.SERVER_REFUSES_US
    assert site.refusal().reason == Reason.BACKING_OFF
    assert len(caplog.records) == 1


def test_wish_of_the_server() -> None:
    """E24: a server that asks to be left alone for a minute is."""
    site = Site(status(429, "60"), YES)
    assert site.refusal().retry_after == 60
    site.world.time.advance(59.0)
    assert site.refusal().retry_after == 1
    site.world.time.advance(1.0)
    assert site.is_active()


def test_a_bug_is_no_outage() -> None:
    """R124: an unexpected error is raised as it is, and no stale yes stands in for the answer."""
    site = Site(YES, KeyError("a bug"), lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    with pytest.raises(KeyError):
        site.ask()


# For how long


def test_a_yes_is_used_for_its_lifetime() -> None:
    """A yes is used without asking again, and without any effect, for `cache_ttl`."""
    site = Site(YES)
    site.ask()
    site.world.time.advance(29.9)
    site.world.effects.clear()
    assert site.is_active()
    assert site.world.effects == []
    site.world.time.advance(0.1)
    assert site.is_active()
    assert site.calls == 2


def test_never_beyond_exp() -> None:
    """R70: a yes ends with the token, however long it might be kept."""
    site = Site(yes(exp=NOW + 2), NO, lifetimes=(300.0, 5.0, 600.0))
    site.ask()
    site.world.time.advance(1.9)
    assert site.is_active()
    assert site.calls == 1
    site.world.time.advance(0.1)
    assert not site.is_active()
    assert site.calls == 2


def test_a_yes_that_has_ended_is_not_kept() -> None:
    """R70, R71: a yes to a token that is over is handed on, for whoever judges times, and asked for anew each time."""
    site = Site(yes(exp=NOW - 5))
    assert site.is_active(cache="default")
    assert site.is_active(cache="default")
    assert site.calls == 2


def test_a_no_is_used_for_its_lifetime() -> None:
    """R69: a no is used for `negative_ttl`."""
    site = Site(NO, YES)
    assert not site.is_active()
    site.world.time.advance(4.9)
    assert not site.is_active()
    assert site.calls == 1
    site.world.time.advance(0.1)
    assert site.is_active()
    assert site.calls == 2


@pytest.mark.parametrize("answer", [YES, NO])
def test_nothing_is_kept(answer: Any) -> None:
    """With lifetimes of zero the server is asked each time."""
    site = Site(answer, lifetimes=(0.0, 0.0, 0.0))
    for _ in range(3):
        site.ask()
    assert site.calls == 3


def test_tokens_apart() -> None:
    """R33: what is said of one token is said of no other."""
    site = Site(YES, NO)
    assert site.is_active(TOKEN)
    assert not site.is_active(OTHER)
    assert site.is_active(TOKEN)
    assert not site.is_active(OTHER)
    assert site.calls == 2


def test_a_flood_of_garbage() -> None:
    """However many tokens are refused, they push out no yes."""
    site = Site(YES, NO, no_size=10_000)
    site.ask()
    for number in range(200):
        site.ask(Secret(f"garbage-{number}"))
    assert site.calls == 201
    assert site.is_active()
    assert site.calls == 201


# One call for all


def test_one_call() -> None:
    """Requests with one token at once share one call."""
    site = Site(YES)
    site.hold(HttpCall)
    runs = [site.begin() for _ in range(1000)]
    other = site.begin(OTHER)
    assert site.calls == 2
    site.world.release()
    assert all(map(active, runs))
    assert not other.is_done


def test_who_asks_late() -> None:
    """A request that found nothing, and comes to ask when another has just been told, starts no second call."""
    site = Site(YES)
    once = next(site.introspection.ask_flow(TOKEN, fresh=False, cache=None))
    assert isinstance(once, Once)
    site.ask()
    assert active(site.world.begin(once.flow(), in_flight=True))
    assert site.calls == 1
    site.world.time.advance(30.0)
    assert active(site.world.begin(once.flow(), in_flight=True))
    assert site.calls == 2


def test_one_failure() -> None:
    """Each of those that wait for a call that fails gets an exception of its own."""
    site = Site(DOWN)
    site.hold(HttpCall)
    runs = [site.begin() for _ in range(3)]
    site.world.release()
    errors = set()
    for run in runs:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            run.result()
        errors.add(id(caught.value))
    assert len(errors) == 3


def test_who_asked_first_goes_away() -> None:
    """R127: a shared call survives the request that began it, and what it says is kept."""
    site = Site(YES)
    site.hold(HttpCall)
    first, second = site.begin(), site.begin()
    first.cancel()
    site.world.release()
    assert active(second)
    assert site.is_active()
    assert site.calls == 1


def test_a_call_that_queued_while_the_server_began_to_fail() -> None:
    """E24: what waits for a place among the calls is not sent to a server that has failed meanwhile."""
    site = Site(DOWN)
    site.world.gate_is_full = True
    queued = site.begin()
    site.world.gate_is_full = False
    site.refusal(OTHER)
    site.world.release()
    with pytest.raises(TemporarilyUnavailableError) as caught:
        queued.result()
    assert caught.value.reason == Reason.BACKING_OFF
    assert site.calls == 1


def test_one_probe() -> None:
    """E24: when the wait is over one call is sent, and the others are refused until it has an answer."""
    site = Site(DOWN, YES)
    site.refusal()
    site.world.time.advance(1.0)
    site.hold(HttpCall)
    probe = site.begin()
    assert site.refusal(OTHER).reason == Reason.BACKING_OFF
    assert site.calls == 2
    site.world.release()
    assert active(probe)
    site.hold()
    assert site.is_active(OTHER)


# Fresh answers


def test_fresh_goes_around_what_is_kept() -> None:
    """A fresh answer is the server's own, now, and is kept for others."""
    site = Site(YES, NO)
    site.ask(cache="default")
    assert not site.is_active(fresh=True, cache="default")
    assert site.calls == 2
    assert len(site.world.asked(CacheRead)) == 1
    assert not site.is_active()
    assert site.calls == 2


def test_fresh_joins_nobody() -> None:
    """A fresh request waits for no call that was sent before it, nor does anybody wait for its call."""
    site = Site(YES)
    site.hold(HttpCall)
    runs = [site.begin(), site.begin(fresh=True), site.begin(fresh=True), site.begin()]
    assert site.calls == 3
    for _ in range(3):
        site.world.release()
    assert all(map(active, runs))


def test_fresh_takes_no_stale_yes() -> None:
    """E15: where the server cannot be asked, there is no fresh answer."""
    site = Site(YES, DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    assert site.refusal(fresh=True).reason == Reason.SERVER_UNREACHABLE
    assert site.is_active()


# Which word is the later one


def words(*answers: bool) -> tuple[Site, list[Run]]:
    """Calls that were sent a second apart, and what the server will say to each."""
    site = Site(*[YES if answer else NO for answer in answers], lifetimes=(30.0, 10.0, 0.0))
    site.hold(HttpCall)
    runs = []
    for _ in answers:
        runs.append(site.begin(fresh=True, cache="default"))
        site.world.time.advance(1.0)
    return site, runs


def test_an_older_yes() -> None:
    """A yes whose call began before that of a known no is not kept, here or in the shared cache, and ends no no."""
    site, (older, later) = words(False, True)
    # The later call is answered first, with a no.
    site.world._held.reverse()
    site.world.release()
    assert not active(later)
    site.world.release()
    assert active(older)
    site.hold()
    assert not site.is_active()
    assert site.world.cache == {}
    assert not site.world.asked(CacheWrite)


def test_a_later_yes() -> None:
    """A yes whose call began after that of a known no takes its place."""
    site, (older, later) = words(False, True)
    site.world.release()
    site.world.release()
    assert not active(older)
    assert active(later)
    site.hold()
    assert site.is_active()
    assert set(site.world.cache) == {place_of(TOKEN)}


def test_any_no() -> None:
    """A no ends a yes, whichever was asked for first."""
    site, _ = words(True, False)
    site.world._held.reverse()
    site.world.release()
    site.world.release()
    site.hold()
    assert not site.is_active()
    assert site.world.cache == {}


# Invalidating


def test_invalidated() -> None:
    """After a token was invalidated, the server is asked again, and the shared cache is empty of it."""
    site = Site(YES, NO)
    site.ask(cache="default")
    site.ask(OTHER, cache="default")
    site.world.answer(ENDPOINT, NO)
    assert place_of(TOKEN) in site.world.cache
    site.invalidate(cache="default").result()
    assert place_of(TOKEN) not in site.world.cache
    assert not site.is_active(cache="default")
    assert {effect.timeout for effect in site.world.asked(Once)} == {5.0}


def test_invalidated_no() -> None:
    """A no is forgotten as well."""
    site = Site(NO, YES)
    site.ask()
    site.invalidate().result()
    assert site.is_active()


def test_invalidated_without_a_shared_cache() -> None:
    """Without one, nothing is asked for."""
    site = Site(YES)
    site.invalidate().result()
    assert site.world.effects == []


def test_invalidated_while_a_call_is_under_way() -> None:
    """An answer whose call began before the token was invalidated is kept nowhere, and joined by nobody after that."""
    site = Site(YES, NO)
    site.hold(HttpCall)
    before = site.begin(cache="default")
    site.invalidate(cache="default").result()
    after = site.begin(cache="default")
    assert site.calls == 2
    site.world.release()
    assert active(before)
    assert site.world.cache == {}
    site.world.release()
    assert not active(after)
    site.hold()
    assert not site.is_active(cache="default")


def test_invalidated_between_asking_and_sending() -> None:
    """A call that is sent after the token was invalidated may be kept, whenever it was asked for."""
    site = Site(YES)
    once = next(site.introspection.ask_flow(TOKEN, fresh=False, cache=None))
    assert isinstance(once, Once)
    site.invalidate().result()
    assert active(site.world.begin(once.flow(), in_flight=True))
    assert site.is_active()
    assert site.calls == 1


def test_invalidated_while_the_shared_cache_is_read() -> None:
    """What was read from the shared cache before the token was invalidated there is not used."""
    site = Site(YES)
    site.ask(cache="default")
    worker = second_worker(site, NO)
    worker.hold(CacheRead)
    before = worker.begin(cache="default")
    # The delete is performed at once, the read answered late with what was there.
    text = worker.world.cache[place_of(TOKEN)]
    worker.invalidate(cache="default").result()
    worker.world.cache[place_of(TOKEN)] = text
    worker.hold()
    worker.world.release()
    assert not active(before)
    assert worker.calls == 1


def test_asked_before_the_shared_cache_has_forgotten() -> None:
    """A request that finds the yes in the shared cache, just before it is deleted there, leaves it in no memory."""
    site = Site(YES)
    site.ask(cache="default")
    worker = second_worker(site, NO)
    worker.hold(CacheDelete)
    invalidating = worker.invalidate(cache="default")
    assert worker.is_active(cache="default")
    worker.hold()
    worker.world.release()
    invalidating.result()
    assert not worker.is_active(cache="default")


def test_who_invalidates_goes_away() -> None:
    """R127: a token is forgotten in full, also where the request that asked for it is cancelled meanwhile."""
    site = Site(YES)
    site.ask(cache="default")
    worker = second_worker(site, NO)
    worker.hold(CacheDelete)
    invalidating = worker.invalidate(cache="default")
    assert worker.is_active(cache="default")
    invalidating.cancel()
    worker.hold()
    worker.world.release()
    assert worker.world.cache == {}
    assert not worker.is_active(cache="default")


def test_invalidated_while_it_is_written() -> None:
    """What was being written to the shared cache while the token was invalidated does not stay there."""
    site = Site(YES, NO)
    site.hold(CacheWrite)
    before = site.begin(cache="default")
    site.invalidate(cache="default").result()
    site.world.release()
    assert active(before)
    assert site.world.cache == {}
    assert not site.is_active(cache="default")


def test_a_late_answer_ends_no_newer_word() -> None:
    """An answer from before the token was invalidated changes nothing of what was said since."""
    site = Site(YES)
    site.hold(HttpCall)
    before = site.begin()
    site.invalidate().result()
    after = site.begin()
    site.world._held.reverse()
    site.world.release()
    site.world.answer(ENDPOINT, NO)
    site.world.release()
    assert active(after)
    assert not active(before)
    assert site.is_active()
    assert site.calls == 2


class Meddling(Memory[Word]):
    """A memory in which another thread comes in between."""

    def __init__(self) -> None:
        super().__init__(1_000_000)
        self.before_put: Callable[[], None] = lambda: None

    def put(self, key: bytes, entry: Word) -> None:
        self.before_put()
        super().put(key, entry)


@pytest.mark.parametrize("answer", [YES, NO])
def test_invalidated_by_another_thread_while_it_is_remembered(answer: Any) -> None:
    """A word that was about to be remembered when another thread invalidated the token is forgotten at once."""
    remembered = Meddling(), Meddling()
    verdicts = Verdicts(*remembered, Lifetimes(30.0, 5.0, 0.0))
    site = Site(answer)
    site.introspection = Introspection(
        server=site.server,
        endpoint=ENDPOINT,
        authenticate=lambda url, now: CREDENTIALS,
        verdicts=verdicts,
        vault=vault,
        signed=None,
    )

    def invalidate() -> None:
        for memory in remembered:
            memory.before_put = lambda: None
        verdicts.forget(vault().digest(TOKEN), site.server.clock.steady())

    for memory in remembered:
        memory.before_put = invalidate
    site.ask(cache="default")
    assert site.world.cache == {}
    site.ask(cache="default")
    assert len(site.world.calls) == 2


def test_others_are_not_forgotten() -> None:
    """To invalidate one token makes nobody ask about another again."""
    site = Site(YES)
    site.ask(OTHER)
    site.invalidate(TOKEN).result()
    assert site.is_active(OTHER)
    assert site.calls == 1


# While the server is down


def test_no_stale_yes_unless_asked_for() -> None:
    """E15: without `stale_if_error` a yes that has ended is none."""
    site = Site(YES, DOWN)
    site.ask()
    site.world.time.advance(30.0)
    site.refusal()


def test_stale_yes() -> None:
    """A yes is used on while the server cannot be asked, `stale_if_error` seconds at most after its lifetime."""
    site = Site(YES, DOWN, lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    assert site.is_active()
    assert site.calls == 2
    # While the server is left alone too.
    assert site.is_active()
    assert site.calls == 2
    site.world.time.advance(59.9)
    assert site.is_active()
    site.world.time.advance(0.1)
    site.refusal()
    assert site.refusal().reason == Reason.BACKING_OFF


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_stale_yes_for_any_failure(answer: Any) -> None:
    """Whatever keeps the server from answering, a stale yes serves."""
    site = Site(YES, answer, lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    assert site.is_active()


def test_stale_yes_is_asked_about() -> None:
    """A stale yes is used only after the server was asked in vain."""
    site = Site(YES, yes(sub="alice"), lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    assert site.ask()["sub"] == "alice"


def test_a_no_ends_a_stale_yes() -> None:
    """A definite no ends it, also when the server is down again, and a no is never stale."""
    site = Site(YES, NO, DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    site.world.time.advance(30.0)
    assert not site.is_active()
    site.world.time.advance(5.0)
    site.refusal()


def test_stale_yes_never_beyond_exp() -> None:
    """R70: no outage makes a token live longer."""
    site = Site(yes(exp=NOW + 40), DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    site.world.time.advance(39.9)
    assert site.is_active()
    site.world.time.advance(0.1)
    site.refusal()


def test_nothing_stale_of_an_unknown_token() -> None:
    """E15: of a token that was never asked about nobody can tell."""
    site = Site(DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.refusal()


def test_invalidated_stale_yes() -> None:
    """A token that was invalidated has no stale yes."""
    site = Site(YES, DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    site.invalidate().result()
    site.refusal()


# The shared cache


def second_worker(first: Site, *answers: Any, **options: Any) -> Site:
    """Another worker, whose own clock began elsewhere; ``answers`` are what the server says from now on."""
    world = World()
    world.cache = first.world.cache
    world.time.wall = first.world.time.wall
    world.time.steady = 77.0
    return Site(*answers, world=world, **options)


def test_shared_yes() -> None:
    """A yes is there for other workers, as it was said, sealed, and without the token in it or in its name."""
    site = Site(yes(sub="alice"))
    site.ask(cache="default")
    (write,) = site.world.asked(CacheWrite)
    assert (write.alias, write.key, write.seconds) == (*place_of(TOKEN), 30.0)
    assert TOKEN.reveal() not in write.key + write.text
    worker = second_worker(site, DOWN)
    assert worker.ask(cache="default") == {"active": True, "sub": "alice"}
    assert worker.calls == 0
    # It is in its own memory now.
    worker.world.cache.clear()
    assert worker.is_active(cache="default")
    assert len(worker.world.asked(CacheRead)) == 1


def test_shared_no() -> None:
    """A no is not shared, so that no flood of garbage pushes out a site's sessions; it ends a yes that is there."""
    first = Site(YES)
    first.ask(cache="default")
    second = second_worker(first, NO)
    assert not second.is_active(fresh=True, cache="default")
    assert not second.world.asked(CacheWrite)
    assert first.world.cache == {}


def test_a_yes_takes_the_place_of_a_no() -> None:
    """A token is in one memory at a time."""
    memories: tuple[Memory[Word], Memory[Word]] = (Memory(10_000), Memory(10_000))
    verdicts = Verdicts(*memories, Lifetimes(30.0, 5.0, 0.0))
    for claims, sizes in (({"active": False}, [0, 1]), ({"active": True}, [1, 0]), ({"active": False}, [0, 1])):
        assert verdicts.keep(b"key", verdicts.word(claims, 0.0, 0.0, NOW, 1), verdicts.epoch_of(b"key"))
        assert [len(memory) for memory in memories] == sizes


def test_not_shared() -> None:
    """Without a shared cache nobody asks for one."""
    site = Site(YES)
    site.ask(cache=None)
    assert not site.world.asked(CacheRead)
    assert not site.world.asked(CacheWrite)


def test_shared_yes_ends_when_it_does_elsewhere() -> None:
    """Another worker's yes is used for what is left of it, not for a whole lifetime more."""
    first = Site(YES)
    first.ask(cache="default")
    first.world.time.advance(20.0)
    second = second_worker(first, NO)
    assert second.is_active(cache="default")
    second.world.time.advance(9.9)
    assert second.is_active(cache="default")
    second.world.time.advance(0.1)
    assert not second.is_active(cache="default")


@pytest.mark.parametrize(("exp", "left"), [(40, 10), (22, 2), (31, 10)])
def test_shared_yes_and_exp(exp: int, left: float) -> None:
    """R70: another worker's yes ends with its lifetime or with the token, whichever is first, and not before that."""
    first = Site(yes(exp=NOW + exp))
    first.ask(cache="default")
    first.world.time.advance(20.0)
    second = second_worker(first, NO)
    assert second.is_active(cache="default")
    second.world.time.advance(left - 0.1)
    assert second.is_active(cache="default")
    second.world.time.advance(0.1)
    assert not second.is_active(cache="default")


def test_shared_yes_by_a_clock_that_is_ahead() -> None:
    """Another worker's yes is not younger than one that was said now."""
    first = Site(YES)
    first.world.time.wall += 1000
    first.ask(cache="default")
    second = second_worker(first, NO)
    second.world.time.wall -= 1000
    assert second.is_active(cache="default")
    # The cache itself has forgotten it by then.
    second.world.cache.clear()
    second.world.time.advance(30.0)
    assert not second.is_active(cache="default")


def test_shared_stale_yes() -> None:
    """A yes stays in the shared cache for as long as it may be used in an outage, and workers begin with it then."""
    first = Site(YES, lifetimes=(30.0, 5.0, 60.0))
    first.ask(cache="default")
    assert first.world.asked(CacheWrite)[0].seconds == 90.0
    first.world.time.advance(80.0)
    second = second_worker(first, DOWN, lifetimes=(30.0, 5.0, 60.0))
    assert second.is_active(cache="default")
    assert second.calls == 1
    second.world.time.advance(10.0)
    second.refusal(cache="default")


def test_shared_stale_yes_is_asked_about() -> None:
    """A shared yes whose lifetime is over is used only where the server cannot be asked."""
    first = Site(YES, lifetimes=(30.0, 5.0, 60.0))
    first.ask(cache="default")
    first.world.time.advance(30.0)
    second = second_worker(first, NO, lifetimes=(30.0, 5.0, 60.0))
    assert not second.is_active(cache="default")


def planted(
    value: Any = None, *, secret_key: str = "secret", token: Secret[str] = TOKEN, until: float = NOW + 30
) -> str:
    value = value or {"claims": {"active": True, "sub": "mallory"}, "asked_at": NOW}
    return vault(secret_key).seal(place_of(token)[1], value, until)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        json.dumps({"active": True}),
        planted(secret_key="a guess"),
        planted(token=OTHER),
        planted()[:-1],
        planted().replace("mallory", "alice"),
        "2" + planted()[1:],
        planted(until=NOW),
    ],
    ids=[
        "empty",
        "garbage",
        "not sealed",
        "another secret",
        "another token's",
        "truncated",
        "changed",
        "version",
        "old",
    ],
)
def test_planted(text: str) -> None:
    """R31, E22: who can write the cache can vouch for no token: what is not from us, or too old, is a miss."""
    site = Site(NO)
    site.world.cache[place_of(TOKEN)] = text
    assert not site.is_active(cache="default")
    assert site.calls == 1


def test_cache_is_down() -> None:
    """E22: a cache that does not answer is a miss."""
    site = Site(YES)
    site.world.cache_is_down = True
    assert site.is_active(cache="default")
    assert site.calls == 1


def test_a_shared_yes_is_no_later_word_than_a_no() -> None:
    """A yes that stayed in the shared cache, since it could not be deleted there, ends no no that came after it."""
    first = Site(YES, lifetimes=(300.0, 5.0, 0.0))
    first.ask(cache="default")
    first.world.time.advance(1.0)
    second = second_worker(first, NO, lifetimes=(300.0, 5.0, 0.0))
    second.world.cache_is_down = True
    assert not second.is_active(cache="default")
    second.world.cache_is_down = False
    second.world.time.advance(5.0)
    assert not second.is_active(cache="default")
    assert second.calls == 2


def test_a_shared_yes_that_took_long_is_no_later_word_than_a_no() -> None:
    """Which word is the later one is told by when the calls began, in other workers too."""
    first = Site(YES, lifetimes=(300.0, 5.0, 0.0))
    first.hold(HttpCall)
    slow = first.begin(cache="default")
    first.world.time.advance(1.0)
    second = second_worker(first, NO, lifetimes=(300.0, 5.0, 0.0))
    assert not second.is_active(cache="default")
    for worker in (first, second):
        worker.world.time.advance(2.0)
    first.world.release()
    assert active(slow)
    for worker in (first, second):
        worker.world.time.advance(3.0)
    assert not second.is_active(cache="default")


def test_the_vault_is_asked_for_in_the_request() -> None:
    """Names in the cache may depend on code of the site's, which runs in the request and never on the outgoing loop."""
    site = Site(YES)
    in_flight: list[bool] = []

    def noting() -> Vault:
        in_flight.append(bool(site.world.flights))
        return vault(fingerprint="elsewhere" if site.world.flights else "validator")

    site.introspection = Site(YES, world=site.world, vault=noting).introspection
    site.ask(cache="default")
    assert set(site.world.cache) == {place_of(TOKEN)}
    site.invalidate(cache="default").result()
    assert site.world.cache == {}
    assert set(in_flight) == {False}


# Signed answers (RFC 9701)

NO_VERDICT = (Reason.SERVER_ANSWER_UNUSABLE, Reason.TOKEN_ANSWER_UNUSABLE)
KEYS = FixedKeys(key_set(KEY), DEFAULT_ALGORITHMS)


class SignedSite(Site):
    """A validator that takes signed answers."""

    def __init__(self, *answers: Any, required: bool = True, keys: KeySource = KEYS, **options: Any) -> None:
        signed = SignedResponses(keys=keys, required=required, audiences=lambda: {"api", "https://api.example.com"})
        super().__init__(*answers, signed=signed, **options)


def signed(
    document: Any = None, *, by: SigningKey = KEY, header: Mapping[str, Any] | None = None, **claims: Any
) -> HttpAnswer:
    outer = {"iss": ISSUER, "aud": "api", "iat": NOW, "token_introspection": document or {"active": True}} | claims
    outer = {name: value for name, value in outer.items() if value is not ...}
    token = by.sign(outer, **{"typ": "token-introspection+jwt", **(header or {})})
    return ok(token.reveal().encode(), SIGNED)


@pytest.mark.parametrize(
    ("required", "accept"),
    [
        (True, "application/token-introspection+jwt"),
        (False, "application/token-introspection+jwt, application/json;q=0.5"),
    ],
)
def test_signed_answers_are_asked_for(required: bool, accept: str) -> None:
    """R76: the request says which kinds of answers are taken."""
    site = SignedSite(signed(), required=required)
    assert site.is_active()
    assert site.world.calls[0].headers["Accept"] == accept


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("document", [{"active": True, "scope": "read"}, {"active": False}], ids=repr)
@pytest.mark.parametrize("aud", ["api", "https://api.example.com", ["other", "api"]], ids=repr)
def test_signed_answer(required: bool, document: Any, aud: Any) -> None:
    """R76: a signed answer that is for us says what its `token_introspection` says."""
    assert SignedSite(signed(document, aud=aud), required=required).ask() == document


def test_example_of_the_rfc() -> None:
    """R76: the example of RFC 9701 §5, signed with a key of our own, is an answer."""
    vector = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9701.json").read_text())
    claims = vector["claims"]
    answer = ok(KEY.sign(claims, **{**vector["header"], "alg": "ES256"}).reveal().encode(), SIGNED)
    site = Site(answer)
    site.world.time.wall = claims["iat"] + 1.0
    server = site.world.server(issuer=claims["iss"])
    site.introspection = Introspection(
        server=server,
        endpoint=ENDPOINT,
        authenticate=lambda url, now: CREDENTIALS,
        verdicts=site.introspection.verdicts,
        vault=vault,
        signed=SignedResponses(keys=KEYS, required=True, audiences=lambda: {claims["aud"]}),
    )
    assert site.ask() == claims["token_introspection"]


def test_no_type() -> None:
    """R76: a signed answer that does not say what it is is none."""
    _, payload, signature = signed().body.reveal().decode().split(".")
    untyped = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"as-1"}').decode().rstrip("=")
    assert SignedSite(ok(f"{untyped}.{payload}.{signature}".encode(), SIGNED)).refusal().reason in NO_VERDICT


def test_white_space_around_it() -> None:
    """A line feed after the JWT is no part of it."""
    answer = signed()
    assert SignedSite(ok(answer.body.reveal() + b"\n", SIGNED)).is_active()


@pytest.mark.parametrize(
    "typ", ["token-introspection+jwt", "Token-Introspection+JWT", "application/token-introspection+jwt"]
)
def test_types(typ: str) -> None:
    """R76: media types compare without regard to case, and `application/` is optional."""
    assert SignedSite(signed(header={"typ": typ})).is_active()


def test_downgrade() -> None:
    """R78: where a signed answer is required, a plain one is none; where it is only accepted, a plain one will do."""
    assert SignedSite(YES).refusal().reason == Reason.TOKEN_ANSWER_UNUSABLE
    assert SignedSite(YES, required=False).is_active()


def test_plain_json_as_a_signed_answer() -> None:
    """R78: JSON under the media type of a signed answer is neither."""
    assert SignedSite(ok({"active": True}, SIGNED), required=False).refusal().reason in NO_VERDICT


def tampered(answer: HttpAnswer) -> HttpAnswer:
    header, payload, signature = answer.body.reveal().decode().split(".")
    other = "A" if signature[5] != "A" else "B"
    return ok(f"{header}.{payload}.{signature[:5]}{other}{signature[6:]}".encode(), SIGNED)


SECRET = OctKey.generate_key(256).as_dict(private=True)
NOT_FOR_US: dict[str, HttpAnswer] = {
    "typ at+jwt": signed(header={"typ": "at+jwt"}),
    "typ JWT": signed(header={"typ": "JWT"}),
    "typ twice": signed(header={"typ": "application/application/token-introspection+jwt"}),
    "no issuer": signed(iss=...),
    "another issuer": signed(iss="https://evil.example.com"),
    "almost our issuer": signed(iss=f"{ISSUER}/"),
    "no audience": signed(aud=...),
    "another audience": signed(aud="other"),
    "empty audience": signed(aud=[]),
    "no iat": signed(iat=...),
    "null iat": signed(iat=None),
    "iat of a wrong type": signed(iat="now"),
    "iat in the future": signed(iat=NOW + 3600),
    "over": signed(exp=NOW),
    "not yet": signed(nbf=NOW + 60),
    "another key": signed(by=SigningKey("as-1")),
    "unknown key": signed(by=SigningKey("as-2")),
    "bad signature": tampered(signed()),
    "no object in it": signed(token_introspection=...),
    "a string in it": signed(token_introspection="active"),
    "no Boolean in it": signed({"active": "true"}),
    "a time of a wrong type in it": signed({"active": True, "exp": "never"}),
    "critical header": signed(header={"crit": ["x"], "x": 1}),
    "not a JWT": ok(b"garbage", SIGNED),
    "empty": ok(b"", SIGNED),
    "not ASCII": ok("é.é.é".encode(), SIGNED),
    "encrypted": ok(b"a.b.c.d.e", SIGNED),
}


@pytest.mark.parametrize("answer", NOT_FOR_US.values(), ids=NOT_FOR_US)
@pytest.mark.parametrize("required", [True, False])
def test_not_for_us(answer: HttpAnswer, required: bool) -> None:
    """R76, E15: a signed answer that is not the server's word, now, to us, about a token is no answer."""
    site = SignedSite(answer, required=required)
    assert site.refusal().reason in NO_VERDICT
    site.world.time.advance(1.0)
    site.world.answer(ENDPOINT, signed())
    assert site.is_active()


def test_outer_claims_say_nothing() -> None:
    """R77: what stands beside `token_introspection` is not of the token."""
    site = SignedSite(signed({"active": True}, scope="admin", sub="mallory", active=True))
    assert site.ask() == {"active": True}
    site = SignedSite(signed({"active": False}, active=True))
    assert not site.is_active()


def remote_keys(world: World) -> RemoteKeys:
    return RemoteKeys(world.server(), JWKS_URI, KeyLifetimes(600.0, 30.0, 86_400.0), vault, DEFAULT_ALGORITHMS)


def test_fetched_keys() -> None:
    """R76: the keys of the server are fetched when the first signed answer comes, and kept."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    site = SignedSite(signed(), world=world, keys=remote_keys(world), lifetimes=(0.0, 0.0, 0.0))
    for _ in range(2):
        assert site.is_active()
    assert world.urls == [ENDPOINT, JWKS_URI, ENDPOINT]


def test_keys_that_cannot_be_fetched() -> None:
    """E17: a signed answer that cannot be verified, since the keys are not to be had, is no answer."""
    world = World()
    world.answer(JWKS_URI, DOWN, ok(key_set(KEY)))
    site = SignedSite(signed(), world=world, keys=remote_keys(world))
    site.refusal()
    world.time.advance(2.0)
    assert site.is_active()


def test_a_probe_may_need_keys() -> None:
    """Service resumes with the first probe, also where its answer needs keys that were never fetched."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    keys = RemoteKeys(site_server := world.server(), JWKS_URI, KeyLifetimes(600.0, 30.0, 86_400.0), vault, [])
    site = SignedSite(DOWN, signed(), world=world, keys=keys)
    site.server = site_server
    site.introspection = Introspection(
        server=site_server,
        endpoint=ENDPOINT,
        authenticate=lambda url, now: CREDENTIALS,
        verdicts=site.introspection.verdicts,
        vault=vault,
        signed=site.introspection.signed,
    )
    site.refusal()
    world.time.advance(1.0)
    assert site.is_active()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (signed(header={"typ": "at+jwt"}), Reason.WRONG_TYPE),
        (signed(iss="https://evil.example.com"), Reason.WRONG_ISSUER),
        (signed(aud="other"), Reason.WRONG_AUDIENCE),
        (signed(iat=...), Reason.MISSING_CLAIM),
        (signed(iat=NOW + 3600), Reason.ISSUED_IN_FUTURE),
        (signed(exp=NOW), Reason.EXPIRED),
    ],
    ids=["typ", "iss", "aud", "no iat", "iat", "exp"],
)
def test_why_it_is_not_for_us(answer: HttpAnswer, reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    """R76: the log says which rule a signed answer broke."""
    SignedSite(answer).refusal()
    assert caplog.messages == [f"{ENDPOINT} answered with a signed response that is not for us: {reason}"]
