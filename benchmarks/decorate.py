"""A part: applying a compiled requirement on each request, as Django's `method_decorator` does."""

import functools
import gc
import sys
import timeit
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, Final

from . import report
from .budgets import Row
from .figures import Spread
from .parts import Measured, Plan
from .sites import Site

APPLICATIONS: Final = 20_000
KEPT_APPLICATIONS: Final = 100_000


class Page:
    """The methods of a class-based view. `method_decorator` passes partials of them to the decorator."""

    def get(self, request: object) -> object:
        return request

    async def aget(self, request: object) -> object:
        return request


def view(request: object) -> object:
    return request


async def async_view(request: object) -> object:
    return request


def bound_partial(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make the same partial as `method_decorator`."""
    return functools.wraps(method)(functools.partial(method.__get__(Page(), Page)))


def subjects() -> dict[str, Callable[..., Any]]:
    return {
        "function, def": view,
        "function, async def": async_view,
        "bound-method partial, def": bound_partial(Page.get),
        "bound-method partial, async def": bound_partial(Page.aget),
    }


def measure(site: Site, rows: Sequence[Row], plan: Plan) -> Measured:
    print("applying decorators", file=sys.stderr)
    decorator = compiled_decorator()
    times = {name: microseconds(decorator, subject, plan.repeats) for name, subject in subjects().items()}
    kept = {name: kept_kib(decorator, subject) for name, subject in subjects().items()}
    cells = [[name, f"{min(times[name]):.2f}", f"{max(times[name]):.2f}", f"{kept[name]:.1f}"] for name in times]
    seen = {
        "decorate-time": Spread.of([max(min(values) for values in times.values())]),
        "decorate-memory": Spread.of([max(kept.values())]),
    }
    lines = report.subsection(
        "Applying a compiled decorator",
        f'`require_oauth("a b")` compiled once, then applied {APPLICATIONS} times; repeated {plan.repeats} times.',
        "",
        *report.table(["applied to", "best µs", "worst µs", f"KiB kept by {KEPT_APPLICATIONS}"], cells),
    )
    return Measured(seen, lines)


def compiled_decorator() -> Callable[..., Any]:
    from django.conf import settings

    settings.configure()
    import django

    django.setup()
    from async_oauth_guard import ResourceProtector

    decorator: Callable[..., Any] = ResourceProtector()("a b")
    return decorator


def microseconds(decorator: Callable[..., Any], subject: Callable[..., Any], repeats: int) -> list[float]:
    times = timeit.repeat(lambda: decorator(subject), number=APPLICATIONS, repeat=repeats)
    return [seconds / APPLICATIONS * 1e6 for seconds in times]


def kept_kib(decorator: Callable[..., Any], subject: Callable[..., Any]) -> float:
    """Memory that stays in use after many applications, each to a different object."""
    apply_many(decorator, subject, 1000)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        apply_many(decorator, subject, KEPT_APPLICATIONS)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / 1024


def apply_many(decorator: Callable[..., Any], subject: Callable[..., Any], times: int) -> None:
    for _ in range(times):
        decorator(functools.wraps(subject)(functools.partial(subject)))
