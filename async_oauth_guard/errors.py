"""The errors of a guard: each one becomes the response that the client gets instead of the view's.

::

    OAuth2Error                         Authlib's base class: ``except OAuth2Error`` catches every error
    └── GuardError                      has a ``reason``, a challenge and a time to wait
        ├── MissingAuthorizationError   401  nothing was presented            challenge without ``error``
        ├── UnsupportedTokenTypeError   401  another scheme was presented     challenge without ``error``
        ├── InvalidRequestError         400  the credentials are malformed
        ├── InvalidTokenError           401  the token is invalid
        ├── InsufficientUserAuthenticationError  401  its user must authenticate again, or by other means
        ├── InvalidDPoPProofError       401  the DPoP proof is missing or invalid
        ├── UseDPoPNonceError           401  the DPoP proof must contain a nonce, which the response has
        ├── InsufficientScopeError      403  the token is valid, but lacks scopes for this request
        │   └── AccessDeniedError       403  the token is valid, and no scope would help; no challenge
        ├── TemporarilyUnavailableError 503  the token could not be validated (an outage); no challenge
        └── HookError                   ...  a hook raised an error with a code that no class above has

If Authlib has an error of the same name, ours is a subclass of it and takes the same arguments.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750

__all__ = [
    "AccessDeniedError",
    "GuardError",
    "HookError",
    "InsufficientScopeError",
    "InsufficientUserAuthenticationError",
    "InvalidDPoPProofError",
    "InvalidRequestError",
    "InvalidTokenError",
    "MissingAuthorizationError",
    "OAuth2Error",
    "Reason",
    "TemporarilyUnavailableError",
    "UnsupportedTokenTypeError",
    "UseDPoPNonceError",
    "adopt_error",
    "error_of",
    "reason_of",
    "errors_of_hooks",
]


class Reason(enum.StrEnum):
    """Why a request was refused. For logs, signals and metrics. Clients never see it."""

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
    INSUFFICIENT_ACR = "insufficient_acr"
    AUTHENTICATION_TOO_OLD = "authentication_too_old"
    INSUFFICIENT_AUTHORIZATION_DETAILS = "insufficient_authorization_details"
    METHOD_NOT_NAMED = "method_not_named"
    INSUFFICIENT_GROUPS = "insufficient_groups"
    INSUFFICIENT_ROLES = "insufficient_roles"
    INSUFFICIENT_ENTITLEMENTS = "insufficient_entitlements"
    NO_USER = "no_user"
    CHECK_FAILED = "check_failed"
    AUTHENTICATED_OTHERWISE = "authenticated_otherwise"
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
    UNBOUND_TOKEN = "unbound_token"
    BINDING_REQUIRED = "binding_required"
    WRONG_CONFIRMATION = "wrong_confirmation"
    UNSUPPORTED_CONFIRMATION = "unsupported_confirmation"
    MISSING_PROOF = "missing_proof"
    REPEATED_PROOF = "repeated_proof"
    MALFORMED_PROOF = "malformed_proof"
    WRONG_PROOF_TYPE = "wrong_proof_type"
    UNSUPPORTED_PROOF_ALGORITHM = "unsupported_proof_algorithm"
    WRONG_PROOF_METHOD = "wrong_proof_method"
    WRONG_PROOF_URI = "wrong_proof_uri"
    PROOF_ISSUED_IN_FUTURE = "proof_issued_in_future"
    EXPIRED_PROOF = "expired_proof"
    PROOF_FOR_ANOTHER_TOKEN = "proof_for_another_token"
    UNUSABLE_PROOF_KEY = "unusable_proof_key"
    BAD_PROOF_SIGNATURE = "bad_proof_signature"
    REPLAYED_PROOF = "replayed_proof"
    MISSING_NONCE = "missing_nonce"
    INVALID_NONCE = "invalid_nonce"
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
    REPLAY_STORE_UNAVAILABLE = "replay_store_unavailable"
    REPLAY_STORE_FULL = "replay_store_full"


class GuardError(OAuth2Error):
    """Base class of our errors: an Authlib error that also has a reason.

    Attributes:
        reason: a `Reason`.
        challenge: the value of ``WWW-Authenticate``, or ``None``.
        retry_after: seconds to wait before another try, or ``None``.
        scope: the scopes that would be sufficient, as the challenge names them. Empty if no scope would help.
        scheme: the auth-scheme that the client used, in lower case, or ``None`` if the request does not show it.
        validator: the validator that refused the request, or ``None``.
        dpop_nonce: a nonce for the client's next DPoP proof (RFC 9449 §8.2), or ``None``.
        vary: the request headers on which the responses of the view depend.
    """

    default_reason = Reason.REFUSED_BY_HOOK
    reason: Reason
    challenge: str | None = None
    retry_after: int | None = None
    scope: tuple[str, ...] = ()
    scheme: str | None = None
    validator: Any = None
    dpop_nonce: str | None = None
    vary: tuple[str, ...] = ("Authorization",)
    # What a guard wrote into `scope`. A hook may raise the same error again, for another request.
    _named_scope: tuple[str, ...] = ()
    # If set, the response has the body and headers of this error instead.
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
        """The headers of the response, except ``Vary``, which every response of the view has."""
        if self.stand_in is not None:
            return self._with_challenge(list(self.stand_in.get_headers()))
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if self.retry_after is not None:
            headers.append(("Retry-After", str(self.retry_after)))
        if self.dpop_nonce is not None:
            headers.append(("DPoP-Nonce", self.dpop_nonce))
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
    """The credentials use a scheme that no validator supports (RFC 6750 §3.1: no error code either)."""

    default_reason = Reason.UNSUPPORTED_SCHEME
    description = "The authentication scheme is not supported here."


class InvalidRequestError(GuardError, rfc6749.InvalidRequestError):
    """The credentials are malformed or repeated (RFC 6750 §3.1)."""

    default_reason = Reason.MALFORMED_CREDENTIALS
    description = "The credentials in the Authorization header are malformed or repeated."


class InvalidTokenError(GuardError, rfc6750.InvalidTokenError):
    """The token is expired, revoked, malformed, unknown or invalid for another reason (RFC 6750 §3.1)."""


class InvalidDPoPProofError(GuardError):
    """The request has no valid DPoP proof (RFC 9449 §7.1): it is missing, repeated, malformed, stale or replayed."""

    error = "invalid_dpop_proof"
    description = "The DPoP proof is missing or invalid."
    status_code = 401
    default_reason = Reason.MALFORMED_PROOF


class UseDPoPNonceError(GuardError):
    """The DPoP proof must contain a nonce that this site has issued (RFC 9449 §9). The response has a new one."""

    error = "use_dpop_nonce"
    description = "The DPoP proof must contain the nonce from the DPoP-Nonce header."
    status_code = 401
    default_reason = Reason.MISSING_NONCE


class InsufficientUserAuthenticationError(GuardError):
    """The token is valid, but its user must authenticate again or by other means: step-up (RFC 9470 §3).

    Attributes:
        acr_values: the authentication context class references of which the server must meet one; may be empty.
        max_age: the most seconds since the user authenticated, or ``None``.
    """

    error = "insufficient_user_authentication"
    description = "The user must authenticate again, or in another way."
    status_code = 401

    def __init__(
        self, *args: Any, acr_values: str | Iterable[str] = (), max_age: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.acr_values = (acr_values,) if isinstance(acr_values, str) else tuple(acr_values)
        self.max_age = max_age


class InsufficientScopeError(GuardError, rfc6750.InsufficientScopeError):
    """The token is valid, but this request requires more privileges (RFC 6750 §3.1)."""

    default_reason = Reason.INSUFFICIENT_SCOPE


class AccessDeniedError(InsufficientScopeError, rfc6749.AccessDeniedError):
    """The token is valid, but does not let in this request, and a token with other scopes would not either.

    Clients that see ``insufficient_scope`` send the user through authorization again, for nothing. So the error code is
    that of RFC 6749 §4.1.2.1, only the body has it, and there is no challenge.
    """

    error = "access_denied"
    description = "The access token is valid, but does not allow this request."
    default_reason = Reason.REFUSED_BY_HOOK


class TemporarilyUnavailableError(GuardError):
    """An outage: the token could not be validated. The client should keep its token and try again.

    The error code comes from RFC 6749 §4.1.2.1. RFC 6750 registers none for this case, so only the body has it, and
    there is no challenge.
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
        """A copy for another request that waited for the same result, without traceback, cause or validator."""
        return TemporarilyUnavailableError(reason=self.reason, retry_after=self.retry_after)


