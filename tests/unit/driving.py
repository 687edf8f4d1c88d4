"""Flows driven by hand: no database, no thread, no loop, and no server."""

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from django.test import RequestFactory
from joserfc.jwk import ECKey

from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import (
    CacheDelete,
    CacheRead,
    CacheWrite,
    Call,
    CallFailedError,
    ClientOptions,
    Effect,
    Flow,
    Gate,
    HttpAnswer,
    HttpCall,
    Once,
    ReadModel,
    Start,
)
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.authorization import Inquiry
from async_oauth_guard.flows.backoff import Backoff
from async_oauth_guard.flows.clock import Clock
from async_oauth_guard.flows.discovery import Server
from async_oauth_guard.jose import sign_jwt
from async_oauth_guard.requirements import parse_requirements

PERFORM = object()
"""A reply: whatever the effect's own function gives."""


def perform(effect: Effect) -> Any:
    """Do at once what a call or a read asks for."""
    if isinstance(effect, ReadModel):
        return effect.read(effect.instance)
    assert isinstance(effect, Call)
    arguments = [part.reveal() if isinstance(part, Secret) else part for part in effect.arguments]
    return effect.function(*arguments, **(effect.keywords or {}))


def drive(flow: Flow[Any], *replies: Any) -> tuple[Any, list[Effect]]:
    """The flow's result and what it asked for; each effect gets the next of ``replies``, an exception is thrown in."""
    effects: list[Effect] = []
    waiting = list(replies)
    try:
        effect = next(flow)
        while True:
            effects.append(effect)
            assert waiting, f"no reply to {effect}"
            effect = _answer(flow, effect, waiting.pop(0))
    except StopIteration as stop:
        assert not waiting, f"nobody asked for {waiting}"
        return stop.value, effects


def _answer(flow: Flow[Any], effect: Effect, reply: Any) -> Effect:
    if reply is PERFORM:
        try:
            reply = perform(effect)
        except Exception as error:
            reply = error
    return flow.throw(reply) if isinstance(reply, BaseException) else flow.send(reply)


def inquire(
    scopes: Any = None,
    *,
    method: str | None = "GET",
    uri: str | None = None,
    hook_request: Any = None,
    headers: Mapping[str, str] | None = None,
    **requirements: Any,
) -> Inquiry:
    """What a guard asks about a token; ``method=None`` where there is no request."""
    request = None if method is None else RequestFactory().generic(method, "/", headers=dict(headers or {}))
    return Inquiry(
        requirements=parse_requirements(scopes, **requirements),
        request=request,
        hook_request=lambda: hook_request,
        uri=lambda: uri,
    )


class Time:
    """A clock that a test moves. Half a chance is no jitter."""

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
    """A flow under way. ``in_flight`` is one on the loop for what goes out."""

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
        """What one of those who wait for it gets: an exception of their own."""
        if isinstance(self._error, TemporarilyUnavailableError):
            return self._error.again()
        return self._value if self._error is None else self._error

    def result(self) -> Any:
        assert self.is_done, "it still waits"
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        """As a driver does when the request is cancelled."""
        self._flow.close()
        for run in self._world.flights.values():
            run.waiters = [waiter for waiter in run.waiters if waiter is not self]


