"""Guarded sync and async views, the authorization server that they call, and the cache that workers share."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.cache import caches
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from async_oauth_guard import ResourceProtector
from async_oauth_guard.authorization_server import backoff
from async_oauth_guard.runtime import event_loop
from tests import asgi, wsgi
from tests.answers import Answer, bearer
from tests.conftest import services_are_required
from tests.faults import FaultServer
from tests.remote.authority import CLIENT_SECRET, SUBJECT, TIMEOUT, Authority
from tests.sites import Urls, Witness

PATIENCE = 30.0
REDIS_VARIABLE = "OAUTH_GUARD_TEST_REDIS"
# Beyond a deadline: for the rest of the request, on a machine that is busy.
SLACK = 0.45
# The status of an answer that nobody got.
GONE = 499


@pytest.fixture(autouse=True)
def _all_is_closed() -> Iterator[None]:
    """Each test begins without connections, and leaves none."""
    yield
    event_loop.close()


@pytest.fixture(autouse=True)
def quick_backoff(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wait after a failure is a twentieth of a second, but for the tests that are about the real one."""
    if "real_backoff" not in request.fixturenames:
        monkeypatch.setattr(backoff, "SHORTEST_WAIT", 0.05)


@pytest.fixture
def real_backoff() -> None:
    """The first wait is as long as it is for users."""


@pytest.fixture
def authority() -> Iterator[Authority]:
    """An authorization server that is well."""
    with FaultServer() as server:
        yield Authority(server)


@dataclass
class Guarded:
    """A guarded view, and how often it was entered."""

    path: str
    mode: str
    witness: Witness = field(default_factory=Witness)

    @property
    def entered(self) -> int:
        return self.witness.entered

    def get(self, token: str) -> Answer:
        """The answer to one request, on a separate event loop or thread."""
        return SERVERS[self.mode](self.path, bearer(token))

    def get_all(self, tokens: Sequence[str]) -> list[Answer]:
        """The answers to requests that are made at once: on one loop, or each on a thread."""
        if self.mode == "async def":
            return asyncio.run(self.aget_all(tokens))
        with ThreadPoolExecutor(len(tokens)) as pool:
            return list(pool.map(self.get, tokens))

    async def aget_all(self, tokens: Sequence[str]) -> list[Answer]:
        return await asyncio.gather(*(asgi.request(self.path, bearer(token)) for token in tokens))


async def request_until(path: str, token: str, left: asyncio.Event) -> Answer:
    """A request of a client that goes when ``left`` is set. Status 499 says that nobody was answered."""
    is_answered = False

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal is_answered
        received: list[Any] = []

        async def receive_or_leave() -> Any:
            if not received:
                received.append(await receive())
                return received[0]
            await left.wait()
            return {"type": "http.disconnect"}

        async def send_and_note(message: Any) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        await ASGIHandler()(scope, receive_or_leave, send_and_note)
        if not is_answered:
            await send({"type": "http.response.start", "status": GONE, "headers": []})

    return await asgi.request(path, bearer(token), application=application)


SERVERS: dict[str, Callable[..., Answer]] = {"def": wsgi.send, "async def": asgi.send}


class Site:
    """Views of one kind: async views are called through ASGI, sync views through WSGI."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.urls = Urls(path("plain/", _plain if mode == "def" else _aplain))

    def guard(self, *validators: Any, cache: str | None = None, **requirements: Any) -> Guarded:
        """A view with a separate protector, as in another site or another worker."""
        guarded = Guarded(f"/{len(self.urls.urlpatterns)}/", self.mode)
        protector = ResourceProtector(*validators, cache=cache)
        view = protector("profile", **requirements)(guarded.witness.view(self.mode))
        self.urls.urlpatterns.append(path(guarded.path.removeprefix("/"), view))
        return guarded

    def plain(self) -> Answer:
        """The answer of a view that nobody guards."""
        return SERVERS[self.mode]("/plain/")


def _plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


async def _aplain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    with override_settings(ROOT_URLCONF=site.urls):
        yield site


@pytest.fixture(params=["async def", "def"], ids=["async", "sync"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Once with async views behind ASGI, once with sync views behind WSGI."""
    with serve(Site(request.param)) as site:
        yield site


@pytest.fixture
def async_site() -> Iterator[Site]:
    """Async views behind ASGI."""
    with serve(Site("async def")) as site:
        yield site


@pytest.fixture
def sync_site() -> Iterator[Site]:
    """Sync views behind WSGI."""
    with serve(Site("def")) as site:
        yield site


# --- what holds of answers -------------------------------------------------------------------------------------------


def check_unavailable(answer: Answer, *tokens: str) -> None:
    """E15 to E17: the token was not judged, and nothing says that it is at fault."""
    assert answer.status == 503
    assert answer.lines("WWW-Authenticate") == []
    assert 1 <= int(answer.header("Retry-After") or "") <= 120
    assert answer.header("Cache-Control") == "no-store"
    assert answer.json["error"] == "temporarily_unavailable"
    check_secretive(answer.text, *tokens)


