"""Redis as the cache that workers share: shared, frozen, killed, started again; and workers that are killed."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from async_oauth_guard.runtime import django_cache
from tests.answers import Answer, bearer
from tests.faults import Gated, Status
from tests.remote.authority import INTROSPECTION, KEYS, Authority, make_key
from tests.remote.conftest import (
    PATIENCE,
    PrivateRedis,
    Site,
    check_refused,
    check_secretive,
    connect,
    eventually,
    redis_caches,
    sharing,
    within_deadline,
)
from tests.servers import Server, serve

DEADLINE = 2 * django_cache.DEADLINE


@pytest.fixture
def redis(
    redis_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], dict[bytes, bytes]]]:
    """The site's default cache. Gives what this test has put there."""
    # A busy machine must not look like a server that hangs.
    monkeypatch.setattr(django_cache._Cache, "deadline", PATIENCE)
    with sharing(redis_caches(redis_url, redis_prefix)), closing(connect(redis_url)) as client:
        yield lambda: {key: client.get(key) for key in client.scan_iter(match=f"{redis_prefix}*", count=10_000)}


def test_shared(site: Site, authority: Authority, redis: Callable[[], dict[bytes, bytes]]) -> None:
    """A token and a key set that one worker learns of are known to the next; nothing of them can be read in Redis."""
    token, jwt = authority.opaque(), authority.jwt()
    for _ in range(3):
        guarded = site.guard(authority.verifying(), authority.introspecting(), cache="default")
        for good in (token, jwt):
            assert guarded.get(good).status == 200
        check_refused(guarded.get(authority.unknown()))
    assert authority.questions.count(token) == 1
    assert authority.fetches == 1
    kept = redis()
    assert len(kept) == 2
    names = " ".join(key.decode() for key in kept)
    check_secretive(
        names + " ".join(value.decode("latin-1") for value in kept.values()).replace("subject", ""), token, jwt
    )


def test_entries_end_with_the_token(
    site: Site, authority: Authority, redis: Callable[[], dict[bytes, bytes]], redis_url: str
) -> None:
    """R70: an entry does not outlive what it is about."""
    guarded = site.guard(authority.introspecting(cache_ttl=30), cache="default")
    assert guarded.get(authority.opaque(exp=int(time.time()) + 5)).status == 200
    assert guarded.get(authority.opaque()).status == 200
    with closing(connect(redis_url)) as client:
        left = sorted(client.ttl(key) for key in redis())
    assert left[0] <= 5
    assert 25 <= left[1] <= 30


# --- stopped in the middle -------------------------------------------------------------------------------------------


@pytest.fixture
def private(private_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateRedis]:
    """A Redis server that may be stopped, as the site's default cache."""
    monkeypatch.setattr(django_cache, "PAUSE", 0.2)
    with sharing(redis_caches(private_redis.url)):
        yield private_redis


def learn(site: Site, authority: Authority, token: str) -> None:
    """A new worker gets ``token``, and lets it in within the deadline."""
    guarded = site.guard(authority.verifying(), authority.introspecting(), cache="default")
    with within_deadline(DEADLINE):
        assert guarded.get(token).status == 200


