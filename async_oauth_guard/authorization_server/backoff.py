"""Back-off: when to send requests to an authorization server again after it failed."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ..errors import Reason, TemporarilyUnavailableError
from ..protocol.clock import Clock

__all__ = [
    "LONGEST_PROBE",
    "LONGEST_WAIT",
    "LONGEST_RETRY_AFTER",
    "SHORTEST_WAIT",
    "Attempt",
    "Backoff",
    "read_retry_after",
]

SHORTEST_WAIT = 1.0
"""Seconds of the first wait. Each further failure doubles the wait."""

LONGEST_WAIT = 30.0
"""Maximum seconds of a wait, before jitter and unless the server's ``Retry-After`` is longer."""

LONGEST_PROBE = 60.0
"""Seconds after which a probe counts as lost: a process that was forked during a probe never sees its end."""

LONGEST_RETRY_AFTER = 120.0
"""Maximum seconds that a server's ``Retry-After`` can set."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt to send a request.

    Attributes:
        began: when it began, in seconds of the steady clock.
        is_probe: whether the wait is over and this request tests whether the server has recovered.
        successes: the number of requests that had succeeded when it began.
        is_connected: whether there was a connection, so a failure is one of the server itself.
        retry_after: the seconds of the server's ``Retry-After``, or 0.
    """

    began: float
    is_probe: bool
    successes: int = 0
    is_connected: bool = False
    retry_after: float = 0.0


class Backoff:
    """The state of one validator's server. It changes only on the outbound loop.

    While the server fails, requests are refused without being sent. When the wait is over, one request is a probe, and
    the others are refused until the probe has a response.

    A request that gets no connection starts a wait at once. Bad responses start one only after ``threshold`` of them
    without a successful request in between, because some servers respond badly to certain tokens and well to all
    others. A response that finds fault with the token does not count as a failure. Otherwise, garbage could start a
    wait.
    """

    def __init__(self, clock: Clock, threshold: int = 1) -> None:
        self._clock = clock
        self._threshold = threshold
        self.reset_for_tests()

    def reset_for_tests(self) -> None:
        """Reset to the state in which the server has never failed."""
        self._failures = 0
        self._bad_responses = 0
        self._successes = 0
        self._failed_at = -math.inf
        self._until = -math.inf
        self._probe: Attempt | None = None

    @property
    def is_failing(self) -> bool:
        """Whether a failure started a wait, and no request has succeeded since."""
        return self._failures > 0

    def seconds_left(self) -> int:
        """Return the value for ``Retry-After``: whole seconds, at least 1."""
        left = self._until - self._clock.steady()
        return max(1, math.ceil(left)) if left > 0 else 1

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Wrap a request, and note by the exception that leaves the block whether the server failed.

        Raises:
            TemporarilyUnavailableError: the request must not be sent now.
        """
        self.check_open()
        attempt = Attempt(self._clock.steady(), is_probe=self.is_failing, successes=self._successes)
        if attempt.is_probe:
            self._probe = attempt
        try:
            yield attempt
        except TemporarilyUnavailableError as error:
            if error.reason is Reason.TOKEN_ANSWER_UNUSABLE:
                self._succeed()
            elif error.reason not in _NOT_SENT and self._starts_a_wait(attempt, error.reason):
                self._fail(attempt)
            error.retry_after = max(self.seconds_left(), math.ceil(attempt.retry_after))
            raise
        else:
            self._succeed()
        finally:
            # Also after a bug. Otherwise no request could be a probe for up to `LONGEST_PROBE` seconds.
            if attempt is self._probe:
                self._probe = None

    def check(self, attempt: Attempt) -> None:
        """Refuse a request that was waiting in the queue when the server began to fail.

        Raises:
            TemporarilyUnavailableError: the request must no longer be sent.
        """
        if self.is_failing and not attempt.is_probe:
            raise TemporarilyUnavailableError(reason=Reason.BACKING_OFF)

    def check_open(self) -> None:
        """Check that an attempt would be allowed now.

        Raises:
            TemporarilyUnavailableError: the wait is not over, or a probe is running.
        """
        now = self._clock.steady()
        is_probing = self._probe is not None and now < self._probe.began + LONGEST_PROBE
        if self.is_failing and (is_probing or now < self._until):
            raise TemporarilyUnavailableError(reason=Reason.BACKING_OFF, retry_after=self.seconds_left())

    def _succeed(self) -> None:
        self._successes += 1
        self._failures = self._bad_responses = 0

    def _starts_a_wait(self, attempt: Attempt, reason: Reason) -> bool:
        if self.is_failing or (reason is Reason.SERVER_UNREACHABLE and not attempt.is_connected):
            return True
        if attempt.successes != self._successes:
            # The server has responded to another request since this one was sent.
            return False
        self._bad_responses += 1
        return self._bad_responses >= self._threshold

    def _fail(self, attempt: Attempt) -> None:
        if attempt.began <= self._failed_at:
            # Sent before the last failure was noted. One outage fails many requests, but counts once.
            return
        self._failures += 1
        self._failed_at = self._clock.steady()
        wait = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(self._failures - 1, 10))
        # Jitter, so that workers do not all probe at the same time.
        wait *= 0.75 + 0.5 * self._clock.chance()
        self._until = self._failed_at + max(wait, attempt.retry_after)


# Reasons that say nothing about the server: the request was not sent.
_NOT_SENT = frozenset({Reason.BACKING_OFF, Reason.TOO_MANY_CALLS})


def read_retry_after(value: str | None, now: float) -> float:
    """Return the seconds of a ``Retry-After`` (RFC 9110 §10.2.3), or 0 if it cannot be read.

    The result is at least `SHORTEST_WAIT` and at most `LONGEST_RETRY_AFTER`.
    """
    if value is None:
        return 0.0
    if value.isascii() and value.isdigit():
        seconds = float(value[:10])
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(seconds, SHORTEST_WAIT), LONGEST_RETRY_AFTER)
