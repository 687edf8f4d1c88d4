"""The validators of protectors, and their readable names, for reports and messages."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ..guard.protector import ResourceProtector
from ..validators.introspection import IntrospectTokenValidator
from ..validators.remote import issuers_of

__all__ = [
    "describe_validators",
    "distinct",
    "endpoint_of",
    "is_readable",
    "name_of_validator",
    "readable",
    "validators_of",
]


def readable(protectors: Iterable[ResourceProtector]) -> list[ResourceProtector]:
    """Those whose options and validators can be read. The system checks report the others."""
    return [protector for protector in protectors if is_readable(protector)]


def is_readable(protector: ResourceProtector) -> bool:
    try:
        _ = protector.validators
    except ImproperlyConfigured:
        return False
    return True


def validators_of(protectors: Iterable[ResourceProtector]) -> list[Any]:
    """The validators of readable protectors, each once."""
    return distinct(validator for protector in protectors for validator in protector.validators)


def distinct(validators: Iterable[Any]) -> list[Any]:
    return list({id(validator): validator for validator in validators}.values())


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
