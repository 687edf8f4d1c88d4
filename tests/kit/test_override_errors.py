"""``override_oauth(error=...)``: refusals and outages, as real ones look."""

from typing import Any

import pytest
from authlib.oauth2 import rfc6749

from async_oauth_guard import (
    GuardError,
    HookError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    Reason,
    TemporarilyUnavailableError,
)
from async_oauth_guard.errors import error_of
from async_oauth_guard.testing import override_oauth
from tests.kit.asking import answer_of, get, reason_of, sync_and_async, token_seen
from tests.kit.urls import async_view, protectors, rows, sync_view

pytestmark = pytest.mark.urls("tests.kit.urls")


def status_of(reason: Reason) -> int:
    """As the page of errors has it."""
    if reason in (Reason.MALFORMED_CREDENTIALS, Reason.REPEATED_CREDENTIALS):
        return 400
    if reason in (Reason.INSUFFICIENT_ACR, Reason.AUTHENTICATION_TOO_OLD):
        return 401
    if reason in WITHOUT_CHALLENGE or reason.startswith("insufficient_"):
        return 403
    # The outages are the last of them.
    return 503 if [*Reason].index(reason) >= [*Reason].index(Reason.DATABASE_UNAVAILABLE) else 401


WITHOUT_CHALLENGE = (
    Reason.NO_USER,
    Reason.METHOD_NOT_NAMED,
    Reason.CHECK_FAILED,
    Reason.AUTHENTICATED_OTHERWISE,
)
WITH_CHALLENGE = (Reason.INSUFFICIENT_SCOPE, Reason.INSUFFICIENT_AUTHORIZATION_DETAILS)


@pytest.mark.parametrize("reason", Reason)
def test_reasons(reason: Reason) -> None:
    """For each reason, by any of its names, sync and async views give the refusal that a real guard gives."""
    for view, given in ((sync_view, reason), (async_view, reason.value), (sync_view, reason.name)):
        with override_oauth(error=given):
            response = answer_of(rows("profile"), view)
            assert (reason_of(scopes="profile"), response.status_code) == (reason, status_of(reason))
            assert response.has_header("Retry-After") == (response.status_code == 503)
            has_challenge = response.status_code in (400, 401) or reason in WITH_CHALLENGE
            assert response.has_header("WWW-Authenticate") == has_challenge


def test_every_reason_has_an_error() -> None:
    """No reason is left out."""
    assert [error_of(reason).reason for reason in Reason] == list(Reason)


BEARER = 'Bearer realm="rows"'


@sync_and_async
@pytest.mark.parametrize(
    ("error", "header"),
    [
        (Reason.MISSING_CREDENTIALS, None),
        (Reason.UNSUPPORTED_SCHEME, "Basic Zm9v"),
        (Reason.MALFORMED_CREDENTIALS, "Bearer a b"),
        (Reason.REPEATED_CREDENTIALS, "Bearer a, Bearer b"),
        (Reason.TOKEN_TOO_LONG, "Bearer " + "a" * 40_000),
    ],
)
@pytest.mark.parametrize("name", ["rows", "several"])
def test_refusals_of_credentials(view: Any, error: Reason, header: str | None, name: str) -> None:
    """They are those of requests with such credentials, to the last header field."""
    guard = protectors[name]("profile")
    real = answer_of(guard, view, **({} if header is None else {"authorization": header}))
    with override_oauth(error=error):
        stood_in = answer_of(guard, view)
    assert stood_in.status_code == real.status_code
    assert dict(stood_in.headers) == dict(real.headers)
    assert stood_in.content == real.content


def test_challenges() -> None:
    """A refused token has the challenge of its view, with the scopes that would do."""
    with override_oauth(error=Reason.EXPIRED):
        assert answer_of(rows("a"))["WWW-Authenticate"].startswith(f'{BEARER}, scope="a", error="invalid_token"')
    with override_oauth(error=Reason.INSUFFICIENT_SCOPE):
        response = answer_of(rows(["a b", "c"]))
        assert response["WWW-Authenticate"].startswith(f'{BEARER}, scope="c", error="insufficient_scope"')
        assert "scope=" not in answer_of(rows())["WWW-Authenticate"]
        assert "scope=" not in answer_of(rows({"POST": "a"}))["WWW-Authenticate"]
    with override_oauth(error=InsufficientScopeError(scope=("own",))):
        assert 'scope="own"' in answer_of(rows("a"))["WWW-Authenticate"]


