"""The parts of the front page's server that are bound to no event loop, or that are requested repeatedly."""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from demo_asgi.page import server, tokens
from demo_asgi.page.locks import holding
from tests.demo.processes import run_forked
from tests.forks import Forks


def run_in_demo(forks: Forks, folder: Path, code: str) -> None:
    """Run ``code`` in a process with the demo's settings."""
    finished = run_forked(forks, folder, "django", "shell", "-c", code, "--settings", "demo_asgi.settings")
    assert finished.returncode == 0, finished.stderr


# --- Requests to the authorization server -----------------------------------------------------------------------------


def test_certificates_are_read_once_and_not_on_the_loop(
    authority: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of all event loops share one TLS context, so the file is read once."""
    read: list[bool] = []
    load = ssl.SSLContext.load_verify_locations

    def note(context: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        read.append(threading.current_thread() is threading.main_thread())
        load(context, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    server._tls_context.cache_clear()
    settings.ISSUER = authority
    for _ in range(2):
        assert [state["running"] for state in asyncio.run(_states(3))] == [True] * 3
    assert read == [False]


async def _states(times: int) -> list[Any]:
    return [await server.state() for _ in range(times)]


def test_a_response_that_is_nested_too_deeply() -> None:
    """The page gets an error message, not a failure."""
    with pytest.raises(server.AuthorizationServerError, match="something other than JSON"):
        server._read(b"[" * 100_000)


# --- Locks -----------------------------------------------------------------------------------------------------------


def test_a_lock_works_on_every_event_loop() -> None:
    """Tasks of each loop hold the lock one after the other."""
    lock = threading.Lock()
    inside: list[int] = []

    async def enter(number: int) -> None:
        async with holding(lock):
            inside.append(number)
            await asyncio.sleep(0)
            assert inside == [number]
            inside.remove(number)

    async def crowd() -> None:
        await asyncio.gather(*map(enter, range(3)))

    for _ in range(2):
        asyncio.run(crowd())
    assert not lock.locked()


async def test_a_cancelled_waiter_does_not_take_the_lock() -> None:
    """The lock stays with its holder, and is free afterwards."""
    lock = threading.Lock()

    async def enter() -> None:
        async with holding(lock):
            pass

    async with holding(lock):
        waiter = asyncio.create_task(enter())
        await asyncio.sleep(0)
        waiter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiter
        assert lock.locked()
    assert not lock.locked()


def test_pages_that_open_at_once_fetch_once_on_each_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page fetches the tokens, and the others wait for them."""
    fetched: list[int] = []

    async def fetch() -> dict[str, str]:
        fetched.append(1)
        await asyncio.sleep(0)
        return {}

    async def pages() -> None:
        await asyncio.gather(*(tokens.all_tokens(fresh=False) for _ in range(3)))

    monkeypatch.setattr(tokens, "_fetch", fetch)
    for number in (1, 2):
        monkeypatch.setattr(tokens, "_issued", tokens.IssuedTokens({}))
        asyncio.run(pages())
        assert len(fetched) == number


TWO_LOADS = """
import asyncio
from demo_asgi.page import load

running = 0

async def measure(handler, path):
    global running
    running += 1
    await asyncio.sleep(0)
    assert running == 1
    running -= 1
    recording = load.Recording()
    recording.response_times.append(recording.elapsed())
    return recording

async def two():
    await asyncio.gather(load.run(), load.run())

load._load = measure
for _ in range(2):
    asyncio.run(two())
"""


def test_loads_are_measured_one_after_the_other_on_each_loop(forks: Forks, tmp_path: Path) -> None:
    """No load distorts the figures of another one."""
    run_in_demo(forks, tmp_path, TWO_LOADS)


# --- Views ------------------------------------------------------------------------------------------------------------

LOOKED_UP = """
import asyncio
from demo_asgi.page import catalogue

paths = []
look_up = catalogue.route_of
catalogue.route_of = lambda path: paths.append(path) or look_up(path)
for _ in range(2):
    catalogue.catalogue()
    asyncio.run(catalogue.explanation_of("GET", "/health", None))
assert sorted(paths) == sorted({view.path for view in catalogue.SHOWN_VIEWS}), paths
"""


def test_each_view_is_looked_up_once(forks: Forks, tmp_path: Path) -> None:
    """The routes of the views do not change, so they are looked up once."""
    run_in_demo(forks, tmp_path, LOOKED_UP)
