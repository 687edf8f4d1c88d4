"""The clock of the guards and of the authorization servers of a test, which moves when it is told to."""

import math
import threading
from collections.abc import Callable

from ..validators.remote import CLOCK

__all__ = ["ServerClock"]

# In the middle of what chance may add to the waits of a guard, so that each is as long as it is documented to be.
_NO_CHANCE = 0.5

_lock = threading.Lock()
_running: "list[ServerClock]" = []
_originals: "list[tuple[Callable[[], float], Callable[[], float], Callable[[], float]]]" = []


class ServerClock:
    """Time as every guard of this process and every such server sees it: the real one, and what it was moved by.

    While one runs, the waits of a guard after a failure are as long as documented, without what chance adds to them.
    """

    def __init__(self) -> None:
        self.moved = 0.0
        """Seconds by which this clock was moved."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return CLOCK.wall()

    def move(self, seconds: float) -> None:
        """Let ``seconds`` pass at once.

        Raises:
            TypeError: it is no number.
            ValueError: it is negative, or not finite: no guard has to do with time that runs backwards.
            RuntimeError: the server was left, and its clock with it.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"a number of seconds is wanted, not {type(seconds).__name__}")
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError("seconds to come are wanted, 0 or more; for a token of the past, write expires_in=-60")
        if self not in _running:
            raise RuntimeError("this clock stands still: move it within `with FakeAuthorizationServer() as server:`")
        self.moved += seconds

    def _start(self) -> None:
        """Be the clock of all guards; together with others, if there are any."""
        self.moved = 0.0
        with _lock:
            if not _running:
                _originals.append((CLOCK.wall, CLOCK.steady, CLOCK.chance))
                CLOCK.wall, CLOCK.steady = _movable(CLOCK.wall), _movable(CLOCK.steady)
                CLOCK.chance = lambda: _NO_CHANCE
            _running.append(self)

    def _stop(self) -> None:
        """Take back what it was moved by. The last one to stop leaves the clock as it was found."""
        with _lock:
            _running.remove(self)
            if not _running:
                CLOCK.wall, CLOCK.steady, CLOCK.chance = _originals.pop()


def _movable(original: Callable[[], float]) -> Callable[[], float]:
    return lambda: original() + sum(clock.moved for clock in [*_running])
