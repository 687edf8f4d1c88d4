"""A table for a terminal, printed row by row."""

import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

GAP = "  "
FIRST_COLUMN = 9
"""The width of the first column. The others share the rest."""


class Table:
    """A table that is as wide as the terminal. It wraps long cells."""

    def __init__(self, titles: Sequence[str]) -> None:
        columns = shutil.get_terminal_size(fallback=(140, 24)).columns
        share = max(20, (columns - FIRST_COLUMN) // (len(titles) - 1) - len(GAP))
        self.widths = [FIRST_COLUMN, *[share] * (len(titles) - 1)]
        self.add(*titles)
        self.add(*["-" * width for width in self.widths])

    def add(self, *cells: str) -> None:
        wrapped = [
            textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
            for cell, width in zip(cells, self.widths, strict=True)
        ]
        for line in zip_longest(*wrapped, fillvalue=""):
            print(GAP.join(f"{cell:{width}}" for cell, width in zip(line, self.widths, strict=True)).rstrip())
