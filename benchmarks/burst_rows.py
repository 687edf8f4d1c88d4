"""A part: bursts of introspected tokens over open connections."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from . import report
from .budgets import Row
from .contenders import COLD, COLD_50MS, COLD_1000MS, PLAIN
from .figures import Spread, paired_ratios
from .parts import Measured, Plan
from .processes import Generator
from .remote import Authority
from .sites import Site
from .slices import Burst, BurstResult

PROBES: Final = 8
BURSTS: Final = {
    "1000 with one token, 1000 ms server": Burst(COLD_1000MS, 1000, distinct=False, probed=PLAIN, probes=PROBES),
    "500 with a token each, 0 ms server": Burst(COLD, 500, distinct=True, probed=PLAIN, probes=PROBES),
    "500 with a token each, 50 ms server": Burst(COLD_50MS, 500, distinct=True, probed=PLAIN, probes=PROBES),
}


@dataclasses.dataclass(frozen=True, slots=True)
class MeasuredBurst:
    """The result of a burst, and how many requests the authorization server got."""

    result: BurstResult
    calls: int
    most_in_flight: int

    @property
    def milliseconds(self) -> float:
        return self.result.seconds * 1e3


def measure(site: Site, rows: Sequence[Row], plan: Plan) -> Measured:
    assert site.authority is not None
    bursts: dict[str, list[MeasuredBurst]] = {name: [] for name in BURSTS}
    with site.serve() as (_, generator):
        # The first bursts open the connections to the authorization server.
        for burst in BURSTS.values():
            generator.burst(burst)
        for number in range(plan.bursts):
            # Alternate the order, so that other load slows down bursts of both servers.
            for name in [*BURSTS] if number % 2 else [*BURSTS][::-1]:
                bursts[name].append(measure_burst(generator, site.authority, BURSTS[name]))
    one_token, fast, slow = bursts.values()
    every = [*one_token, *fast, *slow]
    seen = {
        "one-token-calls": Spread.of([max(each.calls for each in one_token)]),
        "burst-longer": Spread.of(
            [late.milliseconds - early.milliseconds for late, early in zip(slow, fast, strict=True)]
        ),
        "burst-in-flight": Spread.of([max(each.most_in_flight for each in every)]),
        "burst-probes": paired_ratios(p95s(slow), p95s(fast)),
    }
    wrong = sum(each.result.wrong_count for each in every)
    return Measured(seen, [*lines(bursts), *wrong_lines(every)], wrong=wrong)


def measure_burst(generator: Generator, authority: Authority, burst: Burst) -> MeasuredBurst:
    authority.take_counts()
    result = generator.burst(burst)
    counts = authority.take_counts().values()
    calls, most = sum(each["calls"] for each in counts), max((each["most_in_flight"] for each in counts), default=0)
    print(
        f"{burst.requests} {burst.contender}: {result.seconds * 1e3:.0f} ms, {calls} calls, at most {most} at once; "
        f"{PLAIN} meanwhile: p95 {result.probes_p95:.1f} ms",
        file=sys.stderr,
    )
    return MeasuredBurst(result, calls, most)


def lines(bursts: Mapping[str, Sequence[MeasuredBurst]]) -> list[str]:
    head = ["requests at once", "all responses after ms", "calls", "most calls at once", f"{PLAIN} meanwhile, p95 ms"]
    return report.subsection(
        "Bursts of new tokens",
        *report.table(head, [row(name, each) for name, each in bursts.items()]),
        "",
        f"{PROBES} clients of {PLAIN} pause for 10 ms after each response. The bursts take turns.",
    )


def row(title: str, bursts: Sequence[MeasuredBurst]) -> list[str]:
    return [
        title,
        report.spread(Spread.of([each.milliseconds for each in bursts]), 0),
        report.spread(Spread.of([each.calls for each in bursts]), 0),
        report.spread(Spread.of([each.most_in_flight for each in bursts]), 0),
        report.spread(Spread.of(p95s(bursts)), 1),
    ]


def p95s(bursts: Sequence[MeasuredBurst]) -> list[float]:
    return [each.result.probes_p95 for each in bursts]


def wrong_lines(bursts: Sequence[MeasuredBurst]) -> list[str]:
    wrong = [f"{what}, {times} times" for each in bursts for what, times in each.result.wrong.items()]
    return ["", f"Wrong responses in bursts: {'; '.join(wrong)}."] if wrong else []
