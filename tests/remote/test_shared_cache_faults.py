"""The cache that workers share: what is found there is believed only if it is ours, and it may fail as it likes."""

import contextvars
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import override_settings

from async_oauth_guard import ResourceProtector
from async_oauth_guard.runtime import django_cache, event_loop
from tests.faults import Gated, Json, Status
from tests.remote.authority import INTROSPECTION, KEYS, SUBJECT, Authority, make_key
from tests.remote.conftest import (
    Guarded,
    Site,
    check_refused,
    check_secretive,
    check_unavailable,
    eventually,
    sharing,
    within_deadline,
)


def worker(site: Site, authority: Authority, **options: Any) -> Guarded:
    """A view with a separate memory cache, and the shared cache."""
    return site.guard(authority.introspecting(**options), cache="default")


def verifier(site: Site, authority: Authority, **options: Any) -> Guarded:
    return site.guard(authority.verifying(jwks_uri=authority.issuer + KEYS, **options), cache="default")


def entries(cache: Any) -> dict[str, Any]:
    """What is there, by the names that we gave; Django adds ``:1:`` before them."""
    return {key.removeprefix(":1:"): cache.get(key.removeprefix(":1:")) for key in [*cache._cache]}


def test_verdicts_are_shared(site: Site, authority: Authority, shared: Any) -> None:
    """An active result is fetched once for all workers. An inactive result stays in the worker that got it."""
    good, bad = authority.opaque(), authority.unknown()
    for _ in range(3):
        guarded = worker(site, authority)
        assert guarded.get(good).status == 200
        check_refused(guarded.get(bad))
    assert sorted(authority.questions) == sorted([good, bad, bad, bad])
    assert len(entries(shared)) == 1


def test_keys_are_shared(site: Site, authority: Authority, shared: Any) -> None:
    """A new worker starts from the cache, also while the server is down."""
    assert verifier(site, authority).get(authority.jwt()).status == 200
    authority.server.answer(KEYS, Status(500))
    guarded = verifier(site, authority)
    assert guarded.get(authority.jwt()).status == 200
    assert authority.fetches == 1


def test_no_token_and_no_secret_is_kept(site: Site, authority: Authority, shared: Any) -> None:
    """R31: neither names nor values in the cache show a token, a part of a token, or a secret."""
    opaque, jwt = authority.opaque(sub="somebody"), authority.jwt()
    assert worker(site, authority).get(opaque).status == 200
    assert verifier(site, authority).get(jwt).status == 200
    kept = entries(shared)
    assert len(kept) == 2
    check_secretive(repr(kept), opaque, jwt)
    assert SUBJECT not in repr(kept)


# --- entries that are not ours ---------------------------------------------------------------------------------------


