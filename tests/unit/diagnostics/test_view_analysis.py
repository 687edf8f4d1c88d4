"""What guards a view: no guarded view is missed, and no unguarded view counts as guarded."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET
from django.views.generic import FormView, RedirectView

from async_oauth_guard import (
    BearerTokenValidator,
    ProtectedResourceMixin,
    ResourceProtector,
    require_oauth,
)
from async_oauth_guard.diagnostics.review import mark_reviewed
from async_oauth_guard.diagnostics.routes import guards_of
from async_oauth_guard.diagnostics.view_analysis import class_behind, guarding_of, guarding_of_callback, layers_of
from async_oauth_guard.protocol.requirements import describe_requirements
from tests.grid.kinds import KINDS, view_class
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness

sync_and_async = pytest.mark.parametrize("mode", MODES)
protector = ResourceProtector(BearerTokenValidator(OAuth2Token))


def words(view: Any, method: str | None = None) -> list[str]:
    """What the guards of a view ask for, outermost first."""
    return [describe_requirements(guard.requirements) for guard in guards_of(view, method)]


def answer(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse()


@sync_and_async
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str, mode: str) -> None:
    """A guarded view of any kind is known as one."""
    view = KINDS[kind](Witness(), mode, protector, {"scopes": "profile"})
    if kind == "include()":
        ((resolver,), _, _) = (view[0].url_patterns, None, None)
        view = resolver.url_patterns[0].callback
    assert guarding_of(view).is_complete
    assert words(view, "GET") == ["profile"]
    assert words(view) == ([] if kind == "method" else ["profile"])


@sync_and_async
def test_open_views(mode: str) -> None:
    """A plain view, an async one and a class without a guard are known as that."""
    cls = view_class(Witness(), mode)
    for view in (Witness().view(mode), cls, cls.as_view(), functools.partial(Witness().view(mode), extra=1)):
        assert words(view, "GET") == []
        assert not guarding_of(view).is_complete


DECORATORS: list[Callable[[Any], Any]] = [
    csrf_exempt,
    never_cache,
    require_GET,
    lambda view: functools.partial(view, extra=1),
    lambda view: functools.partial(functools.partial(csrf_exempt(view), extra=1)),
]


@sync_and_async
@pytest.mark.parametrize("decorate", DECORATORS)
def test_decorators_above(decorate: Any, mode: str) -> None:
    """What stands above a guard hides it not."""
    assert words(decorate(protector("a")(Witness().view(mode)))) == ["a"]
    assert words(decorate(protector("a")(view_class(Witness(), mode)).as_view())) == ["a"]
    assert words(protector("a")(decorate(Witness().view(mode)))) == ["a"]


def test_other_mode() -> None:
    """A guarded sync view that was made async is still guarded."""
    assert words(sync_to_async(protector("a")(Witness().view("def")))) == ["a"]
    assert words(csrf_exempt(sync_to_async(protector("a")(view_class(Witness(), "def").as_view())))) == ["a"]


def test_decorator_that_hides_what_it_wraps() -> None:
    """A decorator without ``functools.wraps`` hides the guard; then the view counts as open."""
    guarded = protector("a")(Witness().view("def"))
    assert not guarding_of(lambda request: guarded(request)).is_complete


@sync_and_async
def test_nested_guards(mode: str) -> None:
    """Each of several nested guards is listed once, outermost first."""
    assert words(protector("a")(csrf_exempt(protector("b")(Witness().view(mode))))) == ["a", "b"]
    assert words(protector("a")(protector("b")(view_class(Witness(), mode)).as_view())) == ["a", "b"]
    cls = method_decorator(protector("a"), name="dispatch")(protector("b")(view_class(Witness(), mode)))
    assert words(cls.as_view()) == ["a", "b"]


def test_guards_in_a_list_of_decorators() -> None:
    """``method_decorator`` takes several, of which each is looked at."""
    cls = method_decorator([never_cache, protector("a"), csrf_exempt, protector("b")], name="dispatch")(
        view_class(Witness(), "def")
    )
    assert words(cls.as_view()) == ["a", "b"]
    assert words(method_decorator(never_cache, name="dispatch")(view_class(Witness(), "def")).as_view()) == []


def test_layers_without_end() -> None:
    """The search ends at a function that says it wraps itself."""

    def endless(request: HttpRequest) -> Any:
        return endless(request)

    endless.__wrapped__ = endless  # type: ignore[attr-defined]
    assert len(list(layers_of(endless))) == 100
    assert not guarding_of(endless).is_complete


class Logged:
    """An object around a view, as decorators make them."""

    def __init__(self, view: Any) -> None:
        self.view = functools.update_wrapper(self, view).__wrapped__

    def __call__(self, request: HttpRequest) -> Any:
        return self.view(request)


def test_objects_that_wrap() -> None:
    """An object is seen through if its ``__call__`` reads what it wraps, and not if it has no attributes at all."""

    class Slotted:
        __slots__ = ("__wrapped__",)

        def __call__(self, request: HttpRequest) -> Any: ...

    slotted = Slotted()
    slotted.__wrapped__ = protector("a")(answer)  # type: ignore[attr-defined]
    assert words(Logged(protector("a")(answer))) == ["a"]
    assert words(slotted) == []


def test_class_behind() -> None:
    """A view's class is known from the class and from what ``as_view()`` returned, but not from a decorator above."""
    cls = view_class(Witness(), "def")
    view = cls.as_view()
    assert [class_behind(each) for each in (cls, view, csrf_exempt(view), answer)] == [cls, cls, None, None]


# Objects and methods.


