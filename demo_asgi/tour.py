"""Send every request of the list to a server of its own, and compare."""

import http.client
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from .answers import Response, observe
from .requests import REQUESTS, DemoRequest
from .serve import READY
from .table import Table

START_DEADLINE = 60.0
STOP_DEADLINE = 10.0
TIMEOUT = 10.0
"""Seconds for the server to start, to stop, and for one answer."""


def run() -> int:
    """The exit status: 0 where every answer is the expected one, else 1."""
    # Python leaves no `finally` behind on SIGTERM, unless it is made an exception.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    with tempfile.TemporaryDirectory(prefix="demo_asgi-") as folder:
        try:
            with running_server(Path(folder) / "tour.sqlite3") as origin:
                return take(origin, REQUESTS)
        except ServerStartError as error:
            print(error, file=sys.stderr)
            return 1


class ServerStartError(Exception):
    """The server's process ended, or took too long, before it took requests."""


@contextmanager
def running_server(database: Path) -> Iterator[str]:
    """The origin of a server that runs, in a process of its own, as long as the block does."""
    command = [sys.executable, "-m", "demo_asgi", "--port", "0", "--database", str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _wait_until_ready(process)
        finally:
            _stop(process)


def take(origin: str, requests: Iterable[DemoRequest]) -> int:
    """Send the requests, print the table; 1 if any answer differs from what was expected."""
    table = Table(("", "request", "expected", "seen"))
    verdicts = [_compare(origin, request, table) for request in requests]
    print(f"{len(verdicts)} requests, {verdicts.count(False)} answered differently than expected.")
    return 0 if all(verdicts) else 1


def _compare(origin: str, request: DemoRequest, table: Table) -> bool:
    expected = request.answer
    try:
        seen = observe(send(origin, request), expected)
    except (OSError, http.client.HTTPException) as error:
        table.add("DIFFERENT", describe(request), str(expected), f"no answer: {error!r}")
        return False
    if seen == expected:
        # Fields like `Vary` were compared too; they are printed where they matter.
        table.add("ok", describe(request), expected.brief(), seen.brief())
        return True
    table.add("DIFFERENT", describe(request), str(expected), str(seen))
    return False


def send(origin: str, request: DemoRequest) -> Response:
    """Send one request over a connection of its own, headers exactly as they are."""
    connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=TIMEOUT)
    try:
        connection.putrequest(request.method, request.path)
        for name, value in request.headers:
            connection.putheader(name, value)
        body = (request.form or "").encode()
        if request.form is not None:
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        headers = {name.lower(): ", ".join(answer.headers.get_all(name, ())) for name in answer.headers}
        return Response(answer.status, headers, answer.read())
    finally:
        connection.close()


def describe(request: DemoRequest) -> str:
    """The request in one line."""
    headers = [f"{name}: {value}" for name, value in request.headers]
    return ", ".join([f"{request.method} {request.path}", *headers, *([request.form] if request.form else [])])


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    # Reading waits for a line however long it takes; a process that was killed has no more of them.
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
