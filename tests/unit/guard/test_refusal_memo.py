"""When a guard in front of an application responds again without a flow."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.http import HttpResponse

from async_oauth_guard import ResourceProtector, render_problem, token_rejected
from async_oauth_guard.guard.asgi.request import ScopeRequest
from async_oauth_guard.runtime.observer import set_observer
from async_oauth_guard.runtime.run import run
from async_oauth_guard.testing import override_oauth
from tests.unit.validators.remote_validators import API, introspection, jwt


async def app(scope: Any, receive: Any, send: Any) -> None: ...


class OwnProtector(ResourceProtector):
    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, **requirements)


def request(method: str = "GET", headers: Any = ()) -> ScopeRequest:
    return ScopeRequest({"type": "http", "method": method, "path": "/", "headers": [*headers]})


class Front:
    """A guard in front of an application that has refused a request without credentials."""

    def __init__(self, protector: ResourceProtector, method: str = "GET", headers: Any = (), **options: Any) -> None:
        self.protector = protector
        self.guard: Any = protector.asgi(app, **options)._guard  # type: ignore[attr-defined]
        self.again = lambda: self.guard.recall(request(method, headers))
        self.first = run(self.guard.admit_flow(request(method, headers)))

    @property
    def remembers(self) -> bool:
        response = self.again()
        assert response is None or response is self.first
        return response is not None


@pytest.mark.parametrize("options", [{}, {"render_error": render_problem}, {"dpop": True}])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_remembering(method: str, options: Any) -> None:
    """The response to a request without credentials is remembered."""
    assert Front(ResourceProtector(jwt(API), **options), method).remembers


@pytest.mark.parametrize(
    "make",
    [
        lambda: Front(ResourceProtector(jwt(API)), "PURGE"),
        lambda: Front(ResourceProtector(jwt(API)), headers=[(b"authorization", b"")]),
        lambda: Front(ResourceProtector(jwt(API)), headers=[(b"authorization", b"Bearer x")]),
        lambda: Front(ResourceProtector(jwt(API)), optional=True),
        lambda: Front(ResourceProtector(jwt(API), compat="authlib")),
        lambda: Front(ResourceProtector(jwt(API), render_error=lambda request, error: HttpResponse(status=401))),
    ],
)
def test_not_remembering(make: Callable[[], Front]) -> None:
    """Unusual methods, anything in the header, Authlib's and the site's own responses are not remembered."""
    assert not make().remembers


def test_methods_have_their_own_responses() -> None:
    """The challenge may depend on the method."""
    front = Front(ResourceProtector(jwt(API)), scopes={"GET": "a", "POST": "b"})
    assert front.guard.recall(request("POST")) is None
    other = run(front.guard.admit_flow(request("POST")))
    assert front.guard.recall(request("POST")) is other
    assert other.headers["WWW-Authenticate"] != front.first.headers["WWW-Authenticate"]
    assert front.remembers


def test_requests_with_credentials() -> None:
    """A remembered response is not that of a request with credentials."""
    front = Front(ResourceProtector(jwt(API)))
    assert front.guard.recall(request(headers=[(b"authorization", b"Bearer x")])) is None


@contextmanager
def observed() -> Iterator[None]:
    set_observer(object())  # type: ignore[arg-type]
    yield
    set_observer(None)


@contextmanager
def received() -> Iterator[None]:
    def receive(**arguments: Any) -> None: ...

    token_rejected.connect(receive)
    yield
    token_rejected.disconnect(receive)


@contextmanager
def logged() -> Iterator[None]:
    logger = logging.getLogger("async_oauth_guard.refusals")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("watch", [observed, received, logged, lambda: override_oauth(scopes="a")])
def test_while_someone_watches(watch: Callable[[], Any]) -> None:
    """With an observer, a receiver, a log of refusals, or a test's override, each request goes through the flow."""
    front = Front(ResourceProtector(jwt(API)))
    with watch():
        assert not front.remembers
    assert front.remembers
    with logged():
        assert not Front(ResourceProtector(jwt(API))).remembers


def test_changes(settings: Any) -> None:
    """A new validator and new settings end the memory."""
    protector = ResourceProtector(jwt(API))
    front = Front(protector)
    protector.register_token_validator(introspection(API))
    assert not front.remembers
    front.first = run(front.guard.admit_flow(request()))
    assert front.remembers
    protector.acquire_token = lambda *args, **kwargs: None  # type: ignore[method-assign]
    assert not front.remembers

    own = ResourceProtector.from_settings()
    front = Front(own)
    assert front.remembers
    settings.OAUTH_GUARD = {**settings.OAUTH_GUARD, "REALM": "another"}
    assert not front.remembers
    assert 'realm="another"' in run(front.guard.admit_flow(request())).headers["WWW-Authenticate"]


def test_own_methods() -> None:
    """The site's own method decides about each request."""
    assert not Front(OwnProtector(jwt(API))).remembers
