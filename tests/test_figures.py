"""Figures: every measurement that a page quotes is one of those in ``benchmarks/RESULTS.md``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "SECURITY.md"]

LINK = re.compile(r"\]\([^)\s]*RESULTS\.md#([\w-]+)\)")
# Above a table of figures: its rows are contenders under so many clients, or so many clients of one contender.
MARK = re.compile(r"^<!-- figures: (?P<given>[^,]+), (?P<column>[^,]+) -->\n(?P<table>(?:\|.*\n)+)", re.MULTILINE)
# What only a measurement can be.
MEASUREMENT = re.compile(r"\d ?(?:µs|requests/s|%)|\d(?: percent| times (?:as|faster|slower|more|less))")


@dataclass(frozen=True)
class Figure:
    section: str
    clients: str
    contender: str
    column: str
    value: str


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def sections() -> dict[str, str]:
    """The sections of the results, by the anchors of their headings."""
    found = re.split(r"^## (.+)$", read(RESULTS), flags=re.MULTILINE)
    return {heading.lower().replace(" ", "-"): text for heading, text in zip(found[1::2], found[2::2], strict=True)}


def measured() -> set[Figure]:
    """The tables of contenders, without the spreads in their parentheses."""
    return {
        Figure(section, clients, contender, column, value.partition(" (")[0])
        for section, text in sections().items()
        for clients, table in re.findall(r"^### (\d+ clients?)\n\n((?:\|.*\n)+)", text, re.MULTILINE)
        for columns, rows in [(cells(table.splitlines()[0]), table.splitlines()[2:])]
        for contender, *values in map(cells, rows)
        for column, value in zip(columns[1:], values, strict=True)
    }


def quoted(page: Path) -> Iterator[Figure]:
    """The figures in a page's tables of figures."""
    for mark in MARK.finditer(read(page)):
        head, _, *rows = map(cells, mark["table"].splitlines())
        linked = [LINK.search(cell) for cell in head[1:]]
        for name, *values in rows:
            named = re.match(r"`([^`]+)`", name)
            assert named is not None, f"the first cell names a contender, or how many clients, in backticks: {name}"
            pair = {mark["given"], named[1]}
            [clients] = [each for each in pair if re.fullmatch(r"\d+ clients?", each)]
            [contender] = pair - {clients}
            for link, value in zip(linked, values, strict=True):
                assert link is not None, f"each column of figures links the section that they are from: {head}"
                if value:
                    yield Figure(link[1], clients, contender, mark["column"], value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_of_figures(page: Path) -> None:
    """Each figure of a table is the very one that was measured."""
    assert set(quoted(page)) - measured() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_in_sentences(page: Path) -> None:
    """Each decimal of a paragraph that links to results stands in what it links; every measurement is in such one."""
    for paragraph in MARK.sub("", read(page)).split("\n\n"):
        linked = "".join(sections()[anchor] for anchor in LINK.findall(paragraph))
        assert linked or not MEASUREMENT.search(paragraph), f"where was this measured? {paragraph}"
        if linked:
            figures = set(re.findall(r"\d+\.\d+", paragraph))
            assert figures - set(re.findall(r"\d+\.\d+", linked)) == set(), paragraph


def test_figures_are_quoted() -> None:
    """The pages that explain lookups and remote tokens show what they cost."""
    assert {figure.section for page in PAGES for figure in quoted(page)} == {
        "orm-on-sqlite",
        "orm-on-postgres",
        "orm-on-postgres-pool",
        "jwt",
        "introspection",
    }
