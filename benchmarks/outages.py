"""Outages of servers, and the 503 responses that they excuse."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from .contenders import GUARD, GUARD_SYNC, SOAK_INTROSPECTION, SOAK_INTROSPECTION_SYNC, TOOLKIT_GUARD
from .slices import GroupResult

AUTHORITY: Final = "authorization server"
DATABASE: Final = "database"
# JWTs are not affected: their keys are known, and used for a day.
AFFECTED: Final = {
    AUTHORITY: (SOAK_INTROSPECTION, SOAK_INTROSPECTION_SYNC),
    DATABASE: (GUARD, GUARD_SYNC, TOOLKIT_GUARD),
}
# Seconds for requests that were in progress when the server started again.
IN_PROGRESS: Final = 1.0
LONGEST_WAIT: Final = 30.0
# By how much a wait may exceed its nominal length.
VARIATION: Final = 1.25


@dataclasses.dataclass(frozen=True, slots=True)
class Outage:
    """An outage of the server ``what``. ``start`` and ``end`` are times of `time.monotonic`."""

    what: str
    start: float
    end: float

    @property
    def over(self) -> float:
        """The time after which every response must be right again.

        The guard requests nothing from an authorization server while it backs off: 1 s, then 2 s, 4 s and so on. A wait
        that begins in an outage is thus at most a second longer than the outage lasted until then.
        """
        waits = min(self.end - self.start + 1, LONGEST_WAIT) * VARIATION if self.what == AUTHORITY else 0
        return self.end + waits + IN_PROGRESS

    def excuses(self, contender: str, sent: float, received: float) -> bool:
        return contender in AFFECTED[self.what] and self.start <= received and sent <= self.over


def wrong_responses(group: GroupResult, outages: Sequence[Outage]) -> dict[str, int]:
    """Count the wrong responses of a group that no outage excuses, by fault."""
    excused = sum(any(outage.excuses(group.contender, *times) for outage in outages) for times in group.unavailable)
    wrong = {**group.wrong, "503": len(group.unavailable) - excused}
    return {what: times for what, times in wrong.items() if times}