def test_callable_objects() -> None:
    """A guard may be on the ``__call__`` of an object's class; a child's own ``__call__`` may answer before it."""

    class Guarded:
        @protector("a")
        def __call__(self, request: HttpRequest) -> HttpResponse: ...

    class Heir(Guarded):
        pass

    class Child(Guarded):
        def __call__(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse() if request.GET else super().__call__(request)

    class Open(Guarded):
        def __call__(self, request: HttpRequest) -> HttpResponse: ...

    assert words(Guarded()) == words(Heir()) == ["a"]
    assert words(Child()) == words(Open()) == []


@sync_and_async
def test_bound_methods(mode: str) -> None:
    """A method of an object is a view like others."""

    class Pages:
        guarded = protector("a")(Witness().view(mode))

        @never_cache
        @protector("b")
        def decorated(self, request: HttpRequest) -> HttpResponse: ...

        def plain(self, request: HttpRequest) -> HttpResponse: ...

    assert words(Pages().guarded) == ["a"]
    assert words(Pages().decorated) == ["b"]
    assert words(Pages().plain) == []


# Classes.


@protector("parent")
class Parent(View):
    get = answer


class Heir(Parent):
    post = answer


class Calling(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)


class CallingForKeywords(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, page: int = 1, **kwargs: Any) -> Any:
        return super().dispatch(
            request,
            page=page,
        )


class CallingBesideAFunction(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        request.later = lambda: self.get(request)  # type: ignore[attr-defined]
        return super().dispatch(request, *args, **kwargs)


class CallingAndAwaiting(Parent):
    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return await super().dispatch(request, *args, **kwargs)


class GrandChild(Calling):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.kept = super().dispatch(request, *args, **kwargs)
        return self.kept


class CallingAroundText(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        request.text = """
that is not indented
"""  # type: ignore[attr-defined]
        return super().dispatch(request, *args, **kwargs)


class ThroughDecorator(Parent):
    @never_cache
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)


class Mixin:
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]


class Mixed(Mixin, Parent):
    pass


REACHING = [
    Heir,
    Calling,
    CallingForKeywords,
    CallingBesideAFunction,
    CallingAndAwaiting,
    GrandChild,
    CallingAroundText,
    ThroughDecorator,
    Mixed,
]


@pytest.mark.parametrize("cls", REACHING)
def test_inherited_guard(cls: Any) -> None:
    """A class is guarded that inherits a guarded ``dispatch``, or comes to it by its own."""
    assert words(cls) == words(cls.as_view()) == ["parent"]


class Ignoring(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self.get(request)


class Skipping(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return View.dispatch(self, request, *args, **kwargs)


class CallingByName(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return Parent.dispatch(self, request, *args, **kwargs)


class CallingOneOfSeveral(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return [super().dispatch, self.get][1](request, *args, **kwargs)


class CallingOneByName(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return {"one": super().dispatch, "other": self.get}["other"](request, *args, **kwargs)


class HandingItToAFunction(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return choose(super().dispatch, self.get)(request, *args, **kwargs)


class CallingWhatItWraps(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch.__wrapped__(self, request, *args, **kwargs)  # type: ignore[attr-defined]


class CallingForNobody(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super.dispatch(self, request)  # type: ignore[attr-defined]


class Borrowing(Parent):
    dispatch = Calling.dispatch


def choose(first: Any, second: Any) -> Any:
    return second


class SkippingOldStyle(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super(Parent, self).dispatch(request, *args, **kwargs)


class CallingAnother(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        super().setup(request)
        return self.other.dispatch(request)  # type: ignore[attr-defined]


class CallingAStranger(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return Stranger.dispatch(self, request)  # type: ignore[arg-type]


class CallingASide(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.GET:
            return View.dispatch(self, request, *args, **kwargs)
        return super().dispatch(request, *args, **kwargs)


class CallingItself(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return CallingItself.dispatch(self, request)


class CallingNobody(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return request.dispatch(nothing.dispatch)  # type: ignore[attr-defined,name-defined] # noqa: F821


class Naming(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        request.doc = super().dispatch.__doc__  # type: ignore[attr-defined]
        return self.get(request)


class CallingAnotherMethod(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        super().setup(request)
        return self.get(request)


class CallingAnotherWithin(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        def other() -> Any:
            return View.dispatch(self, request)

        return other() if request.GET else super().dispatch(request, *args, **kwargs)


class CallingForAnotherObject(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super(__class__, request).dispatch(request)  # type: ignore[name-defined,misc]


class CallingUnderAnotherName(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        other = View.dispatch
        return super().dispatch(request) if request.GET else other(self, request)


class CallingForAnother(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        other = Heir()
        super(CallingForAnother, other).dispatch(request)  # type: ignore[misc]
        return Parent.dispatch(other, request)


class CallingWithNothing(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return Parent.dispatch()  # type: ignore[call-arg]


class CallingLater(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        def later() -> Any:
            return Parent.dispatch(self, request)

        return next(Parent.dispatch(self, request) for Parent in (View,)) or later


class CallingWhatItWasGiven(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, Parent: Any = View, **kwargs: Any) -> Any:  # noqa: N803
        return Parent.dispatch(self, request)


class CallingWhatItKeeps(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, Parent: Any = View, **kwargs: Any) -> Any:  # noqa: N803
        self.keep = lambda: Parent
        return Parent.dispatch(self, request)


class CallingItsOwnSuper(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, super: Any = Heir, **kwargs: Any) -> Any:  # noqa: A002
        return super().dispatch(request)


class SkippingByNumber(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.GET:
            return super(type(self).__mro__[1], self).dispatch(request)
        return super().dispatch(request)


class SkippingByNumberLater(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        other = super(type(self).__mro__[1], self).dispatch
        return other(request) if request.GET else super().dispatch(request)


class CallingByNumber(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.GET:
            return type(self).__mro__[2].dispatch(self, request)  # type: ignore[attr-defined]
        return super().dispatch(request)


class CallingByAShorterName(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        parent = View
        return parent.dispatch(self, request) if request.GET else super().dispatch(request)


class WithoutName(Parent):
    dispatch = lambda self, request: super(WithoutName, self).dispatch(request)  # type: ignore[assignment]  # noqa: E731, UP008


class WithoutArguments(Parent):
    def dispatch(*args: Any) -> Any:  # type: ignore[override]
        return Parent.dispatch(*args)


def calling_another_super() -> Any:
    """Calls a ``super`` that its module defines, which skips the parent's guard."""
    names: dict[str, Any] = {"Parent": Parent, "super": lambda: View(), "__class__": Parent}
    exec("class Child(Parent):\n  def dispatch(self, request):\n    return super().dispatch(request)", names)
    return names["Child"]


def calling_what_is_not_there() -> Any:
    class Child(Parent):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return Later.dispatch(self, request)

    if not Child:
        Later = Parent  # noqa: N806
    return Child


class Unhashable:
    def __call__(self, request: HttpRequest) -> HttpResponse: ...

    __hash__ = None  # type: ignore[assignment]


class CallingAnObject(Parent):
    dispatch = functools.update_wrapper(Unhashable(), answer)  # type: ignore[assignment]
    del dispatch.__wrapped__


class OpenMixin:
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse()


class Shadowed(OpenMixin, Parent):
    pass


class Stranger(View):
    dispatch = Parent.dispatch


NOT_REACHING = [
    Ignoring,
    Skipping,
    CallingByName,
    CallingOneOfSeveral,
    CallingOneByName,
    HandingItToAFunction,
    CallingWhatItWraps,
    CallingForNobody,
    Borrowing,
    SkippingOldStyle,
    CallingAnother,
    CallingAStranger,
    CallingASide,
    CallingItself,
    CallingNobody,
    Naming,
    CallingAnotherMethod,
    CallingAnotherWithin,
    CallingForAnotherObject,
    CallingUnderAnotherName,
    CallingForAnother,
    CallingWithNothing,
    CallingLater,
    CallingWhatItWasGiven,
    CallingWhatItKeeps,
    CallingItsOwnSuper,
    SkippingByNumber,
    SkippingByNumberLater,
    CallingByNumber,
    CallingByAShorterName,
    WithoutName,
    WithoutArguments,
    calling_another_super(),
    calling_what_is_not_there(),
    CallingAnObject,
    Shadowed,
]


@pytest.mark.parametrize("cls", NOT_REACHING)
def test_guard_that_is_not_reached(cls: Any) -> None:
    """Fail closed: an own ``dispatch`` that may leave out its parent's guarded one leaves the class open."""
    assert words(cls) == words(cls.as_view()) == []
    assert not guarding_of(cls.as_view()).is_complete


def test_code_without_a_source() -> None:
    """Code is analysed without its source: only the code object is read."""
    names: dict[str, Any] = {"Parent": Parent}
    exec("class Child(Parent):\n  def dispatch(self, request):\n    return super().dispatch(request)", names)
    assert guarding_of(names["Child"]).is_complete


def test_code_without_columns() -> None:
    """Fail closed: where Python keeps no columns (``-X no_debug_ranges``), nobody can tell what code calls."""

    class Child(Parent):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(request, *args, **kwargs)

    code = Child.dispatch.__code__
    Child.dispatch.__code__ = code.replace(co_linetable=b"")  # type: ignore[attr-defined]
    assert not guarding_of(Child).is_complete


def test_guard_that_does_not_say_what_it_wraps() -> None:
    """A guard is one, whatever it says of what it wraps."""
    cls = guarded_class(answer)
    del cls.dispatch.__wrapped__
    assert guarding_of(cls).is_complete


def test_borrowed_dispatch() -> None:
    """A ``dispatch`` that was taken from another class, guard and all, is guarded."""
    assert words(Stranger) == ["parent"]


def test_guard_on_a_child_of_a_guarded_class() -> None:
    """Both guards are listed, and a class between them in a child does not hide the inner one."""

    @protector("child")
    class Child(Parent):
        pass

    class Between(Mixin, Parent):
        pass

    class Diamond(Child, Between):
        pass

    assert words(Child) == words(Diamond) == ["child", "parent"]


# Single methods.


def test_single_methods() -> None:
    """A class is guarded if each of its methods is, and each method's guard is listed; HEAD has GET's guard."""

    class Page(View):
        get = protector("read")(answer)

        @method_decorator(protector("write"))
        def post(self, request: HttpRequest) -> HttpResponse: ...

    assert guarding_of(Page.as_view()).is_complete
    assert words(Page.as_view()) == words(Page.as_view(), "OPTIONS") == words(Page.as_view(), "PUT") == []
    assert words(Page.as_view(), "GET") == words(Page.as_view(), "HEAD") == ["read"]
    assert words(Page.as_view(), "POST") == ["write"]


def test_one_open_method() -> None:
    """Fail closed: one method without a guard leaves the class open, be it ``head`` or ``options``."""
    for name in ("post", "head", "options"):
        cls: Any = type("Page", (View,), {"get": protector("read")(answer), name: answer})
        assert not guarding_of(cls).is_complete
        assert words(cls, name.upper()) == []
        assert words(cls, "GET") == ["read"]
        # Which is of no account where it is never called.
        assert guarding_of(cls.as_view(http_method_names=["get"])).is_complete


def test_methods_without_a_handler() -> None:
    """A method that is named but has no handler needs no guard: Django refuses it. Only HEAD falls back to ``get``."""
    attributes = {"get": answer, "post": protector("write")(answer), "http_method_names": ["post", "put"]}
    guarding = guarding_of(type("Page", (View,), attributes))
    assert guarding.is_complete
    assert guarding.methods == ("POST",)


def test_objects_as_handlers() -> None:
    """An object that is no descriptor is called as it is, so it is seen through like a view."""
    assert words(type("Page", (View,), {"get": Logged(protector("read")(answer))}), "GET") == ["read"]


def test_inherited_methods() -> None:
    """A guarded method is inherited. A child's own is open: it may answer before it comes to its parent's, if ever."""

    class Page(View):
        get = protector("read")(answer)

    class Heir(Page):
        pass

    class CallingGet(Page):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse() if request.GET else super().get(request)

    class IgnoringGet(Page):
        def get(self, request: HttpRequest) -> HttpResponse: ...

    assert guarding_of(Heir).is_complete
    assert not guarding_of(CallingGet).is_complete
    assert not guarding_of(IgnoringGet).is_complete


def test_methods_behind_an_own_dispatch() -> None:
    """Guards of methods count behind Django's own ``dispatch``: another may answer in their place."""

    class Page(View):
        get = protector("read")(answer)

    class Own(Page):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any: ...

    @method_decorator(csrf_exempt, name="dispatch")
    class Decorated(Page):
        pass

    assert guarding_of(Decorated).is_complete
    assert not guarding_of(Own).is_complete
    assert not guarding_of(type("Between", (Mixin, Page), {})).is_complete
    assert words(protector("any")(type("Guarded", (Page,), {})), "GET") == ["any", "read"]


def test_class_and_method() -> None:
    """A guarded class may guard a method once more."""

    @protector("any")
    class Page(View):
        get = answer
        post = protector("write")(answer)

    assert words(Page, "GET") == ["any"]
    assert words(Page, "POST") == ["any", "write"]


def test_classes_without_methods() -> None:
    """Fail closed: a class that answers nothing has nothing that is guarded, nor has one that is no view."""
    assert not guarding_of(View.as_view()).is_complete
    assert not guarding_of(Witness).is_complete
    assert not guarding_of(type("Halves", (Mixin,), {"as_view": View.as_view})).is_complete


# The mixin.


class Notes(ProtectedResourceMixin, View):
    required_scopes = "notes:read"
    protector = protector
    get = answer


def test_mixin() -> None:
    """The mixin guards by what the class says, or what ``as_view()`` was given in its place."""
    (guard,) = guards_of(Notes.as_view())
    assert (guard.protector, guard.optional) == (protector, False)
    assert words(Notes.as_view()) == words(Notes) == ["notes:read"]
    (other,) = guards_of(Notes.as_view(required_scopes="other", oauth_optional=True, protector=require_oauth))
    assert (other.protector, other.optional) == (require_oauth, True)
    assert other.requirements.scopes.by_method["*"].alternatives == (("other",),)


def test_mixin_in_a_family() -> None:
    """Fail closed: a child is guarded if it reaches the mixin's ``dispatch``; the guard is listed at that place."""

    class Between(Notes):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(request, *args, **kwargs)

    class Away(Notes):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any: ...

    assert words(protector("outer")(Between)) == ["outer", "notes:read"]
    assert words(protector("outer")(type("Child", (Notes,), {}))) == ["outer", "notes:read"]
    assert words(Away) == []


def test_mixin_with_arguments_that_cannot_work() -> None:
    """Arguments of ``as_view()`` that no guard takes are no guard."""
    assert words(Notes.as_view(required_scopes=7)) == words(Notes.as_view(required_scopes="")) == []


def test_borrowed_mixin() -> None:
    """Its ``dispatch`` alone, in a class that has nothing of what it asks for, guards nothing."""

    class Borrowing(View):
        dispatch = ProtectedResourceMixin.dispatch

    assert not guarding_of(Borrowing).is_complete


class ScopesBySetup(Notes):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        self.required_scopes = "other"


class OptionalByConstructor(Notes):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(oauth_optional=True, **kwargs)


class OptionalByDispatch(Notes):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.oauth_optional = True
        return super().dispatch(request, *args, **kwargs)


@pytest.mark.parametrize("cls", [ScopesBySetup, OptionalByConstructor, OptionalByDispatch])
def test_mixin_that_each_object_changes(cls: Any) -> None:
    """Fail closed: where objects have other requirements than their class, nobody can tell what the guard asks for."""
    assert words(cls.as_view()) == []


def test_guard_around_a_mixin_that_each_object_changes() -> None:
    """Another guard before it counts all the same."""
    assert words(protector("outer")(ScopesBySetup)) == ["outer"]


# Ways past a guard. Each is gone, and found open.


def opened() -> Any:
    """A handler, method or function that lets everybody in."""
    return lambda *args, **kwargs: HttpResponse("open")


def everybody(*args: Any, **kwargs: Any) -> HttpResponse:
    """A handler that lets everybody in. Code that uses it names no attribute of the class."""
    return HttpResponse("open")


# Variables, so that code that uses them contains no literal.
GET = "get"
ENTRIES = {GET: everybody}


def let_everybody_in(view: Any, value: Any = None) -> None:
    """Put the handler that lets everybody in into the place of ``get``, whatever is assigned."""
    view.get = everybody


def answered(view: Any, method: str) -> bytes:
    """What the view says to somebody without a token."""
    return bytes(view(RequestFactory().generic(method, "/")).content)


def guarded_class(entry: Any, *parents: type) -> Any:
    """A class with a guard on the whole."""
    return protector()(type("Whole", (*parents, View), {"get": entry}))


def guarded_handlers(entry: Any, *parents: type, **more: Any) -> Any:
    """A class with a guard on each of its handlers."""
    guarded = protector()(entry)
    return type("Single", (*parents, View), {"get": guarded, "put": guarded, "entry": entry, **more})


WAYS: list[tuple[Callable[[Any], Any], str]] = []


def way(method: str) -> Callable[[Any], Any]:
    def keep(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        WAYS.append((make, method))
        return make

    return keep


@way("GET")
def dispatch_given_to_as_view(entry: Any) -> Any:
    return guarded_class(entry).as_view(dispatch=entry)


@way("GET")
def class_given_to_as_view(entry: Any) -> Any:
    return guarded_class(entry).as_view(__class__=type("Open", (View,), {"get": entry}))


@way("GET")
def dictionary_given_to_as_view(entry: Any) -> Any:
    return guarded_handlers(entry).as_view(__dict__={"get": entry})


@way("PUT")
def handler_given_to_as_view(entry: Any) -> Any:
    cls = guarded_handlers(entry, http_method_names=["get"])
    return cls.as_view(put=entry, http_method_names=["get", "put"])


@way("GET")
def handler_of_another_size(entry: Any) -> Any:
    return guarded_handlers(entry, get=entry, GET=protector()(entry), http_method_names=["get", "GET"]).as_view()


@way("POST")
def own_refusal(entry: Any) -> Any:
    return guarded_handlers(entry, http_method_not_allowed=entry).as_view()


@way("POST")
def refusal_given_to_as_view(entry: Any) -> Any:
    return guarded_handlers(entry).as_view(http_method_not_allowed=entry)


@way("POST")
def attribute_that_is_made_up(entry: Any) -> Any:
    class Parent:
        def __getattr__(self, name: str) -> Any:
            if name == "post":
                return entry
            raise AttributeError(name)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def attribute_that_is_another(entry: Any) -> Any:
    class Parent:
        def __getattribute__(self, name: str) -> Any:
            return entry if name == "dispatch" else object.__getattribute__(self, name)

    return guarded_class(entry, Parent).as_view()


@way("GET")
def maker_of_objects(entry: Any) -> Any:
    class Meta(type):
        def __call__(cls, **kwargs: Any) -> Any:
            made = super().__call__(**kwargs)
            made.dispatch = entry
            return made

    return protector()(Meta("Made", (View,), {"get": entry})).as_view()


@way("GET")
def dispatch_set_by_constructor(entry: Any) -> Any:
    class Parent:
        def __init__(self, **kwargs: Any) -> None:
            self.dispatch = entry

    return guarded_class(entry, Parent).as_view()


@way("GET")
def dispatch_set_by_setup(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.dispatch = entry  # type: ignore[method-assign]

    return guarded_class(entry, Parent).as_view()


@way("GET")
def class_set_by_setup(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.__class__ = type("Open", (View,), {"get": entry})

    return guarded_class(entry, Parent).as_view()


@way("GET")
def dispatch_set_by_name(entry: Any) -> Any:
    class Parent:
        def __init__(self, **kwargs: Any) -> None:
            for name in ("dispatch",):
                setattr(self, name, entry)

    return guarded_class(entry, Parent).as_view()


@way("GET")
def handler_set_by_constructor(entry: Any) -> Any:
    class Parent(View):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(get=entry, **kwargs)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_among_arguments(entry: Any) -> Any:
    class Parent(View):
        def __init__(self, **kwargs: Any) -> None:
            kwargs["get"] = entry
            super().__init__(**kwargs)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_among_defaults(entry: Any) -> Any:
    class Parent(View):
        def __init__(self, **kwargs: Any) -> None:
            kwargs.setdefault("get", entry)
            super().__init__(**kwargs)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_in_a_mapping(entry: Any) -> Any:
    class Parent(View):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**{"get": entry, **kwargs})

    return guarded_handlers(entry, Parent).as_view()


@way("POST")
def handler_set_by_new(entry: Any) -> Any:
    class Parent:
        def __new__(cls, **kwargs: Any) -> Any:
            made = object.__new__(cls)
            made.post = entry
            return made

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def object_of_another_class(entry: Any) -> Any:
    class Open(View):
        get = entry

    class Parent(View):
        def __new__(cls, **kwargs: Any) -> Any:
            made = object.__new__(Open)
            made.__init__(**kwargs)  # type: ignore[misc]
            return made

    return guarded_class(entry, Parent).as_view()


@way("GET")
def handler_set_by_what_is_hidden(entry: Any) -> Any:
    def hiding(setup: Any) -> Any:
        def inner(self: Any, request: Any, *args: Any, **kwargs: Any) -> None:
            setup(self, request, *args, **kwargs)

        return inner

    class Parent(View):
        @hiding
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.get = everybody

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_by_a_decorator_of_setup(entry: Any) -> Any:
    def opening(setup: Any) -> Any:
        @functools.wraps(setup)
        def inner(*args: Any, **kwargs: Any) -> None:
            let_everybody_in(args[0])
            setup(*args, **kwargs)

        return inner

    class Parent(View):
        @opening
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)

    return guarded_handlers(entry, Parent).as_view()


@way("HEAD")
def get_that_is_no_method(entry: Any) -> Any:
    class Page(View):
        http_method_names = ("post", "head")  # type: ignore[assignment]
        get = entry
        post = protector("profile")(entry)

    return Page.as_view()


@way("POST")
def handler_set_by_setup(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.post = everybody

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_in_the_dictionary(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            vars(self).update(get=entry)
            self.__dict__.update(get=entry)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_by_dispatch(entry: Any) -> Any:
    class Parent(View):
        def dispatch(self, *args: Any, **kwargs: Any) -> Any:
            self.get = entry
            return super().dispatch(*args, **kwargs)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_on_assignment(entry: Any) -> Any:
    class Parent:
        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)
            object.__setattr__(self, "get", entry)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_by_what_has_no_source(entry: Any) -> Any:
    names: dict[str, Any] = {"entry": entry, "View": View}
    exec("def setup(self, request):\n  View.setup(self, request)\n  self.get = entry", names)
    return guarded_handlers(entry, setup=names["setup"]).as_view()


@way("GET")
def handler_set_by_a_setup_that_is_no_function(entry: Any) -> Any:
    class Setup:
        def __get__(self, instance: Any, owner: Any) -> Any:
            return lambda request: vars(instance).update(get=entry, request=request)

    return guarded_handlers(entry, setup=Setup()).as_view()


@way("POST")
def methods_set_by_setup(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.http_method_names = [*self.http_method_names, "post"]

    return guarded_handlers(entry, Parent, http_method_names=["get"], post=entry).as_view()


@way("POST")
def methods_added_to(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.http_method_names.append("post")

    return guarded_handlers(entry, Parent, http_method_names=["get"], post=entry).as_view(http_method_names=["get"])


class ViewSet(View):
    """As Django REST framework has them."""

    @classmethod
    def as_view(cls, actions: Any) -> Any:  # type: ignore[override]
        def view(request: HttpRequest) -> Any:
            self: Any = cls()
            for method, action in actions.items():
                setattr(self, method, getattr(self, action))
            self.setup(request)
            return self.dispatch(request)

        functools.update_wrapper(view, cls.dispatch, assigned=())
        view.cls = cls  # type: ignore[attr-defined]
        return csrf_exempt(view)


@way("POST")
def handlers_of_a_view_set(entry: Any) -> Any:
    return guarded_handlers(entry, ViewSet).as_view({"get": "get", "post": "entry"})


@way("GET")
def mark_that_was_set(entry: Any) -> Any:
    entry.view_class = entry.cls = guarded_class(entry)
    return entry


@way("GET")
def mark_that_was_changed(entry: Any) -> Any:
    view = type("Open", (View,), {"get": entry}).as_view()
    view.view_class = guarded_class(entry)
    return view


@way("GET")
def attributes_that_were_copied(entry: Any) -> Any:
    cls = method_decorator(never_cache, name="dispatch")(guarded_class(entry))
    vars(entry).update(vars(cls.as_view()))
    return entry


@way("GET")
def class_in_place_of_a_view(entry: Any) -> Any:
    @protector()
    class Page(HttpResponse):
        def __init__(self, request: HttpRequest) -> None:
            super().__init__("open")

        def dispatch(self, request: HttpRequest) -> Any: ...

        as_view = View.as_view

    return Page


@way("GET")
def class_within_a_partial(entry: Any) -> Any:
    return functools.partial(class_in_place_of_a_view(entry))


@way("GET")
def protector_set_by_setup(entry: Any) -> Any:
    class Page(Notes):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.protector = lambda *args: lambda view: view  # type: ignore[assignment]

    Page.get = entry
    return Page.as_view()


@way("GET")
def optional_set_by_setup(entry: Any) -> Any:
    class Page(Notes):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.oauth_optional = True

    Page.get = entry
    return Page.as_view()


@way("GET")
def partial_that_calls_another(entry: Any) -> Any:
    class Own(functools.partial[Any]):
        def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
            return entry(*args, **kwargs)

    return Own(protector()(entry))


@way("GET")
def chosen_by_the_type_of_the_request(entry: Any) -> Any:
    view = functools.singledispatch(protector()(entry))
    view.register(HttpRequest)(entry)
    return view


@way("GET")
def function_that_only_names_what_it_wraps(entry: Any) -> Any:
    return functools.update_wrapper(lambda request: entry(request), protector()(entry))


@way("GET")
def object_that_only_names_what_it_wraps(entry: Any) -> Any:
    return functools.update_wrapper(Replacing(entry), protector()(entry))


class Replacing:
    """A descriptor and a callable, which leads to the handler that lets everybody in."""

    def __init__(self, entry: Any) -> None:
        self.entry = entry

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self.entry

    def __call__(self, request: HttpRequest) -> Any:
        return self.entry(request)


@way("GET")
def handler_that_a_descriptor_replaces(entry: Any) -> Any:
    guarded = functools.update_wrapper(Replacing(entry), protector()(entry))
    return type("Page", (View,), {"get": guarded}).as_view()


@way("GET")
def dispatch_that_a_descriptor_replaces(entry: Any) -> Any:
    guarded = functools.update_wrapper(Replacing(entry), guarded_class(entry).dispatch)
    return type("Page", (View,), {"get": entry, "dispatch": guarded}).as_view()


@way("GET")
def call_that_a_descriptor_replaces(entry: Any) -> Any:
    return type("Page", (), {"__call__": functools.update_wrapper(Replacing(entry), protector()(entry))})()


@way("GET")
def handler_that_a_descriptor_that_uses_it_replaces(entry: Any) -> Any:
    class Using(Replacing):
        def __call__(self, request: HttpRequest) -> Any:
            return self.guarded(request)

    descriptor = functools.update_wrapper(Using(entry), protector()(entry))
    descriptor.guarded = descriptor.__wrapped__
    return type("Page", (View,), {"get": descriptor}).as_view()


@way("GET")
def protector_that_a_descriptor_replaces(entry: Any) -> Any:
    class Choosing(ResourceProtector):
        def __get__(self, instance: Any, owner: Any) -> Any:
            return self if instance is None else lambda *args: lambda view: view

    return type("Page", (Notes,), {"get": entry, "protector": Choosing()}).as_view()


@way("GET")
def protector_set_by_a_method_that_setup_calls(entry: Any) -> Any:
    class Page(Notes):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.choose()

        def choose(self) -> None:
            self.protector = lambda *args: lambda view: view  # type: ignore[assignment]

    Page.get = entry
    return Page.as_view()


@way("GET")
def optional_set_by_what_dispatch_calls(entry: Any) -> Any:
    class Page(Notes):
        def dispatch(self, *args: Any, **kwargs: Any) -> Any:
            let_in_without_token(self)
            return super().dispatch(*args, **kwargs)

    Page.get = entry
    return Page.as_view()


def let_in_without_token(view: Any) -> None:
    view.oauth_optional = True


@way("GET")
def handler_set_from_outside(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.get = entry

    return guarded_handlers(entry, Parent).as_view()


@way("PURGE")
def handler_of_an_own_method(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.purge = entry

    return guarded_handlers(entry, Parent, purge=protector()(answer), http_method_names=["purge"]).as_view()


@way("HEAD")
def head_beside_a_get_that_is_no_method(entry: Any) -> Any:
    return guarded_handlers(entry, head=entry, http_method_names=["head"]).as_view()


@way("GET")
def handler_set_by_a_function_within(entry: Any) -> Any:
    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            def opening() -> None:
                self.get = entry

            super().setup(*args, **kwargs)
            opening()

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_by_a_method_without_self(entry: Any) -> Any:
    class Parent(View):
        def setup(*args: Any, **kwargs: Any) -> None:  # type: ignore[override]
            View.setup(*args, **kwargs)
            let_everybody_in(*args[:1])

    return guarded_handlers(entry, Parent).as_view()


def initialise(parent: Any, entry: Any) -> None:
    getattr(parent, "__init__", parent)(get=entry)


@way("GET")
def handler_set_by_a_function_with_super(entry: Any) -> Any:
    class Parent(View):
        def __init__(self, **kwargs: Any) -> None:
            initialise(super(), entry)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_by_a_function_with_the_constructor(entry: Any) -> Any:
    def initialise(make: Any) -> None:
        make(get=entry)

    class Parent(View):
        def __init__(self) -> None:
            initialise(super().__init__)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_in_a_mapping_of_its_own(entry: Any) -> Any:
    class Parent(View):
        def __init__(self) -> None:
            entries = {"get": entry}
            super().__init__(**entries)

    return guarded_handlers(entry, Parent).as_view()


@way("GET")
def handler_set_with_an_argument(entry: Any) -> Any:
    class Parent:
        mode = property(lambda self: None, let_everybody_in)

    return guarded_handlers(entry, Parent).as_view(mode=1)


def parent(cls: Any) -> Any:
    """A parent of a class with guarded handlers, whose objects answer GET to everybody."""

    def make(entry: Any) -> Any:
        return guarded_handlers(entry, cls).as_view()

    make.__name__ = cls.__name__
    return way("GET")(make)


@parent
class SettingWithTheRequest:
    request = property(lambda self: None, let_everybody_in)


class OpenedOnAssignment:
    """A descriptor without ``__get__``."""

    def __set__(self, instance: Any, value: Any) -> None:
        let_everybody_in(instance, value)


@parent
class SettingADescriptorWithTheRequest:
    request = OpenedOnAssignment()


@parent
class SettingADescriptorInSetup(View):
    page = OpenedOnAssignment()

    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        self.page = 1


@parent
class HandingOnAMapping:
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**ENTRIES, **kwargs})


@parent
class HandingOnOtherKeys:
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{GET: everybody})  # type: ignore[call-arg]


@parent
class HandingOnAnotherMapping:
    def __init__(self, *args: Any, option: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs, **ENTRIES)


@parent
class HandingOnNothingOfItsOwn:
    def __init__(self) -> None:
        entries = ENTRIES
        super().__init__(**entries)  # type: ignore[call-arg]


@parent
class HandingOnPairs:
    def __init__(self, **kwargs: Any) -> None:
        kwargs.update([(GET, everybody)])
        super().__init__(**kwargs)


@parent
class HandingOnAnUpdate:
    def __init__(self, **kwargs: Any) -> None:
        kwargs.update(**ENTRIES)
        super().__init__(**kwargs)


@parent
class HandingOnAKey:
    def __init__(self, **kwargs: Any) -> None:
        kwargs[GET] = everybody
        super().__init__(**kwargs)


@parent
class HandingOnADefault:
    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault(GET, everybody)
        super().__init__(**kwargs)


@parent
class HandingOnAnotherName:
    def __init__(self, **kwargs: Any) -> None:
        other = kwargs
        other[GET] = everybody
        super().__init__(**kwargs)


@parent
class HandingOnSomethingElse:
    def __init__(self, **kwargs: Any) -> None:
        for kwargs in (ENTRIES,):
            super().__init__(**kwargs)


@parent
class HandingOnWithin:
    def __init__(self, **kwargs: Any) -> None:
        make = super().__init__
        make(**ENTRIES)  # type: ignore[call-arg]


@parent
class HandingOnFromWithin(View):
    def __init__(self, **kwargs: Any) -> None:
        def make(**kwargs: Any) -> None:
            View.__init__(self, **kwargs)

        make(**ENTRIES)


@parent
class HandingOnByName:
    def __init__(self, **kwargs: Any) -> None:
        getattr(super(), "__init__")(**ENTRIES)  # noqa: B009


@parent
class HandingOnLater(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        super().__init__(get=everybody)


@parent
class AskingForTheDictionary(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        getattr(self, "__dict__")["get"] = everybody  # noqa: B009


@parent
class AskingForTheSetter(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        getattr(self, "__setattr__")("get", everybody)  # noqa: B009


@parent
class UsingTheDictionary(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        self.__dict__["get"] = everybody


@parent
class UsingTheSetter(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        self.__setattr__("get", everybody)


@parent
class SettingOnItsClass(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        setattr(self.__class__, "get", everybody)  # noqa: B010


@parent
class FindingItselfInAMethod(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        let_everybody_in(self.dispatch.__self__)  # type: ignore[attr-defined]


@parent
class FindingItselfAmongVariables(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        let_everybody_in(next(iter(locals().values())))


@parent
class FindingItselfAmongItsVars(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        let_everybody_in(next(iter(vars().values())))


@parent
class Executing(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        exec("self.get = everybody")


@parent
class Evaluating(View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        eval("vars(self).update(get=everybody)")


@parent
class GivingItselfAnotherName(View):
    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        def other(request: Any) -> None:
            setattr(request, "get", everybody)  # noqa: B010

        super().setup(request, *args, **kwargs)
        other(self)


@parent
class CatchingItself(View):
    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        match self:
            case object() as request:
                let_everybody_in(request)


@parent
class AnsweringItself(View):
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method == "GET":
            return everybody(request)
        return super().dispatch(request, *args, **kwargs)


@pytest.mark.parametrize(("make", "method"), WAYS, ids=lambda value: getattr(value, "__name__", value))
def test_ways_past_a_guard(make: Any, method: str) -> None:
    """Fail closed: a view is open if Django calls anything but the guarded code."""
    view = make(opened())
    # Before it answers, which may change the class.
    guarding = guarding_of_callback(view)
    assert answered(view, method) == b"open"
    assert not guarding.is_complete


def test_list_of_methods_of_its_own() -> None:
    """Fail closed: what ``options`` of Django's own calls is called without a guard."""
    cls = guarded_handlers(answer, _allowed_methods=lambda self: ["PUT"])
    assert answered(cls.as_view(), "OPTIONS") == b""
    assert not guarding_of(cls).is_complete


def render(self: Any, request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(self))


class Harmless(View, Generic[TypeVar("T")]):  # type: ignore[misc]
    """What Django calls before ``dispatch`` sets attributes, and none that Django looks up."""

    template = "page.html"

    def __init__(self, *args: Any, size: int = 1, **kwargs: Any) -> None:
        self.page = kwargs.pop("page", size)
        self.kind = self.__class__.__name__
        self.page += 1
        super().__init__(*args, **kwargs)

    @method_decorator(never_cache)
    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.tenant = self.find_tenant(request.headers.get("tenant"))
        self.visit = SimpleNamespace(request=request, template=self.template)

    def find_tenant(self, name: str | None) -> str | None:
        self.has_tenant = name is not None
        return name


class HarmlessWithoutKeywords(View):
    def __init__(self) -> None:
        super().__init__()


class HarmlessWithPlaces(View):
    def __init__(self, *args: Any) -> None:
        size = 1
        super().__init__(*args)
        self.size = size


@pytest.mark.parametrize("parent", [Harmless, HarmlessWithoutKeywords, HarmlessWithPlaces])
def test_guards_that_stand_all_the_same(parent: type) -> None:
    """A class may have methods that run before ``dispatch``, if they change nothing that Django looks up."""
    assert guarding_of(guarded_handlers(render, parent)).is_complete
    assert guarding_of(guarded_class(render, parent)).is_complete
    assert guarding_of(type("Mixed", (ProtectedResourceMixin, parent), {"protector": protector})).is_complete


def test_what_is_set_on_the_request() -> None:
    """What an own ``dispatch`` sets on the request changes nothing of the object that serves it."""

    class Passing(View):
        def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            request.tenant = 1
            return super().dispatch(request, *args, **kwargs)

    class Handing(View):
        def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            request.view = self
            return super().dispatch(request, *args, **kwargs)

    class Mixed(Passing, ProtectedResourceMixin, Handing):
        protector = protector

    assert guarding_of(Mixed).is_complete


def test_arguments_that_change_their_meaning() -> None:
    """Fail closed: an argument that stands for something else later may stand for the object."""

    class Parent(View):
        def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
            super().setup(request, *args, **kwargs)
            request = self
            setattr(request, "get", answer)  # noqa: B010

    assert not guarding_of(guarded_handlers(answer, Parent)).is_complete


def test_handlers_that_pass_on() -> None:
    """Django's own that do nothing but call another are as guarded as that one. They are plain, so the others are."""
    handler = protector("profile")(answer)
    form = type("Form", (FormView,), {"get": handler, "post": handler})
    assert guarding_of(form).is_complete
    assert not guarding_of(type("Half", (form,), {"post": answer})).is_complete
    assert not guarding_of(type("Own", (form,), {"put": answer})).is_complete
    moved = type("Moved", (RedirectView,), {"get": handler})
    assert guarding_of(moved).is_complete
    assert not guarding_of(type("Elsewhere", (RedirectView,), {"post": handler})).is_complete
    assert not guarding_of(form.as_view(http_method_names=["put"])).guards_for("POST")
    assert guarding_of_callback(form.as_view(http_method_names=["put"])).is_complete


def test_guard_on_a_class_whose_handlers_are_set() -> None:
    """A guard before ``dispatch`` stands before handlers of whatever origin, and before every refusal."""

    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.post = self.http_method_not_allowed = answer

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    assert guarding_of(guarded_class(answer, Parent)).is_complete
    assert guarding_of(guarded_class(answer)).by_method == {}


def test_what_is_open_is_told() -> None:
    """For a class with guarded handlers, each method is listed, and so is what answers all other methods."""
    guarding = guarding_of(guarded_handlers(answer, _allowed_methods=None, post=answer))
    assert {method: len(guards) for method, guards in guarding.by_method.items()} == {
        "GET": 1,
        "POST": 0,
        "PUT": 1,
        "other methods": 0,
    }
    assert guarding.methods == ("GET", "POST", "PUT")
    assert len(guarding.guards_for("get")) == len(guarding.guards_for("head")) == 1


class AnyMethod(list[str]):
    def __contains__(self, name: object) -> bool:
        return True


@pytest.mark.parametrize("names", [None, 7, "get", property(lambda self: ["get"]), [b"get", 7], AnyMethod(["get"])])
def test_methods_that_are_no_list(names: Any) -> None:
    """Fail closed: if the names of methods cannot be read, no handler is known."""
    assert not guarding_of(type("Page", (View,), {"get": protector()(answer), "http_method_names": names})).is_complete
    assert not guarding_of(guarded_handlers(answer).as_view(http_method_names=names)).is_complete


def test_as_view_of_its_own() -> None:
    """Fail closed: a custom ``as_view()`` may return any view, so only what it returns counts."""

    class Parent(View):
        @classmethod
        def as_view(cls, **kwargs: Any) -> Any:  # type: ignore[override]
            return csrf_exempt(super().as_view(**kwargs))

    for cls in (guarded_handlers(answer, Parent), guarded_class(answer, Parent)):
        assert not guarding_of(cls).is_complete
        assert guarding_of(cls.as_view()).is_complete


def test_view_sets_of_other_frameworks() -> None:
    """Fail closed: what a function says about itself is not believed. A guard on that function counts."""
    view = guarded_class(answer, ViewSet).as_view({"get": "get"})
    assert not guarding_of(view).is_complete
    assert guarding_of(protector()(view)).is_complete


def test_class_as_a_callback() -> None:
    """A class itself is analysed by its ``dispatch``; a URL that leads to the class creates an object."""
    assert guarding_of(Parent).is_complete
    assert not guarding_of_callback(Parent).is_complete
    assert not guarding_of_callback(csrf_exempt(Parent)).is_complete  # type: ignore[type-var]
    assert guarding_of_callback(protector()(functools.partial(Parent))).is_complete


def test_decorators_that_need_more_than_a_stand_in() -> None:
    """Fail closed: if one of a list of decorators cannot be tried, nobody can know what the list makes of a method."""
    times: list[Any] = []

    def picky(view: Any) -> Any:
        times.append(view)
        if len(times) > 1:
            raise RuntimeError("once is enough")
        return view

    class Page(View):
        get = method_decorator([picky, protector("above")])(protector("below")(answer))

    assert words(Page, "GET") == []


def test_handler_that_is_a_class() -> None:
    """A class in the place of a handler is made an object of, and has no guard."""

    class Page(View):
        put = protector()(answer)

        class get:  # noqa: N801
            def get(self) -> Any:
                return super().get()  # type: ignore[misc]

    assert not guarding_of(Page).is_complete


# Views that their author has reviewed.

mark = mark_reviewed("open price list")


class Reviewed(View):
    get = answer


mark(Reviewed)


class HeirOfReviewed(Reviewed):
    pass


def reviewed_function(request: HttpRequest) -> HttpResponse: ...


mark(reviewed_function)


@pytest.mark.parametrize(
    "view",
    [
        reviewed_function,
        csrf_exempt(reviewed_function),
        mark(csrf_exempt(answer)),
        Reviewed,
        Reviewed.as_view(),
        never_cache(Reviewed.as_view()),
        mark(type("Page", (View,), {"get": answer}).as_view()),
        mark(functools.partial(answer)),
    ],
)
def test_review(view: Any) -> None:
    """A mark is found on a view of any kind, below and above decorators, and is no guard."""
    guarding = guarding_of(view)
    assert guarding.review == "open price list"
    assert not guarding.is_complete


@pytest.mark.parametrize(
    "view",
    [
        answer,
        HeirOfReviewed,
        HeirOfReviewed.as_view(),
        functools.update_wrapper(lambda request: None, reviewed_function),
        type("Page", (View,), {"get": reviewed_function}),
    ],
)
def test_views_without_a_review(view: Any) -> None:
    """A mark counts for the view that its author has seen: not for a subclass, nor for a copy of its attributes."""
    assert guarding_of(view).review is None


def test_review_of_a_guarded_view() -> None:
    """A mark takes nothing from a guard."""
    guarding = guarding_of(mark(protector("a")(answer)))
    assert (guarding.is_complete, guarding.review) == (True, "open price list")


def test_review_changes_nothing_else() -> None:
    """A marked view is the same view, and its guard refuses as before."""
    view = protector()(opened())
    assert mark(view) is view
    assert view(RequestFactory().get("/")).status_code == 401


@pytest.mark.parametrize("reason", ["", "  ", None, answer])
def test_review_without_a_reason(reason: Any) -> None:
    """A mark needs a reason, also where its parentheses are forgotten."""
    with pytest.raises(
        TypeError, match=r"^mark_reviewed: reason must be a non-empty string, got (str|NoneType|function)$"
    ):
        mark_reviewed(reason)


def test_review_of_what_keeps_no_mark() -> None:
    """What cannot keep a mark is named at once."""
    with pytest.raises(TypeError, match=r"^mark_reviewed cannot mark a method; mark the function or class$"):
        mark(Witness().answer)
