"""Reading on the caller's thread, exact matching, and the choice between that thread and a shared query."""

import asyncio
import contextvars
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import AsyncToSync, ThreadSensitiveContext, async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError, connections, transaction
from django.db.models import QuerySet
from django.db.utils import ConnectionDoesNotExist

from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.database.lookup import aread_rows, read_rows
from async_oauth_guard.runtime.effects import Row
from tests.rows.conftest import PATIENCE, ConcurrencyLimit, keys_of, look_up, look_up_alone, make_tokens, row, settle
from tests.site.models import TenantToken, UUIDToken


def test_sync_lookup_finds_the_row_and_its_user(alias: str) -> None:
    """A sync caller gets the row that holds the key, with the related rows that the lookup names."""
    make_tokens(alias, "one", "two")
    (found,) = read_rows(row(alias, "two"))
    assert (found.access_token, found.user.username) == ("two", "alice")
    assert read_rows(row(alias, "three")) == []


@pytest.mark.parametrize("key", ["ABC", "aBC", "abc ", " abc", "abç", "ab", "abc\u0301", "àbc"])
async def test_only_the_exact_key_matches(alias: str, key: str) -> None:
    """Case, accents and trailing spaces count, whatever the database's collation says."""
    assert keys_of(await settle(look_up(row(alias, "abc")), look_up(row(alias, key)))) == [["abc"], []]


@pytest.fixture(autouse=True)
def _tokens(request: pytest.FixtureRequest) -> None:
    if request.node.originalname == "test_only_the_exact_key_matches":
        make_tokens(request.getfixturevalue("alias"), "abc")


@pytest.fixture
def repeated(sqlite: str) -> str:
    for tenant in ("a", "b", "c"):
        TenantToken._base_manager.using(sqlite).create(access_token="same", tenant=tenant)
    return sqlite


def test_sync_lookup_gives_two_rows_at_most(repeated: str) -> None:
    """Two rows are enough to refuse a token."""
    assert keys_of([read_rows(row(repeated, "same", model=TenantToken))]) == [["same", "same"]]


async def test_shared_lookup_gives_two_rows_at_most(repeated: str) -> None:
    """Two rows are enough to refuse a token, and each request has its own two."""
    lookups = [look_up(row(repeated, "same", model=TenantToken)) for _ in range(3)]
    answers = await settle(*lookups)
    assert keys_of(answers) == [["same", "same"]] * 3
    assert len({id(found) for rows in answers for found in rows}) == 6


def test_sync_lookup_sees_its_own_transaction(alias: str) -> None:
    """Rows that the caller has not committed yet are there for the caller."""
    with transaction.atomic(using=alias):
        make_tokens(alias, "uncommitted")
        assert keys_of([read_rows(row(alias, "uncommitted"))]) == [["uncommitted"]]
        transaction.set_rollback(True, using=alias)


def test_outage_inside_a_transaction_is_not_retried(sqlite: str) -> None:
    """A new connection would not be in the transaction, so the lookup gives up and leaves the old one alone."""
    calls = []

    def fail(*args: Any) -> None:
        calls.append(args)
        raise OperationalError("server closed the connection")

    with transaction.atomic(using=sqlite):
        connection = connections[sqlite]
        raw = connection.connection
        with connection.execute_wrapper(fail), pytest.raises(TemporarilyUnavailableError) as caught:
            read_rows(row(sqlite, "key"))
        assert connection.connection is raw
    assert len(calls) == 1
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE


