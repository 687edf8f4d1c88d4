"""What a guard answers instead of the view.

::

    OAuth2Error                         Authlib's root: ``except OAuth2Error`` catches every refusal
    └── GuardError                      carries a ``reason``, a challenge and how long to wait
        ├── MissingAuthorizationError   401  nothing was presented            challenge without ``error``
        ├── UnsupportedTokenTypeError   401  another scheme was presented     challenge without ``error``
        ├── InvalidRequestError         400  the credentials are malformed
        ├── InvalidTokenError           401  this token is no good
        ├── InsufficientScopeError      403  the token is good, for something else
        ├── TemporarilyUnavailableError 503  we could not tell; no challenge
        └── HookError                   ...  a hook's own error, of a code that none of these has

Each that Authlib has too is a subclass of Authlib's and takes the same arguments.
"""

import enum
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750

__all__ = [
    "GuardError",
    "HookError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "InvalidTokenError",
    "MissingAuthorizationError",
    "OAuth2Error",
    "Reason",
    "TemporarilyUnavailableError",
    "UnsupportedTokenTypeError",
    "adopt_error",
    "errors_of_hooks",
]


class Reason(enum.StrEnum):
    """Why a request was refused. For logs, signals and metrics; clients never see it."""

    MISSING_CREDENTIALS = "missing_credentials"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    MALFORMED_CREDENTIALS = "malformed_credentials"
    REPEATED_CREDENTIALS = "repeated_credentials"
    TOKEN_TOO_LONG = "token_too_long"
    UNRECOGNISED_TOKEN = "unrecognised_token"
    UNKNOWN_TOKEN = "unknown_token"
    AMBIGUOUS_TOKEN = "ambiguous_token"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INACTIVE_USER = "inactive_user"
    UNUSABLE_CLIENT = "unusable_client"
    WRONG_AUDIENCE = "wrong_audience"
    MALFORMED_SCOPE = "malformed_scope"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    METHOD_NOT_NAMED = "method_not_named"
    INSUFFICIENT_GROUPS = "insufficient_groups"
    INSUFFICIENT_ROLES = "insufficient_roles"
    INSUFFICIENT_ENTITLEMENTS = "insufficient_entitlements"
    NO_USER = "no_user"
    CHECK_FAILED = "check_failed"
    REFUSED_BY_HOOK = "refused_by_hook"
    MALFORMED_JWT = "malformed_jwt"
    WRONG_TYPE = "wrong_type"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    CRITICAL_HEADER = "critical_header"
    WRONG_ISSUER = "wrong_issuer"
    MISSING_CLAIM = "missing_claim"
    MALFORMED_CLAIM = "malformed_claim"
    WRONG_CLAIM = "wrong_claim"
    NOT_YET_VALID = "not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    SENDER_CONSTRAINED = "sender_constrained"
    INACTIVE_TOKEN = "inactive_token"
    UNKNOWN_USER = "unknown_user"
    DATABASE_UNAVAILABLE = "database_unavailable"
    SERVER_UNREACHABLE = "server_unreachable"
    SERVER_TOO_SLOW = "server_too_slow"
    SERVER_ANSWER_UNUSABLE = "server_answer_unusable"
    TOKEN_ANSWER_UNUSABLE = "token_answer_unusable"
    SERVER_REFUSES_US = "server_refuses_us"
    METADATA_UNUSABLE = "metadata_unusable"
    KEYS_UNAVAILABLE = "keys_unavailable"
    BACKING_OFF = "backing_off"
    TOO_MANY_CALLS = "too_many_calls"


