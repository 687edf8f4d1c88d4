"""Runs the measured server and the load generator as child processes. They end with the benchmark."""

import contextlib
import dataclasses
import http.client
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO, Final

from .project import settings_names as names
from .slices import Burst, BurstResult, Slice, SliceResult

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 10.0
LOG_TAIL: Final = 16_000


class ChildFailed(Exception):
    """A child process failed or did not start. The text contains the end of its output."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pins:
    """The cores that processes are pinned to. No other process shares the server's core."""

    server: int | None = None
    generator: int | None = None
    authority: int | None = None

    def __str__(self) -> str:
        if self.server is None:
            return "no process is tied to a core"
        return f"server tied to core {self.server}, load generator to core {self.generator}"

    @property
    def authority_text(self) -> str:
        core = "not tied to a core" if self.authority is None else f"tied to core {self.authority}"
        return f"authorization server {core}"


def choose_pins(is_pinned: bool) -> Pins:
    if not is_pinned or not hasattr(os, "sched_getaffinity"):
        return Pins()
    cores = sorted(os.sched_getaffinity(0))
    return Pins(cores[0], cores[1], cores[2] if len(cores) > 2 else cores[1]) if len(cores) > 1 else Pins()


def environment_of(variables: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **variables, "DJANGO_SETTINGS_MODULE": names.SETTINGS_MODULE}


def run_child(module: str, variables: Mapping[str, str], *arguments: str) -> str:
    """Run a module of this package to its end, and return its output.

    ``variables``: the environment of the measured site.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        env=environment_of(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode:
        raise ChildFailed(f"benchmarks.{module} failed:\n{done.stderr[-LOG_TAIL:]}")
    return done.stdout


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    pid: int
    port: int
    log: IO[bytes]

    def log_tail(self) -> str:
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - LOG_TAIL))
        return self.log.read().decode(errors="replace")

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": "127.0.0.1"})
            response = connection.getresponse()
            if response.status >= 500:
                raise ConnectionError(f"{path}: {response.status}")
            return response.read()


@contextlib.contextmanager
def listening(module: str, variables: Mapping[str, str], cpu: int | None, port: int = 0) -> Iterator[Server]:
    """Run a module of this package as a server on a new socket."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=2048))
        child = stack.enter_context(child_process(module, variables, cpu, listener, log))
        server = Server(child.pid, listener.getsockname()[1], log)
        # If this process kept the socket open, a dead server would look like a slow one.
        listener.close()
        wait_until_ready(server, child)
        yield server


@contextlib.contextmanager
def child_process(
    module: str, variables: Mapping[str, str], cpu: int | None, listener: socket.socket, log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", "--fd", str(listener.fileno()), *cpu_arguments(cpu)],
        env=environment_of(variables),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        pass_fds=[listener.fileno()],
        # Only the benchmark gets Ctrl-C. It then ends its children in order.
        start_new_session=True,
    )
    try:
        yield child
    finally:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    if child.stdin:
        child.stdin.close()
    try:
        child.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def wait_until_ready(server: Server, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            server.get("/tasks")
            return
        time.sleep(0.1)
    raise ChildFailed(f"the server did not start:\n{server.log_tail()}")


class Generator:
    """The process of the load generator."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child

    def run(self, work: Slice) -> SliceResult:
        return SliceResult.from_json(self.send("slice", work.to_json()))

    def burst(self, burst: Burst) -> BurstResult:
        return BurstResult.from_json(self.send("burst", burst.to_json()))

    def send(self, what: str, details: str) -> bytes:
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.write(f"{what} {details}\n".encode())
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise ChildFailed("the load generator ended; perhaps the server did too")
        return line


@contextlib.contextmanager
def generating(
    server: Server, pins: Pins, jwts: pathlib.Path | None = None, authority: Server | None = None
) -> Iterator[Generator]:
    """Run the load generator. ``jwts`` is a file with JWTs to present."""
    arguments = ["--port", str(server.port), "--server", str(server.pid), *cpu_arguments(pins.generator)]
    arguments += [] if jwts is None else ["--jwts", str(jwts)]
    arguments += [] if authority is None else ["--authority", str(authority.pid)]
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Generator(child)
    finally:
        end(child)
        if child.stdout:
            child.stdout.close()


def cpu_arguments(cpu: int | None) -> list[str]:
    return [] if cpu is None else ["--cpu", str(cpu)]
