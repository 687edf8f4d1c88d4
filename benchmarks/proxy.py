"""A TCP proxy in front of a server that others use too. Its clients see the server stop and start."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final

HOST: Final = "127.0.0.1"
CHUNK: Final = 65_536


class Gate:
    """Passes connections on while it is started. When it stops, it cuts them, and new ones are refused."""

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.port = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="gate", daemon=True)
        self.thread.start()

    def start(self) -> None:
        self.do(self.open())

    def stop(self) -> None:
        self.do(self.shut())

    def close(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def open(self) -> None:
        self.server = await asyncio.start_server(self.pass_on, HOST, self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        self.server.close()
        while self.writers:
            for writer in self.writers:
                writer.transport.abort()
            # Until those who pass on have noticed.
            await asyncio.sleep(0.01)

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # From now on `shut` waits for this connection.
        self.writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            self.writers.add(far_writer)
            try:
                await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
            finally:
                self.writers.discard(far_writer)
        except OSError:
            writer.transport.abort()
        finally:
            self.writers.discard(writer)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until either end closes; then close the other."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
