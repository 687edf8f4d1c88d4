"""Figures: every measurement that a page quotes is one of those in ``benchmarks/RESULTS.md``."""

import re
from pathlib import Path

import pytest

from tests.quote_figures import (
    FIGURE,
    LINK,
    MEASUREMENT,
    PAGES,
    ROOT,
    SOURCE,
    paragraphs,
    quoted,
    read,
    results,
    says,
    updated,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_of_figures(page: Path) -> None:
    """Each figure of a table is the very one that was measured."""
    assert set(quoted(page)) - results().items() == set()


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
    """Other numbers do not come from a measurement."""
    assert re.search(FIGURE, text) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_up_to_date(page: Path) -> None:
    """The command that updates figures changes nothing where all of them are those that were measured."""
    assert updated(read(page)) == read(page)


def test_updating_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of tables and of paragraphs become those that were measured, with as many digits; words stay."""
    measured = {"jwt, 32 clients, jwt-async, of plain": "0.97", "budgets, Rows, jwt-seen, seen": "0.968"}
    monkeypatch.setattr("tests.quote_figures.results", lambda: measured)
    table = (
        "<!-- figures: 32 clients, of plain -->\n| view | [JWTs](RESULTS.md#jwt) |\n|---|---|\n| `jwt-async` | {} |\n"
    )
    source = "<!-- figure: budgets, Rows, jwt-seen, seen -->"
    sentence = f"\n{source}\nWith 32 clients, {{}} % of it ([measured](RESULTS.md#budgets)).\n"
    code = "\n```console\n0.5 0.5 ms\n```\n"

    assert updated((table + sentence + code).format("0.86", "86")) == (table + sentence + code).format("0.97", "97")
    word = sentence.replace("{} % of it", "twice as many")
    assert updated(word) == word


def test_readme_quotes_figures() -> None:
    """The first screen of README says what the guard costs, in three figures."""
    first_screen, _, _ = read(ROOT / "README.md").partition("\n## ")
    assert len(SOURCE.findall(first_screen)) == 3


def test_figures_are_quoted() -> None:
    """The pages that explain lookups and remote tokens show what they cost."""
    assert {source.partition(", ")[0] for page in PAGES for source, _ in quoted(page)} == {
        "orm-on-sqlite",
        "orm-on-postgres",
        "orm-on-postgres-pool",
        "jwt",
        "introspection",
    }
