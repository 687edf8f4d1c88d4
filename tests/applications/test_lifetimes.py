"""How long a connection to a guarded application may last."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest

from async_oauth_guard import (
    BearerTokenValidator,
    MutualTLS,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
    TokenValidator,
)
from async_oauth_guard.guard import application_guard
from async_oauth_guard.guard.asgi.lifetime import Lifetime
from async_oauth_guard.testing import FakeAuthorizationServer
from async_oauth_guard.validators.clock import CLOCK
from tests import asgi
from tests.answers import bearer
from tests.applications.test_http import App
from tests.certificates import der
from tests.conftest import Committed
from tests.kit.guarded_sites import introspecting, verifying
from tests.proofs import dpop, make_proof, thumbprint
from tests.site.models import OAuth2Token
from tests.test_certificates_over_http import BOUND

pytestmark = pytest.mark.django_db

NOW = int(time.time())
END = NOW + 600


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    committed.token(access_token="ending", expires_at=END)


class Recorder:
    """Calls the application, and then what happens while its connection is open."""

    def __init__(self) -> None:
        self.lifetimes: list[Lifetime] = []
        self.later: Callable[[], None] = lambda: None
        self.results: list[Any] = []

    async def __call__(self, app: Any, scope: Any, receive: Any, send: Any, lifetime: Lifetime) -> None:
        self.lifetimes.append(lifetime)
        await app(scope, receive, send)
        if lifetime.recheck is not None:
            self.later()
            try:
                self.results.append(await lifetime.still_valid())
            except TemporarilyUnavailableError as error:
                self.results.append(error.reason)

    @property
    def lifetime(self) -> Lifetime:
        (lifetime,) = self.lifetimes
        return lifetime


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(application_guard, "run_until_expiry", recorder)
    return recorder


class Own(TokenValidator):
    """The site's own source: its token may change, and be away."""

    def __init__(self, **token: Any) -> None:
        super().__init__()
        self.token: Any = SimpleNamespace(
            **{
                "is_expired": lambda: False,
                "is_revoked": lambda: False,
                "get_scope": lambda: "profile",
                "cnf": None,
                "user": None,
                **token,
            }
        )

    def authenticate_token(self, token_string: str) -> Any:
        if isinstance(self.token, Exception):
            raise self.token
        return self.token


class OwnProtector(ResourceProtector):
    """Calls ours."""

    def acquire_token(self, request: Any, scopes: Any = None, *, fresh: bool = False, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, fresh=fresh, **requirements)


class CachingProtector(ResourceProtector):
    """Calls ours, and loses ``fresh``."""

    def acquire_token(self, request: Any, scopes: Any = None) -> Any:
        return super().acquire_token(request, scopes)


def serve(protector: ResourceProtector, headers: Any = None, **options: Any) -> None:
    answer = asgi.send("/", bearer("x") if headers is None else headers, application=protector.asgi(App(), **options))
    assert answer.status == 200


ENDS: dict[str, tuple[Any, float | None]] = {
    "none": ({}, None),
    "timestamp": ({"expires_at": END}, END),
    "time": ({"expires": datetime.fromtimestamp(END, UTC)}, END),
    "method": ({"get_expires_at": lambda: END}, END),
    "no number": ({"expires_at": True}, None),
    "let in after its end": ({"expires_at": NOW - 5}, None),
}


@pytest.mark.parametrize(("token", "end"), ENDS.values(), ids=ENDS)
def test_end(token: Any, end: float | None, recorder: Recorder) -> None:
    """A connection ends with its token, if that is known."""
    serve(ResourceProtector(Own(**token)))
    lifetime = recorder.lifetime
    assert lifetime.expires_at == end
    assert (lifetime.recheck, lifetime.close_code) == (None, 3000)
    assert lifetime.clock() == pytest.approx(CLOCK.wall(), abs=60)


def test_end_of_a_row(recorder: Recorder) -> None:
    """A row may say when its token expires."""
    serve(ResourceProtector(BearerTokenValidator(OAuth2Token)), bearer("ending"))
    assert recorder.lifetime.expires_at == END


@pytest.mark.parametrize("protector", [ResourceProtector, OwnProtector])
@pytest.mark.parametrize(("expires_in", "end"), [(600, 600), (-5, 25)])
def test_end_of_a_jwt(
    expires_in: int, end: int, protector: Any, recorder: Recorder, authority: FakeAuthorizationServer
) -> None:
    """A JWT that was presented within its leeway lasts until the end of that."""
    token = authority.jwt("profile", expires_in=expires_in)
    for _ in range(3):
        serve(protector(verifying(leeway=30)), bearer(token))
        assert recorder.lifetimes.pop().expires_at == pytest.approx(time.time() + end, abs=20)


