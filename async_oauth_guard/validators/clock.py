"""The clock that validators use."""

import random
import time

from ..protocol.clock import Clock

__all__ = ["CLOCK"]

CLOCK = Clock(time.time, time.monotonic, random.random)
"""The clock of this machine. A test may move it."""
