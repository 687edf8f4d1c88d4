"""Run 200 clients while servers stop and start. Half of the clients disconnect at random moments."""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import psutil  # type: ignore[import-untyped,unused-ignore]

from . import machine, report
from .command import FAILED, run_command
from .contenders import (
    GUARD,
    GUARD_SYNC,
    PLAIN,
    SOAK_INTROSPECTION,
    SOAK_INTROSPECTION_SYNC,
    SOAK_JWT,
    SOAK_JWT_SYNC,
    TOOLKIT_GUARD,
    Tokens,
)
from .databases import Database, postgres
from .outages import AUTHORITY, DATABASE, Outage, wrong_responses
from .processes import Generator, Server, choose_pins, generating, listening, run_child
from .proxy import Proxy
from .remote import running_authority
from .slices import Group, Slice, SliceResult

# A hundred clients check every response, and as many disconnect at random.
CLIENTS: Final[Sequence[tuple[str, Tokens, int]]] = (
    (PLAIN, "opaque", 5),
    (GUARD, "opaque", 20),
    (GUARD, "unknown", 5),
    (GUARD_SYNC, "opaque", 8),
    (GUARD_SYNC, "unknown", 2),
    (TOOLKIT_GUARD, "opaque", 5),
    (SOAK_JWT, "jwt", 15),
    (SOAK_JWT, "forged", 3),
    (SOAK_JWT_SYNC, "jwt", 10),
    (SOAK_JWT_SYNC, "forged", 2),
    (SOAK_INTROSPECTION, "opaque", 8),
    (SOAK_INTROSPECTION, "new", 5),
    (SOAK_INTROSPECTION, "unknown", 3),
    (SOAK_INTROSPECTION_SYNC, "opaque", 5),
    (SOAK_INTROSPECTION_SYNC, "new", 3),
    (SOAK_INTROSPECTION_SYNC, "unknown", 1),
)
# The longest pauses between requests, and between connections, in seconds. A busy uvloop accepts only one connection in
# each iteration. Without pauses, connections that clients have closed would fill the queue of the listening socket.
PAUSE, RECONNECT_PAUSE = 1.0, 2.0
STOPPED: Final = (AUTHORITY, DATABASE, AUTHORITY, DATABASE)
LONGEST_OUTAGE: Final = 20.0
# After so many seconds (or half of a run shorter than two minutes), memory must not grow by more mebibytes.
FIRST: Final = 60.0
GROWTH: Final = 4.0

SETTLE: Final = 0.5
WARM_UP: Final = 5.0
SAMPLE_EVERY: Final = 5.0
QUIET_AFTER: Final = 3.0
QUIET_TIMEOUT: Final = 20.0
QUIET_PAUSE: Final = 0.5


