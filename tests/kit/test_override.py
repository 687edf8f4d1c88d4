"""``override_oauth``: which requests see the override, and for how long."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import AsyncClient, AsyncRequestFactory, RequestFactory, utils

from async_oauth_guard import InsufficientScopeError, MissingAuthorizationError, Reason, ResourceProtector
from async_oauth_guard.guard.overrides import begin_override, current_override
from async_oauth_guard.testing import OAuthClient, override_oauth
from tests.kit.asking import alice, answer_of, atoken_seen, get, reason_of, sync_and_async, token_seen
from tests.kit.urls import VIEWS, OwnProtector, model_validator, protectors, rows
from tests.made_up import Fixed

pytestmark = pytest.mark.urls("tests.kit.urls")

every_view = pytest.mark.parametrize("path", VIEWS)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test of this module leaves an override active."""
    yield
    assert current_override() is None


# Who sees it


@pytest.mark.parametrize("given", [{"scopes": "profile"}, {"error": "missing_credentials"}, {"error": "expired"}])
def test_nobody_sees_it_outside_of_tests(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An override that was never exited lets nobody in outside of tests: the request ends in an error."""
    with override_oauth(**given), monkeypatch.context() as outside:
        outside.delattr(utils._TestState, "saved_data")
        for path in ("/sync/function", "/async/function"):
            with pytest.raises(RuntimeError, match=r"override_oauth\(\) is still in use"):
                get(path)


@pytest.mark.parametrize("given", [{"scopes": "profile"}, {"error": "expired"}])
def test_no_token_without_a_request_outside_of_tests(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a token judged by it that comes without a request."""
    with override_oauth(**given), monkeypatch.context() as outside:
        outside.delattr(utils._TestState, "saved_data")
        with pytest.raises(RuntimeError, match=r"override_oauth\(\) is still in use"):
            ResourceProtector(Fixed()).validate_token("anything", "profile")


@every_view
def test_sync_clients(path: str) -> None:
    """A view of any kind, sync or async, sees the token through Django's client, whatever the request presents."""
    expected = {"token": True, "scope": "profile", "user": "alice", "client": "app"}
    with override_oauth("profile", user=alice, client_id="app"):
        assert get(path) == (200, expected)
        assert get(path, authorization="Basic Zm9v") == (200, expected)


@every_view
async def test_async_clients(path: str) -> None:
    """And through the async client."""
    async with override_oauth("profile", user=alice):
        response = await AsyncClient().get(path, headers={"authorization": "Bearer a,b"})
    assert (response.status_code, response.json()["user"]) == (200, "alice")


@every_view
def test_factories(path: str) -> None:
    """And in a request that a factory made, in a direct call."""
    view = VIEWS[path]
    with override_oauth("profile"):
        if path.startswith("/sync"):
            assert view(RequestFactory().get("/")).status_code == 200
            assert view(AsyncRequestFactory().get("/")).status_code == 200
        else:
            assert async_to_sync(view)(AsyncRequestFactory().get("/")).status_code == 200
            assert async_to_sync(view)(RequestFactory().get("/")).status_code == 200


@sync_and_async
@pytest.mark.parametrize("name", ["rows", "jwt", "introspection", "hooks", "several", "authlib"])
def test_protectors(name: str, view: Any) -> None:
    """Validators of every kind are left alone, and so are their hooks."""
    protector = protectors[name]
    with override_oauth("profile"):
        assert answer_of(protector("profile"), view).status_code == 200
        assert answer_of(protector("email"), view).status_code == 403


async def test_direct_calls() -> None:
    """The methods for use without a decorator see it too."""
    factory = RequestFactory()
    with override_oauth("profile", user=alice):
        token = await rows.aacquire_token(factory.get("/"), "profile")
        assert token.user is alice
        assert (await rows.avalidate_token("any", "profile")).user is alice
        assert (await sync_to_async(rows.validate_token)("any", "profile")).user is alice
        assert (await sync_to_async(rows.acquire_token)(factory.get("/"))).user is alice
        with pytest.raises(InsufficientScopeError):
            await rows.avalidate_token("any", "email")
    with override_oauth(error=Reason.MISSING_CREDENTIALS), pytest.raises(MissingAuthorizationError):
        await rows.avalidate_token("any")


@sync_and_async
def test_protectors_of_ones_own(view: Any) -> None:
    """A protector that overrides ``acquire_token`` is still called, and sees the token in the methods that it calls."""
    protector = OwnProtector(model_validator())
    with override_oauth("profile"):
        assert answer_of(protector("profile"), view).status_code == 200
        assert answer_of(protector("email"), view).status_code == 403
    with override_oauth(error="expired"):
        assert answer_of(protector(), view).status_code == 401


def test_keywords_of_hooks() -> None:
    """A keyword for a validator's own ``validate_token`` causes no error, and is not checked."""
    with override_oauth():
        assert answer_of(protectors["hooks"](tenant="acme")).status_code == 200


def test_protectors_without_validators() -> None:
    """Where Authlib's protector would serve no scheme, none is served here."""
    with override_oauth("profile"):
        assert answer_of(protectors["authlib without validators"]()).status_code == 401


# Where it counts, and for how long


def test_nesting() -> None:
    """The innermost counts, and after it the one around it."""
    with override_oauth("outer"):
        with override_oauth("inner"):
            assert token_seen().get_scope() == "inner"
        assert token_seen().get_scope() == "outer"
    assert reason_of() is Reason.MISSING_CREDENTIALS


def test_ends_in_another_order() -> None:
    """One that ends before one within it is gone then; nothing of either is left."""
    outer, inner = override_oauth("outer"), override_oauth("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert token_seen().get_scope() == "inner"
    inner.__exit__(None, None, None)
    assert current_override() is None
    outer.__exit__(None, None, None)


def test_those_that_ended_are_not_kept() -> None:
    """What has ended is no longer held by what comes after it."""
    ended = begin_override(mock.Mock())
    ended.end()
    later = begin_override(mock.Mock())
    assert (later.outer, ended.override) == (None, None)
    later.end()


def test_exceptions() -> None:
    """Nothing is left after an exception, in a block or in a decorated function."""
    with pytest.raises(ZeroDivisionError), override_oauth("a"):
        _ = 1 / 0

    @override_oauth("a")
    def fails() -> None:
        assert token_seen().get_scope() == "a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert current_override() is None


def test_threads() -> None:
    """Another thread sees nothing, unless it was started with a copy of the context; each may have its own."""
    seen: list[Any] = []
    barrier = threading.Barrier(2, timeout=30)

    def look() -> None:
        override = current_override()
        seen.append(override and token_seen().get_scope())

    def work(scope: str) -> None:
        with override_oauth(scope):
            barrier.wait()
            seen.append(token_seen().get_scope())
            barrier.wait()

    with override_oauth("ours"):
        in_thread(contextvars.Context().run, look)
        in_thread(contextvars.copy_context().run, look)
    assert seen == [None, "ours"]
    threads = [threading.Thread(target=work, args=(scope,)) for scope in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen[2:]) == ["a", "b"]


def in_thread(function: Callable[..., Any], *args: Any) -> None:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


async def test_tasks() -> None:
    """Two tasks at once each have their own, and what was around them is there again."""

    async def ask(scope: str, *, meet: asyncio.Barrier) -> list[str]:
        client = AsyncClient()
        seen = []
        async with override_oauth(scope):
            for path in ("/optional/sync", "/optional/async"):
                await meet.wait()
                with override_oauth(f"profile {scope}"):
                    seen.append((await client.get(path)).json()["scope"])
        return seen

    meet = asyncio.Barrier(2)
    with override_oauth("outer"):
        seen = await asyncio.gather(ask("a", meet=meet), ask("b", meet=meet))
        assert (await atoken_seen()).get_scope() == "outer"
    assert seen == [["profile a"] * 2, ["profile b"] * 2]


async def test_tasks_that_outlive_it() -> None:
    """A task that was started meanwhile sees nothing once the block has ended."""
    ended = asyncio.Event()

    async def look() -> tuple[Any, Any]:
        before = current_override()
        await ended.wait()
        return before, current_override()

    with override_oauth("a"):
        task = asyncio.create_task(look())
        await asyncio.sleep(0)
    ended.set()
    before, after = await task
    assert before is not None
    assert after is None


def test_ends_in_another_context() -> None:
    """It may end in another context than it began in, as where a fixture and a test have one each."""
    override = override_oauth("a")
    context = contextvars.copy_context()
    context.run(override.__enter__)
    assert current_override() is None
    assert context.run(current_override) is not None
    override.__exit__(None, None, None)
    assert context.run(current_override) is None


# Bad use


@pytest.mark.parametrize("use", ["with", "async with", "def", "async def", "client"])
async def test_outside_tests(monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    """Outside of tests it overrides nothing, and its error explains how to run tests."""
    monkeypatch.delattr(utils._TestState, "saved_data")
    override = override_oauth("profile")

    async def use_async_with() -> None:
        async with override:
            raise AssertionError("entered")

    def use_with() -> None:
        with override:
            raise AssertionError("entered")

    @override
    def decorated() -> None:
        raise AssertionError("entered")

    @override
    async def decorated_async() -> None:
        raise AssertionError("entered")

    uses: dict[str, Callable[[], Any]] = {
        "with": use_with,
        "async with": use_async_with,
        "def": decorated,
        "async def": decorated_async,
        "client": lambda: OAuthClient().oauth("profile").get("/sync/function"),
    }
    with pytest.raises(
        RuntimeError, match=r"`manage\.py test` or with pytest-django, or call .*setup_test_environment"
    ):
        await sync_to_async(uses[use])() if not use.startswith("async") else await uses[use]()
    assert current_override() is None


def test_entered_twice() -> None:
    """One instance is entered once at a time, and then again."""
    override = override_oauth("a")
    with override:
        with pytest.raises(RuntimeError, match=r"call override_oauth\(\.\.\.\) again for each use"):
            override.__enter__()
        assert token_seen().get_scope() == "a"
        # A decorator's calls are uses of their own.
        assert override(lambda: token_seen().get_scope())() == "a"
    with override as entered:
        assert entered is override
    assert current_override() is None
