"""What the parts of the benchmark have in common: how much they do, and what they return."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from .figures import Spread


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How much is done: turns of so many seconds, batches in process, bursts, invalid tokens, and repeats of others."""

    rounds: int
    seconds: float
    batches: int
    bursts: int
    garbage: int
    repeats: int


FULL: Final = Plan(rounds=7, seconds=1.0, batches=300, bursts=7, garbage=1_000_000, repeats=9)
QUICK: Final = Plan(rounds=2, seconds=0.5, batches=60, bursts=1, garbage=50_000, repeats=3)


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """Of one part and one site: figures by the names of rows, lines for RESULTS.md, and wrong responses."""

    seen: Mapping[str, Spread]
    lines: Sequence[str]
    cpu: Mapping[str, Spread] = dataclasses.field(default_factory=dict)
    wrong: int = 0
