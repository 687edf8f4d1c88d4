"""Examines the replay store: the cache in which workers share which DPoP proofs were used (RFC 9449 §11.1)."""

import secrets
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache

from ...runtime.django_cache import ADD_DEADLINE, REFUSED_WITHOUT
from ...runtime.effects import CacheAdd, CacheDelete, Flow, SingleFlight
from ...runtime.run import run
from .cache import failure_of
from .examination import Finding, captured_logs, ok, problem, warning

__all__ = ["examine_replay_store"]

# Seconds for three steps. Each has its own shorter deadline.
_TIMEOUT = 3 * ADD_DEADLINE
_ENTRY_SECONDS = 60
_CHECK = "async_oauth_guard.W020"

_SHARE = (
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
        outcome = run(_try_out_flow(alias))
    if outcome == (True, False):
        yield _examine_eviction(backend, what, facts)
    elif outcome == (True, True):
        found = f"{what} accepts the same entry twice, so a proof can be used twice."
        yield problem(found, f"Its add() must keep an entry that is there. {_KEEP}", fault="replay", **facts)
    else:
        failure = failure_of(REFUSED_WITHOUT % (alias, ""), logged) or "did not store a new entry"
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
    return warning(found, _SHARE, fault="per-process", alias=alias)


def _try_out_flow(alias: str) -> Flow[tuple[bool | None, bool | None]]:
    """Add an entry twice, as guards add a proof, and delete it. Returns whether it was added each time."""
    key = f"async_oauth_guard:doctor:{secrets.token_hex(16)}"
    add, delete = CacheAdd(alias, key, _ENTRY_SECONDS), CacheDelete(alias, key)

    def flow() -> Flow[tuple[bool | None, bool | None]]:
        outcome = (yield add), (yield add)
        yield delete
        return outcome

    outcome: tuple[bool | None, bool | None] = yield SingleFlight(object(), flow, _TIMEOUT)
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