class HookError(GuardError):
    """A hook raised an ``OAuth2Error`` with its own error code. The response is what that error defines."""

    def __init__(self, origin: OAuth2Error) -> None:
        super().__init__(error=origin.error)
        self.stand_in = origin


_CLASSES: Mapping[Reason, type[GuardError]] = {
    reason: cls
    for cls, reasons in (
        (MissingAuthorizationError, {Reason.MISSING_CREDENTIALS}),
        (UnsupportedTokenTypeError, {Reason.UNSUPPORTED_SCHEME}),
        (InvalidRequestError, {Reason.MALFORMED_CREDENTIALS, Reason.REPEATED_CREDENTIALS}),
        (InsufficientUserAuthenticationError, {Reason.INSUFFICIENT_ACR, Reason.AUTHENTICATION_TOO_OLD}),
        (InsufficientScopeError, {Reason.INSUFFICIENT_SCOPE, Reason.INSUFFICIENT_AUTHORIZATION_DETAILS}),
        (
            InvalidDPoPProofError,
            {
                Reason.MISSING_PROOF, Reason.REPEATED_PROOF, Reason.MALFORMED_PROOF, Reason.WRONG_PROOF_TYPE,
                Reason.UNSUPPORTED_PROOF_ALGORITHM, Reason.WRONG_PROOF_METHOD, Reason.WRONG_PROOF_URI,
                Reason.PROOF_ISSUED_IN_FUTURE, Reason.EXPIRED_PROOF, Reason.PROOF_FOR_ANOTHER_TOKEN,
                Reason.UNUSABLE_PROOF_KEY, Reason.BAD_PROOF_SIGNATURE, Reason.REPLAYED_PROOF,
            },
        ),
        (UseDPoPNonceError, {Reason.MISSING_NONCE, Reason.INVALID_NONCE}),
        (
            AccessDeniedError,
            {
                Reason.METHOD_NOT_NAMED, Reason.INSUFFICIENT_GROUPS, Reason.INSUFFICIENT_ROLES,
                Reason.INSUFFICIENT_ENTITLEMENTS, Reason.NO_USER, Reason.CHECK_FAILED, Reason.AUTHENTICATED_OTHERWISE,
            },
        ),
        (
            TemporarilyUnavailableError,
            {
                Reason.DATABASE_UNAVAILABLE, Reason.SERVER_UNREACHABLE, Reason.SERVER_TOO_SLOW,
                Reason.SERVER_ANSWER_UNUSABLE, Reason.TOKEN_ANSWER_UNUSABLE, Reason.SERVER_REFUSES_US,
                Reason.METADATA_UNUSABLE, Reason.KEYS_UNAVAILABLE, Reason.BACKING_OFF, Reason.TOO_MANY_CALLS,
                Reason.REPLAY_STORE_UNAVAILABLE, Reason.REPLAY_STORE_FULL,
            },
        ),
    )
    for reason in reasons
}  # fmt: skip


