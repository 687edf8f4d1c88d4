"""Runs servers in separate processes. They end when the process that started them ends."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .serve import READY

START_DEADLINE = 60.0
STOP_DEADLINE = 10.0
"""Seconds for a server to start, and to stop."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as in shells."""


STOP_AT_EOF = "--stop-at-eof"
"""With this option, a server ends with the process that started it, even if that process is killed."""


class ServerStartError(Exception):
    """The server ended before it accepted requests, or did not start in time."""


@contextmanager
def running(module: str, *arguments: str) -> Iterator[str]:
    """Run ``python -m module`` during the block, and return the origin of its server."""
    with subprocess.Popen(
        [sys.executable, "-m", module, STOP_AT_EOF, *arguments],
        # Nothing writes to this pipe. It closes when this process ends.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C must reach only the parent process, which stops this one.
        start_new_session=True,
    ) as process:
        try:
            yield _wait_until_ready(process)
        finally:
            _stop(process)


def exit_on_sigterm() -> None:
    """Make SIGTERM raise `SystemExit`. Otherwise Python would run no `finally` block."""
    signal.signal(signal.SIGTERM, _exit_on_signal)


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    # Reading a line has no timeout, but it ends when the process is killed.
    deadline = threading.Timer(START_DEADLINE, process.kill)
    deadline.start()
    try:
        for line in process.stdout:
            if line.startswith(READY):
                return line.removeprefix(READY).split()[0]
    finally:
        deadline.cancel()
    raise ServerStartError(f"The server did not start (exit status {process.wait()}).")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
