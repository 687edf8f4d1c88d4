"""The clock and random numbers that rules use."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Clock"]


@dataclass(slots=True, eq=False)
class Clock:
    """Where validators get the time and random numbers. A test may replace each of these.

    Attributes:
        wall: returns seconds since the epoch, as in tokens and on other machines.
        steady: returns seconds of a clock that never jumps, for waits in this process.
        chance: returns a random number from 0 up to, but not including, 1.
    """

    wall: Callable[[], float]
    steady: Callable[[], float]
    chance: Callable[[], float]
