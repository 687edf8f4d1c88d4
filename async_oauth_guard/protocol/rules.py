"""Named rules in tables. Validation checks the rules of a table in order, and reports each one to a `Trace`.

The order of rules exists only in the tables. To add a rule, write one function and add one line to a table.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ..errors import Reason

__all__ = ["Rule", "Trace", "first_failure", "reported", "rules_for", "walk_flow"]

S = TypeVar("S")
P = TypeVar("P")


@dataclass(frozen=True, slots=True, eq=False)
class Rule(Generic[S, P]):
    """A rule for a subject ``S``, such as a token's claims, under a policy ``P``, such as what a validator accepts.

    Attributes:
        name: the name that `oauth_explain` prints.
        check: returns why the subject breaks the rule, or ``None``. If the rule needs I/O, it is a flow with this
            result (`is_flow`). A rule without a check represents a decision of a flow, which reports the rule itself.
        applies: whether the policy has this rule.
        asks_for: describes what the policy requires.
        is_flow: whether ``check`` is a flow.
    """

    name: str
    check: Callable[[S], Any] = lambda subject: None
    applies: Callable[[P], bool] = lambda policy: True
    asks_for: Callable[[P], str] = lambda policy: ""
    is_flow: bool = False


class Trace(Protocol):
    """Observes how far validation gets."""

    def reach(self, rule: Rule[Any, Any]) -> None:
        """Called before ``rule`` is checked."""
        ...


def rules_for(policy: P, table: Sequence[Rule[S, P]]) -> tuple[Rule[S, P], ...]:
    """The rules of ``table`` that apply under ``policy``."""
    return tuple(rule for rule in table if rule.applies(policy))


def reported(rules: Sequence[Rule[S, P]], trace: Trace) -> Iterator[Rule[S, P]]:
    """The ``rules``, for a loop that checks them. Each is reported to ``trace`` when the loop reaches it."""
    for rule in rules:
        trace.reach(rule)
        yield rule


def first_failure(rules: Sequence[Rule[S, Any]], subject: S, trace: Trace | None) -> Reason | None:
    """The reason of the first of ``rules`` that ``subject`` breaks, or ``None``. The rules must not be flows."""
    for rule in rules if trace is None else reported(rules, trace):
        reason: Reason | None = rule.check(subject)
        if reason is not None:
            return reason
    return None


def walk_flow(rules: Sequence[Rule[S, Any]], subject: S, trace: Trace | None) -> Generator[Any, Any, Reason | None]:
    """Like `first_failure`, for rules that may be flows."""
    for rule in rules if trace is None else reported(rules, trace):
        reason: Reason | None = (yield from rule.check(subject)) if rule.is_flow else rule.check(subject)
        if reason is not None:
            return reason
    return None
