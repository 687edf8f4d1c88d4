"""Guards as they were when they were made: what one test taught them is nothing to the next."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .. import outgoing
from ..protector import ALL_PROTECTORS
from ..validators.remote import RemoteTokenValidator

__all__ = ["forget_all"]


def forget_all() -> None:
    """Let guards know nothing of any server, and have no connection to one."""
    outgoing.close()
    for validator in _remote_validators():
        validator.forget()


def _remote_validators() -> Iterator[RemoteTokenValidator]:
    for protector in [*ALL_PROTECTORS]:
        try:
            validators = protector.validators
        except ImproperlyConfigured:
            # A test of the setting, perhaps. What cannot be built remembers nothing.
            continue
        yield from _remote_among(validators)


def _remote_among(validators: Iterable[Any]) -> Iterator[RemoteTokenValidator]:
    for validator in validators:
        # A validator of the site's own may ask one of ours.
        for each in (validator, *_attributes_of(validator)):
            if isinstance(each, RemoteTokenValidator):
                yield each


def _attributes_of(validator: Any) -> Iterator[Any]:
    for value in getattr(validator, "__dict__", {}).values():
        yield from value if isinstance(value, list | tuple) else (value,)