def test_refusals_as_authlib() -> None:
    """With Authlib's answers, overridden refusals have Authlib's form too, and outages stay unchanged."""
    guard = protectors["authlib"]("a")
    with override_oauth(error=Reason.EXPIRED):
        response = answer_of(guard)
    assert response["WWW-Authenticate"].startswith('Bearer realm="rows", error="invalid_token"')
    real = answer_of(guard)
    with override_oauth(error=Reason.MISSING_CREDENTIALS):
        stood_in = answer_of(guard)
    assert (dict(stood_in.headers), stood_in.content) == (dict(real.headers), real.content)
    with override_oauth(error=Reason.INSUFFICIENT_GROUPS):
        assert answer_of(guard).status_code == 401
    with override_oauth(error=Reason.SERVER_UNREACHABLE):
        assert answer_of(guard).status_code == 503


@pytest.mark.parametrize("path", ["/optional/sync", "/optional/async"])
def test_optional_tokens(path: str) -> None:
    """Where the token is optional, a request without credentials is let in without; any other refusal is one."""
    with override_oauth(error=Reason.MISSING_CREDENTIALS):
        assert get(path) == (200, {"token": False, "scope": None, "user": None, "client": None})
    with override_oauth(error=Reason.EXPIRED):
        assert get(path)[0] == 401


def test_errors_given_as_classes_and_instances() -> None:
    """A class of errors, or an instance with all that it holds, is what the view refuses with."""
    with override_oauth(error=TemporarilyUnavailableError):
        assert reason_of() is Reason.DATABASE_UNAVAILABLE
    outage = TemporarilyUnavailableError(reason=Reason.BACKING_OFF, retry_after=30)
    with override_oauth(error=outage):
        assert (reason_of(), answer_of(rows())["Retry-After"]) == (Reason.BACKING_OFF, "30")
    with override_oauth(error=InvalidTokenError(description="of its own")):
        assert b"of its own" in answer_of(rows()).content
    with override_oauth(error=HookError(rfc6749.InvalidGrantError())):
        assert answer_of(rows()).status_code == 400


@pytest.mark.parametrize("kind", [InvalidTokenError, InvalidRequestError])
def test_each_request_has_its_own_error(kind: type[GuardError]) -> None:
    """An instance is copied for each request, which writes into it, and stays as it is."""
    given = kind(description="its own", reason=Reason.REVOKED)
    before = dict(vars(given))
    refused = []
    with override_oauth(error=given):
        for _ in range(2):
            with pytest.raises(kind) as refusal:
                token_seen()
            refused.append(refusal.value)
    assert refused[0] is not refused[1]
    assert {(str(error), error.args, error.description) for error in refused} == {
        (str(given), given.args, "its own"),
    }
    assert (vars(given), given.__traceback__) == (before, None)


def test_causes_are_kept() -> None:
    """If a hook's exception is the cause of an error, the methods for use without a decorator raise that exception."""
    given = InvalidTokenError()
    given.__cause__ = rfc6749.InvalidGrantError()
    with override_oauth(error=given), pytest.raises(rfc6749.InvalidGrantError):
        token_seen()


class NeedsArgumentError(InvalidTokenError):
    def __init__(self, needed: str) -> None:
        super().__init__(description=needed)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"error": "expierd"}, ValueError, "error: 'expierd' is not a reason; write a member of .*Reason"),
        ({"error": 401}, TypeError, "error must be a Reason, its name, or a GuardError .*, got int"),
        ({"error": ValueError}, TypeError, "error must be .*, got ValueError"),
        ({"error": ValueError("x")}, TypeError, "error must be .*, got ValueError"),
        ({"error": rfc6749.InvalidGrantError()}, TypeError, "error must be .*, got InvalidGrantError"),
        (
            {"error": NeedsArgumentError},
            TypeError,
            "error: NeedsArgumentError cannot be created without arguments; pass an inst",
        ),
        ({"error": GuardError}, TypeError, "error: GuardError has no error code"),
        ({"error": "expired", "scopes": "a"}, TypeError, "error: it must be the only argument; leave out sco"),
        ({"error": "expired", "token": GuardError}, TypeError, "error: .*; leave out token"),
        ({"error": "expired", "claims": {}, "tenant": "a"}, TypeError, "error: .*; leave out claims, tenant"),
    ],
)
def test_bad_input(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """What is no error of a guard's, or comes with a token, is refused with what to write."""
    with pytest.raises(error, match=message):
        override_oauth(**given)


def test_errors_with_arguments() -> None:
    """An instance of a class with other arguments is copied too."""
    with override_oauth(error=NeedsArgumentError("why")):
        assert b"why" in answer_of(rows()).content
