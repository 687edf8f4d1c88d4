"""W025: the parameters of challenges that clients may misread, for ``manage.py check``."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

from ..protocol.challenges import misleading_parameters
from ..validators.hooks import attributes_of, realm_of
from .validator_names import name_of_validator

__all__ = ["challenge_messages"]

_APP = "async_oauth_guard"


def challenge_messages(protectors: Iterable[tuple[Any, Sequence[Any]]]) -> Iterator[CheckMessage]:
    """A message for each realm and attribute that clients may misread. Each protector comes with its validators."""
    told: set[tuple[str, str]] = set()
    for owner, name in _misleading(protectors):
        if (owner, name) not in told:
            told.add((owner, name))
            yield _message(owner, name)


def _misleading(protectors: Iterable[tuple[Any, Sequence[Any]]]) -> Iterator[tuple[str, str]]:
    for protector, validators in protectors:
        if validators:
            for name in misleading_parameters(protector.options.realm, {}):
                yield type(protector).__name__, name
        for validator in validators:
            for name in misleading_parameters(realm_of(validator), attributes_of(validator)):
                yield name_of_validator(validator), name


def _message(owner: str, name: str) -> CheckMessage:
    return checks.Warning(
        f"{owner}: {name} contains scope=, error= or resource_metadata=. Clients that parse challenges with regular "
        "expressions take it for that parameter.",
        hint="Choose a realm or an attribute without these words. The guard writes the parameters itself.",
        id=f"{_APP}.W025",
    )
