"""The rows, each with its budget. A missed budget is reported, and does not fail a run."""

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from .contenders import (
    AGET,
    AUTHLIB,
    AUTHLIB_JWT,
    BEHIND,
    COLD,
    COLD_50MS,
    GUARD,
    GUARD_SYNC,
    INTROSPECTION,
    INTROSPECTION_SYNC,
    JWT,
    JWT_SYNC,
    PLAIN,
    PLAIN_SYNC,
    REFUSED,
    TOOLKIT,
    TOOLKIT_GUARD,
    WITH_HTTPX,
    WITH_HTTPX_50MS,
    WITH_REQUESTS,
    WITH_REQUESTS_50MS,
)
from .figures import Spread

DATABASES: Final = ("sqlite", "postgres", "postgres-pool")
MANY: Final = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    kind: Literal["at least", "at most"]
    bound: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.bound:g}{self.unit}"

    def is_met(self, figure: Spread) -> bool:
        return figure.median >= self.bound if self.kind == "at least" else figure.median <= self.bound


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two contenders with the same number of clients. ``figure`` is an attribute of `GroupResult`."""

    part: ClassVar = "turns"

    name: str
    site: str
    clients: int
    contender: str
    base: str
    budget: Budget | None = None
    figure: Literal["per_second", "median"] = "per_second"

    @property
    def text(self) -> str:
        what = "latency of " if self.figure == "median" else ""
        return f"{what}{self.contender} / {self.base}, {self.clients} client{'s' * (self.clients > 1)}"


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A figure that another part of the benchmark measures."""

    name: str
    site: str
    part: str
    text: str
    budget: Budget | None = None


Row = Ratio | Figure


def at_least(bound: float) -> Budget:
    return Budget("at least", bound)


def at_most(bound: float, unit: str = "") -> Budget:
    return Budget("at most", bound, unit)


def on_databases(name: str, clients: int, contender: str, base: str, *bounds: float) -> list[Ratio]:
    """A row for each database. ``bounds`` has a bound for each of them, or none for rows without a budget."""
    budgets = map(at_least, bounds) if bounds else (None, None, None)
    return [
        Ratio(f"{database}-{name}", database, clients, contender, base, budget)
        for database, budget in zip(DATABASES, budgets, strict=True)
    ]


def hops(site: str, bound: int) -> list[Figure]:
    return [
        Figure(f"{site}-{what}", site, "hops", f"{text} beyond the unguarded view's, most of any case", at_most(bound))
        for what, text in (("hops", "thread hops"), ("queries", "queries"))
    ]


ROWS: Final[Sequence[Row]] = (
    *on_databases("async", MANY, GUARD, PLAIN, 0.88, 0.88, 0.88),
    *on_databases("async-over-authlib", MANY, GUARD, AUTHLIB, 2.7, 5.0, 2.5),
    *on_databases("sync", MANY, GUARD_SYNC, PLAIN_SYNC, 0.65, 0.65, 0.65),
    *on_databases("sync-over-authlib", MANY, GUARD_SYNC, AUTHLIB, 1.6, 3.6, 1.6),
    *on_databases("one-client", 1, GUARD, PLAIN, 0.60, 0.50, 0.50),
    *on_databases("eight-clients", 8, GUARD, PLAIN, 0.80, 0.80, 0.80),
    *(Ratio(f"{each}-latency", each, 1, GUARD, AGET, at_most(1.05), "median") for each in DATABASES),
    *on_databases("aget", MANY, AGET, PLAIN),
    *on_databases("toolkit", MANY, TOOLKIT, PLAIN_SYNC),
    *on_databases("toolkit-guard", MANY, TOOLKIT_GUARD, PLAIN),
    Ratio("introspection-uncached", "introspection", MANY, COLD, PLAIN, at_least(0.50)),
    Ratio("introspection-uncached-over-httpx", "introspection", MANY, COLD, WITH_HTTPX, at_least(1.25)),
    Ratio("introspection-uncached-over-requests", "introspection", MANY, COLD, WITH_REQUESTS),
    Ratio("introspection-50ms-over-httpx", "introspection", MANY, COLD_50MS, WITH_HTTPX_50MS, at_least(1.15)),
    Ratio("introspection-50ms-over-requests", "introspection", MANY, COLD_50MS, WITH_REQUESTS_50MS),
    Ratio("introspection-cached", "introspection", MANY, INTROSPECTION, PLAIN, at_least(0.95)),
    Ratio("introspection-cached-sync", "introspection", MANY, INTROSPECTION_SYNC, PLAIN_SYNC),
    Figure("introspection-cached-inside", "introspection", "inside", "inside the guard, introspection cached, best"),
    Ratio("jwt-seen", "jwt", MANY, JWT, PLAIN, at_least(0.95)),
    Ratio("jwt-seen-sync", "jwt", MANY, JWT_SYNC, PLAIN_SYNC),
    Ratio("jwt-seen-sync-over-authlib", "jwt", MANY, JWT_SYNC, AUTHLIB_JWT),
    Figure("jwt-seen-inside", "jwt", "inside", "inside the guard, JWT seen before, best", at_most(10, " µs")),
    Figure("jwt-new-rs256", "jwt", "inside", "inside the guard / bare verify, JWT never seen, RS256", at_most(3)),
    Figure("jwt-new-es256", "jwt", "inside", "inside the guard / bare verify, JWT never seen, ES256"),
    Figure("jwt-new-dpop", "jwt", "inside", "inside the guard / two bare verifies, bound JWT, DPoP proof", at_most(3)),
    Figure("one-token-calls", "introspection", "bursts", "calls for 1000 requests with one new token", at_most(1)),
    Figure("burst-longer", "introspection", "bursts", "500 new tokens: 50 ms longer than 0 ms", at_most(200, " ms")),
    Figure("burst-in-flight", "introspection", "bursts", "calls in flight, most of any burst", at_most(100)),
    Figure("burst-probes", "introspection", "bursts", "plain-async meanwhile: p95, 50 ms / 0 ms", at_most(1.5)),
    Figure(
        "invalid-tokens-memory",
        "jwt",
        "invalid-tokens",
        "memory for invalid tokens after the first tenth",
        at_most(4, " MiB"),
    ),
    Figure(
        "invalid-tokens-calls",
        "jwt",
        "invalid-tokens",
        "requests to the server for them beyond the first fetch",
        at_most(0),
    ),
    Figure("decorate-time", "process", "decorate", "applying, best of each, slowest kind", at_most(10, " µs")),
    # tracemalloc also counts a few objects of the measurement itself.
    Figure("decorate-memory", "process", "decorate", "memory kept, most of any kind", at_most(1, " KiB")),
    *(row for database in DATABASES for row in hops(database, 1)),
    *hops("jwt", 0),
    *hops("introspection", 0),
    Ratio("refused-in-front", "jwt", MANY, REFUSED, PLAIN, at_least(10)),
    Ratio("jwt-behind", "jwt", MANY, BEHIND, JWT, at_least(0.90)),
    Figure("imports", "process", "imports", "time to import / Authlib's modules for the same features"),
)


def choose(patterns: Sequence[str]) -> list[Row]:
    """The rows whose names match one of the patterns, in the order of the table.

    Raises:
        ValueError: a pattern matches no row.
    """
    for pattern in patterns:
        if not fnmatch.filter([row.name for row in ROWS], pattern):
            raise ValueError(f"no row is called {pattern}; --list shows the names")
    return [row for row in ROWS if any(fnmatch.fnmatchcase(row.name, pattern) for pattern in patterns)]
