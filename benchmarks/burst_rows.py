"""A part: bursts of introspected tokens, each over connections that are already open."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from . import report
from .budgets import Row
from .contenders import COLD, COLD_SLOW, GLACIAL, PLAIN
from .figures import Spread, paired_ratios
from .parts import Measured, Plan
from .processes import Generator
from .remote import Authority
from .sites import Site
from .slices import Burst, BurstResult

PROBES: Final = 8
BURSTS: Final = {
    "1000 with one token, 1000 ms server": Burst(GLACIAL, 1000, distinct=False, beside=PLAIN, probes=PROBES),
    "500 with a token each, 0 ms server": Burst(COLD, 500, distinct=True, beside=PLAIN, probes=PROBES),
    "500 with a token each, 50 ms server": Burst(COLD_SLOW, 500, distinct=True, beside=PLAIN, probes=PROBES),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Flood:
    """A burst, and what the authorization server saw of it."""

    result: BurstResult
    calls: int
    most_in_flight: int

    @property
    def milliseconds(self) -> float:
        return self.result.seconds * 1e3


def measure(site: Site, rows: Sequence[Row], plan: Plan) -> Measured:
    assert site.authority is not None
    floods: dict[str, list[Flood]] = {name: [] for name in BURSTS}
    with site.serve() as (_, generator):
        # What is made once is made before: connections to the authorization server.
        for burst in BURSTS.values():
            generator.burst(burst)
        for number in range(plan.bursts):
            # In turn, each first every other time: what slows some bursts down slows those of both servers.
            for name in [*BURSTS] if number % 2 else [*BURSTS][::-1]:
                floods[name].append(flood(generator, site.authority, BURSTS[name]))
    one_token, fast, slow = floods.values()
    every = [*one_token, *fast, *slow]
    seen = {
        "one-token-calls": Spread.of([max(each.calls for each in one_token)]),
        "burst-longer": Spread.of(
            [late.milliseconds - early.milliseconds for late, early in zip(slow, fast, strict=True)]
        ),
        "burst-in-flight": Spread.of([max(each.most_in_flight for each in every)]),
        "burst-beside": paired_ratios(p95s(slow), p95s(fast)),
    }
    wrong = sum(each.result.wrong_answers for each in every)
    return Measured({row.name: seen[row.name] for row in rows}, [*lines(floods), *wrong_lines(every)], wrong=wrong)


def flood(generator: Generator, authority: Authority, burst: Burst) -> Flood:
    authority.take_books()
    result = generator.burst(burst)
    books = authority.take_books().values()
    calls, most = sum(each["calls"] for each in books), max((each["most_in_flight"] for each in books), default=0)
    print(
        f"{burst.requests} {burst.contender}: {result.seconds * 1e3:.0f} ms, {calls} calls, at most {most} at once; "
        f"{PLAIN} meanwhile: p95 {result.beside_p95:.1f} ms",
        file=sys.stderr,
    )
    return Flood(result, calls, most)


def lines(floods: Mapping[str, Sequence[Flood]]) -> list[str]:
    head = ["requests at once", "all answered after ms", "calls", "most calls at once", f"{PLAIN} meanwhile, p95 ms"]
    return [
        "",
        "### Bursts of new tokens",
        "",
        *report.table(head, [row(name, each) for name, each in floods.items()]),
        "",
        f"{PROBES} clients of {PLAIN} pause for 10 ms after each response. The bursts take turns.",
    ]


def row(title: str, floods: Sequence[Flood]) -> list[str]:
    return [
        title,
        report.spread(Spread.of([each.milliseconds for each in floods]), 0),
        report.spread(Spread.of([each.calls for each in floods]), 0),
        report.spread(Spread.of([each.most_in_flight for each in floods]), 0),
        report.spread(Spread.of(p95s(floods)), 1),
    ]


def p95s(floods: Sequence[Flood]) -> list[float]:
    return [each.result.beside_p95 for each in floods]


def wrong_lines(floods: Sequence[Flood]) -> list[str]:
    wrong = [f"{what}, {times} times" for each in floods for what, times in each.result.wrong.items()]
    return ["", f"Wrong responses in bursts: {'; '.join(wrong)}."] if wrong else []
