"""Event loops that come and go, threads, and processes that are forked: one pool, one call a token, nothing closed."""

import asyncio
import gc
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, JsonResponse
from django.urls import path

from async_oauth_guard import ResourceProtector
from async_oauth_guard.runtime import event_loop
from tests import asgi, wsgi
from tests.answers import bearer
from tests.faults import Behaviour, Gated, Hang, Json, Received
from tests.remote.authority import INTROSPECTION, KEYS, TIMEOUT, Authority, Late
from tests.remote.conftest import PATIENCE, Guarded, Site, check_refused, check_unavailable

THREAD = "async_oauth_guard calls out"


def outgoing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_one_loop_after_another(site: Site, authority: Authority) -> None:
    """R128: each request has a separate event loop or thread, and all use one connection."""
    guarded = site.guard(authority.introspecting(), authority.verifying())
    for _ in range(20):
        assert guarded.get(authority.opaque()).status == 200
        assert guarded.get(authority.jwt()).status == 200
    assert authority.server.connections == 1
    assert len(outgoing_threads()) == 1


def test_wsgi_threads(sync_site: Site, authority: Authority) -> None:
    """A crowd of threads uses no more connections than there are calls at once, and asks about each token once."""
    guarded = sync_site.guard(authority.introspecting(max_concurrency=4))
    authority.server.answer(INTROSPECTION, lambda received: Late(0.01, authority.introspect(received)))
    tokens = [authority.opaque() for _ in range(100)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(guarded.get, tokens))
    assert {answer.status for answer in answers} == {200}
    assert sorted(authority.questions) == sorted(tokens)
    assert authority.server.most_in_flight <= 4
    assert authority.server.connections <= 4


def test_several_loops_at_once(async_site: Site, authority: Authority) -> None:
    """Loops in several threads at the same time share calls and connections."""
    guarded = async_site.guard(authority.introspecting())
    authority.server.answer(INTROSPECTION, lambda received: Late(0.2, authority.introspect(received)))
    tokens = [authority.opaque() for _ in range(5)]
    together = threading.Barrier(8)

    def ask() -> set[int]:
        together.wait(PATIENCE)
        return {answer.status for answer in guarded.get_all(tokens * 3)}

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask) for _ in range(8)]
        assert [answer.result() for answer in answers] == [{200}] * 8
    assert {*authority.questions} == {*tokens}
    assert authority.server.connections <= 5
    assert len(outgoing_threads()) == 1


def methods(protector: ResourceProtector, token: str) -> dict[str, Callable[[], Any]]:
    """The ways in which code of a site asks about a token; each gives it, or raises."""

    async def anested() -> Any:
        return await sync_to_async(protector.validate_token)(token)

    return {
        "validate_token": lambda: protector.validate_token(token),
        "async_to_sync": lambda: async_to_sync(protector.avalidate_token)(token),
        "asyncio.run": lambda: asyncio.run(protector.avalidate_token(token)),
        "sync_to_async within": lambda: asyncio.run(anested()),
        "a loop in a thread": lambda: _in_thread(lambda: asyncio.run(protector.avalidate_token(token))),
    }


def _in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.mark.parametrize("kind", ["introspection", "keys"])
def test_direct_calls(kind: str, authority: Authority) -> None:
    """R128: each method, even on a loop that lives for one call, uses one connection, and no error says "closed"."""
    validator = authority.introspecting() if kind == "introspection" else authority.verifying(cooldown=0)
    protector = ResourceProtector(validator)
    for _ in range(3):
        make = authority.opaque if kind == "introspection" else authority.jwt
        names = list(methods(protector, make()))
        for name in names:
            token = make()
            assert methods(protector, token)[name]()["scope"] == "profile"
    assert authority.server.connections == 1
    assert len(authority.questions) == len({*authority.questions})


def test_async_to_sync_in_views(sync_site: Site, authority: Authority) -> None:
    """A sync view, and an async view below WSGI, both of which Django drives with a loop that lives for one call."""
    protector = ResourceProtector(authority.introspecting())

    @protector
    async def async_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"sub": request.oauth_token.subject})  # type: ignore[attr-defined]

    def sync_view(request: HttpRequest) -> JsonResponse:
        token = async_to_sync(protector.aacquire_token)(request)
        return JsonResponse({"sub": token.subject})

    sync_site.urls.urlpatterns += [path("async/", async_view), path("inside/", sync_view)]
    tokens = [authority.opaque() for _ in range(10)]
    for view in ("/async/", "/inside/"):
        with ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(lambda token: wsgi.send(view, bearer(token)), tokens))  # noqa: B023
        assert [answer.status for answer in answers] == [200] * 10
    assert sorted(authority.questions) == sorted(tokens)
    assert authority.server.connections <= 5
    check_refused(wsgi.send("/async/", bearer(authority.unknown())))


