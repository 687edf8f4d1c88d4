"""The command ``oauth_doctor``."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.core.management.base import CommandParser

from ...console import Cell, Console, Tone
from ...diagnosis import Examination, Verdict, diagnose
from ..reporting import Report, ReportCommand, cannot_look

__all__ = ["Command"]

_TONES: Mapping[Verdict, Tone] = {
    Verdict.OK: "good",
    Verdict.WARNING: "warning",
    Verdict.TROUBLE: "bad",
    Verdict.NOT_APPLICABLE: "quiet",
}


class Command(ReportCommand):
    """Examines everything between the site and its guards, and says how to mend what is wrong."""

    help = (
        "Examines what stands between the site and its guards: settings, authorization servers, keys, clocks, caches "
        "and databases. Ends with 0 where nothing is in trouble, with 1 where something is, with 2 where there is "
        "nothing to examine."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """See `ReportCommand`."""
        super().add_arguments(parser)
        parser.add_argument(
            "--timeout",
            type=float,
            metavar="SECONDS",
            help="How long each call to an authorization server may take, in place of the validators' own timeout.",
        )

    def examine(self, options: Mapping[str, Any]) -> Report:
        """Examine the site."""
        timeout = options["timeout"]
        if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
            raise cannot_look("--timeout: seconds are wanted, more than 0.")
        examinations = diagnose(timeout)
        counts = Counter(each.finding.verdict for each in examinations)
        document = {
            "verdict": _worst(counts).value,
            "counts": {verdict.value: counts[verdict] for verdict in Verdict},
            "examinations": [each.as_json() for each in examinations],
        }
        return Report(document, lambda console: _show(console, examinations, counts), _trouble(counts))


def _worst(counts: Mapping[Verdict, int]) -> Verdict:
    return next((each for each in (Verdict.TROUBLE, Verdict.WARNING) if counts[each]), Verdict.OK)


def _trouble(counts: Mapping[Verdict, int]) -> str | None:
    if not counts[Verdict.TROUBLE]:
        return None
    return f"The doctor found trouble: {counts[Verdict.TROUBLE]}, and warnings: {counts[Verdict.WARNING]}."


def _show(console: Console, examinations: Sequence[Examination], counts: Mapping[Verdict, int]) -> None:
    for subject, of_subject in groupby(examinations, key=attrgetter("subject")):
        console.line(subject)
        console.table(("verdict", "examined", "ms", "found"), map(_row, of_subject))
        console.line()
    for each in examinations:
        if each.finding.remedy is not None:
            _show_remedy(console, each)
    if _worst(counts) is Verdict.OK:
        console.line("All is well.", "good")
    elif not counts[Verdict.TROUBLE]:
        console.line(f"Nothing is in trouble; warnings: {counts[Verdict.WARNING]}.", "warning")


def _row(each: Examination) -> Sequence[str | Cell]:
    verdict = each.finding.verdict
    return Cell(verdict.value, _TONES[verdict]), each.about, str(each.milliseconds), each.finding.found


def _show_remedy(console: Console, each: Examination) -> None:
    verdict = each.finding.verdict
    console.line(f"{verdict.value}: {each.about} of {each.subject}", _TONES[verdict])
    console.line(f"  {each.finding.found}")
    console.line(f"  What to do: {each.finding.remedy}")
    console.line()
