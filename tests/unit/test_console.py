"""What the commands print: plain columns for pipes, colours for terminals, and nothing that a terminal obeys."""

import importlib.util
import re
from io import StringIO
from typing import Any

import pytest

from async_oauth_guard.console import Cell, Console, printable


class Terminal(StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables by which rich would take another decision than here."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


ROWS: list[Any] = [["a", Cell("guarded", "good")], ["longer", "b"]]
PLAIN = "NAME    GUARD\na       guarded\nlonger  b\n"


@pytest.mark.parametrize(("stream", "color"), [(StringIO, None), (StringIO, False), (Terminal, False)])
def test_plain_text(stream: Any, color: bool | None) -> None:
    """Where no colour is wanted, a table is columns as wide as what is in them, without a space at the end."""
    out = stream()
    console = Console(out, color=color)
    console.table(["NAME", "GUARD"], ROWS)
    console.line("done", "good")
    console.line()
    assert out.getvalue() == f"{PLAIN}done\n\n"


@pytest.mark.parametrize(("stream", "color"), [(Terminal, None), (Terminal, True), (StringIO, True)])
def test_colours(stream: Any, color: bool | None) -> None:
    """On a terminal, or where colours are asked for, each tone has its own."""
    out = stream()
    console = Console(out, color=color)
    console.table(["NAME", "GUARD"], ROWS)
    console.line("trouble", "bad")
    assert "\x1b[32mguarded\x1b[0m" in out.getvalue()
    assert "\x1b[1;31mtrouble\x1b[0m" in out.getvalue()


def test_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rich is not installed, everything is plain."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    out = Terminal()
    Console(out, color=True).table(["NAME", "GUARD"], ROWS)
    assert out.getvalue() == PLAIN


def test_long_text_is_not_cut() -> None:
    """What does not fit into a terminal's line goes on in the next one."""
    out = Terminal()
    Console(out).table(["NAME", "GUARD"], [["x" * 300, "y"]])
    assert out.getvalue().count("x") == 300
    out = Terminal()
    Console(out).line("x" * 300)
    assert "x" * 300 in out.getvalue()


def in_terminal(columns: int, headings: list[str], rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """A table as a terminal of that many columns gets it."""
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    Console(out).table(headings, rows)
    return out.getvalue()


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a table does not fit, its rows are the lines of plain text, in colour, and no cell is broken."""
    shown = in_terminal(18, ["NAME", "GUARD"], ROWS, monkeypatch)
    assert without_colours(shown) == PLAIN
    assert "\x1b[32mguarded" in shown
    assert "─" in in_terminal(19, ["NAME", "GUARD"], ROWS, monkeypatch)


def test_sentences_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest column alone is folded, and only where lines of some length are left of it."""
    rows: list[Any] = [["not applicable", "a sentence of eight words, then no more"]]
    shown = in_terminal(50, ["VERDICT", "FOUND"], rows, monkeypatch).splitlines()
    assert [line.strip() for line in shown[-3:-1]] == [
        "not applicable   a sentence of eight words, then",
        "no more",
    ]
    assert "─" not in in_terminal(49, ["VERDICT", "FOUND"], rows, monkeypatch)


def test_no_markup() -> None:
    """Brackets are brackets, whoever wrote them."""
    out = Terminal()
    console = Console(out)
    console.line("[red]a[/red]")
    console.table(["[b]"], [["[blink]b"]])
    assert "[red]a[/red]" in out.getvalue()
    assert "[blink]b" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢", "plain é 漢"),
        ("a\nb", "a\nb"),
        ("\x1b[2Ja", "�[2Ja"),
        ("a\rb\tc\x00", "a�b�c�"),
        ("\u202eabc\u200b", "�abc�"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """Nothing that a terminal would take for a command, or that turns text around, gets there."""
    assert printable(text) == expected


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_commands_for_a_terminal_are_not_printed(stream: Any) -> None:
    """So in lines and in tables, where a line's end would break the row as well."""
    out = stream()
    console = Console(out)
    console.line("a\x1b[2J")
    console.table(["H"], [["b\x1b[2J\nc"]])
    assert "\x1b[2J" not in out.getvalue()
    assert "a�[2J" in out.getvalue()
    assert "b�[2J c" in out.getvalue()