def test_sync_views_below_asgi(async_site: Site, authority: Authority) -> None:
    """A sync view below ASGI waits on its own thread: the loop answers others meanwhile."""
    protector = ResourceProtector(authority.introspecting(timeout=TIMEOUT))

    @protector
    def view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({})

    async_site.urls.urlpatterns.append(path("sync/", view))
    authority.server.answer(INTROSPECTION, Hang())

    async def ask() -> None:
        waiting = asyncio.ensure_future(asgi.request("/sync/", bearer(authority.opaque())))
        await asyncio.to_thread(authority.server.wait_for_calls, INTROSPECTION, 1)
        assert (await asgi.request("/plain/")).status == 200
        assert not waiting.done()
        check_unavailable(await waiting)

    asyncio.run(ask())


def test_loop_that_was_closed(site: Site, authority: Authority) -> None:
    """After ``close`` the next request starts anew; what was learnt is still known."""
    guarded = site.guard(authority.introspecting())
    token = authority.opaque()
    assert guarded.get(token).status == 200
    for _ in range(3):
        event_loop.close()
        assert outgoing_threads() == []
        assert guarded.get(token).status == 200
        assert guarded.get(authority.opaque()).status == 200
    assert authority.questions.count(token) == 1


def test_closed_while_calls_are_under_way(site: Site, authority: Authority) -> None:
    """Who waits when the loop is closed hears 503 at once, and nothing is left open."""
    guarded = site.guard(authority.introspecting())
    authority.server.answer(INTROSPECTION, Hang())
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(guarded.get_all, [authority.opaque() for _ in range(5)])
        authority.server.wait_for_calls(INTROSPECTION, 5)
        event_loop.close()
        for answer in answers.result(PATIENCE):
            check_unavailable(answer)
    authority.server.wait_until_idle()
    gc.collect()


# --- forks -----------------------------------------------------------------------------------------------------------

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(work: Callable[[], bool]) -> bool:
    """Whether ``work`` returns true in a forked process."""
    with warnings.catch_warnings():
        # What Python warns of is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + PATIENCE
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)


@forks
def test_fork_after_first_use(site: Site, authority: Authority) -> None:
    """A child has a separate loop and new connections, keeps its parent's cache, and takes nothing away from it."""
    guarded = site.guard(authority.introspecting(), authority.verifying())
    known, cold, jwt = authority.opaque(), authority.opaque(), authority.jwt()
    bad = authority.unknown()
    for token in (known, jwt):
        assert guarded.get(token).status == 200

    def work() -> bool:
        statuses = [guarded.get(token).status for token in (known, cold, jwt, authority.jwt(), bad)]
        return statuses == [200] * 4 + [401] and len(outgoing_threads()) == 1

    for _ in range(2):
        assert in_child(work)
    assert guarded.get(authority.opaque()).status == 200
    assert [authority.questions.count(token) for token in (known, cold)] == [1, 2]
    # The parent's, which it goes on with, and one of each child's.
    assert authority.server.connections == 3
    assert authority.fetches == 1


@forks
def test_fork_while_a_call_is_under_way(site: Site, authority: Authority) -> None:
    """A child does not wait for what its parent has begun: it asks for itself."""
    guarded = site.guard(authority.introspecting(timeout=5))
    token = authority.opaque()
    concurrency_limit = threading.Event()
    first_hangs(authority, concurrency_limit)
    with ThreadPoolExecutor(1) as pool:
        parent = pool.submit(guarded.get, token)
        authority.server.wait_for_calls(INTROSPECTION, 1)
        assert in_child(lambda: guarded.get(token).status == 200)
        concurrency_limit.set()
        assert parent.result().status == 200
    assert authority.questions == [token] * 2


def first_hangs(authority: Authority, concurrency_limit: threading.Event) -> None:
    def late(received: Received) -> Behaviour:
        return Gated(concurrency_limit, authority.introspect(received))

    authority.server.answer(INTROSPECTION, late, authority.introspect)


@forks
def test_fork_of_a_fork(site: Site, authority: Authority) -> None:
    """So has a child's child."""
    guarded: Guarded = site.guard(authority.introspecting())
    assert guarded.get(authority.opaque()).status == 200
    tokens = [authority.opaque() for _ in range(2)]

    def work() -> bool:
        return guarded.get(tokens[0]).status == 200 and in_child(lambda: guarded.get(tokens[1]).status == 200)

    assert in_child(work)
    assert guarded.get(authority.opaque()).status == 200


def test_key_set_for_all(site: Site, authority: Authority) -> None:
    """A crowd that comes before the keys do waits for one fetch, whichever loops or threads it is on."""
    authority.server.answer(KEYS, lambda received: Late(0.1, Json(authority.key_set)))
    guarded = site.guard(authority.verifying())
    with ThreadPoolExecutor(3) as pool:
        crowds = [pool.submit(guarded.get_all, [authority.jwt() for _ in range(20)]) for _ in range(3)]
        assert {answer.status for crowd in crowds for answer in crowd.result()} == {200}
    assert authority.fetches == 1
