"""What a test puts in the place of what requests present. Protectors read it; the test kit alone sets it.

A site in production pays for it with a look at a context variable that nobody has set.
"""

from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from .credentials import Credentials
from .errors import GuardError

__all__ = ["STAND_IN", "Layer", "StandIn", "StandIns"]


@dataclass(frozen=True, slots=True)
class StandIn:
    """``credentials`` makes what a request is taken to present, of one of the schemes that its protector serves.

    ``validators`` are asked about it in place of the protector's own. Everything else is judged as ever.
    """

    credentials: Callable[[Collection[str]], Credentials | GuardError]
    validators: Sequence[Any]


@dataclass(slots=True, eq=False, repr=False)
class Layer:
    """One stand-in above those that were there before. Without one it has ended, wherever it may still be found."""

    stand_in: StandIn | None
    outer: "Layer | None"

    def end(self) -> None:
        """Stand in no more: neither here, nor in a task or thread that was started meanwhile with a copy of us."""
        self.stand_in = None


_LAYER: ContextVar[Layer | None] = ContextVar("async_oauth_guard.stand_in", default=None)


class StandIns:
    """What stands in for the requests of a context: of a thread, or of a task."""

    def get(self) -> StandIn | None:
        """The innermost stand-in that has not ended."""
        layer = _LAYER.get()
        while layer is not None:
            stand_in = layer.stand_in
            if stand_in is not None:
                return stand_in
            layer = layer.outer
        return None

    def put(self, stand_in: StandIn) -> Layer:
        """Let ``stand_in`` stand in, in this context and those copied from it, until the layer's end.

        A context variable can be set back only where it was set, and a test's end may be somewhere else. So nothing is
        set back: layers end.
        """
        outer = _LAYER.get()
        while outer is not None and outer.stand_in is None:
            outer = outer.outer
        layer = Layer(stand_in, outer)
        _LAYER.set(layer)
        return layer


STAND_IN: Final = StandIns()
