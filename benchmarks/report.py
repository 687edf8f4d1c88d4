"""Markdown for the terminal and for RESULTS.md, where each benchmark and database has one section."""

import pathlib
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from .budgets import Budget
from .figures import Spread

RESULTS: Final = pathlib.Path(__file__).with_name("RESULTS.md")
PREAMBLE: Final = """\
# Results

One section for each benchmark and database, written by the command that it names; the other sections stay as they were.
What is measured and how to read it: [README.md](README.md).
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    # The first column is names, the others are figures.
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


def budget_lines(budgets: Sequence[Budget]) -> list[str]:
    if not budgets:
        return ["No budget is set here."]
    return table(
        ["Budget", "bound", "seen", ""],
        [
            [
                budget.text,
                f"{budget.kind} {budget.bound:g}{budget.unit}",
                spread(budget.figure, 2),
                "met" if budget.met else "missed",
            ]
            for budget in budgets
        ],
    )


def section(title: str, command: str, lines: Iterable[str]) -> str:
    return "\n".join([f"## {title}", "", f"`{command}`", "", *lines]) + "\n"


def publish(text: str, write: bool) -> None:
    print(text)
    if write:
        before = RESULTS.read_text() if RESULTS.exists() else PREAMBLE
        RESULTS.write_text(replace_section(before, text))
        print(f"Written to {RESULTS}", file=sys.stderr)


def replace_section(results: str, text: str) -> str:
    """`results` with the section of the same title replaced by `text`, or with `text` as its last section."""
    title = text.partition("\n")[0]
    parts = re.split(r"^(?=## )", results, flags=re.MULTILINE)
    kept = [part for part in parts if part.partition("\n")[0] != title]
    place = next((index for index, part in enumerate(parts) if part.partition("\n")[0] == title), len(kept))
    kept.insert(place, text)
    return "\n".join(part.strip("\n") + "\n" for part in kept)


def command(benchmark: str, arguments: Sequence[str]) -> str:
    return " ".join(["python -m benchmarks", benchmark, *arguments])
