"""When an authorization server that failed may be asked again."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ..errors import Reason, TemporarilyUnavailableError
from .clock import Clock

__all__ = ["LONGEST_PROBE", "LONGEST_WAIT", "LONGEST_WISH", "SHORTEST_WAIT", "Attempt", "Backoff", "read_retry_after"]

SHORTEST_WAIT = 1.0
"""Seconds of the first wait; each further failure doubles it."""

LONGEST_WAIT = 30.0
"""Seconds beyond which the wait does not grow by itself."""

LONGEST_PROBE = 60.0
"""Seconds after which a probe is given up: a process forked in the middle of one never hears of it."""

LONGEST_WISH = 120.0
"""Seconds of a server's own ``Retry-After`` that are honoured."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One try. ``wish`` is the server's own, in seconds: how long not to be asked."""

    began: float
    is_probe: bool
    wish: float = 0.0


class Backoff:
    """The state of one validator's server; it changes on the outgoing loop only.

    While it fails, calls are refused without being sent. When the wait is over, one of them is a probe, and the others
    are refused until it has an answer. An answer about one token, however odd, is no failure of the server's: otherwise
    whoever has such a token could keep others from being asked about.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Be as if the server had never failed."""
        self._failures = 0
        self._failed_at = -math.inf
        self._until = -math.inf
        self._probe: Attempt | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the last that was heard of the server is that it failed."""
        return self._failures > 0

    def seconds_left(self) -> int:
        """What ``Retry-After`` may say: whole seconds, 1 at least."""
        left = self._until - self._clock.steady()
        return max(1, math.ceil(left)) if left > 0 else 1

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Surround a call, and judge by what leaves the block how it went.

        Raises:
            TemporarilyUnavailableError: it is not to be made now.
        """
        attempt = self._begin()
        try:
            yield attempt
        except TemporarilyUnavailableError as error:
            if error.reason is Reason.TOKEN_ANSWER_UNUSABLE:
                self._failures = 0
            elif error.reason not in _NOT_SENT:
                self._fail(attempt)
            error.retry_after = self.seconds_left()
            raise
        else:
            self._failures = 0
        finally:
            # Also after a bug of ours, or nobody would ever probe again.
            if attempt is self._probe:
                self._probe = None

    def check(self, attempt: Attempt) -> None:
        """Refuse a call that queued while the server began to fail.

        Raises:
            TemporarilyUnavailableError: it is not to be sent any more.
        """
        if self.is_failing and not attempt.is_probe:
            raise TemporarilyUnavailableError(reason=Reason.BACKING_OFF)

    def check_open(self) -> None:
        """Refuse what would be refused as an attempt.

        Raises:
            TemporarilyUnavailableError: the wait is not over, or there is a probe under way.
        """
        now = self._clock.steady()
        is_probing = self._probe is not None and now < self._probe.began + LONGEST_PROBE
        if self.is_failing and (is_probing or now < self._until):
            raise TemporarilyUnavailableError(reason=Reason.BACKING_OFF, retry_after=self.seconds_left())

    def _begin(self) -> Attempt:
        self.check_open()
        attempt = Attempt(self._clock.steady(), is_probe=self.is_failing)
        if attempt.is_probe:
            self._probe = attempt
        return attempt

    def _fail(self, attempt: Attempt) -> None:
        if attempt.began <= self._failed_at:
            # Sent before the server was known to fail: one outage takes many calls with it, and counts once.
            return
        self._failures += 1
        self._failed_at = self._clock.steady()
        wait = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(self._failures - 1, 10))
        # Jitter, so that workers that failed together do not probe together.
        wait *= 0.75 + 0.5 * self._clock.chance()
        self._until = self._failed_at + max(wait, attempt.wish)


# What says nothing of the server.
_NOT_SENT = frozenset({Reason.BACKING_OFF, Reason.TOO_MANY_CALLS})


def read_retry_after(value: str | None, now: float) -> float:
    """The seconds that a ``Retry-After`` asks for (RFC 9110 §10.2.3), 0 where it cannot be read; see `LONGEST_WISH`."""
    if value is None:
        return 0.0
    if value.isascii() and value.isdigit():
        seconds = float(value[:10])
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WISH)
