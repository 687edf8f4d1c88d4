"""What an examination is: a look at one thing, its verdict, and how to mend what is wrong."""

import enum
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..validators.remote import CLOCK

__all__ = [
    "SITE",
    "Examination",
    "Finding",
    "Verdict",
    "examine",
    "not_applicable",
    "ok",
    "overhearing",
    "trouble",
    "warning",
    "without_secrets",
]

SITE = "the site"
"""The subject of what is examined of the site as a whole."""


class Verdict(enum.StrEnum):
    """How something was found to be. ``TROUBLE``: requests are refused, or let in, that should not be."""

    OK = "ok"
    WARNING = "warning"
    TROUBLE = "trouble"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes:
        verdict: how bad that is.
        found: a sentence about it.
        remedy: what to do, where something is wrong.
        facts: what the sentence says, for machines; with a short name of what is wrong, ``fault``.
    """

    verdict: Verdict
    found: str
    remedy: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def ok(found: str, **facts: Any) -> Finding:
    """Nothing is wrong."""
    return Finding(Verdict.OK, found, None, facts)


def warning(found: str, remedy: str, **facts: Any) -> Finding:
    """It works, and could be better or may soon be worse."""
    return Finding(Verdict.WARNING, found, remedy, facts)


def trouble(found: str, remedy: str, **facts: Any) -> Finding:
    """It does not work, or lets in whom it should not."""
    return Finding(Verdict.TROUBLE, found, remedy, facts)


def not_applicable(found: str) -> Finding:
    """There is nothing to look at; ``found`` says why."""
    return Finding(Verdict.NOT_APPLICABLE, found)


@dataclass(frozen=True, slots=True)
class Examination:
    """One look at one thing.

    Attributes:
        about: what was examined: ``"settings"``, ``"keys"``, and so on.
        subject: of what: `SITE`, or the name of a validator.
        finding: what was found.
        milliseconds: how long all of the look took.
    """

    about: str
    subject: str
    finding: Finding
    milliseconds: float

    def as_json(self) -> dict[str, Any]:
        """It as what JSON can hold."""
        finding = self.finding
        return {
            "examination": self.about,
            "subject": self.subject,
            "verdict": finding.verdict.value,
            "found": finding.found,
            "remedy": finding.remedy,
            "milliseconds": self.milliseconds,
            "facts": dict(finding.facts),
        }


def examine(about: str, subject: str, look: Callable[[], Iterable[Finding]]) -> list[Examination]:
    """Take one look. What it was not prepared for is trouble as well, and told by its class alone.

    The others have to go on: the site is examined because something is wrong with it, and that may be anything.
    """
    began = CLOCK.steady()
    try:
        findings = [*look()]
    except Exception as error:
        findings = [
            trouble(
                f"It could not be examined: {type(error).__name__} was raised.",
                "If code of the site's takes part (a hook, a callable, a manager, a router), look for the error there.",
                fault="unexpected",
            )
        ]
    milliseconds = round((CLOCK.steady() - began) * 1000, 1)
    return [Examination(about, without_secrets(subject), _clean(finding), milliseconds) for finding in findings]


def _clean(finding: Finding) -> Finding:
    remedy = None if finding.remedy is None else without_secrets(finding.remedy)
    return Finding(finding.verdict, without_secrets(finding.found), remedy, _clean_value(finding.facts))


def _clean_value(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {name: _clean_value(each) for name, each in value.items()}
    return [_clean_value(each) for each in value] if isinstance(value, list | tuple) else value


_USER = re.compile(r"(?<=://)[^\s/?#]*@")
_QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s?#'\"]*)[?#][^\s'\"]*")


def without_secrets(text: str) -> str:
    """``text`` with each URL cut down to what is no secret: no user, no password, no query."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def overhearing() -> Iterator[list[str]]:
    """What the rules say in the log, which goes into the report, and not into the site's log.

    There each fault would look as if a request had met it.
    """
    logger, listener = logging.getLogger("async_oauth_guard"), _Listener()
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [listener], False
    logger.setLevel(logging.WARNING)
    try:
        yield listener.said
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
