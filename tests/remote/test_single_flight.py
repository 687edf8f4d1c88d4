"""Any number of requests that need one thing share one call. It continues even if the first request leaves."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from async_oauth_guard import InvalidTokenError, ResourceProtector
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime import event_loop
from tests.answers import Answer
from tests.faults import Gated, Hang, Json, Status
from tests.remote.authority import INTROSPECTION, KEYS, LONG, Authority, Late, make_key
from tests.remote.conftest import (
    GONE,
    PATIENCE,
    Guarded,
    Site,
    advance,
    check_refused,
    check_unavailable,
    eventually,
    request_until,
    wait_for_waiters,
)

# Waits for real seconds.
pytestmark = pytest.mark.slow


@pytest.fixture
def concurrency_limit(authority: Authority) -> threading.Event:
    """Calls for introspection and for keys wait until it is set."""
    concurrency_limit = threading.Event()
    authority.server.answer(INTROSPECTION, lambda received: Gated(concurrency_limit, authority.introspect(received)))
    authority.server.answer(KEYS, lambda received: Gated(concurrency_limit, Json(authority.key_set)))
    return concurrency_limit


@pytest.mark.parametrize("kind", ["introspection", "keys"])
def test_leader_disconnects(
    kind: str, async_site: Site, authority: Authority, concurrency_limit: threading.Event
) -> None:
    """R127: of three hundred requests with one new token the first goes: one call, and all others are answered."""
    if kind == "introspection":
        guarded, token, path = async_site.guard(authority.introspecting()), authority.opaque(), INTROSPECTION
    else:
        options = {"jwks_uri": authority.issuer + KEYS, "timeout": 20}
        guarded, token, path = async_site.guard(authority.verifying(**options)), authority.jwt(), KEYS

    async def crowd() -> tuple[Answer, list[Answer]]:
        left = asyncio.Event()
        leader = asyncio.ensure_future(request_until(guarded.path, token, left))
        await asyncio.to_thread(authority.server.wait_for_calls, path, 1)
        others = asyncio.ensure_future(guarded.aget_all([token] * 299))
        await asyncio.to_thread(wait_for_waiters, 300)
        left.set()
        answer = await leader
        concurrency_limit.set()
        return answer, await others

    answer, others = asyncio.run(crowd())
    assert answer.status == GONE
    assert [answer.status for answer in others] == [200] * 299
    assert len(authority.server.calls_to(path)) == 1
    assert guarded.entered == 299


def test_threads_share_a_call(sync_site: Site, authority: Authority, concurrency_limit: threading.Event) -> None:
    """Three hundred requests, a hundred threads of a WSGI server at a time, with one new token: one call."""
    guarded = sync_site.guard(authority.introspecting())
    token = authority.opaque()
    with ThreadPoolExecutor(100) as pool:
        answers = [pool.submit(guarded.get, token) for _ in range(300)]
        wait_for_waiters(100)
        concurrency_limit.set()
        assert {answer.result().status for answer in answers} == {200}
    assert authority.questions == [token]
    assert guarded.entered == 300


def test_sync_and_async_views_share_a_call(
    async_site: Site, authority: Authority, concurrency_limit: threading.Event
) -> None:
    """One validator guards sync and async views, on two loops and some threads: one call, even if the first leaves."""
    validator = authority.introspecting()
    views = [async_site.guard(validator)]
    async_site.mode = "def"
    views.append(async_site.guard(validator))
    token = authority.opaque()

    async def lead_and_leave() -> None:
        left = asyncio.Event()
        leader = asyncio.ensure_future(request_until(views[0].path, token, left))
        await asyncio.to_thread(authority.server.wait_for_calls, INTROSPECTION, 1)
        left.set()
        assert (await leader).status == GONE

    asyncio.run(lead_and_leave())
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(view.get_all, [token] * 10) for view in views for _ in range(2)]
        # The leader's own place, which nobody looks at any more, is one of them.
        wait_for_waiters(41)
        concurrency_limit.set()
        statuses = {answer.status for future in waiting for answer in future.result()}
    assert statuses == {200}
    assert authority.questions == [token]


def test_loop_that_ends_before_the_answer(
    async_site: Site, authority: Authority, concurrency_limit: threading.Event
) -> None:
    """A loop may be closed while a call that it began is under way: the call goes on, and is not made again."""
    validator = authority.introspecting()
    guarded = async_site.guard(validator)
    token = authority.opaque()

    async def begin() -> None:
        task = asyncio.ensure_future(ResourceProtector(validator).avalidate_token(token))
        await asyncio.to_thread(authority.server.wait_for_calls, INTROSPECTION, 1)
        # Cancelled when the loop ends.
        assert not task.done()

    asyncio.run(begin())
    concurrency_limit.set()
    assert guarded.get(token).status == 200
    assert authority.questions == [token]


def test_failure_is_shared_once(site: Site, authority: Authority) -> None:
    """All requests that wait for a failing call get 503. Later requests do not reuse the failure."""
    guarded = site.guard(authority.introspecting())
    token = authority.opaque()
    authority.server.answer(INTROSPECTION, Late(0.3, Status(500)))
    answers = guarded.get_all([token] * 50)
    for answer in answers:
        check_unavailable(answer, token)
    # Those that came late found the server failing; nobody asked it a second time.
    assert authority.questions == [token]
    authority.recover()
    eventually(lambda: guarded.get(token), 200)


def test_refusal_is_shared(site: Site, authority: Authority) -> None:
    """One inactive result refuses all the requests that waited for it."""
    guarded = site.guard(authority.introspecting())
    token = authority.unknown()
    authority.server.answer(INTROSPECTION, Late(0.1, Json({"active": False})))
    for answer in guarded.get_all([token] * 50):
        check_refused(answer, token)
    assert authority.questions == [token]


def test_each_waits_no_longer_than_its_deadline(site: Site, authority: Authority) -> None:
    """Who joins a call that hangs does not wait longer than who began it."""
    guarded = site.guard(authority.introspecting(timeout=LONG))
    authority.server.answer(INTROSPECTION, Hang())
    token = authority.opaque()
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(guarded.get, token)
        authority.server.wait_for_calls(INTROSPECTION, 1)
        advance(LONG - 1)
        others = pool.submit(guarded.get_all, [token] * 29)
        wait_for_waiters(30)
        advance(1)
        # Those with a deadline of their own would wait for almost another minute.
        for answer in [leader.result(PATIENCE), *others.result(PATIENCE)]:
            check_unavailable(answer)
    assert authority.questions == [token]


def test_tokens_do_not_get_mixed_up(site: Site, authority: Authority) -> None:
    """Many tokens of many subjects at once, each many times: every request gets the claims of its token."""
    guarded = site.guard(authority.introspecting())
    seen: list[tuple[str, str]] = []
    tokens = [authority.opaque() for _ in range(20)]
    for number, token in enumerate(tokens):
        authority.words[token]["sub"] = f"subject-{number}"
    answer = guarded.witness.answer

    def note(request: Any) -> Any:
        presented = request.headers["Authorization"].removeprefix("Bearer ")
        seen.append((presented, request.oauth_token.subject))
        return answer(request)

    guarded.witness.answer = note  # type: ignore[method-assign]
    answers = guarded.get_all(tokens * 10)
    assert [answer.status for answer in answers] == [200] * 200
    assert {*seen} == {(token, f"subject-{number}") for number, token in enumerate(tokens)}
    assert {*authority.questions} == {*tokens}


def test_answer_that_comes_before_the_question(sync_site: Site, authority: Authority) -> None:
    """A thread that found nothing, and is late with its question, makes no second call for what has come meanwhile."""
    validator = authority.introspecting()
    guarded = sync_site.guard(validator)
    token = authority.opaque()
    flow = validator.authenticate_flow(Secret(token))
    question = next(flow)
    assert guarded.get(token).status == 200
    with pytest.raises(StopIteration):
        flow.send(event_loop.run_single_flight(question))
    assert authority.questions == [token]


def test_key_set_that_comes_before_the_question(sync_site: Site, authority: Authority) -> None:
    """E7: a thread that found its key unknown, and is late with its question, makes no second fetch in a cooldown."""
    validator = authority.verifying(jwks_uri=authority.issuer + KEYS, cooldown=0.3)
    guarded = sync_site.guard(validator)
    assert guarded.get(authority.jwt()).status == 200
    time.sleep(0.35)
    flow = validator.authenticate_flow(Secret(authority.jwt(make_key("new"))))
    question = next(flow)
    check_refused(guarded.get(authority.jwt(make_key("new"))))
    assert authority.fetches == 2
    with pytest.raises(InvalidTokenError):
        flow.send(event_loop.run_single_flight(question))
    assert authority.fetches == 2


def wait_and_get_all(guarded: Guarded, tokens: Sequence[str]) -> list[int]:
    return [answer.status for answer in guarded.get_all(tokens)]


def test_fresh_joins_no_call(site: Site, authority: Authority) -> None:
    """R33: a view that requires a fresh result makes a separate call, because the current one may be older."""
    validator = authority.introspecting()
    usual, fresh = site.guard(validator), site.guard(validator, fresh=True)
    token = authority.opaque()
    concurrency_limit = threading.Event()
    authority.server.answer(
        INTROSPECTION, Gated(concurrency_limit, Json(authority.words[token])), Json({"active": False})
    )
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(usual.get, token)
        authority.server.wait_for_calls(INTROSPECTION, 1)
        # Revoked: an active result that was requested earlier does not count.
        check_refused(fresh.get(token))
        concurrency_limit.set()
        assert early.result().status == 200
    assert authority.questions == [token] * 2
    # The later word counts, though the earlier answer came last.
    check_refused(usual.get(token))


def test_invalidated_while_a_call_is_under_way(
    site: Site, authority: Authority, concurrency_limit: threading.Event
) -> None:
    """R33: a call that began before a token was invalidated is neither cached nor joined."""
    validator = authority.introspecting()
    guarded = site.guard(validator)
    token = authority.opaque()
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(guarded.get, token)
        authority.server.wait_for_calls(INTROSPECTION, 1)
        ResourceProtector(validator).invalidate(token)
        concurrency_limit.set()
        assert early.result().status == 200
    authority.words[token] = {"active": False}
    check_refused(guarded.get(token))


def test_unknown_keys_share_a_fetch(site: Site, authority: Authority, concurrency_limit: threading.Event) -> None:
    """Simultaneous requests with new keys make one fetch, and all are validated with the key set that it returns."""
    concurrency_limit.set()
    guarded = site.guard(authority.verifying(jwks_uri=authority.issuer + KEYS, cooldown=0.05))
    assert guarded.get(authority.jwt()).status == 200
    time.sleep(0.1)
    concurrency_limit.clear()
    new = make_key("new")
    authority.keys.append(new)
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(wait_and_get_all, guarded, [authority.jwt(new) for _ in range(30)])
        wait_for_waiters(30)
        concurrency_limit.set()
        assert answers.result() == [200] * 30
    assert authority.fetches == 2
