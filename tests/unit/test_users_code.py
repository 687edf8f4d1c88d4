"""Hooks, checks and models as their authors write them, sync and async, under both drivers."""

import asyncio
import threading
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from authlib.oauth2.rfc6750 import BearerTokenValidator as AuthlibBearerTokenValidator
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory

from async_oauth_guard import (
    BearerTokenValidator,
    GuardError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    ResourceProtector,
    TemporarilyUnavailableError,
    TokenValidator,
    token_rejected,
)
from async_oauth_guard.errors import HookError, Reason
from async_oauth_guard.runtime.database import instances
from tests.conftest import MakeToken
from tests.rfc9110 import Challenge, read_challenges
from tests.site.models import OAuth2Token

ALICE = User(pk=7, username="alice")


def sync_view(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"scope": request.oauth_token.get_scope()})  # type: ignore[attr-defined]


async def async_view(request: HttpRequest) -> HttpResponse:
    return sync_view(request)


def request_with(presented: str = "good", **headers: str) -> HttpRequest:
    return RequestFactory().get("/path/", headers={"Authorization": f"Bearer {presented}", **headers})


def answer_of(protector: ResourceProtector, view: Any, request: HttpRequest | None = None, **asked: Any) -> Any:
    """The answer of the guarded view; a loop runs besides the request's thread, which is this one."""
    guarded = protector(**asked)(view)
    request = request_with() if request is None else request

    async def within_limits() -> Any:
        return await asyncio.wait_for(guarded(request), 5)

    return async_to_sync(within_limits)() if iscoroutinefunction(guarded) else guarded(request)


views = pytest.mark.parametrize("view", [sync_view, async_view])


def own(scope: Any = "a b", **values: Any) -> Any:
    """A token with Authlib's protocol that is in no database."""
    return SimpleNamespace(is_expired=bool, is_revoked=bool, get_scope=lambda: scope, user=ALICE, **values)


class Sync(TokenValidator):
    """Its hooks are ``def``, and note what they got."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[Any] = []
        self.threads: set[int] = set()

    def note(self, *call: Any) -> None:
        self.threads.add(threading.get_ident())
        self.calls.append(call)

    def validate_request(self, request: Any) -> None:
        self.note("validate_request", request.method, request.headers.get("X-Device"), request.uri)

    def authenticate_token(self, token_string: str) -> Any:
        self.note("authenticate_token", str(token_string))
        return {"good": own()}.get(token_string)

    def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
        self.note("scope_insufficient", token_scopes, required_scopes)
        return required_scopes == ["more"]


class Async(Sync):
    """Its hooks are ``async def``, but for the one that must be ``def``."""

    async def validate_request(self, request: Any) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().validate_request(request)

    async def authenticate_token(self, token_string: str) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().authenticate_token(token_string)


@views
@pytest.mark.parametrize("cls", [Sync, Async])
def test_sync_and_async_hooks(cls: type[Sync], view: Any) -> None:
    """R126: every hook, sync or async, is called once, in Authlib's order, with Authlib's arguments."""
    validator = cls()
    request = request_with(**{"X-Device": "d"})
    assert answer_of(ResourceProtector(validator), view, request, scopes="a").status_code == 200
    assert validator.calls == [
        ("validate_request", "GET", "d", "http://testserver/path/"),
        ("authenticate_token", "good"),
        ("scope_insufficient", "a b", ["a"]),
    ]
    assert answer_of(ResourceProtector(validator), view, scopes="more").status_code == 403
    assert answer_of(ResourceProtector(validator), view, request_with("bad")).status_code == 401


def test_sync_hooks_leave_the_loop() -> None:
    """R126: for an async view, a ``def`` hook is called on the request's own thread, since it may query."""
    sync, coroutine = Sync(), Async()
    loop_thread: list[int] = []

    async def main() -> None:
        loop_thread.append(threading.get_ident())
        for validator in (sync, coroutine):
            await ResourceProtector(validator)("a")(async_view)(request_with())

    asyncio.run(main())
    assert loop_thread[0] not in sync.threads
    assert len(sync.threads) == 1
    # Its `scope_insufficient` is `def`, as that of the other.
    assert coroutine.threads == {*loop_thread, *sync.threads}


# Calling super().


