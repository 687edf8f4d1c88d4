"""Introspection requests, their responses, and how long results are used."""

import base64
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey

from async_oauth_guard.authorization_server.backoff import Backoff
from async_oauth_guard.authorization_server.cache_entries import CacheSigner
from async_oauth_guard.authorization_server.introspection import (
    BAD_RESPONSES,
    SIGNED,
    Introspection,
    Proof,
    SignedResponses,
    read_introspection_result,
)
from async_oauth_guard.authorization_server.introspection_cache import (
    CachePolicy,
    IntrospectionCache,
    IntrospectionResult,
)
from async_oauth_guard.authorization_server.jwks import KeySource, RefreshPolicy, RemoteKeySource, StaticKeySource
from async_oauth_guard.authorization_server.metadata import METADATA_TTL, Metadata
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.jwk import DEFAULT_ALGORITHMS
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import (
    CacheDelete,
    CacheRead,
    CacheWrite,
    Flow,
    OutboundRequest,
    OutboundResponse,
    RequestFailedError,
    SingleFlight,
)
from async_oauth_guard.runtime.lru_cache import SizedLRU
from tests.unit.driving import (
    DOWN,
    ISSUER,
    KEYCLOAK,
    REMEMBERED,
    Run,
    SigningKey,
    World,
    key_set,
    ok,
    status,
    traced_size,
)

ENDPOINT = f"{ISSUER}/introspect"
JWKS_URI = f"{ISSUER}/keys"
PLACE = f"{ISSUER}/.well-known/oauth-authorization-server"
TOKEN, OTHER = Secret("the-token+/~="), Secret("another-token")
CREDENTIALS = ({"Authorization": Secret("Basic se-cret")}, {"client_id": "api"})
NOW = 1_800_000_000.0
# Seconds that one step of an introspection may take, and that all three may take.
TIMEOUT, LONGEST = 5.0, 15.0
YES, NO = ok({"active": True}), ok({"active": False})
KEY = SigningKey("as-1")


def authenticate_flow(url: str, now: float) -> Flow[Proof]:
    yield from ()
    return CREDENTIALS


def yes(**members: Any) -> OutboundResponse:
    return ok({"active": True, **members})


def signer(secret_key: str = "secret", fingerprint: str = "validator") -> CacheSigner:
    return CacheSigner(Secret(secret_key), fingerprint)


def place_of(token: Secret[str]) -> tuple[str, str]:
    return ("default", signer().name("active", signer().digest(token)))


class Site:
    """A validator in one worker. ``lifetimes`` are those of active, inactive and stale results."""

    def __init__(
        self,
        *answers: Any,
        lifetimes: tuple[float, float, float] = (30.0, 5.0, 0.0),
        max_size: int = 1_000_000,
        world: World | None = None,
        discovers: bool = False,
        **options: Any,
    ) -> None:
        self.world = world or World()
        self.server = self.world.server(backoff=Backoff(self.world.time.clock, BAD_RESPONSES))
        usual: dict[str, Any] = {
            "endpoint": Metadata(self.server, 86_400.0) if discovers else ENDPOINT,
            "authenticate_flow": authenticate_flow,
            "signer": signer,
            "signed": None,
        }
        self.introspection = Introspection(
            server=self.server,
            results=IntrospectionCache(max_size, self.world.time.clock.steady, CachePolicy(*lifetimes, TIMEOUT)),
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
        result: IntrospectionResult = self.begin(token, **options).result()
        assert result.is_active is result.claims["active"]
        return result.claims

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
    """R66: the request is an authenticated POST of a form that contains the token."""
    seen: list[Any] = []

    def authenticate(url: str, now: float) -> Flow[Proof]:
        seen.append((url, now))
        return authenticate_flow(url, now)

    site = Site(YES, authenticate_flow=authenticate)
    site.ask()
    (call,) = site.world.calls
    assert (call.method, call.url) == ("POST", ENDPOINT)
    assert call.headers == {"Accept": "application/json", **CREDENTIALS[0]}
    assert call.form == {"token": TOKEN, "token_type_hint": "access_token", "client_id": "api"}
    assert (call.client, call.concurrency_limit) == (site.server.client, site.server.concurrency_limit)
    assert seen == [(ENDPOINT, NOW)]
    assert {effect.timeout for effect in site.world.asked(SingleFlight)} == {5.0}


def test_nothing_shows() -> None:
    """R31, R75: no effect and no message shows a token, our credentials, or claims about a person."""
    site = Site(yes(sub="alice", scope="read"))
    result = site.begin().result()
    for shown in (repr(site.world.effects), repr(result)):
        for secret in ("the-token", "se-cret", "alice"):
            assert secret not in shown


def test_discovered() -> None:
    """R64: without a URL, the server's metadata provides the endpoint."""
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
    """E24: while the endpoint is backing off, the metadata is not requested either."""
    site = Site(status(503, "100"), discovers=True)
    site.world.answer(PLACE, ok({"issuer": ISSUER, "introspection_endpoint": ENDPOINT}))
    site.world.time.advance(1.0)
    for _ in range(5):
        site.refusal()
    site.world.time.advance(METADATA_TTL - 1.0)
    site.refusal()
    site.world.time.advance(99.0)
    assert site.refusal().reason == Reason.BACKING_OFF
    assert site.world.urls == [PLACE, *[ENDPOINT] * 6]


@pytest.mark.parametrize(
    "metadata",
    [DOWN, ok({"issuer": "https://evil.example.com", "introspection_endpoint": ENDPOINT}), ok({"issuer": ISSUER})],
    ids=repr,
)
def test_not_discovered(metadata: Any) -> None:
    """R63, E17, E20: no token is sent to a URL from metadata that cannot be used."""
    site = Site(YES, discovers=True)
    site.world.answer(PLACE, metadata)
    site.refusal()
    assert site.calls == 0


# Responses: active, inactive, unusable

WORDS: dict[str, tuple[Any, bool | None]] = {
    "yes": ({"active": True}, True),
    "no": ({"active": False}, False),
    "active, with all members": ({"active": True, "exp": 1.5, "nbf": 0, "iat": 10**17, "scope": {"a": 1}}, True),
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
        for value in ("1", True, False, -1, [1], {"a": 1}, 10**400, "")
    },
}


