"""What every child process of a benchmark does first: it is tied to a core, and ends with its parent."""

import argparse
import os
import sys
import threading
from collections.abc import Callable


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; ``--cpu`` is among them, and done."""
    parser.add_argument("--cpu", type=int)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    return arguments


def wait_for_parent() -> None:
    """Return when the parent ends. It holds the other end of stdin, which closes also when it is killed."""
    sys.stdin.buffer.read()


def when_orphaned(stop: Callable[[], None]) -> None:
    """Call ``stop`` when the parent ends."""

    def wait() -> None:
        wait_for_parent()
        stop()

    threading.Thread(target=wait, name="parent watch", daemon=True).start()
