"""The tree of refusals."""

from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750

from async_oauth_guard import errors
from async_oauth_guard.errors import (
    AccessDeniedError,
    GuardError,
    HookError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    Reason,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
    adopt_error,
)

TREE: list[tuple[type[GuardError], type[OAuth2Error], int, str, Reason]] = [
    (
        MissingAuthorizationError,
        rfc6749.MissingAuthorizationError,
        401,
        "missing_authorization",
        Reason.MISSING_CREDENTIALS,
    ),
    (
        UnsupportedTokenTypeError,
        rfc6749.UnsupportedTokenTypeError,
        401,
        "unsupported_token_type",
        Reason.UNSUPPORTED_SCHEME,
    ),
    (InvalidRequestError, rfc6749.InvalidRequestError, 400, "invalid_request", Reason.MALFORMED_CREDENTIALS),
    (InvalidTokenError, rfc6750.InvalidTokenError, 401, "invalid_token", Reason.REFUSED_BY_HOOK),
    (InsufficientScopeError, rfc6750.InsufficientScopeError, 403, "insufficient_scope", Reason.INSUFFICIENT_SCOPE),
    (AccessDeniedError, rfc6749.AccessDeniedError, 403, "access_denied", Reason.REFUSED_BY_HOOK),
    (AccessDeniedError, InsufficientScopeError, 403, "access_denied", Reason.REFUSED_BY_HOOK),
    (
        InsufficientUserAuthenticationError,
        OAuth2Error,
        401,
        "insufficient_user_authentication",
        Reason.REFUSED_BY_HOOK,
    ),
    (TemporarilyUnavailableError, OAuth2Error, 503, "temporarily_unavailable", Reason.DATABASE_UNAVAILABLE),
]
classes = pytest.mark.parametrize("cls", [row[0] for row in TREE])


@pytest.mark.parametrize(("cls", "authlib", "status", "code", "reason"), TREE)
def test_tree(cls: type[GuardError], authlib: type[OAuth2Error], status: int, code: str, reason: Reason) -> None:
    """Each is Authlib's error of the same name, with its status and code, and says why by default."""
    error = cls()
    assert isinstance(error, GuardError)
    assert isinstance(error, authlib)
    assert isinstance(error, OAuth2Error)
    assert (error.status_code, error.error, error.reason) == (status, code, reason)
    assert error.get_body() == [("error", code), ("error_description", error.description)]
    assert error.description
    assert (error.challenge, error.scope, error.validator, error.stand_in) == (None, (), None, None)


@pytest.mark.parametrize("cls", [row[0] for row in TREE[2:]])
def test_arguments_are_authlibs(cls: type[GuardError]) -> None:
    """R29: a description, a URI and a state may be given as to Authlib's own, and a reason besides."""
    error = cls("in short", "https://example.com/why", state="s", reason=Reason.REVOKED, scope=("a", "b"))
    assert error.get_body() == [
        ("error", cls.error),
        ("error_description", "in short"),
        ("error_uri", "https://example.com/why"),
        ("state", "s"),
    ]
    assert error.reason == Reason.REVOKED
    assert error.scope == ("a", "b")


@pytest.mark.parametrize("cls", [row[0] for row in TREE[:2]])
def test_arguments_of_missing_credentials_are_authlibs(cls: type[GuardError]) -> None:
    """Authlib's two errors for requests that no validator was called for take a scheme and a realm."""
    error = cls("bearer", "r", reason=Reason.REFUSED_BY_HOOK, scope=("a",))
    assert (error.auth_type, error.realm) == ("bearer", "r")  # type: ignore[attr-defined]
    assert (error.reason, error.scope) == (Reason.REFUSED_BY_HOOK, ("a",))


@classes
def test_header_fields(cls: type[GuardError]) -> None:
    """R25: JSON that must not be stored; the challenge and the time to wait, if there are any."""
    error = cls()
    plain = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    waiting = [("Retry-After", "1")] if cls is TemporarilyUnavailableError else []
    assert error.get_headers() == plain + waiting
    error.challenge, error.retry_after = 'Bearer realm="api"', 0
    expected = [*plain, ("Retry-After", "0"), ("WWW-Authenticate", 'Bearer realm="api"')]
    assert sorted(error.get_headers()) == sorted(expected)


def test_stand_in() -> None:
    """If another error replaces this one, its body and header fields are sent, with our challenge if it has none."""
    error = InvalidTokenError(reason=Reason.EXPIRED)
    error.challenge = "of ours"
    error.stand_in = rfc6749.InvalidRequestError()
    assert error.get_headers() == [*error.stand_in.get_headers(), ("WWW-Authenticate", "of ours")]
    error.stand_in = rfc6750.InvalidTokenError("authlib's", realm="r")
    assert error.get_body() == error.stand_in.get_body()
    assert error.get_headers() == error.stand_in.get_headers()
    assert error.reason == Reason.EXPIRED


