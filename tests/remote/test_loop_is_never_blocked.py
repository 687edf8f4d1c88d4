"""Nothing that a guard does blocks an event loop: neither that of the requests, nor the one for what goes out."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from async_oauth_guard import ResourceProtector
from tests import asgi
from tests.answers import Answer, bearer
from tests.faults import Drip, Hang, Huge, Json, Status
from tests.remote.authority import INTROSPECTION, KEYS, TIMEOUT, Authority, make_key
from tests.remote.conftest import (
    Guarded,
    PrivateRedis,
    Site,
    check_refused,
    check_unavailable,
    redis_caches,
    sharing,
)

BLIP = 0.25
"""Seconds for which a loop may be late, on a machine that does other things as well."""


@pytest.fixture(autouse=True)
def _blockbuster() -> Iterator[None]:
    """Whatever blocks while a loop runs in its thread raises there."""
    blockbuster = pytest.importorskip("blockbuster", reason="blockbuster is not installed")
    with blockbuster.blockbuster_ctx() as buster:
        # Once for each client: it is imported, puts this package's version in its header, and reads the certificates.
        for name in ("os.stat", "os.listdir", "io.TextIOWrapper.read", "io.BufferedReader.read"):
            buster.functions[name].can_block_in("async_oauth_guard/runtime/http.py", {"_make_client"})
        # Older releases of asgiref wait there for the request's own thread, which is idle then.
        buster.functions["threading.Lock.acquire"].can_block_in("asgiref/sync.py", {"__aexit__"})
        yield


def ask(guarded: Guarded, *tokens: str) -> list[Answer]:
    """The answers, one after the other, on one loop."""

    async def ask_each() -> list[Answer]:
        return [await asgi.request(guarded.path, bearer(token)) for token in tokens]

    return asyncio.run(ask_each())


def test_it_notices(async_site: Site) -> None:
    """What blocks would be seen."""

    async def block() -> None:
        time.sleep(0.001)

    with pytest.raises(Exception, match=r"Blocking call to time\.sleep"):
        asyncio.run(block())


def test_judging(async_site: Site, authority: Authority) -> None:
    """R126: tokens that are new, known, and bad, of both sources, discovered and not."""
    for options in ({"issuer": authority.issuer}, {}):
        guarded = async_site.guard(authority.introspecting(**options), authority.verifying())
        opaque, jwt, bad = authority.opaque(), authority.jwt(), authority.unknown()
        answers = ask(guarded, opaque, jwt, opaque, jwt, bad, bad, authority.jwt(make_key("forger")), "x" * 40_000)
        assert [answer.status for answer in answers] == [200] * 4 + [401] * 4


@pytest.mark.parametrize("method", ["client_secret_post", "private_key_jwt", "bearer"])
def test_ways_to_say_who_we_are(method: str, async_site: Site, authority: Authority) -> None:
    """R126: a signature of our own as well."""
    secret = make_key("of-the-client").as_dict(private=True) if method == "private_key_jwt" else "secret"
    guarded = async_site.guard(authority.introspecting(client_auth=method, client_secret=secret))
    assert ask(guarded, authority.opaque())[0].status == 200


@pytest.mark.parametrize("fault", [Status(500), Hang(), Drip(b"{}"), Huge(20), None], ids=repr)
def test_outages(fault: Any, async_site: Site, authority: Authority) -> None:
    """R126: whatever is wrong with the server."""
    guarded = async_site.guard(authority.introspecting(timeout=0.2), authority.verifying(timeout=0.2))
    if fault is None:
        authority.server.stop()
    else:
        authority.server.answer(INTROSPECTION, fault)
        authority.server.answer(KEYS, fault)
    for answer in ask(guarded, authority.opaque(), authority.jwt(), authority.opaque()):
        check_unavailable(answer)


def test_shared_cache(async_site: Site, authority: Authority, private_redis: PrivateRedis) -> None:
    """R126: Redis that works, and Redis that hangs: neither loop waits for it."""

    def look() -> list[int]:
        guarded = async_site.guard(authority.introspecting(), authority.verifying(), cache="default")
        return [answer.status for answer in ask(guarded, authority.opaque(), authority.jwt(), authority.unknown())]

    with sharing(redis_caches(private_redis.url)):
        assert look() == [200, 200, 401]
        private_redis.freeze()
        assert look() == [200, 200, 401]
        private_redis.thaw()


def test_invalidating(async_site: Site, authority: Authority, shared: Any) -> None:
    """R126: the async methods for use without the decorator."""
    validator = authority.introspecting()
    protector = ResourceProtector(validator, cache="default")
    token = authority.opaque()

    async def use() -> Any:
        await protector.avalidate_token(token, "profile")
        await protector.ainvalidate(token)
        await validator.aintrospect_token(token)
        await authority.verifying().aget_jwks()
        return await validator.aauthenticate_token(token)

    assert asyncio.run(use())["active"] is True
    assert len(authority.questions) == 2


@pytest.mark.django_db(transaction=True)
def test_users(async_site: Site, authority: Authority) -> None:
    """R126: the look-up of a user is the request's own thread's, or the reading thread's."""
    User.objects.create_user("alice")
    guarded = async_site.guard(
        authority.introspecting(user_lookup="username"), authority.verifying(user_lookup="username")
    )
    tokens = [authority.opaque(sub="alice"), authority.jwt(sub="alice"), authority.opaque(sub="nobody")]
    answers = ask(guarded, *tokens)
    assert [answer.status for answer in answers] == [200, 200, 401]
    assert [answer.json["user"] for answer in answers[:2]] == ["alice"] * 2


# --- a heartbeat: what no list of blocking functions knows -----------------------------------------------------------


async def longest_pause(work: Callable[[], Any]) -> tuple[float, Any]:
    """For how long the loop, at most, did nothing else while ``work`` was done."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - began)

    heart = asyncio.ensure_future(beat())
    await asyncio.sleep(0)
    result = await work()
    heart.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await heart
    return longest, result


@pytest.mark.parametrize("kind", ["server", "cache"])
def test_heartbeat(kind: str, async_site: Site, authority: Authority, request: pytest.FixtureRequest) -> None:
    """While the server, or the cache, hangs, the loop of the requests goes on."""
    with contextlib.ExitStack() as stack:
        if kind == "server":
            authority.server.answer(INTROSPECTION, Hang())
            guarded = async_site.guard(authority.introspecting(timeout=TIMEOUT))
        else:
            private_redis = request.getfixturevalue("private_redis")
            stack.enter_context(sharing(redis_caches(private_redis.url)))
            guarded = async_site.guard(authority.introspecting(), cache="default")
            private_redis.freeze()
            stack.callback(private_redis.thaw)
        tokens = [authority.opaque() for _ in range(5)]
        pause, answers = asyncio.run(longest_pause(lambda: guarded.aget_all(tokens)))
    assert pause < BLIP
    assert {answer.status for answer in answers} == {503 if kind == "server" else 200}


def test_refused(async_site: Site, authority: Authority) -> None:
    """R12: so for tokens that are refused unread, by the thousand."""
    guarded = async_site.guard(authority.verifying(), authority.introspecting(token_format="opaque-.*"))
    assert ask(guarded, authority.jwt())[0].status == 200
    bad = authority.jwt(make_key("forger"), header={"kid": "ec"})
    authority.server.answer(KEYS, Json({}))
    for answer in asyncio.run(guarded.aget_all([bad, "no", "x" * 40_000] * 100)):
        check_refused(answer)
    assert authority.questions == []
