"""Parts without a server: hops and queries, time inside the guard, and the memory for invalid tokens."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import report
from .budgets import Row
from .contenders import GUARD, GUARD_SYNC, INTROSPECTION, INTROSPECTION_SYNC, JWT, JWT_SYNC
from .dpop_client import BOUND
from .figures import Spread
from .parts import Measured, Plan
from .processes import cpu_arguments, run_child
from .remote_tokens import ALGORITHMS
from .sites import Site

# The guarded views of each site, by its title. Views of all other sites are guarded with database tokens.
GUARDED: Final = {"jwt": (JWT, JWT_SYNC), "introspection": (INTROSPECTION, INTROSPECTION_SYNC)}
# The share of the invalid tokens after which memory growth counts.
FIRST: Final = 0.1

Times = Mapping[str, Sequence[float]]


def run_pinned(module: str, site: Site, *arguments: str) -> Any:
    print(f"{site.title}: {module}", file=sys.stderr)
    return json.loads(run_child(module, site.variables, *cpu_arguments(site.pins.server), *arguments))


# --- thread hops and queries ---


def measure_hops(site: Site, rows: Sequence[Row], plan: Plan) -> Measured:
    counts = run_pinned("hops", site, "--tokens", site.tokens, *GUARDED.get(site.title, (GUARD, GUARD_SYNC)))
    # Per request, by view and number of requests at once.
    each = {
        (view, int(at_once)): {what: number / int(at_once) for what, number in counted.items()}
        for view, cases in counts.items()
        for at_once, counted in cases.items()
    }
    seen = {row.name: Spread.of([max(case[row.name.rpartition("-")[2]] for case in each.values())]) for row in rows}
    cells = [
        [f"{view}, {at_once} at once", f"{case['hops']:.2f}", f"{case['queries']:.2f}"]
        for (view, at_once), case in each.items()
    ]
    head = ["each request", "thread hops", "queries"]
    return Measured(seen, report.subsection("Beyond the unguarded view", *report.table(head, cells)))


# --- inside the guard ---


def measure_inside(site: Site, rows: Sequence[Row], plan: Plan) -> Measured:
    times = run_pinned("inside", site, site.title, "--batches", str(plan.batches))
    seen = {f"{name}-inside": Spread.of([best_inside(times["seen"])]) for name in ("jwt-seen", "introspection-cached")}
    seen |= {f"jwt-new-{name.lower()}": to_verify(times[name]) for name in (*ALGORITHMS, BOUND) if name in times}
    return Measured(
        {row.name: seen[row.name] for row in rows},
        report.subsection("Awaited in process, without a server", *inside_table(times)),
    )


def inside_table(times: Mapping[str, Times]) -> list[str]:
    head = ["tokens", "bare view µs", "guarded view µs", "inside the guard µs", "bare verify µs", "inside / verify"]
    return [
        *report.table(head, [inside_row(name, each) for name, each in times.items()]),
        "",
        "Microseconds of CPU time of the thread: the best batch, with the median batch in parentheses. Ratios are "
        "computed within each batch: the median, with the minimum and maximum in parentheses.",
    ]


def inside_row(name: str, times: Times) -> list[str]:
    cells = [report.best(times["plain"]), report.best(times["guarded"]), f"{best_inside(times):.1f}"]
    if "verify" not in times:
        return ["seen before", *cells, "", ""]
    return [f"{name}, never seen", *cells, report.best(times["verify"]), report.spread(to_verify(times), 2)]


def best_inside(times: Times) -> float:
    return min(times["guarded"]) - min(times["plain"])


def to_verify(times: Times) -> Spread:
    batches = zip(times["guarded"], times["plain"], times["verify"], strict=True)
    return Spread.of([(guarded - plain) / verify for guarded, plain, verify in batches])


# --- invalid tokens ---


def measure_invalid_tokens(site: Site, rows: Sequence[Row], plan: Plan) -> Measured:
    assert site.authority is not None
    site.authority.take_counts()
    measured = run_pinned("invalid_tokens", site, "--tokens", str(plan.invalid_tokens))
    calls = {path: entry["calls"] for path, entry in site.authority.take_counts().items()}
    return Measured(
        {
            "invalid-tokens-memory": Spread.of([growth(measured["samples"])]),
            "invalid-tokens-calls": Spread.of([sum(times - 1 for times in calls.values())]),
        },
        report.subsection("Invalid tokens", *invalid_tokens_lines(measured, calls)),
    )


def growth(samples: Sequence[tuple[int, float]]) -> float:
    """The largest growth in mebibytes since the first tokens."""
    last, _ = samples[-1]
    later = [rss for number, rss in samples if number >= last * FIRST]
    return max(later) - later[0]


def invalid_tokens_lines(measured: Mapping[str, Any], calls: Mapping[str, int]) -> list[str]:
    statuses = ", ".join(f"{times} with {status}" for status, times in sorted(measured["statuses"].items()))
    made = ", ".join(f"{times} to {path}" for path, times in sorted(calls.items())) or "none"
    return [
        "A third are JWTs of the issuer and a third are DPoP proofs, both with a wrong signature; a third cannot be "
        "tokens. All are distinct.",
        f"Refused: {statuses}. Requests to the authorization server: {made}.",
        "",
        *report.table(["tokens", "RSS MiB"], [[str(number), f"{rss:.1f}"] for number, rss in measured["samples"]]),
    ]
