"""A TCP proxy. Its clients see the server stop and start, although the server goes on."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final

HOST: Final = "127.0.0.1"
CHUNK: Final = 65_536


class Proxy:
    """Forwards connections while it is started. When it stops, it closes them, and refuses new ones."""

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.port = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="proxy", daemon=True)
        self.thread.start()

    def start(self) -> None:
        self.run(self.open())

    def stop(self) -> None:
        self.run(self.close_connections())

    def close(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def open(self) -> None:
        self.server = await asyncio.start_server(self.forward, HOST, self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close_connections(self) -> None:
        self.server.close()
        while self.writers:
            for writer in self.writers:
                writer.transport.abort()
            # Wait until their tasks have ended.
            await asyncio.sleep(0.01)

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # From now on, `close_connections` waits for this connection.
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
    """Copy data until the reader ends, then close the writer."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
