"""Two hundred clients, half of them rude, for a while: is anything wrong, and is anything left?"""

import argparse
import concurrent.futures
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import psutil  # type: ignore[import-untyped,unused-ignore]

from . import machine, report
from .contenders import CONTENDERS
from .databases import DATABASES, Database
from .processes import Generator, Server, choose_pins, generating, run_child, serving
from .slices import Group, Slice, SliceResult

HELP: Final = "clients that disconnect mid-request beside clients that check every answer"

# A hundred clients check and a hundred leave; of each hundred, so many ask for what.
EACH: Final = 100
SHARES: Final = {"guard-async": 60, "guard-toolkit-async": 30, "guard-sync": 10}
# Under ASGI, Django does not give a cancelled sync view's connection back to its pool, whatever the view is guarded
# with; once all are lost, every view of the site waits in vain. `--contenders authlib-sync` or `aget` shows it.
POOL_SHARES: Final = {"guard-async": 60, "guard-toolkit-async": 40}
SETTLE: Final = 0.5
WARM_UP: Final = 5.0
SAMPLES: Final = 12
QUIET_AFTER: Final = 3.0
QUIET_PATIENCE: Final = 20.0
QUIET_PAUSE: Final = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What the server holds at one moment; tasks are asked for in quiet only: the question is a request itself."""

    rss_mib: float
    threads: int
    descriptors: int
    connections: int
    tasks: int | None = None

    def leaks_since(self, before: "Sample") -> list[str]:
        names = ("threads", "descriptors", "connections", "tasks")
        return [name for name in names if (getattr(self, name) or 0) > (getattr(before, name) or 0)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", choices=[*DATABASES], default="sqlite")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="five seconds, nothing written")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md after a quick run too")
    parser.add_argument(
        "--contenders", nargs="+", choices=[*CONTENDERS], metavar="NAME", help="share the clients equally"
    )
    parser.add_argument("--no-pin", action="store_true", help="tie no process to a core")


def run(arguments: argparse.Namespace, command: str) -> int:
    seconds = 5.0 if arguments.quick else arguments.seconds
    crowd = groups(shares(arguments.contenders, arguments.database))
    pins = choose_pins(not arguments.no_pin)
    about = machine.describe()
    with DATABASES[arguments.database]() as database:
        run_child("seed", database)
        with serving(database, pins) as server, generating(server, pins) as generator:
            soaked = soak(server, generator, database, crowd, seconds)
            errors = server.log_tail()
    if soaked.failed:
        print(errors, file=sys.stderr)
    lines = [*headline(about, database, str(pins), crowd, seconds), *soaked_lines(soaked)]
    text = report.section(f"soak on {database.label}", command, lines)
    report.publish(text, write=arguments.write or not arguments.quick)
    return 1 if soaked.failed else 0


@dataclasses.dataclass(frozen=True, slots=True)
class Soaked:
    crowd: Sequence[Group]
    result: SliceResult
    before: Sample
    during: Sequence[tuple[float, Sample]]
    after: Sample

    @property
    def wrong(self) -> int:
        return sum(group.wrong_answers for group in self.result.groups)

    @property
    def leaks(self) -> list[str]:
        return self.after.leaks_since(self.before)

    @property
    def failed(self) -> bool:
        return bool(self.wrong or self.leaks)


def soak(server: Server, generator: Generator, database: Database, crowd: tuple[Group, ...], seconds: float) -> Soaked:
    # The first crowd makes what a server makes once: pools, lazy imports, caches.
    generator.run(Slice(crowd, WARM_UP, SETTLE))
    time.sleep(QUIET_AFTER)
    before = sample(server, database, in_quiet=True)
    start = time.monotonic()
    during: list[tuple[float, Sample]] = []
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        running = executor.submit(generator.run, Slice(crowd, seconds, SETTLE))
        while not is_done(running, max(1.0, seconds / SAMPLES)):
            during.append((time.monotonic() - start, sample(server, database)))
            tell(*during[-1])
    after = wait_for_quiet(lambda: sample(server, database, in_quiet=True), before)
    return Soaked(crowd, running.result(), before, during, after)


def shares(contenders: Sequence[str] | None, database: str) -> Mapping[str, int]:
    if contenders:
        return {name: EACH // len(contenders) for name in contenders}
    return POOL_SHARES if database == "postgres-pool" else SHARES


def groups(clients: Mapping[str, int]) -> tuple[Group, ...]:
    return tuple(Group(name, number, rude) for rude in (False, True) for name, number in clients.items())


def is_done(running: concurrent.futures.Future[SliceResult], timeout: float) -> bool:
    return bool(concurrent.futures.wait([running], timeout).done)


def sample(server: Server, database: Database, in_quiet: bool = False) -> Sample:
    process = psutil.Process(server.pid)
    tasks = count_tasks(server) if in_quiet else None
    with process.oneshot():
        return Sample(
            rss_mib=process.memory_info().rss / 2**20,
            threads=process.num_threads(),
            descriptors=process.num_fds(),
            connections=database.connections(server.pid),
            tasks=tasks,
        )


def count_tasks(server: Server) -> int:
    tasks = int(json.loads(server.get("/tasks"))["tasks"])
    # The question's own connection and thread are to be gone before they are counted.
    time.sleep(QUIET_PAUSE)
    return tasks


def wait_for_quiet(look: Callable[[], Sample], before: Sample) -> Sample:
    """The first sample that shows nothing left, or the last one when patience ends."""
    deadline = time.monotonic() + QUIET_PATIENCE
    time.sleep(QUIET_AFTER)
    while (seen := look()).leaks_since(before) and time.monotonic() < deadline:
        time.sleep(QUIET_PAUSE)
    return seen


def tell(moment: float, seen: Sample) -> None:
    print(f"{moment:.0f} s: {seen}", file=sys.stderr)


def headline(about: Sequence[str], database: Database, pins: str, crowd: Sequence[Group], seconds: float) -> list[str]:
    each = ", ".join(f"{group.clients} {group.contender}" for group in crowd if not group.rude)
    return [
        *(f"- {line}" for line in about),
        f"- Database: {database.version}, drivers {machine.versions(machine.DRIVERS)}; one uvicorn worker; {pins}",
        f"- {seconds:g} s with {sum(group.clients for group in crowd)} clients: {each} who check "
        "every answer, and as many who disconnect at random",
        "",
    ]


def soaked_lines(soaked: Soaked) -> list[str]:
    moments = [
        ("before", soaked.before),
        *((f"{at:.0f} s", seen) for at, seen in soaked.during),
        ("after", soaked.after),
    ]
    head = ["when", "RSS MiB", "threads", "descriptors", "database connections", "tasks"]
    return [
        *report.table(
            ["clients", "contender", "answers or departures", "p50 ms", "p99 ms", "wrong"], group_rows(soaked)
        ),
        "",
        *report.table(head, [sample_row(when, seen) for when, seen in moments]),
        "",
        *wrong_lines(soaked),
        verdict(soaked),
    ]


def group_rows(soaked: Soaked) -> list[list[str]]:
    return [
        [
            f"{group.clients} who {'leave' if wanted.rude else 'check'}",
            group.contender,
            str(group.answers),
            "" if wanted.rude else f"{group.median:.1f}",
            "" if wanted.rude else f"{group.p99:.1f}",
            str(group.wrong_answers),
        ]
        for wanted, group in zip(soaked.crowd, soaked.result.groups, strict=True)
    ]


def sample_row(when: str, seen: Sample) -> list[str]:
    tasks = "" if seen.tasks is None else str(seen.tasks)
    return [when, f"{seen.rss_mib:.1f}", str(seen.threads), str(seen.descriptors), str(seen.connections), tasks]


def wrong_lines(soaked: Soaked) -> list[str]:
    return [
        f"Wrong, {group.contender}: {what}, {times} times."
        for group in soaked.result.groups
        for what, times in group.wrong.items()
    ]


def verdict(soaked: Soaked) -> str:
    wrong = f"{soaked.wrong} wrong answers" if soaked.wrong else "No wrong answer"
    left = f"left behind: {', '.join(soaked.leaks)}" if soaked.leaks else "nothing left behind"
    growth = soaked.after.rss_mib - soaked.before.rss_mib
    second_half = [seen.rss_mib for _, seen in soaked.during][len(soaked.during) // 2 :]
    late = f" ({soaked.after.rss_mib - second_half[0]:+.1f} MiB since halfway)" if second_half else ""
    return f"{wrong}; {left}; memory {growth:+.1f} MiB{late}."
