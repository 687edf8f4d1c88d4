"""What both commands do: they end their children when they are interrupted, and exit with a status that says how."""

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
    """Returns the exit status: what ``run`` returns, or that of an interruption or a failure, which it reports."""
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
    # What is being cleaned up after the first Ctrl-C must not be cut short by the second.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt
