"""The result of an examination: what was examined, how severe the finding is, and how to fix it."""

import enum
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ...validators.clock import CLOCK

__all__ = [
    "SITE",
    "Examination",
    "Finding",
    "Severity",
    "examine",
    "not_applicable",
    "ok",
    "captured_logs",
    "problem",
    "warning",
    "without_secrets",
]

SITE = "the site"
"""The subject of examinations that concern the site as a whole."""


class Severity(enum.StrEnum):
    """How severe a finding is. ``ERROR``: the site refuses valid requests, or lets in invalid ones."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "problem"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes:
        severity: how severe it is.
        found: a sentence that describes it.
        remedy: what to do, if something is wrong.
        facts: the same information for programs. If something is wrong, ``fault`` is its short name.
    """

    severity: Severity
    found: str
    remedy: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def ok(found: str, **facts: Any) -> Finding:
    """A finding without a problem."""
    return Finding(Severity.OK, found, None, facts)


def warning(found: str, remedy: str, **facts: Any) -> Finding:
    """A finding that works, but could be better or may soon fail."""
    return Finding(Severity.WARNING, found, remedy, facts)


def problem(found: str, remedy: str, **facts: Any) -> Finding:
    """A finding that something does not work, or that invalid requests are let in."""
    return Finding(Severity.ERROR, found, remedy, facts)


def not_applicable(found: str) -> Finding:
    """A finding that there is nothing to examine; ``found`` says why."""
    return Finding(Severity.NOT_APPLICABLE, found)


@dataclass(frozen=True, slots=True)
class Examination:
    """One finding of an examination.

    Attributes:
        about: what was examined: ``"settings"``, ``"keys"``, and so on.
        subject: what it belongs to: `SITE`, or the name of a validator.
        finding: what was found.
        milliseconds: how long the whole examination took.
    """

    about: str
    subject: str
    finding: Finding
    milliseconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the examination as values that JSON can hold."""
        finding = self.finding
        return {
            "examination": self.about,
            "subject": self.subject,
            "severity": finding.severity.value,
            "found": finding.found,
            "remedy": finding.remedy,
            "milliseconds": self.milliseconds,
            "facts": dict(finding.facts),
        }


def examine(about: str, subject: str, look: Callable[[], Iterable[Finding]]) -> list[Examination]:
    """Run one examination. An unexpected exception becomes a finding that names only the class of the exception.

    The other examinations must continue: sites are examined because something is wrong, and that may be anything.
    """
    began = CLOCK.steady()
    try:
        findings = [*look()]
    except Exception as error:
        findings = [
            problem(
                f"The examination failed: {type(error).__name__} was raised.",
                "If your own code is involved (a hook, a callable, a manager, a router), fix the error there.",
                fault="unexpected",
            )
        ]
    milliseconds = round((CLOCK.steady() - began) * 1000, 1)
    return [Examination(about, without_secrets(subject), _clean(finding), milliseconds) for finding in findings]


def _clean(value: Any) -> Any:
    if isinstance(value, Finding):
        return Finding(value.severity, _clean(value.found), _clean(value.remedy), _clean(value.facts))
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {name: _clean(each) for name, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list | tuple) else value


_USER = re.compile(r"(?<=://)[^\s/?#]*@")
_QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s?#'\"]*)[?#][^\s'\"]*")


def without_secrets(text: str) -> str:
    """Remove the user, password, query and fragment of each URL in ``text``."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def captured_logs() -> Iterator[list[str]]:
    """Capture the package's log messages (warnings and errors) for the report, instead of logging them.

    In the site's log, each fault would look as if a request had caused it.
    """
    logger, listener = logging.getLogger("async_oauth_guard"), _Listener()
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [listener], False
    logger.setLevel(logging.WARNING)
    try:
        yield listener.messages
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
