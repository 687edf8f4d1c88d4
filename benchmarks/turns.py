"""A part: contenders take turns on one server, with one load generator."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from . import report
from .budgets import Ratio
from .contenders import IN_FRONT, NEW_TOKENS, PLAIN, REFUSED, UNGUARDED, Tokens
from .figures import Spread, paired_ratios
from .parts import Measured, Plan
from .processes import ChildFailed, Generator
from .sites import Site
from .slices import Group, Slice, SliceResult

SETTLE: Final = 0.3
WARM_UP: Final = 1.0
WARM_UP_CLIENTS: Final = 8

Rounds = Mapping[Group, Sequence[SliceResult]]


def measure(site: Site, rows: Sequence[Ratio], plan: Plan) -> Measured:
    groups = groups_of(rows, site)
    with site.serve() as (server, generator):
        for contender in dict.fromkeys(group.contender for group in groups):
            warm_up(generator, group_of(contender, WARM_UP_CLIENTS, site))
        rounds = take_turns(generator, groups, plan)
        wrong = wrong_counts(rounds)
        if wrong:
            print(server.log_tail(), file=sys.stderr)
    return Measured(
        {row.name: ratio(row, rounds, site) for row in rows},
        cpu={row.name: cpu_ratio(row, rounds, site) for row in rows},
        lines=[*client_tables(rounds), "", generator_line(rounds), *wrong_table(wrong)],
        # Wrong responses of other contenders are results: some may exceed the database's limit of connections.
        wrong=sum(times for (group, _), times in wrong.items() if group.contender in (*UNGUARDED, *IN_FRONT)),
    )


def group_of(contender: str, clients: int, site: Site) -> Group:
    others: dict[str, Tokens] = {**dict.fromkeys(NEW_TOKENS, "new"), REFUSED: "none"}
    return Group(contender, clients, tokens=others.get(contender, site.tokens))


def groups_of(rows: Sequence[Ratio], site: Site) -> list[Group]:
    """A turn for each contender of the rows, for those that it is compared with, and for the unguarded view."""
    pairs = [(name, row.clients) for row in rows for name in (PLAIN, row.base, row.contender)]
    return [group_of(name, clients, site) for name, clients in dict.fromkeys(pairs)]


def warm_up(generator: Generator, group: Group) -> None:
    result = generator.run(Slice((group,), WARM_UP, 0.0))
    if not result.responses:
        raise ChildFailed(f"{group.contender} has no expected response: {dict(result.groups[0].wrong)}")


def take_turns(generator: Generator, groups: Sequence[Group], plan: Plan) -> Rounds:
    """Every round starts with another group, so that no group is always at the same place in a round."""
    rounds: dict[Group, list[SliceResult]] = {group: [] for group in groups}
    for number in range(plan.rounds):
        first = number % len(groups)
        for group in [*groups[first:], *groups[:first]]:
            rounds[group].append(generator.run(Slice((group,), plan.seconds, SETTLE)))
            print_progress(number, group, rounds[group][-1])
    return rounds


def print_progress(number: int, group: Group, result: SliceResult) -> None:
    rate, cpu = result.groups[0].per_second, result.cpu_per_response
    print(f"round {number + 1}: {group.clients} {group.contender}: {rate:.0f}/s, {cpu:.0f} µs CPU", file=sys.stderr)


def pair(row: Ratio, rounds: Rounds, site: Site) -> list[Sequence[SliceResult]]:
    return [rounds[group_of(name, row.clients, site)] for name in (row.contender, row.base)]


def ratio(row: Ratio, rounds: Rounds, site: Site) -> Spread:
    values, bases = ([getattr(each.groups[0], row.figure) for each in results] for results in pair(row, rounds, site))
    return paired_ratios(values, bases)


def cpu_ratio(row: Ratio, rounds: Rounds, site: Site) -> Spread:
    values, bases = ([each.cpu_per_response for each in results] for results in pair(row, rounds, site))
    return paired_ratios(values, bases)


def client_tables(rounds: Rounds) -> list[str]:
    lines: list[str] = []
    for clients in sorted({group.clients for group in rounds}):
        mine = {group: results for group, results in rounds.items() if group.clients == clients}
        lines += report.subsection(f"{clients} client{'s' * (clients > 1)}", *contender_table(mine))
    return lines


def contender_table(rounds: Rounds) -> list[str]:
    head = ["contender", "requests/s", "of plain", "p50 ms", "p99 ms", "CPU µs/request", "CPU × plain"]
    plain = next(results for group, results in rounds.items() if group.contender == PLAIN)
    return report.table(head, [contender_row(group.contender, rounds[group], plain) for group in rounds])


def contender_row(name: str, results: Sequence[SliceResult], plain: Sequence[SliceResult]) -> list[str]:
    groups = [result.groups[0] for result in results]
    rates, cpu = [group.per_second for group in groups], [result.cpu_per_response for result in results]
    return [
        name,
        report.spread(Spread.of(rates), 0),
        report.spread(paired_ratios(rates, [result.groups[0].per_second for result in plain]), 2),
        report.spread(Spread.of([group.median for group in groups]), 2),
        report.spread(Spread.of([group.p99 for group in groups]), 2),
        report.spread(Spread.of(cpu), 0),
        report.spread(paired_ratios(cpu, [result.cpu_per_response for result in plain]), 2),
    ]


def generator_line(rounds: Rounds) -> str:
    results = [result for each in rounds.values() for result in each]
    busiest, upstream = (
        max(getattr(each, what) for each in results) for what in ("generator_share", "authority_share")
    )
    line = f"The load generator used at most {busiest:.0%} of a core in any turn"
    return f"{line}, the authorization server at most {upstream:.0%}." if upstream else f"{line}."


def wrong_counts(rounds: Rounds) -> dict[tuple[Group, str], int]:
    counts: dict[tuple[Group, str], int] = {}
    for group, results in rounds.items():
        for what, times in ((what, times) for result in results for what, times in result.groups[0].wrong.items()):
            counts[group, what] = counts.get((group, what), 0) + times
    return counts


def wrong_table(counts: Mapping[tuple[Group, str], int]) -> list[str]:
    """The wrong responses, if there were any."""
    if not counts:
        return []
    rows = [[group.contender, str(group.clients), what, str(times)] for (group, what), times in counts.items()]
    return report.subsection("Wrong responses", *report.table(["contender", "clients", "what", "times"], rows))
