"""A token that was found before, and need not be found again."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["FoundToken"]


# Not frozen, because one is created for each request, and a frozen one takes twice as long.
@dataclass(slots=True)
class FoundToken:
    """A token as ``validator`` found it. It has not been compared with what a view requires.

    ``remembered``: see `TokenState`.
    """

    validator: Any
    token: Any = field(repr=False)
    remembered: Any = field(default=None, repr=False)
