"""The check without the decorator: ``acquire_token``, ``validate_token`` and their async variants."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, connections
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest
from django.test import RequestFactory

from async_oauth_guard import (
    AccessDeniedError,
    BearerTokenValidator,
    GuardError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
)
from tests.conftest import MakeToken, create_token
from tests.site.models import OAuth2Token

Method = Callable[..., Any]

GOOD = "good"


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))


@pytest.fixture
def _tokens(db: None, alice: User, make_token: MakeToken) -> None:
    make_token(access_token=GOOD, groups=["staff"])
    make_token(access_token="expired", expires_at=int(time.time()))
    make_token(access_token="revoked", revoked=True)
    make_token(access_token="machine", user=None)
    make_token(access_token="inactive", user=User.objects.create_user("bob", is_active=False))


@pytest.fixture(params=["sync", "async"])
def acquire(request: pytest.FixtureRequest, protector: ResourceProtector) -> Method:
    return protector.acquire_token if request.param == "sync" else async_to_sync(protector.aacquire_token)


@pytest.fixture(params=["sync", "async"])
def validate(request: pytest.FixtureRequest, protector: ResourceProtector) -> Method:
    return protector.validate_token if request.param == "sync" else async_to_sync(protector.avalidate_token)


def a_request(header: str | None = f"Bearer {GOOD}", method: str = "GET") -> HttpRequest:
    headers = {} if header is None else {"Authorization": header}
    return RequestFactory().generic(method, "/", headers=headers)


REFUSALS: list[tuple[str | None, dict[str, Any], type[GuardError], Any, int, Reason]] = [
    (None, {}, MissingAuthorizationError, rfc6749.MissingAuthorizationError, 401, Reason.MISSING_CREDENTIALS),
    ("", {}, MissingAuthorizationError, rfc6749.MissingAuthorizationError, 401, Reason.MISSING_CREDENTIALS),
    ("Basic x", {}, UnsupportedTokenTypeError, rfc6749.UnsupportedTokenTypeError, 401, Reason.UNSUPPORTED_SCHEME),
    ("Bearer a b", {}, InvalidRequestError, rfc6749.InvalidRequestError, 400, Reason.MALFORMED_CREDENTIALS),
    ("Bearer a,Bearer b", {}, InvalidRequestError, OAuth2Error, 400, Reason.REPEATED_CREDENTIALS),
    ("Bearer " + "x" * 40_000, {}, InvalidTokenError, OAuth2Error, 401, Reason.TOKEN_TOO_LONG),
    ("Bearer unknown", {}, InvalidTokenError, rfc6750.InvalidTokenError, 401, Reason.UNKNOWN_TOKEN),
    ("Bearer expired", {}, InvalidTokenError, rfc6750.InvalidTokenError, 401, Reason.EXPIRED),
    ("Bearer revoked", {}, InvalidTokenError, OAuth2Error, 401, Reason.REVOKED),
    ("Bearer inactive", {}, InvalidTokenError, OAuth2Error, 401, Reason.INACTIVE_USER),
    (
        "Bearer good",
        {"scopes": "x"},
        InsufficientScopeError,
        rfc6750.InsufficientScopeError,
        403,
        Reason.INSUFFICIENT_SCOPE,
    ),
    ("Bearer good", {"scopes": {"POST": None}}, AccessDeniedError, OAuth2Error, 403, Reason.METHOD_NOT_NAMED),
    ("Bearer good", {"groups": "x"}, AccessDeniedError, OAuth2Error, 403, Reason.INSUFFICIENT_GROUPS),
    ("Bearer good", {"roles": "x"}, AccessDeniedError, OAuth2Error, 403, Reason.INSUFFICIENT_ROLES),
    ("Bearer good", {"entitlements": "x"}, AccessDeniedError, OAuth2Error, 403, Reason.INSUFFICIENT_ENTITLEMENTS),
    ("Bearer machine", {"require_user": True}, AccessDeniedError, OAuth2Error, 403, Reason.NO_USER),
    (
        "Bearer good",
        {"check": lambda request, token: False},
        AccessDeniedError,
        OAuth2Error,
        403,
        Reason.CHECK_FAILED,
    ),
]
refusals = pytest.mark.parametrize(
    ("header", "asked", "error", "authlibs", "status", "reason"), REFUSALS, ids=[str(row[5]) for row in REFUSALS]
)


@pytest.mark.usefixtures("_tokens")
def test_acquire_token(acquire: Method, alice: User) -> None:
    """The method returns the token with its user loaded. Scopes may be passed in any of their forms."""
    for scopes in (None, [], "profile", ["x", "profile"], {"GET": "profile"}):
        token = acquire(a_request(), scopes)
        assert token.access_token == GOOD
        assert token.user == alice
    assert acquire(a_request(), scope="profile", groups="staff", require_user=True).access_token == GOOD


@pytest.mark.usefixtures("_tokens")
@refusals
def test_acquire_token_refuses(
    header: str | None,
    asked: dict[str, Any],
    error: type[GuardError],
    authlibs: Any,
    status: int,
    reason: Reason,
    acquire: Method,
) -> None:
    """R26, R29: each refusal has its own error class, also Authlib's, with status, reason and challenge."""
    with pytest.raises(error) as caught:
        acquire(a_request(header), **asked)
    assert isinstance(caught.value, authlibs)
    assert isinstance(caught.value, OAuth2Error)
    assert (caught.value.status_code, caught.value.reason) == (status, reason)
    assert str(caught.value.challenge).startswith("None" if error is AccessDeniedError else "Bearer ")


