"""Introspected tokens: the guard beside Authlib with two HTTP clients, and nothing at all; and many of them at once."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from . import budgets, machine, remote, report
from .budgets import Budget
from .contenders import COLD, COLD_SLOW, GLACIAL, INTROSPECTION, INTROSPECTION_CONTENDERS, NEW_TOKENS, PLAIN
from .figures import Spread, paired_ratios
from .processes import Generator, Pins, choose_pins, cpu_arguments, generating, run_child, serving
from .remote import Authority, introspection_authority
from .slices import Burst, BurstResult, Group, SliceResult
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

HELP: Final = "guarded and unguarded views over introspected tokens, side by side, and bursts of new tokens"

CLIENTS: Final = (8, 32)
BUDGET_CLIENTS: Final = 32
WARM_UP: Final = 2.0
GUARDED: Final = (INTROSPECTION, "introspection-sync", COLD, COLD_SLOW)

ONE_TOKEN_REQUESTS: Final = 1000
BURST_REQUESTS: Final = 500
PROBES: Final = 8
ONE_TOKEN_BURST: Final = Burst(GLACIAL, ONE_TOKEN_REQUESTS, distinct=False, beside=PLAIN, probes=PROBES)
BURSTS: Final = {
    "0 ms server": Burst(COLD, BURST_REQUESTS, distinct=True, beside=PLAIN, probes=PROBES),
    "50 ms server": Burst(COLD_SLOW, BURST_REQUESTS, distinct=True, beside=PLAIN, probes=PROBES),
}
FAST, SLOW = BURSTS

Times = Mapping[str, Sequence[float]]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    rounds: int
    clients: tuple[int, ...]
    bursts: int
    batches: int


@dataclasses.dataclass(frozen=True, slots=True)
class Flood:
    """A burst, and what the authorization server saw of it."""

    result: BurstResult
    calls: int
    most_in_flight: int


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    by_clients: Mapping[int, Rounds]
    known_calls: int
    floods: Mapping[str, Sequence[Flood]]
    one_token: Sequence[Flood]
    inside: Times
    hops: Mapping[str, Mapping[str, int]]

    @property
    def results(self) -> list[SliceResult]:
        return [result for rounds in self.by_clients.values() for results in rounds.values() for result in results]

    @property
    def all_floods(self) -> list[Flood]:
        return [*self.one_token, *(flood for floods in self.floods.values() for flood in floods)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="short slices, few rounds, nothing written")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md after a quick run too")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn")
    parser.add_argument("--seconds", type=float, help="how long a turn is")
    parser.add_argument("--clients", type=int, nargs="+", default=[*CLIENTS], metavar="N")
    parser.add_argument("--bursts", type=int, metavar="N", help="how often each burst is made")
    parser.add_argument("--no-pin", action="store_true", help="tie no process to a core")


def plan_of(arguments: argparse.Namespace) -> Plan:
    seconds, rounds, bursts, batches = (1.0, 2, 2, 60) if arguments.quick else (2.0, 5, 7, 300)
    return Plan(
        seconds=arguments.seconds or seconds,
        rounds=arguments.rounds or rounds,
        clients=tuple(arguments.clients),
        bursts=arguments.bursts or bursts,
        batches=batches,
    )


def run(arguments: argparse.Namespace, command: str) -> int:
    plan, pins = plan_of(arguments), choose_pins(not arguments.no_pin)
    about = machine.describe()
    with introspection_authority(pins) as authority:
        hops = json.loads(run_child("hops", authority.site, INTROSPECTION))
        inside = measure_inside(authority, pins, plan)
        with (
            serving(authority.site, pins) as server,
            generating(server, pins, authority.remote.tokens_file, authority.server) as generator,
        ):
            by_clients, known_calls = turns(generator, authority, plan)
            one_token, floods = flood(generator, authority, plan)
            errors = server.log_tail()
    measured = Measured(by_clients, known_calls, floods, one_token, inside, hops)
    wrong = wrong_answers(measured.results, GUARDED) + sum(each.result.wrong_answers for each in measured.all_floods)
    if wrong:
        print(errors, file=sys.stderr)
    lines = [*remote.headline(about, pins), turns_line(plan.rounds, plan.seconds), *tables(measured)]
    lines += ["", "### Budgets", "", *report.budget_lines(budget_list(measured)), *wrong_section(measured.results)]
    lines += wrong_floods(measured.all_floods)
    report.publish(report.section("introspection", command, lines), write=arguments.write or not arguments.quick)
    return 1 if wrong else 0


def measure_inside(authority: Authority, pins: Pins, plan: Plan) -> Times:
    print("awaiting views in process", file=sys.stderr)
    arguments = ["introspection", "--batches", str(plan.batches), *cpu_arguments(pins.server)]
    times: Mapping[str, Times] = json.loads(run_child("inside", authority.site, *arguments))
    return times["seen"]


def turns(generator: Generator, authority: Authority, plan: Plan) -> tuple[dict[int, Rounds], int]:
    """What each contender did, and how often the server was asked about tokens whose verdict is in the process."""
    for contender in INTROSPECTION_CONTENDERS:
        warm_up(generator, contender, WARM_UP)
    authority.take_books()
    by_clients: dict[int, Rounds] = {
        clients: take_turns(
            generator,
            plan.seconds,
            plan.rounds,
            {name: (Group(name, clients, fresh=name in NEW_TOKENS),) for name in INTROSPECTION_CONTENDERS},
        )
        for clients in plan.clients
    }
    known = [entry["calls"] for path, entry in authority.take_books().items() if "/known/" in path]
    return by_clients, sum(known)


def flood(generator: Generator, authority: Authority, plan: Plan) -> tuple[list[Flood], dict[str, list[Flood]]]:
    # What is made once, is made before: the connections of the site's client, of which others would find more.
    for burst in (*BURSTS.values(), *BURSTS.values()):
        flood_once(generator, authority, burst)
    one_token = [flood_once(generator, authority, ONE_TOKEN_BURST) for _ in range(plan.bursts)]
    floods: dict[str, list[Flood]] = {name: [] for name in BURSTS}
    for number in range(plan.bursts):
        names = [*BURSTS] if number % 2 == 0 else [*reversed(BURSTS)]
        for name in names:
            floods[name].append(flood_once(generator, authority, BURSTS[name]))
    return one_token, floods


def flood_once(generator: Generator, authority: Authority, burst: Burst) -> Flood:
    authority.take_books()
    result = generator.burst(burst)
    books = authority.take_books().values()
    seen = Flood(
        result, sum(entry["calls"] for entry in books), max((entry["most_in_flight"] for entry in books), default=0)
    )
    print(
        f"{burst.requests} {burst.contender}: {result.seconds * 1e3:.0f} ms, {seen.calls} calls, at most "
        f"{seen.most_in_flight} at once; {PLAIN} beside: p95 {result.beside_p95:.1f} ms",
        file=sys.stderr,
    )
    return seen


def tables(measured: Measured) -> list[str]:
    lines: list[str] = []
    for clients, rounds in measured.by_clients.items():
        lines += ["", clients_title(clients), "", *contender_table(rounds)]
    return [
        *lines,
        "",
        f"Calls to the server for {INTROSPECTION} and introspection-sync in all turns: {measured.known_calls}.",
        generator_line(measured.results),
        "",
        "### Awaited in process, without a server",
        "",
        *inside_table(measured.inside),
        "",
        "### Bursts of new tokens",
        "",
        *burst_table(measured),
    ]


def inside_table(times: Times) -> list[str]:
    head = ["verdicts", "bare view µs", "guarded view µs", "inside the guard µs"]
    inside = min(times["guarded"]) - min(times["plain"])
    row = ["in the process", report.best(times["plain"]), report.best(times["guarded"]), f"{inside:.1f}"]
    return [
        *report.table(head, [row]),
        "",
        "Microseconds of the thread's CPU: the best batch, in parentheses the median one.",
    ]


def burst_table(measured: Measured) -> list[str]:
    head = ["requests at once", "all answered after ms", "calls", "most calls at once", f"{PLAIN} beside, p95 ms"]
    rows = [burst_row(f"{ONE_TOKEN_REQUESTS} with one token, 1000 ms server", measured.one_token)]
    rows += [
        burst_row(f"{BURST_REQUESTS} with a token each, {name}", floods) for name, floods in measured.floods.items()
    ]
    return [
        *report.table(head, rows),
        "",
        f"{PROBES} clients of {PLAIN} pause 10 ms after each answer; bursts of both servers take turns.",
    ]


def burst_row(title: str, floods: Sequence[Flood]) -> list[str]:
    return [
        title,
        report.spread(milliseconds(floods), 0),
        report.spread(Spread.of([flood.calls for flood in floods]), 0),
        report.spread(Spread.of([flood.most_in_flight for flood in floods]), 0),
        report.spread(Spread.of(p95s(floods)), 1),
    ]


def milliseconds(floods: Sequence[Flood]) -> Spread:
    return Spread.of([flood.result.seconds * 1e3 for flood in floods])


def p95s(floods: Sequence[Flood]) -> list[float]:
    return [flood.result.beside_p95 for flood in floods]


def budget_list(measured: Measured) -> list[Budget]:
    fast, slow = measured.floods[FAST], measured.floods[SLOW]
    pairs = zip(slow, fast, strict=True)
    longer = [(slow.result.seconds - fast.result.seconds) * 1e3 for slow, fast in pairs]
    return [
        *throughput_budgets(measured.by_clients),
        *hop_budgets(measured.hops, budgets.REMOTE_HOPS, budgets.REMOTE_QUERIES),
        Budget(
            f"calls for {ONE_TOKEN_REQUESTS} requests with one new token, most of any burst",
            budgets.ONE_TOKEN_CALLS,
            "at most",
            Spread.of([max(flood.calls for flood in measured.one_token)]),
        ),
        Budget(
            f"{BURST_REQUESTS} new tokens: {SLOW} longer than {FAST}",
            budgets.BURST_EXTRA_MILLISECONDS,
            "at most",
            Spread.of(longer),
            " ms",
        ),
        Budget(
            "calls in flight, most of any burst",
            budgets.BURST_CONCURRENCY,
            "at most",
            Spread.of([max(flood.most_in_flight for flood in measured.all_floods)]),
        ),
        Budget(
            f"p95 of {PLAIN} beside: {SLOW} / {FAST}",
            budgets.BURST_BESIDE,
            "at most",
            paired_ratios(p95s(slow), p95s(fast)),
        ),
    ]


def throughput_budgets(by_clients: Mapping[int, Rounds]) -> list[Budget]:
    if BUDGET_CLIENTS not in by_clients:
        return []
    ratio = throughput_ratio(by_clients[BUDGET_CLIENTS], INTROSPECTION, PLAIN)
    bound = budgets.INTROSPECTION_THROUGHPUT
    return [Budget(f"{INTROSPECTION} / {PLAIN}, {BUDGET_CLIENTS} clients", bound, "at least", ratio)]


def wrong_floods(floods: Sequence[Flood]) -> list[str]:
    rows = [
        [flood.result.contender, what, str(times)] for flood in floods for what, times in flood.result.wrong.items()
    ]
    if not rows:
        return []
    return ["", "### Wrong answers in bursts", "", *report.table(["contender", "what", "times"], rows)]
