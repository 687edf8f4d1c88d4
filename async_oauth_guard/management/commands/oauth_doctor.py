"""The command ``oauth_doctor``."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.core.management.base import CommandParser

from ...authorization_server.metadata import check_url
from ...diagnostics.doctor import Examination, Severity, diagnose
from ..reporting import Printer, Report, ReportCommand, Tone, cannot_look

__all__ = ["Command"]

_TONES: Mapping[Severity, Tone] = {
    Severity.OK: "good",
    Severity.WARNING: "warning",
    Severity.ERROR: "bad",
    Severity.NOT_APPLICABLE: "plain",
}


class Command(ReportCommand):
    """Checks everything that the guards of a site depend on, and says how to fix each problem."""

    help = (
        "Checks everything that the guards of the site depend on: settings, authorization servers, keys, clocks, "
        "caches, databases, and the addresses that clients see. "
        "Exit status: 0 no problem was found, 1 a problem was found, 2 there is nothing to "
        "examine or an option is wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--timeout",
            type=float,
            metavar="SECONDS",
            help="How long each request may take, instead of the validators' own timeout.",
        )
        public = parser.add_mutually_exclusive_group()
        public.add_argument(
            "--url",
            metavar="URL",
            help="Also examine a guarded view as clients see it: its challenge, and whether DPoP proofs are accepted.",
        )
        public.add_argument(
            "--local", action="store_true", help="Send no requests to the public addresses of the site itself."
        )

    def examine(self, options: Mapping[str, Any]) -> Report:
        timeout = options["timeout"]
        if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
            raise cannot_look("--timeout must be a number of seconds greater than 0.")
        url = options["url"]
        try:
            if url is not None:
                check_url(url, allow_insecure_http=True)
        except ValueError:
            raise cannot_look("--url must be an absolute http or https URL, without user name and fragment.") from None
        examinations = diagnose(timeout, url, is_local=options["local"])
        counts = Counter(each.finding.severity for each in examinations)
        document = {
            "severity": _worst(counts).value,
            "counts": {severity.value: counts[severity] for severity in Severity},
            "examinations": [each.as_json() for each in examinations],
        }
        return Report(document, lambda printer: _show(printer, examinations, counts), _error(counts))


def _worst(counts: Mapping[Severity, int]) -> Severity:
    return next((each for each in (Severity.ERROR, Severity.WARNING) if counts[each]), Severity.OK)


def _error(counts: Mapping[Severity, int]) -> str | None:
    if not counts[Severity.ERROR]:
        return None
    return f"Problems were found: {counts[Severity.ERROR]}. Warnings: {counts[Severity.WARNING]}."


def _show(printer: Printer, examinations: Sequence[Examination], counts: Mapping[Severity, int]) -> None:
    for subject, of_subject in groupby(examinations, key=attrgetter("subject")):
        printer.line(subject)
        printer.table(("outcome", "examined", "ms", "found"), map(_row, of_subject))
        printer.line()
    for each in examinations:
        if each.finding.remedy is not None:
            _show_remedy(printer, each)
    if _worst(counts) is Severity.OK:
        printer.line("No problems were found.", "good")
    elif not counts[Severity.ERROR]:
        printer.line(f"No problems were found. Warnings: {counts[Severity.WARNING]}.", "warning")


def _row(each: Examination) -> tuple[Tone, Sequence[str]]:
    severity = each.finding.severity
    return _TONES[severity], (severity.value, each.about, str(each.milliseconds), each.finding.found)


def _show_remedy(printer: Printer, each: Examination) -> None:
    severity = each.finding.severity
    printer.line(f"{severity.value}: {each.about} of {each.subject}", _TONES[severity])
    printer.line(f"  {each.finding.found}")
    printer.line(f"  What to do: {each.finding.remedy}")
    printer.line()
