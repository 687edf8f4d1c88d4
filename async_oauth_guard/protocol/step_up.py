"""Step-up authentication (RFC 9470): how the user of a token must have authenticated, and how recently."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .claims import LARGEST_LEAD, read_seconds

__all__ = ["StepUp", "parse_step_up"]

# RFC 9470 §3: `acr_values` is a space-separated string, so a value has no space.
_ACR_VALUE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


@dataclass(frozen=True, slots=True)
class StepUp:
    """What a view requires of the authentication of the token's user.

    Attributes:
        acr_values: authentication context class references, in order of preference. The token's ``acr`` must be one of
            them. If empty, any authentication is enough.
        max_age: the most seconds since the user authenticated; ``None`` for any time.
    """

    acr_values: tuple[str, ...] = ()
    max_age: int | None = None

    def accepts_acr(self, acr: Any) -> bool:
        """Whether ``acr`` of a token is one of the values. RFC 9068 §2.2.1: it is a string."""
        return not self.acr_values or (isinstance(acr, str) and acr in self.acr_values)

    def accepts_auth_time(self, auth_time: Any, now: float) -> bool:
        """Whether the user authenticated recently enough. ``now`` is in seconds since the epoch.

        Args:
            auth_time: the value in the token, in seconds since the epoch, or a ``datetime`` in a row.
        """
        if self.max_age is None:
            return True
        at = read_seconds(auth_time)
        # Whole seconds, so that an authentication in the current second satisfies `max_age=0`. NaN satisfies nothing.
        return at is not None and math.floor(now) - self.max_age <= at <= now + LARGEST_LEAD

    def unmet(self, acr: Any, auth_time: Any, now: float) -> "StepUp":
        """The part that the token does not meet, for the challenge."""
        return StepUp(
            () if self.accepts_acr(acr) else self.acr_values,
            None if self.accepts_auth_time(auth_time, now) else self.max_age,
        )


def parse_step_up(acr_values: Any, max_age: Any) -> StepUp | None:
    """Parse the arguments ``acr_values`` and ``max_age`` of a guard; ``None`` if both are ``None``.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: ``acr_values`` is empty or has a value that a challenge cannot name, or ``max_age`` is negative.
    """
    if acr_values is None and max_age is None:
        return None
    return StepUp(() if acr_values is None else _parse_acr_values(acr_values), _parse_max_age(max_age))


def _parse_acr_values(value: Any) -> tuple[str, ...]:
    values: Sequence[Any] = (value,) if isinstance(value, str) else value
    # A set has no order of preference.
    if not isinstance(values, list | tuple):
        raise TypeError(f"acr_values must be a string or a list of strings, got {type(value).__name__}")
    for each in values:
        if not isinstance(each, str):
            raise TypeError(f"acr_values must contain only strings, got {type(each).__name__}")
        if not _ACR_VALUE.fullmatch(each):
            raise ValueError(
                f"acr_values: {each!r} must be one value of printable ASCII without spaces and quotes; write several "
                "values as a list"
            )
    if not values:
        raise ValueError("acr_values must have at least one value; to accept any, use None")
    return tuple(dict.fromkeys(values))


def _parse_max_age(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_age must be a whole number of seconds, got {type(value).__name__}")
    if value < 0:
        raise ValueError(f"max_age must not be negative, got {value}")
    return value
