"""Named rules: checking stops at the first broken rule, and the trace records each rule."""

from collections.abc import Generator
from typing import Any

import pytest

from async_oauth_guard import Reason
from async_oauth_guard.protocol.rules import Rule, first_failure, reported, rules_for, walk_flow


def _check_flow(number: int) -> Generator[str, Reason | None, Reason | None]:
    return (yield f"needs {number}")


SMALL: Rule[int, int] = Rule("small", lambda number: Reason.EXPIRED if number > 9 else None)
EVEN: Rule[int, int] = Rule("even", lambda number: Reason.REVOKED if number % 2 else None, applies=bool)
DECIDED_BY_FLOW: Rule[int, int] = Rule("decided by a flow")
NEEDS_IO: Rule[int, int] = Rule("needs I/O", _check_flow, is_flow=True)


class Trace:
    """Records the rules that were reached."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def reach(self, rule: Rule[Any, Any]) -> None:
        self.reached.append(rule.name)


@pytest.mark.parametrize(
    ("number", "reason", "reached"),
    [
        (2, None, ["small", "even", "decided by a flow"]),
        (3, Reason.REVOKED, ["small", "even"]),
        (11, Reason.EXPIRED, ["small"]),
    ],
)
def test_first_failure(number: int, reason: Reason | None, reached: list[str]) -> None:
    """The first broken rule gives the reason, with and without a trace. Later rules are not checked."""
    rules, trace = (SMALL, EVEN, DECIDED_BY_FLOW), Trace()
    assert first_failure(rules, number, trace) is reason
    assert first_failure(rules, number, None) is reason
    assert trace.reached == reached


@pytest.mark.parametrize("reason", [None, Reason.UNKNOWN_KEY])
def test_walk(reason: Reason | None) -> None:
    """A rule that needs I/O requests it in its place in the order."""
    trace = Trace()
    flow = walk_flow((SMALL, NEEDS_IO, EVEN), 3, trace)
    assert next(flow) == "needs 3"
    assert trace.reached == ["small", "needs I/O"]
    with pytest.raises(StopIteration) as stopped:
        flow.send(reason)
    assert stopped.value.value is (reason or Reason.REVOKED)


def test_reported() -> None:
    """A rule is reported when a loop reaches it, and not before."""
    trace = Trace()
    for rule in reported((SMALL, EVEN), trace):
        assert trace.reached[-1] == rule.name
    assert trace.reached == ["small", "even"]


def test_rules_that_apply() -> None:
    """Rules that do not apply under a policy are left out."""
    assert rules_for(0, (SMALL, EVEN)) == (SMALL,)
    assert rules_for(1, (SMALL, EVEN)) == (SMALL, EVEN)
