"""A table for a terminal, printed row by row."""

import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

GAP = "  "
MARK = 9
"""The width of the first column; the others share what is left."""


class Table:
    """Columns as wide as the terminal lets them be, long cells folded."""

    def __init__(self, titles: Sequence[str]) -> None:
        columns = shutil.get_terminal_size(fallback=(140, 24)).columns
        share = max(20, (columns - MARK) // (len(titles) - 1) - len(GAP))
        self.widths = [MARK, *[share] * (len(titles) - 1)]
        self.add(*titles)
        self.add(*["-" * width for width in self.widths])

    def add(self, *cells: str) -> None:
        folded = [
            textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
            for cell, width in zip(cells, self.widths, strict=True)
        ]
        for line in zip_longest(*folded, fillvalue=""):
            print(GAP.join(f"{cell:{width}}" for cell, width in zip(line, self.widths, strict=True)).rstrip())
