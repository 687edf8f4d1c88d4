"""Drives flows by hand, without a database, threads, event loops or servers."""

import gc
import json
import tracemalloc
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from django.test import RequestFactory
from joserfc.jwk import ECKey

from async_oauth_guard.authorization_server.backoff import Backoff
from async_oauth_guard.authorization_server.metadata import Server
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.claims import HEADER_AND_CLAIMS, CheckedClaims, ClaimPolicy
from async_oauth_guard.protocol.clock import Clock
from async_oauth_guard.protocol.jwk import import_signing_key
from async_oauth_guard.protocol.jwt import sign_jwt
from async_oauth_guard.protocol.requirements import parse_requirements
from async_oauth_guard.protocol.rules import first_failure, rules_for
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import (
    CacheDelete,
    CacheRead,
    CacheWrite,
    Call,
    ClientOptions,
    Compute,
    ConcurrencyLimit,
    Effect,
    Flow,
    OutboundRequest,
    OutboundResponse,
    ReadModel,
    RequestFailedError,
    SingleFlight,
    StartBackground,
)
from async_oauth_guard.validators.authorization_context import AuthorizationContext


def check_unverified(typ: Any, claims: Mapping[str, Any], *, now: float, **policy: Any) -> Reason | None:
    """Why a JWT is refused before a key is chosen."""
    claim_policy = ClaimPolicy(algorithms=("RS256",), clock=Clock(lambda: now, lambda: now, lambda: now), **policy)
    checked = CheckedClaims(claim_policy, claims, {"alg": "RS256", "typ": typ})
    return first_failure(rules_for(claim_policy, HEADER_AND_CLAIMS), checked, None)


PERFORM = object()
"""As a reply: perform the effect and reply with its result."""


def perform(effect: Effect) -> Any:
    """Perform a call or a read."""
    if isinstance(effect, ReadModel):
        return effect.read(effect.instance)
    assert isinstance(effect, Call)
    arguments = [part.reveal() if isinstance(part, Secret) else part for part in effect.arguments]
    return effect.function(*arguments, **(effect.keywords or {}))


def drive(flow: Flow[Any], *replies: Any) -> tuple[Any, list[Effect]]:
    """Return the flow's result and effects. Each effect gets the next of ``replies``; an exception is thrown in."""
    effects: list[Effect] = []
    waiting = list(replies)
    try:
        effect = next(flow)
        while True:
            effects.append(effect)
            assert waiting, f"no reply to {effect}"
            effect = _reply(flow, effect, waiting.pop(0))
    except StopIteration as stop:
        assert not waiting, f"no effect used {waiting}"
        return stop.value, effects


def _reply(flow: Flow[Any], effect: Effect, reply: Any) -> Effect:
    if reply is PERFORM:
        try:
            reply = perform(effect)
        except Exception as error:
            reply = error
    return flow.throw(reply) if isinstance(reply, BaseException) else flow.send(reply)


def authorization_context(
    scopes: Any = None,
    *,
    method: str | None = "GET",
    uri: str | None = None,
    hook_request: Any = None,
    headers: Mapping[str, str] | None = None,
    **requirements: Any,
) -> AuthorizationContext:
    """The context of a guard's validation. With ``method=None`` there is no request."""
    request = None if method is None else RequestFactory().generic(method, "/", headers=dict(headers or {}))
    return AuthorizationContext(
        requirements=parse_requirements(scopes, **requirements),
        request=request,
        hook_request=lambda: hook_request,
        uri=lambda: uri,
    )


