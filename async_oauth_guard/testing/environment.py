"""The test process: whether tests run, its clock, and what its validators have cached."""

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

from django.test import utils

from ..diagnostics.validator_names import readable, validators_of
from ..guard.protector import ALL_PROTECTORS
from ..runtime import event_loop
from ..validators.clock import CLOCK
from ..validators.remote import RemoteTokenValidator

__all__ = ["ServerClock", "check_test_environment", "forget_all", "is_test_environment"]

# The middle of the range of random jitter, so that each wait is as long as documented.
_NO_JITTER = 0.5

_lock = threading.Lock()
_running: "list[ServerClock]" = []
_originals: "list[tuple[Callable[[], float], Callable[[], float], Callable[[], float]]]" = []


def is_test_environment() -> bool:
    """Whether Django's test environment has been set up: by its runner, by pytest-django, or by hand."""
    # Django has no public attribute for this. `setup_test_environment()` itself uses this one to refuse a second call.
    return hasattr(utils._TestState, "saved_data")


def check_test_environment() -> None:
    """Refuse overrides outside of tests, in case a test left one in use.

    Raises:
        RuntimeError: no tests run.
    """
    if not is_test_environment():
        raise RuntimeError("an override_oauth() is still in use, although no tests run; leave it when the test ends")


def forget_all() -> None:
    """Make all validators forget what they know about servers, and close connections to servers."""
    event_loop.close()
    # Validators that cannot be built have cached nothing.
    for validator in validators_of(readable([*ALL_PROTECTORS])):
        # The site's own validator may delegate to one of the package.
        for each in (validator, *_attributes_of(validator)):
            if isinstance(each, RemoteTokenValidator):
                each.reset_for_tests()


def _attributes_of(validator: Any) -> Iterator[Any]:
    for value in getattr(validator, "__dict__", {}).values():
        yield from value if isinstance(value, list | tuple) else (value,)


class ServerClock:
    """The time for all guards and all test servers of this process: the real time plus what the clock was moved by.

    While a clock runs, guards wait after failures for exactly as long as documented, without random jitter.
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
            TypeError: ``seconds`` is not a number.
            ValueError: it is negative or not finite. Time never runs backwards for a guard.
            RuntimeError: the server of this clock does not run.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"seconds must be a number, got {type(seconds).__name__}")
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError("seconds must be 0 or more; for an expired token, write expires_in=-60")
        if self not in _running:
            raise RuntimeError("this clock does not run; move it within `with FakeAuthorizationServer() as server:`")
        self.moved += seconds

    def _start(self) -> None:
        """Become the clock of all guards, together with other running clocks."""
        self.moved = 0.0
        with _lock:
            if not _running:
                _originals.append((CLOCK.wall, CLOCK.steady, CLOCK.chance))
                CLOCK.wall, CLOCK.steady = _movable(CLOCK.wall), _movable(CLOCK.steady)
                CLOCK.chance = lambda: _NO_JITTER
            _running.append(self)

    def _stop(self) -> None:
        """Undo the moves of this clock. The last clock that stops restores the original functions."""
        with _lock:
            _running.remove(self)
            if not _running:
                CLOCK.wall, CLOCK.steady, CLOCK.chance = _originals.pop()


def _movable(original: Callable[[], float]) -> Callable[[], float]:
    return lambda: original() + sum(clock.moved for clock in [*_running])