@pytest.mark.parametrize(("document", "expected"), WORDS.values(), ids=WORDS)
def test_words(document: Any, expected: bool | None, caplog: pytest.LogCaptureFixture) -> None:
    """R68, R69, E15: a response without a Boolean ``active``, or with a malformed time, is refused."""
    if expected is None:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            read_introspection_result(document, ENDPOINT)
        assert caught.value.reason == Reason.SERVER_ANSWER_UNUSABLE
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{ENDPOINT} must respond with a ")
        assert "alice" not in record.getMessage()
    else:
        assert read_introspection_result(document, ENDPOINT)["active"] is expected


def test_yes() -> None:
    """The claims are the whole response."""
    members = {"sub": "alice", "exp": NOW + 60, "authorization_details": [{"type": "account"}]}
    assert Site(yes(**members)).ask() == {"active": True, **members}


def test_no() -> None:
    """R69: of an inactive response only ``active`` is kept, whatever else the server sent."""
    site = Site(ok({"active": False, "scope": "admin", "sub": "alice"}))
    assert site.ask() == {"active": False}
    assert site.ask() == {"active": False}


# The server as a whole or this token alone may cause each of these.
BAD_ANSWERS: dict[str, Any] = {
    "connection lost": RequestFailedError(Reason.SERVER_UNREACHABLE, "ReadError", is_connected=True),
    "too slow": RequestFailedError(Reason.SERVER_TOO_SLOW, "no response within the deadline"),
    "401": status(401),
    "403": status(403),
    "429": status(429),
    "500": status(500),
    "503": status(503),
    "redirect": status(302),
    "201": status(201),
    "204": status(204),
    "no JSON": ok(b"<html>", "text/html"),
    "other type": ok({"active": True}, "text/plain"),
    "no type": ok({"active": True}, ""),
    "signed, unasked": ok(b"x.y.z", SIGNED),
    "too long": RequestFailedError(
        Reason.SERVER_ANSWER_UNUSABLE, "the response has more than 65536 bytes", is_connected=True
    ),
    "empty": ok(b""),
    "broken": ok(b'{"active": true'),
    "said twice": ok(b'{"active": false, "active": true}'),
    "byte order mark": ok(b'\xef\xbb\xbf{"active": true}'),
    "not finite": ok(b'{"active": true, "exp": 1e400}'),
    "no object": ok([True]),
    "no Boolean": ok({"active": "true"}),
    "time of a wrong type": yes(exp="tomorrow"),
}
# The server finds fault with the token. Anybody can cause these.
FAULTS_OF_A_TOKEN: dict[str, Any] = {
    "400": status(400),
    "404": status(404),
    "413": status(413),
    "414": status(414),
    "422": status(422),
    "431": status(431),
}
NO_ANSWERS = {"down": DOWN} | BAD_ANSWERS | FAULTS_OF_A_TOKEN


def test_no_connection() -> None:
    """R65, E15: an unreachable server gets no more requests after one failure, and no result is stored."""
    site = Site(DOWN, YES)
    error = site.refusal(cache="default")
    assert (error.reason, error.retry_after) == (Reason.SERVER_UNREACHABLE, 1)
    assert site.refusal(cache="default").reason == Reason.BACKING_OFF
    assert site.refusal(OTHER, cache="default").reason == Reason.BACKING_OFF
    assert site.calls == 1
    assert site.world.cache == {}
    site.world.time.advance(1.0)
    assert site.is_active()
    assert site.calls == 2


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_bad_answer(answer: Any) -> None:
    """R68, E15: an unusable response is not stored, and other tokens are still introspected."""
    site = Site(answer, YES)
    error = site.refusal(cache="default")
    assert error.reason != Reason.BACKING_OFF
    assert error.retry_after == 1
    assert site.world.cache == {}
    assert site.is_active(OTHER)
    assert site.is_active(TOKEN)
    assert site.calls == 3


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_bad_answers_in_a_row(answer: Any) -> None:
    """E24: after five bad responses in a row a wait starts, which ends with a successful probe."""
    site = Site(*[answer] * 5, YES)
    for number in range(5):
        assert site.refusal(Secret(f"poisoned-{number}")).reason != Reason.BACKING_OFF
    assert site.refusal(OTHER).reason == Reason.BACKING_OFF
    assert site.calls == 5
    site.world.time.advance(1.0)
    assert site.is_active(OTHER)


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_poisoned_tokens_beside_new_ones(answer: Any) -> None:
    """Tokens with bad responses do not stop other tokens whose responses are good."""
    site = Site(*[answer, answer, answer, YES] * 20)
    for number in range(20):
        for name in "abc":
            assert site.refusal(Secret(f"poisoned-{name}-{number}")).reason != Reason.BACKING_OFF
        assert site.is_active(Secret(f"good-{number}"))
        site.world.time.advance(1.0)


