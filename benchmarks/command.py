"""Exit statuses of both commands. An interrupted command ends its children."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from .databases import DatabaseUnavailable
from .processes import ChildFailed

FAILED: Final = 1
UNAVAILABLE: Final = 2
INTERRUPTED: Final = 130


def run_command(run: Callable[[], int]) -> int:
    """Return the exit status of ``run``. If it fails or is interrupted, print a line and return another status."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, interrupt)
    try:
        return run()
    except DatabaseUnavailable as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return UNAVAILABLE
    except ChildFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return INTERRUPTED


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    # A second Ctrl-C must not interrupt the cleanup.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt
