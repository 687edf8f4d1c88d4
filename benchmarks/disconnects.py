"""Clients that disconnect at random moments, for the soak."""

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

READ_TIMEOUT: Final = 5.0
LONGEST_LINGER: Final = 0.02
# With zero seconds of lingering, close() sends a reset instead of an orderly end.
RESET: Final = struct.pack("ii", 1, 0)

Disconnect = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


async def disconnect_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await writer.drain()


async def disconnect_soon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await asyncio.sleep(random.uniform(0, LONGEST_LINGER))


async def disconnect_during_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request[: random.randrange(1, len(request))])
    await asyncio.sleep(random.uniform(0, LONGEST_LINGER))


async def disconnect_during_response(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> None:
    writer.write(request)
    await read_some(reader)


async def disconnect_after_two_requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> None:
    writer.write(request + request)
    await read_some(reader)


async def read_some(reader: asyncio.StreamReader) -> None:
    # On Python 3.11, `wait_for` may swallow a cancellation.
    async with asyncio.timeout(READ_TIMEOUT):
        await reader.read(20)


DISCONNECTS: Final[tuple[Disconnect, ...]] = (
    disconnect_at_once,
    disconnect_soon,
    disconnect_during_request,
    disconnect_during_response,
    disconnect_after_two_requests,
)


async def disconnect_repeatedly(port: int, requests: Iterator[bytes], pause: float, count: Callable[[], None]) -> None:
    """Connect, send a request and disconnect, again and again. Call ``count`` each time. Errors are ignored."""
    while True:
        await asyncio.sleep(random.uniform(0, pause))
        try:
            await disconnect_once(port, next(requests))
        except (OSError, TimeoutError):
            continue
        count()


async def disconnect_once(port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await random.choice(DISCONNECTS)(reader, writer, request)
    finally:
        if random.random() < 0.5:
            reset(writer)
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
