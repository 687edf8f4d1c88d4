"""An error in a hook, check or receiver is an intended answer, an outage or a bug. It never lets a request in."""

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750
from django.db import InterfaceError, OperationalError
from django.dispatch import Signal
from django.http import HttpResponse
from django.test import RequestFactory

from async_oauth_guard import (
    BearerTokenValidator,
    GuardError,
    InvalidTokenError,
    ResourceProtector,
    render_problem,
    token_authenticated,
    token_rejected,
)
from tests.answers import Answer, bearer
from tests.conftest import Committed, Send
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD = "token-for-hook-errors"
PATIENCE = 20

sync_and_async = pytest.mark.parametrize("mode", MODES)
sync_and_async_hooks = pytest.mark.parametrize("hook_mode", MODES)


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)


class Failing(BearerTokenValidator):
    """Raises in one hook, sync or async, as long as ``make`` is set."""

    def __init__(self, place: str, hook_mode: str, make: Callable[[], BaseException]) -> None:
        super().__init__(OAuth2Token, "r")
        self.make: Callable[[], BaseException] | None = make
        if hook_mode == "def":
            setattr(self, place, self._fail)
        else:
            setattr(self, place, self._afail)

    def _fail(self, *args: Any, **kwargs: Any) -> Any:
        if self.make:
            raise self.make()
        # Each of the hooks is content with this: the row, no objection, not insufficient.
        return OAuth2Token(access_token=GOOD, scope="profile") if len(args) == 1 and isinstance(args[0], str) else False

    async def _afail(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return self._fail(*args, **kwargs)


HOOKS = ["validate_request", "authenticate_token", "validate_token", "scope_insufficient"]
every_hook = pytest.mark.parametrize("place", HOOKS)


def ask(view: Any, send: Send) -> Answer:
    with serving(view):
        return send("/", bearer(GOOD))


def in_time(view: Any, send: Send) -> Answer:
    """The answer. Without one the test fails, because a request that hangs would make the test hang too."""
    answers: list[Answer] = []
    with serving(view):
        client = threading.Thread(target=lambda: answers.append(send("/", bearer(GOOD))), daemon=True)
        client.start()
        client.join(PATIENCE)
    assert answers, "the request hangs"
    return answers[0]


# Outages.


@sync_and_async
@every_hook
@sync_and_async_hooks
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_outage_in_a_hook(error: type[Exception], hook_mode: str, place: str, mode: str, send: Send) -> None:
    """E21: a hook whose own queries fail could not tell: 503, nobody enters, and the next request is answered again."""
    witness = Witness()
    validator = Failing(place, hook_mode, lambda: error("the database is down"))
    with serving(ResourceProtector(validator)("profile")(witness.view(mode))):
        answer = send("/", bearer(GOOD))
        assert (answer.status, answer.lines("WWW-Authenticate")) == (503, [])
        assert answer.header("Retry-After") == "1"
        assert witness.entered == 0
        validator.make = None
        assert send("/", bearer(GOOD)).status == 200


@sync_and_async
@pytest.mark.parametrize("method", ["is_expired", "is_revoked", "get_scope"])
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_outage_in_a_model(
    error: type[Exception], method: str, mode: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E21: so it is with what a model's methods query."""
    witness = Witness()

    def fail(row: Any) -> Any:
        raise error("the database is down")

    with serving(ResourceProtector(BearerTokenValidator(OAuth2Token))("profile")(witness.view(mode))):
        with monkeypatch.context() as patch:
            patch.setattr(OAuth2Token, method, fail)
            assert send("/", bearer(GOOD)).status == 503
        assert witness.entered == 0
        assert send("/", bearer(GOOD)).status == 200


class Querying(ResourceProtector):
    """Finds tokens by a custom query, which may fail with ``error``."""

    error: type[Exception]

    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        raise self.error("the database is down")


@sync_and_async
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_outage_in_acquire_token(error: type[Exception], mode: str, send: Send) -> None:
    """E21: so it is with what a site's own ``acquire_token`` queries."""
    witness = Witness()
    protector = type("Own", (Querying,), {"error": error})(BearerTokenValidator(OAuth2Token))
    answer = ask(protector(check=lambda request, token: True)(witness.view(mode)), send)
    assert (answer.status, answer.lines("WWW-Authenticate")) == (503, [])
    assert witness.entered == 0


@sync_and_async
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_outage_in_a_check(error: type[Exception], mode: str, send: Send) -> None:
    """R124: a check is the view's own business, as its queries are: what they raise is a 500."""
    witness = Witness()

    def check(request: Any, token: Any) -> bool:
        raise error("the database is down")

    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    assert ask(protector(check=check)(witness.view(mode)), send).status == 500
    assert witness.entered == 0


# ``next()`` of nothing, which no future can hold.


def stop(*args: Any, **kwargs: Any) -> Any:
    return next(iter(()))


@sync_and_async
@every_hook
@sync_and_async_hooks
def test_stop_iteration_in_a_hook(hook_mode: str, place: str, mode: str, send: Send) -> None:
    """R124: ``next()`` of nothing in a hook is a bug of the site's: a 500 in time, and nobody enters."""
    witness = Witness()
    protector = ResourceProtector(Failing(place, hook_mode, StopIteration))
    assert in_time(protector("profile")(witness.view(mode)), send).status == 500
    assert witness.entered == 0


@sync_and_async
def test_stop_iteration_in_a_check(mode: str, send: Send) -> None:
    """R124: so it is in a check."""
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    assert in_time(protector(check=stop)(witness.view(mode)), send).status == 500
    assert witness.entered == 0


@sync_and_async
def test_stop_iteration_in_a_renderer(mode: str, send: Send) -> None:
    """R124: so it is in a renderer of refusals."""
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), render_error=stop)
    assert in_time(protector("email")(witness.view(mode)), send).status == 500
    assert witness.entered == 0


