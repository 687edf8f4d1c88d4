"""``compat="authlib"``: responses that equal Authlib's, made by Authlib's own errors."""

from typing import Any

from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750

from ..errors import (
    GuardError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
)
from ..protocol.challenges import Protection, quoted
from ..protocol.requirements import ATTRIBUTES

__all__ = ["respond_as_authlib"]

# The attributes of Authlib's errors that handlers written for Authlib read, in addition to the headers.
_WIRE = ("error", "description", "uri", "status_code", "state", "auth_type", "realm", "extra_attributes")


def respond_as_authlib(error: GuardError, protection: Protection | None) -> GuardError:
    """``error`` with the body and headers of Authlib's error. ``protection`` belongs to the validator that refused.

    An outage is not changed, because Authlib has no response for one.
    """
    if isinstance(error, TemporarilyUnavailableError):
        return error
    if isinstance(error, InsufficientScopeError) and error.reason in ATTRIBUTES.values():
        # If groups, roles or entitlements are missing, Authlib responds with invalid_token and without the realm.
        error, protection = InvalidTokenError(reason=error.reason), None
    origin = error.__cause__
    error.stand_in = (
        origin if isinstance(origin, OAuth2Error) else _with_details(_authlib_error(error, protection), error)
    )
    for name in _WIRE:
        if hasattr(error.stand_in, name):
            setattr(error, name, getattr(error.stand_in, name))
    return error


def _authlib_error(error: GuardError, protection: Protection | None) -> OAuth2Error:
    realm = _raw(protection.realm) if protection and protection.realm else None
    if isinstance(error, MissingAuthorizationError):
        return rfc6749.MissingAuthorizationError(protection and protection.scheme, realm)
    if isinstance(error, UnsupportedTokenTypeError):
        return rfc6749.UnsupportedTokenTypeError(protection and protection.scheme, realm)
    if isinstance(error, InvalidTokenError):
        attributes = {name: _raw(value) for name, value in (protection.attributes if protection else {}).items()}
        return rfc6750.InvalidTokenError(realm=realm, extra_attributes=attributes)
    if isinstance(error, InvalidRequestError):
        return rfc6749.InvalidRequestError()
    return rfc6750.InsufficientScopeError()


def _with_details(response: OAuth2Error, error: GuardError) -> OAuth2Error:
    """``response`` with the details that the author of a hook set on ``error``."""
    for name in ("description", "uri", "status_code"):
        if getattr(error, name) != getattr(type(error), name):
            setattr(response, name, getattr(error, name))
    return response


def _raw(value: Any) -> str:
    # Authlib puts quotes around values, but escapes nothing inside.
    return quoted(value)[1:-1]
