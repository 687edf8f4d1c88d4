"""Functions of child processes: they pin themselves to a core, and end with their parent."""

import argparse
import os
import sys
import threading
from collections.abc import Callable


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments, and pin this process to the core in ``--cpu``."""
    parser.add_argument("--cpu", type=int)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    return arguments


def wait_for_parent() -> None:
    """Return when the parent ends, because this closes stdin."""
    sys.stdin.buffer.read()


def when_orphaned(stop: Callable[[], None]) -> None:
    """Call ``stop`` when the parent ends."""

    def wait() -> None:
        wait_for_parent()
        stop()

    threading.Thread(target=wait, name="parent watch", daemon=True).start()