class GuardError(OAuth2Error):
    """A refusal of ours: what Authlib's errors carry, and why.

    Attributes:
        reason: a `Reason`.
        challenge: the value of ``WWW-Authenticate``, or ``None``.
        retry_after: seconds to wait before another try, or ``None``.
        scope: the scopes that would suffice, as the challenge names them; empty where none would.
        scheme: the auth-scheme that the client used, in lower case, where the request tells.
        validator: the validator that refused, if it was one.
    """

    default_reason = Reason.REFUSED_BY_HOOK
    reason: Reason
    challenge: str | None = None
    retry_after: int | None = None
    scope: tuple[str, ...] = ()
    scheme: str | None = None
    validator: Any = None
    # The error whose body and header fields are sent in place of ours, where that is wanted.
    stand_in: OAuth2Error | None = None

    def __init__(
        self,
        *args: Any,
        reason: Reason | None = None,
        scope: tuple[str, ...] = (),
        scheme: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.reason = self.default_reason if reason is None else reason
        self.scope = scope
        self.scheme = scheme

    def get_body(self) -> list[Any]:
        """The members of the JSON body, in order."""
        if self.stand_in is not None:
            return list(self.stand_in.get_body())
        return list(super().get_body())

    def get_headers(self) -> list[tuple[str, str]]:
        """The header fields of the answer, but for ``Vary``, which belongs to the view as a whole."""
        if self.stand_in is not None:
            return self._with_challenge(list(self.stand_in.get_headers()))
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if self.retry_after is not None:
            headers.append(("Retry-After", str(self.retry_after)))
        return self._with_challenge(headers)

    def _with_challenge(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        if self.challenge is None or any(name.lower() == "www-authenticate" for name, _ in headers):
            return headers
        return [*headers, ("WWW-Authenticate", self.challenge)]


class MissingAuthorizationError(GuardError, rfc6749.MissingAuthorizationError):
    """No credentials were presented (RFC 6750 §3.1: the challenge carries no error code)."""

    default_reason = Reason.MISSING_CREDENTIALS
    description = "The request carries no access token."


class UnsupportedTokenTypeError(GuardError, rfc6749.UnsupportedTokenTypeError):
    """Credentials of a scheme that no validator serves (RFC 6750 §3.1: no error code either)."""

    default_reason = Reason.UNSUPPORTED_SCHEME
    description = "The authentication scheme is not supported here."


class InvalidRequestError(GuardError, rfc6749.InvalidRequestError):
    """The credentials are malformed or repeated (RFC 6750 §3.1)."""

    default_reason = Reason.MALFORMED_CREDENTIALS
    description = "The credentials in the Authorization header are malformed or repeated."


class InvalidTokenError(GuardError, rfc6750.InvalidTokenError):
    """The token is expired, revoked, malformed, unknown or otherwise no good (RFC 6750 §3.1)."""


class InsufficientScopeError(GuardError, rfc6750.InsufficientScopeError):
    """The token is good, but does not reach this far (RFC 6750 §3.1)."""

    default_reason = Reason.INSUFFICIENT_SCOPE


class TemporarilyUnavailableError(GuardError):
    """The token could not be judged, through no fault of the client's: never a reason to drop it.

    The code is that of RFC 6749 §4.1.2.1; RFC 6750 registers none for this, so it stands in the body alone.
    """

    error = "temporarily_unavailable"
    description = "The access token cannot be checked at the moment."
    status_code = 503
    default_reason = Reason.DATABASE_UNAVAILABLE
    retry_after = 1

    def __init__(self, *args: Any, retry_after: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if retry_after is not None:
            self.retry_after = retry_after

    def again(self) -> "TemporarilyUnavailableError":
        """The same for somebody else who waited for the same thing: without traceback, cause or validator."""
        return TemporarilyUnavailableError(reason=self.reason, retry_after=self.retry_after)


class HookError(GuardError):
    """An error of Authlib's kind with a code of its own, raised by a hook and answered as its author made it."""

    def __init__(self, origin: OAuth2Error) -> None:
        super().__init__(error=origin.error)
        self.stand_in = origin


# By code: ours, and the class that Authlib has for it.
_BY_CODE: Mapping[str, tuple[type[GuardError], type[OAuth2Error]]] = {
    str(authlib.error): (ours, authlib)
    for ours, authlib in (
        (MissingAuthorizationError, rfc6749.MissingAuthorizationError),
        (UnsupportedTokenTypeError, rfc6749.UnsupportedTokenTypeError),
        (InvalidRequestError, rfc6749.InvalidRequestError),
        (InvalidTokenError, rfc6750.InvalidTokenError),
        (InsufficientScopeError, rfc6750.InsufficientScopeError),
        (TemporarilyUnavailableError, TemporarilyUnavailableError),
    )
}


@contextmanager
def errors_of_hooks() -> Iterator[None]:
    """Raise what a hook raised as it was, for ``except`` clauses that name its class."""
    try:
        yield
    except GuardError as error:
        origin = error.__cause__
        if not isinstance(origin, OAuth2Error):
            raise
        raise origin from None


def adopt_error(error: OAuth2Error) -> GuardError:
    """The error of ours with the code of one that a hook raised, and with what the hook's author put into it.

    The hook's own error is its cause.
    """
    if isinstance(error, GuardError):
        return error
    ours, authlib = _BY_CODE.get(str(error.error), (None, OAuth2Error))
    adopted = HookError(error) if ours is None else ours(reason=Reason.REFUSED_BY_HOOK)
    adopted.__cause__ = error
    adopted.uri = error.uri
    if isinstance(error, authlib) or "status_code" in vars(error):
        # Not the one that Authlib's root class has for any error.
        adopted.status_code = error.status_code
    if error.description not in ("", authlib.description):
        adopted.description = error.description
    return adopted
