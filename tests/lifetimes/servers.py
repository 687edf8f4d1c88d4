"""The ASGI servers that are supported, each in a process, and a client that speaks HTTP and WebSocket with bytes."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.servers import READY_WITHIN, ROOT, stop

APPLICATION = "tests.lifetimes.application:application"
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", APPLICATION, "--loop", "asyncio", "--port"],
    "hypercorn": ["-m", "hypercorn", APPLICATION, "--bind"],
    "daphne": ["-m", "daphne", APPLICATION, "--bind", "127.0.0.1", "--port"],
    "granian": ["-m", "granian", APPLICATION, "--interface", "asgi", "--loop", "asyncio", "--port"],
}
# How long a client waits for what must come. It is never as long on a machine that is not busy.
PATIENCE = 30.0


def is_installed(name: str) -> bool:
    return find_spec(name) is not None


@dataclass(frozen=True)
class Server:
    """A running server. ``at_start`` is its state when it was ready."""

    name: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    at_start: dict[str, int] = field(default_factory=dict)

    def is_settled(self, state: dict[str, int]) -> bool:
        """Whether the process has no more than at the start."""
        return all(state[name] <= number for name, number in self.at_start.items())

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    async def state(self) -> dict[str, int]:
        """What is alive in the process."""
        _, body, _ = await self.get("/state")
        return json.loads(body)  # type: ignore[no-any-return]

    async def get(self, path: str, token: str = "", *, patience: float = PATIENCE) -> tuple[bytes, bytes, bool]:
        """The head and the body of a response, and whether it is complete.

        Raises:
            TimeoutError: it did not end.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            head = (
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            writer.write(head.encode())
            async with asyncio.timeout(patience):
                received = await reader.read()
        finally:
            writer.close()
        head_received, _, body = received.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head_received.lower():
            return head_received, body, body.endswith(b"0\r\n\r\n")
        return head_received, body, True

    async def connect(self, path: str, token: str) -> "WebSocket":
        """A WebSocket, after its handshake."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {token}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        return WebSocket(int(head.split()[1]), reader, writer)


@dataclass
class WebSocket:
    """``status`` is that of the handshake: 101 if it was accepted."""

    status: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next short frame (RFC 6455 §5.2)."""
        first, length = await self.reader.readexactly(2)
        return first & 0x0F, await self.reader.readexactly(length & 0x7F)

    async def wait_for_close(self) -> tuple[int, float]:
        """The close code, and when it came. The client responds with a close, as it must."""
        async with asyncio.timeout(PATIENCE):
            while (frame := await self.read_frame())[0] != 8:
                pass
        came_at = time.time()
        self.write_close(frame[1][:2])
        return int.from_bytes(frame[1][:2], "big"), came_at

    def write_close(self, code: bytes = b"\x03\xe8") -> None:
        self.writer.write(b"\x88\x82\0\0\0\0" + code)

    async def leave(self) -> None:
        """Wait until the server has closed the connection."""
        # Some servers reset it.
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(65536):
                    pass
        self.writer.close()


@contextmanager
def serve(name: str) -> Iterator[Server]:
    """A process of this server, stopped at the end whatever happens."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as reserved:
        # Not all of these servers can take over a listening socket.
        port = reserved.getsockname()[1]
        reserved.close()
        address = f"127.0.0.1:{port}" if name == "hypercorn" else str(port)
        log = Path(folder) / "server.log"
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        variables.pop("DJANGO_SETTINGS_MODULE", None)  # the application has its own settings
        with log.open("wb") as output:
            command = [sys.executable, *COMMANDS[name], address]
            process = subprocess.Popen(command, env=variables, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        server = Server(name, port, log, process)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            stop(process)


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            server.at_start.update(asyncio.run(server.state()))
        except (OSError, ValueError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{server.name} did not start within {READY_WITHIN} s:\n{server.output}")


async def settled(server: Server) -> dict[str, int]:
    """The state of the process, as soon as it has no more than at the start, or after a while."""
    deadline = time.monotonic() + PATIENCE
    while not server.is_settled(state := await server.state()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return state
