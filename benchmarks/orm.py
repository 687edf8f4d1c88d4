"""Tokens in the database: the guard beside Authlib, django-oauth-toolkit, a hand-written `aget`, and nothing at all."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from . import machine, report
from .budgets import EXTRA_HOPS, EXTRA_QUERIES, LATENCY_TO_AGET, THROUGHPUT, Budget
from .contenders import AGET, AUTHLIB, COALESCED, CONTENDERS, GUARD, PLAIN
from .databases import DATABASES, Database
from .figures import Spread, paired_ratios
from .processes import Generator, choose_pins, generating, run_child, serving
from .slices import Group, GroupResult, SliceResult
from .turns import (
    Rounds,
    clients_title,
    contender_table,
    generator_line,
    hop_budgets,
    take_turns,
    throughput_ratio,
    turns_line,
    warm_up,
    wrong_answers,
    wrong_section,
)

HELP: Final = "guarded and unguarded views over tokens in the database, side by side"

CLIENTS: Final = (1, 8, 32, 128)
MIXED_CLIENTS: Final = 32
MIXED_PARTNERS: Final = (GUARD, AGET, AUTHLIB)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    rounds: int
    clients: tuple[int, ...]
    contenders: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    by_clients: Mapping[int, Rounds]
    mixed: Rounds
    hops: Mapping[str, Mapping[str, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", choices=[*DATABASES], default="sqlite")
    parser.add_argument("--quick", action="store_true", help="short slices, few rounds, nothing written")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md after a quick run too")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn")
    parser.add_argument("--seconds", type=float, help="how long a turn is")
    parser.add_argument("--clients", type=int, nargs="+", default=[*CLIENTS], metavar="N")
    parser.add_argument("--contenders", nargs="+", default=[*CONTENDERS], choices=[*CONTENDERS], metavar="NAME")
    parser.add_argument("--no-pin", action="store_true", help="tie no process to a core")


def plan_of(arguments: argparse.Namespace) -> Plan:
    seconds, rounds = (1.0, 3) if arguments.quick else (3.0, 5)
    # Every ratio needs the unguarded view.
    contenders = [name for name in CONTENDERS if name in arguments.contenders or name == PLAIN]
    return Plan(
        seconds=arguments.seconds or seconds,
        rounds=arguments.rounds or rounds,
        clients=tuple(arguments.clients),
        contenders=tuple(contenders),
    )


def run(arguments: argparse.Namespace, command: str) -> int:
    plan, pins = plan_of(arguments), choose_pins(not arguments.no_pin)
    about = machine.describe()
    with DATABASES[arguments.database]() as database:
        run_child("seed", database)
        hops = json.loads(run_child("hops", database))
        with serving(database, pins) as server, generating(server, pins) as generator:
            measured = measure(generator, plan, hops)
            errors = server.log_tail()
    # Those with a connection for each request at once use up what a database server allows: a result of theirs.
    wrong = wrong_answers(all_results(measured), COALESCED)
    lines = [*headline(about, database, str(pins), plan), *tables(measured), *budget_section(measured, database)]
    lines += wrong_section(all_results(measured))
    if wrong:
        print(errors, file=sys.stderr)
    text = report.section(f"orm on {database.label}", command, lines)
    report.publish(text, write=arguments.write or not arguments.quick)
    return 1 if wrong else 0


def measure(generator: Generator, plan: Plan, hops: Mapping[str, Mapping[str, int]]) -> Measured:
    for contender in plan.contenders:
        warm_up(generator, contender)
    by_clients = {
        clients: take_turns(
            generator, plan.seconds, plan.rounds, {name: (Group(name, clients),) for name in plan.contenders}
        )
        for clients in plan.clients
    }
    return Measured(by_clients, take_turns(generator, plan.seconds, plan.rounds, mixtures(plan)), hops)


def mixtures(plan: Plan) -> dict[str, tuple[Group, ...]]:
    half = MIXED_CLIENTS // 2
    partners = [name for name in (PLAIN, *MIXED_PARTNERS) if name in plan.contenders]
    return {name: (Group(PLAIN, half), Group(name, half)) for name in partners}


def headline(about: Sequence[str], database: Database, pins: str, plan: Plan) -> list[str]:
    drivers = machine.versions(machine.DRIVERS)
    return [
        *(f"- {line}" for line in about),
        f"- Database: {database.version} on the same machine, drivers {drivers}; its own CPU is not counted",
        f"- One uvicorn worker (uvloop, httptools, no access log); {pins}",
        turns_line(plan.rounds, plan.seconds),
    ]


def tables(measured: Measured) -> list[str]:
    lines: list[str] = []
    for clients, rounds in measured.by_clients.items():
        lines += ["", clients_title(clients), "", *contender_table(rounds)]
        if clients == 1 and GUARD in rounds and AGET in rounds:
            lines += ["", latency_line(rounds)]
    return [*lines, "", *mixed_section(measured.mixed), "", generator_line(all_results(measured))]


def latency_ratio(rounds: Rounds, figure: str) -> Spread:
    return paired_ratios(
        [getattr(result.groups[0], figure) for result in rounds[GUARD]],
        [getattr(result.groups[0], figure) for result in rounds[AGET]],
    )


def latency_line(rounds: Rounds) -> str:
    median, p99 = (report.spread(latency_ratio(rounds, figure), 2) for figure in ("median", "p99"))
    return f"Latency of {GUARD} over {AGET}: median {median}, p99 {p99}."


def mixed_section(mixed: Rounds) -> list[str]:
    half = MIXED_CLIENTS // 2
    head = [
        f"the other {half}",
        "plain half, requests/s",
        "of all plain",
        "p99 ms",
        "p99 × all plain",
        "other half",
        "p99 ms",
    ]
    return [
        f"### {half} plain clients beside {half} others at once",
        "",
        *report.table(head, [mixed_row(name, mixed) for name in mixed]),
    ]


def mixed_row(name: str, mixed: Rounds) -> list[str]:
    halves, bases = ([result.groups[0] for result in mixed[key]] for key in (name, PLAIN))
    others = [result.groups[1] for result in mixed[name]]
    return [
        name,
        report.spread(Spread.of(rates(halves)), 0),
        report.spread(paired_ratios(rates(halves), rates(bases)), 2),
        report.spread(Spread.of(tails(halves)), 2),
        report.spread(paired_ratios(tails(halves), tails(bases)), 2),
        report.spread(Spread.of(rates(others)), 0),
        report.spread(Spread.of(tails(others)), 2),
    ]


def rates(groups: Sequence[GroupResult]) -> list[float]:
    return [group.per_second for group in groups]


def tails(groups: Sequence[GroupResult]) -> list[float]:
    return [group.p99 for group in groups]


def all_results(measured: Measured) -> list[SliceResult]:
    everything = [*measured.by_clients.values(), measured.mixed]
    return [result for rounds in everything for results in rounds.values() for result in results]


def budget_section(measured: Measured, database: Database) -> list[str]:
    budgets = [
        *throughput_budgets(measured.by_clients, database.label),
        *latency_budget(measured.by_clients),
        *hop_budgets(measured.hops, EXTRA_HOPS, EXTRA_QUERIES),
    ]
    return ["", "### Budgets", "", *report.budget_lines(budgets)]


def throughput_budgets(by_clients: Mapping[int, Rounds], label: str) -> list[Budget]:
    budgets: list[Budget] = []
    for wanted in THROUGHPUT[label]:
        rounds = by_clients.get(wanted.clients, {})
        bounds = ((PLAIN, wanted.to_plain), (AUTHLIB, wanted.to_authlib))
        budgets += [
            Budget(
                f"{GUARD} / {base}, {wanted.clients} clients", bound, "at least", throughput_ratio(rounds, GUARD, base)
            )
            for base, bound in bounds
            if bound is not None and GUARD in rounds and base in rounds
        ]
    return budgets


def latency_budget(by_clients: Mapping[int, Rounds]) -> list[Budget]:
    rounds = by_clients.get(1, {})
    if GUARD not in rounds or AGET not in rounds:
        return []
    ratio = latency_ratio(rounds, "median")
    return [Budget(f"latency of {GUARD} / {AGET}, 1 client, median", LATENCY_TO_AGET, "at most", ratio)]
