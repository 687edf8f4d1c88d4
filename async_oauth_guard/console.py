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
        """A table; as plain text, columns that are as wide as what is in them."""
        cells = [[_cell_of(each) for each in row] for row in rows]
        if self._rich is None:
            self._stream.writelines(_plain_lines(headings, cells))
        else:
            self._rich.print(_rich_table(headings, cells))


def printable(text: str) -> str:
    """``text`` without what a terminal would take for a command: tokens' claims may hold anything."""
    return "".join(each if each == "\n" or not unicodedata.category(each).startswith("C") else "�" for each in text)


def _cell_of(each: str | Cell) -> Cell:
    cell = each if isinstance(each, Cell) else Cell(each)
    return Cell(printable(cell.text).replace("\n", " "), cell.tone)


def _plain_lines(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterable[str]:
    lines = [list(headings), *([cell.text for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n"


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

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        # No row is cut off: what does not fit goes on in the next line.
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(_styled, row))
    return table