def test_hung_calls_beside_new_tokens() -> None:
    """Requests that time out do not count while the server responds to later requests."""
    site = Site(YES)
    site.hold(OutboundRequest)
    hung = [site.begin(Secret(f"poisoned-{number}")) for number in range(10)]
    site.hold()
    site.world.time.advance(5.0)
    assert site.is_active(OTHER)
    site.world.answer(ENDPOINT, RequestFailedError(Reason.SERVER_TOO_SLOW, "no response within the deadline"))
    for run in hung:
        site.world.release()
        with pytest.raises(TemporarilyUnavailableError):
            run.result()
    site.world.answer(ENDPOINT, YES)
    assert site.is_active(TOKEN)


@pytest.mark.parametrize("answer", FAULTS_OF_A_TOKEN.values(), ids=FAULTS_OF_A_TOKEN)
def test_fault_of_a_token(answer: Any) -> None:
    """R68, E15: a response that finds fault with a token never stops other tokens from being introspected."""
    site = Site(*[answer] * 20, YES)
    for number in range(20):
        error = site.refusal(Secret(f"garbage-{number}"), cache="default")
        assert (error.reason, error.retry_after) == (Reason.TOKEN_ANSWER_UNUSABLE, 1)
    assert site.world.cache == {}
    assert site.is_active(OTHER)


def test_fault_of_the_token_of_a_probe() -> None:
    """A server that finds fault with a token has recovered."""
    site = Site(DOWN, status(400), YES)
    site.refusal()
    site.world.time.advance(1.0)
    assert site.refusal().reason == Reason.TOKEN_ANSWER_UNUSABLE
    assert site.is_active(OTHER)


@pytest.mark.parametrize("code", [401, 403])
def test_our_credentials_are_refused(code: int, caplog: pytest.LogCaptureFixture) -> None:
    """E16, R31: if the server refuses our credentials, an error without secrets is logged. The token is not refused."""
    site = Site(status(code))
    assert site.refusal().reason == Reason.SERVER_REFUSES_US
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("async_oauth_guard.introspection", logging.ERROR)
    assert record.getMessage() == f"{ENDPOINT} refuses the credentials of this site (status {code})"
    assert vars(record)["reason"] is Reason.SERVER_REFUSES_US
    for _ in range(10):
        site.refusal()
    assert len(caplog.records) == 5


def test_wish_of_the_server() -> None:
    """E24: clients get the server's ``Retry-After``, and it is honoured from the fifth bad response on."""
    site = Site(*[status(429, "60")] * 5, YES)
    for _ in range(5):
        assert site.refusal().retry_after == 60
    site.world.time.advance(59.0)
    error = site.refusal()
    assert (error.reason, error.retry_after) == (Reason.BACKING_OFF, 1)
    site.world.time.advance(1.0)
    assert site.is_active()


