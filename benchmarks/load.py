"""Child process: the load generator. Closed loops over kept-alive connections. It checks every response."""

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
from .contenders import KNOWN_TOKENS, Tokens, forged, new_tokens, opaque_tokens, request_bytes, unknown_tokens
from .disconnects import disconnect_repeatedly
from .figures import percentile
from .limits import allow_many_connections
from .slices import Burst, BurstResult, Group, GroupResult, Slice, SliceResult

# Seconds after which a missing response is reported.
RESPONSE_TIMEOUT = 40.0
# Seconds after a wrong response.
PAUSE = 0.05
UNAVAILABLE = 503


class Tally:
    """The responses of a group's clients."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.latencies = array.array("d")
        self.wrong: collections.Counter[str] = collections.Counter()
        self.unavailable: list[tuple[float, float]] = []
        self.counting = False
        self.disconnections = 0

    def record(self, status: int, sent: float) -> bool:
        """Record a response. Return whether it is the expected one."""
        now = time.monotonic()
        if status == self.group.expected:
            if self.counting:
                self.latencies.append(now - sent)
            return True
        self.wrong[str(status)] += 1
        if status == UNAVAILABLE:
            self.unavailable.append((sent, now))
        return False

    def record_disconnection(self) -> None:
        self.disconnections += 1

    def result(self, seconds: float) -> GroupResult:
        latencies = sorted(self.latencies)
        responses = self.disconnections if self.group.disconnects else len(latencies)
        return GroupResult(
            contender=self.group.contender,
            clients=self.group.clients,
            responses=responses,
            per_second=responses / seconds,
            median=percentile(latencies, 0.5) * 1e3,
            p99=percentile(latencies, 0.99) * 1e3,
            wrong=dict(self.wrong),
            unavailable=self.unavailable,
        )


class Connection(asyncio.Protocol):
    """One connection. It sends the next request when it has the response to the last one."""

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
        self.send()

    def send(self) -> None:
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
            self.handle(status)

    def handle(self, status: int) -> None:
        is_expected, pause = self.tally.record(status, self.sent), self.tally.group.pause
        if is_expected and not pause:
            self.send_next()
        else:
            asyncio.get_running_loop().call_later(random.uniform(0, pause) or PAUSE, self.send_next)

    def send_next(self) -> None:
        if self.stopping:
            self.close()
        elif not self.closed.done():
            self.send()

    def close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.tally.wrong["connection lost"] += 1
            self.closed.set_result(None)


class ReconnectingClient:
    """A client with its own tokens. It opens a new connection when one is lost."""

    def __init__(self, port: int, tally: Tally, requests: Iterator[bytes]) -> None:
        self.port = port
        self.tally = tally
        self.requests = requests
        self.stopping = False
        self.connection: Connection | None = None

    async def run(self) -> None:
        while not self.stopping:
            try:
                await self.connect()
            except OSError as error:
                self.tally.wrong[type(error).__name__] += 1
            else:
                assert self.connection is not None
                await self.connection.closed
            if not self.stopping:
                await asyncio.sleep(PAUSE)

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, self.connection = await loop.create_connection(
            lambda: Connection(self.requests, self.tally), "127.0.0.1", self.port
        )

    def stop(self) -> None:
        """Wait for the response to the current request, and send no other one."""
        self.stopping = True
        if self.connection is not None:
            self.connection.stopping = True


class Generator:
    def __init__(
        self, port: int, jwts: Sequence[str], server: psutil.Process, authority: psutil.Process | None
    ) -> None:
        self.port = port
        # Clients present the tokens of a kind in rotation.
        self.tokens: dict[Tokens, Sequence[str]] = {
            "opaque": opaque_tokens(),
            "unknown": unknown_tokens(),
            "none": [""] * KNOWN_TOKENS,
            "jwt": jwts,
            "forged": [forged(jwt) for jwt in jwts],
        }
        self.server = server
        self.authority = authority

    async def run(self, work: Slice) -> SliceResult:
        tallies = [Tally(group) for group in work.groups]
        clients = self.make_clients([tally for tally in tallies if not tally.group.disconnects])
        running = [asyncio.create_task(client.run()) for client in clients]
        disconnecting = self.start_disconnecting([tally for tally in tallies if tally.group.disconnects])
        await asyncio.sleep(work.settle)
        seconds, *cpu = await self.count(tallies, work.seconds)
        for client in clients:
            client.stop()
        for task in disconnecting:
            task.cancel()
        await asyncio.gather(*disconnecting, return_exceptions=True)
        await self.drain(running, tallies)
        return SliceResult(tuple(tally.result(seconds) for tally in tallies), seconds, *cpu)

    def make_clients(self, tallies: list[Tally]) -> list[ReconnectingClient]:
        number_of_clients = sum(tally.group.clients for tally in tallies)
        numbers = itertools.count()
        return [
            ReconnectingClient(self.port, tally, self.requests(tally.group, next(numbers), number_of_clients))
            for tally in tallies
            for _ in range(tally.group.clients)
        ]

    def requests(self, group: Group, number: int, clients: int) -> Iterator[bytes]:
        """The requests of one client. No two clients present the same token."""
        tokens = new_tokens() if group.tokens == "new" else itertools.cycle(self.tokens[group.tokens][number::clients])
        return (request_bytes(group.contender, token) for token in tokens)

    def start_disconnecting(self, tallies: list[Tally]) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(
                disconnect_repeatedly(
                    self.port, self.requests(tally.group, 0, 1), tally.group.pause, tally.record_disconnection
                )
            )
            for tally in tallies
            for _ in range(tally.group.clients)
        ]

    async def count(self, tallies: list[Tally], seconds: float) -> list[float]:
        """The measured seconds, then the CPU seconds of the server, the load generator and the authorization server."""
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
        _, late = await asyncio.wait(running, timeout=RESPONSE_TIMEOUT)
        for task in late:
            task.cancel()
        if late:
            tallies[0].wrong[f"no response in {RESPONSE_TIMEOUT:.0f} s"] += len(late)
        await asyncio.gather(*running, return_exceptions=True)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--server", type=int, required=True)
    parser.add_argument("--authority", type=int)
    parser.add_argument("--jwts", type=pathlib.Path, help="a file with JWTs to present")
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
