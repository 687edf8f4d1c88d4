"""Examines caches: whether they work, and whether workers share what they know about keys, tokens and DPoP proofs."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.core.cache.backends.redis import RedisCache

from ...runtime.django_cache import ADD_DEADLINE, DONE_WITHOUT, REFUSED_WITHOUT
from ...runtime.effects import CacheAdd, CacheDelete, CacheRead, CacheWrite, Flow, SingleFlight
from ...runtime.run import run
from ...validators.clock import CLOCK
from .examination import Finding, captured_logs, not_applicable, ok, problem, warning

__all__ = ["examine_cache", "examine_replay_store"]

T = TypeVar("T")

# Seconds for three steps. Each has its own shorter deadline.
_CACHE_TIMEOUT = 5.0
_REPLAY_TIMEOUT = 3 * ADD_DEADLINE
_ENTRY_SECONDS = 60
_SHARED = (DatabaseCache, FileBasedCache, BaseMemcachedCache, RedisCache)


# --- keys and tokens ---


def examine_cache(alias: str | None, has_remote: bool) -> Iterator[Finding]:
    """Report whether workers share what they cache about keys and tokens."""
    if alias is None:
        because = (
            'each worker caches the responses of servers separately (OAUTH_GUARD["CACHE"] is not set)'
            if has_remote
            else "tokens in a database are looked up on each request"
        )
        yield not_applicable(f"No cache is used: {because}.")
        return
    backend = caches[alias]
    facts = {"alias": alias, "backend": type(backend).__name__}
    what = f"The cache {alias!r} ({facts['backend']})"
    if isinstance(backend, DummyCache):
        yield warning(f"{what} stores nothing.", _SHARE, fault="dummy", **facts)
        return
    with suppress(Exception):
        # Import the library of the client, which may take longer than an operation. If that fails, so does the latter.
        _ = getattr(backend, "_cache", None)
    began = CLOCK.steady()
    with captured_logs() as logged:
        is_kept = _try_out(_write_and_read_flow, alias, _CACHE_TIMEOUT)
    milliseconds = round((CLOCK.steady() - began) * 1000, 1)
    if not is_kept:
        failure = _failure_of(DONE_WITHOUT % (alias, ""), logged) or "did not return the entry that was written"
        yield problem(
            f"{what} {failure}.",
            f"Start its server, install the client library that its backend needs, or correct CACHES[{alias!r}]. Until "
            "then, each worker sends its own requests to the servers.",
            fault="cache",
            **facts,
        )
    elif isinstance(backend, LocMemCache):
        yield warning(
            f"{what} is local to one worker: other workers do not see its entries.", _SHARE, fault="local", **facts
        )
    else:
        yield ok(f"{what} {_reach_of(backend)}. An entry was written and read back in {milliseconds} ms.", **facts)


# These words occur in the names of errors and in our own log messages.
_UNREACHABLE = ("Connect", "Timeout", "no response")


def _failure_of(before: str, logged: Sequence[str]) -> str | None:
    """Describe the failure that a message of the cache's log names, after the words ``before``."""
    failure = next((line.removeprefix(before) for line in logged if line.startswith(before)), None)
    if failure is None:
        return None
    return f"cannot be {'reached' if any(each in failure for each in _UNREACHABLE) else 'used'} ({failure})"


_SHARE = (
    'Set OAUTH_GUARD["CACHE"] to a cache that workers share (Redis, Memcached, a database). If there is only one '
    "worker, omit the key."
)


def _reach_of(backend: BaseCache) -> str:
    if isinstance(backend, FileBasedCache):
        return "is shared by the workers of one machine"
    return "is shared by all workers" if isinstance(backend, _SHARED) else "is of a class that the doctor does not know"


def _write_and_read_flow(alias: str, key: str) -> Flow[bool]:
    """Write an entry, read it, and delete it. Returns whether it was there."""
    text = secrets.token_hex(16)
    yield CacheWrite(alias, key, text, _ENTRY_SECONDS)
    found = yield CacheRead(alias, key)
    yield CacheDelete(alias, key)
    return bool(found == text)


# --- DPoP proofs (RFC 9449 §11.1) ---


