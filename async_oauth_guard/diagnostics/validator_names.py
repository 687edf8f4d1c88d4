"""Readable names of validators, for reports and messages."""

from typing import Any

from ..validators.introspection import IntrospectTokenValidator
from ..validators.remote import issuers_of

__all__ = ["describe_validators", "endpoint_of", "name_of_validator"]


def describe_validators(protector: Any) -> str:
    """The validators of a protector, as text; ``"none"`` if it has none, ``"?"`` if they cannot be built."""
    try:
        return ", ".join(map(name_of_validator, protector.validators)) or "none"
    except Exception:
        # The settings, or a validator's class, have an error. The system checks report it.
        return "?"


def name_of_validator(validator: Any) -> str:
    """The class of a validator and, for a remote one, its server without a query, which may contain a secret."""
    server = ", ".join(sorted(issuers_of(validator))) or endpoint_of(validator)
    return type(validator).__name__ + (f" of {server.partition('?')[0]}" if server else "")


def endpoint_of(validator: Any) -> str | None:
    """The introspection endpoint of a validator, or ``None``."""
    return validator.introspection_endpoint if isinstance(validator, IntrospectTokenValidator) else None