class World:
    """Servers, a shared cache and the loop for what goes out: performs at once what flows of remote tokens ask for.

    Attributes:
        answers: what a URL answers, one for each call: the last one stays. An exception is an exchange that failed.
        calls: the calls that were sent.
        cache: what the shared cache holds, by alias and key.
        effects: all that was asked for.
        hold: effects of these kinds wait until `release` performs the first of them. A call was sent by then.
        gate_is_full: calls wait before they are sent.
    """

    def __init__(self) -> None:
        self.time = Time()
        self.answers: dict[str, list[Any]] = {}
        self.calls: list[HttpCall] = []
        self.cache: dict[tuple[str, str], Any] = {}
        self.cache_is_down = False
        self.effects: list[Effect] = []
        self.hold: tuple[type[Effect], ...] = ()
        self.gate_is_full = False
        self.flights: dict[Hashable, Run] = {}
        self._held: list[tuple[Run, Effect]] = []

    @property
    def urls(self) -> list[str]:
        return [call.url for call in self.calls]

    def asked(self, kind: type[Effect]) -> list[Any]:
        """The effects of one kind that were asked for."""
        return [effect for effect in self.effects if type(effect) is kind]

    def answer(self, url: str, *answers: Any) -> None:
        self.answers[url] = list(answers)

    def server(self, **options: Any) -> Server:
        """An authorization server as flows know it."""
        clock = self.time.clock
        usual: dict[str, Any] = {
            "issuer": ISSUER,
            "client": ClientOptions(),
            "gate": Gate(10),
            "timeout": 5.0,
            "allow_insecure_http": False,
            "backoff": Backoff(clock),
            "clock": clock,
        }
        return Server(**usual | options)

    def run(self, flow: Flow[Any]) -> Any:
        """The result of a flow that waits for nothing."""
        return self.begin(flow).result()

    def begin(self, flow: Flow[Any], *, in_flight: bool = False) -> Run:
        run = Run(self, flow, in_flight=in_flight)
        run.resume(None)
        return run

    def release(self) -> None:
        """Perform the effect that has waited longest."""
        run, effect = self._held.pop(0)
        run.resume(self._caught(self._perform_held, effect))

    def perform(self, effect: Effect, run: Run) -> Any:
        self.effects.append(effect)
        if isinstance(effect, Once):
            return self._wait(effect, run)
        if isinstance(effect, Start):
            self._join(effect.once)
            return None
        if not isinstance(effect, HttpCall | CacheRead | CacheWrite | CacheDelete):
            assert not run.in_flight, "rows and users' code belong to a request"
            return self._caught(perform, effect)
        assert run.in_flight, "only a flight goes out"
        is_sent = not self.gate_is_full
        if isinstance(effect, HttpCall) and is_sent:
            refusal = self._caught(self._send, effect)
            if refusal is not None:
                return refusal
        if isinstance(effect, self.hold) or (isinstance(effect, HttpCall) and not is_sent):
            self._held.append((run, effect))
            return _WAITING
        return self._caught(self._finish, effect)

    def _caught(self, function: Callable[[Any], Any], effect: Any) -> Any:
        try:
            return function(effect)
        except Exception as error:
            return error

    def _perform_held(self, effect: Any) -> Any:
        if isinstance(effect, HttpCall) and not any(effect is call for call in self.calls):
            self._send(effect)
        return self._finish(effect)

    def _send(self, call: HttpCall) -> None:
        call.ready()
        self.calls.append(call)

    def _finish(self, effect: Any) -> Any:
        if isinstance(effect, HttpCall):
            answers = self.answers[effect.url]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, HttpAnswer)
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

    def _wait(self, once: Once, run: Run) -> Any:
        flight = self._join(once)
        if flight.is_done:
            return flight.reply()
        flight.waiters.append(run)
        return _WAITING

    def _join(self, once: Once) -> Run:
        flight = self.flights.get(once.key)
        if flight is None:
            flight = self.flights[once.key] = Run(self, once.flow(), in_flight=True)
            flight.when_done = lambda: self.flights.pop(once.key)  # type: ignore[return-value]
            flight.resume(None)
        return flight


def ok(document: Any, media_type: str = "application/json") -> HttpAnswer:
    """An answer with ``document`` as JSON, or with the bytes that are given."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpAnswer(200, media_type, Secret(body))


def status(code: int, retry_after: str | None = None) -> HttpAnswer:
    """An answer that is no 200."""
    return HttpAnswer(code, "text/html", Secret(b""), retry_after)


DOWN = CallFailedError(Reason.SERVER_UNREACHABLE, "ConnectError")
"""In place of an answer: the server cannot be reached."""


class SigningKey:
    """A key of an authorization server's. ``jwk`` is its public half."""

    def __init__(self, kid: str | None) -> None:
        named = {} if kid is None else {"kid": kid}
        key = ECKey.generate_key("P-256")
        self._private = Secret({**key.as_dict(private=True), **named})
        # Without the thumbprint that joserfc takes for a kid.
        self.jwk = {**{name: value for name, value in key.as_dict(private=False).items() if name != "kid"}, **named}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> Secret[str]:
        return Secret(sign_jwt(claims, self._private, "ES256", header))


def key_set(*keys: SigningKey) -> dict[str, Any]:
    return {"keys": [key.jwk for key in keys]}