_CHECK = "async_oauth_guard.W020"

_SHARE_PROOFS = (
    'Set OAUTH_GUARD["CACHE"], or cache=, to a Redis cache that all workers reach. If the site has only one process, '
    f"silence the system check {_CHECK}."
)
_KEEP = "Use Redis, and set maxmemory-policy noeviction in its configuration."


def examine_replay_store(alias: str | None) -> Iterator[Finding]:
    """Report whether all workers know which proofs were used, and whether the store may forget some."""
    backend = None if alias is None else caches[alias]
    if alias is None or isinstance(backend, LocMemCache):
        yield _examine_process(alias)
        return
    facts = {"alias": alias, "backend": type(backend).__name__}
    what = f"The cache {alias!r} ({facts['backend']})"
    with captured_logs() as logged:
        outcome = _try_out(_add_twice_flow, alias, _REPLAY_TIMEOUT)
    if outcome == (True, False):
        yield _examine_eviction(backend, what, facts)
    elif outcome == (True, True):
        found = f"{what} accepts the same entry twice, so a proof can be used twice."
        yield problem(found, f"Its add() must keep an entry that is there. {_KEEP}", fault="replay", **facts)
    else:
        failure = _failure_of(REFUSED_WITHOUT % (alias, ""), logged) or "did not store a new entry"
        remedy = (
            f"Start its server, install the client library that its backend needs, or correct CACHES[{alias!r}]. Until "
            "then, requests with DPoP proofs get 503."
        )
        yield problem(f"{what} {failure}.", remedy, fault="replay-store", **facts)


def _examine_process(alias: str | None) -> Finding:
    where = "There is no cache" if alias is None else f"The cache {alias!r} is local to one process"
    if _CHECK in settings.SILENCED_SYSTEM_CHECKS:
        return ok(f"{where}, and the site says that it has only one process ({_CHECK} is silenced).")
    found = f"{where}, so each worker accepts a proof that another one has accepted."
    return warning(found, _SHARE_PROOFS, fault="per-process", alias=alias)


def _add_twice_flow(alias: str, key: str) -> Flow[tuple[bool | None, bool | None]]:
    """Add an entry twice, as guards add a proof, and delete it. Returns whether it was added each time."""
    add = CacheAdd(alias, key, _ENTRY_SECONDS)
    outcome = (yield add), (yield add)
    yield CacheDelete(alias, key)
    return outcome


def _examine_eviction(backend: Any, what: str, facts: dict[str, Any]) -> Finding:
    works = f"{what} stores an entry only once"
    if isinstance(backend, DatabaseCache | BaseMemcachedCache):
        found = f"{works}, but it drops entries when it is full. A proof that it has dropped can be used again."
        return warning(found, _KEEP, fault="evicts", **facts)
    policy = _policy_of(backend)
    if policy is None:
        return ok(f"{works}. Whether it drops entries when it is full is not known.", **facts)
    if policy != "noeviction":
        found = f"{works}, but its maxmemory-policy is {policy}. A proof that it has dropped can be used again."
        return warning(found, _KEEP, fault="evicts", policy=policy, **facts)
    return ok(f"{works}, and drops none (maxmemory-policy noeviction).", policy=policy, **facts)


def _policy_of(backend: BaseCache) -> str | None:
    """The ``maxmemory-policy`` of a Redis server, if the backend's client may read it.

    Providers often forbid ``CONFIG``, but allow ``INFO``.
    """
    # Those of django-redis and of Django.
    client: Any = getattr(backend, "client", None) or getattr(backend, "_cache", None)
    try:
        return str(client.get_client(write=True).info("memory")["maxmemory_policy"])
    except Exception:
        # Another backend, or a server that does not say it. The entries above show whether it works.
        return None


# --- both ---


def _try_out(make_flow: Callable[[str, str], Flow[T]], alias: str, timeout: float) -> T:
    """Run a flow with a key that nothing else uses, where the guards' own flows use the cache."""
    key = f"async_oauth_guard:doctor:{secrets.token_hex(16)}"

    def flow() -> Flow[T]:
        result: T = yield SingleFlight(object(), lambda: make_flow(alias, key), timeout)
        return result

    return run(flow())
