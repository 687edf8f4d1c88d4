"""Examines a cache: whether it works, and whether workers share it."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress

from django.core.cache import BaseCache, caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.core.cache.backends.redis import RedisCache

from ...runtime.django_cache import DONE_WITHOUT
from ...runtime.effects import CacheDelete, CacheRead, CacheWrite, Flow, SingleFlight
from ...runtime.run import run
from ...validators.remote import CLOCK
from .examination import (
    Finding,
    captured_logs,
    not_applicable,
    ok,
    problem,
    warning,
)

__all__ = ["examine_cache", "failure_of"]

# Seconds to write, read and delete one entry. Each step has its own shorter deadline.
_CACHE_TIMEOUT = 5.0
_ENTRY_SECONDS = 60
_SHARED = (DatabaseCache, FileBasedCache, BaseMemcachedCache, RedisCache)


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
        is_kept = run(_round_trip_flow(alias))
    milliseconds = round((CLOCK.steady() - began) * 1000, 1)
    if not is_kept:
        yield problem(
            f"{what} {failure_of(DONE_WITHOUT % (alias, ''), logged) or _LOST}.",
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


_LOST = "did not return the entry that was written"


def failure_of(before: str, logged: Sequence[str]) -> str | None:
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


def _round_trip_flow(alias: str) -> Flow[bool]:
    key, text = f"async_oauth_guard:doctor:{secrets.token_hex(16)}", secrets.token_hex(16)

    def flow() -> Flow[bool]:
        yield CacheWrite(alias, key, text, _ENTRY_SECONDS)
        found = yield CacheRead(alias, key)
        yield CacheDelete(alias, key)
        return bool(found == text)

    is_kept: bool = yield SingleFlight(object(), flow, _CACHE_TIMEOUT)
    return is_kept
