"""Many requests at once, each on an open connection, while other clients use another view."""

import asyncio
import collections
import itertools
import time
from collections.abc import Awaitable
from typing import Final, cast

from .answers import read_status
from .contenders import fresh_tokens, request_bytes
from .figures import percentile
from .slices import Burst, BurstResult

PATIENCE: Final = 60.0
CONNECT_AT_ONCE: Final = 100
SETTLE: Final = 0.3
PROBE_PAUSE: Final = 0.01


class Caller(asyncio.Protocol):
    """One connection, on which one request at a time is answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)
        self.received = b""
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ask(self, request: bytes) -> Awaitable[None]:
        """Done with the expected answer; a ValueError or ConnectionError says what came in its place."""
        self.received = b""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.answer.done():
            return
        try:
            status = read_status(self.received)
            if status not in (None, 200):
                raise ValueError(str(status))
            if status:
                self.answer.set_result(None)
        except ValueError as error:
            self.answer.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError("connection lost"))
            # Nobody may be waiting for it.
            self.answer.exception()


async def connect(port: int) -> Caller:
    _, caller = await asyncio.get_running_loop().create_connection(Caller, "127.0.0.1", port)
    return caller


async def connect_all(port: int, number: int) -> list[Caller]:
    callers: list[Caller] = []
    while len(callers) < number:
        batch = min(CONNECT_AT_ONCE, number - len(callers))
        callers += await asyncio.gather(*(connect(port) for _ in range(batch)))
    return callers


class Probe:
    """A client of the other view: it sends, waits, pauses, and records when."""

    def __init__(self, caller: Caller, request: bytes) -> None:
        self.caller = caller
        self.request = request
        self.stopping = False
        self.times: list[tuple[float, float]] = []

    async def run(self) -> None:
        while not self.stopping:
            sent = time.perf_counter()
            await self.caller.ask(self.request)
            self.times.append((sent, time.perf_counter()))
            await asyncio.sleep(PROBE_PAUSE)

    def latencies(self, start: float, end: float) -> list[float]:
        """Of the requests that overlap this time."""
        return [answered - sent for sent, answered in self.times if answered >= start and sent <= end]


async def perform_burst(port: int, wanted: Burst) -> BurstResult:
    tokens = itertools.islice(fresh_tokens(), wanted.requests if wanted.distinct else 1)
    requests = [request_bytes(wanted.contender, token) for token in tokens]
    callers = await connect_all(port, wanted.requests)
    beside = request_bytes(wanted.beside, next(fresh_tokens()))
    probes = [Probe(caller, beside) for caller in await connect_all(port, wanted.probes)]
    running = [asyncio.create_task(probe.run()) for probe in probes]
    await asyncio.sleep(SETTLE)
    start = time.perf_counter()
    answers = [caller.ask(request) for caller, request in zip(callers, itertools.cycle(requests), strict=False)]
    wrong = await count_wrong(answers)
    end = time.perf_counter()
    for probe in probes:
        probe.stopping = True
    wrong += await count_wrong(running)
    for caller in [*callers, *(probe.caller for probe in probes)]:
        caller.transport.close()
    latencies = sorted(itertools.chain.from_iterable(probe.latencies(start, end) for probe in probes))
    return BurstResult(
        contender=wanted.contender,
        answers=wanted.requests - sum(wrong.values()),
        seconds=end - start,
        beside=len(latencies),
        beside_p95=percentile(latencies, 0.95) * 1e3,
        wrong=dict(wrong),
    )


async def count_wrong(awaitables: list[Awaitable[None]] | list[asyncio.Task[None]]) -> collections.Counter[str]:
    wrong: collections.Counter[str] = collections.Counter()
    try:
        async with asyncio.timeout(PATIENCE):
            outcomes = await asyncio.gather(*awaitables, return_exceptions=True)
    except TimeoutError:
        wrong[f"not all answered in {PATIENCE:.0f} s"] += 1
    else:
        wrong.update(str(outcome) for outcome in outcomes if outcome is not None)
    return wrong
