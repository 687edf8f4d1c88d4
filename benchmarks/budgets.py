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

JWT_THROUGHPUT: Final = 0.97
JWT_SEEN_MICROSECONDS: Final = 12.0
JWT_NEW_TO_VERIFY: Final = 2.2
GARBAGE_MEBIBYTES: Final = 4.0
INTROSPECTION_THROUGHPUT: Final = 0.95
REMOTE_HOPS: Final = 0
REMOTE_QUERIES: Final = 0
ONE_TOKEN_CALLS: Final = 1
BURST_CONCURRENCY: Final = 100
BURST_EXTRA_MILLISECONDS: Final = 200.0
BURST_BESIDE: Final = 1.5