async def test_lookup_without_a_group_shares_with_nobody(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Where the group is None, the request reads on its own thread."""
    assert await look_up_alone(row(sqlite, "key", group=None)) == []
    assert gate.batches == []


async def test_lookup_whose_key_cannot_be_hashed_shares_with_nobody(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Keys of exotic fields may be lists; these are still looked up."""
    (answer,) = await settle(look_up_alone(row(sqlite, ["key"])))
    assert answer == []
    assert gate.batches == []


async def test_lookup_outside_an_asgi_request_stays_on_its_thread(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Without a thread of the request's own there may be a transaction on the one that is used."""
    assert await aread_rows(row(sqlite, "key")) == []
    await sync_to_async(connections.close_all)()
    assert gate.batches == []


def test_lookup_under_a_sync_caller_sees_its_transaction(sqlite: str, gate: ConcurrencyLimit) -> None:
    """Below a sync middleware or test, the lookup runs on that caller's thread, within its transaction."""

    async def inside() -> list[Any]:
        return await look_up(row(sqlite, "uncommitted"))

    with transaction.atomic(using=sqlite):
        make_tokens(sqlite, "uncommitted")
        assert keys_of([async_to_sync(inside)()]) == [["uncommitted"]]
    assert gate.batches == []


async def test_lookup_on_an_executor_of_others_stays_there(
    sqlite: str, gate: ConcurrencyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context that was given an executor may have a transaction open on it."""
    with ThreadPoolExecutor(1) as executor:
        context = ThreadSensitiveContext()
        async with context:
            monkeypatch.setattr(context, "_executor", executor, raising=False)
            monkeypatch.setattr(context, "_exited", False, raising=False)
            assert getattr(AsyncToSync.executors, "current", None) is None
            assert await aread_rows(row(sqlite, "key")) == []
            await sync_to_async(connections.close_all)()
            monkeypatch.setattr(context, "_executor", None, raising=False)
    assert gate.batches == []


async def test_database_is_chosen_by_the_request(sqlite: str, settings: Any, gate: ConcurrencyLimit) -> None:
    """A router that reads the request's context runs in that context, and does not run again for the batch."""
    chosen = contextvars.ContextVar("chosen", default="nowhere")

    class Router:
        def db_for_read(self, model: type, **hints: Any) -> str:
            return chosen.get()

    settings.DATABASE_ROUTERS = [Router()]
    chosen.set(sqlite)
    lookup = Row(QuerySet(User), "username", Secret("nobody"), "group")
    assert await look_up(lookup) == []
    assert gate.batches == [["nobody"]]


@pytest.mark.parametrize("group", ["group", None])
async def test_unknown_alias_is_a_bug_at_once(group: str | None, gate: ConcurrencyLimit) -> None:
    """On a loop and on a thread, no lookup waits for a database that does not exist, and each gets the same error."""
    for _ in range(2):
        errors = await settle(look_up(row("nope", "key", group=group)), look_up(row("nope", "key", group=group)))
        assert [type(error) for error in errors] == [ConnectionDoesNotExist] * 2
        assert "Raised while reading rows" in errors[0].__notes__[0]


class StopsRouter:
    """A router that breaks every coroutine and future of Python 3.11 that its error reaches."""

    def db_for_read(self, model: type, **hints: Any) -> str:
        raise StopIteration("key")


@pytest.mark.parametrize("group", ["group", None])
async def test_stop_iteration_of_a_router_does_not_hang_the_request(settings: Any, group: str | None) -> None:
    """No future can hold a StopIteration; on Python 3.11 the request would wait for ever."""
    settings.DATABASE_ROUTERS = [StopsRouter()]
    lookup = Row(QuerySet(User), "username", Secret("nobody"), group)
    async with asyncio.timeout(PATIENCE):
        (error,) = await settle(look_up(lookup))
    assert type(error) is RuntimeError
    assert "StopIteration" in str(error)


class StopsQuerySet(QuerySet[Any]):
    """Its rows end the iteration of the code that evaluates it."""

    def _fetch_all(self) -> None:
        raise StopIteration("key")


@pytest.mark.parametrize("group", ["group", None])
async def test_stop_iteration_of_a_queryset_does_not_hang_the_request(sqlite: str, group: str | None) -> None:
    """The same for users' code within the query."""
    lookup = Row(StopsQuerySet(User).using(sqlite), "username", Secret("nobody"), group)
    async with asyncio.timeout(PATIENCE):
        (error,) = await settle(look_up(lookup))
    assert type(error) is RuntimeError
    assert "StopIteration" in str(error)


async def test_equal_keys_of_different_types_are_different(sqlite: str) -> None:
    """A key matches only values of the same type: 1 is not True."""
    answers = await settle(*(look_up(Row(QuerySet(User).using(sqlite), "id", Secret(key), "id")) for key in (1, True)))
    assert answers == [[], []]


async def test_garbage_does_not_fail_its_neighbours(alias: str, gate: ConcurrencyLimit) -> None:
    """A key that the column cannot take is its own request's trouble."""
    gate.is_open = False
    good = [row(alias, uuid.uuid4(), model=UUIDToken) for _ in range(3)]
    garbage = row(alias, "no-uuid-at-all", model=UUIDToken)
    lookups = settle(*(look_up(lookup) for lookup in (good[0], good[1], garbage, good[2])))
    gate.permits.release(10)
    first, second, failed, third = await lookups
    assert (first, second, third) == ([], [], [])
    assert isinstance(failed, RuntimeError)
    assert "no-uuid-at-all" not in str(failed)
