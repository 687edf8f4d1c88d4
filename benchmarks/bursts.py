"""Sends many requests at once, each on an open connection, while probes request another view."""

import asyncio
import collections
import itertools
import time
from collections.abc import Awaitable
from typing import Final, cast

from .answers import read_status
from .contenders import new_tokens, request_bytes
from .figures import percentile
from .slices import Burst, BurstResult

TIMEOUT: Final = 60.0
CONNECT_AT_ONCE: Final = 100
SETTLE: Final = 0.3
PROBE_PAUSE: Final = 0.01


class Connection(asyncio.Protocol):
    """A connection that sends one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)
        self.received = b""
        self.response: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, request: bytes) -> Awaitable[None]:
        """Send a request and wait for the expected response.

        Raises:
            ValueError: the response is another one.
            ConnectionError: the connection was lost.
        """
        self.received = b""
        self.response = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.response

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.response.done():
            return
        try:
            status = read_status(self.received)
            if status not in (None, 200):
                raise ValueError(str(status))
            if status:
                self.response.set_result(None)
        except ValueError as error:
            self.response.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.response.done():
            self.response.set_exception(ConnectionError("connection lost"))
            # Mark the exception as retrieved, because no task may wait for it.
            self.response.exception()


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def connect_all(port: int, number: int) -> list[Connection]:
    connections: list[Connection] = []
    while len(connections) < number:
        batch = min(CONNECT_AT_ONCE, number - len(connections))
        connections += await asyncio.gather(*(connect(port) for _ in range(batch)))
    return connections


class Probe:
    """A client of the other view. It records the times of its requests and responses."""

    def __init__(self, connection: Connection, request: bytes) -> None:
        self.connection = connection
        self.request = request
        self.stopping = False
        self.times: list[tuple[float, float]] = []

    async def run(self) -> None:
        while not self.stopping:
            sent = time.perf_counter()
            await self.connection.send(self.request)
            self.times.append((sent, time.perf_counter()))
            await asyncio.sleep(PROBE_PAUSE)

    def latencies(self, start: float, end: float) -> list[float]:
        """The latencies of requests that overlap this period."""
        return [received - sent for sent, received in self.times if received >= start and sent <= end]


async def perform_burst(port: int, burst: Burst) -> BurstResult:
    tokens = itertools.islice(new_tokens(), burst.requests if burst.distinct else 1)
    requests = [request_bytes(burst.contender, token) for token in tokens]
    connections = await connect_all(port, burst.requests)
    probe_request = request_bytes(burst.probed, next(new_tokens()))
    probes = [Probe(connection, probe_request) for connection in await connect_all(port, burst.probes)]
    running = [asyncio.create_task(probe.run()) for probe in probes]
    await asyncio.sleep(SETTLE)
    start = time.perf_counter()
    responses = [
        connection.send(request) for connection, request in zip(connections, itertools.cycle(requests), strict=False)
    ]
    wrong = await count_wrong(responses)
    end = time.perf_counter()
    for probe in probes:
        probe.stopping = True
    wrong += await count_wrong(running)
    for connection in [*connections, *(probe.connection for probe in probes)]:
        connection.transport.close()
    latencies = sorted(itertools.chain.from_iterable(probe.latencies(start, end) for probe in probes))
    return BurstResult(
        seconds=end - start,
        probes_p95=percentile(latencies, 0.95) * 1e3,
        wrong=dict(wrong),
    )


async def count_wrong(awaitables: list[Awaitable[None]] | list[asyncio.Task[None]]) -> collections.Counter[str]:
    wrong: collections.Counter[str] = collections.Counter()
    try:
        async with asyncio.timeout(TIMEOUT):
            outcomes = await asyncio.gather(*awaitables, return_exceptions=True)
    except TimeoutError:
        wrong[f"not all responses in {TIMEOUT:.0f} s"] += 1
    else:
        wrong.update(str(outcome) for outcome in outcomes if outcome is not None)
    return wrong
