"""The options of a guarded ASGI application, and the checks of their values."""

import math
from dataclasses import dataclass
from typing import Any

from ...protocol.subprotocols import BEARER

__all__ = ["ApplicationOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationOptions:
    """See `ResourceProtector.asgi` for the options, and what is raised if one is wrong."""

    subprotocol: str | None = None
    until_expiry: bool = True
    recheck: float | None = None
    close_code: int = 3000

    def __post_init__(self) -> None:
        if self.subprotocol not in (None, BEARER):
            raise ValueError(f"subprotocol must be {BEARER!r} or None, got {self.subprotocol!r}")
        if not isinstance(self.until_expiry, bool):
            raise TypeError(f"until_expiry must be True or False, got {type(self.until_expiry).__name__}")
        if self.recheck is not None:
            _check_seconds(self.recheck)
        _check_code(self.close_code)


def _check_seconds(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"recheck must be a number of seconds or None, got {type(value).__name__}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"recheck must be a positive number of seconds, got {value!r}")


def _check_code(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"close_code must be an integer, got {type(value).__name__}")
    # The codes that an application may use (RFC 6455 §7.4). Some servers replace others.
    if value != 1000 and not 3000 <= value <= 4999:
        raise ValueError(f"close_code must be 1000, or from 3000 to 4999, got {value}")
