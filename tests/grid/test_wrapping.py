"""A guarded view stays sync or async, and keeps its attributes, its errors, its parents and its children."""

import asyncio
import functools
import sys
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import iscoroutinefunction
from authlib.oauth2 import OAuth2Error, rfc6750
from django.core import signals
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory
from django.urls import include, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt

import async_oauth_guard
from async_oauth_guard import BearerTokenValidator, ProtectedResourceMixin, ResourceProtector
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.grid.kinds import KINDS, MakeView, view_class
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD = "token-of-the-wrapping-tests"


@pytest.fixture(scope="module", autouse=True)
def _token(committed: Committed) -> None:
    committed.token(access_token=GOOD)


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))


def guarded(make: MakeView, mode: str, protector: ResourceProtector) -> Any:
    """The callback that Django's resolver would find."""
    view = make(Witness(), mode, protector, {})
    while isinstance(view, list):
        view = view[0]
        while hasattr(view, "url_patterns"):
            view = view.url_patterns[0]
        view = view.callback
    return view


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_mode_stays(make: MakeView, mode: str, protector: ResourceProtector) -> None:
    """R125: a guarded ``async def`` view is a coroutine function, and a guarded ``def`` view is not."""
    assert iscoroutinefunction(guarded(make, mode, protector)) == (mode == "async def")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "make"), KINDS.items(), ids=KINDS)
def test_marks_for_middlewares(kind: str, make: MakeView, mode: str, protector: ResourceProtector) -> None:
    """R129, R130: the view is exempt from CSRF and login checks, but for a single method, which would free others."""
    view = guarded(make, mode, protector)
    exempt = kind != "method"
    assert bool(getattr(view, "csrf_exempt", False)) == exempt
    assert getattr(view, "login_required", True) == (not exempt)


