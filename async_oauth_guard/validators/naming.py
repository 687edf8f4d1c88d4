"""What validators are called, to people."""

from typing import Any

from .introspection import IntrospectTokenValidator
from .remote import RemoteTokenValidator

__all__ = ["describe_validators", "endpoint_of", "issuers_of", "name_of_validator"]


def describe_validators(protector: Any) -> str:
    """The validators of a protector, in words: ``"none"``, or ``"?"`` where they cannot be told."""
    try:
        return ", ".join(map(name_of_validator, protector.validators)) or "none"
    except Exception:
        # The settings are wrong, or the class of one of their validators is; the system checks say how.
        return "?"


def name_of_validator(validator: Any) -> str:
    """The class of a validator, and of a remote one the server; without a query, which may hold a key."""
    server = ", ".join(sorted(issuers_of(validator))) or endpoint_of(validator)
    return type(validator).__name__ + (f" of {server.partition('?')[0]}" if server else "")


def issuers_of(validator: Any) -> set[str]:
    """The issuers that a remote validator names."""
    # Of a subclass that compares issuers by itself, it may be anything.
    issuer: Any = validator.issuer if isinstance(validator, RemoteTokenValidator) else None
    issuers = issuer if isinstance(issuer, list | tuple | set | frozenset) else [issuer]
    return {each for each in issuers if isinstance(each, str)}


def endpoint_of(validator: Any) -> str | None:
    """The introspection endpoint that a validator names."""
    return validator.introspection_endpoint if isinstance(validator, IntrospectTokenValidator) else None