def reason_of(error: GuardError) -> Reason:
    """The reason of ``error``. If a hook set something that is not a `Reason`, this is ``REFUSED_BY_HOOK``."""
    reason: Any = error.reason
    return reason if isinstance(reason, Reason) else Reason.REFUSED_BY_HOOK


def error_of(reason: Reason) -> GuardError:
    """The error that a guard raises for ``reason``."""
    return _CLASSES.get(reason, InvalidTokenError)(reason=reason)


# By error code: our class, and Authlib's class.
_BY_CODE: Mapping[str, tuple[type[GuardError], type[OAuth2Error]]] = {
    str(authlib.error): (ours, authlib)
    for ours, authlib in (
        (MissingAuthorizationError, rfc6749.MissingAuthorizationError),
        (UnsupportedTokenTypeError, rfc6749.UnsupportedTokenTypeError),
        (InvalidRequestError, rfc6749.InvalidRequestError),
        (InvalidTokenError, rfc6750.InvalidTokenError),
        (InsufficientScopeError, rfc6750.InsufficientScopeError),
        (AccessDeniedError, rfc6749.AccessDeniedError),
        (InsufficientUserAuthenticationError, InsufficientUserAuthenticationError),
        (TemporarilyUnavailableError, TemporarilyUnavailableError),
    )
}


@contextmanager
def errors_of_hooks() -> Iterator[None]:
    """Re-raise the error that a hook raised, so that ``except`` clauses for its class catch it."""
    try:
        yield
    except GuardError as error:
        origin = error.__cause__
        if not isinstance(origin, OAuth2Error):
            raise
        raise origin from None


def adopt_error(error: OAuth2Error) -> GuardError:
    """Our error for an error that a hook raised: with the same code, and with the details that the hook set.

    The hook's error is its ``__cause__``.
    """
    if isinstance(error, GuardError):
        return error
    ours, authlib = _BY_CODE.get(str(error.error), (None, OAuth2Error))
    adopted = HookError(error) if ours is None else ours(reason=Reason.REFUSED_BY_HOOK)
    adopted.__cause__ = error
    adopted.uri = error.uri
    if "status_code" in vars(error) or (isinstance(error, authlib) and error.status_code != authlib.status_code):
        # Not the default status of Authlib's class or its base class.
        adopted.status_code = error.status_code
    if error.description not in ("", authlib.description):
        adopted.description = error.description
    return adopted
