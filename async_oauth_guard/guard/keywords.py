"""Checks that each keyword of a guard is enforced: one that no hook accepts would be lost, and more tokens let in."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ..protocol.requirements import Requirements
from ..validators.hooks import keywords_named, keywords_taken, overridden
from .interface import Protector

__all__ = ["UnenforceableError", "check_acquire_token", "check_flags", "check_requirements"]


class UnenforceableError(ImproperlyConfigured):
    """A requirement that the options of a protector do not allow."""


def check_flags(**flags: object) -> None:
    """Check that each value is a ``bool``."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, got {type(flag).__name__}")


def check_requirements(protector: Protector, requirements: Requirements) -> None:
    """Check that a protector can enforce ``requirements``.

    Raises:
        TypeError: the ``validate_token`` hook of a validator does not accept a keyword, or a validator has no hook.
        UnenforceableError: the protector has neither ``dpop`` nor ``mtls``, so no bound token could be let in.
    """
    if requirements.sender_constrained and protector.options.dpop is None and protector.options.mtls is None:
        raise UnenforceableError("sender_constrained=True requires a ResourceProtector with dpop or mtls")
    if requirements.extra:
        _check_validators(protector.validators, requirements.extra)


def _check_validators(validators: Iterable[Any], keywords: Mapping[str, Any]) -> None:
    for validator in validators:
        validate_token = overridden(validator, "validate_token")
        taken = keywords_taken(validate_token, keywords) if validate_token else ()
        for name in keywords:
            if name not in taken:
                raise TypeError(f"{type(validator).__name__}.validate_token() must accept the keyword {name}")


def check_acquire_token(acquire_token: Callable[..., Any], owner: str, requirements: Requirements) -> None:
    """Check that an overridden ``acquire_token`` of the class ``owner`` accepts what only it can enforce.

    It must accept ``scopes``, and name ``fresh`` and the keywords of validators in its signature.
    """
    to_name = {**requirements.extra, **({"fresh": True} if requirements.fresh else {})}
    named = keywords_named(acquire_token, to_name, positional=1)
    lost = [name for name in to_name if name not in named]
    if not requirements.scopes.is_any and not keywords_taken(acquire_token, {"scopes": None}, positional=1):
        lost.append("scopes")
    if lost:
        raise TypeError(
            f"{owner}.acquire_token() must name the keyword {lost[0]} in its signature; otherwise it would be lost"
        )
