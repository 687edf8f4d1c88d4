"""A guard with a memo answers as one without, whatever happens between the requests."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory, override_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from async_oauth_guard import (
    IntrospectTokenValidator,
    InvalidTokenError,
    JWTBearerTokenValidator,
    ResourceProtector,
    token_authenticated,
)
from async_oauth_guard.guard.decorators import guard_view
from async_oauth_guard.guard.handover import presented_by
from async_oauth_guard.runtime.run import run
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from async_oauth_guard.validators.audience_option import FROM_PROTECTOR
from async_oauth_guard.validators.clock import CLOCK

API, OTHER_API = "https://api.example.test", "https://other.example.test"
SCOPES: Mapping[str, Any] = {"any": None, "a": "a", "by method": {"GET": "a", "POST": ["b", "c"]}}
METHODS = ("GET", "POST", "PUT")
KINDS = st.sampled_from(["jwt", "opaque"])


def answer(request: HttpRequest) -> JsonResponse:
    """Shows all that a view gets, and spoils it."""
    token: Any = request.oauth_token  # type: ignore[attr-defined]
    state: Any = request._oauth_token_state  # type: ignore[attr-defined]
    known = {name: getattr(token, name) for name in ("client_id", "audience", "expires_at", "token_type", "issuer")}
    user = [str(getattr(request, "user", None)), str(token.user), str(state.user)]
    shown = {
        "claims": dict(token),
        "header": dict(token.header),
        "scopes": sorted(token.scopes),
        "state": [state.reason, state.scope, dict(state.attributes)],
        "audiences": list(token._audiences),
        **known,
    }
    response = JsonResponse({**shown, "user": user})
    for container in (token, token.header):
        for part in [*container.values()]:
            if isinstance(part, list):
                part.append("spoilt")
        container["spoilt"] = True
    token.user = token._scope = state.scope = "spoilt"
    return response


def view(request: HttpRequest) -> HttpResponse:
    return answer(request)


async def async_view(request: HttpRequest) -> HttpResponse:
    return answer(request)


class Pair:
    """The same guard with and without its memo, for a sync and an async view."""

    def __init__(self, protector: ResourceProtector, scopes: Any, runner: asyncio.Runner) -> None:
        def on_loop(view: Callable[..., Any]) -> Callable[..., Any]:
            # One loop for all requests: a thread for each, as `async_to_sync` starts, takes longer than the request.
            # The context is the caller's, because that of the runner is from when it was made.
            return lambda request: runner.run(view(request), context=copy_context())

        guarded = protector(scopes)(view)
        guard = guarded._oauth_guard
        self.memo = guard.memo
        plain = replace(guard, memo=None)
        self.views: Mapping[bool, tuple[Callable[..., Any], Callable[..., Any]]] = {
            False: (guarded, guard_view(view, plain)),
            True: (on_loop(guard_view(async_view, guard)), on_loop(guard_view(async_view, plain))),
        }


def result_of(view: Callable[..., Any], method: str, header: str) -> Any:
    request = RequestFactory().generic(method, "/", headers={"Authorization": header})
    response = view(request)
    return response.status_code, dict(response.headers), response.content


def refuse(*arguments: Any, **keywords: Any) -> None:
    raise InvalidTokenError


def is_unrecognised(*arguments: Any) -> bool:
    return False


def is_insufficient(*arguments: Any) -> bool:
    return True


class Requests(RuleBasedStateMachine):
    """Issues tokens, sends requests, and changes everything that a result depends on."""

    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.server = FakeAuthorizationServer(clients={"api": "secret"}, algorithm="ES256")
        # Only the machine moves the time, so that none passes between two answers that are compared.
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(CLOCK, "wall", lambda: 1_800_000_000.0)
        self.patch.setattr(CLOCK, "steady", lambda: 5_000.0)
        self.server.__enter__()
        self.runner = asyncio.Runner()
        self.recent: deque[tuple[str, str, str]] = deque(maxlen=2)
        self.expiries: dict[str, float] = {}
        self.is_async = False

    @initialize(target=tokens)
    def build(self) -> Any:
        issuer, secret = self.server.issuer, "secret"
        self.jwts = JWTBearerTokenValidator(issuer, jwks_ttl=100, cooldown=5)
        self.opaques = IntrospectTokenValidator(
            issuer=issuer, client_id="api", client_secret=secret, cache_ttl=60, negative_ttl=5, stale_if_error=60
        )
        self.validators: dict[str, Any] = {"jwt": self.jwts, "opaque": self.opaques}
        self.protectors = {kind: ResourceProtector(self.validators[kind], resource=API) for kind in self.validators}
        self.pairs = {
            (kind, name): Pair(protector, scopes, self.runner)
            for kind, protector in self.protectors.items()
            for name, scopes in SCOPES.items()
        }
        return multiple(*(self.issue(kind, "a b", API, 3600, {}) for kind in self.validators))

    def teardown(self) -> None:
        token_authenticated.disconnect(refuse)
        self.runner.close()
        self.server.__exit__(None, None, None)
        self.patch.undo()

    # --- tokens and requests ---

    @rule(
        target=tokens,
        kind=KINDS,
        scopes=st.sampled_from(["a b", "a", "b c"]),
        audience=st.sampled_from([API, [API], API, [API, OTHER_API], OTHER_API]),
        expires_in=st.sampled_from([3600, 50, 20]),
        claims=st.sampled_from([{}, {"nbf": 30}, {"iat": 90}, {"roles": ["r"]}]),
    )
    def issue(self, kind: str, scopes: str, audience: Any, expires_in: float, claims: Any) -> tuple[str, str]:
        make, now = self.server.jwt if kind == "jwt" else self.server.opaque, CLOCK.wall()
        times = {name: now + value if name in ("nbf", "iat") else value for name, value in claims.items()}
        token = kind, make(scopes, audience=audience, expires_in=expires_in, claims=times)
        self.expiries[token[1]] = now + expires_in
        self.recent.append((*token, "Bearer "))
        return token

    @rule(presented=tokens, scheme=st.sampled_from(["Bearer ", "bearer ", "Bearer  "]))
    def present(self, presented: tuple[str, str], scheme: str) -> None:
        self.recent.append((*presented, scheme))

    @invariant()
    def answers_are_equal(self) -> None:
        """Recent tokens get the same answers with and without the memo, also when they are presented again."""
        self.is_async = not self.is_async
        for kind, token, scheme in [*self.recent]:
            for scopes, method in product(SCOPES, METHODS):
                self.settle()
                remembering, plain = self.pairs[kind, scopes].views[self.is_async]
                actual, expected = (
                    result_of(remembering, method, scheme + token),
                    result_of(plain, method, scheme + token),
                )
                assert actual == expected, f"{scopes}, async: {self.is_async}"

    def answers_stay_equal(self) -> None:
        """The same, often enough for a new plan to be made, and results to be remembered with it."""
        for _ in range(2):
            self.answers_are_equal()

    def settle(self) -> None:
        """Let a due refresh of the keys end. It begins with a request, and ends at any time."""
        keys = self.jwts._own_keys
        if keys._current is None or CLOCK.steady() < keys._current.due_at or not keys._may_attempt(CLOCK.steady()):
            return
        run(keys.is_current_flow("any", None))
        deadline = time.monotonic() + 10
        while keys._is_attempting or CLOCK.steady() >= keys._current.due_at:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    # --- changes ---

    @rule(seconds=st.sampled_from([4, 10, 31, 70, 300]))
    def wait(self, seconds: float) -> None:
        self.server.clock.move(seconds)

    @rule(presented=tokens)
    def wait_for_expiry(self, presented: tuple[str, str]) -> None:
        """Move the clock to just before and just after a token expires, with and without leeway."""
        self.present(presented, "Bearer ")
        for seconds in (-1, 1, 9, 11):
            left = self.expiries[presented[1]] + seconds - CLOCK.wall()
            if 0 < left < 300:
                self.answers_are_equal()
                self.server.clock.move(left)

    @rule(presented=tokens)
    def rotate(self, presented: tuple[str, str]) -> None:
        """The old key leaves the set, which is fetched again when it is due."""
        self.present(presented, "Bearer ")
        self.answers_stay_equal()
        self.server.rotate(keep_old=False)
        self.server.clock.move(90)

    @rule(presented=tokens)
    def invalidate(self, presented: tuple[str, str]) -> None:
        """Revoke a token, and tell the guards."""
        kind, token = presented
        self.present(presented, "Bearer ")
        self.answers_stay_equal()
        if self.server.introspect(token)["active"]:
            self.server.revoke(token)
        self.protectors[kind].invalidate(token)

    @rule(presented=tokens)
    def revoke(self, presented: tuple[str, str]) -> None:
        """Revoke a token. The guards notice it when the introspection result is too old."""
        self.present(presented, "Bearer ")
        self.answers_stay_equal()
        if self.server.introspect(presented[1])["active"]:
            self.server.revoke(presented[1])
        self.server.clock.move(61)

    @rule(presented=tokens)
    def revoke_and_notice(self, presented: tuple[str, str]) -> None:
        """Revoke a token, which a view notices at once that requires a fresh result."""
        kind, token = presented
        self.present(presented, "Bearer ")
        self.answers_stay_equal()
        if self.server.introspect(token)["active"]:
            self.server.revoke(token)
        result_of(self.protectors[kind](None, fresh=True)(view), "GET", f"Bearer {token}")

    @rule(kind=KINDS, resource=st.sampled_from([API, API, OTHER_API]))
    def change_resource(self, kind: str, resource: str) -> None:
        protector = self.protectors[kind]
        protector._options = replace(protector.options, resource=resource)

    @rule(kind=KINDS, audience=st.sampled_from([FROM_PROTECTOR, FROM_PROTECTOR, (API,), (OTHER_API,), None]))
    def change_audience(self, kind: str, audience: Any) -> None:
        self.validators[kind].audience = audience

    @rule(kind=KINDS, change=st.sampled_from([{"compat": "authlib"}, {"set_user": True}, {"realm": "r"}]))
    def change_options_for_a_while(self, kind: str, change: Any) -> None:
        protector = self.protectors[kind]
        earlier = protector.options
        protector._options = replace(earlier, **change)
        self.answers_stay_equal()
        protector._options = earlier

    @rule()
    def change_secret_key_for_a_while(self) -> None:
        with override_settings(SECRET_KEY="another"):
            self.answers_stay_equal()

    @rule(kind=KINDS, name=st.sampled_from(["user_lookup", "validate_token", "scope_insufficient", "validate_request"]))
    def put_into_validator_for_a_while(self, kind: str, name: str) -> None:
        attributes = vars(self.validators[kind])
        earlier = {name: attributes[name]} if name in attributes else {}
        attributes[name] = refuse if name != "scope_insufficient" else is_insufficient
        self.answers_stay_equal()
        del attributes[name]
        attributes.update(earlier)

    @rule(name=st.sampled_from(["get_jwks", "recognises", "validate_token"]))
    def put_into_class_for_a_while(self, name: str) -> None:
        method = is_unrecognised if name == "recognises" else refuse
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(JWTBearerTokenValidator, name, method)
            self.answers_stay_equal()

    @rule(acquire=st.sampled_from([None, lambda request, scopes=None: None]))
    def put_into_protector_for_a_while(self, acquire: Any) -> None:
        self.protectors["jwt"].acquire_token = acquire or refuse  # type: ignore[method-assign]
        self.answers_stay_equal()
        del self.protectors["jwt"].acquire_token

    @rule()
    def connect_receiver_for_a_while(self) -> None:
        token_authenticated.connect(refuse)
        self.answers_stay_equal()
        token_authenticated.disconnect(refuse)

    @rule(kind=KINDS)
    def override_for_a_while(self, kind: str) -> None:
        with override_oauth(error="revoked"):
            self.answers_stay_equal()

    @rule(kind=KINDS)
    def forget(self, kind: str) -> None:
        self.validators[kind].reset_for_tests()


# `test_each_change` makes each change in every run.
RequestsTest = pytest.mark.slow(Requests.TestCase)
# How long an example takes says nothing: it sends some hundreds of requests.
RequestsTest.settings = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


Step = Callable[[Requests, tuple[str, str]], None]
CHANGES: Mapping[str, Step] = {
    "time": lambda machine, token: machine.wait_for_expiry(token),
    "keys": lambda machine, token: machine.rotate(token),
    "invalidation": lambda machine, token: machine.invalidate(token),
    "revocation": lambda machine, token: machine.revoke(token),
    "newer result": lambda machine, token: machine.revoke_and_notice(token),
    "resource": lambda machine, token: machine.change_resource(token[0], OTHER_API),
    "audience": lambda machine, token: machine.change_audience(token[0], (OTHER_API,)),
    "compat": lambda machine, token: machine.change_options_for_a_while(token[0], {"compat": "authlib"}),
    "set_user": lambda machine, token: machine.change_options_for_a_while(token[0], {"set_user": True}),
    "user_lookup": lambda machine, token: machine.put_into_validator_for_a_while(token[0], "user_lookup"),
    "hook of the object": lambda machine, token: machine.put_into_validator_for_a_while(token[0], "validate_token"),
    "hook of the class": lambda machine, token: machine.put_into_class_for_a_while("validate_token"),
    "method of the protector": lambda machine, token: machine.put_into_protector_for_a_while(None),
    "receiver": lambda machine, token: machine.connect_receiver_for_a_while(),
    "override": lambda machine, token: machine.override_for_a_while(token[0]),
    "secret key": lambda machine, token: machine.change_secret_key_for_a_while(),
    "reset": lambda machine, token: machine.forget(token[0]),
}


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
@pytest.mark.parametrize("change", CHANGES)
def test_each_change(kind: str, change: str) -> None:
    """A token that the memo lets in gets the answer of the flow after each single change."""
    machine = Requests()
    machine.build()
    try:
        machine.recent.clear()  # of the tokens that the machine issued for itself: a change is tested with one
        token = machine.issue(kind, "a", [API], 280, {})
        machine.answers_stay_equal()
        machine.answers_stay_equal()
        for scopes, pair in machine.pairs.items():
            plan = pair.memo._plan
            request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token[1]}"})
            assert scopes[0] != kind or plan.recall(request, presented_by(request)) is not None
        CHANGES[change](machine, token)
        machine.answers_stay_equal()
    finally:
        machine.teardown()
