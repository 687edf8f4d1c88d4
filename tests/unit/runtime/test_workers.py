"""The daemon threads that work for event loops."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
import types
import weakref
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from async_oauth_guard.runtime import django_cache, event_loop
from async_oauth_guard.runtime.database import threads
from async_oauth_guard.runtime.effects import CacheRead, SingleFlight, StartBackground
from async_oauth_guard.runtime.workers import Job, WorkerPool, WorkerPools, check_threads

PATIENCE = 10.0
ROOT = Path(__file__).resolve().parents[3]

UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
from django.conf import settings
settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "oauth2_provider"]
django.setup()

from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.http import JsonResponse
from django.test import Client
from django.urls import path
from async_oauth_guard import BearerTokenValidator, IntrospectTokenValidator, ResourceProtector
from tests.site.models import OAuth2Token

def view(request):
    return JsonResponse({})

introspected = ResourceProtector(
    IntrospectTokenValidator("http://127.0.0.1:1/", client_id="api", client_secret="its", audience=None)
)
stored = ResourceProtector(BearerTokenValidator(OAuth2Token))

class URLs:
    urlpatterns = [
        path("introspected/", introspected(view)),
        path("stored/", stored(view)),
    ]

settings.ROOT_URLCONF = URLs
call_command("migrate", run_syncdb=True, verbosity=0)
OAuth2Token.objects.create(access_token="good", expires_at=2**33)
for address in ("/introspected/", "/introspected/", "/stored/"):
    try:
        print(Client().get(address, headers={"authorization": "Bearer good"}).status_code)
    except ImproperlyConfigured as error:
        print(error)
"""


def cure(library: str) -> str:
    """What the error says."""
    return (
        f"async_oauth_guard needs Python's own threads here, but {library} has replaced them. "
        "Use another worker class: gunicorn's gthread for WSGI, uvicorn_worker.UvicornWorker for ASGI."
    )


def test_gevent_is_refused_at_first_use() -> None:
    """Under gevent, introspection says at each request what to use instead; stored tokens work."""
    command = [sys.executable, "-W", "error", "-c", UNDER_GEVENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [cure("gevent")] * 2 + ["200"]


def replace_threads(monkeypatch: pytest.MonkeyPatch, module: str, function: str, *names: str) -> None:
    """As after the import of ``module``, whose ``function`` says that it has replaced the modules ``names``."""
    patcher: Any = types.ModuleType(module)
    setattr(patcher, function, names.__contains__)
    monkeypatch.setitem(sys.modules, module, patcher)


PATCHERS = {
    "gevent": ("gevent.monkey", "is_module_patched", "threading"),
    "eventlet": ("eventlet.patcher", "is_monkey_patched", "thread"),
}


@pytest.mark.parametrize("library", PATCHERS)
def test_replaced_threads_are_refused(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever library has replaced Python's threads, the error names it and what to use instead."""
    replace_threads(monkeypatch, *PATCHERS[library])
    with pytest.raises(ImproperlyConfigured) as caught:
        check_threads()
    assert str(caught.value) == cure(library)


@pytest.mark.parametrize("library", PATCHERS)
def test_other_replacements_do_not_matter(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is imported, or has replaced sockets only, leaves Python's threads as they are."""
    replace_threads(monkeypatch, *PATCHERS[library][:2], "socket")
    check_threads()


def test_everything_with_a_thread_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls to servers, the shared cache and shared lookups raise it, each time, and leave no event loop open."""
    event_loop.close()
    threads.close()
    replace_threads(monkeypatch, *PATCHERS["gevent"])
    batch: Any = types.SimpleNamespace(alias="default")
    asks: list[Any] = [
        lambda: event_loop.run_single_flight(SingleFlight("key", list, 1.0)),
        lambda: asyncio.run(event_loop.arun_single_flight(SingleFlight("key", list, 1.0))),
        lambda: event_loop.start(StartBackground(SingleFlight("key", list, 1.0))),
        lambda: asyncio.run(django_cache.read(CacheRead("default", "key"))),
        lambda: threads.submit(batch),
    ]
    for ask in asks * 2:
        with pytest.raises(ImproperlyConfigured, match="gevent has replaced them"):
            ask()


class Failing(Job):
    """Raises, with itself in the frames of the traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.is_delivered = threading.Event()

    def perform(self) -> Any:
        raise ValueError

    def deliver(self, result: Any) -> None:
        assert type(result) is ValueError
        self.is_delivered.set()


def test_failed_job_is_not_kept() -> None:
    """When a job has failed, its thread goes on, and nothing holds the job or what it was to write."""
    pool = WorkerPool("failing", max_threads=1, max_abandoned=1)
    gc.disable()
    try:
        for _ in range(2):
            job = Failing()
            gone, is_delivered = weakref.ref(job), job.is_delivered
            assert pool.submit(job)
            del job
            assert is_delivered.wait(PATIENCE)
            deadline = time.monotonic() + PATIENCE
            while gone() is not None and time.monotonic() < deadline:
                time.sleep(0.001)
            assert gone() is None
            assert len(pool.threads) == 1
    finally:
        gc.enable()
        (thread,) = pool.close()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (pool.pending, pool.threads, pool.abandoned) == (0, set(), set())


def test_pools_end_together() -> None:
    """All pools are signalled to end before anyone waits for a thread, so all of them share one timeout."""
    pools: WorkerPools[WorkerPool] = WorkerPools(lambda name: WorkerPool(name, max_threads=1, max_abandoned=1))
    jobs = [Failing() for _ in range(3)]
    assert all(pools[str(number)].submit(job) for number, job in enumerate(jobs))
    kept = [*pools.values()]
    pools.close()
    assert [*pools] == []
    assert [pool.threads for pool in kept] == [set()] * 3
    assert all(job.is_delivered.is_set() for job in jobs)
