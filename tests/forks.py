"""Processes that are forked from one that has imported what they need, because these imports take about a second.

``python -m tests.forks FD MODULE ...`` imports the modules, and forks a process for each message on the socket FD. With
the variable ``DJANGO_SETTINGS_MODULE``, it sets up Django first. Then the forked processes have these settings, but
each has the views that its own variable ``OAUTH_GUARD_TEST_URLCONF`` names.

A forked process is an ordinary, separate process, with its own memory, environment, folder and output. But variables
that Python reads when it starts, such as ``PYTHONWARNINGS``, have no effect on it.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeAlias

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
Program: TypeAlias = Callable[[], Any]
DEADLINE = 60
"""Seconds in which a process must be forked."""

# What a server imports only when it starts.
SERVER = (
    "django.core.asgi",
    "django.core.handlers.asgi",
    "tests.answers",
    "uvicorn",
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)


class Fork:
    """A forked process, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(DEADLINE)
        self.pid = int(_read_line(connection))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(_read_line(self._connection))
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            # It may have ended since.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process that has imported the modules, for those who start processes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._started: list[Fork] = []

    def start(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path | str,
        outputs: tuple[IO[Any], IO[Any]],
        listening: int | None = None,
    ) -> Fork:
        """Fork ``python -m module arguments``. A listening socket is given too: its number is the last argument."""
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno(), *(each.fileno() for each in outputs)]
            socket.send_fds(self._control, [b"."], passed if listening is None else [*passed, listening])
        request = {"module": module, "arguments": arguments, "folder": str(folder), "environment": {**environment}}
        ours.sendall(json.dumps(request).encode() + b"\n")
        self._started.append(Fork(ours))
        return self._started[-1]

    def run(
        self, module: str, *arguments: str, environment: Mapping[str, str], folder: Path | str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m module arguments`` to its end."""
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            process = self.start(module, *arguments, environment=environment, folder=folder, outputs=(output, errors))
            try:
                status = process.wait(timeout)
            finally:
                process.kill()
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([module, *arguments], status, output.read(), errors.read())

    def close(self) -> None:
        """Kill what a failed test has left behind: this process waits for all that it forked."""
        for each in self._started:
            each.kill()
            each.wait()


@contextmanager
def forking(*modules: str, settings_module: str | None = None) -> Iterator[Forks]:
    """Forks processes that have imported these modules. With ``settings_module``, Django is set up for all of them."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    variables.pop("DJANGO_SETTINGS_MODULE", None)
    if settings_module is not None:
        variables["DJANGO_SETTINGS_MODULE"] = settings_module
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-W", "error", "-m", "tests.forks", str(theirs.fileno()), *modules]
        with subprocess.Popen(command, env=variables, pass_fds=[theirs.fileno()]):
            theirs.close()
            forks = Forks(ours)
            # The process ends at the end of its input.
            with closing(ours), closing(forks):
                yield forks


def main(fd: int, modules: Sequence[str]) -> Program | None:
    """In a forked process, what it must call. In the first process, ``None`` when there is nothing left to fork."""
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        django.setup()
    for module in modules:
        import_module(module)
    gc.freeze()  # so that a collection in a forked process copies no memory
    with socket.socket(fileno=fd) as control:
        while True:
            message, passed, _, _ = socket.recv_fds(control, 1, 4)
            if not message:
                break
            if os.fork() == 0:
                control.close()
                return _fork_and_report(passed)
            for each in passed:
                os.close(each)
            _reap(os.WNOHANG)
    _reap(0)
    return None


def _reap(options: int) -> None:
    try:
        while os.waitpid(-1, options)[0]:
            pass
    except ChildProcessError:
        return


def _fork_and_report(passed: Sequence[int]) -> Program:
    """Fork the process. Send its process id, and later its exit status, to the requester."""
    connection, *outputs = passed
    with socket.socket(fileno=connection) as reports:
        request = json.loads(_read_line(reports))
        pid = os.fork()
        if pid == 0:
            reports.close()
            return _prepare(request, outputs)
        for each in outputs:
            os.close(each)
        reports.sendall(b"%d\n" % pid)
        threading.Thread(target=_kill_without_requester, args=(reports, pid), daemon=True).start()
        _, status = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):  # the requester was killed
            reports.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _kill_without_requester(reports: socket.socket, pid: int) -> None:
    # The requester sends nothing more. So this is the end of its process.
    if not reports.recv(1):
        os.kill(pid, signal.SIGKILL)


def _prepare(request: Mapping[str, Any], outputs: Sequence[int]) -> Program:
    stdout, stderr, *listening = outputs
    for given, usual in ((stdout, 1), (stderr, 2)):
        os.dup2(given, usual)
        os.close(given)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[1:] = [*request["arguments"], *map(str, listening)]
    if settings.configured and "OAUTH_GUARD_TEST_URLCONF" in os.environ:
        settings.ROOT_URLCONF = os.environ["OAUTH_GUARD_TEST_URLCONF"]
    return lambda: runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _read_line(connection: socket.socket) -> bytes:
    # Byte by byte, so that nothing of the next line is read.
    line = b""
    while not line.endswith(b"\n"):
        received = connection.recv(1)
        if not received:
            raise RuntimeError(f"the process was not forked, or nobody waits for it: {line!r}")
        line += received
    return line


if __name__ == "__main__":
    program = main(int(sys.argv[1]), sys.argv[2:])
    if program is not None:
        program()
