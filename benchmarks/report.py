"""Markdown for the terminal and for RESULTS.md."""

import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .budgets import Row
from .figures import Spread

RESULTS: Final = pathlib.Path(__file__).with_name("RESULTS.md")
PREAMBLE: Final = """\
# Results

`python -m benchmarks` writes this page. For what is measured, and how to read it, see [README.md](README.md)."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    # The first column has names, the others have figures.
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, rule)
    return [
        "| "
        + " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]


def spread(value: Spread, digits: int) -> str:
    return f"{value.median:.{digits}f} ({value.low:.{digits}f}–{value.high:.{digits}f})"


def best(values: Sequence[float]) -> str:
    return f"{min(values):.1f} ({statistics.median(values):.1f})"


def budget_table(rows: Sequence[Row], seen: Mapping[str, Spread], cpu: Mapping[str, Spread]) -> list[str]:
    head = ["row", "what", "budget", "seen", "CPU per request", ""]
    return table(head, [budget_row(row, seen[row.name], cpu.get(row.name)) for row in rows])


def budget_row(row: Row, seen: Spread, cpu: Spread | None) -> list[str]:
    outcome = "" if row.budget is None else "met" if row.budget.is_met(seen) else "missed"
    return [
        row.name,
        row.text,
        "" if row.budget is None else str(row.budget),
        spread(seen, 2),
        "" if cpu is None else spread(cpu, 2),
        outcome,
    ]


def section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def subsection(title: str, *lines: str) -> list[str]:
    return ["", f"### {title}", "", *lines]