def marked(view: Any) -> Any:
    """As most decorators do: a function around a view, that says which."""

    @functools.wraps(view)
    def around(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return around


BESIDE: dict[str, Any] = {
    "above": lambda guard: [marked, csrf_exempt, guard],
    "below": lambda guard: [guard, csrf_exempt, marked],
    "around": lambda guard: [csrf_exempt, guard, marked],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("decorators", BESIDE.values(), ids=BESIDE)
def test_decorators_beside(decorators: Any, mode: str, protector: ResourceProtector, send: Send) -> None:
    """R125: with other decorators in one ``method_decorator``, the guard still knows if a class is sync or async."""
    witness = Witness()
    view = method_decorator(decorators(protector("profile")), name="dispatch")(view_class(witness, mode)).as_view()
    with serving(view):
        assert send("/").status == 401
        assert send("/", bearer("of nobody's")).status in (400, 401)
        assert witness.entered == 0
        assert send("/", bearer(GOOD)).status == 200


@pytest.mark.parametrize("mode", MODES)
def test_attributes_survive(mode: str, protector: ResourceProtector) -> None:
    """R125: name, documentation, marks of other decorators and the wrapped view are there on the guarded one."""
    view = transaction.non_atomic_requests(Witness().view(mode))
    view.__doc__ = "Says who is there."
    view.mark = "of the site"
    guarded_view = protector("profile")(view)
    assert guarded_view._non_atomic_requests == {"default"}
    assert guarded_view.mark == "of the site"
    assert guarded_view.__name__ == view.__name__
    assert guarded_view.__qualname__ == view.__qualname__
    assert guarded_view.__module__ == view.__module__
    assert guarded_view.__doc__ == "Says who is there."
    assert guarded_view.__wrapped__ is view
    assert not hasattr(view, "csrf_exempt")


@pytest.mark.parametrize("mode", MODES)
def test_class_attributes_survive(mode: str, protector: ResourceProtector) -> None:
    """R125: what Django keeps on the result of ``as_view()`` is there when that is guarded."""
    view = view_class(Witness(), mode).as_view(http_method_names=["get"])
    guarded_view = protector(view)
    assert guarded_view.view_class is view.view_class
    assert guarded_view.view_initkwargs == {"http_method_names": ["get"]}
    assert guarded_view.__wrapped__ is view


def test_partials_have_a_name(protector: ResourceProtector) -> None:
    """A guarded ``partial`` is called what its function is called, and still is the partial underneath."""
    partial = functools.partial(Witness().view("def"))
    guarded_view = protector(partial)
    assert guarded_view.__name__ == "sync_view"
    assert guarded_view.__wrapped__ is partial


@pytest.mark.parametrize("mode", MODES)
def test_bare_and_empty_calls(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R120: ``@require_oauth``, ``@require_oauth()`` and ``@require_oauth(None)`` ask for any valid token."""
    for decorate in (protector, protector(), protector(None), protector([])):
        with serving(decorate(Witness().view(mode))):
            assert send("/").status == 401
            assert send("/", bearer(GOOD)).status == 200


@pytest.mark.parametrize("mode", MODES)
def test_arguments_of_the_url(mode: str, protector: ResourceProtector, send: Send) -> None:
    """What the URL captured reaches the view, positional and named."""

    def sync_view(request: HttpRequest, year: int, *rest: Any, **named: Any) -> JsonResponse:
        return JsonResponse({"year": year, "rest": rest, "named": named})

    async def async_view(request: HttpRequest, year: int, *rest: Any, **named: Any) -> JsonResponse:
        return sync_view(request, year, *rest, **named)

    view = protector(sync_view if mode == "def" else async_view)
    with serving([path("<int:year>/", view, {"extra": "x"})]):
        assert send("/2020/", bearer(GOOD)).json == {"year": 2020, "rest": [], "named": {"extra": "x"}}


@pytest.mark.parametrize("mode", MODES)
def test_relatives_of_a_class_stay_as_they_were(mode: str, protector: ResourceProtector, send: Send) -> None:
    """Decorating a class guards it and its children; parents and siblings stay open."""

    class Parent(view_class(Witness(), mode)):  # type: ignore[misc]
        pass

    dispatch_before = Parent.dispatch

    @protector
    class Guarded(Parent):
        pass

    class Sibling(Parent):
        pass

    class Child(Guarded):
        pass

    assert isinstance(Guarded, type)
    assert Guarded.__name__ == "Guarded"
    assert Parent.dispatch is dispatch_before
    assert "dispatch" not in vars(Parent)
    # Without a guard nobody sets `oauth_token`, so the witness of an open view fails: that is Django's 500.
    for cls, status in ((Guarded, 401), (Child, 401), (Parent, 500), (Sibling, 500)):
        with serving(cls.as_view()):
            assert send("/").status == status
    with serving(Child.as_view()):
        assert send("/", bearer(GOOD)).status == 200


@pytest.mark.parametrize("mode", MODES)
def test_cooperative_dispatch(mode: str, protector: ResourceProtector, send: Send) -> None:
    """A guarded class in the middle of a diamond still hands on to the class that follows it."""
    seen: list[str] = []

    class Base(view_class(Witness(), mode)):  # type: ignore[misc]
        pass

    @protector
    class Guarded(Base):
        pass

    class Other(Base):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            seen.append("other")
            return super().dispatch(request, *args, **kwargs)

    class Diamond(Guarded, Other):
        pass

    with serving(Diamond.as_view()):
        assert send("/").status == 401
        assert seen == []
        assert send("/", bearer(GOOD)).status == 200
        assert seen == ["other"]


@pytest.mark.parametrize("mode", MODES)
def test_mixin(mode: str, protector: ResourceProtector, send: Send) -> None:
    """``ProtectedResourceMixin`` guards with the protector, the scopes and the option that its class names."""
    attributes: dict[str, Any] = {"protector": protector, "required_scopes": "profile"}
    bases = (ProtectedResourceMixin, view_class(Witness(), mode))
    with serving(type("Required", bases, attributes).as_view()):
        assert send("/").status == 401
        assert send("/", bearer(GOOD)).json == {"token": True, "user": "alice"}
    with serving(type("Other", bases, attributes | {"required_scopes": ["email", "phone"]}).as_view()):
        assert send("/", bearer(GOOD)).status == 403
    with serving(type("Optional", bases, attributes | {"oauth_optional": True}).as_view()):
        assert send("/").json == {"token": False, "user": None}
        assert send("/", bearer("unknown")).status == 401


@pytest.mark.parametrize("mode", MODES)
def test_mixin_reads_the_setting(mode: str, send: Send) -> None:
    """Without a ``protector``, ``ProtectedResourceMixin`` uses the one that the setting describes."""
    view = type("V", (ProtectedResourceMixin, view_class(Witness(), mode)), {"required_scopes": "profile"})
    with serving(view.as_view()):
        assert send("/").status == 401
        assert send("/", bearer(GOOD)).status == 200


def test_included_urls(protector: ResourceProtector, send: Send) -> None:
    """``protect_urls`` keeps names, namespaces and default arguments, and leaves the given patterns unguarded."""
    inner = [path("<int:number>/", Witness().view("def"), name="item")]
    urls = ([path("inner/", include((inner, "inner"), namespace="nested")), path("", Witness().view("def"))], "app")
    before = [pattern.callback for pattern in inner]
    protected = protector.protect_urls(urls, "profile")
    assert [pattern.callback for pattern in inner] == before
    with serving([path("api/", protected), path("open/", include(inner))]):
        assert reverse("app:nested:item", args=[7]) == "/api/inner/7/"
        assert send("/api/").status == 401
        assert send("/api/", bearer(GOOD)).status == 200
        assert send("/api/inner/7/").status == 401
        assert send("/open/7/").status == 500


ERRORS = [
    (OAuth2Error(error="invalid_token", status_code=401), 500),
    (rfc6750.InvalidTokenError(), 500),
    (async_oauth_guard.InvalidTokenError(), 500),
    (async_oauth_guard.MissingAuthorizationError(), 500),
    (async_oauth_guard.TemporarilyUnavailableError(), 500),
    (ValueError("of the view"), 500),
    (Http404("of the view"), 404),
    (PermissionDenied("of the view"), 403),
]


@pytest.mark.parametrize("optional", [False, True], ids=["required", "optional"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("error", "status"), ERRORS, ids=lambda part: type(part).__qualname__)
def test_errors_of_the_view_are_its_own(
    error: Exception, status: int, mode: str, optional: bool, protector: ResourceProtector, send: Send
) -> None:
    """An exception of the view goes to Django unchanged, and is not treated as an exception of the guard."""
    entered: list[bool] = []

    def sync_view(request: HttpRequest) -> HttpResponse:
        entered.append(True)
        raise error

    async def async_view(request: HttpRequest) -> HttpResponse:
        return sync_view(request)

    with serving(protector(optional=optional)(sync_view if mode == "def" else async_view)):
        answer = send("/", [] if optional else bearer(GOOD))
    assert answer.status == status
    assert answer.lines("WWW-Authenticate") == []
    assert entered == [True]


def test_the_end_of_an_iteration_is_the_views(protector: ResourceProtector) -> None:
    """A ``StopIteration`` that leaks from a sync view does not end the guard's own generators."""

    def view(request: HttpRequest) -> HttpResponse:
        raise StopIteration("of the view")

    with pytest.raises(StopIteration, match="of the view"):
        protector(optional=True)(view)(RequestFactory().get("/"))


@pytest.mark.parametrize("mode", MODES)
def test_the_exception_object_is_the_views(mode: str, protector: ResourceProtector) -> None:
    """What the view raised is what the caller of the guarded view catches, not a copy and not in a wrapper."""
    error = async_oauth_guard.InvalidTokenError()

    def sync_view(request: HttpRequest) -> HttpResponse:
        raise error

    async def async_view(request: HttpRequest) -> HttpResponse:
        raise error

    view = protector(optional=True)(sync_view if mode == "def" else async_view)
    request = RequestFactory().get("/")
    with pytest.raises(async_oauth_guard.InvalidTokenError) as caught:
        asyncio.run(view(request)) if mode == "async def" else view(request)
    assert caught.value is error
    assert caught.value.__cause__ is None


def test_atomic_requests(protector: ResourceProtector, send: Send) -> None:
    """R125: with ``ATOMIC_REQUESTS`` an async view gets Django's own error, unless it is non-atomic."""
    witness = Witness()
    plain, non_atomic = witness.view("async def"), transaction.non_atomic_requests(witness.view("async def"))
    views = [path("async/", protector(plain)), path("apart/", protector(non_atomic))]
    views.append(path("sync/", protector(witness.view("def"))))
    with mock.patch.dict(connections.settings["default"], ATOMIC_REQUESTS=True), serving(views):
        with pytest.MonkeyPatch.context() as patch:
            caught: list[BaseException | None] = []
            patch.setattr(signals.got_request_exception, "receivers", [])
            signals.got_request_exception.connect(lambda **kwargs: caught.append(sys.exception()), weak=False)
            assert send("/async/", bearer(GOOD)).status == 500
        assert [type(error) for error in caught] == [RuntimeError]
        assert witness.entered == 0
        assert send("/apart/", bearer(GOOD)).status == 200
        assert send("/sync/", bearer(GOOD)).status == 200


def test_wrong_views_are_refused(protector: ResourceProtector) -> None:
    """What cannot be a view is a ``TypeError`` at decoration."""
    for thing in ("name", 3, None, type("Plain", (), {})):
        with pytest.raises(TypeError):
            protector("profile")(thing)
