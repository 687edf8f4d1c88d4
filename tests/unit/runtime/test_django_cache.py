"""Django's cache on threads of our own: what it says in time, and a miss for everything else."""

import asyncio
import contextvars
import gc
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from django.core.cache import BaseCache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from async_oauth_guard.runtime import django_cache, workers
from async_oauth_guard.runtime.django_cache import add, close, delete, read, write
from async_oauth_guard.runtime.effects import CacheAdd, CacheDelete, CacheRead, CacheWrite
from tests.conftest import services_are_required

PATIENCE = 10.0
HERE = __name__
REDIS_VARIABLE = "OAUTH_GUARD_TEST_REDIS"


class ScriptedCache(LocMemCache):
    """A cache in memory that does something before it answers."""

    before: Callable[[], object] = staticmethod(lambda: None)
    calls: list[tuple[str, threading.Thread]] = []
    closed: list[threading.Thread] = []
    made: list[BaseCache] = []

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(name, params)
        self.made.append(self)

    def note(self, method: str) -> None:
        self.calls.append((method, threading.current_thread()))
        type(self).before()

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self.note("get")
        return super().get(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        self.note("set")
        return super().set(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        self.note("add")
        return super().add(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        self.note("delete")
        return super().delete(*args, **kwargs)

    def close(self, **kwargs: Any) -> None:
        self.closed.append(threading.current_thread())
        raise OSError("nobody hears this")


class Hanging:
    """Keeps the threads of the scripted cache until they are let go."""

    def __init__(self) -> None:
        self.is_on = True
        self.arrivals = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)

    def __call__(self) -> None:
        self.arrivals.release()
        if self.is_on:
            assert self.permits.acquire(timeout=PATIENCE)

    async def arrival(self, times: int = 1) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.arrivals.acquire, timeout=PATIENCE)

    def let_go(self) -> None:
        self.is_on = False
        self.permits.release(100)


@pytest.fixture(autouse=True)
def _caches(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # So that a slow machine is no slow cache.
    monkeypatch.setattr(django_cache._Cache, "deadline", PATIENCE)
    monkeypatch.setattr(django_cache._Store, "deadline", PATIENCE)
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "plain"},
        "scripted": {"BACKEND": f"{HERE}.ScriptedCache", "LOCATION": "scripted"},
        "missing": {"BACKEND": "nowhere.Cache"},
    }
    for noted in (ScriptedCache.calls, ScriptedCache.closed, ScriptedCache.made):
        noted.clear()
    yield
    end()
    for alias in ("default", "scripted"):
        LocMemCache(alias.replace("default", "plain"), {}).clear()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Sets what the scripted cache does before it answers."""
    return lambda before: monkeypatch.setattr(ScriptedCache, "before", staticmethod(before))


@pytest.fixture
def hanging(script: Any) -> Iterator[Hanging]:
    hanging = Hanging()
    script(hanging)
    yield hanging
    hanging.let_go()


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The requested operations."""
    noted: list[Any] = []

    class Noted(django_cache._Operation):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            noted.append(self)

    monkeypatch.setattr(django_cache, "_Operation", Noted)
    return noted


@pytest.fixture
def pass_deadline(jobs: list[Any]) -> Callable[[], None]:
    """Lets the deadline of all operations pass, as their timers do."""

    def give_up() -> None:
        pool = django_cache._pools["scripted"]
        for job in jobs:
            # What was refused has no deadline.
            if hasattr(job, "pool"):
                pool.give_up(job)

    return give_up


