"""The steps to an outcome: each rule, and whether it passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import GuardError, Reason, reason_of
from ...protocol.rules import Rule
from ...validators.authorization import OWN
from ...validators.binding import REPLAY

__all__ = ["RuleDetail", "Step", "steps_of"]

RuleDetail = tuple[Rule[Any, Any], str]
"""A rule, and what it requires, as text."""

_USES_UP_NOTHING = "not checked here, so that the proof can still be used"


@dataclass(frozen=True, slots=True)
class Step:
    """A rule and its outcome. ``detail`` says what the rule requires, if it requires something specific.

    The outcome ``"not_checked"`` is that of the rule that a proof was not used before: checking it would use the proof.
    """

    rule: str
    outcome: Literal["passed", "failed", "not_reached", "not_checked"]
    reason: Reason | None = None
    detail: str = ""


def steps_of(rules: Sequence[RuleDetail], reached: Rule[Any, Any] | None, error: GuardError | None) -> tuple[Step, ...]:
    """The steps to an outcome. Without an error, all rules passed; otherwise ``reached`` is the one that failed."""
    if error is None:
        return tuple(_passed(rule, detail) for rule, detail in rules)
    failed = next((number for number, (rule, _) in enumerate(rules) if rule is reached), None)
    if failed is None:
        # The site's own code refused the token. Which of the package's rules it applied is unknown.
        return (Step(OWN.name, "failed", reason_of(error)),)
    return (
        *(_passed(rule, detail) for rule, detail in rules[:failed]),
        Step(rules[failed][0].name, "failed", reason_of(error), rules[failed][1]),
        *(Step(rule.name, "not_reached", None, detail) for rule, detail in rules[failed + 1 :]),
    )


def _passed(rule: Rule[Any, Any], detail: str) -> Step:
    if rule is REPLAY:
        return Step(rule.name, "not_checked", None, _USES_UP_NOTHING)
    return Step(rule.name, "passed", None, detail)