def test_reasons_are_words() -> None:
    """A reason is a string for logs, the name in small letters."""
    assert [str(reason) for reason in Reason] == [reason.name.lower() for reason in Reason]
    assert f"{Reason.EXPIRED}" == "expired"


def test_base_class() -> None:
    """A plain ``GuardError`` is the refusal of a hook."""
    assert GuardError().reason == Reason.REFUSED_BY_HOOK
    assert InvalidTokenError(reason=None).reason == Reason.REFUSED_BY_HOOK


ADOPTED: list[tuple[OAuth2Error, type[GuardError], str | None, int]] = [
    (rfc6750.InvalidTokenError(), InvalidTokenError, InvalidTokenError.description, 401),
    (rfc6750.InvalidTokenError("why"), InvalidTokenError, "why", 401),
    (rfc6750.InvalidTokenError(realm="r"), InvalidTokenError, InvalidTokenError.description, 401),
    (rfc6750.InsufficientScopeError(), InsufficientScopeError, InsufficientScopeError.description, 403),
    (rfc6749.InvalidRequestError(), InvalidRequestError, InvalidRequestError.description, 400),
    (rfc6749.InvalidRequestError("why"), InvalidRequestError, "why", 400),
    (
        rfc6749.MissingAuthorizationError(),
        MissingAuthorizationError,
        MissingAuthorizationError.description,
        401,
    ),
    (
        rfc6749.UnsupportedTokenTypeError(),
        UnsupportedTokenTypeError,
        UnsupportedTokenTypeError.description,
        401,
    ),
    (OAuth2Error(error="invalid_token"), InvalidTokenError, InvalidTokenError.description, 401),
    (OAuth2Error("why", error="insufficient_scope"), InsufficientScopeError, "why", 403),
    (
        OAuth2Error(error="temporarily_unavailable"),
        TemporarilyUnavailableError,
        TemporarilyUnavailableError.description,
        503,
    ),
    (rfc6749.AccessDeniedError(), AccessDeniedError, AccessDeniedError.description, 403),
    (rfc6749.AccessDeniedError("why"), AccessDeniedError, "why", 403),
    (OAuth2Error("why", error="access_denied", status_code=418), AccessDeniedError, "why", 418),
    (rfc6749.InvalidGrantError(), HookError, rfc6749.InvalidGrantError.description, 400),
    (
        OAuth2Error("why", error="insufficient_user_authentication"),
        InsufficientUserAuthenticationError,
        "why",
        401,
    ),
    (OAuth2Error("why", error="made_up", status_code=418), HookError, "why", 418),
    (OAuth2Error(), HookError, "", 400),
]


@pytest.mark.parametrize(("error", "cls", "description", "status"), ADOPTED, ids=lambda part: repr(part)[:50])
def test_adopted(error: OAuth2Error, cls: type[GuardError], description: str | None, status: int) -> None:
    """Authlib's errors become ours by their code, with a description that a hook gave; other codes stay as they are."""
    adopted = adopt_error(error)
    assert type(adopted) is cls
    assert adopted.reason == Reason.REFUSED_BY_HOOK
    assert adopted.status_code == status
    assert (adopted.description or "") == (description or "")
    if cls is HookError:
        assert adopted.error == error.error
        assert adopted.stand_in is error


@pytest.mark.parametrize(
    "error", [InvalidTokenError(reason=Reason.EXPIRED), TemporarilyUnavailableError(), GuardError()]
)
def test_ours_are_not_adopted(error: GuardError) -> None:
    """An error of the library is passed on, with its reason."""
    assert adopt_error(error) is error


def test_hook_error_is_its_origin() -> None:
    """An error with a custom code is answered as its author made it."""

    class TeapotError(OAuth2Error):
        error = "teapot"
        description = "short and stout"
        status_code = 418

        def get_headers(self) -> Any:
            return [("X-Spout", "here")]

    error = adopt_error(TeapotError())
    assert error.status_code == 418
    assert error.get_headers() == [("X-Spout", "here")]
    assert error.get_body() == [("error", "teapot"), ("error_description", "short and stout")]


def test_the_picture_shows_every_class() -> None:
    """The tree at the top of the module names each class."""
    names = [name for name in errors.__all__ if name.endswith("Error")]
    assert [name for name in names if name not in str(errors.__doc__)] == []