def test_options(recorder: Recorder) -> None:
    """The options say whether connections end, and how."""
    protector = ResourceProtector(Own(expires_at=END))
    serve(protector, [], optional=True)
    assert recorder.lifetimes == []
    serve(protector, until_expiry=False)
    assert recorder.lifetimes.pop().is_endless
    serve(protector, until_expiry=False, recheck=5, close_code=4001)
    lifetime = recorder.lifetime
    assert (lifetime.expires_at, lifetime.recheck, lifetime.close_code) == (None, 5, 4001)


RECHECKS: dict[str, tuple[dict[str, Any], Any]] = {
    "valid": ({}, True),
    "revoked": (
        {"token": SimpleNamespace(is_revoked=lambda: True, is_expired=lambda: False, get_scope=lambda: "")},
        False,
    ),
    "unknown": ({"token": None}, False),
    "outage": ({"token": OperationalError()}, Reason.DATABASE_UNAVAILABLE),
    "refused by Django's exception": ({"token": PermissionDenied()}, False),
}


@pytest.mark.parametrize(("change", "result"), RECHECKS.values(), ids=RECHECKS)
def test_recheck(change: dict[str, Any], result: Any, recorder: Recorder, reasons: list[Any]) -> None:
    """A recheck validates the token anew. An outage decides nothing."""
    validator = Own()
    recorder.later = lambda: vars(validator).update(change)
    serve(ResourceProtector(validator), recheck=5)
    assert recorder.results == [result]


def test_recheck_of_requirements(recorder: Recorder) -> None:
    """The requirements are checked again."""
    answers = [True, False]
    serve(ResourceProtector(Own()), check=lambda request, token: answers.pop(0), recheck=5)
    assert recorder.results == [False]


@pytest.mark.parametrize("protector", [ResourceProtector, OwnProtector])
@pytest.mark.parametrize("fresh", [False, True])
def test_recheck_uses_no_cached_result(
    fresh: bool, protector: Any, recorder: Recorder, authority: FakeAuthorizationServer
) -> None:
    """The server is asked again, whether or not it was asked for the request itself."""
    token = authority.opaque("profile")
    recorder.later = lambda: authority.revoke(token)
    serve(protector(introspecting()), bearer(token), fresh=fresh, recheck=5)
    assert recorder.results == [False]


def test_recheck_that_would_use_cached_results(recorder: Recorder) -> None:
    """An overridden method that cannot be told to use none is an error, as with ``fresh=True``."""
    with pytest.raises(TypeError, match="must name the keyword fresh"):
        CachingProtector(introspecting()).asgi(App(), recheck=5)
    serve(CachingProtector(Own()))


def test_recheck_of_what_the_client_sent(recorder: Recorder, authority: FakeAuthorizationServer) -> None:
    """An application that replaces the token in its scope, as a proxy does, does not replace what is rechecked."""
    token, another = authority.opaque("profile"), authority.opaque("profile")
    recorder.later = lambda: authority.revoke(token)

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"][:] = bearer(another)
        await App()(scope, receive, send)

    application = ResourceProtector(introspecting()).asgi(proxy, recheck=5)
    assert asgi.send("/", bearer(token), application=application).status == 200
    assert recorder.results == [False]


@pytest.mark.parametrize("protector", [ResourceProtector, OwnProtector])
def test_recheck_without_the_proof(
    protector: Any, recorder: Recorder, authority: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is not checked again: by then it is too old."""
    token = authority.jwt("profile", claims={"cnf": {"jkt": thumbprint()}})
    real = CLOCK.wall
    recorder.later = lambda: monkeypatch.setattr(CLOCK, "wall", lambda: real() + 600)
    serve(protector(verifying(), dpop=True), dpop(token, make_proof(token)), recheck=5)
    assert recorder.results == [True]


def test_recheck_of_a_certificate(recorder: Recorder) -> None:
    """The client's certificate is not read again: it belongs to the connection."""
    read = [der(), None]
    protector = ResourceProtector(Own(cnf=BOUND), mtls=MutualTLS(lambda request: read.pop(0)))
    serve(protector, recheck=5)
    assert recorder.results == [True]


def test_recheck_in_a_thread(recorder: Recorder) -> None:
    """Sync code of the site runs on a thread that belongs to the recheck."""
    contexts = []

    def check(request: HttpRequest, token: Any) -> bool:
        contexts.append(SyncToAsync.thread_sensitive_context.get(None))
        return True

    serve(ResourceProtector(Own()), check=check, recheck=5)
    assert len(set(contexts)) == 2
    assert None not in contexts