def change(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


OF_ANY_ENTRY: dict[str, Callable[[str], Any]] = {
    "later end": lambda text: change(text, '"expires_at":', '"expires_at":9'),
    "other MAC": lambda text: text[:2] + ("1" if text[2] == "0" else "0") + text[3:],
    "no MAC": lambda text: "1.." + text.split(".", 2)[2],
    "other version": lambda text: "2" + text[1:],
    "truncated by one": lambda text: text[:-1],
    "truncated in the middle": lambda text: text[: len(text) // 2],
    "truncated to the MAC": lambda text: text[:66],
    "one character": lambda text: text[:1],
    "empty": lambda text: "",
    "more behind": lambda text: text + " ",
    "bytes": lambda text: text.encode(),
    "a number": lambda text: 1,
    "true": lambda text: True,
    "the value itself": lambda text: json.loads(text.split(".", 2)[2]),
    "a list": lambda text: [text],
    "lone surrogate": lambda text: text[:-1] + "\udc80",
    "look-alike digits": lambda text: text[:2] + "\u0661" + text[3:],
}
FORGERIES = OF_ANY_ENTRY | {
    "another claim": lambda text: change(text, '"scope":"profile"', '"scope":"profile admin"'),
    "another value": lambda text: change(text, '"sub":"', '"sub":"x'),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_forged_verdicts(forge: Callable[[str], Any], site: Site, authority: Authority, shared: Any) -> None:
    """R31: a changed entry is a miss. The server is called, its result counts, and it replaces the entry."""
    token = authority.opaque()
    assert worker(site, authority).get(token).status == 200
    [(name, text)] = entries(shared).items()
    shared.set(name, forge(text), 60)
    guarded = worker(site, authority)
    assert guarded.get(token).status == 200
    assert authority.questions == [token] * 2
    # Mended: the third worker does not ask.
    assert worker(site, authority).get(token).status == 200
    assert authority.questions == [token] * 2
    shared.set(name, forge(text), 60)
    authority.words[token] = {"active": False}
    check_refused(worker(site, authority).get(token))


@pytest.mark.parametrize("forge", OF_ANY_ENTRY.values(), ids=OF_ANY_ENTRY)
def test_forged_keys(forge: Callable[[str], Any], site: Site, authority: Authority, shared: Any) -> None:
    """R39, R54: a key set that was changed is a miss as well."""
    assert verifier(site, authority).get(authority.jwt()).status == 200
    [(name, text)] = entries(shared).items()
    shared.set(name, forge(text), 60)
    assert verifier(site, authority).get(authority.jwt()).status == 200
    assert authority.fetches == 2


def test_planted_key(site: Site, authority: Authority, shared: Any) -> None:
    """R54: a key of an attacker's, in an entry of the right form, verifies nothing."""
    attacker = make_key("forger")
    assert verifier(site, authority).get(authority.jwt()).status == 200
    [(name, text)] = entries(shared).items()
    version, mac, body = text.split(".", 2)
    entry = json.loads(body)
    entry["value"]["document"] = {"keys": [attacker.as_dict(private=False)]}
    shared.set(name, f"{version}.{mac}.{json.dumps(entry)}", 60)
    check_refused(verifier(site, authority).get(authority.jwt(attacker)))


def test_swapped_entries(site: Site, authority: Authority, shared: Any) -> None:
    """An entry is valid only under its own name: the result of one token does not apply to another."""
    mine, other = authority.opaque(), authority.opaque()
    guarded = worker(site, authority)
    assert guarded.get(mine).status == 200
    [(my_name, my_text)] = entries(shared).items()
    assert guarded.get(other).status == 200
    [other_name] = entries(shared).keys() - {my_name}
    shared.set(other_name, my_text, 60)
    authority.words[other] = {"active": False}
    check_refused(worker(site, authority).get(other))


def test_entries_of_another_validator(site: Site, authority: Authority, shared: Any) -> None:
    """Validators with another client or another audience share no results: each makes its own call."""
    token = authority.opaque(aud=["https://api.example.com", "https://other.example.com"])
    assert worker(site, authority).get(token).status == 200
    others: list[dict[str, Any]] = [
        {"client_id": "other"},
        {"audience": "https://other.example.com"},
        {"scope_claim": "scp"},
        {"introspection_endpoint": authority.issuer + INTROSPECTION + "?tenant=1"},
    ]
    for number, options in enumerate(others, 2):
        worker(site, authority, **options).get(token)
        assert len(authority.questions) == number
    assert len(entries(shared)) == 1 + len(others)


def test_entries_of_another_site(site: Site, authority: Authority, shared: Any) -> None:
    """Who has another secret key finds nothing, and vouches for nothing."""
    token = authority.opaque()
    with override_settings(SECRET_KEY="the secret key of another site, which shares the cache"):
        assert worker(site, authority).get(token).status == 200
    assert worker(site, authority).get(token).status == 200
    assert authority.questions == [token] * 2


def test_old_entries(site: Site, authority: Authority, shared: Any) -> None:
    """R70: an entry that a cache kept too long, or that was put back, is a miss."""
    token = authority.opaque()
    assert worker(site, authority, cache_ttl=1.2).get(token).status == 200
    [(name, text)] = entries(shared).items()
    time.sleep(1.25)
    shared.set(name, text, 60)
    authority.words[token] = {"active": False}
    check_refused(worker(site, authority, cache_ttl=1.2).get(token))


def test_revoked_elsewhere(site: Site, authority: Authority, shared: Any) -> None:
    """R33: ``invalidate`` clears the cache entry, and an inactive result in one worker removes another's active one."""
    first, second = authority.introspecting(), authority.introspecting()
    token, other = authority.opaque(), authority.opaque()
    guarded = site.guard(first, cache="default")
    assert guarded.get(token).status == guarded.get(other).status == 200
    assert len(entries(shared)) == 2
    authority.words[token] = authority.words[other] = {"active": False}
    ResourceProtector(first, cache="default").invalidate(token)
    assert len(entries(shared)) == 1
    check_refused(site.guard(second, cache="default").get(token))
    check_refused(site.guard(authority.introspecting(), cache="default", fresh=True).get(other))
    assert entries(shared) == {}


# --- caches that fail ------------------------------------------------------------------------------------------------

where = contextvars.ContextVar("where", default="nowhere")


class FaultyCache(LocMemCache):
    """A cache that does something before it answers."""

    before: Callable[[], object] = staticmethod(lambda: None)
    heard: list[str] = []

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self._perform()
        return super().get(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        self._perform()
        return super().set(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        self._perform()
        return super().delete(*args, **kwargs)

    def _perform(self) -> None:
        self.heard.append(where.get())
        type(self).before()


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cache that works, until told otherwise."""
    monkeypatch.setattr(FaultyCache, "before", lambda: None)
    monkeypatch.setattr(FaultyCache, "heard", [])
    monkeypatch.setattr(django_cache, "PAUSE", 0.1)
    with sharing({"default": {"BACKEND": f"{__name__}.FaultyCache", "LOCATION": str(time.monotonic())}}):
        yield FaultyCache


def fail() -> None:
    raise ConnectionError("no route to the cache")


def test_cache_that_raises(site: Site, authority: Authority, faulty: Any, caplog: pytest.LogCaptureFixture) -> None:
    """E22: an error of the cache's is a miss; when it works again, it is used again."""
    faulty.before = staticmethod(fail)
    token = authority.opaque()
    for number in (1, 2):
        with within_deadline(0):
            assert worker(site, authority).get(token).status == 200
        assert authority.questions == [token] * number
    faulty.before = staticmethod(lambda: None)
    for _ in range(2):
        assert worker(site, authority).get(token).status == 200
    assert authority.questions == [token] * 3
    ours = [record for record in caplog.records if record.name == "async_oauth_guard.cache"]
    assert [record.levelname for record in ours] == ["WARNING"]
    check_secretive(caplog.text, token)


def test_cache_that_hangs(site: Site, authority: Authority, faulty: Any) -> None:
    """E22: a cache that is slow is a miss within the deadline, and is left alone; plain views do not wait for it."""
    let_go = threading.Event()
    faulty.before = staticmethod(let_go.wait)
    token = authority.opaque()
    try:
        with within_deadline(2 * django_cache.DEADLINE):
            assert worker(site, authority).get(token).status == 200
        with within_deadline(0):
            assert site.plain().status == 200
        # One that was let in is not kept waiting at all.
        answers = worker(site, authority, timeout=5).get_all([authority.opaque() for _ in range(30)])
        assert [answer.status for answer in answers] == [200] * 30
    finally:
        let_go.set()
        faulty.before = staticmethod(lambda: None)
    eventually_used(site, authority)


def eventually_used(site: Site, authority: Authority) -> None:
    """Some time after it works again, the cache holds what was learnt."""
    deadline = time.monotonic() + 5
    while True:
        token = authority.opaque()
        for _ in range(2):
            assert worker(site, authority).get(token).status == 200
        if authority.questions.count(token) == 1:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_cache_and_server_are_down(site: Site, authority: Authority, faulty: Any) -> None:
    """E15: with both, 503 within the deadline; service resumes with the server alone."""
    faulty.before = staticmethod(fail)
    authority.server.answer(INTROSPECTION, Status(500))
    guarded = worker(site, authority)
    token = authority.opaque()
    with within_deadline():
        check_unavailable(guarded.get(token), token)
    authority.recover()
    eventually(lambda: guarded.get(token), 200)


# --- contexts --------------------------------------------------------------------------------------------------------


def test_contexts_of_requests_do_not_leak(
    async_site: Site, authority: Authority, faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs for many requests sees no context variable of the one that came first."""
    import httpx

    def make_client() -> httpx.AsyncClient:
        faulty.heard.append(where.get())

        async def note(request: httpx.Request) -> None:
            faulty.heard.append(where.get())

        return httpx.AsyncClient(event_hooks={"request": [note]})

    # By its dotted path, or nothing would be shared through the cache.
    monkeypatch.setattr(sys.modules[__name__], "make_client", make_client, raising=False)
    guarded = worker(async_site, authority, http_client=f"{__name__}.make_client")
    verifying = verifier(async_site, authority, http_client=f"{__name__}.make_client")

    def ask() -> None:
        where.set("in a request")
        assert guarded.get(authority.opaque()).status == 200
        assert verifying.get(authority.jwt()).status == 200

    contextvars.copy_context().run(ask)
    assert len(faulty.heard) >= 6
    assert {*faulty.heard} == {"nowhere"}


def test_late_write_is_no_obstacle(site: Site, authority: Authority, faulty: Any) -> None:
    """A token that was invalidated while its yes was being written is not left in the cache."""
    validator = authority.introspecting(timeout=5)
    guarded = site.guard(validator, cache="default")
    token = authority.opaque()
    concurrency_limit = threading.Event()
    authority.server.answer(INTROSPECTION, Gated(concurrency_limit, Json(authority.words[token])))
    thread = threading.Thread(target=guarded.get, args=[token])
    thread.start()
    authority.server.wait_for_calls(INTROSPECTION, 1)
    ResourceProtector(validator, cache="default").invalidate(token)
    concurrency_limit.set()
    thread.join(5)
    event_loop.close()
    assert caches["default"]._cache == {}  # type: ignore[attr-defined]
