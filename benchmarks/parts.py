"""How much the parts of the benchmark do, and what they return."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from .figures import Spread


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. ``seconds`` is the length of a turn; ``repeats`` is for the other parts."""

    rounds: int
    seconds: float
    batches: int
    bursts: int
    invalid_tokens: int
    repeats: int


FULL: Final = Plan(rounds=7, seconds=1.0, batches=300, bursts=7, invalid_tokens=1_000_000, repeats=9)
QUICK: Final = Plan(rounds=2, seconds=0.5, batches=60, bursts=1, invalid_tokens=50_000, repeats=3)


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """The results of one part: figures by row, lines for RESULTS.md, and the number of wrong responses."""

    seen: Mapping[str, Spread]
    lines: Sequence[str]
    cpu: Mapping[str, Spread] = dataclasses.field(default_factory=dict)
    wrong: int = 0
