"""Child process: the load generator. Closed loops over kept-alive connections, every answer checked."""

import argparse
import array
import asyncio
import collections
import contextlib
import itertools
import pathlib
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import cast

import psutil  # type: ignore[import-untyped,unused-ignore]
import uvloop

from . import child
from .answers import read_status
from .bursts import perform_burst
from .contenders import KNOWN_TOKENS, Tokens, forged, fresh_tokens, opaque_tokens, request_bytes, unknown_tokens
from .figures import percentile
from .limits import allow_many_connections
from .rude import be_rude
from .slices import Burst, BurstResult, Group, GroupResult, Slice, SliceResult

# A server that does not answer for this long is reported, not waited for.
PATIENCE = 40.0
# Seconds after what was wrong.
PAUSE = 0.05
UNAVAILABLE = 503


class Tally:
    """What a group's clients have seen so far."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.latencies = array.array("d")
        self.wrong: collections.Counter[str] = collections.Counter()
        self.unavailable: list[tuple[float, float]] = []
        self.counting = False
        self.left = 0

    def take(self, status: int, sent: float) -> bool:
        """Record a response. Returns whether it is the right one."""
        now = time.monotonic()
        if status == self.group.expected:
            if self.counting:
                self.latencies.append(now - sent)
            return True
        self.wrong[str(status)] += 1
        if status == UNAVAILABLE:
            self.unavailable.append((sent, now))
        return False

    def leave(self) -> None:
        self.left += 1

    def result(self, seconds: float) -> GroupResult:
        latencies = sorted(self.latencies)
        answers = self.left if self.group.rude else len(latencies)
        return GroupResult(
            contender=self.group.contender,
            clients=self.group.clients,
            answers=answers,
            per_second=answers / seconds,
            median=percentile(latencies, 0.5) * 1e3,
            p99=percentile(latencies, 0.99) * 1e3,
            wrong=dict(self.wrong),
            unavailable=self.unavailable,
        )


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        self.requests = requests
        self.tally = tally
        self.stopping = False
        self.received = b""
        self.sent = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)
        self.ask()

    def ask(self) -> None:
        self.received = b""
        self.sent = time.monotonic()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.received += data
        try:
            status = read_status(self.received)
        except ValueError as error:
            self.tally.wrong[str(error)] += 1
            self.close()
            return
        if status is not None:
            self.answered(status)

    def answered(self, status: int) -> None:
        is_right, pause = self.tally.take(status, self.sent), self.tally.group.pause
        if is_right and not pause:
            self.go_on()
        else:
            asyncio.get_running_loop().call_later(random.uniform(0, pause) or PAUSE, self.go_on)

    def go_on(self) -> None:
        if self.stopping:
            self.close()
        elif not self.closed.done():
            self.ask()

    def close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.tally.wrong["connection lost"] += 1
            self.closed.set_result(None)


class Seat:
    """One client's place in a group: its own tokens, and a new connection when one is lost."""

    def __init__(self, port: int, tally: Tally, requests: Iterator[bytes]) -> None:
        self.port = port
        self.tally = tally
        self.requests = requests
        self.stopping = False
        self.client: Client | None = None

    async def run(self) -> None:
        while not self.stopping:
            try:
                await self.connect()
            except OSError as error:
                self.tally.wrong[type(error).__name__] += 1
            else:
                assert self.client is not None
                await self.client.closed
            if not self.stopping:
                await asyncio.sleep(PAUSE)

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, self.client = await loop.create_connection(lambda: Client(self.requests, self.tally), "127.0.0.1", self.port)

    def stop(self) -> None:
        """Let the request that is out be answered, and send no other."""
        self.stopping = True
        if self.client is not None:
            self.client.stopping = True


class Generator:
    def __init__(
        self, port: int, jwts: Sequence[str], server: psutil.Process, authority: psutil.Process | None
    ) -> None:
        self.port = port
        # By kind of tokens: what clients bring in rotation.
        self.tokens: dict[Tokens, Sequence[str]] = {
            "opaque": opaque_tokens(),
            "unknown": unknown_tokens(),
            "none": [""] * KNOWN_TOKENS,
            "jwt": jwts,
            "forged": [forged(jwt) for jwt in jwts],
        }
        self.server = server
        self.authority = authority

    async def run(self, wanted: Slice) -> SliceResult:
        tallies = [Tally(group) for group in wanted.groups]
        seats = self.seats([tally for tally in tallies if not tally.group.rude])
        running = [asyncio.create_task(seat.run()) for seat in seats]
        rude = self.rude([tally for tally in tallies if tally.group.rude])
        await asyncio.sleep(wanted.settle)
        seconds, *cpu = await self.count(tallies, wanted.seconds)
        for seat in seats:
            seat.stop()
        for task in rude:
            task.cancel()
        await asyncio.gather(*rude, return_exceptions=True)
        await self.drain(running, tallies)
        return SliceResult(tuple(tally.result(seconds) for tally in tallies), seconds, *cpu)

    def seats(self, tallies: list[Tally]) -> list[Seat]:
        clients = sum(tally.group.clients for tally in tallies)
        numbers = itertools.count()
        return [
            Seat(self.port, tally, self.requests(tally.group, next(numbers), clients))
            for tally in tallies
            for _ in range(tally.group.clients)
        ]

    def requests(self, group: Group, number: int, clients: int) -> Iterator[bytes]:
        """Those of one of the clients. No two clients bring the same token."""
        tokens = (
            fresh_tokens() if group.tokens == "new" else itertools.cycle(self.tokens[group.tokens][number::clients])
        )
        return (request_bytes(group.contender, token) for token in tokens)

    def rude(self, tallies: list[Tally]) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(be_rude(self.port, self.requests(tally.group, 0, 1), tally.group.pause, tally.leave))
            for tally in tallies
            for _ in range(tally.group.clients)
        ]

    async def count(self, tallies: list[Tally], seconds: float) -> list[float]:
        """The seconds that were counted, then CPU seconds: the server's, our own, the authorization server's."""
        for tally in tallies:
            tally.counting = True
        before = self.clocks()
        await asyncio.sleep(seconds)
        for tally in tallies:
            tally.counting = False
        return [now - then for now, then in zip(self.clocks(), before, strict=True)]

    def clocks(self) -> list[float]:
        authority = 0.0 if self.authority is None else cpu_seconds(self.authority)
        return [time.monotonic(), cpu_seconds(self.server), time.process_time(), authority]

    async def drain(self, running: list[asyncio.Task[None]], tallies: list[Tally]) -> None:
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=PATIENCE)
        for task in late:
            task.cancel()
        if late:
            tallies[0].wrong[f"no answer in {PATIENCE:.0f} s"] += len(late)
        await asyncio.gather(*running, return_exceptions=True)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--server", type=int, required=True)
    parser.add_argument("--authority", type=int)
    parser.add_argument("--jwts", type=pathlib.Path, help="a file of those that clients bring")
    arguments = child.parse(parser)
    allow_many_connections()
    authority = None if arguments.authority is None else psutil.Process(arguments.authority)
    jwts = [] if arguments.jwts is None else arguments.jwts.read_text().split()
    generator = Generator(arguments.port, jwts, psutil.Process(arguments.server), authority)
    for line in sys.stdin:
        what, _, details = line.partition(" ")
        result: SliceResult | BurstResult
        if what == "burst":
            result = uvloop.run(perform_burst(arguments.port, Burst.from_json(details)))
        else:
            result = uvloop.run(generator.run(Slice.from_json(details)))
        print(result.to_json(), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
