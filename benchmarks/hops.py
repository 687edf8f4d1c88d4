"""Child process: counts the thread hops and queries of one request, and of several at once."""

import argparse
import asyncio
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.core.asgi import get_asgi_application
from django.db.backends.signals import connection_created

from . import child
from .contenders import UNGUARDED
from .remote_tokens import known_tokens

# How many requests at once.
CASES: Final = (1, 8)
WARM_UP: Final = 3


@dataclasses.dataclass(slots=True)
class Counts:
    hops: int = 0
    queries: int = 0


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts thread hops: each of them ends with one `call_soon_threadsafe`."""

    wake_ups = 0

    def call_soon_threadsafe(  # type: ignore[override,unused-ignore]
        self, callback: Callable[..., object], *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(callback, *args, **kwargs)


class QueryCounter:
    """Counts the queries on all connections."""

    def __init__(self) -> None:
        self.queries = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.queries += 1
        return execute(sql, params, many, context)

    def watch(self, connection: Any, **kwargs: object) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)


def scope(contender: str, token: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": f"/{contender}",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 80),
    }


async def request(application: Any, contender: str, token: str) -> None:
    started = False

    async def receive() -> dict[str, Any]:
        nonlocal started
        if started:
            await asyncio.Event().wait()
        started = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"{contender} responded with {message['status']}")

    await application(scope(contender, token), receive, send)


async def count(application: Any, queries: QueryCounter, contender: str, tokens: Sequence[str]) -> Counts:
    """Count the hops and queries of one request for each token, all at once."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    for token in [*tokens] * WARM_UP:
        await request(application, contender, token)
    hops_before, queries_before = loop.wake_ups, queries.queries
    await asyncio.gather(*(request(application, contender, token) for token in tokens))
    return Counts(loop.wake_ups - hops_before, queries.queries - queries_before)


async def compare(application: Any, queries: QueryCounter, guarded: str, tokens: Sequence[str]) -> Counts:
    """The hops and queries that the guard adds to the unguarded view."""
    plain = await count(application, queries, UNGUARDED[guarded], tokens)
    counted = await count(application, queries, guarded, tokens)
    return Counts(counted.hops - plain.hops, counted.queries - plain.queries)


async def compare_all(application: Any, guarded: Sequence[str], tokens: Sequence[str]) -> dict[str, Any]:
    queries = QueryCounter()
    connection_created.connect(queries.watch)
    return {
        name: {
            at_once: dataclasses.asdict(await compare(application, queries, name, tokens[:at_once]))
            for at_once in CASES
        }
        for name in guarded
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", required=True)
    parser.add_argument("views", nargs="+")
    arguments = child.parse(parser)
    tokens = known_tokens(arguments.tokens)
    application = get_asgi_application()
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        print(json.dumps(runner.run(compare_all(application, arguments.views, tokens))))


if __name__ == "__main__":
    main()
