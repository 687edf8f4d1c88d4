"""Errors as Authlib has them."""

from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750

from async_oauth_guard.errors import (
    AccessDeniedError,
    GuardError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    Reason,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
    adopt_error,
)
from async_oauth_guard.guard.authlib_compat import respond_as_authlib
from async_oauth_guard.protocol.challenges import Protection

REALM = Protection("bearer", "r", {"server": "s", "number": 7})
BARE = Protection("bearer", None, {})

ANSWERS: list[tuple[GuardError, Protection | None, OAuth2Error]] = [
    (MissingAuthorizationError(), REALM, rfc6749.MissingAuthorizationError("bearer", "r")),
    (MissingAuthorizationError(), BARE, rfc6749.MissingAuthorizationError("bearer", None)),
    (MissingAuthorizationError(), None, rfc6749.MissingAuthorizationError(None, None)),
    (UnsupportedTokenTypeError(), REALM, rfc6749.UnsupportedTokenTypeError("bearer", "r")),
    (UnsupportedTokenTypeError(), None, rfc6749.UnsupportedTokenTypeError(None, None)),
    (
        InvalidTokenError(reason=Reason.EXPIRED),
        REALM,
        rfc6750.InvalidTokenError(realm="r", extra_attributes={"server": "s", "number": "7"}),
    ),
    (InvalidTokenError(), BARE, rfc6750.InvalidTokenError(realm=None, extra_attributes={})),
    (InvalidTokenError("of a hook"), BARE, rfc6750.InvalidTokenError("of a hook")),
    (InvalidTokenError(), None, rfc6750.InvalidTokenError()),
    (InvalidRequestError(), REALM, rfc6749.InvalidRequestError()),
    (InsufficientScopeError(), REALM, rfc6750.InsufficientScopeError()),
    (AccessDeniedError(reason=Reason.NO_USER), REALM, rfc6750.InsufficientScopeError()),
    (AccessDeniedError(reason=Reason.CHECK_FAILED), REALM, rfc6750.InsufficientScopeError()),
    (AccessDeniedError(reason=Reason.METHOD_NOT_NAMED), REALM, rfc6750.InsufficientScopeError()),
    (AccessDeniedError(reason=Reason.INSUFFICIENT_GROUPS), REALM, rfc6750.InvalidTokenError()),
    (AccessDeniedError(reason=Reason.INSUFFICIENT_ROLES), REALM, rfc6750.InvalidTokenError()),
    (AccessDeniedError(reason=Reason.INSUFFICIENT_ENTITLEMENTS), REALM, rfc6750.InvalidTokenError()),
]


@pytest.mark.parametrize(("error", "protection", "expected"), ANSWERS, ids=lambda part: repr(part)[:50])
def test_answers(error: GuardError, protection: Protection | None, expected: OAuth2Error) -> None:
    """Status, body and header fields are those of Authlib's own error; the reason stays ours."""
    answer = respond_as_authlib(error, protection)
    assert answer.status_code == expected.status_code
    assert answer.get_body() == expected.get_body()
    assert answer.get_headers() == expected.get_headers()
    assert answer.reason == error.reason


def test_values_are_escaped() -> None:
    """R17: Authlib writes values as they are, so they are escaped beforehand."""
    error = respond_as_authlib(InvalidTokenError(), Protection("bearer", 'a"b', {"x": "c\\d"}))
    assert dict(error.get_headers())["WWW-Authenticate"].startswith('Bearer realm="a\\"b", x="c\\\\d", error=')


def test_an_outage_stays_what_it_is() -> None:
    """An outage has no answer of Authlib's."""
    error = TemporarilyUnavailableError()
    assert respond_as_authlib(error, REALM) is error
    assert error.stand_in is None


@pytest.mark.parametrize(
    "origin",
    [
        rfc6750.InvalidTokenError("of a hook", realm="its own"),
        rfc6749.InvalidRequestError("of a hook"),
        OAuth2Error(error="made_up", status_code=418),
    ],
)
def test_errors_of_hooks_are_sent_as_they_are(origin: OAuth2Error) -> None:
    """What a hook raised is Authlib's already."""
    error = adopt_error(origin)
    error.__cause__ = origin
    assert respond_as_authlib(error, REALM) is error
    assert error.stand_in is origin


def test_other_causes_do_not_matter() -> None:
    """A cause of another kind is not sent."""
    error: Any = InvalidTokenError()
    error.__cause__ = ValueError("inside")
    assert isinstance(respond_as_authlib(error, None).stand_in, rfc6750.InvalidTokenError)


def test_fields_are_authlibs() -> None:
    """Handlers that read an error's attributes find what Authlib's own error has."""
    protection = Protection("bearer", "r1", {"a": "b"})
    invalid: Any = respond_as_authlib(InvalidTokenError(reason=Reason.EXPIRED), protection)
    assert (invalid.realm, invalid.extra_attributes, invalid.reason) == ("r1", {"a": "b"}, Reason.EXPIRED)
    unsupported: Any = respond_as_authlib(UnsupportedTokenTypeError(), protection)
    assert (unsupported.auth_type, unsupported.realm, unsupported.description) == ("bearer", "r1", "")


@pytest.mark.parametrize("reason", [Reason.NO_USER, Reason.CHECK_FAILED, Reason.METHOD_NOT_NAMED])
def test_denied_access(reason: Reason) -> None:
    """Authlib has no ``access_denied``, so the error has Authlib's code, also for a renderer of the site."""
    error = respond_as_authlib(AccessDeniedError(reason=reason), REALM)
    expected = rfc6750.InsufficientScopeError()
    assert (error.status_code, error.error, error.description) == (403, expected.error, expected.description)
    assert (error.get_body(), error.get_headers()) == (expected.get_body(), expected.get_headers())
    assert error.reason == reason
