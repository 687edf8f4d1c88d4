"""Connects to a host by whichever of its addresses responds first (RFC 8305).

`asyncio` has this too, but uvloop does not, and a cancellation may leave a socket of `asyncio`'s open.
"""

import asyncio
import itertools
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["ATTEMPT_DELAY", "connect"]

ATTEMPT_DELAY = 0.25
"""Seconds until the next address is tried, while earlier attempts continue (RFC 8305 §5)."""


async def connect(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to ``host``, which is a name or an address.

    Raises:
        OSError: the name was not found, or no address could be connected to.
        UnicodeError: the name has a label that is empty or too long.
    """
    loop = asyncio.get_running_loop()
    addresses = _interleave(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    running = {loop.create_task(_connect_to(*next(addresses)))}
    following: tuple[Any, ...] | None = next(addresses, None)
    failure: BaseException = OSError("no address")
    try:
        while running:
            done, _ = await asyncio.wait(
                running, timeout=ATTEMPT_DELAY if following else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                running.remove(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                failure = error
            if following:
                running.add(loop.create_task(_connect_to(*following)))
                following = next(addresses, None)
        raise failure
    finally:
        for attempt in running:
            attempt.add_done_callback(_close_socket)
            attempt.cancel()
        if running:
            await asyncio.wait(running)


def _interleave(addresses: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Alternate between the address families, and begin with that of the first address (RFC 8305 §4)."""
    families: defaultdict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for address in addresses:
        families[address[0]].append(address)
    return filter(None, itertools.chain.from_iterable(itertools.zip_longest(*families.values())))


async def _connect_to(family: int, kind: int, protocol: int, name: str, address: Any) -> socket.socket:
    connected = socket.socket(family, kind, protocol)
    try:
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, address)
    except BaseException:
        connected.close()
        raise
    return connected


def _close_socket(attempt: "asyncio.Task[socket.socket]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