@pytest.fixture
def hang_once(hanging: Hanging, pass_deadline: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    """An operation that leaves a thread stuck."""

    async def ask() -> None:
        task = asyncio.create_task(get())
        await hanging.arrival()
        pass_deadline()
        assert await task is None

    return ask


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What has been logged about the cache since it was last asked."""
    caplog.set_level(logging.DEBUG, "async_oauth_guard")

    def messages() -> list[str]:
        found = [f"{r.levelname} {r.getMessage()}" for r in caplog.records if r.name == "async_oauth_guard.cache"]
        caplog.clear()
        return found

    return messages


def end() -> None:
    """End the threads, those that were stuck as well."""
    close()
    for thread in threads():
        thread.join(PATIENCE)
    assert threads() == []


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("async_oauth_guard caches")]


def get(alias: str = "scripted", key: str = "key") -> Any:
    return read(CacheRead(alias, key))


def put(text: str = "text", alias: str = "scripted", seconds: float = 60) -> Any:
    return write(CacheWrite(alias, "key", text, seconds))


def put_new(key: str = "key", *, alias: str = "scripted", seconds: float = 60) -> Any:
    return add(CacheAdd(alias, key, seconds))


@pytest.mark.parametrize("alias", ["default", "scripted"])
async def test_what_is_written_is_read_until_it_is_deleted(alias: str, log: Any) -> None:
    """E22: the cache is Django's, so what one worker writes, another one reads."""
    assert await get(alias) is None
    await put("text", alias)
    assert await get(alias) == "text"
    assert caches[alias].get("key") == "text"
    await delete(CacheDelete(alias, "key"))
    assert await get(alias) is None
    assert log() == []


@pytest.mark.parametrize("value", [b"text", 1, None, ["text"], {"text": "text"}])
async def test_what_is_no_text_is_a_miss(value: Any) -> None:
    """Who shares the cache may have written it."""
    caches["default"].set("key", value)
    assert await get("default") is None


@pytest.mark.parametrize(("seconds", "kept"), [(1, 1), (2.9, 2), (60.0, 60)])
async def test_lifetime_is_rounded_down(seconds: float, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """R70: nothing is kept longer than requested."""
    lifetimes: list[Any] = []
    monkeypatch.setattr(LocMemCache, "set", lambda self, key, value, timeout: lifetimes.append(timeout))
    await put(alias="default", seconds=seconds)
    assert lifetimes == [kept]
    assert type(lifetimes[0]) is int


@pytest.mark.parametrize("seconds", [0.99, 0, -1])
async def test_what_would_be_gone_at_once_is_not_written(seconds: float) -> None:
    """Django takes no time, or less, for an order to delete."""
    await put(seconds=seconds)
    assert ScriptedCache.calls == []


@pytest.mark.parametrize("alias", ["default", "scripted"])
async def test_what_is_added_once(alias: str, log: Any) -> None:
    """R96: only the first of those who add a key has added it."""
    assert await put_new(alias=alias) is True
    assert await put_new(alias=alias) is False
    assert await put_new("another", alias=alias) is True
    assert sorted(await asyncio.gather(*(put_new("same", alias=alias) for _ in range(20)))) == [False] * 19 + [True]
    assert log() == []


@pytest.mark.parametrize(("seconds", "kept"), [(-1, 1), (0.1, 1), (1, 1), (1.1, 2), (60.0, 60)])
async def test_lifetime_of_what_is_added_is_rounded_up(
    seconds: float, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R96: a proof is not forgotten before it expires."""
    lifetimes: list[Any] = []
    monkeypatch.setattr(LocMemCache, "add", lambda self, key, value, timeout: lifetimes.append(timeout) or True)
    assert await put_new(alias="default", seconds=seconds) is True
    assert lifetimes == [kept]


@pytest.mark.parametrize(
    ("returned", "is_there", "expected"),
    [(1, False, True), (0, True, False), (None, True, False), (0, False, None), (None, False, None)],
)
async def test_what_backends_return(
    returned: Any, is_there: bool, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E23: a backend that hides its errors has not said that the key is new, nor that it was there before."""
    if is_there:
        caches["default"].set("key", "1")
    monkeypatch.setattr(LocMemCache, "add", lambda self, *args: returned)
    assert await put_new(alias="default") is expected


async def test_adding_fails(script: Any, log: Any) -> None:
    """E23: after an error, it is not known whether the key is new. The log says what follows from that."""

    def fail() -> None:
        raise OSError("secret text")

    script(fail)
    assert await put_new() is None
    assert await put_new() is None
    assert log() == ["WARNING Refusing requests with DPoP proofs, because the cache 'scripted' does not work: OSError"]
    # The other operations have threads and a state of their own.
    assert await get() is None
    assert log() == ["WARNING Continuing without the cache 'scripted': OSError"]
    script(lambda: None)
    assert await put_new() is True


async def test_adding_hangs(hanging: Hanging, monkeypatch: pytest.MonkeyPatch, log: Any) -> None:
    """E23: a cache that does not respond in time has not said that the key is new."""
    monkeypatch.setattr(django_cache._Store, "deadline", 0.05)
    assert await put_new() is None
    assert await put_new() is None
    assert ScriptedCache.calls[0][0] == "add"
    assert len(ScriptedCache.calls) == 1
    [line] = log()
    assert line.endswith("because the cache 'scripted' does not work: no response within 0.05 s")
    assert django_cache._stores["scripted"].is_hanging
    assert not django_cache._pools["scripted"].is_hanging


async def test_many_wait_to_add(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """E23: requests wait for the cache, many more than for an introspection result. But there is a limit."""
    tasks = [asyncio.create_task(put_new(f"key-{number}")) for number in range(3 * django_cache.MAX_WAITING)]
    await hanging.arrival(django_cache.THREADS)
    monkeypatch.setattr(django_cache._Store, "max_waiting", 10)
    assert await put_new("too-many") is None
    hanging.let_go()
    assert await asyncio.gather(*tasks) == [True] * len(tasks)


class SecretError(Exception):
    """An error that quotes what was to be written."""


@pytest.mark.parametrize("kind", [SecretError, OSError, SystemExit, KeyboardInterrupt, StopIteration])
async def test_errors_are_misses_and_logged_once_in_a_row(kind: type[BaseException], script: Any, log: Any) -> None:
    """E22: by the name of their class alone, and again after the cache had been well."""

    def fail() -> None:
        raise kind("secret text")

    for _ in range(2):
        script(fail)
        assert await get() is None
        await put()
        await delete(CacheDelete("scripted", "key"))
        assert log() == [f"WARNING Continuing without the cache 'scripted': {kind.__name__}"]
        script(lambda: None)
        await put()
        assert await get() == "text"
        assert log() == []


@pytest.mark.parametrize(
    ("alias", "error"), [("unknown", "InvalidCacheBackendError"), ("missing", "InvalidCacheBackendError")]
)
async def test_caches_that_do_not_exist(alias: str, error: str, log: Any) -> None:
    """A mistake in the settings refuses nobody either, but is logged."""
    assert [await get(alias) for _ in range(2)] == [None, None]
    assert log() == [f"WARNING Continuing without the cache {alias!r}: {error}"]


async def test_hanging_cache_costs_one_deadline(hanging: Hanging, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """E22: then it is left alone for a while, and all are misses at once; other caches are not concerned."""
    with monkeypatch.context() as patch:
        patch.setattr(django_cache._Cache, "deadline", 0.02)
        assert await get() is None
    assert log() == ["WARNING Continuing without the cache 'scripted': no response within 0.02 s"]
    assert [await get() for _ in range(100)] == [None] * 100
    assert len(ScriptedCache.calls) <= 1
    await put(alias="default")
    assert await get("default") == "text"
    assert log() == []


async def test_after_the_pause_one_tries(
    hanging: Hanging, hang_once: Any, pass_deadline: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E22: the others do not wait with it. Once it is answered, the cache is used again."""
    clock = Clock(monkeypatch)
    await hang_once()
    clock.now += django_cache.PAUSE - 0.1
    assert await get() is None
    assert len(ScriptedCache.calls) == 1
    clock.now += 0.2
    trying = asyncio.create_task(get())
    await hanging.arrival()
    assert await asyncio.gather(*(get() for _ in range(10))) == [None] * 10
    pass_deadline()
    assert await trying is None
    assert len(ScriptedCache.calls) == 2
    hanging.let_go()
    clock.now += django_cache.PAUSE
    await put()
    assert await asyncio.gather(*(get() for _ in range(10))) == ["text"] * 10
    assert len(log()) == 1


class Clock:
    """The time that the module sees; real waiting is not affected."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(django_cache, "time", self)

    def monotonic(self) -> float:
        return self.now


async def test_stuck_threads_are_replaced_so_many_times(
    hanging: Hanging, hang_once: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E22: with that many, all are misses at once, until one of them returns."""
    monkeypatch.setattr(django_cache, "PAUSE", -1)
    for _ in range(django_cache.MAX_ABANDONED):
        await hang_once()
    for _ in range(3):
        assert await get() is None
    assert len(ScriptedCache.calls) == len(threads()) == django_cache.MAX_ABANDONED
    assert len(log()) == 1
    stuck = threads()
    hanging.is_on = False
    hanging.permits.release()
    async with asyncio.timeout(PATIENCE):
        while all(thread.is_alive() for thread in stuck):
            await asyncio.sleep(0.001)
    await put()
    assert await get() == "text"


async def test_late_answer_is_not_taken(hanging: Hanging, hang_once: Any) -> None:
    """The thread that gives it ends; nobody waits for it any more."""
    await hang_once()
    (thread,) = threads()
    hanging.let_go()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert ScriptedCache.closed == [thread]
    assert django_cache._pools["scripted"].is_hanging


async def test_four_threads_at_most(hanging: Hanging) -> None:
    """The others wait their turn, within their deadline."""
    tasks = [asyncio.create_task(get()) for _ in range(20)]
    await hanging.arrival(4)
    assert len(threads()) == len(ScriptedCache.calls) == django_cache.THREADS
    hanging.let_go()
    assert await asyncio.gather(*tasks) == [None] * 20
    assert len(ScriptedCache.calls) == 20


async def test_who_waits_for_a_thread_has_a_deadline_too(
    hanging: Hanging, pass_deadline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not begun by then is not begun later."""
    monkeypatch.setattr(django_cache, "PAUSE", -1)
    tasks = [asyncio.create_task(get()) for _ in range(20)]
    await hanging.arrival(django_cache.THREADS)
    pass_deadline()
    assert await asyncio.gather(*tasks) == [None] * 20
    hanging.let_go()
    await get()
    await asyncio.to_thread(end)
    assert len(ScriptedCache.calls) == django_cache.THREADS + 1


async def test_full_queue(hanging: Hanging, log: Any) -> None:
    """E22: one more is a miss at once."""
    tasks = [asyncio.create_task(get()) for _ in range(django_cache.THREADS)]
    await hanging.arrival(django_cache.THREADS)
    tasks += [asyncio.create_task(get()) for _ in range(django_cache.MAX_WAITING)]
    await asyncio.sleep(0)
    assert await get() is None
    assert not any(task.done() for task in tasks)
    assert log() == ["WARNING Continuing without the cache 'scripted': too many operations are waiting"]
    hanging.let_go()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_leaves_no_thread_behind(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is stuck is replaced, though nobody waits for it any more."""
    monkeypatch.setattr(django_cache._Cache, "deadline", 0.5)
    task = asyncio.create_task(get())
    await hanging.arrival()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pool = django_cache._pools["scripted"]
    async with asyncio.timeout(PATIENCE):
        while not pool.abandoned:
            await asyncio.sleep(0.001)
    assert pool.is_hanging
    assert pool.threads == set()


async def test_answer_for_who_was_cancelled(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dropped, and the thread goes on."""
    monkeypatch.setattr(django_cache, "THREADS", 1)
    task = asyncio.create_task(get())
    await hanging.arrival()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hanging.let_go()
    assert await get() is None
    assert len({thread for _, thread in ScriptedCache.calls}) == 1


async def test_deadline_of_who_has_been_answered(jobs: list[Any], pass_deadline: Any) -> None:
    """A thread may answer just before the deadline, and the loop hear of it just after: the thread is not stuck."""
    await put()
    pass_deadline()
    pool = django_cache._pools["scripted"]
    assert (len(jobs), pool.is_hanging, len(pool.threads), len(pool.abandoned)) == (1, False, 1, 0)


def test_answer_for_a_loop_that_has_closed(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dropped, and the thread serves the next loop."""
    monkeypatch.setattr(django_cache, "THREADS", 1)

    async def ask_and_leave() -> None:
        task = asyncio.create_task(get())
        await hanging.arrival()
        task.cancel()

    asyncio.run(ask_and_leave())
    hanging.let_go()
    asyncio.run(put())
    assert asyncio.run(get()) == "text"
    assert len({thread for _, thread in ScriptedCache.calls}) == 1


async def test_thread_keeps_its_cache_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection of the backend's serves many operations, and is closed with the thread."""
    monkeypatch.setattr(django_cache, "THREADS", 1)
    for _ in range(5):
        await put()
    (thread,) = threads()
    assert len(ScriptedCache.made) == 1
    await asyncio.to_thread(close)
    assert ScriptedCache.closed == [thread]


async def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next operation starts anew."""
    monkeypatch.setattr(workers, "IDLE_TIMEOUT", 0.01)
    await put()
    for thread in threads():
        await asyncio.to_thread(thread.join, PATIENCE)
    assert threads() == []
    assert await get() == "text"


async def test_nothing_is_kept_while_a_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written may be about a person, and stays no longer than in the cache."""
    monkeypatch.setattr(workers, "IDLE_TIMEOUT", PATIENCE)

    class Text(str):
        __slots__ = ("__weakref__",)

    text = Text("text")
    gone = weakref.ref(text)
    await put(text, "default")
    del text
    async with asyncio.timeout(PATIENCE):
        while gone() is not None:
            await asyncio.sleep(0.001)
            gc.collect()
    assert len(threads()) == 1


async def test_threads_see_no_context_of_callers(script: Any) -> None:
    """A tenant that a request has set is nobody else's."""
    variable = contextvars.ContextVar("tenant", default="none")
    seen: list[str] = []
    script(lambda: seen.append(variable.get()))
    variable.set("alice")
    await get()
    assert seen == ["none"]


async def test_process_with_too_many_threads(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """E22: a miss as well."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert await get() is None
    assert log() == ["WARNING Continuing without the cache 'scripted': no thread is free"]
    await put()
    assert await get() == "text"


async def test_close_lets_threads_finish(hanging: Hanging) -> None:
    """What was queued is still done."""
    tasks = [asyncio.create_task(put()) for _ in range(6)]
    await hanging.arrival(4)
    closed = asyncio.create_task(asyncio.to_thread(close))
    async with asyncio.timeout(PATIENCE):
        while django_cache._pools:
            await asyncio.sleep(0.001)
    hanging.let_go()
    await closed
    await asyncio.gather(*tasks)
    assert [method for method, _ in ScriptedCache.calls] == ["set"] * 6


async def test_close_does_not_wait_long(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process ends though its cache hangs."""
    monkeypatch.setattr(workers, "CLOSE_TIMEOUT", 0.02)
    task = asyncio.create_task(get())
    await hanging.arrival()
    start = time.monotonic()
    close()
    assert time.monotonic() - start < 1
    hanging.let_go()
    await task


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork(hanging: Hanging) -> None:
    """A forked child starts its own threads, whatever its parent's were doing."""

    async def fork_while_a_thread_is_busy() -> int:
        task = asyncio.create_task(get())
        await hanging.arrival()
        child = os.fork()
        if child == 0:
            os._exit(run_in_child(hanging))
        hanging.let_go()
        await task
        return child

    child = asyncio.run(fork_while_a_thread_is_busy())
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def run_in_child(hanging: Hanging) -> int:
    found: list[Any] = []

    async def use() -> None:
        await put(alias="default")
        found.append(await get("default"))

    hanging.let_go()
    # The parent's loop counts as running here.
    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    thread.join(PATIENCE)
    return 0 if found == ["text"] and list(django_cache._pools) == ["default"] else 1


# Caches that are servers


@pytest.fixture
def database_cache(settings: Any, tmp_path: Any, django_db_blocker: Any) -> Iterator[str]:
    """A cache in a separate SQLite file."""
    alias = "for the cache"
    options = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "cache.sqlite3")}
    configured = connections.configure_settings({"default": {}, alias: options})
    connections.databases[alias] = configured[alias]
    router = type("Router", (), {"db_for_read": lambda *_, **__: alias, "db_for_write": lambda *_, **__: alias})
    settings.DATABASE_ROUTERS = [router()]
    settings.CACHES = {"database": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "kept"}}
    with django_db_blocker.unblock():
        call_command("createcachetable", "--database", alias, verbosity=0)
        yield "database"
        end()
        connections[alias].close()
    del connections[alias], connections.databases[alias]


@pytest.fixture
def opened() -> Iterator[list[BaseDatabaseWrapper]]:
    """The connections that Django opens."""
    seen: list[BaseDatabaseWrapper] = []

    def note(connection: BaseDatabaseWrapper, **_: Any) -> None:
        seen.append(connection)

    connection_created.connect(note, weak=False, dispatch_uid="shared cache")
    yield seen
    connection_created.disconnect(dispatch_uid="shared cache")


async def test_cache_in_a_database(database_cache: str, opened: list[Any], log: Any) -> None:
    """Its connections are closed before anyone hears the answer: nothing keeps a database from being dropped."""
    await put(alias=database_cache)
    assert await get(database_cache) == "text"
    assert len(opened) == 2
    assert [connection.connection for connection in opened] == [None, None]
    assert log() == []


async def test_cache_in_a_database_in_memory(
    database_cache: str, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django leaves its connections open, which would be a leak at the end of the thread."""
    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.sqlite3.base.DatabaseWrapper.is_in_memory_db", lambda self: True)
        await get(database_cache)
    assert [connection.connection for connection in opened] == [None]


async def test_connection_that_cannot_be_closed(
    database_cache: str, opened: list[Any], log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the requested entry."""
    await put(alias=database_cache)

    def fail(self: Any) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.sqlite3.base.DatabaseWrapper.close", fail)
        assert await get(database_cache) == "text"
    assert [connection.connection for connection in opened] == [None, None]
    assert log() == []


@pytest.fixture
def redis_url() -> str:
    """The URL of a Redis server that answers."""
    url = os.environ.get(REDIS_VARIABLE) or "redis://127.0.0.1:6379"
    try:
        import redis

        with closing(redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)) as client:
            client.ping()
    except Exception as error:
        reason = f"no redis at {url} ({type(error).__name__}); {REDIS_VARIABLE} may hold its URL"
        if services_are_required():
            pytest.fail(reason)
        pytest.skip(reason)
    return url


async def test_redis(redis_url: str, settings: Any, log: Any) -> None:
    """E22: what is written is read until it is deleted."""
    prefix = f"oauth-guard-tests-{os.getpid()}"
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {"redis": {"BACKEND": backend, "LOCATION": redis_url, "KEY_PREFIX": prefix}}
    assert await get("redis") is None
    await put(alias="redis")
    assert await asyncio.gather(*(get("redis") for _ in range(20))) == ["text"] * 20
    await delete(CacheDelete("redis", "key"))
    assert await get("redis") is None
    assert log() == []


async def test_redis_that_hangs_and_returns(
    settings: Any, log: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """E22: a stopped process takes connections and answers nothing; once it goes on, the cache is used again."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("no redis-server to start and to stop")
    pytest.importorskip("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        backend = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {"redis": {"BACKEND": backend, "LOCATION": f"redis://127.0.0.1:{port}"}}
        async with asyncio.timeout(PATIENCE):
            while await get("redis") != "text":
                await put(alias="redis")
        log()
        monkeypatch.setattr(django_cache, "PAUSE", 0.3)
        monkeypatch.setattr(django_cache._Cache, "deadline", 0.25)
        process.send_signal(signal.SIGSTOP)
        assert [await get("redis") for _ in range(3)] == [None] * 3
        assert log() == ["WARNING Continuing without the cache 'redis': no response within 0.25 s"]
        process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(PATIENCE):
            while await get("redis") != "text":
                await asyncio.sleep(0.01)
        process.terminate()
        process.wait(PATIENCE)
        assert await get("redis") is None
        assert log() == ["WARNING Continuing without the cache 'redis': ConnectionError"]
    finally:
        process.kill()
        process.wait(PATIENCE)
        await asyncio.to_thread(end)