def test_a_bug_is_no_outage() -> None:
    """R124: an unexpected error is raised unchanged, and no stale result hides it."""
    site = Site(YES, KeyError("a bug"), lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    with pytest.raises(KeyError):
        site.ask()


# Lifetimes


def test_a_yes_is_used_for_its_lifetime() -> None:
    """An active result is used without a request or any other effect for `cache_ttl`."""
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
    """R70: an active result ends when the token expires, even if `cache_ttl` is longer."""
    site = Site(yes(exp=NOW + 2), NO, lifetimes=(300.0, 5.0, 600.0))
    site.ask()
    site.world.time.advance(1.9)
    assert site.is_active()
    assert site.calls == 1
    site.world.time.advance(0.1)
    assert not site.is_active()
    assert site.calls == 2


def test_a_yes_that_has_ended_is_not_kept() -> None:
    """R70, R71: an active result for an expired token goes to the check of times, and is fetched again each time."""
    site = Site(yes(exp=NOW - 5))
    assert site.is_active(cache="default")
    assert site.is_active(cache="default")
    assert site.calls == 2


def test_a_no_is_used_for_its_lifetime() -> None:
    """R69: an inactive result is used for `negative_ttl`."""
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
    """With lifetimes of zero, each request is sent to the server."""
    site = Site(answer, lifetimes=(0.0, 0.0, 0.0))
    for _ in range(3):
        site.ask()
    assert site.calls == 3


def test_tokens_apart() -> None:
    """R33: the result of one token is never used for another."""
    site = Site(YES, NO)
    assert site.is_active(TOKEN)
    assert not site.is_active(OTHER)
    assert site.is_active(TOKEN)
    assert not site.is_active(OTHER)
    assert site.calls == 2


def test_a_flood_of_garbage() -> None:
    """Many invalid tokens do not push out active results."""
    site = Site(YES, NO, max_size=20_000)
    site.ask()
    for number in range(200):
        site.ask(Secret(f"garbage-{number}"))
    assert site.calls == 201
    assert site.is_active()
    assert site.calls == 201


SIZES: dict[str, dict[str, Any]] = {
    "yes": {"active": True},
    "no": {"active": False},
    "Keycloak": {"active": True, **KEYCLOAK},
    "nested lists": {"active": True, "realm_access": [[[], [], [[]]]] * 50},
    "long text": {"active": True, "picture": "x" * 5000},
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("claims", SIZES.values(), ids=SIZES)
def test_memory_that_is_used(claims: dict[str, Any], shared: bool) -> None:
    """The size limits of both caches match the memory that the process uses, whatever the responses are."""
    site = Site(ok(claims))
    max_size = REMEMBERED if claims["active"] else 2 * REMEMBERED
    results = IntrospectionCache(max_size, lambda: 0.0, CachePolicy(30.0, 5.0, 0.0, TIMEOUT))
    lru = results._active if claims["active"] else results._inactive
    reading = dataclasses.replace(site.introspection, results=results)

    def fill() -> None:
        number = 0
        while len(lru._entries) == number:
            presented = Secret(f"token-{number}")
            # No two results share the same time objects.
            site.world.time.advance(0.001)
            if shared and claims["active"]:
                site.world.run(site.introspection.ask_flow(presented, fresh=True, cache="default"))
            site.world.run(reading.ask_flow(presented, fresh=False, cache="default" if shared else None))
            number += 1
        # Only the cache still refers to what it stores.
        site.world.effects.clear()
        site.world.calls.clear()

    assert 1 / 1.5 < traced_size(fill, lru) / REMEMBERED < 1.5


# Single flight


def test_one_call() -> None:
    """Concurrent requests with one token share one call."""
    site = Site(YES)
    site.hold(OutboundRequest)
    runs = [site.begin() for _ in range(1000)]
    other = site.begin(OTHER)
    assert site.calls == 2
    site.world.release()
    assert all(map(active, runs))
    assert not other.is_done


def test_who_asks_late() -> None:
    """A request that finds the cache empty just before another one fills it starts no second call."""
    site = Site(YES)
    single_flight = next(site.introspection.ask_flow(TOKEN, fresh=False, cache=None))
    assert isinstance(single_flight, SingleFlight)
    site.ask()
    assert active(site.world.begin(single_flight.flow(), in_flight=True))
    assert site.calls == 1
    site.world.time.advance(30.0)
    assert active(site.world.begin(single_flight.flow(), in_flight=True))
    assert site.calls == 2


def test_one_failure() -> None:
    """Each request that waits for a failed call gets its own exception."""
    site = Site(DOWN)
    site.hold(OutboundRequest)
    runs = [site.begin() for _ in range(3)]
    site.world.release()
    errors = set()
    for run in runs:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            run.result()
        errors.add(id(caught.value))
    assert len(errors) == 3


def test_who_asked_first_goes_away() -> None:
    """R127: a shared call continues when the request that began it is cancelled, and its result is stored."""
    site = Site(YES)
    site.hold(OutboundRequest)
    first, second = site.begin(), site.begin()
    first.cancel()
    site.world.release()
    assert active(second)
    assert site.is_active()
    assert site.calls == 1


def test_a_call_that_queued_while_the_server_began_to_fail() -> None:
    """E24: a call that waits in the queue is not sent if the server has failed meanwhile."""
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
    """E24: when the wait is over, one call is sent, and the others are refused until it has a response."""
    site = Site(DOWN, YES)
    site.refusal()
    site.world.time.advance(1.0)
    site.hold(OutboundRequest)
    probe = site.begin()
    assert site.refusal(OTHER).reason == Reason.BACKING_OFF
    assert site.calls == 2
    site.world.release()
    assert active(probe)
    site.hold()
    assert site.is_active(OTHER)


# Fresh results


def test_fresh_goes_around_what_is_kept() -> None:
    """A fresh result always comes from the server, and is stored for other requests."""
    site = Site(YES, NO)
    site.ask(cache="default")
    assert not site.is_active(fresh=True, cache="default")
    assert site.calls == 2
    assert len(site.world.asked(CacheRead)) == 1
    assert not site.is_active()
    assert site.calls == 2


def test_fresh_joins_nobody() -> None:
    """A fresh request does not join an earlier call, and no other request joins its call."""
    site = Site(YES)
    site.hold(OutboundRequest)
    runs = [site.begin(), site.begin(fresh=True), site.begin(fresh=True), site.begin()]
    assert site.calls == 3
    for _ in range(3):
        site.world.release()
    assert all(map(active, runs))


def test_fresh_takes_no_stale_yes() -> None:
    """E15: during an outage there is no fresh result."""
    site = Site(YES, DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    assert site.refusal(fresh=True).reason == Reason.SERVER_UNREACHABLE
    assert site.is_active()


# Which result is the later one


def words(*answers: bool) -> tuple[Site, list[Run]]:
    """Calls that were sent a second apart, and the server's response to each."""
    site = Site(*[YES if answer else NO for answer in answers], lifetimes=(30.0, 10.0, 0.0))
    site.hold(OutboundRequest)
    runs = []
    for _ in answers:
        runs.append(site.begin(fresh=True, cache="default"))
        site.world.time.advance(1.0)
    return site, runs


def test_an_older_yes() -> None:
    """An active result is not stored anywhere if an inactive one of a later call is known."""
    site, (older, later) = words(False, True)
    # The later call gets its response first: inactive.
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
    """An active result of a later call replaces an inactive one."""
    site, (older, later) = words(False, True)
    site.world.release()
    site.world.release()
    assert not active(older)
    assert active(later)
    site.hold()
    assert site.is_active()
    assert set(site.world.cache) == {place_of(TOKEN)}


def test_any_no() -> None:
    """An inactive result replaces an active one, whichever call began first."""
    site, _ = words(True, False)
    site.world._held.reverse()
    site.world.release()
    site.world.release()
    site.hold()
    assert not site.is_active()
    assert site.world.cache == {}


# Invalidation


def test_invalidated() -> None:
    """After a token was invalidated, it is introspected again, and the shared cache has no entry for it."""
    site = Site(YES, NO)
    site.ask(cache="default")
    site.ask(OTHER, cache="default")
    site.world.answer(ENDPOINT, NO)
    assert place_of(TOKEN) in site.world.cache
    site.invalidate(cache="default").result()
    assert place_of(TOKEN) not in site.world.cache
    assert not site.is_active(cache="default")
    assert {effect.timeout for effect in site.world.asked(SingleFlight)} == {5.0}


def test_invalidated_at_the_same_time() -> None:
    """Each invalidation deletes the entry of its own token, and waits for no other invalidation."""
    site = Site(YES)
    for token in (TOKEN, OTHER):
        site.ask(token, cache="default")
    site.hold(CacheDelete)
    runs = [site.invalidate(token, cache="default") for token in (TOKEN, OTHER)]
    site.hold()
    for _ in runs:
        site.world.release()
    assert all(run.is_done for run in runs)
    assert site.world.cache == {}


def test_invalidated_no() -> None:
    """An inactive result is discarded as well."""
    site = Site(NO, YES)
    site.ask()
    site.invalidate().result()
    assert site.is_active()


def test_invalidated_without_a_shared_cache() -> None:
    """Without a shared cache, invalidation has no effects."""
    site = Site(YES)
    site.invalidate().result()
    assert site.world.effects == []


def test_invalidated_while_a_call_is_under_way() -> None:
    """A result of a call that began before the invalidation is not stored, and no request joins that call."""
    site = Site(YES, NO)
    site.hold(OutboundRequest)
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
    """A result of a call that is sent after the invalidation may be stored, even if it was requested earlier."""
    site = Site(YES)
    single_flight = next(site.introspection.ask_flow(TOKEN, fresh=False, cache=None))
    assert isinstance(single_flight, SingleFlight)
    site.invalidate().result()
    assert active(site.world.begin(single_flight.flow(), in_flight=True))
    assert site.is_active()
    assert site.calls == 1


def test_invalidated_while_the_shared_cache_is_read() -> None:
    """A result that was read from the shared cache before the invalidation is not used."""
    site = Site(YES)
    site.ask(cache="default")
    worker = second_worker(site, NO)
    worker.hold(CacheRead)
    before = worker.begin(cache="default")
    # The delete is performed at once, and the read returns the old entry later.
    text = worker.world.cache[place_of(TOKEN)]
    worker.invalidate(cache="default").result()
    worker.world.cache[place_of(TOKEN)] = text
    worker.hold()
    worker.world.release()
    assert not active(before)
    assert worker.calls == 1


def test_asked_before_the_shared_cache_has_forgotten() -> None:
    """A request that reads the shared entry just before it is deleted does not store it in the process."""
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
    """R127: an invalidation is completed even if the request that started it is cancelled."""
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
    """An entry that is written to the shared cache during the invalidation is deleted again."""
    site = Site(YES, NO)
    site.hold(CacheWrite)
    before = site.begin(cache="default")
    site.invalidate(cache="default").result()
    site.world.release()
    assert active(before)
    assert site.world.cache == {}
    assert not site.is_active(cache="default")


def test_a_late_answer_ends_no_newer_word() -> None:
    """A response from before the invalidation does not replace a newer result."""
    site = Site(YES)
    site.hold(OutboundRequest)
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


@pytest.mark.parametrize(
    ("claims", "lifetimes", "kept"),
    [
        ({"active": True}, (30.0, 5.0, 0.0), 30.0),
        ({"active": True}, (30.0, 5.0, 60.0), 90.0),
        ({"active": False}, (30.0, 5.0, 60.0), LONGEST),
        ({"active": False}, (30.0, 40.0, 60.0), 40.0),
    ],
)
def test_results_that_have_had_their_time_leave_the_cache(
    claims: dict[str, Any], lifetimes: tuple[float, float, float], kept: float
) -> None:
    """Results of tokens that are presented once do not fill the cache."""
    site = Site(lifetimes=lifetimes)
    clock = site.world.time.clock
    results = IntrospectionCache(2_000_000, clock.steady, CachePolicy(*lifetimes, TIMEOUT))
    lru = results._active if claims["active"] else results._inactive

    def present(number: int) -> None:
        key, now = number.to_bytes(32), clock.steady()
        assert results.keep(key, results.result(claims, now, now, clock.wall()), results.epoch_of(key))

    for number in range(500):
        present(number)
    site.world.time.advance(kept - 0.5)
    for number in range(500, 1000):
        present(number)
    assert len(lru._entries) == 1000
    site.world.time.advance(0.5)
    for number in range(1000, 2000):
        present(number)
    assert len(lru._entries) == 1500


class Meddling(SizedLRU[IntrospectionResult]):
    """A cache during whose writes another thread invalidates the token."""

    def __init__(self) -> None:
        super().__init__(1_000_000, lambda: 0.0)
        self.before_put: Callable[[], None] = lambda: None

    def put(self, key: bytes, entry: IntrospectionResult) -> None:
        self.before_put()
        super().put(key, entry)


@pytest.mark.parametrize("answer", [YES, NO])
def test_invalidated_by_another_thread_while_it_is_remembered(answer: Any) -> None:
    """A result that is stored while another thread invalidates the token is discarded at once."""
    results = IntrospectionCache(1_000_000, lambda: 0.0, CachePolicy(30.0, 5.0, 0.0, TIMEOUT))
    results._active, results._inactive = remembered = Meddling(), Meddling()
    site = Site(answer)
    site.introspection = Introspection(
        server=site.server,
        endpoint=ENDPOINT,
        authenticate_flow=authenticate_flow,
        results=results,
        signer=signer,
        signed=None,
    )

    def invalidate() -> None:
        for lru in remembered:
            lru.before_put = lambda: None
        results.forget(signer().digest(TOKEN), site.server.clock.steady())

    for lru in remembered:
        lru.before_put = invalidate
    site.ask(cache="default")
    assert site.world.cache == {}
    site.ask(cache="default")
    assert len(site.world.calls) == 2


def test_others_are_not_forgotten() -> None:
    """Invalidating one token does not affect other tokens."""
    site = Site(YES)
    site.ask(OTHER)
    site.invalidate(TOKEN).result()
    assert site.is_active(OTHER)
    assert site.calls == 1


# Outages


def test_no_stale_yes_unless_asked_for() -> None:
    """E15: without `stale_if_error`, a result is not used after its lifetime."""
    site = Site(YES, DOWN)
    site.ask()
    site.world.time.advance(30.0)
    site.refusal()


def test_stale_yes() -> None:
    """During an outage an active result is used for at most `stale_if_error` seconds after its lifetime."""
    site = Site(YES, DOWN, lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    assert site.is_active()
    assert site.calls == 2
    # Also while the server is backing off.
    assert site.is_active()
    assert site.calls == 2
    site.world.time.advance(59.9)
    assert site.is_active()
    site.world.time.advance(0.1)
    site.refusal()
    assert site.refusal().reason == Reason.BACKING_OFF


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_stale_yes_for_any_failure(answer: Any) -> None:
    """A stale result is used whatever causes the outage."""
    site = Site(YES, answer, lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    assert site.is_active()


def test_stale_yes_is_asked_about() -> None:
    """A stale result is used only after a request has failed."""
    site = Site(YES, yes(sub="alice"), lifetimes=(30.0, 5.0, 60.0))
    site.ask()
    site.world.time.advance(30.0)
    assert site.ask()["sub"] == "alice"


def test_a_no_ends_a_stale_yes() -> None:
    """An inactive result replaces a stale one, also in a later outage, and is never stale itself."""
    site = Site(YES, NO, DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    site.world.time.advance(30.0)
    assert not site.is_active()
    site.world.time.advance(5.0)
    site.refusal()


def test_stale_yes_never_beyond_exp() -> None:
    """R70: an outage never extends the life of a token beyond ``exp``."""
    site = Site(yes(exp=NOW + 40), DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    site.world.time.advance(39.9)
    assert site.is_active()
    site.world.time.advance(0.1)
    site.refusal()


def test_nothing_stale_of_an_unknown_token() -> None:
    """E15: for a token without any result, the outage is reported."""
    site = Site(DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.refusal()


def test_invalidated_stale_yes() -> None:
    """An invalidated token has no stale result."""
    site = Site(YES, DOWN, lifetimes=(30.0, 5.0, 600.0))
    site.ask()
    site.invalidate().result()
    site.refusal()


# The shared cache


def second_worker(first: Site, *answers: Any, **options: Any) -> Site:
    """Another worker with a different steady clock. ``answers`` are the server's responses from now on."""
    world = World()
    world.cache = first.world.cache
    world.time.wall = first.world.time.wall
    world.time.steady = 77.0
    return Site(*answers, world=world, **options)


def test_shared_yes() -> None:
    """Other workers use an active result. It is stored signed, and neither entry nor name contains the token."""
    site = Site(yes(sub="alice"))
    site.ask(cache="default")
    (write,) = site.world.asked(CacheWrite)
    assert (write.alias, write.key, write.seconds) == (*place_of(TOKEN), 30.0)
    assert TOKEN.reveal() not in write.key + write.text
    worker = second_worker(site, DOWN)
    assert worker.ask(cache="default") == {"active": True, "sub": "alice"}
    assert worker.calls == 0
    # The result is in the worker's own cache now.
    worker.world.cache.clear()
    assert worker.is_active(cache="default")
    assert len(worker.world.asked(CacheRead)) == 1


def test_shared_no() -> None:
    """An inactive result is not shared, because garbage could fill the cache. It deletes an active entry."""
    first = Site(YES)
    first.ask(cache="default")
    second = second_worker(first, NO)
    assert not second.is_active(fresh=True, cache="default")
    assert not second.world.asked(CacheWrite)
    assert first.world.cache == {}


def test_a_yes_takes_the_place_of_a_no() -> None:
    """A token is in only one of the two caches at a time."""
    results = IntrospectionCache(20_000, lambda: 0.0, CachePolicy(30.0, 5.0, 0.0, TIMEOUT))
    for claims, sizes in (({"active": False}, [0, 1]), ({"active": True}, [1, 0]), ({"active": False}, [0, 1])):
        assert results.keep(b"key", results.result(claims, 0.0, 0.0, NOW), results.epoch_of(b"key"))
        assert [len(lru._entries) for lru in (results._active, results._inactive)] == sizes


def test_not_shared() -> None:
    """Without a shared cache there are no effects for it."""
    site = Site(YES)
    site.ask(cache=None)
    assert not site.world.asked(CacheRead)
    assert not site.world.asked(CacheWrite)


def test_shared_yes_ends_when_it_does_elsewhere() -> None:
    """A shared result is used for the rest of its lifetime, not for a whole lifetime again."""
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
    """R70: a shared result ends with its lifetime or with the token, whichever comes first."""
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
    """A shared result of a worker whose clock is ahead counts as new, not as newer."""
    first = Site(YES)
    first.world.time.wall += 1000
    first.ask(cache="default")
    second = second_worker(first, NO)
    second.world.time.wall -= 1000
    assert second.is_active(cache="default")
    # The cache itself has removed the entry by then.
    second.world.cache.clear()
    second.world.time.advance(30.0)
    assert not second.is_active(cache="default")


def test_shared_stale_yes() -> None:
    """A result stays in the shared cache for as long as it may be stale, and new workers may use it in an outage."""
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
    """A shared result that has reached the end of its lifetime is used only in an outage."""
    first = Site(YES, lifetimes=(30.0, 5.0, 60.0))
    first.ask(cache="default")
    first.world.time.advance(30.0)
    second = second_worker(first, NO, lifetimes=(30.0, 5.0, 60.0))
    assert not second.is_active(cache="default")


def planted(
    value: Any = None, *, secret_key: str = "secret", token: Secret[str] = TOKEN, until: float = NOW + 30
) -> str:
    value = value or {"claims": {"active": True, "sub": "mallory"}, "began_at": NOW}
    return signer(secret_key).sign(place_of(token)[1], value, until)


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
    """R31, E22: someone who can write the cache cannot forge an entry: unsigned or expired entries are ignored."""
    site = Site(NO)
    site.world.cache[place_of(TOKEN)] = text
    assert not site.is_active(cache="default")
    assert site.calls == 1


def test_cache_is_down() -> None:
    """E22: a cache that fails counts as empty."""
    site = Site(YES)
    site.world.cache_is_down = True
    assert site.is_active(cache="default")
    assert site.calls == 1


def test_a_shared_yes_is_no_later_word_than_a_no() -> None:
    """An active entry that could not be deleted from the shared cache does not replace a later inactive result."""
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
    """The times at which the calls began decide which result is later, also between workers."""
    first = Site(YES, lifetimes=(300.0, 5.0, 0.0))
    first.hold(OutboundRequest)
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
    """The signer may depend on site code, which runs in the request and never on the outbound loop."""
    site = Site(YES)
    in_flight: list[bool] = []

    def noting() -> CacheSigner:
        in_flight.append(bool(site.world.shared_runs))
        return signer(fingerprint="elsewhere" if site.world.shared_runs else "validator")

    site.introspection = Site(YES, world=site.world, signer=noting).introspection
    site.ask(cache="default")
    assert set(site.world.cache) == {place_of(TOKEN)}
    site.invalidate(cache="default").result()
    assert site.world.cache == {}
    assert set(in_flight) == {False}


# Signed responses (RFC 9701)

KEYS = StaticKeySource(key_set(KEY), DEFAULT_ALGORITHMS)


class SignedSite(Site):
    """A validator that accepts signed responses."""

    def __init__(self, *answers: Any, required: bool = True, keys: KeySource = KEYS, **options: Any) -> None:
        signed = SignedResponses(keys=keys, required=required, audiences=lambda: {"api", "https://api.example.com"})
        super().__init__(*answers, signed=signed, **options)


def signed(
    document: Any = None, *, by: SigningKey = KEY, header: Mapping[str, Any] | None = None, **claims: Any
) -> OutboundResponse:
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
    """R76: the request names the accepted content types."""
    site = SignedSite(signed(), required=required)
    assert site.is_active()
    assert site.world.calls[0].headers["Accept"] == accept


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("document", [{"active": True, "scope": "read"}, {"active": False}], ids=repr)
@pytest.mark.parametrize("aud", ["api", "https://api.example.com", ["other", "api"]], ids=repr)
def test_signed_answer(required: bool, document: Any, aud: Any) -> None:
    """R76: the claims are those in `token_introspection` of a valid signed response."""
    assert SignedSite(signed(document, aud=aud), required=required).ask() == document


def test_example_of_the_rfc() -> None:
    """R76: the example of RFC 9701 §5, signed with our own key, is accepted."""
    vector = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9701.json").read_text())
    claims = vector["claims"]
    answer = ok(KEY.sign(claims, **{**vector["header"], "alg": "ES256"}).reveal().encode(), SIGNED)
    site = Site(answer)
    site.world.time.wall = claims["iat"] + 1.0
    server = site.world.server(issuer=claims["iss"])
    site.introspection = Introspection(
        server=server,
        endpoint=ENDPOINT,
        authenticate_flow=authenticate_flow,
        results=site.introspection.results,
        signer=signer,
        signed=SignedResponses(keys=KEYS, required=True, audiences=lambda: {claims["aud"]}),
    )
    assert site.ask() == claims["token_introspection"]


def test_no_type() -> None:
    """R76: a signed response without the right ``typ`` is refused."""
    _, payload, signature = signed().body.reveal().decode().split(".")
    untyped = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"as-1"}').decode().rstrip("=")
    assert (
        SignedSite(ok(f"{untyped}.{payload}.{signature}".encode(), SIGNED)).refusal().reason
        == Reason.SERVER_ANSWER_UNUSABLE
    )


def test_white_space_around_it() -> None:
    """A line feed after the JWT is ignored."""
    answer = signed()
    assert SignedSite(ok(answer.body.reveal() + b"\n", SIGNED)).is_active()


@pytest.mark.parametrize(
    "typ", ["token-introspection+jwt", "Token-Introspection+JWT", "application/token-introspection+jwt"]
)
def test_types(typ: str) -> None:
    """R76: media types are compared without regard to case, and `application/` is optional."""
    assert SignedSite(signed(header={"typ": typ})).is_active()


def test_downgrade() -> None:
    """R78: if signed responses are required, a plain one is refused. Otherwise it is accepted."""
    assert SignedSite(YES).refusal().reason == Reason.SERVER_ANSWER_UNUSABLE
    assert SignedSite(YES, required=False).is_active()


def test_plain_json_as_a_signed_answer() -> None:
    """R78: JSON with the content type of a signed response is refused."""
    assert SignedSite(ok({"active": True}, SIGNED), required=False).refusal().reason == Reason.SERVER_ANSWER_UNUSABLE


def tampered(answer: OutboundResponse) -> OutboundResponse:
    header, payload, signature = answer.body.reveal().decode().split(".")
    other = "A" if signature[5] != "A" else "B"
    return ok(f"{header}.{payload}.{signature[:5]}{other}{signature[6:]}".encode(), SIGNED)


SECRET = OctKey.generate_key(256).as_dict(private=True)
NOT_FOR_US: dict[str, OutboundResponse] = {
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
    "iat 61 seconds ahead": signed(iat=NOW + 61),
    "iat 301 seconds ago": signed(iat=NOW - 301),
    "iat two years ago": signed(iat=NOW - 2 * 365 * 86_400),
    "iat long ago, not over yet": signed(iat=NOW - 3600, exp=NOW + 3600),
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
def test_not_for_us(answer: OutboundResponse, required: bool) -> None:
    """R76, E15: a signed response is refused unless it is new, from this server, for this client and about a token."""
    site = SignedSite(answer, required=required)
    assert site.refusal().reason == Reason.SERVER_ANSWER_UNUSABLE
    site.world.time.advance(1.0)
    site.world.answer(ENDPOINT, signed())
    assert site.is_active()


@pytest.mark.parametrize("iat", [NOW - 300, NOW - 1.5, NOW, NOW + 60])
@pytest.mark.parametrize("required", [True, False])
def test_age_of_signed_answers(iat: float, required: bool) -> None:
    """R76: a signed response may be at most 300 seconds old, or 60 seconds ahead if clocks differ."""
    assert SignedSite(signed(iat=iat), required=required).is_active()


def test_outer_claims_say_nothing() -> None:
    """R77: claims outside `token_introspection` are ignored."""
    site = SignedSite(signed({"active": True}, scope="admin", sub="mallory", active=True))
    assert site.ask() == {"active": True}
    site = SignedSite(signed({"active": False}, active=True))
    assert not site.is_active()


def remote_keys(world: World) -> RemoteKeySource:
    return RemoteKeySource(world.server(), JWKS_URI, RefreshPolicy(600.0, 30.0, 86_400.0), signer, DEFAULT_ALGORITHMS)


def test_fetched_keys() -> None:
    """R76: the server's keys are fetched when the first signed response arrives, and stored."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    site = SignedSite(signed(), world=world, keys=remote_keys(world), lifetimes=(0.0, 0.0, 0.0))
    for _ in range(2):
        assert site.is_active()
    assert world.urls == [ENDPOINT, JWKS_URI, ENDPOINT]


def test_keys_that_cannot_be_fetched() -> None:
    """E17: if the keys are not available, a signed response cannot be used."""
    world = World()
    world.answer(JWKS_URI, DOWN, ok(key_set(KEY)))
    site = SignedSite(signed(), world=world, keys=remote_keys(world))
    site.refusal()
    world.time.advance(2.0)
    assert site.is_active()


def test_a_probe_may_need_keys() -> None:
    """Service resumes with the first probe, also if its response needs keys that were never fetched."""
    world = World()
    world.answer(JWKS_URI, ok(key_set(KEY)))
    keys = RemoteKeySource(site_server := world.server(), JWKS_URI, RefreshPolicy(600.0, 30.0, 86_400.0), signer, [])
    site = SignedSite(DOWN, signed(), world=world, keys=keys)
    site.server = site_server
    site.introspection = Introspection(
        server=site_server,
        endpoint=ENDPOINT,
        authenticate_flow=authenticate_flow,
        results=site.introspection.results,
        signer=signer,
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
def test_why_it_is_not_for_us(answer: OutboundResponse, reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    """R76: the log names the rule that a signed response breaks."""
    SignedSite(answer).refusal()
    assert caplog.messages == [
        f"{ENDPOINT} responded with a signed response that is not valid for this client: {reason}"
    ]