def check_refused(answer: Answer, *tokens: str) -> None:
    """E5: the token was validated and refused."""
    assert answer.status == 401
    assert [challenge.parameters["error"] for challenge in answer.challenges] == ["invalid_token"]
    assert answer.header("Retry-After") is None
    check_secretive(answer.text, *tokens)


def check_secretive(text: str, *tokens: str) -> None:
    """R31, R75: nothing of a token, of our own secret, or of a person is to be read there."""
    parts = [part for token in tokens for part in [token, *token.split(".")] if len(part) > 8]
    found = [result for result in (*parts, CLIENT_SECRET, CLIENT_SECRET.split()[0], SUBJECT) if result in text]
    assert found == []


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What happens here is over in time."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def within_deadline(timeout: float = TIMEOUT) -> Any:
    return within(timeout + SLACK)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when this holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_for_waiters(number: int, *, answered: Sequence[Any] = ()) -> None:
    """Return when so many requests wait for what is under way, or are among those that were ``answered``."""
    wait_until(lambda: len(answered) + _waiting() >= number)


def _waiting() -> int:
    outgoing = event_loop._outgoing
    return sum(len(run.waiters) for run in [*outgoing.shared_runs.values()]) if outgoing else 0


def advance(seconds: float) -> None:
    """Let so many seconds pass at once for the deadlines of calls, but not for the requests that wait for them."""
    loop: Any = event_loop._outgoing.loop  # type: ignore[union-attr]
    now = loop.time
    # On the loop, so that calls which wait to be begun have their deadline before.
    loop.call_soon_threadsafe(setattr, loop, "time", lambda: now() + seconds)


def eventually(ask: Callable[[], Answer], status: int, *meanwhile: int, within: float = 4.0) -> Answer:
    """The first answer of that status; those before it are of a status of ``meanwhile``, or else of 503."""
    deadline = time.monotonic() + within
    answer = ask()
    while answer.status != status and time.monotonic() < deadline:
        assert answer.status in (meanwhile or (503,))
        time.sleep(0.02)
        answer = ask()
    assert answer.status == status
    return answer


# --- the cache that workers share ------------------------------------------------------------------------------------


def redis_caches(url: str, prefix: str = "") -> dict[str, Any]:
    backend = "django.core.cache.backends.redis.RedisCache"
    return {"default": {"BACKEND": backend, "LOCATION": url, "KEY_PREFIX": prefix}}


@contextmanager
def sharing(configuration: dict[str, Any]) -> Iterator[Any]:
    """While this lasts the site has these caches. Gives the default one."""
    with override_settings(CACHES=configuration):
        try:
            yield caches["default"]
        finally:
            # What speaks to the caches ends before they do.
            event_loop.close()


@pytest.fixture
def shared() -> Iterator[Any]:
    """A cache in memory, as the one that workers share."""
    backend = "django.core.cache.backends.locmem.LocMemCache"
    with sharing({"default": {"BACKEND": backend, "LOCATION": uuid.uuid4().hex}}) as cache:
        yield cache


def _unavailable(reason: str) -> None:
    if services_are_required():
        pytest.fail(reason)
    pytest.skip(reason)


def connect(url: str) -> Any:
    """A client of redis-py's."""
    import redis

    return redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The URL of a Redis server that answers."""
    url = os.environ.get(REDIS_VARIABLE) or "redis://127.0.0.1:6379/0"
    try:
        with closing(connect(url)) as client:
            client.ping()
    except Exception as error:
        _unavailable(f"no redis at {url} ({type(error).__name__}); {REDIS_VARIABLE} may hold its URL")
    return url


@contextmanager
def prefixed(redis_url: str) -> Iterator[str]:
    """What keys begin with that are gone at the end."""
    prefix = f"oauth-guard-tests-{uuid.uuid4().hex}"
    yield prefix
    with closing(connect(redis_url)) as client:
        for key in client.scan_iter(match=f"{prefix}*"):
            client.delete(key)


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """What the keys of this test begin with; they are gone when it ends."""
    with prefixed(redis_url) as prefix:
        yield prefix


class PrivateRedis:
    """A Redis server of a test's own, to be stopped, frozen and started again on the same port."""

    def __init__(self, program: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with closing(connect(self.url)) as client:
                    client.ping()
                return
            except Exception:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.01)

    def freeze(self) -> None:
        """It takes connections, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Connections are refused, and what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture
def private_redis() -> Iterator[PrivateRedis]:
    """A Redis server for this test alone."""
    program = shutil.which("redis-server")
    if program is None:
        _unavailable("no redis-server to start and to stop")
    try:
        import redis  # noqa: F401
    except ImportError:
        _unavailable("no redis-py")
    server = PrivateRedis(program or "")
    try:
        server.start()
        yield server
    finally:
        server.kill()
