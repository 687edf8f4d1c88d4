"""Figures: every measurement that a page quotes is one of those in ``benchmarks/RESULTS.md``."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "SECURITY.md"]

LINK = re.compile(r"\]\([^)\s]*RESULTS\.md#([\w-]+)\)")
# Above a table of figures: its rows are contenders under so many clients, or so many clients of one contender.
MARK = re.compile(r"^<!-- figures: (?P<given>[^,]+), (?P<column>[^,]+) -->\n(?P<table>(?:\|.*\n)+)", re.MULTILINE)
# Above a paragraph, a line for each of its figures: the section, the heading, the row and the column that it is from.
SOURCE = re.compile(r"^<!-- figure: (.+) -->$", re.MULTILINE)
# What only a measurement can be.
MEASUREMENT = (
    r"(?P<number>\d+(?:\.\d+)?)(?: ?(?P<percent>%| percent\b)| ?(?:µs|ms\b|requests/s)"
    r"| times (?:as|faster|slower|more|less)\b)"
    r"|\b(?P<word>twice|half) as (?:fast|slow|many|much|long)\b"
)
# Where results are linked, any decimal is one as well.
FIGURE = rf"{MEASUREMENT}|(?P<decimal>\d+\.\d+)"
WORDS = {"twice": "2.0", "half": "0.5"}
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def sections() -> dict[str, str]:
    """The sections of the results, by the anchors of their headings."""
    found = re.split(r"^## (.+)$", read(RESULTS), flags=re.MULTILINE)
    return {heading.lower().replace(" ", "-"): text for heading, text in zip(found[1::2], found[2::2], strict=True)}


def results() -> dict[str, str]:
    """Every cell of the results, without the spread in its parentheses, by section, heading, row and column."""
    return {
        f"{section}, {heading}, {row}, {column}": value.partition(" (")[0]
        for section, text in sections().items()
        for heading, table in re.findall(r"^### (.+)\n\n((?:\|.*\n)+)", text, re.MULTILINE)
        for columns, rows in [(cells(table.splitlines()[0]), table.splitlines()[2:])]
        for row, *values in map(cells, rows)
        for column, value in zip(columns[1:], values, strict=True)
        # One table has a column for each half of its clients, of one name: nobody quotes those.
        if columns.count(column) == 1
    }


def quoted(page: Path) -> Iterator[tuple[str, str]]:
    """The figures in a page's tables of figures, each with the cell that it is from."""
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
                    yield f"{link[1]}, {clients}, {contender}, {mark['column']}", value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_of_figures(page: Path) -> None:
    """Each figure of a table is the very one that was measured."""
    assert set(quoted(page)) - results().items() == set()


def says(figure: re.Match[str], value: str) -> bool:
    """Whether a figure is what was measured, rounded to as many digits as it has."""
    said = Decimal(WORDS.get(figure["word"]) or figure["number"] or figure["decimal"])
    measured = Decimal(value) * (100 if figure["percent"] else 1)
    return measured.quantize(said) == said


def paragraphs(page: Path) -> list[str]:
    """What a page says, without blocks of code, and without tables of figures, which have a test of their own."""
    return CODE.sub("", MARK.sub("", read(page))).split("\n\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_in_sentences(page: Path) -> None:
    """Each figure of a paragraph has a line above that says where it was measured, is that, and links it."""
    for paragraph in paragraphs(page):
        sources, text = SOURCE.findall(paragraph), SOURCE.sub("", paragraph)
        linked = LINK.findall(text)
        figures = [*re.finditer(FIGURE if sources or linked else MEASUREMENT, text)]
        assert len(figures) == len(sources), f"where was each of these measured? {paragraph}"
        for figure, source in zip(figures, sources, strict=True):
            assert says(figure, results()[source]), f"{figure[0]} is not {results()[source]}: {paragraph}"
            assert source.partition(", ")[0] in linked, f"the results are not linked: {paragraph}"


@pytest.mark.parametrize(
    ("sentence", "value", "holds"),
    [
        ("costs 0.25 queries", "0.25", True),
        ("costs 0.25 queries", "0.2501", True),
        ("costs 0.25 queries", "0.26", False),
        ("takes 18 ms", "18.26", True),
        ("takes 19 ms", "18.26", False),
        ("takes 703µs", "703", True),
        ("1397 requests/s", "1397", True),
        ("90 % of it", "0.90", True),
        ("90 percent of it", "0.82", False),
        ("2.4 times as many", "2.44", True),
        ("3 times faster", "2.44", False),
        ("twice as many", "1.96", True),
        ("twice as fast", "1.9", False),
        ("half as long", "0.51", True),
        ("half as long", "0.62", False),
    ],
)
def test_what_a_sentence_says(sentence: str, value: str, holds: bool) -> None:
    """Decimals, numbers with a unit, shares and words are compared with what was measured."""
    [figure] = re.finditer(FIGURE, sentence)
    assert says(figure, value) is holds


@pytest.mark.parametrize(
    "text", ["of 8 requests at once", "within 5 s", "half a minute", "a rule that is written twice"]
)
def test_what_is_no_figure(text: str) -> None:
    """Other numbers are none of a measurement's."""
    assert re.search(FIGURE, text) is None


def test_figures_are_quoted() -> None:
    """The pages that explain lookups and remote tokens show what they cost."""
    assert {source.partition(", ")[0] for page in PAGES for source, _ in quoted(page)} == {
        "orm-on-sqlite",
        "orm-on-postgres",
        "orm-on-postgres-pool",
        "jwt",
        "introspection",
    }