class Stoppable(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What the server uses at one moment.

    Tasks and names of threads are recorded without load only, because they take a request.
    """

    rss_mib: float
    threads: int
    descriptors: int
    connections: int
    tasks: int | None = None
    thread_names: Sequence[str] = ()

    def left_since(self, before: "Sample") -> list[str]:
        names = ("threads", "descriptors", "connections", "tasks")
        return [name for name in names if (getattr(self, name) or 0) > (getattr(before, name) or 0)]


@dataclasses.dataclass(frozen=True, slots=True)
class SoakResult:
    groups: Sequence[Group]
    slice: SliceResult
    outages: Sequence[Outage]
    before: Sample
    during: Sequence[tuple[float, Sample]]
    after: Sample

    @property
    def wrong(self) -> list[dict[str, int]]:
        return [wrong_responses(group, self.outages) for group in self.slice.groups]

    @property
    def left(self) -> list[str]:
        return self.after.left_since(self.before)

    @property
    def growth(self) -> float:
        """The largest growth of resident memory since the first minute, in mebibytes."""
        first = min(FIRST, self.slice.seconds / 2)
        later = [seen.rss_mib for at, seen in self.during if at >= first]
        return max([*later[1:], self.after.rss_mib]) - later[0]

    @property
    def passed(self) -> bool:
        return not any(self.wrong) and not self.left and self.growth <= GROWTH


@dataclasses.dataclass(frozen=True, slots=True)
class SoakSetup:
    """The measured server, its load generator, its database, and the servers that can be stopped."""

    server: Server
    generator: Generator
    database: Database
    stoppable: Mapping[str, Stoppable]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parsed = parser.parse_args(arguments)
    return run_command(lambda: run(parsed.minutes * 60))


def run(seconds: float) -> int:
    about = machine.describe()
    with prepare() as setup:
        result = soak(setup, seconds)
        if not result.passed:
            print(setup.server.log_tail(), file=sys.stderr)
    print("\n".join([*(f"- {line}" for line in about), "", *lines(result)]))
    return 0 if result.passed else FAILED


@contextlib.contextmanager
def prepare() -> Iterator[SoakSetup]:
    pins = choose_pins(True)
    with postgres() as database, running_authority(pins) as authority:
        run_child("seed", database.variables)
        proxy = Proxy(database.settings.get("HOST") or "127.0.0.1", int(database.settings.get("PORT") or 5432))
        proxy.start()
        try:
            behind = dataclasses.replace(
                database, settings={**database.settings, "HOST": "127.0.0.1", "PORT": str(proxy.port)}
            )
            variables = {**authority.variables, **behind.variables}
            with (
                listening("serve", variables, pins.server) as server,
                generating(server, pins, authority.remote.jwts_file) as generator,
            ):
                yield SoakSetup(server, generator, database, {AUTHORITY: authority, DATABASE: proxy})
        finally:
            proxy.close()


def soak(setup: SoakSetup, seconds: float) -> SoakResult:
    groups = [
        Group(name, clients, disconnects, tokens, pause)
        for disconnects, pause in ((False, PAUSE), (True, RECONNECT_PAUSE))
        for name, tokens, clients in CLIENTS
    ]
    # This warm-up creates what a server creates only once: pools, lazy imports, caches.
    setup.generator.run(Slice(tuple(groups), WARM_UP, SETTLE))
    time.sleep(QUIET_AFTER)
    before = sample(setup, in_quiet=True)
    start = time.monotonic()
    during: list[tuple[float, Sample]] = []
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        running = executor.submit(setup.generator.run, Slice(tuple(groups), seconds, SETTLE))
        stopping = executor.submit(make_outages, setup.stoppable, seconds)
        while not concurrent.futures.wait([running], min(SAMPLE_EVERY, seconds / 12)).done:
            during.append((time.monotonic() - start, sample(setup)))
            print(f"{during[-1][0]:.0f} s: {during[-1][1]}", file=sys.stderr)
    after = wait_for_quiet(lambda: sample(setup, in_quiet=True), before)
    return SoakResult(groups, running.result(), stopping.result(), before, during, after)


def make_outages(stoppable: Mapping[str, Stoppable], seconds: float) -> list[Outage]:
    """Stop and start one server after the other, spread evenly over the run."""
    outages: list[Outage] = []
    pause, begin = seconds / (len(STOPPED) + 1), time.monotonic()
    for number, what in enumerate(STOPPED, 1):
        time.sleep(max(0, begin + number * pause - time.monotonic()))
        start = time.monotonic()
        print(f"{what} stops", file=sys.stderr)
        stoppable[what].stop()
        time.sleep(min(LONGEST_OUTAGE, pause / 4))
        stoppable[what].start()
        outages.append(Outage(what, start, time.monotonic()))
        print(f"{what} started", file=sys.stderr)
    return outages


def sample(setup: SoakSetup, in_quiet: bool = False) -> Sample:
    assert setup.database.connections is not None
    process = psutil.Process(setup.server.pid)
    tasks, thread_names = count_tasks(setup.server) if in_quiet else (None, [])
    with process.oneshot():
        return Sample(
            rss_mib=process.memory_info().rss / 2**20,
            threads=process.num_threads(),
            descriptors=process.num_fds(),
            connections=setup.database.connections(),
            tasks=tasks,
            thread_names=thread_names,
        )


def count_tasks(server: Server) -> tuple[int, list[str]]:
    counted = json.loads(server.get("/tasks"))
    # Wait until the connection and the thread of this request have ended.
    time.sleep(QUIET_PAUSE)
    return counted["tasks"], counted["threads"]


def wait_for_quiet(look: Callable[[], Sample], before: Sample) -> Sample:
    """Return the first sample in which nothing is left behind, or the last one before the timeout."""
    deadline = time.monotonic() + QUIET_TIMEOUT
    time.sleep(QUIET_AFTER)
    while (seen := look()).left_since(before) and time.monotonic() < deadline:
        time.sleep(QUIET_PAUSE)
    return seen


def lines(result: SoakResult) -> list[str]:
    moments = [
        ("before", result.before),
        *((f"{at:.0f} s", seen) for at, seen in result.during),
        ("after", result.after),
    ]
    head = ["clients", "view", "tokens", "responses or disconnections", "p50 ms", "p99 ms", "503", "wrong"]
    samples = ["when", "RSS MiB", "threads", "descriptors", "database connections", "tasks"]
    return [
        *report.table(head, group_rows(result)),
        "",
        *report.table(samples, [sample_row(when, seen) for when, seen in moments]),
        "",
        *(f"The {each.what} was stopped for {each.end - each.start:.0f} s." for each in result.outages),
        "",
        *(f"Threads {when}: {', '.join(seen.thread_names)}" for when, seen in (moments[0], moments[-1])),
        "",
        *wrong_lines(result),
        summary(result),
    ]


def group_rows(result: SoakResult) -> list[list[str]]:
    return [
        [
            f"{group.clients} that {'disconnect' if group.disconnects else 'check'}",
            group.contender,
            group.tokens,
            str(seen.responses),
            "" if group.disconnects else f"{seen.median:.1f}",
            "" if group.disconnects else f"{seen.p99:.1f}",
            str(len(seen.unavailable)),
            str(sum(wrong.values())),
        ]
        for group, seen, wrong in zip(result.groups, result.slice.groups, result.wrong, strict=True)
    ]


def sample_row(when: str, seen: Sample) -> list[str]:
    tasks = "" if seen.tasks is None else str(seen.tasks)
    return [when, f"{seen.rss_mib:.1f}", str(seen.threads), str(seen.descriptors), str(seen.connections), tasks]


def wrong_lines(result: SoakResult) -> list[str]:
    return [
        f"Wrong, {group.contender} with {group.tokens} tokens: {what}, {times} times."
        for group, wrong in zip(result.groups, result.wrong, strict=True)
        for what, times in wrong.items()
    ]


def summary(result: SoakResult) -> str:
    number = sum(times for wrong in result.wrong for times in wrong.values())
    wrong = f"{number} wrong responses" if number else "No wrong responses"
    left = f"left behind: {', '.join(result.left)}" if result.left else "nothing left behind"
    growth = f"memory grew by {result.growth:.1f} MiB after the first minute, of {GROWTH:g} MiB allowed"
    return f"{'Passed' if result.passed else 'Failed'}. {wrong}; {left}; {growth}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
