"""Daemon threads for work that must not run on a request's thread or event loop.

A pool has a queue and a few threads. A thread ends when it has had nothing to do for a second. A thread that is stuck
with a job is abandoned at the job's deadline, and another thread replaces it.
"""

import asyncio
import atexit
import contextlib
import contextvars
import queue
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .forking import renew_in_child

__all__ = [
    "CLOSE_TIMEOUT",
    "IDLE_TIMEOUT",
    "Job",
    "WorkerPool",
    "WorkerPools",
    "call_on_loop",
    "check_threads",
    "close_connections",
    "start_thread",
]

IDLE_TIMEOUT = 1.0
"""Seconds without work after which a thread closes its connections and ends."""

CLOSE_TIMEOUT = 2.0
"""Maximum seconds that `close` waits for threads that are performing a job."""

Pool = TypeVar("Pool", bound="WorkerPool")

# For each library: its name, the module and the function that say what it has patched, and its name for threads.
_REPLACEMENTS = [
    ("gevent", "gevent.monkey", "is_module_patched", "threading"),
    ("eventlet", "eventlet.patcher", "is_monkey_patched", "thread"),
]


def check_threads() -> None:
    """Check that Python's threads are real threads.

    Raises:
        ImproperlyConfigured: gevent or eventlet has patched them. An event loop in a patched thread would block the
            whole process, or run where Django refuses queries.
    """
    for library, module, function, name in _REPLACEMENTS:
        # Never import it here: a library that has patched threads is already loaded.
        if module in sys.modules and getattr(sys.modules[module], function)(name):
            raise ImproperlyConfigured(
                f"async_oauth_guard needs Python's own threads here, but {library} has replaced them. "
                "Use another worker class: gunicorn's gthread for WSGI, uvicorn_worker.UvicornWorker for ASGI."
            )


def start_thread(run: Callable[[], object], name: str) -> threading.Thread | None:
    """Start a daemon thread, or return ``None`` if the process has too many threads or is about to end.

    Raises:
        ImproperlyConfigured: see `check_threads`.
    """
    check_threads()
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def call_on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: Any) -> bool:
    """Call ``function`` on ``loop`` in a new context. Return ``False`` if the loop is closed."""
    try:
        loop.call_soon_threadsafe(function, *arguments, context=contextvars.Context())
    except RuntimeError:
        return False
    return True


def close_connections() -> None:
    """Close the database connections of this thread."""
    for connection in connections.all(initialized_only=True):
        # Ignore errors: the work is done or its error is known, and Django forgets the connection.
        with contextlib.suppress(Exception):
            connection.close()
        if connection.connection is not None:
            # Django's `close()` keeps a connection to an in-memory SQLite database open. This one must end here.
            BaseDatabaseWrapper.close(connection)


# No `repr`: jobs contain tokens.
@dataclass(eq=False, repr=False, slots=True)
class Job(ABC):
    """Work for a thread of a pool. Only the pool sets the attributes."""

    pool: "WorkerPool" = field(init=False)
    thread: threading.Thread | None = field(default=None, init=False)
    is_over: bool = field(default=False, init=False)

    @abstractmethod
    def perform(self) -> Any:
        """Do the work. Called on a thread of the pool."""

    @abstractmethod
    def deliver(self, result: Any) -> object:
        """Receive what `perform` returned or raised. Called on the same thread, unless the job was abandoned."""