@pytest.mark.usefixtures("_tokens")
@refusals
def test_validate_token_refuses(
    header: str | None,
    asked: dict[str, Any],
    error: type[GuardError],
    authlibs: Any,
    status: int,
    reason: Reason,
    validate: Method,
) -> None:
    """R26, R29: without a request a token gets the same result."""
    if not (header or "").startswith("Bearer ") or status == 400:
        token, error, reason = (header or "", InvalidTokenError, Reason.UNKNOWN_TOKEN)
    else:
        token = (header or "").removeprefix("Bearer ")
    with pytest.raises(error) as caught:
        validate(token, **asked)
    assert caught.value.reason is reason


@pytest.mark.usefixtures("_tokens")
def test_validate_token(validate: Method, alice: User) -> None:
    """A token string alone is fully validated, and its user is loaded."""
    token = validate(GOOD, "profile", groups="staff", require_user=True)
    assert token.access_token == GOOD
    assert token.user == alice


@pytest.mark.usefixtures("_tokens")
def test_check_without_a_request(validate: Method) -> None:
    """Without a request, ``check`` is given none."""
    given: list[Any] = []

    def check(request: Any, token: Any) -> bool:
        given.append(request)
        return True

    validate(GOOD, check=check)
    assert given == [None]


@pytest.mark.parametrize("token", ["", " ", "a b", "nul\x00", "\ud800", "x" * 300, "x" * 40_000, "t\xf6ken"])
@pytest.mark.usefixtures("_tokens")
def test_strings_that_are_no_tokens(token: str, validate: Method) -> None:
    """Any string is validated. A string that cannot be a token is an invalid token."""
    with pytest.raises(InvalidTokenError):
        validate(token)


@pytest.mark.usefixtures("_tokens")
def test_direct_calls_of_a_validator(alice: User) -> None:
    """``authenticate_token`` finds and judges nothing: an expired token is found, an unknown one is ``None``."""
    validator = BearerTokenValidator(OAuth2Token)
    for authenticate in (validator.authenticate_token, async_to_sync(validator.aauthenticate_token)):
        assert authenticate("expired").access_token == "expired"
        assert authenticate(GOOD).user == alice
        assert authenticate("unknown") is None


async def test_sync_calls_in_a_loop(protector: ResourceProtector) -> None:
    """R126: if a loop runs in this thread, a sync method that would do I/O raises an error at once."""
    validator = BearerTokenValidator(OAuth2Token)
    for method in (
        lambda: protector.acquire_token(a_request()),
        lambda: protector.acquire_token(a_request(None)),
        lambda: protector.validate_token(GOOD),
        lambda: validator.authenticate_token(GOOD),
    ):
        with pytest.raises(SynchronousOnlyOperation):
            method()


@pytest.mark.django_db(transaction=True)
def test_loops_come_and_go(protector: ResourceProtector, alice: User) -> None:
    """R128: nothing stays bound to a loop. Several loops in turn, and several tasks at once, may validate tokens."""
    create_token(access_token=GOOD, user=alice)

    async def several() -> list[Any]:
        try:
            return await asyncio.gather(*(protector.aacquire_token(a_request()) for _ in range(5)))
        finally:
            # Outside a request nobody closes the connection of Django's thread for async code.
            await sync_to_async(connections.close_all)()

    for _ in range(3):
        assert {token.access_token for token in asyncio.run(several())} == {GOOD}


@pytest.mark.django_db
def test_outage(acquire: Method, validate: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """R124: when the database cannot answer, the methods report that the token could not be validated."""

    def down(*args: Any) -> None:
        raise OperationalError("down")

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", down)
        for method, argument in ((acquire, a_request()), (validate, GOOD)):
            with pytest.raises(TemporarilyUnavailableError) as caught:
                method(argument)
            assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
            assert caught.value.status_code == 503


@pytest.mark.usefixtures("_tokens")
def test_later_refusals_do_not_share_an_error(acquire: Method) -> None:
    """Each refusal is a new exception, so that no traceback grows and no refusal has another's challenge."""
    caught = []
    for scopes in ("x", "y"):
        with pytest.raises(InsufficientScopeError) as refusal:
            acquire(a_request(), scopes)
        caught.append(refusal.value)
    assert [error.scope for error in caught] == [("x",), ("y",)]


def test_constructor_refuses() -> None:
    """R16: what a challenge could not carry, or nobody could mean, is refused when the guard is built."""
    for arguments in (
        {"realm": "a\r\nb"},
        {"realm": "\xe9"},
        {"compat": "flask"},
        {"resource": "api"},
        {"public_origin": "https://api.example.com/x"},
    ):
        with pytest.raises(ValueError):
            ResourceProtector(**arguments)  # type: ignore[arg-type]
    for attributes in ({"scope": "x"}, {"Error": "x"}, {"error_uri": "x"}, {"a b": "x"}, {"a": "\n"}, {"a": "\u20ac"}):
        with pytest.raises(ValueError):
            BearerTokenValidator(OAuth2Token, **attributes)
    for validator in (BearerTokenValidator, object(), None, "async_oauth_guard.BearerTokenValidator"):
        with pytest.raises(TypeError):
            ResourceProtector(validator)
