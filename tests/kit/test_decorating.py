"""``override_oauth`` around functions, test cases and fixtures."""

import asyncio
import contextvars
import functools
import unittest
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.test import AsyncClient, SimpleTestCase

from async_oauth_guard import MissingAuthorizationError
from async_oauth_guard.guard.overrides import current_override
from async_oauth_guard.runtime.run import is_async
from async_oauth_guard.testing import override_oauth
from tests.kit.asking import alice, atoken_seen, get, token_seen

pytestmark = pytest.mark.urls("tests.kit.urls")


def test_functions() -> None:
    """A decorated function runs with the token, each call with its own override, and keeps its name and result."""

    @override_oauth("a")
    def count_down(number: int) -> list[str]:
        """Recurses."""
        seen = [token_seen().get_scope()]
        return seen + (count_down(number - 1) if number else [])

    assert count_down(2) == ["a"] * 3
    assert (count_down.__name__, count_down.__doc__) == ("count_down", "Recurses.")
    assert current_override() is None


async def test_async_functions() -> None:
    """So does an async function, which stays one; several calls at once are fine."""
    meet = asyncio.Barrier(2)

    @override_oauth("a")
    async def look() -> str:
        await meet.wait()
        scope: str = (await atoken_seen()).get_scope()
        return scope

    assert is_async(look)
    assert await asyncio.gather(look(), look()) == ["a", "a"]
    assert current_override() is None


def test_decorators_nest() -> None:
    """The decorator nearest to the function counts."""

    @override_oauth("outer")
    @override_oauth("inner")
    def look() -> Any:
        return token_seen().get_scope()

    assert look() == "inner"


class Inherited:
    def test_inherited(self) -> None:
        self.seen = token_seen().get_scope()


@override_oauth("a")
class Decorated(Inherited):
    test_data = ("no test",)

    def test_sync(self) -> None:
        self.seen = token_seen().get_scope()

    async def test_async(self) -> None:
        self.seen = (await atoken_seen()).get_scope()

    @classmethod
    def test_of_class(cls) -> Any:
        return token_seen().get_scope()

    @staticmethod
    def test_static() -> Any:
        return token_seen().get_scope()

    @override_oauth("b")
    def test_own(self) -> None:
        self.seen = token_seen().get_scope()

    def other(self) -> Any:
        return current_override()


def test_classes() -> None:
    """Each test method of a decorated class is decorated, inherited ones too; everything else stays as it is."""
    case = Decorated()
    for method, expected in {case.test_sync: "a", case.test_inherited: "a", case.test_own: "b"}.items():
        method()
        assert case.seen == expected
    asyncio.run(case.test_async())
    assert (case.seen, Decorated.test_of_class(), Decorated.test_static()) == ("a", "a", "a")
    assert (case.other(), Decorated.test_data) == (None, ("no test",))
    with pytest.raises(MissingAuthorizationError):
        Inherited().test_inherited()


@override_oauth("profile")
class DjangoCase(SimpleTestCase):
    __test__ = False

    def test_sync(self) -> None:
        assert self.client.get("/async/function").status_code == 200

    async def test_async(self) -> None:
        assert (await self.async_client.get("/sync/function")).status_code == 200

    @override_oauth("email")
    def test_own(self) -> None:
        assert self.client.get("/sync/function").status_code == 403


class AsyncioCase(unittest.IsolatedAsyncioTestCase):
    __test__ = False

    def setUp(self) -> None:
        self.enterContext(override_oauth("profile"))

    async def test_sets_up(self) -> None:
        await self.enterAsyncContext(override_oauth("profile", user=alice))
        assert (await AsyncClient().get("/sync/class")).json()["user"] == "alice"


class SetUpCase(SimpleTestCase):
    __test__ = False

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.enterClassContext(override_oauth("profile"))

    async def test_async(self) -> None:
        assert (await self.async_client.get("/sync/function")).status_code == 200


@pytest.mark.parametrize("case", [DjangoCase, AsyncioCase, SetUpCase])
def test_test_cases(case: type[unittest.TestCase]) -> None:
    """Test cases of unittest and of Django, sync and async, take it as a decorator and while they set up."""
    result = unittest.defaultTestLoader.loadTestsFromTestCase(case).run(unittest.TestResult())
    assert (result.errors, result.failures) == ([], [])
    assert result.testsRun > 0
    assert current_override() is None


@pytest.fixture
def given_by_fixture() -> Iterator[None]:
    with override_oauth("profile", client_id="fixture"):
        yield


@pytest.fixture
async def given_by_async_fixture() -> AsyncIterator[None]:
    async with override_oauth("profile", client_id="async fixture"):
        yield


@pytest.mark.usefixtures("given_by_fixture")
def test_fixtures() -> None:
    """A fixture may have the block around its ``yield``, for a sync test."""
    assert get("/async/function")[1]["client"] == "fixture"


@pytest.mark.usefixtures("given_by_fixture")
async def test_fixtures_of_async_tests() -> None:
    """And for an async one."""
    assert (await AsyncClient().get("/sync/function")).json()["client"] == "fixture"


@pytest.mark.usefixtures("given_by_async_fixture")
async def test_async_fixtures() -> None:
    """So may an async fixture."""
    assert (await AsyncClient().get("/sync/function")).json()["client"] == "async fixture"


# Bad use


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class NoTests:
    def helper(self) -> None:
        raise NotImplementedError


class GeneratorTest:
    def test_generator(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("decorated", "message"),
    [
        (generator, r"generator\(\) is a generator, .* write `with override_oauth\(\.\.\.\):` around its yield"),
        (async_generator, r"async_generator\(\) is a generator, "),
        (GeneratorTest, r"GeneratorTest\.test_generator\(\) is a generator, "),
        (NoTests, r"NoTests has no method test…\(\)"),
        (functools.partial(print), "decorates functions, classes and ASGI applications, not partial"),
        (print, "decorates functions, classes and ASGI applications, not builtin_function_or_method"),
        ("profile", "decorates functions, classes and ASGI applications, not str"),
        (None, "decorates functions, classes and ASGI applications, not NoneType"),
    ],
    ids=repr,
)
def test_what_cannot_be_decorated(decorated: Any, message: str) -> None:
    """What would run without the token is refused when it is decorated."""
    with pytest.raises(TypeError, match=message):
        override_oauth("profile")(decorated)


def test_asgi_applications() -> None:
    """An ASGI application has the override in each of its runs, also in one that starts in an empty context."""
    seen: list[Any] = []

    class Application:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(current_override())

    application: Any = override_oauth("profile")(Application())
    for _ in range(2):
        contextvars.Context().run(asyncio.run, application({}, None, None))
    assert len(seen) == 2
    assert None not in seen
    assert current_override() is None


def test_without_parentheses() -> None:
    """A decorator without its parentheses is refused, and the message has them."""
    with pytest.raises(TypeError, match=r"write @override_oauth\(\) with parentheses"):
        override_oauth(generator)  # type: ignore[arg-type]
