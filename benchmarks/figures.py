"""Medians, spreads and paired ratios."""

import dataclasses
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds between the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The nearest-rank percentile of values in ascending order, or NaN without values."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def paired_ratios(values: Sequence[float], bases: Sequence[float]) -> Spread:
    """Each round's value over the same round's base: what slows a whole round down cancels out."""
    return Spread.of([value / base if base else float("nan") for value, base in zip(values, bases, strict=True)])
