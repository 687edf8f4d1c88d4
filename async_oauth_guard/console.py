"""What the commands print: plain text, or coloured tables where rich is installed and the terminal takes them.

This is the only module that imports rich, and it does so when it prints.
"""

import importlib.util
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO, TypeAlias

__all__ = ["Cell", "Console", "Tone", "printable"]

Tone: TypeAlias = Literal["plain", "good", "bad", "warning", "quiet"]

_STYLES: dict[Tone, str] = {"plain": "", "good": "green", "bad": "bold red", "warning": "yellow", "quiet": "dim"}

# Characters.
_BETWEEN_COLUMNS = 3
_NARROWEST_FOLDED = 30


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text, and what it is to look like where there are colours."""

    text: str
    tone: Tone = "plain"


class Console:
    """Prints to ``stream``. ``color``: whether there are colours; left out, the stream and the environment tell."""

    def __init__(self, stream: TextIO, *, color: bool | None = None) -> None:
        self._stream = stream
        self._rich = _rich_console(stream, color)

    def line(self, text: str = "", tone: Tone = "plain") -> None:
        """One line, or several."""
        if self._rich is None:
            self._stream.write(printable(text) + "\n")
        else:
            self._rich.print(_styled(Cell(text, tone)), soft_wrap=True)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> None:
        """A table; as plain text, or where the terminal is too narrow, columns that are as wide as what is in them."""
        cells = [[_cell_of(each) for each in row] for row in rows]
        if self._rich is None:
            self._stream.writelines(_plain_lines(headings, cells))
        elif _is_readable(headings, cells, self._rich.width):
            self._rich.print(_rich_table(headings, cells))
        else:
            self._print_lines(headings, cells)

    def _print_lines(self, headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """The plain layout in colour: the terminal goes on in the next line, and breaks no cell on its own."""
        from rich.text import Text

        for row in _aligned(headings, rows):
            line = Text("  ").join(map(_styled, row))
            line.rstrip()
            self._rich.print(line, soft_wrap=True)


def printable(text: str) -> str:
    """``text`` without what a terminal would take for a command: tokens' claims may hold anything."""
    return "".join(each if each == "\n" or not unicodedata.category(each).startswith("C") else "�" for each in text)


def _cell_of(each: str | Cell) -> Cell:
    cell = each if isinstance(each, Cell) else Cell(each)
    return Cell(printable(cell.text).replace("\n", " "), cell.tone)


def _plain_lines(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterable[str]:
    for row in _aligned(headings, rows):
        yield "  ".join(cell.text for cell in row).rstrip() + "\n"


def _aligned(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterable[list[Cell]]:
    widths = _widths(headings, rows)
    for row in (list(map(Cell, headings)), *rows):
        yield [Cell(cell.text.ljust(width), cell.tone) for cell, width in zip(row, widths, strict=True)]


def _widths(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[int]:
    lines = [headings, *([cell.text for cell in row] for row in rows)]
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _is_readable(headings: Sequence[str], rows: Sequence[Sequence[Cell]], width: int) -> bool:
    """Whether a table of this width has room for every column but the widest, and enough for that one to be folded."""
    *others, widest = sorted(_widths(headings, rows))
    return sum(others) + len(headings) * _BETWEEN_COLUMNS + min(widest, _NARROWEST_FOLDED) <= width


def _rich_console(stream: TextIO, color: bool | None) -> Any:
    wanted = stream.isatty() if color is None else color
    if not wanted or importlib.util.find_spec("rich") is None:
        return None
    from rich.console import Console as RichConsole

    return RichConsole(file=stream, force_terminal=color, highlight=False, markup=False)


def _styled(cell: Cell) -> Any:
    from rich.text import Text

    return Text(printable(cell.text), style=_STYLES[cell.tone])


def _rich_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    widths = _widths(headings, rows)
    widest = widths.index(max(widths))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        # No row is cut off: what does not fit of the widest goes on in the next line.
        table.add_column(heading, overflow="fold", no_wrap=number != widest)
    for row in rows:
        table.add_row(*map(_styled, row))
    return table
