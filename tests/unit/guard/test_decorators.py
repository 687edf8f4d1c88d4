"""A guarded view is of the same kind as the view, and sync or async like it."""

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views import View

from async_oauth_guard.guard.decorators import guard_view
from async_oauth_guard.runtime.effects import Call, Flow

REFUSAL = HttpResponse(status=401)


class Guard:
    """Lets requests in or refuses them, and records its arguments."""

    def __init__(self, refusal: HttpResponse | None = None) -> None:
        self.refusal = refusal
        self.admitted: list[Any] = []
        self.finished: list[Any] = []
        self.checks_sessions = False

    def check_flow(
        self, request: HttpRequest, given: Any, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Flow[Any]:
        self.given = given
        self.admitted.append((request, guarded, args, dict(kwargs)))
        yield Call(lambda: None, ())
        return self.refusal

    def finish(self, request: HttpRequest, response: Any) -> None:
        self.finished.append((request, response))


def sync_view(*args: Any, **kwargs: Any) -> Any:
    return "seen", args, kwargs


async def async_view(*args: Any, **kwargs: Any) -> Any:
    await asyncio.sleep(0)
    return "seen", args, kwargs


class SyncObject:
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return "seen", args, kwargs


class AsyncObject:
    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return "seen", args, kwargs


def call(view: Any, *args: Any, **kwargs: Any) -> Any:
    """The answer of a sync or async view."""

    async def acall() -> Any:
        return await view(*args, **kwargs)

    return asyncio.run(acall()) if iscoroutinefunction(view) else view(*args, **kwargs)


@pytest.fixture
def request_() -> HttpRequest:
    return RequestFactory().get("/")


VIEWS: list[Any] = [
    sync_view,
    async_view,
    functools.partial(sync_view),
    functools.partial(async_view),
    functools.partial(functools.partial(async_view)),
    SyncObject(),
    AsyncObject(),
]
ASYNC = [False, True, False, True, True, False, True]


@pytest.mark.parametrize(("view", "is_async"), list(zip(VIEWS, ASYNC, strict=True)))
def test_mode(view: Any, is_async: bool) -> None:
    """R125: what was a coroutine function is one, and nothing else is."""
    assert iscoroutinefunction(guard_view(view, Guard())) == is_async


@pytest.mark.parametrize("view", VIEWS)
def test_let_in(view: Any, request_: HttpRequest) -> None:
    """The guard gets the other arguments, then the view gets all arguments, then the guard gets the view's answer."""
    guard = Guard()
    guarded = guard_view(view, guard)
    answer = call(guarded, request_, 1, two=2)
    assert answer == ("seen", (request_, 1), {"two": 2})
    assert guard.admitted == [(request_, guarded, (1,), {"two": 2})]
    assert guard.finished == [(request_, answer)]


@pytest.mark.parametrize("view", VIEWS)
def test_refused(view: Any, request_: HttpRequest) -> None:
    """A refusal is the answer; the view is not entered, and nothing is completed."""
    guard = Guard(REFUSAL)
    assert call(guard_view(view, guard), request_) is REFUSAL
    assert guard.finished == []


@pytest.mark.parametrize("view", [sync_view, async_view])
@pytest.mark.parametrize("refusal", [HttpResponse(""), HttpResponse(status=204)])
def test_empty_refusals_are_refusals(view: Any, refusal: HttpResponse, request_: HttpRequest) -> None:
    """An answer counts whatever it holds."""
    assert call(guard_view(view, Guard(refusal)), request_) is refusal


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_request_by_name(view: Any, request_: HttpRequest) -> None:
    """The request may be given by its name, with the other arguments before it or not."""
    guard = Guard()
    guarded = guard_view(view, guard)
    call(guarded, request=request_, two=2)
    assert guard.admitted == [(request_, guarded, (), {"request": request_, "two": 2})]


class Wrapper:
    """Stands around Django's request, as the request of Django REST framework does."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("place", ["first", "after self", "by name"])
def test_request_of_a_framework(place: str, view: Any, request_: HttpRequest) -> None:
    """The guard judges Django's request inside a framework's, and the view gets the framework's."""
    given = Wrapper(request_)
    args, kwargs = {
        "first": ((given, 1), {}),
        "after self": ((View(), given, 1), {}),
        "by name": ((1,), {"request": given}),
    }[place]
    guard = Guard()
    guarded = guard_view(view, guard)
    answer = call(guarded, *args, **kwargs)
    assert answer == ("seen", args, kwargs)
    assert guard.admitted == [(request_, guarded, (1,), kwargs)]
    assert guard.given is given
    assert guard.finished == [(request_, answer)]


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_view_that_keeps_an_earlier_request(view: Any, request_: HttpRequest) -> None:
    """An object that has a request is not a request: the guard checks the request that the view is called with."""
    owner = View()
    owner._request = RequestFactory().get("/earlier")  # type: ignore[attr-defined]
    guard = Guard()
    call(guard_view(view, guard), owner, request_)
    assert [entry[0] for entry in guard.admitted] == [request_]
    with pytest.raises(TypeError, match="a guarded view must be called with an HttpRequest"):
        call(guard_view(view, guard), owner)


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_view_that_stands_for_an_earlier_request(view: Any, request_: HttpRequest) -> None:
    """Nor is an object that hands on to one: Django's own request among the arguments counts first."""
    guard = Guard()
    call(guard_view(view, guard), Wrapper(RequestFactory().get("/earlier")), request_)
    assert [entry[0] for entry in guard.admitted] == [request_]


def test_handler_of_a_framework_keeps_its_kind(request_: HttpRequest) -> None:
    """A plain handler of an async class is called as one, where a plain ``dispatch`` is not."""
    args = (make_class(True)(), Wrapper(request_))
    assert guard_view(sync_view, Guard())(*args) == ("seen", args, {})


@pytest.mark.parametrize("view", [sync_view, async_view])
@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), (("x",), {}), ((1, 2, RequestFactory().get("/")), {}), ((), {"request": "x"})]
)
def test_without_a_request(view: Any, args: Any, kwargs: Any) -> None:
    """R124: a view that is called without a request is not entered."""
    with pytest.raises(TypeError, match="a guarded view must be called with an HttpRequest"):
        call(guard_view(view, Guard()), *args, **kwargs)


