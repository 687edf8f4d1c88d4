"""``compat="authlib"``: Authlib's answers, made by Authlib's own errors."""

from typing import Any

from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750

from .challenges import Protection, quoted
from .errors import (
    GuardError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
)
from .requirements import ATTRIBUTES

__all__ = ["answer_as_authlib"]

# What handlers written for Authlib read of its errors, beside their header fields.
_WIRE = ("description", "uri", "status_code", "state", "auth_type", "realm", "extra_attributes")


def answer_as_authlib(error: GuardError, protection: Protection | None) -> GuardError:
    """``error`` as Authlib has it, with its body and header fields; ``protection`` is of the validator concerned.

    An outage stays what it is: Authlib has no answer to it.
    """
    if isinstance(error, TemporarilyUnavailableError):
        return error
    if isinstance(error, InsufficientScopeError) and error.reason in ATTRIBUTES.values():
        # Authlib refuses the token for missing groups, and forgets the realm.
        error, protection = InvalidTokenError(reason=error.reason), None
    origin = error.__cause__
    error.stand_in = origin if isinstance(origin, OAuth2Error) else _written(_authlib_error(error, protection), error)
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


def _written(answer: OAuth2Error, error: GuardError) -> OAuth2Error:
    """``answer`` with what the author of a hook wrote into an error of ours."""
    for name in ("description", "uri", "status_code"):
        if getattr(error, name) != getattr(type(error), name):
            setattr(answer, name, getattr(error, name))
    return answer


def _raw(value: Any) -> str:
    # Authlib puts quotes around values and escapes nothing within.
    return quoted(value)[1:-1]
