"""The audiences that a validator of remote tokens accepts."""

from collections.abc import Collection
from typing import Any, Final

__all__ = ["FROM_PROTECTOR", "Audience", "FromProtector", "read_audience"]


class FromProtector:
    """The type of `FROM_PROTECTOR`."""

    def __repr__(self) -> str:
        return "<the protector's resource>"


FROM_PROTECTOR: Final = FromProtector()
"""The default of the audience option: the validator uses the ``resource`` of the protector."""

Audience = str | Collection[str] | FromProtector | None


def read_audience(audience: Any, argument: str) -> tuple[str, ...] | FromProtector | None:
    """The audience option as a tuple, unless it is ``None`` or `FROM_PROTECTOR`."""
    if audience is None or isinstance(audience, FromProtector):
        return audience
    audiences = (audience,) if isinstance(audience, str) else audience
    if not isinstance(audiences, list | tuple | set | frozenset):
        raise TypeError(f"{argument} must be a string, a list of strings or None, got {type(audience).__name__}")
    if not audiences or not all(isinstance(each, str) and each for each in audiences):
        raise ValueError(f"{argument} must contain only non-empty strings, at least one; None disables the check")
    return tuple(audiences)
