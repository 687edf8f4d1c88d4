"""What a test puts in the place of what requests present. Protectors read it; the test kit alone sets it.

A site in production pays for it with a look at a context variable that nobody has set.
"""

from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from .credentials import Credentials
from .errors import GuardError

__all__ = ["STAND_IN", "StandIn"]


@dataclass(frozen=True, slots=True)
class StandIn:
    """``credentials`` makes what a request is taken to present, of one of the schemes that its protector serves.

    ``validators`` are asked about it in place of the protector's own. Everything else is judged as ever.
    """

    credentials: Callable[[Collection[str]], Credentials | GuardError]
    validators: Sequence[Any]


STAND_IN: ContextVar[StandIn | None] = ContextVar("async_oauth_guard.stand_in", default=None)
"""What stands in for the requests of this context: of this thread, or of this task."""
