"""Clients that leave at the wrong moment, for the soak."""

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

READ_PATIENCE: Final = 5.0
LONGEST_LINGER: Final = 0.02
# Zero seconds of lingering: close() sends a reset in place of an orderly end.
RESET: Final = struct.pack("ii", 1, 0)

Leaving = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


async def leave_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await writer.drain()


async def leave_soon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await asyncio.sleep(random.uniform(0, LONGEST_LINGER))


async def leave_unfinished(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request[: random.randrange(1, len(request))])
    await asyncio.sleep(random.uniform(0, LONGEST_LINGER))


async def leave_after_some_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await read_some(reader)


async def leave_with_two_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request + request)
    await read_some(reader)


async def read_some(reader: asyncio.StreamReader) -> None:
    # On Python 3.11, `wait_for` may swallow a cancellation.
    async with asyncio.timeout(READ_PATIENCE):
        await reader.read(20)


WAYS: Final[tuple[Leaving, ...]] = (
    leave_at_once,
    leave_soon,
    leave_unfinished,
    leave_after_some_bytes,
    leave_with_two_asked,
)


async def be_rude(port: int, requests: Iterator[bytes], pause: float, count: Callable[[], None]) -> None:
    """Connect, ask, leave, over and over; `count` is called each time. What a rude client sees is never an error."""
    while True:
        await asyncio.sleep(random.uniform(0, pause))
        try:
            await leave_once(port, next(requests))
        except (OSError, TimeoutError):
            continue
        count()


async def leave_once(port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await random.choice(WAYS)(reader, writer, request)
    finally:
        if random.random() < 0.5:
            reset(writer)
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