@sync_and_async
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("method", ["is_expired", "is_revoked", "get_scope"])
def test_stop_iteration_in_a_model(
    method: str, blocking: bool, mode: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R124: so it is in a model's methods, where they run on the loop and where they run on a thread."""
    witness = Witness()
    monkeypatch.setattr(OAuth2Token, method, stop)
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token, blocking_methods=blocking))
    assert in_time(protector("profile")(witness.view(mode)), send).status == 500
    assert witness.entered == 0


class Stopping(ResourceProtector):
    def acquire_token(self, *args: Any, **kwargs: Any) -> Any:
        return stop()


@sync_and_async
def test_stop_iteration_in_acquire_token(mode: str, send: Send) -> None:
    """R124: so it is in a site's own ``acquire_token``."""
    witness = Witness()
    protector = Stopping(BearerTokenValidator(OAuth2Token))
    assert in_time(protector(witness.view(mode)), send).status == 500
    assert witness.entered == 0


hangs = pytest.mark.xfail(
    sys.version_info < (3, 13), run=False, reason="Django's asend() gives what a receiver raised to a future as it is"
)


@pytest.mark.parametrize("mode", ["def", pytest.param("async def", marks=hangs)])
@pytest.mark.parametrize("signal", [token_authenticated, token_rejected])
def test_stop_iteration_in_a_receiver(signal: Signal, mode: str, send: Send) -> None:
    """R124: so it is in a receiver of either signal."""
    witness = Witness()
    scopes = "profile" if signal is token_authenticated else "email"
    signal.connect(stop)
    try:
        protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
        assert in_time(protector(scopes)(witness.view(mode)), send).status == 500
    finally:
        signal.disconnect(stop)
    assert witness.entered == 0


# Errors of Authlib's kind, which their author means as answers.


class TooOldError(rfc6750.InvalidTokenError):
    """Of a site's own: a code of Authlib's, a description of the class."""

    description = "This client is too old."


class OwnTooOldError(InvalidTokenError):
    """The same, of the package's class."""

    description = "This client is too old."


class LoginTimeoutError(OAuth2Error):
    """A code of the site's own, with a status that HTTP does not register."""

    error = "login_timeout"
    description = "Log in anew."
    status_code = 498


class UnpaidError(OAuth2Error):
    """A code of the site's own, with the status of a bad token."""

    error = "unpaid"
    status_code = 401


@sync_and_async
@every_hook
@sync_and_async_hooks
def test_problem_of_an_unregistered_status(hook_mode: str, place: str, mode: str, send: Send) -> None:
    """``render_problem`` renders a status that has no phrase: it is the author's, and the title is empty."""
    validator = Failing(place, hook_mode, LoginTimeoutError)
    answer = ask(ResourceProtector(validator, render_error=render_problem)("x")(Witness().view(mode)), send)
    assert answer.status == 498
    assert answer.header("Content-Type") == "application/problem+json"
    problem = answer.json
    assert (problem["status"], problem["title"]) == (498, "")
    assert (problem["error"], problem["detail"]) == ("login_timeout", "Log in anew.")


@sync_and_async
@every_hook
@pytest.mark.parametrize("make", [UnpaidError, lambda: OAuth2Error("No.", error="unpaid", status_code=401)])
def test_own_code_has_a_challenge(make: Any, place: str, mode: str, send: Send) -> None:
    """RFC 9110 §15.5.2: a 401 names a challenge, also where a hook made up its code."""
    answer = ask(ResourceProtector(Failing(place, "def", make))("x")(Witness().view(mode)), send)
    assert (answer.status, answer.json["error"]) == (401, "unpaid")
    (challenge,) = answer.challenges
    assert (challenge.scheme.lower(), challenge.parameters["realm"]) == ("bearer", "r")
    assert challenge.parameters["error"] == "unpaid"


@sync_and_async
@every_hook
@pytest.mark.parametrize("make", [TooOldError, OwnTooOldError])
def test_description_of_a_subclass(make: Any, place: str, mode: str, send: Send) -> None:
    """What an author wrote into their class is what clients read, in the body and in the challenge."""
    answer = ask(ResourceProtector(Failing(place, "def", make))("x")(Witness().view(mode)), send)
    assert (answer.status, answer.json) == (
        401,
        {"error": "invalid_token", "error_description": "This client is too old."},
    )
    assert answer.challenges[0].parameters["error_description"] == "This client is too old."