class WorkerPool:
    """A queue of jobs and the threads that perform them. Attributes change only under ``lock``."""

    def __init__(self, name: str, *, max_threads: int, max_abandoned: int) -> None:
        self.name = name
        self.max_threads = max_threads
        self.max_abandoned = max_abandoned
        self.lock = threading.Lock()
        # ``None`` tells a thread to end.
        self.queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.threads: set[threading.Thread] = set()
        # Threads that take no more jobs: they are stuck, or about to end.
        self.abandoned: set[threading.Thread] = set()
        # The number of jobs that are neither performed nor abandoned.
        self.pending = 0

    @property
    def waiting(self) -> int:
        """The number of jobs that wait for a thread."""
        return max(self.pending - len(self.threads), 0)

    def submit(self, job: Job) -> bool:
        """Queue ``job``, or return ``False`` if no thread can perform it.

        Raises:
            ImproperlyConfigured: see `check_threads`.
        """
        with self.lock:
            self._start_thread(self.pending + 1)
            if not self.threads:
                return False
            self.pending += 1
            job.pool = self
            self.queue.put(job)
            return True

    def abandon(self, job: Job, *, replace: bool) -> bool:
        """Abandon ``job`` and the thread that is stuck with it. Return ``False`` if the job was performed meanwhile.

        With ``replace``, another thread starts at once if jobs are waiting. Otherwise it starts with the next job.
        """
        with self.lock:
            if not self._end(job):
                return False
            if job.thread is not None:
                self._abandon_thread(job.thread)
            if replace:
                self._start_thread(self.pending)
            return True

    def close(self) -> list[threading.Thread]:
        """Let the threads end once the queued jobs are done, and return them."""
        with self.lock:
            threads = [*self.threads]
            for _ in threads:
                self.queue.put(None)
            return threads

    def clean_up(self) -> None:
        """Close the connections of the current thread, which is about to end."""
        close_connections()

    def _start_thread(self, jobs: int) -> None:
        """Start another thread if there are more ``jobs`` than threads, unless too many threads are stuck."""
        if len(self.threads) < min(jobs, self.max_threads) and len(self.abandoned) < self.max_abandoned:
            # Run in an empty context: Python 3.14 can start threads in a copy of the caller's, which is one request's.
            thread = start_thread(lambda: contextvars.Context().run(self._serve), self.name)
            if thread is not None:
                self.threads.add(thread)

    def _abandon_thread(self, thread: threading.Thread) -> None:
        self.threads.discard(thread)
        self.abandoned.add(thread)

    def _serve(self) -> None:
        thread = threading.current_thread()
        # Runs until `queue.Empty` or an error. The error is not reported: a report could show the locals of each frame,
        # and some of these contain tokens.
        with contextlib.suppress(BaseException):
            while self._work(thread, self.queue.get(timeout=IDLE_TIMEOUT)):
                pass
        with self.lock:
            self._abandon_thread(thread)
            self._start_thread(self.pending)
        with contextlib.suppress(BaseException):
            self.clean_up()
        with self.lock:
            self.abandoned.discard(thread)
            self._start_thread(self.pending)

    def _work(self, thread: threading.Thread, job: Job | None) -> bool:
        """Perform ``job``. Return whether ``thread`` should continue."""
        if job is None:
            return False
        with self.lock:
            if job.is_over:
                return True
            job.thread = thread
        try:
            result = job.perform()
        except BaseException as error:
            # Drop the traceback: this frame would keep the job alive.
            result = error.with_traceback(None)
        with self.lock:
            if not self._end(job):
                return False
        job.deliver(result)
        return True

    def _end(self, job: Job) -> bool:
        if job.is_over:
            return False
        job.is_over = True
        self.pending -= 1
        return True


class WorkerPools(dict[str, Pool]):
    """One pool for each alias, created on first use. Pools end with the process; a forked child starts with none."""

    def __init__(self, make: Callable[[str], Pool]) -> None:
        super().__init__()
        self.make = make
        # Threads do not survive a fork, and one of them may have held a lock.
        renew_in_child(self.clear)
        atexit.register(self.close)

    def __missing__(self, alias: str) -> Pool:
        return self.setdefault(alias, self.make(alias))

    def close(self) -> None:
        """Stop the threads, for the teardown of tests and processes. The next job starts new threads.

        Waits up to `CLOSE_TIMEOUT` seconds for threads that are performing a job.
        """
        pools = [*self.values()]
        self.clear()
        deadline = time.monotonic() + CLOSE_TIMEOUT
        for thread in [thread for pool in pools for thread in pool.close()]:
            thread.join(max(deadline - time.monotonic(), 0))
