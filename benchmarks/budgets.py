"""What the figures are held against. A missed budget is reported, never hidden and never fatal."""

import dataclasses
from typing import Final, Literal

from .figures import Spread


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    text: str
    bound: float
    kind: Literal["at least", "at most"]
    figure: Spread
    unit: str = ""

    @property
    def met(self) -> bool:
        if self.kind == "at least":
            return self.figure.median >= self.bound
        return self.figure.median <= self.bound


@dataclasses.dataclass(frozen=True, slots=True)
class ThroughputBudget:
    """The least that the guarded async view may reach, as ratios to other views in the same round."""

    clients: int
    to_plain: float
    to_authlib: float | None


THROUGHPUT: Final[dict[str, tuple[ThroughputBudget, ...]]] = {
    "sqlite": (ThroughputBudget(32, 0.85, 2.5), ThroughputBudget(8, 0.70, None)),
    "postgres": (ThroughputBudget(32, 0.85, 5.0), ThroughputBudget(8, 0.70, None)),
    "postgres-pool": (ThroughputBudget(32, 0.85, 2.5), ThroughputBudget(8, 0.70, None)),
    "mariadb": (),
}

LATENCY_TO_AGET: Final = 1.05
EXTRA_HOPS: Final = 1
EXTRA_QUERIES: Final = 1
DECORATION_MICROSECONDS: Final = 10.0
