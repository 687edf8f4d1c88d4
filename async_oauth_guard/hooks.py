"""Which methods of a validator or protector are its author's own: those are called in place of our rules."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator

__all__ = ["attributes_of", "door", "hook", "keywords_named", "keywords_taken", "realm_of"]

F = TypeVar("F", bound=Callable[..., Any])

# Doors to our own rules, and Authlib's methods without any.
_OURS: set[Any] = {AuthlibTokenValidator.validate_request, AuthlibTokenValidator.scope_insufficient}


def door(method: F) -> F:
    """Mark a method of ours that does what the guard does anyway, for those who call it directly."""
    _OURS.add(method)
    return method


def hook(owner: Any, name: str) -> Callable[..., Any] | None:
    """The method ``name`` that the author of ``owner`` defined, or ``None`` where it is ours or Authlib's no-op."""
    method = getattr(owner, name, None)
    return None if getattr(method, "__func__", method) in _OURS else method


def realm_of(validator: Any) -> str | None:
    """The realm of a validator, which may be of a class of its author's own, without any."""
    realm: str | None = getattr(validator, "realm", None)
    return realm


def attributes_of(validator: Any) -> Mapping[str, Any]:
    """The further parameters of a validator's challenges; see `realm_of`."""
    attributes: Mapping[str, Any] | None = getattr(validator, "extra_attributes", None)
    return attributes or {}


def keywords_taken(validate_token: Callable[..., Any], keywords: Mapping[str, Any]) -> Collection[str]:
    """Those of ``keywords`` that a ``validate_token(token, scopes, request, ...)`` names, or takes by ``**``."""
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(validate_token)):
        return keywords.keys()
    return keywords_named(validate_token, keywords)


def keywords_named(validate_token: Callable[..., Any], keywords: Mapping[str, Any]) -> Collection[str]:
    """Those of ``keywords`` that it names, so that its author has thought of them."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return keywords.keys() & {
        parameter.name for parameter in _parameters(validate_token)[3:] if parameter.kind in named
    }


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())