class SyncSuper(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return super().authenticate_token(token_string.removeprefix("v1."))

    def validate_token(self, token: Any, scopes: Any, request: Any, **keywords: Any) -> None:
        super().validate_token(token, scopes, request, **keywords)


class AsyncSuper(BearerTokenValidator):
    async def authenticate_token(self, token_string: str) -> Any:  # type: ignore[override]
        return await super().aauthenticate_token(token_string.removeprefix("v1."))

    async def validate_token(self, token: Any, scopes: Any, request: Any, **keywords: Any) -> None:  # type: ignore[override]
        await super().avalidate_token(token, scopes, request, **keywords)


supers = pytest.mark.parametrize("cls", [SyncSuper, AsyncSuper])


@pytest.mark.django_db
@views
@supers
@pytest.mark.parametrize(
    ("presented", "values", "asked", "status"),
    [
        ("v1.good", {}, {}, 200),
        ("good", {}, {"scopes": "profile"}, 200),
        ("v1.good", {}, {"scopes": "admin"}, 403),
        ("v1.bad", {}, {}, 401),
        ("good", {"revoked": True}, {}, 401),
        ("good", {"expires_at": 1}, {}, 401),
        ("good", {"groups": ["g"]}, {"groups": "g"}, 200),
    ],
)
def test_super(
    presented: str, values: Any, asked: Any, status: int, cls: Any, view: Any, make_token: MakeToken
) -> None:
    """R26, R27: hooks that call the library's hooks, sync or async like themselves, get the library's result."""
    make_token(access_token="good", **values)
    assert answer_of(ResourceProtector(cls(OAuth2Token)), view, request_with(presented), **asked).status_code == status


@pytest.mark.django_db
@views
@supers
@pytest.mark.parametrize("name", ["groups", "roles", "entitlements"])
def test_super_judges_what_it_is_handed(name: str, cls: Any, view: Any, make_token: MakeToken) -> None:
    """R124: an attribute that a hook passes on to the library's hook is checked; a token without it is refused."""
    make_token(access_token="good")
    assert answer_of(ResourceProtector(cls(OAuth2Token)), view, **{name: "x"}).status_code == 403


@pytest.mark.django_db
@views
@supers
def test_super_knows_its_keywords(cls: Any, view: Any, make_token: MakeToken) -> None:
    """R124: a keyword that a hook hands on to ours, which judges nothing by it, is a ``TypeError``."""
    make_token(access_token="good")
    with pytest.raises(TypeError, match="level"):
        answer_of(ResourceProtector(cls(OAuth2Token)), view, level="gold")


class SyncScopes(BearerTokenValidator):
    """``admin`` is enough for anything."""

    def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
        return token_scopes != "admin" and super().scope_insufficient(token_scopes, required_scopes)


@pytest.mark.django_db
@views
@pytest.mark.parametrize(
    ("scope", "asked", "status"),
    [
        ("admin", "profile", 200),
        ("profile", "profile", 200),
        ("email", "profile", 403),
        ("a", [], 200),
        ("", None, 200),
    ],
)
def test_super_of_the_scope_rule(scope: str, asked: Any, status: int, view: Any, make_token: MakeToken) -> None:
    """R119: a site's rule may fall back on Authlib's, which understands what it gets."""
    make_token(access_token="good", scope=scope)
    assert answer_of(ResourceProtector(SyncScopes(OAuth2Token)), view, scopes=asked).status_code == status


# Authlib's own classes, with no class of the library.


class OfAuthlib(AuthlibBearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return {"good": own(), "old": SimpleNamespace(is_expired=lambda: True)}.get(token_string)


class AsyncOfAuthlib(OfAuthlib):
    async def authenticate_token(self, token_string: str) -> Any:  # type: ignore[override]
        return super().authenticate_token(token_string)


class BareOfAuthlib(AuthlibTokenValidator):
    """The root class, with all that its documentation asks for."""

    def authenticate_token(self, token_string: str) -> Any:
        return {"good": own()}.get(token_string)

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        if not token:
            raise rfc6750.InvalidTokenError
        if self.scope_insufficient(token.get_scope(), scopes):
            raise rfc6750.InsufficientScopeError


@views
@pytest.mark.parametrize("cls", [OfAuthlib, AsyncOfAuthlib, BareOfAuthlib])
@pytest.mark.parametrize(
    ("presented", "asked", "status"),
    [
        ("good", {}, 200),
        ("good", {"scopes": "a"}, 200),
        ("good", {"scopes": ["x", "a b"]}, 200),
        ("good", {"scopes": "x"}, 403),
        ("bad", {}, 401),
        ("bad", {"scopes": "a"}, 401),
        ("old", {}, 401),
        ("good", {"require_user": True}, 200),
        ("good", {"groups": "g"}, 403),
        ("good", {"check": lambda request, token: True}, 200),
    ],
)
def test_plain_classes_of_authlib(presented: str, asked: Any, status: int, cls: Any, view: Any) -> None:
    """A validator that knows nothing of the library is registered as it is, and its own result counts."""
    protector = ResourceProtector()
    protector.register_token_validator(cls(realm="r"))
    response = answer_of(protector, view, request_with(presented), **asked)
    assert response.status_code == status
    assert response.has_header("WWW-Authenticate") == (status != 200 and "groups" not in asked)
    if response.has_header("WWW-Authenticate"):
        assert read_challenges(response["WWW-Authenticate"])[0].parameters["realm"] == "r"


@views
def test_plain_class_of_authlib_that_is_unfinished(view: Any) -> None:
    """R124: one that forgot ``validate_token`` lets nobody in."""

    class Unfinished(AuthlibTokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            return own()

    with pytest.raises(NotImplementedError):
        answer_of(ResourceProtector(Unfinished()), view)


# Errors of Authlib's, raised by hooks.


class Raising(TokenValidator):
    """Raises at one hook, sync or async."""

    def __init__(self, place: str, mode: str, error: Exception) -> None:
        super().__init__("r")
        self.place, self.error = place, error
        if mode == "async def":
            setattr(self, place, self.afail)
        else:
            setattr(self, place, self.fail)

    def authenticate_token(self, token_string: str) -> Any:
        return own()

    def fail(self, *args: Any) -> Any:
        raise self.error

    async def afail(self, *args: Any) -> Any:
        await asyncio.sleep(0)
        raise self.error


PLACES = ["validate_request", "authenticate_token", "validate_token", "scope_insufficient"]
everywhere = pytest.mark.parametrize("place", PLACES)
sync_and_async = pytest.mark.parametrize("mode", ["def", "async def"])

RAISED: list[tuple[Callable[[], Exception], int, str, type[GuardError]]] = [
    (rfc6750.InvalidTokenError, 401, "invalid_token", InvalidTokenError),
    (rfc6750.InsufficientScopeError, 403, "insufficient_scope", InsufficientScopeError),
    (lambda: rfc6749.InvalidRequestError("which?"), 400, "invalid_request", InvalidRequestError),
    (lambda: OAuth2Error("no", error="made_up", status_code=418), 418, "made_up", HookError),
    (lambda: InvalidTokenError(reason=Reason.REVOKED), 401, "invalid_token", InvalidTokenError),
    (TemporarilyUnavailableError, 503, "temporarily_unavailable", TemporarilyUnavailableError),
]


@views
@everywhere
@sync_and_async
@pytest.mark.parametrize(("make", "status", "code", "cls"), RAISED)
def test_errors_of_hooks(
    make: Any, status: int, code: str, cls: type[GuardError], place: str, mode: str, view: Any
) -> None:
    """Authlib's errors raised by hooks are answered by their code, a made-up one as its author made it."""
    protector = ResourceProtector(Raising(place, mode, make()))
    response = answer_of(protector, view, scopes="x")
    assert response.status_code == status
    assert f'"error": "{code}"' in response.content.decode()
    challenged = "WWW-Authenticate" in response
    assert challenged == (status != 503)
    if challenged:
        assert read_challenges(response["WWW-Authenticate"])[0].parameters["error"] == code


@views
@everywhere
@sync_and_async
@pytest.mark.parametrize("error", [KeyError("k"), ValueError("v"), SynchronousOnlyOperation("s"), TypeError("t")])
def test_bugs_of_hooks(error: Exception, place: str, mode: str, view: Any) -> None:
    """R124: any other error of a hook is the site's bug: it goes through as it is, and the view is not entered."""
    with pytest.raises(type(error)) as caught:
        answer_of(ResourceProtector(Raising(place, mode, error)), view, scopes="x")
    assert caught.value is error


@views
@everywhere
@pytest.mark.parametrize("error", [OperationalError("down"), InterfaceError("down")])
def test_outages_in_hooks(error: Exception, place: str, view: Any) -> None:
    """E21: a hook that queries while the database is down could not tell, so it is 503, not the site's bug."""
    assert answer_of(ResourceProtector(Raising(place, "def", error)), view, scopes="x").status_code == 503


@views
def test_stop_iteration_in_a_hook(view: Any) -> None:
    """R124: ``next()`` of nothing in a hook lets nobody in."""
    with pytest.raises(RuntimeError):
        answer_of(ResourceProtector(Raising("authenticate_token", "def", StopIteration())), view)


@views
@pytest.mark.parametrize("cls", [InvalidTokenError, MissingAuthorizationError, rfc6750.InvalidTokenError])
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_a_hook_may_raise_one_error_again_and_again(compat: Any, cls: Any, view: Any) -> None:
    """An error that a hook keeps carries nothing on: each request has its own signal and challenge."""
    heard: list[Any] = []

    def receiver(sender: Any, **kwargs: Any) -> None:
        heard.append(kwargs["request"])

    protector = ResourceProtector(Raising("authenticate_token", "def", cls()), compat=compat)
    token_rejected.connect(receiver)
    try:
        requests = [request_with(), request_with()]
        first, second = (
            answer_of(protector, view, request, scopes=scopes)
            for request, scopes in zip(requests, ("first", "second"), strict=True)
        )
    finally:
        token_rejected.disconnect(receiver)
    assert heard == requests
    assert "first" not in second.get("WWW-Authenticate", "")
    assert first.status_code == second.status_code == 401


# Checks.


@views
@pytest.mark.parametrize("raised", [KeyError("k"), PermissionError("p")])
@sync_and_async
def test_checks_that_raise(raised: Exception, mode: str, view: Any) -> None:
    """R124: what a check raises goes to Django, and the view is not entered."""

    def check(request: Any, token: Any) -> bool:
        raise raised

    async def acheck(request: Any, token: Any) -> bool:
        raise raised

    with pytest.raises(type(raised)) as caught:
        answer_of(ResourceProtector(Sync()), view, check=check if mode == "def" else acheck)
    assert caught.value is raised


@views
def test_sync_and_async_checks(view: Any) -> None:
    """Sync checks, async checks and checks that return a coroutine are all called, and all must pass."""

    def check(request: Any, token: Any) -> bool:
        return token.get_scope() == "a b" and request.path == "/path/"

    async def acheck(request: Any, token: Any) -> bool:
        return check(request, token)

    def handing_on(request: Any, token: Any) -> Any:
        return acheck(request, token)

    async def no(request: Any, token: Any) -> bool:
        return False

    protector = ResourceProtector(Sync())
    assert answer_of(protector, view, check=[check, acheck, handing_on]).status_code == 200
    for refusing in (no, lambda request, token: no(request, token)):
        assert answer_of(protector, view, check=[check, refusing]).status_code == 403


@views
def test_a_forgotten_await_lets_nobody_in(view: Any) -> None:
    """R124: a check that returns a coroutine inside a list, say, is a ``TypeError``."""

    async def acheck(request: Any, token: Any) -> bool:
        raise AssertionError("awaited")

    def forgetful(request: Any, token: Any) -> Any:
        coroutine = acheck(request, token)
        coroutine.close()
        return [coroutine]

    with pytest.raises(TypeError, match=r"forgetful\(\) must return a bool, got list"):
        answer_of(ResourceProtector(Sync()), view, check=forgetful)


# Models.


class Ledger:
    """What a model's method does, and where it was called."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.places: list[str] = []

    def __call__(self) -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.places.append("thread")
        else:
            self.places.append("loop")
            if isinstance(self.error, SynchronousOnlyOperation):
                raise self.error
        if self.error is not None and not isinstance(self.error, SynchronousOnlyOperation):
            raise self.error
        return False


def source_of(token: Any, **attributes: Any) -> TokenValidator:
    class Source(TokenValidator):
        async def authenticate_token(self, token_string: str) -> Any:  # type: ignore[override]
            return token

    validator = Source()
    for name, value in attributes.items():
        setattr(validator, name, value)
    return validator


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "_QUERYING_MODELS", set())


@pytest.mark.parametrize("method", ["is_expired", "is_revoked"])
def test_model_methods_that_query(method: str) -> None:
    """R126: ``SynchronousOnlyOperation`` moves the methods of that class to a thread, for good."""
    ledger = Ledger(SynchronousOnlyOperation("a query"))
    token = own()
    setattr(token, method, ledger)
    for _ in range(2):
        assert answer_of(ResourceProtector(source_of(token)), async_view).status_code == 200
    assert ledger.places == ["loop", "thread", "thread"]


@pytest.mark.parametrize(("blocking", "place"), [(False, "loop"), (True, "thread")])
def test_model_methods_that_do_not_query(blocking: bool, place: str) -> None:
    """Other methods stay on the loop, unless the validator says that they block."""
    token = own()
    token.is_expired = ledger = Ledger()
    validator = source_of(token, blocking_methods=blocking)
    assert answer_of(ResourceProtector(validator), async_view).status_code == 200
    assert ledger.places == [place]


@views
@pytest.mark.parametrize("method", ["is_expired", "is_revoked", "get_scope"])
@pytest.mark.parametrize("error", [KeyError("k"), ValueError("v"), OAuth2Error(error="made_up")])
def test_model_methods_that_raise(error: Exception, method: str, view: Any) -> None:
    """R124: what a model's method raises lets nobody in: a bug goes through, Authlib's own error is answered."""
    token = own()
    setattr(token, method, Ledger(error))
    protector = ResourceProtector(source_of(token))
    if isinstance(error, OAuth2Error):
        assert answer_of(protector, view).status_code == 400
        return
    with pytest.raises(type(error)) as caught:
        answer_of(protector, view)
    assert caught.value is error


@views
@pytest.mark.parametrize("method", ["is_expired", "is_revoked", "get_scope"])
@pytest.mark.parametrize("error", [OperationalError("down"), InterfaceError("down")])
def test_model_methods_without_a_database(error: Exception, method: str, view: Any) -> None:
    """E21: a model's method that cannot query makes it 503, with ``Retry-After`` and no challenge."""
    token = own()
    setattr(token, method, Ledger(error))
    response = answer_of(ResourceProtector(source_of(token)), view)
    assert response.status_code == 503
    assert response["Retry-After"] == "1"
    assert "WWW-Authenticate" not in response


@views
def test_stop_iteration_in_a_model(view: Any) -> None:
    """R124: neither does a model's method that raises ``StopIteration``."""
    token = own()
    token.is_expired = Ledger(StopIteration())
    with pytest.raises(RuntimeError):
        answer_of(ResourceProtector(source_of(token, blocking_methods=True)), view)


# Several validators.


@views
def test_several_sources(view: Any) -> None:
    """One validator that accepts is enough, 401 needs a refusal from all, and otherwise an outage makes it 503."""
    good, bad = source_of(own()), source_of(None)
    down = Raising("authenticate_token", "async def", TemporarilyUnavailableError())
    for validators, status in (
        ([bad, good], 200),
        ([good, bad], 200),
        ([down, good], 200),
        ([bad, bad], 401),
        ([bad, down], 503),
        ([down, bad], 503),
    ):
        response = answer_of(ResourceProtector(*validators), view)
        assert response.status_code == status
        assert ("WWW-Authenticate" in response) == (status == 401)


@views
def test_realm_of_the_first_no(view: Any) -> None:
    """The challenge is that of the validator whose no counts."""
    first, second = source_of(None), source_of(None)
    first.realm, second.realm = "first", "second"
    response = answer_of(ResourceProtector(second, first), view)
    (challenge,) = read_challenges(response["WWW-Authenticate"])
    assert isinstance(challenge, Challenge)
    assert challenge.parameters["realm"] == "second"


# Secrets.

HIDDEN = "se-cret-4bF7"


@views
@sync_and_async
@pytest.mark.parametrize("place", [*PLACES, "check"])
def test_no_report_shows_the_token(place: str, mode: str, view: Any) -> None:
    """R31, R133: a traceback with the locals of every frame, from the guard down to the hook, shows no token."""
    error = KeyError("a bug")
    validator: Any = Raising(place, mode, error)
    asked = {"check": validator.check} if place == "check" else {}
    with pytest.raises(KeyError) as caught:
        answer_of(ResourceProtector(validator), view, request_with(HIDDEN), scopes="a", **asked)
    report = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "authorize_flow" in report
    assert HIDDEN not in report


@views
@pytest.mark.parametrize("method", ["acquire_token", "validate_token"])
def test_no_report_of_a_refusal_shows_the_token(method: str, view: Any) -> None:
    """R31: neither does that of a refusal that a caller catches, nor its causes."""
    protector = ResourceProtector(Raising("validate_token", "def", rfc6750.InvalidTokenError()))
    asynchronous = view is async_view
    function: Any = getattr(protector, f"a{method}" if asynchronous else method)
    argument: Any = request_with(HIDDEN) if method == "acquire_token" else HIDDEN
    with pytest.raises(rfc6750.InvalidTokenError) as caught:
        async_to_sync(function)(argument) if asynchronous else function(argument)
    for raised in (caught.value, caught.value.__context__):
        assert raised is not None
        frames = traceback.TracebackException.from_exception(raised, capture_locals=True)
        # The frame of this very test holds it.
        shown = [repr(frame.locals) for frame in frames.stack if "async_oauth_guard" in frame.filename]
        assert shown
        assert [text for text in shown if HIDDEN in text] == []
    assert HIDDEN not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))
