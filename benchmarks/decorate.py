"""Applying a compiled requirement anew on each request, as Django's `method_decorator` does."""

import argparse
import functools
import gc
import timeit
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

from . import machine, report
from .budgets import DECORATION_MICROSECONDS, Budget
from .figures import Spread

HELP: Final = "what it costs to apply a compiled require_oauth(...) anew, and what that keeps"

REPEATS: Final = 9
APPLICATIONS: Final = 20_000
KEPT_APPLICATIONS: Final = 100_000
# tracemalloc sees the few objects of the measurement itself, too.
NOTHING_KEPT: Final = 1.0


class Page:
    """A class-based view's methods; `method_decorator` hands their partials to the decorator."""

    def get(self, request: object) -> object:
        return request

    async def aget(self, request: object) -> object:
        return request


def view(request: object) -> object:
    return request


async def async_view(request: object) -> object:
    return request


def bound_partial(method: Callable[..., Any]) -> Callable[..., Any]:
    """What `method_decorator` makes before it calls the decorator."""
    return functools.wraps(method)(functools.partial(method.__get__(Page(), Page)))


def subjects() -> dict[str, Callable[..., Any]]:
    return {
        "function, def": view,
        "function, async def": async_view,
        "bound-method partial, def": bound_partial(Page.get),
        "bound-method partial, async def": bound_partial(Page.aget),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="fewer repeats, nothing written")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md after a quick run too")


def run(arguments: argparse.Namespace, command: str) -> int:
    decorator = compiled_decorator()
    applications = APPLICATIONS // 10 if arguments.quick else APPLICATIONS
    times = {name: microseconds(decorator, subject, applications) for name, subject in subjects().items()}
    kept = {name: kept_kib(decorator, subject) for name, subject in subjects().items()}
    rows = [[name, f"{min(times[name]):.2f}", f"{max(times[name]):.2f}", f"{kept[name]:.1f}"] for name in times]
    lines = [
        *(f"- {line}" for line in machine.describe()),
        f'- `require_oauth("a b")` compiled once, then applied {applications} times, {REPEATS} times over',
        "",
        *report.table(["applied to", "best µs", "worst µs", f"KiB kept by {KEPT_APPLICATIONS}"], rows),
        "",
        *report.budget_lines(budgets(times, kept)),
    ]
    report.publish(report.section("decorate", command, lines), write=arguments.write or not arguments.quick)
    return 0


def compiled_decorator() -> Callable[..., Any]:
    from django.conf import settings

    settings.configure()
    import django

    django.setup()
    from async_oauth_guard import ResourceProtector

    decorator: Callable[..., Any] = ResourceProtector()("a b")
    return decorator


def microseconds(decorator: Callable[..., Any], subject: Callable[..., Any], applications: int) -> list[float]:
    times = timeit.repeat(lambda: decorator(subject), number=applications, repeat=REPEATS)
    return [seconds / applications * 1e6 for seconds in times]


def kept_kib(decorator: Callable[..., Any], subject: Callable[..., Any]) -> float:
    """Memory still held after many applications, each to an object of its own."""
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


def budgets(times: dict[str, list[float]], kept: dict[str, float]) -> list[Budget]:
    slowest = max(min(values) for values in times.values())
    most = max(kept.values())
    return [
        Budget("applying, best of each, slowest kind", DECORATION_MICROSECONDS, "at most", Spread.of([slowest]), " µs"),
        Budget("memory kept, most of any kind", NOTHING_KEPT, "at most", Spread.of([most]), " KiB"),
    ]
