"""Medians, spreads and paired ratios."""

import dataclasses
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The median, the minimum and the maximum of several rounds."""

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
    """Divide each value by the base of the same round. Effects on a whole round cancel out."""
    return Spread.of([value / base if base else float("nan") for value, base in zip(values, bases, strict=True)])
