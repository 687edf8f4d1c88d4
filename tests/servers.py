"""Real servers in processes of their own, and a client that sends raw bytes.

``python -m tests.servers FD`` serves the site of `tests.settings` with uvicorn on an open, listening socket. With
``OAUTH_GUARD_TEST_APPLICATION``, it serves the ASGI application with this dotted path.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tests.answers import Answer, RawHeaders
from tests.forks import Fork, Forks

READY_WITHIN = 20.0
ANSWER_WITHIN = 10.0
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: Any
    process: subprocess.Popen[bytes] | Fork
    log: Path

    @property
    def port(self) -> int:
        return int(self.address[1])

    def connect(self, timeout: float = ANSWER_WITHIN) -> socket.socket:
        if not isinstance(self.address, str):
            return socket.create_connection(self.address, timeout=timeout)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(self.address)
        return connection

    def exchange(self, data: bytes) -> Answer:
        """The answer to these bytes, on a connection of their own."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_answer(connection)

    def send(self, path: str, headers: RawHeaders = (), *, method: str = "GET", body: bytes = b"") -> Answer:
        return self.exchange(raw_request(path, headers, method=method, body=body))

    @property
    def output(self) -> str:
        """What the server has written so far."""
        return self.log.read_text(errors="replace")


@contextmanager
def serve(
    urlconf: str,
    *,
    databases: Mapping[str, str] | None = None,
    path: str | None = None,
    forks: Forks | None = None,
    **environment: str,
) -> Iterator[Server]:
    """A uvicorn process for the views of ``urlconf``, stopped at the end whatever happens.

    ``databases`` is what `tests.databases.name_variables` gives. ``environment`` is added to ours. With ``path``, the
    server listens on that Unix socket. Without it, the variable ``OAUTH_GUARD_TEST_PORT`` has its port. With ``forks``,
    the process is forked, and has the databases of its parent.
    """
    with _listen(path) as listening, tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        variables = {**os.environ, **(databases or {}), **environment, "OAUTH_GUARD_TEST_URLCONF": urlconf}
        variables |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
        address = listening.getsockname()
        if path is None:
            variables["OAUTH_GUARD_TEST_PORT"] = str(address[1])
        with log.open("wb") as output:
            process = _start(listening.fileno(), variables, folder, output, forks)
        # The socket is the child's from here on: were it open here too, a dead server would look like a slow one.
        listening.close()
        server = Server(address, process, log)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            stop(process)


def _start(
    listening: int, variables: Mapping[str, str], folder: str, output: BinaryIO, forks: Forks | None
) -> subprocess.Popen[bytes] | Fork:
    if forks is not None:
        outputs = (output, output)
        return forks.start("tests.servers", environment=variables, folder=folder, outputs=outputs, listening=listening)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.servers", str(listening)],
        env=variables,
        cwd=folder,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=[listening],
    )


def _listen(path: str | None) -> socket.socket:
    if path is None:
        return socket.create_server(("127.0.0.1", 0))
    return socket.create_server(path, family=socket.AF_UNIX)


def stop(process: subprocess.Popen[bytes] | Fork) -> int:
    """Ends a process, gently if it lets us, and gives its exit status."""
    process.terminate()
    try:
        return process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def raw_request(path: str, headers: RawHeaders = (), *, method: str = "GET", body: bytes = b"") -> bytes:
    """The bytes of an HTTP/1.1 request after which the server closes the connection."""
    own = [(b"host", b"127.0.0.1"), (b"connection", b"close"), (b"content-length", str(len(body)).encode())]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in [*own, *headers])
    return f"{method} {path} HTTP/1.1\r\n".encode() + lines + b"\r\n" + body


def read_answer(connection: socket.socket) -> Answer:
    """The answer that comes over ``connection``.

    Raises:
        http.client.HTTPException: the bytes received are not an HTTP answer.
    """
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        response.close()


def _wait_until_ready(server: Server) -> None:
    # The socket takes connections from the start; an answer, of any status, is what says that the site is loaded.
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            server.send("/ready")
        except (OSError, http.client.HTTPException):
            continue
        return
    raise RuntimeError(f"the server did not start within {READY_WITHIN} s:\n{server.output}")


def main(fd: int) -> None:
    import uvicorn
    from django.core.asgi import get_asgi_application
    from django.utils.module_loading import import_string

    # Otherwise a pipelined request starts in the context of the one before it, whose thread then outlives both, with
    # its database connection. That is so of any Django site, guarded or not.
    trusts_headers = os.environ.get("OAUTH_GUARD_TEST_PROXY_HEADERS") != "no"
    app = get_asgi_application()
    if "OAUTH_GUARD_TEST_APPLICATION" in os.environ:
        app = import_string(os.environ["OAUTH_GUARD_TEST_APPLICATION"])
    config = uvicorn.Config(
        app, lifespan="off", reset_contextvars=True, proxy_headers=trusts_headers, ws="websockets-sansio"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
