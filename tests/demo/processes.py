"""Run ``python -m demo_asgi`` in separate processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo_asgi.serve import READY
from tests.forks import Fork, Forks

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
"""Seconds for any wait of a test."""


def run_demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in ``folder`` to its end."""
    return subprocess.run(
        _command(arguments),
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def run_forked(forks: Forks, folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` in ``folder`` to its end, in a process that need not import everything again."""
    return forks.run(module, *arguments, environment=_environment(folder), folder=folder, timeout=DEADLINE)


@contextmanager
def _killed_at_deadline(process: subprocess.Popen[str] | Fork) -> Iterator[None]:
    """Reading a line has no timeout, but it ends when the process is killed."""
    deadline = threading.Timer(DEADLINE, process.kill)
    deadline.start()
    try:
        yield
    finally:
        deadline.cancel()


@contextmanager
def forked_authority(forks: Forks, folder: Path) -> Iterator[str]:
    """The origin of an authorization server, which keeps its state in ``folder``."""
    reading, writing = os.pipe()
    with open(reading) as lines:
        with open(writing, "w") as output:
            process = forks.start(
                *("demo_asgi.authority", "--port", "0", "--state", str(folder / "authority.json")),
                environment=_environment(folder),
                folder=folder,
                outputs=(output, output),
            )
        try:
            with _killed_at_deadline(process):
                first = lines.readline()
            assert first.startswith(READY), first
            yield first.removeprefix(READY).strip()
        finally:
            process.terminate()
            process.wait(DEADLINE)


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a demo during the block. It is killed at the end, or at the deadline."""
    with subprocess.Popen(
        _command(arguments),
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            with _killed_at_deadline(process):
                yield process
        finally:
            process.kill()


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A demo that accepts requests, and the lines that it printed until then."""
    with started(folder, *arguments) as process:
        yield process, _lines_until_ready(process)


def interrupt(process: subprocess.Popen[str]) -> str:
    """Send Ctrl-C. Return what the process wrote to standard error."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    return errors


def _lines_until_ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("Serving on "):
            return lines
    _, errors = process.communicate(timeout=DEADLINE)
    raise AssertionError(f"the demo did not start: {errors}")


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "demo_asgi", *arguments]


def _environment(folder: Path) -> dict[str, str]:
    # The tour keeps its database in `TMPDIR`, so tests find there what it leaves behind.
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error",
        "TMPDIR": str(temporary),
    }
