"""The parts of the front page's server that are bound to no event loop, or that are requested repeatedly."""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from demo_asgi.page import server, tokens
from demo_asgi.page.turns import turn
from tests.demo.processes import run_django


def run_in_demo(folder: Path, code: str) -> None:
    """Run ``code`` where the demo's settings are those of the process."""
    finished = run_django(folder, "shell", "-c", code)
    assert finished.returncode == 0, finished.stderr


# --- Calls to the authorization server --------------------------------------------------------------------------------


def test_certificates_are_read_once_and_not_on_the_loop(
    authority: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls have one TLS context, whatever loop they are made on: nobody waits for a file at each of them."""
    read: list[bool] = []
    load = ssl.SSLContext.load_verify_locations

    def note(context: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        read.append(threading.current_thread() is threading.main_thread())
        load(context, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    server._tls_context.cache_clear()
    settings.ISSUER = authority
    for _ in range(2):
        assert [state["running"] for state in asyncio.run(_ask(3))] == [True] * 3
    assert read == [False]


async def _ask(times: int) -> list[Any]:
    return [await server.state() for _ in range(times)]


def test_an_answer_that_is_too_deep_is_none() -> None:
    """Whatever the authorization server answers, the page gets one sentence about it."""
    with pytest.raises(server.ServerTroubleError, match="something other than JSON"):
        server._read(b"[" * 100_000)


# --- One at a time ----------------------------------------------------------------------------------------------------


def test_a_turn_is_of_no_event_loop() -> None:
    """Who waits for it waits on each loop, and nobody is inside with another."""
    lock = threading.Lock()
    inside: list[int] = []

    async def enter(number: int) -> None:
        async with turn(lock):
            inside.append(number)
            await asyncio.sleep(0)
            assert inside == [number]
            inside.remove(number)

    async def crowd() -> None:
        await asyncio.gather(*map(enter, range(3)))

    for _ in range(2):
        asyncio.run(crowd())
    assert not lock.locked()


async def test_who_is_cancelled_while_waiting_takes_no_turn() -> None:
    """The turn stays with its holder, and is free afterwards."""
    lock = threading.Lock()

    async def enter() -> None:
        async with turn(lock):
            pass

    async with turn(lock):
        waiter = asyncio.create_task(enter())
        await asyncio.sleep(0)
        waiter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiter
        assert lock.locked()
    assert not lock.locked()


def test_pages_that_open_at_once_fetch_once_on_each_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens are fetched by the first, and the others wait for them."""
    fetched: list[int] = []

    async def fetch() -> dict[str, str]:
        fetched.append(1)
        await asyncio.sleep(0)
        return {}

    async def pages() -> None:
        await asyncio.gather(*(tokens.all_tokens(fresh=False) for _ in range(3)))

    monkeypatch.setattr(tokens, "_fetch", fetch)
    for number in (1, 2):
        monkeypatch.setattr(tokens, "_wallet", tokens.Wallet({}))
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
    recording.answered.append(recording.elapsed())
    return recording

async def two():
    await asyncio.gather(load.run(), load.run())

load._load = measure
for _ in range(2):
    asyncio.run(two())
"""


def test_loads_are_measured_one_after_the_other_on_each_loop(tmp_path: Path) -> None:
    """No load is in the figures of another."""
    run_in_demo(tmp_path, TWO_LOADS)


# --- Views ------------------------------------------------------------------------------------------------------------

LOOKED_UP = """
import asyncio
from demo_asgi.page import catalogue

asked = []
look_up = catalogue.route_of
catalogue.route_of = lambda path: asked.append(path) or look_up(path)
for _ in range(2):
    catalogue.catalogue()
    asyncio.run(catalogue.explanation_of("GET", "/health", None))
assert sorted(asked) == sorted({shown.path for shown in catalogue.SHOWN}), asked
"""


def test_each_view_is_looked_up_once(tmp_path: Path) -> None:
    """The URLs' facts about a view do not change, so they are computed once."""
    run_in_demo(tmp_path, LOOKED_UP)