def wait_until_shared(authority: Authority, show_two: Callable[[str], object]) -> None:
    """Wait until two workers that get the same token make one introspection call.

    A worker's first look into Redis may come too late on a busy machine, and then it leaves Redis alone a while.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        token = authority.opaque()
        show_two(token)
        if authority.questions.count(token) == 1:
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


OUTAGES: dict[str, tuple[Callable[[PrivateRedis], None], Callable[[PrivateRedis], None]]] = {
    "frozen": (PrivateRedis.freeze, PrivateRedis.thaw),
    "killed": (PrivateRedis.kill, PrivateRedis.start),
}


@pytest.mark.parametrize(("stop", "start"), OUTAGES.values(), ids=OUTAGES)
def test_stopped_in_the_middle(
    stop: Callable[[PrivateRedis], None],
    start: Callable[[PrivateRedis], None],
    site: Site,
    authority: Authority,
    private: PrivateRedis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """E22: a miss, within the deadline, for old and new tokens and for keys; used again as soon as it is back."""
    token, jwt = authority.opaque(), authority.jwt()
    known = site.guard(authority.introspecting(), cache="default")
    assert known.get(token).status == 200
    learn(site, authority, token)
    assert authority.questions == [token]
    stop(private)
    with within_deadline(0):
        assert known.get(token).status == 200
    for number in (2, 3):
        learn(site, authority, token)
        assert authority.questions == [token] * number
    learn(site, authority, jwt)
    with within_deadline(DEADLINE):
        check_refused(site.guard(authority.introspecting(), cache="default").get(authority.unknown()))
    start(private)
    wait_until_shared(authority, lambda token: [learn(site, authority, token) for _ in range(2)])
    warnings = [record for record in caplog.records if record.name == "async_oauth_guard.cache"]
    assert {record.levelname for record in warnings} == {"WARNING"}
    check_secretive(caplog.text, token, jwt)


def test_frozen_under_load(site: Site, authority: Authority, private: PrivateRedis) -> None:
    """E22: a crowd is served while Redis hangs, and the threads that it has stuck are few."""
    guarded = site.guard(authority.introspecting(timeout=5), cache="default")
    assert guarded.get(authority.opaque()).status == 200
    private.freeze()
    for _ in range(3):
        answers = guarded.get_all([authority.opaque() for _ in range(40)])
        assert [answer.status for answer in answers] == [200] * 40
        with within_deadline(0):
            assert site.plain().status == 200
    stuck = [thread for thread in threading.enumerate() if "caches" in thread.name]
    assert len(stuck) <= django_cache.THREADS + django_cache.MAX_ABANDONED
    private.thaw()
    wait_until_shared(authority, lambda token: [learn(site, authority, token) for _ in range(2)])


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def start_worker(authority: Authority, redis_url: str, redis_prefix: str) -> Callable[[], Any]:
    """Starts a uvicorn process that asks ``authority`` and shares what it learns through Redis."""
    variables = {"TESTS_ISSUER": authority.issuer, "TESTS_REDIS": redis_url, "TESTS_PREFIX": redis_prefix}
    return lambda: serve("tests.remote.urls", **variables)


def ask(worker: Server, view: str, token: str) -> Answer | None:
    """The answer, or ``None`` where the worker dies before it."""
    with suppress(OSError, http.client.HTTPException):
        return worker.send(view, bearer(token))
    return None


VIEWS = ("/async/", "/sync/")


def check_known(worker: Server, tokens: Mapping[str, Sequence[str]]) -> None:
    """Each of these views lets in each of its tokens, with the claims of that token."""
    for view in tokens:
        for number, token in enumerate(tokens[view]):
            assert worker.send(view, bearer(token)).json == {"sub": f"subject-{number}"}


@pytest.mark.slow
def test_worker_killed(authority: Authority, start_worker: Callable[[], Any]) -> None:
    """Two workers and one Redis share what they learn; one that is killed in a call takes nothing with it."""
    # Both views of a worker have one cache, so each view has its own tokens.
    good = {view: [authority.opaque(sub=f"subject-{number}") for number in range(10)] for view in VIEWS}
    bad = {view: authority.unknown() for view in VIEWS}
    other_key = make_key("forger")
    with start_worker() as first, start_worker() as second:

        def show_two(token: str) -> None:
            for worker in (first, second):
                assert worker.send("/async/", bearer(token)).status == 200

        wait_until_shared(authority, show_two)
        authority.server.calls.clear()
        jwt = authority.jwt()
        for worker in (first, second):
            check_known(worker, good)
            for view in VIEWS:
                assert worker.send(view, bearer(jwt)).status == 200
                check_refused(worker.send(view, bearer(bad[view])), bad[view])
                check_refused(worker.send(view, bearer(authority.jwt(other_key, header={"kid": "ec"}))))
        assert sorted(authority.questions) == sorted([*good["/async/"], *good["/sync/"], *bad.values(), *bad.values()])
        assert authority.fetches == 1

        is_answered = threading.Event()
        authority.server.answer(INTROSPECTION, lambda received: Gated(is_answered, authority.introspect(received)))
        cold = {view: authority.opaque(sub="cold") for view in VIEWS}
        asked = len(authority.questions)
        with ThreadPoolExecutor(4) as pool:
            lost = [pool.submit(ask, first, view, cold[view]) for view in VIEWS]
            authority.server.wait_for_calls(INTROSPECTION, asked + 2)
            first.process.kill()
            first.process.wait(PATIENCE)
            assert [answer.result() for answer in lost] == [None, None]
            found = [pool.submit(second.send, view, bearer(cold[view])) for view in VIEWS]
            authority.server.wait_for_calls(INTROSPECTION, asked + 4)
            is_answered.set()
            assert [answer.result().json for answer in found] == [{"sub": "cold"}] * 2
        check_known(second, good)
        for view in VIEWS:
            check_refused(second.send(view, bearer(authority.unknown())))
        check_secretive(second.output, *good["/async/"], *good["/sync/"], *cold.values(), jwt)

        # The one that takes its place starts from Redis, also while the server is down.
        authority.server.answer(INTROSPECTION, Status(500))
        authority.server.answer(KEYS, Status(500))
        with start_worker() as third:
            for view in VIEWS:
                # It may take a few seconds: the first question may come too late for an answer in time.
                eventually(lambda view=view: third.send(view, bearer(authority.jwt())), 200, within=PATIENCE)
            check_known(third, {view: good[view][:3] for view in VIEWS})
            for view in VIEWS:
                assert third.send(view, bearer(authority.opaque())).status == 503, third.output