class Time:
    """A clock that a test advances. A ``chance`` of 0.5 means no jitter."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 5_000.0
        self.chance = 0.5
        self.clock = Clock(lambda: self.wall, self.read_steady, lambda: self.chance)
        self.when_read: Callable[[], None] = lambda: None

    def read_steady(self) -> float:
        self.when_read()
        return self.steady

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


_WAITING = object()
ISSUER = "https://as.example.com"


class Run:
    """A running flow. ``in_flight``: it runs on the outbound loop."""

    def __init__(self, world: "World", flow: Flow[Any], *, in_flight: bool = False) -> None:
        self._world = world
        self._flow = flow
        self.in_flight = in_flight
        self.is_done = False
        self._value: Any = None
        self._error: Exception | None = None
        self.waiters: list[Run] = []
        self.when_done: Callable[[], None] = lambda: None

    def resume(self, reply: Any) -> None:
        try:
            while reply is not _WAITING:
                effect = self._flow.throw(reply) if isinstance(reply, Exception) else self._flow.send(reply)
                reply = self._world.perform(effect, self)
        except StopIteration as stop:
            self._end(value=stop.value)
        except Exception as error:
            self._end(error=error)

    def _end(self, value: Any = None, error: Exception | None = None) -> None:
        self.is_done, self._value, self._error = True, value, error
        self.when_done()
        for waiter in self.waiters:
            waiter.resume(self.reply())

    def reply(self) -> Any:
        """What one waiting flow gets. Each gets its own exception."""
        if isinstance(self._error, TemporarilyUnavailableError):
            return self._error.again()
        return self._value if self._error is None else self._error

    def result(self) -> Any:
        assert self.is_done, "the flow is still waiting"
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        """Cancel the flow, as a driver does when the request is cancelled."""
        self._flow.close()
        for run in self._world.shared_runs.values():
            run.waiters = [waiter for waiter in run.waiters if waiter is not self]


class World:
    """Servers, a shared cache and the outbound loop. Performs the effects of flows at once.

    Attributes:
        answers: the responses of each URL in order; the last one is repeated. An exception is a failed request.
        calls: the requests that were sent.
        cache: the entries of the shared cache, by alias and key.
        effects: all effects of the flows.
        hold: effects of these kinds wait until `release` performs them. Requests are sent before they wait.
        gate_is_full: requests wait before they are sent, as at the concurrency limit.
    """

    def __init__(self) -> None:
        self.time = Time()
        self.answers: dict[str, list[Any]] = {}
        self.calls: list[OutboundRequest] = []
        self.cache: dict[tuple[str, str], Any] = {}
        self.cache_is_down = False
        self.effects: list[Effect] = []
        self.hold: tuple[type[Effect], ...] = ()
        self.gate_is_full = False
        self.shared_runs: dict[Hashable, Run] = {}
        self._held: list[tuple[Run, Effect]] = []

    @property
    def urls(self) -> list[str]:
        return [call.url for call in self.calls]

    def asked(self, kind: type[Effect]) -> list[Any]:
        """The effects of one kind."""
        return [effect for effect in self.effects if type(effect) is kind]

    def answer(self, url: str, *answers: Any) -> None:
        self.answers[url] = list(answers)

    def server(self, **options: Any) -> Server:
        """An authorization server with usual options."""
        clock = self.time.clock
        usual: dict[str, Any] = {
            "issuer": ISSUER,
            "client": ClientOptions(),
            "concurrency_limit": ConcurrencyLimit(10),
            "timeout": 5.0,
            "allow_insecure_http": False,
            "backoff": Backoff(clock),
            "clock": clock,
        }
        return Server(**usual | options)

    def run(self, flow: Flow[Any]) -> Any:
        """The result of a flow that does not have to wait."""
        return self.begin(flow).result()

    def begin(self, flow: Flow[Any], *, in_flight: bool = False) -> Run:
        run = Run(self, flow, in_flight=in_flight)
        run.resume(None)
        return run

    def release(self) -> None:
        """Perform the effect that has been waiting longest."""
        run, effect = self._held.pop(0)
        run.resume(self._caught(self._perform_held, effect))

    def perform(self, effect: Effect, run: Run) -> Any:
        self.effects.append(effect)
        if isinstance(effect, SingleFlight):
            return self._wait(effect, run)
        if isinstance(effect, StartBackground):
            self._join(effect.single_flight)
            return None
        if isinstance(effect, Compute):
            return self._caught(lambda effect: effect.function(), effect)
        if not isinstance(effect, OutboundRequest | CacheRead | CacheWrite | CacheDelete):
            assert not run.in_flight, "database reads and site code must run in a request"
            return self._caught(perform, effect)
        assert run.in_flight, "only a single flight may send requests or use the cache"
        is_sent = not self.gate_is_full
        if isinstance(effect, OutboundRequest) and is_sent:
            refusal = self._caught(self._send, effect)
            if refusal is not None:
                return refusal
        if isinstance(effect, self.hold) or (isinstance(effect, OutboundRequest) and not is_sent):
            self._held.append((run, effect))
            return _WAITING
        return self._caught(self._finish, effect)

    def _caught(self, function: Callable[[Any], Any], effect: Any) -> Any:
        try:
            return function(effect)
        except Exception as error:
            return error

    def _perform_held(self, effect: Any) -> Any:
        if isinstance(effect, OutboundRequest) and not any(effect is call for call in self.calls):
            self._send(effect)
        return self._finish(effect)

    def _send(self, call: OutboundRequest) -> None:
        call.ready()
        self.calls.append(call)

    def _finish(self, effect: Any) -> Any:
        if isinstance(effect, OutboundRequest):
            answers = self.answers[effect.url]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, OutboundResponse)
            return answer
        if self.cache_is_down:
            return None
        place = (effect.alias, effect.key)
        if isinstance(effect, CacheRead):
            return self.cache.get(place)
        if isinstance(effect, CacheWrite):
            self.cache[place] = effect.text
        else:
            self.cache.pop(place, None)
        return None

    def _wait(self, single_flight: SingleFlight, run: Run) -> Any:
        shared_run = self._join(single_flight)
        if shared_run.is_done:
            return shared_run.reply()
        shared_run.waiters.append(run)
        return _WAITING

    def _join(self, single_flight: SingleFlight) -> Run:
        shared_run = self.shared_runs.get(single_flight.key)
        if shared_run is None:
            shared_run = self.shared_runs[single_flight.key] = Run(self, single_flight.flow(), in_flight=True)
            shared_run.when_done = lambda: self.shared_runs.pop(single_flight.key)  # type: ignore[return-value]
            shared_run.resume(None)
        return shared_run


def ok(document: Any, media_type: str = "application/json") -> OutboundResponse:
    """A response with ``document`` as JSON, or with the given bytes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return OutboundResponse(200, media_type, Secret(body))


