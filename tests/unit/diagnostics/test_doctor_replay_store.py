"""What the doctor reports about the cache in which workers share which DPoP proofs were used."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

from async_oauth_guard.diagnostics.doctor import Severity
from async_oauth_guard.diagnostics.doctor.cache import examine_replay_store
from tests.remote.conftest import redis_caches, redis_prefix, redis_url, sharing

__all__ = ["redis_prefix", "redis_url"]

CHECK = "async_oauth_guard.W020"


class Memory(BaseCache):
    """A cache that is not known to be local to one process. Its ``get_client`` is that of no Redis."""

    kept: dict[str, Any]
    # By the name of the cache, since each thread has a backend of its own.
    all_kept: dict[str, dict[str, Any]] = {}

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.kept = self.all_kept.setdefault(name, {})

    def add(self, key: Any, value: Any, timeout: Any = None, version: Any = None) -> bool:
        is_new = key not in self.kept
        self.kept.setdefault(key, value)
        return is_new

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return self.kept.get(key, default)

    def delete(self, key: Any, version: Any = None) -> bool:
        return self.kept.pop(key, None) is not None


class AcceptsTwice(Memory):
    def add(self, *arguments: Any, **keywords: Any) -> bool:
        return True


class KeepsNothing(Memory):
    """As Memcached behaves whose server is down."""

    def add(self, *arguments: Any, **keywords: Any) -> bool:
        return False


class IsDown(Memory):
    def add(self, *arguments: Any, **keywords: Any) -> bool:
        raise ConnectionError("pa55-of-the-cache")


class HasNoClient(Memory):
    def add(self, *arguments: Any, **keywords: Any) -> bool:
        raise ModuleNotFoundError("pa55-of-the-cache")


class Said:
    """A client of Redis, as Django's backend and django-redis have it."""

    def __init__(self, policy: str | None) -> None:
        self.policy = policy

    def get_client(self, key: Any = None, *, write: bool = False) -> "Said":
        assert write
        return self

    def info(self, section: str) -> dict[str, Any]:
        assert section == "memory"
        if self.policy is None:
            raise PermissionError("pa55-of-the-cache")
        return {"maxmemory_policy": self.policy}


class Evicts(Memory):
    _cache = Said("allkeys-lru")


class NeverEvicts(Memory):
    # As django-redis has it.
    client = Said("noeviction")


class Forbids(Memory):
    _cache = Said(None)


CACHES = {
    name: {"BACKEND": f"{__name__}.{name}", "LOCATION": name}
    for name in ("AcceptsTwice", "KeepsNothing", "IsDown", "HasNoClient", "Evicts", "NeverEvicts", "Forbids")
}
CACHES["default"] = CACHES["local"] = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
CACHES["own"] = {"BACKEND": f"{__name__}.OwnLocal", "LOCATION": "own"}


class OwnLocal(LocMemCache):
    """A class of the site's own."""


@pytest.fixture(autouse=True)
def _caches() -> Iterator[None]:
    with override_settings(CACHES=CACHES):
        yield


@pytest.mark.parametrize(
    ("alias", "severity", "fault", "found", "remedy"),
    [
        (None, "warning", "per-process", "There is no cache, so each worker", 'OAUTH_GUARD["CACHE"]'),
        ("local", "warning", "per-process", "'local' is local to one process", f"silence the system check {CHECK}"),
        ("own", "warning", "per-process", "'own' is local to one process", "Redis"),
        ("AcceptsTwice", "problem", "replay", "accepts the same entry twice", "maxmemory-policy noeviction"),
        ("KeepsNothing", "problem", "replay-store", "did not store a new entry", "CACHES['KeepsNothing']"),
        ("IsDown", "problem", "replay-store", "cannot be reached (ConnectionError)", "Start its server"),
        ("HasNoClient", "problem", "replay-store", "cannot be used (ModuleNotFoundError)", "get 503"),
        ("Evicts", "warning", "evicts", "its maxmemory-policy is allkeys-lru", "maxmemory-policy noeviction"),
        ("NeverEvicts", "ok", None, "drops none (maxmemory-policy noeviction)", None),
        ("Forbids", "ok", None, "Whether it drops entries when it is full is not known", None),
    ],
)
def test_findings(alias: str | None, severity: str, fault: str | None, found: str, remedy: str | None) -> None:
    """Each kind of store has its finding, and a cache's error is none of the command's."""
    [finding] = examine_replay_store(alias)
    assert (finding.severity.value, finding.facts.get("fault")) == (severity, fault)
    assert found in finding.found
    assert (remedy is None and finding.remedy is None) or (finding.remedy is not None and str(remedy) in finding.remedy)
    assert "pa55" not in repr(finding)


def test_nothing_is_left_behind() -> None:
    """The entry is deleted."""
    [finding] = examine_replay_store("NeverEvicts")
    assert finding.facts == {"alias": "NeverEvicts", "backend": "NeverEvicts", "policy": "noeviction"}
    assert Memory.all_kept["NeverEvicts"] == {}


@pytest.mark.parametrize("alias", [None, "local"])
@override_settings(SILENCED_SYSTEM_CHECKS=[CHECK])
def test_one_process(alias: str | None) -> None:
    """A site that has silenced the system check needs no shared store."""
    [finding] = examine_replay_store(alias)
    assert finding.severity is Severity.OK
    assert "only one process" in finding.found


@pytest.mark.django_db(transaction=True)
def test_database_cache() -> None:
    """A database cache drops entries when it is full."""
    with override_settings(
        CACHES={**CACHES, "table": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "proofs"}}
    ):
        call_command("createcachetable", verbosity=0)
        try:
            [finding] = examine_replay_store("table")
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE proofs")
    assert (finding.severity, finding.facts["fault"]) == (Severity.WARNING, "evicts")
    assert "drops entries when it is full" in finding.found


def test_redis(redis_url: str, redis_prefix: str) -> None:
    """Redis says which policy it has."""
    with sharing(redis_caches(redis_url, redis_prefix)):
        [finding] = examine_replay_store("default")
    assert finding.facts["policy"] in finding.found
    assert (finding.severity is Severity.OK) == (finding.facts["policy"] == "noeviction")
