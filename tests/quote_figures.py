"""Figures that pages quote from `benchmarks/RESULTS.md`. `python -m tests.quote_figures` updates them."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

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
CODE_OR_PARAGRAPH = re.compile(rf"{CODE.pattern}|(?:^.+\n)+", re.MULTILINE)


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
        yield from quoted_in(mark)


def quoted_in(mark: re.Match[str]) -> Iterator[tuple[str, str]]:
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


def says(figure: re.Match[str], value: str) -> bool:
    """Whether a figure is what was measured, rounded to as many digits as it has."""
    said = Decimal(WORDS.get(figure["word"]) or figure["number"] or figure["decimal"])
    return measured(value, figure).quantize(said) == said


def measured(value: str, figure: re.Match[str]) -> Decimal:
    return Decimal(value) * (100 if figure["percent"] else 1)


def paragraphs(page: Path) -> list[str]:
    """What a page says, without blocks of code, and without tables of figures, which have a test of their own."""
    return CODE.sub("", MARK.sub("", read(page))).split("\n\n")


# --- updating ---


def updated(text: str) -> str:
    """The text of a page with the figures of the results. Words such as "twice" stay, for its author to change."""
    return CODE_OR_PARAGRAPH.sub(update_paragraph, MARK.sub(update_table, text))


def update_table(mark: re.Match[str]) -> str:
    head, rule, *rows = mark["table"].splitlines(keepends=True)
    sources = iter([source for source, _ in quoted_in(mark)])
    return mark[0].replace(mark["table"], "".join([head, rule, *(update_row(row, sources) for row in rows)]))


def update_row(row: str, sources: Iterator[str]) -> str:
    name, *values = cells(row)
    return f"| {' | '.join([name, *(results()[next(sources)] if value else '' for value in values)])} |\n"


def update_paragraph(paragraph: re.Match[str]) -> str:
    sources = iter(SOURCE.findall(paragraph[0]))
    if not SOURCE.search(paragraph[0]) or paragraph[0].startswith("```"):
        return paragraph[0]
    comments, text = re.fullmatch(r"((?:<!-- .* -->\n)*)(.*)", paragraph[0], re.DOTALL).groups()  # type: ignore[union-attr]
    return comments + re.sub(FIGURE, lambda figure: update_figure(figure, results()[next(sources)]), text)


def update_figure(figure: re.Match[str], value: str) -> str:
    said = figure["number"] or figure["decimal"]
    return figure[0] if said is None else figure[0].replace(said, str(measured(value, figure).quantize(Decimal(said))))


def main() -> None:
    for page in PAGES:
        page.write_text(updated(read(page)), encoding="utf-8")


if __name__ == "__main__":
    main()
