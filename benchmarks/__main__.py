"""`python -m benchmarks`: measures the rows of `budgets.py`, and writes RESULTS.md if it measured all of them."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from . import burst_rows, decorate, imports, in_process, machine, report, turns
from .budgets import ROWS, Row, choose
from .command import FAILED, run_command
from .parts import FULL, QUICK, Measured, Plan
from .processes import Pins, choose_pins
from .sites import SITES, Site

# In this order on each site.
PARTS: Final[Mapping[str, Callable[[Site, Sequence[Any], Plan], Measured]]] = {
    "turns": turns.measure,
    "hops": in_process.measure_hops,
    "inside": in_process.measure_inside,
    "bursts": burst_rows.measure,
    "invalid-tokens": in_process.measure_invalid_tokens,
    "decorate": decorate.measure,
    "imports": imports.measure,
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare guarded and unguarded views.")
    parser.add_argument("rows", nargs="*", default=["*"], metavar="ROW", help="names or patterns, such as 'sqlite-*'")
    parser.add_argument("--list", action="store_true", help="list the names of the rows")
    parser.add_argument("--quick", action="store_true", help="few and short repeats, for rough figures")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn")
    parser.add_argument("--no-pin", action="store_true", help="tie no process to a core")
    parsed = parser.parse_args(arguments)
    try:
        rows = choose(parsed.rows)
    except ValueError as error:
        parser.error(str(error))
    if parsed.list:
        print("\n".join(f"{row.name}: {row.text}" for row in rows))
        return 0
    plan = QUICK if parsed.quick else FULL
    plan = dataclasses.replace(plan, rounds=parsed.rounds or plan.rounds)
    is_full = len(rows) == len(ROWS) and not parsed.quick
    return run_command(lambda: run(rows, plan, choose_pins(not parsed.no_pin), is_full))


def run(rows: Sequence[Row], plan: Plan, pins: Pins, is_full: bool) -> int:
    about = [*machine.describe(), f"One uvicorn worker (uvloop, httptools, no access log); {pins}", rounds_line(plan)]
    measured: list[Measured] = []
    sections: list[str] = []
    for name, make in SITES.items():
        chosen = [row for row in rows if row.site == name]
        if chosen:
            with make(pins) as site:
                parts = measure(site, chosen, plan)
            measured += parts
            head = [f"- {site.about}"] if site.about else []
            sections += report.section(site.title, [*head, *(line for part in parts for line in part.lines)])
    text = results(rows, [f"- {line}" for line in about], measured, sections)
    print(text)
    if is_full:
        report.RESULTS.write_text(text, encoding="utf-8")
        print(f"Written to {report.RESULTS}", file=sys.stderr)
    return FAILED if any(each.wrong for each in measured) else 0


def measure(site: Site, rows: Sequence[Row], plan: Plan) -> list[Measured]:
    by_part = {part: [row for row in rows if row.part == part] for part in PARTS}
    return [PARTS[part](site, chosen, plan) for part, chosen in by_part.items() if chosen]


def rounds_line(plan: Plan) -> str:
    return (
        f"{plan.rounds} rounds, {plan.seconds:g} s for each contender's turn. Figures are medians of the rounds, "
        "with the minimum and maximum in parentheses. Ratios are computed within each round"
    )


def results(rows: Sequence[Row], about: Sequence[str], measured: Sequence[Measured], sections: Sequence[str]) -> str:
    seen = {name: figure for each in measured for name, figure in each.seen.items()}
    cpu = {name: figure for each in measured for name, figure in each.cpu.items()}
    lines = [*about, *report.subsection("Rows", *report.budget_table(rows, seen, cpu))]
    return "\n".join([report.PREAMBLE, *report.section("budgets", lines), *sections]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