@pytest.mark.parametrize("thing", ["name", 7, None, object()])
def test_no_view(thing: Any) -> None:
    """What cannot be called is no view."""
    with pytest.raises(TypeError, match=f"a guarded view must be callable, got {type(thing).__name__}"):
        guard_view(thing, Guard())


def test_class_without_dispatch() -> None:
    """A class that dispatches nothing is no view."""
    with pytest.raises(
        TypeError, match=r"^Plain must have a dispatch\(\) to be guarded; derive it from Django's View$"
    ):
        guard_view(type("Plain", (), {}), Guard())


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_exceptions_go_through(view: Any, request_: HttpRequest) -> None:
    """What the view raises is raised, and nothing is completed."""
    guard = Guard()

    def failing(request: HttpRequest) -> Any:
        raise KeyError("of the view")

    async def afailing(request: HttpRequest) -> Any:
        raise KeyError("of the view")

    with pytest.raises(KeyError, match="of the view"):
        call(guard_view(failing if view is sync_view else afailing, guard), request_)
    assert guard.finished == []


def make_class(is_async: bool, **attributes: Any) -> type[View]:
    def get(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse("seen")

    async def aget(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse("seen")

    return type("Made", (View,), {"get": aget if is_async else get, **attributes})


@pytest.mark.parametrize("is_async", [False, True])
def test_classes(is_async: bool, request_: HttpRequest) -> None:
    """The decorated class is the same class, with a guarded ``dispatch`` that is sync or async like the class."""
    guard = Guard()
    cls = make_class(is_async)
    assert guard_view(cls, guard) is cls
    answer = call(cls.as_view(), request_, 1)
    assert answer.content == b"seen"
    assert [(entry[0], entry[2]) for entry in guard.admitted] == [(request_, (1,))]
    assert guard.finished == [(request_, answer)]


def test_own_dispatch_is_wrapped(request_: HttpRequest) -> None:
    """A ``dispatch`` that the class defines itself is the one that is guarded."""

    def dispatch(self: Any, request: HttpRequest) -> HttpResponse:
        return HttpResponse("own")

    cls = guard_view(make_class(False, dispatch=dispatch), Guard())
    assert cls.as_view()(request_).content == b"own"
    assert cls.dispatch.__wrapped__ is dispatch


def test_wrapped_in_itself(request_: HttpRequest) -> None:
    """A view whose ``__wrapped__`` is itself is guarded like others."""

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("seen")

    view.__wrapped__ = view  # type: ignore[attr-defined]
    assert guard_view(view, Guard())(request_).content == b"seen"


@pytest.mark.parametrize("is_async", [False, True])
def test_bound_dispatch(is_async: bool, request_: HttpRequest) -> None:
    """The bound ``dispatch`` of an object, as a mixin guards it, is sync or async like the object's class."""
    guard = Guard()
    guarded = guard_view(make_class(is_async)().dispatch, guard)
    result = guarded(request_)

    async def finish() -> Any:
        return await result

    answer = asyncio.run(finish()) if is_async else result
    assert answer.content == b"seen"
    assert guard.finished == [(request_, answer)]


@pytest.mark.parametrize("is_async", [False, True])
def test_partial_of_a_bound_dispatch(is_async: bool, request_: HttpRequest) -> None:
    """A ``partial`` of a bound method is sync or async like the method's owner."""
    guarded = guard_view(functools.partial(make_class(is_async)().dispatch), Guard())
    result = guarded(request_)
    assert asyncio.iscoroutine(result) == is_async
    if is_async:
        assert asyncio.run(result).content == b"seen"


class Owner:
    """Not a ``View``; one ``def`` answers both as a sync and as an async method."""

    def answer(self, request: HttpRequest) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return "sync"
        return self.aanswer(request)

    async def aanswer(self, request: HttpRequest) -> Any:
        return "async"


def test_methods_of_other_classes(request_: HttpRequest) -> None:
    """If the owner does not show whether a method is sync or async, a running loop decides."""
    guard = Guard()
    guarded = guard_view(Owner.answer, guard)
    assert guarded(Owner(), request_) == "sync"

    async def acall() -> Any:
        return await guarded(Owner(), request_)

    assert asyncio.run(acall()) == "async"
    assert [entry[0] for entry in guard.admitted] == [request_, request_]
    assert guard.finished == [(request_, "sync"), (request_, "async")]


def test_methods_of_other_classes_that_answer_at_once(request_: HttpRequest) -> None:
    """On a running loop, a method that answers with a response and nothing to await is served as well."""

    class Plain:
        def answer(self, request: HttpRequest) -> str:
            return "plain"

    guarded = guard_view(Plain().answer, Guard())

    async def acall() -> Any:
        return await guarded(request_)

    assert asyncio.run(acall()) == "plain"


def test_function_on_a_running_loop_stays_sync(request_: HttpRequest) -> None:
    """A plain function is sync wherever it is called."""
    guarded = guard_view(sync_view, Guard())

    async def acall() -> Any:
        return guarded(request_)

    assert asyncio.run(acall()) == ("seen", (request_,), {})


def test_guarded_twice(request_: HttpRequest) -> None:
    """Two guards on one view are both asked, the outer first."""
    outer, inner = Guard(REFUSAL), Guard()
    assert guard_view(guard_view(sync_view, inner), outer)(request_) is REFUSAL
    assert inner.admitted == []
    outer.refusal = None
    guard_view(guard_view(sync_view, inner), outer)(request_)
    assert len(inner.admitted) == 1
