"""Contenders that take turns: what every benchmark of one server and one load generator does."""

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from . import report
from .budgets import Budget
from .contenders import PLAIN
from .figures import Spread, paired_ratios
from .hops import AT_ONCE
from .processes import ChildFailed, Generator
from .slices import Group, Slice, SliceResult

SETTLE: Final = 0.4
WARM_UP: Final = 1.0
WARM_UP_CLIENTS: Final = 8

Rounds = Mapping[str, Sequence[SliceResult]]


def warm_up(generator: Generator, contender: str, seconds: float = WARM_UP) -> None:
    result = generator.run(Slice((Group(contender, WARM_UP_CLIENTS),), seconds, 0.0))
    if not result.answers:
        raise ChildFailed(f"{contender} answers no request: {dict(result.groups[0].wrong)}")


def take_turns(
    generator: Generator, seconds: float, rounds: int, turns: Mapping[str, tuple[Group, ...]]
) -> dict[str, list[SliceResult]]:
    """Every round starts with another contender, so that none always follows the same neighbour at the same time."""
    results: dict[str, list[SliceResult]] = {name: [] for name in turns}
    names = [*turns]
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            result = generator.run(Slice(turns[name], seconds, SETTLE))
            results[name].append(result)
            tell(number, turns[name], result)
    return results


def tell(number: int, groups: Sequence[Group], result: SliceResult) -> None:
    who = " + ".join(f"{group.clients} {group.contender}" for group in groups)
    rate = " + ".join(f"{group.per_second:.0f}/s" for group in result.groups)
    print(f"round {number + 1}: {who}: {rate}, {result.cpu_per_answer:.0f} µs CPU", file=sys.stderr)


def turns_line(rounds: int, seconds: float) -> str:
    return (
        f"- {rounds} rounds, {seconds:g} s for each contender's turn; medians, in parentheses the least and "
        "the most of the rounds; ratios are taken within each round"
    )


def clients_title(clients: int) -> str:
    return f"### {clients} client{'s' * (clients > 1)}"


def contender_table(rounds: Rounds) -> list[str]:
    head = ["contender", "requests/s", "of plain", "p50 ms", "p99 ms", "CPU µs/request", "CPU × plain"]
    return report.table(head, [contender_row(name, rounds) for name in rounds])


def contender_row(name: str, rounds: Rounds) -> list[str]:
    groups = [result.groups[0] for result in rounds[name]]
    cpu = [result.cpu_per_answer for result in rounds[name]]
    plain_cpu = [result.cpu_per_answer for result in rounds[PLAIN]]
    return [
        name,
        report.spread(Spread.of([group.per_second for group in groups]), 0),
        report.spread(throughput_ratio(rounds, name, PLAIN), 2),
        report.spread(Spread.of([group.median for group in groups]), 2),
        report.spread(Spread.of([group.p99 for group in groups]), 2),
        report.spread(Spread.of(cpu), 0),
        report.spread(paired_ratios(cpu, plain_cpu), 2),
    ]


def throughput_ratio(rounds: Rounds, name: str, base: str) -> Spread:
    return paired_ratios(
        [result.groups[0].per_second for result in rounds[name]],
        [result.groups[0].per_second for result in rounds[base]],
    )


def generator_line(results: Sequence[SliceResult]) -> str:
    busiest = max(result.generator_share for result in results)
    line = f"The load generator was busy for at most {busiest:.0%} of a core in any turn."
    upstream = max(result.authority_share for result in results)
    return f"{line[:-1]}, the authorization server for at most {upstream:.0%}." if upstream else line


def hop_budgets(counts: Mapping[str, Mapping[str, int]], hops: float, queries: float) -> list[Budget]:
    """``counts``: what `hops` printed."""
    budgets: list[Budget] = []
    for at_once, what in (("1", "one request"), (str(AT_ONCE), f"{AT_ONCE} requests at once, each")):
        for name, label, bound in (("hops", "thread hops", hops), ("queries", "queries", queries)):
            each = counts[at_once][name] / int(at_once)
            budgets.append(Budget(f"{label} beyond {PLAIN}, {what}", bound, "at most", Spread.of([each])))
    return budgets


def wrong_answers(results: Sequence[SliceResult], contenders: Collection[str]) -> int:
    groups = [group for result in results for group in result.groups]
    return sum(group.wrong_answers for group in groups if group.contender in contenders)


def wrong_section(results: Sequence[SliceResult]) -> list[str]:
    """Nothing, where no answer was wrong."""
    counts: dict[tuple[str, int, str], int] = {}
    for result in results:
        clients = sum(group.clients for group in result.groups)
        for group in result.groups:
            for what, times in group.wrong.items():
                key = (group.contender, clients, what)
                counts[key] = counts.get(key, 0) + times
    if not counts:
        return []
    rows = [[name, str(clients), what, str(times)] for (name, clients, what), times in sorted(counts.items())]
    return ["", "### Wrong answers", "", *report.table(["contender", "clients", "what", "times"], rows)]
