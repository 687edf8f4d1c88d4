"""`python -m benchmarks <benchmark>`: each is a module with HELP, add_arguments() and run()."""

import argparse
import signal
import sys
from types import FrameType
from typing import Final, NoReturn, Protocol

from . import decorate, imports, introspection, jwt, orm, report, soak
from .databases import DatabaseUnavailable
from .processes import ChildFailed


class Benchmark(Protocol):
    """What a module of this table offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser, /) -> None: ...

    def run(self, arguments: argparse.Namespace, command: str, /) -> int: ...


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "orm": orm,
    "jwt": jwt,
    "introspection": introspection,
    "soak": soak,
    "decorate": decorate,
    "imports": imports,
}

UNAVAILABLE: Final = 2
INTERRUPTED: Final = 130


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    # What is being cleaned up after the first Ctrl-C must not be cut short by the second.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        module.add_arguments(benchmarks.add_parser(name, help=module.HELP, description=module.HELP))
    parsed = parser.parse_args(arguments)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, interrupt)
    try:
        return BENCHMARKS[parsed.benchmark].run(parsed, report.command(parsed.benchmark, arguments[1:]))
    except DatabaseUnavailable as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return UNAVAILABLE
    except ChildFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