URI = "https://docs.example/errors"
KEPT: dict[str, Callable[[], OAuth2Error]] = {
    "Authlib's": lambda: rfc6750.InvalidTokenError("Too old.", uri=URI, status_code=419),
    "of a made-up code": lambda: OAuth2Error("Too old.", uri=URI, status_code=419, error="too_old"),
    "Authlib's, of a request": lambda: rfc6749.InvalidRequestError("Too old.", uri=URI, status_code=419),
}


def of_this_package() -> OAuth2Error:
    return InvalidTokenError("Too old.", uri=URI, status_code=419)


@sync_and_async
@every_hook
@pytest.mark.parametrize(
    ("make", "compat"),
    [
        *(
            pytest.param(make, compat, id=f"{name} {compat}")
            for name, make in KEPT.items()
            for compat in (None, "authlib")
        ),
        pytest.param(of_this_package, None, id="ours None"),
        pytest.param(of_this_package, "authlib", id="ours authlib"),
    ],
)
def test_values_of_an_error_are_kept(
    make: Callable[[], OAuth2Error], compat: Any, place: str, mode: str, send: Send
) -> None:
    """Description, URI and status are what the hook's author gave the error, in either mode."""
    answer = ask(ResourceProtector(Failing(place, "def", make), compat=compat)("x")(Witness().view(mode)), send)
    assert answer.status == 419
    assert answer.json == {"error": make().error, "error_description": "Too old.", "error_uri": URI}


@sync_and_async
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_renderers_see_the_values(compat: Any, mode: str, send: Send) -> None:
    """A renderer of the site's is given an error with these values too."""
    seen: list[Any] = []

    def render(request: Any, error: GuardError) -> HttpResponse:
        seen.append((error.error, error.description, error.uri, error.status_code))
        return HttpResponse(status=error.status_code)

    for make in KEPT.values():
        protector = ResourceProtector(Failing("validate_token", "def", make), compat=compat, render_error=render)
        assert ask(protector(Witness().view(mode)), send).status == 419
    assert seen == [(make().error, "Too old.", URI, 419) for make in KEPT.values()]


METHODS: dict[str, Callable[[ResourceProtector], Any]] = {
    "acquire_token": lambda protector: protector.acquire_token(a_request(), "x"),
    "aacquire_token": lambda protector: async_to_sync(protector.aacquire_token)(a_request(), "x"),
    "validate_token": lambda protector: protector.validate_token(GOOD, "x"),
    "avalidate_token": lambda protector: async_to_sync(protector.avalidate_token)(GOOD, "x"),
}


def a_request() -> Any:
    return RequestFactory().get("/", headers={"Authorization": f"Bearer {GOOD}"})


@every_hook
@sync_and_async_hooks
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("compat", [None, "authlib"])
@pytest.mark.parametrize("cls", [TooOldError, OwnTooOldError, LoginTimeoutError, UnpaidError])
def test_except_clauses_of_the_site(
    cls: type[OAuth2Error], compat: Any, method: Any, hook_mode: str, place: str
) -> None:
    """Around a direct call, ``except`` with the class that the hook raised catches that same error, in either mode."""
    raised: list[OAuth2Error] = []

    def make() -> OAuth2Error:
        raised.append(cls())
        return raised[-1]

    protector = ResourceProtector(Failing(place, hook_mode, make), compat=compat)
    with pytest.raises(cls) as caught:
        method(protector)
    assert caught.value is raised[-1]


# Receivers that refuse.


def refuse(*args: Any, **kwargs: Any) -> None:
    raise rfc6750.InvalidTokenError("Not today.")


async def arefuse(*args: Any, **kwargs: Any) -> None:
    await asyncio.sleep(0)
    refuse()


@sync_and_async
@pytest.mark.parametrize("receiver", [refuse, arefuse])
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_receiver_that_refuses(compat: Any, receiver: Any, mode: str, send: Send) -> None:
    """As with Authlib, a receiver of ``token_authenticated`` may refuse: 401 with a challenge, and nobody enters."""
    witness = Witness()
    rejected: list[Any] = []

    def note(sender: Any, error: Any, **kwargs: Any) -> None:
        rejected.append(error.error)

    token_authenticated.connect(receiver)
    token_rejected.connect(note)
    try:
        protector = ResourceProtector(BearerTokenValidator(OAuth2Token), compat=compat)
        answer = ask(protector(witness.view(mode)), send)
    finally:
        token_authenticated.disconnect(receiver)
        token_rejected.disconnect(note)
    assert (answer.status, answer.json["error_description"]) == (401, "Not today.")
    assert answer.challenges[0].parameters["error"] == "invalid_token"
    assert witness.entered == 0
    assert rejected == ["invalid_token"]
