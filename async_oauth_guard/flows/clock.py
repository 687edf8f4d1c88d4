"""Time and chance, handed to rules that need them."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Clock"]


@dataclass(slots=True)
class Clock:
    """Where validators take time and chance from. A test may put others in the place of each.

    Attributes:
        wall: seconds since the epoch, as tokens and other machines count them.
        steady: seconds that never jump, for what is waited for in this process.
        chance: a number from 0 up to 1.
    """

    wall: Callable[[], float]
    steady: Callable[[], float]
    chance: Callable[[], float]