def status(code: int, retry_after: str | None = None) -> OutboundResponse:
    """A response with another status than 200."""
    return OutboundResponse(code, "text/html", Secret(b""), retry_after)


DOWN = RequestFailedError(Reason.SERVER_UNREACHABLE, "ConnectError")
"""Instead of a response: the server is unreachable."""


class SigningKey:
    """A key of an authorization server. ``jwk`` is its public half."""

    def __init__(self, kid: str | None) -> None:
        named = {} if kid is None else {"kid": kid}
        key = ECKey.generate_key("P-256")
        self._private = import_signing_key(Secret({**key.as_dict(private=True), **named}))
        # Without the thumbprint that joserfc adds as kid.
        self.jwk = {**{name: value for name, value in key.as_dict(private=False).items() if name != "kid"}, **named}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> Secret[str]:
        return Secret(sign_jwt(claims, self._private, header))


KEYCLOAK: dict[str, Any] = {
    "azp": "app",
    "acr": "1",
    "session_state": "8a1f0c8e-8f5c-4d5e-9f0a-0d4b5b6c7d8e",
    "allowed-origins": ["https://app.example.com", "https://www.example.com"],
    "realm_access": {"roles": ["default-roles-main", "offline_access", "uma_authorization"]},
    "resource_access": {
        "account": {"roles": ["manage-account", "manage-account-links", "view-profile"]},
        "api": {"roles": ["reader", "writer"]},
    },
    "email": "alice@example.com",
    "email_verified": True,
    "name": "Alice Liddell",
    "preferred_username": "alice",
}
"""Claims that Keycloak adds."""

REMEMBERED = 100_000
"""Bytes of a cache that is soon full."""


def traced_size(fill: Callable[[], None], lru: Any) -> int:
    """The bytes that are freed when ``lru`` is cleared after ``fill`` has filled it."""
    tracemalloc.start()
    try:
        fill()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        lru._entries.clear()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return before - after


def key_set(*keys: SigningKey) -> dict[str, Any]:
    return {"keys": [key.jwk for key in keys]}
