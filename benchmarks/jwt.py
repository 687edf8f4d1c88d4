"""JWT access tokens: the guard beside Authlib, the bare verification of signatures, and nothing at all."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import budgets, machine, remote, report
from .budgets import Budget
from .contenders import JWT, JWT_CONTENDERS, PLAIN
from .figures import Spread
from .processes import Generator, Pins, choose_pins, cpu_arguments, generating, run_child, serving
from .remote import Authority, jwt_authority
from .remote_tokens import ALGORITHMS
from .slices import Group, SliceResult
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

HELP: Final = "guarded and unguarded views over JWT access tokens, side by side, and a million tokens that are garbage"

CLIENTS: Final = (8, 32)
BUDGET_CLIENTS: Final = 32
GARBAGE: Final = 1_000_000
# Of the garbage: only then does the memory count.
FIRST: Final = 0.1
WARM_UP: Final = 2.0
GUARDED: Final = (JWT, "jwt-sync")

Times = Mapping[str, Sequence[float]]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    rounds: int
    clients: tuple[int, ...]
    batches: int
    garbage: int


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    by_clients: Mapping[int, Rounds]
    inside: Mapping[str, Times]
    garbage: Mapping[str, Any]
    garbage_calls: Mapping[str, int]
    hops: Mapping[str, Mapping[str, int]]

    @property
    def results(self) -> list[SliceResult]:
        return [result for rounds in self.by_clients.values() for results in rounds.values() for result in results]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="short slices, few rounds, little garbage, nothing written"
    )
    parser.add_argument("--write", action="store_true", help="write RESULTS.md after a quick run too")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn")
    parser.add_argument("--seconds", type=float, help="how long a turn is")
    parser.add_argument("--clients", type=int, nargs="+", default=[*CLIENTS], metavar="N")
    parser.add_argument("--garbage", type=int, metavar="N", help=f"how many tokens are garbage: {GARBAGE} by default")
    parser.add_argument("--no-pin", action="store_true", help="tie no process to a core")


def plan_of(arguments: argparse.Namespace) -> Plan:
    seconds, rounds, batches, garbage = (1.0, 3, 60, GARBAGE // 20) if arguments.quick else (2.0, 5, 300, GARBAGE)
    return Plan(
        seconds=arguments.seconds or seconds,
        rounds=arguments.rounds or rounds,
        clients=tuple(arguments.clients),
        batches=batches,
        garbage=arguments.garbage or garbage,
    )


def run(arguments: argparse.Namespace, command: str) -> int:
    plan, pins = plan_of(arguments), choose_pins(not arguments.no_pin)
    about = machine.describe()
    with jwt_authority(pins) as authority:
        hops = json.loads(run_child("hops", authority.site, JWT))
        inside = measure_inside(authority, pins, plan)
        by_clients, errors = measure_turns(authority, pins, plan)
        garbage, calls = measure_garbage(authority, pins, plan)
    measured = Measured(by_clients, inside, garbage, calls, hops)
    wrong = wrong_answers(measured.results, GUARDED)
    if wrong:
        print(errors, file=sys.stderr)
    lines = [*remote.headline(about, pins), turns_line(plan.rounds, plan.seconds), *tables(measured)]
    lines += ["", "### Budgets", "", *report.budget_lines(budget_list(measured)), *wrong_section(measured.results)]
    report.publish(report.section("jwt", command, lines), write=arguments.write or not arguments.quick)
    return 1 if wrong else 0


def measure_inside(authority: Authority, pins: Pins, plan: Plan) -> Mapping[str, Times]:
    print("awaiting views in process", file=sys.stderr)
    arguments = ["jwt", "--batches", str(plan.batches), *cpu_arguments(pins.server)]
    times: Mapping[str, Times] = json.loads(run_child("inside", authority.site, *arguments))
    return times


def measure_turns(authority: Authority, pins: Pins, plan: Plan) -> tuple[dict[int, Rounds], str]:
    with (
        serving(authority.site, pins) as server,
        generating(server, pins, authority.remote.tokens_file, authority.server) as generator,
    ):
        return turns(generator, plan), server.log_tail()


def turns(generator: Generator, plan: Plan) -> dict[int, Rounds]:
    for contender in JWT_CONTENDERS:
        warm_up(generator, contender, WARM_UP)
    return {
        clients: take_turns(
            generator, plan.seconds, plan.rounds, {name: (Group(name, clients),) for name in JWT_CONTENDERS}
        )
        for clients in plan.clients
    }


def measure_garbage(authority: Authority, pins: Pins, plan: Plan) -> tuple[Mapping[str, Any], dict[str, int]]:
    print(f"{plan.garbage} garbage tokens", file=sys.stderr)
    authority.take_books()
    arguments = ["--tokens", str(plan.garbage), *cpu_arguments(pins.server)]
    garbage: Mapping[str, Any] = json.loads(run_child("garbage", authority.site, *arguments))
    return garbage, {path: entry["calls"] for path, entry in authority.take_books().items()}


def tables(measured: Measured) -> list[str]:
    lines: list[str] = []
    for clients, rounds in measured.by_clients.items():
        lines += ["", clients_title(clients), "", *contender_table(rounds)]
    return [
        *lines,
        "",
        generator_line(measured.results),
        "",
        "### Awaited in process, without a server",
        "",
        *inside_table(measured.inside),
        "",
        "### Garbage",
        "",
        *garbage_section(measured),
    ]


def inside_table(inside: Mapping[str, Times]) -> list[str]:
    head = ["tokens", "bare view µs", "guarded view µs", "inside the guard µs", "bare verify µs", "inside / verify"]
    rows = [["RS256, seen before", *inside_cells(inside["seen"]), "", ""]]
    for algorithm in ALGORITHMS:
        times = inside[algorithm]
        verify, ratio = report.best(times["verify"]), report.spread(to_verify(times), 2)
        rows.append([f"{algorithm}, never seen", *inside_cells(times), verify, ratio])
    return [
        *report.table(head, rows),
        "",
        "Microseconds of the thread's CPU: the best batch, in parentheses the median one. Ratios: each batch's own; "
        "the median, in parentheses the least and the most.",
    ]


def inside_cells(times: Times) -> list[str]:
    return [report.best(times["plain"]), report.best(times["guarded"]), f"{inside_best(times):.1f}"]


def inside_best(times: Times) -> float:
    return min(times["guarded"]) - min(times["plain"])


def to_verify(times: Times) -> Spread:
    batches = zip(times["guarded"], times["plain"], times["verify"], strict=True)
    return Spread.of([(guarded - plain) / verify for guarded, plain, verify in batches])


def garbage_section(measured: Measured) -> list[str]:
    garbage = measured.garbage
    answered = ", ".join(f"{times} with {status}" for status, times in sorted(garbage["answered"].items()))
    calls = ", ".join(f"{times} to {path}" for path, times in sorted(measured.garbage_calls.items())) or "none"
    rows = [[str(number), f"{rss:.1f}"] for number, rss in garbage["samples"]]
    return [
        "Half are JWTs of the issuer that do not verify, half cannot be tokens; all are distinct.",
        f"Refused: {answered}. Calls to the authorization server: {calls}.",
        "",
        *report.table(["tokens", "RSS MiB"], rows),
    ]


def garbage_growth(samples: Sequence[tuple[int, float]]) -> float:
    """Mebibytes beyond what the process held after the first tokens, at its largest."""
    last, _ = samples[-1]
    later = [rss for number, rss in samples if number >= last * FIRST]
    return max(later) - later[0]


def budget_list(measured: Measured) -> list[Budget]:
    seen, new = measured.inside["seen"], measured.inside["RS256"]
    samples = measured.garbage["samples"]
    extra_calls = sum(times - 1 for times in measured.garbage_calls.values())
    return [
        *throughput_budgets(measured.by_clients),
        Budget(
            "inside the guard, JWT seen before, best",
            budgets.JWT_SEEN_MICROSECONDS,
            "at most",
            Spread.of([inside_best(seen)]),
            " µs",
        ),
        Budget(
            "inside the guard, JWT never seen / bare verify, RS256",
            budgets.JWT_NEW_TO_VERIFY,
            "at most",
            to_verify(new),
        ),
        *hop_budgets(measured.hops, budgets.REMOTE_HOPS, budgets.REMOTE_QUERIES),
        Budget(
            f"memory for {samples[-1][0]} garbage tokens after the first {samples[-1][0] * FIRST:.0f}",
            budgets.GARBAGE_MEBIBYTES,
            "at most",
            Spread.of([garbage_growth(samples)]),
            " MiB",
        ),
        Budget("upstream calls for them beyond the first fetch", 0, "at most", Spread.of([extra_calls])),
    ]


def throughput_budgets(by_clients: Mapping[int, Rounds]) -> list[Budget]:
    if BUDGET_CLIENTS not in by_clients:
        return []
    ratio = throughput_ratio(by_clients[BUDGET_CLIENTS], JWT, PLAIN)
    return [Budget(f"{JWT} / {PLAIN}, {BUDGET_CLIENTS} clients", budgets.JWT_THROUGHPUT, "at least", ratio)]
