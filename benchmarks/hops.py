"""Child process: thread hops and queries of one request, and of several at once, counted inside one process."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any, Final

from .contenders import GUARD, PLAIN
from .remote_tokens import known_token

AT_ONCE: Final = 8
WARM_UP: Final = 3


@dataclasses.dataclass(slots=True)
class Counts:
    hops: int = 0
    queries: int = 0


class CountingLoop(asyncio.SelectorEventLoop):
    """A thread that did a hop's work tells its loop so through `call_soon_threadsafe`, once."""

    wake_ups = 0

    def call_soon_threadsafe(  # type: ignore[override,unused-ignore]
        self, callback: Callable[..., object], *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(callback, *args, **kwargs)


class QueryCounter:
    """Counts on every connection, whichever thread opens it."""

    def __init__(self) -> None:
        self.queries = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.queries += 1
        return execute(sql, params, many, context)

    def watch(self, connection: Any, **kwargs: object) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)


def scope(contender: str, index: int) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": f"/{contender}",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {known_token(index)}".encode())],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 80),
    }


async def request(application: Any, contender: str, index: int) -> None:
    started = False

    async def receive() -> dict[str, Any]:
        nonlocal started
        if started:
            await asyncio.Event().wait()
        started = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"{contender} answered {message['status']}")

    await application(scope(contender, index), receive, send)


async def count(application: Any, queries: QueryCounter, contender: str, at_once: int) -> Counts:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    for index in range(max(WARM_UP, at_once)):
        await request(application, contender, index)
    hops_before, queries_before = loop.wake_ups, queries.queries
    await asyncio.gather(*(request(application, contender, index) for index in range(at_once)))
    return Counts(loop.wake_ups - hops_before, queries.queries - queries_before)


async def compare(application: Any, queries: QueryCounter, guard: str, at_once: int) -> Counts:
    """What the guard adds to the unguarded view, for `at_once` requests together."""
    plain = await count(application, queries, PLAIN, at_once)
    guarded = await count(application, queries, guard, at_once)
    return Counts(guarded.hops - plain.hops, guarded.queries - plain.queries)


def main() -> None:
    from django.core.asgi import get_asgi_application
    from django.db.backends.signals import connection_created

    guard = sys.argv[1] if len(sys.argv) > 1 else GUARD
    application = get_asgi_application()
    queries = QueryCounter()
    connection_created.connect(queries.watch)
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        counts = {
            at_once: dataclasses.asdict(runner.run(compare(application, queries, guard, at_once)))
            for at_once in (1, AT_ONCE)
        }
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
