"""The refusal or outage that stands in for a verdict, made anew for each request."""

from collections.abc import Mapping
from typing import Any

from ..errors import (
    GuardError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    Reason,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
)

__all__ = ["ERRORS", "copy_of", "is_of_credentials", "read_error"]

ERRORS: Mapping[Reason, type[GuardError]] = {
    Reason.MISSING_CREDENTIALS: MissingAuthorizationError,
    Reason.UNSUPPORTED_SCHEME: UnsupportedTokenTypeError,
    Reason.MALFORMED_CREDENTIALS: InvalidRequestError,
    Reason.REPEATED_CREDENTIALS: InvalidRequestError,
    Reason.TOKEN_TOO_LONG: InvalidTokenError,
    Reason.UNRECOGNISED_TOKEN: InvalidTokenError,
    Reason.UNKNOWN_TOKEN: InvalidTokenError,
    Reason.AMBIGUOUS_TOKEN: InvalidTokenError,
    Reason.EXPIRED: InvalidTokenError,
    Reason.REVOKED: InvalidTokenError,
    Reason.INACTIVE_USER: InvalidTokenError,
    Reason.UNUSABLE_CLIENT: InvalidTokenError,
    Reason.WRONG_AUDIENCE: InvalidTokenError,
    Reason.MALFORMED_SCOPE: InvalidTokenError,
    Reason.INSUFFICIENT_SCOPE: InsufficientScopeError,
    Reason.METHOD_NOT_NAMED: InsufficientScopeError,
    Reason.INSUFFICIENT_GROUPS: InsufficientScopeError,
    Reason.INSUFFICIENT_ROLES: InsufficientScopeError,
    Reason.INSUFFICIENT_ENTITLEMENTS: InsufficientScopeError,
    Reason.NO_USER: InsufficientScopeError,
    Reason.CHECK_FAILED: InsufficientScopeError,
    Reason.REFUSED_BY_HOOK: InvalidTokenError,
    Reason.MALFORMED_JWT: InvalidTokenError,
    Reason.WRONG_TYPE: InvalidTokenError,
    Reason.UNSUPPORTED_ALGORITHM: InvalidTokenError,
    Reason.CRITICAL_HEADER: InvalidTokenError,
    Reason.WRONG_ISSUER: InvalidTokenError,
    Reason.MISSING_CLAIM: InvalidTokenError,
    Reason.MALFORMED_CLAIM: InvalidTokenError,
    Reason.WRONG_CLAIM: InvalidTokenError,
    Reason.NOT_YET_VALID: InvalidTokenError,
    Reason.ISSUED_IN_FUTURE: InvalidTokenError,
    Reason.UNKNOWN_KEY: InvalidTokenError,
    Reason.BAD_SIGNATURE: InvalidTokenError,
    Reason.SENDER_CONSTRAINED: InvalidTokenError,
    Reason.INACTIVE_TOKEN: InvalidTokenError,
    Reason.UNKNOWN_USER: InvalidTokenError,
    Reason.DATABASE_UNAVAILABLE: TemporarilyUnavailableError,
    Reason.SERVER_UNREACHABLE: TemporarilyUnavailableError,
    Reason.SERVER_TOO_SLOW: TemporarilyUnavailableError,
    Reason.SERVER_ANSWER_UNUSABLE: TemporarilyUnavailableError,
    Reason.TOKEN_ANSWER_UNUSABLE: TemporarilyUnavailableError,
    Reason.SERVER_REFUSES_US: TemporarilyUnavailableError,
    Reason.METADATA_UNUSABLE: TemporarilyUnavailableError,
    Reason.KEYS_UNAVAILABLE: TemporarilyUnavailableError,
    Reason.BACKING_OFF: TemporarilyUnavailableError,
    Reason.TOO_MANY_CALLS: TemporarilyUnavailableError,
}
"""With which error a guard refuses for each reason."""

_WANTED = "a Reason, its name, or a GuardError such as InvalidTokenError is wanted"


def read_error(error: Any) -> GuardError:
    """The error that ``error`` names: a `Reason`, its name, a class of errors, or an instance.

    Raises:
        TypeError: it is nothing of these.
        ValueError: it is no name of a reason.
    """
    if isinstance(error, str):
        reason = _read_reason(error)
        return ERRORS[reason](reason=reason)
    if isinstance(error, GuardError):
        return error
    if isinstance(error, type) and issubclass(error, GuardError):
        return _make(error)
    given = error.__name__ if isinstance(error, type) else type(error).__name__
    raise TypeError(f"error: {_WANTED}, not {given}")


def copy_of(error: GuardError) -> GuardError:
    """The same for one request, which writes its challenge and its traceback into it."""
    # Not by `copy.copy()`, which would hand the message to the class as its first argument.
    copy = type(error).__new__(type(error), *error.args)
    vars(copy).update(vars(error))
    copy.__cause__ = error.__cause__
    return copy


def is_of_credentials(error: GuardError) -> bool:
    """Whether it is raised before any validator is asked."""
    return isinstance(error, MissingAuthorizationError | UnsupportedTokenTypeError | InvalidRequestError)


def _read_reason(name: str) -> Reason:
    try:
        return Reason(name.lower())
    except ValueError:
        raise ValueError(f"error: there is no reason {name!r}; write a member of async_oauth_guard.Reason") from None


def _make(cls: type[GuardError]) -> GuardError:
    try:
        made = cls()
    except TypeError:
        raise TypeError(f"error: {cls.__name__} cannot be made without arguments: give an instance") from None
    if made.error is None:
        raise TypeError(f"error: {cls.__name__} has no error code: {_WANTED}")
    return made
