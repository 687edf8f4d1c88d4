"""What guards a view: nothing guarded is missed, and nothing unguarded is taken for guarded."""

import functools
import inspect
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET
from django.views.generic import FormView, RedirectView

from async_oauth_guard import BearerTokenValidator, ProtectedResourceMixin, ResourceProtector, require_oauth
from async_oauth_guard.guarding import class_behind, guarding_of, guarding_of_callback, layers_of
from async_oauth_guard.requirements import describe_requirements
from async_oauth_guard.routes import guards_of
from tests.grid.kinds import KINDS, view_class
from tests.site.models import OAuth2Token
from tests.sites import COLOURS, Witness

both_colours = pytest.mark.parametrize("colour", COLOURS)
protector = ResourceProtector(BearerTokenValidator(OAuth2Token))


def words(view: Any, method: str | None = None) -> list[str]:
    """What the guards of a view ask for, outermost first."""
    return [describe_requirements(guard.requirements) for guard in guards_of(view, method)]


def answer(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse()


@both_colours
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str, colour: str) -> None:
    """A guarded view of any kind is known as one."""
    view = KINDS[kind](Witness(), colour, protector, {"scopes": "profile"})
    if kind == "include()":
        ((resolver,), _, _) = (view[0].url_patterns, None, None)
        view = resolver.url_patterns[0].callback
    assert guarding_of(view).is_whole
    assert words(view, "GET") == ["profile"]
    assert words(view) == ([] if kind == "method" else ["profile"])


@both_colours
def test_open_views(colour: str) -> None:
    """A plain view, an async one and a class without a guard are known as that."""
    cls = view_class(Witness(), colour)
    for view in (Witness().view(colour), cls, cls.as_view(), functools.partial(Witness().view(colour), extra=1)):
        assert words(view, "GET") == []
        assert not guarding_of(view).is_whole


DECORATORS: list[Callable[[Any], Any]] = [
    csrf_exempt,
    never_cache,
    require_GET,
    lambda view: functools.partial(view, extra=1),
    lambda view: functools.partial(functools.partial(csrf_exempt(view), extra=1)),
]


@both_colours
@pytest.mark.parametrize("decorate", DECORATORS)
def test_decorators_above(decorate: Any, colour: str) -> None:
    """What stands above a guard hides it not."""
    assert words(decorate(protector("a")(Witness().view(colour)))) == ["a"]
    assert words(decorate(protector("a")(view_class(Witness(), colour)).as_view())) == ["a"]
    assert words(protector("a")(decorate(Witness().view(colour)))) == ["a"]


def test_other_colour() -> None:
    """A guarded view that was made to serve the other colour is a guarded one."""
    assert words(sync_to_async(protector("a")(Witness().view("def")))) == ["a"]
    assert words(csrf_exempt(sync_to_async(protector("a")(view_class(Witness(), "def").as_view())))) == ["a"]


def test_decorator_that_hides_what_it_wraps() -> None:
    """A decorator without ``functools.wraps`` hides the guard; then the view counts as open."""
    guarded = protector("a")(Witness().view("def"))
    assert not guarding_of(lambda request: guarded(request)).is_whole


@both_colours
def test_nested_guards(colour: str) -> None:
    """Of nested guards each is told once, outermost first."""
    assert words(protector("a")(csrf_exempt(protector("b")(Witness().view(colour))))) == ["a", "b"]
    assert words(protector("a")(protector("b")(view_class(Witness(), colour)).as_view())) == ["a", "b"]
    cls = method_decorator(protector("a"), name="dispatch")(protector("b")(view_class(Witness(), colour)))
    assert words(cls.as_view()) == ["a", "b"]


def test_guards_in_a_list_of_decorators() -> None:
    """``method_decorator`` takes several, of which each is looked at."""
    cls = method_decorator([never_cache, protector("a"), csrf_exempt, protector("b")], name="dispatch")(
        view_class(Witness(), "def")
    )
    assert words(cls.as_view()) == ["a", "b"]
    assert words(method_decorator(never_cache, name="dispatch")(view_class(Witness(), "def")).as_view()) == []


def test_proxies_without_end() -> None:
    """Who answers with another layer to whatever is asked is left alone after a while."""

    class Endless:
        def __getattr__(self, name: str) -> Any:
            return Endless()

        def __call__(self, request: HttpRequest) -> HttpResponse: ...

    assert len(list(layers_of(Endless()))) == 100
    assert not guarding_of(Endless()).is_whole
    assert words(SimpleLazyObject(lambda: protector("a")(Witness().view("def")))) == ["a"]


def test_class_behind() -> None:
    """The class of a view is told by itself and what ``as_view()`` returned, by nothing above."""
    cls = view_class(Witness(), "def")
    view = cls.as_view()
    assert [class_behind(each) for each in (cls, view, csrf_exempt(view), answer)] == [cls, cls, None, None]


# Objects and methods.


def test_callable_objects() -> None:
    """A guard may stand on the ``__call__`` of an object's class; a child's own may answer before it comes to that."""

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


@both_colours
def test_bound_methods(colour: str) -> None:
    """A method of an object is a view like others."""

    class Pages:
        guarded = protector("a")(Witness().view(colour))

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


class CallingOldStyle(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super(CallingOldStyle, self).dispatch(request, *args, **kwargs)  # noqa: UP008 - it is what is tested


class CallingByName(Parent):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return Parent.dispatch(self, request, *args, **kwargs)


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
    CallingOldStyle,
    CallingByName,
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
    SkippingOldStyle,
    CallingAnother,
    CallingAStranger,
    CallingASide,
    CallingItself,
    CallingNobody,
    Naming,
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
    calling_what_is_not_there(),
    CallingAnObject,
    Shadowed,
]


@pytest.mark.parametrize("cls", NOT_REACHING)
def test_guard_that_is_not_reached(cls: Any) -> None:
    """Fail closed: an own ``dispatch`` that may leave out its parent's guarded one leaves the class open."""
    assert words(cls) == words(cls.as_view()) == []
    assert not guarding_of(cls.as_view()).is_whole


def test_code_without_a_source() -> None:
    """Fail closed: of an own ``dispatch`` whose source is not there nobody can tell what it calls."""
    names: dict[str, Any] = {"Parent": Parent}
    exec("class Child(Parent):\n  def dispatch(self, request):\n    return super(Child, self).dispatch(request)", names)
    assert not guarding_of(names["Child"]).is_whole


def test_source_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many classes share a ``dispatch``, and however often they are asked about, its source is read once."""

    class Shared(Parent):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(request, *args, **kwargs)

    read: list[Any] = []
    monkeypatch.setattr(
        inspect, "getsource", lambda code, getsource=inspect.getsource: read.append(code) or getsource(code)
    )
    for _ in range(3):
        assert guarding_of(type("Child", (Shared,), {}).as_view()).is_whole
    assert read.count(Shared.dispatch.__code__) == 1
    assert len(read) == len(set(read))


def test_borrowed_dispatch() -> None:
    """A ``dispatch`` that was taken from another class, guard and all, is guarded."""
    assert words(Stranger) == ["parent"]


def test_guard_on_a_child_of_a_guarded_class() -> None:
    """Both guards are told, and what stands between them in a child does not hide the inner one."""

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
    """A class of which each method has a guard is guarded, and each method's guard is told; HEAD is GET's."""

    class Page(View):
        get = protector("read")(answer)

        @method_decorator(protector("write"))
        def post(self, request: HttpRequest) -> HttpResponse: ...

    assert guarding_of(Page.as_view()).is_whole
    assert words(Page.as_view()) == words(Page.as_view(), "OPTIONS") == words(Page.as_view(), "PUT") == []
    assert words(Page.as_view(), "GET") == words(Page.as_view(), "HEAD") == ["read"]
    assert words(Page.as_view(), "POST") == ["write"]


def test_one_open_method() -> None:
    """Fail closed: one method without a guard leaves the class open, be it ``head`` or ``options``."""
    for name in ("post", "head", "options"):
        cls: Any = type("Page", (View,), {"get": protector("read")(answer), name: answer})
        assert not guarding_of(cls).is_whole
        assert words(cls, name.upper()) == []
        assert words(cls, "GET") == ["read"]
        # Which is of no account where it is never called.
        assert guarding_of(cls.as_view(http_method_names=["get"])).is_whole


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

    assert guarding_of(Heir).is_whole
    assert not guarding_of(CallingGet).is_whole
    assert not guarding_of(IgnoringGet).is_whole


def test_methods_behind_an_own_dispatch() -> None:
    """Guards of methods count behind Django's own ``dispatch``: another may answer in their place."""

    class Page(View):
        get = protector("read")(answer)

    class Own(Page):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any: ...

    @method_decorator(csrf_exempt, name="dispatch")
    class Decorated(Page):
        pass

    assert guarding_of(Decorated).is_whole
    assert not guarding_of(Own).is_whole
    assert not guarding_of(type("Between", (Mixin, Page), {})).is_whole
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
    assert not guarding_of(View.as_view()).is_whole
    assert not guarding_of(Witness).is_whole
    assert not guarding_of(type("Halves", (Mixin,), {"as_view": View.as_view})).is_whole


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
    """Fail closed: a child of it is guarded if it comes to the mixin's ``dispatch``; its guard stands in its place."""

    class Between(Notes):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(request, *args, **kwargs)

    class Away(Notes):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any: ...

    assert words(protector("outer")(Between)) == ["outer", "notes:read"]
    assert words(Away) == []


def test_mixin_with_arguments_that_cannot_work() -> None:
    """Arguments of ``as_view()`` that no guard takes are no guard."""
    assert words(Notes.as_view(required_scopes=7)) == words(Notes.as_view(required_scopes="")) == []


def test_borrowed_mixin() -> None:
    """Its ``dispatch`` alone, in a class that has nothing of what it asks for, guards nothing."""

    class Borrowing(View):
        dispatch = ProtectedResourceMixin.dispatch

    assert not guarding_of(Borrowing).is_whole


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
    assert words(protector("outer")(cls)) == ["outer"]


# Ways past a guard. Each is gone, and found open.


def opened(colour: str) -> Any:
    """A handler, method or function that lets everybody in."""

    def sync_view(*args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse("open")

    async def async_view(*args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse("open")

    return {"def": sync_view, "async def": async_view}[colour]


def answered(view: Any, method: str) -> bytes:
    """What the view says to somebody without a token."""
    response = view(RequestFactory().generic(method, "/"))
    return bytes((async_to_sync(_awaited)(response) if inspect.isawaitable(response) else response).content)


async def _awaited(response: Any) -> Any:
    return await response


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
            self.get = self.entry  # type: ignore[attr-defined]

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
            self.post = self.entry  # type: ignore[attr-defined]

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
def handler_set_with_an_argument(entry: Any) -> Any:
    class Parent(Entries):
        mode = property(lambda self: None, let_everybody_in)

    return guarded_handlers(entry, Parent).as_view(mode=1)


class Entries:
    """What ways past a guard have in common: the handler that lets everybody in, and names for it."""

    entry: Any
    get: Any
    dispatch: Any
    method = "get"

    @property
    def entries(self) -> dict[str, Any]:
        return {self.method: self.entry}


def let_everybody_in(self: Entries, value: Any) -> None:
    """Put the handler that does in the place of ``get``, whatever is assigned."""
    self.get = self.entry


def parent(cls: Any) -> Any:
    """A parent of a class with guarded handlers, whose objects answer GET to everybody."""

    def make(entry: Any) -> Any:
        return guarded_handlers(entry, cls).as_view()

    make.__name__ = cls.__name__
    return way("GET")(make)


@parent
class SettingWithTheRequest(Entries):
    request = property(lambda self: None, let_everybody_in)


@parent
class HandingOnAMapping(Entries):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**self.entries, **kwargs})


@parent
class HandingOnOtherKeys(Entries):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{self.method: self.entry})  # type: ignore[call-arg]


@parent
class HandingOnAnotherMapping(Entries):
    def __init__(self, *args: Any, option: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs, **self.entries)


@parent
class HandingOnNothingOfItsOwn(Entries):
    def __init__(self) -> None:
        entries = self.entries
        super().__init__(**entries)  # type: ignore[call-arg]


@parent
class HandingOnPairs(Entries):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.update([(self.method, self.entry)])
        super().__init__(**kwargs)


@parent
class HandingOnAnUpdate(Entries):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.update(**self.entries)
        super().__init__(**kwargs)


@parent
class HandingOnAKey(Entries):
    def __init__(self, **kwargs: Any) -> None:
        kwargs[self.method] = self.entry
        super().__init__(**kwargs)


@parent
class HandingOnADefault(Entries):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault(self.method, self.entry)
        super().__init__(**kwargs)


@parent
class HandingOnAnotherName(Entries):
    def __init__(self, **kwargs: Any) -> None:
        other = kwargs
        other[self.method] = self.entry
        super().__init__(**kwargs)


@parent
class HandingOnSomethingElse(Entries):
    def __init__(self, **kwargs: Any) -> None:
        for kwargs in (self.entries,):
            super().__init__(**kwargs)


@parent
class HandingOnWithin(Entries):
    def __init__(self, **kwargs: Any) -> None:
        make = super().__init__
        make(**self.entries)  # type: ignore[call-arg]


@parent
class HandingOnFromWithin(Entries, View):
    def __init__(self, **kwargs: Any) -> None:
        def make(**kwargs: Any) -> None:
            View.__init__(self, **kwargs)

        make(**self.entries)


@parent
class HandingOnByName(Entries):
    def __init__(self, **kwargs: Any) -> None:
        getattr(super(), "__init__")(**self.entries)  # noqa: B009


@parent
class HandingOnLater(Entries, View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        View.__init__(self, get=self.entry)


@parent
class AskingForTheDictionary(Entries, View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        getattr(self, "__dict__")["get"] = self.entry  # noqa: B009


@parent
class AskingForTheSetter(Entries, View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        getattr(self, "__setattr__")("get", self.entry)  # noqa: B009


@parent
class Executing(Entries, View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        exec("self.get = self.entry")


@parent
class Evaluating(Entries, View):
    def setup(self, *args: Any, **kwargs: Any) -> None:
        super().setup(*args, **kwargs)
        eval("vars(self).update(get=self.entry)")


@parent
class GivingItselfAnotherName(Entries, View):
    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        def other(request: Any) -> None:
            setattr(request, "get", request.entry)  # noqa: B010

        super().setup(request, *args, **kwargs)
        other(self)


@parent
class CatchingItself(Entries, View):
    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        match self:
            case object() as request:
                setattr(request, "get", request.entry)  # noqa: B010


@parent
class AnsweringItself(Entries, View):
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method == "GET":
            return self.entry(request)
        return super().dispatch(request, *args, **kwargs)


@both_colours
@pytest.mark.parametrize(("make", "method"), WAYS, ids=lambda value: getattr(value, "__name__", value))
def test_ways_past_a_guard(make: Any, method: str, colour: str) -> None:
    """Fail closed: whoever lets Django call something else than the guarded code has an open view."""
    view = make(opened(colour))
    assert answered(view, method) == b"open"
    assert not guarding_of_callback(view).is_whole


def test_list_of_methods_of_its_own() -> None:
    """Fail closed: what ``options`` of Django's own calls is called without a guard."""
    cls = guarded_handlers(answer, _allowed_methods=lambda self: ["PUT"])
    assert answered(cls.as_view(), "OPTIONS") == b""
    assert not guarding_of(cls).is_whole


def test_guards_that_stand_all_the_same() -> None:
    """What Django calls before ``dispatch`` may do what it likes, if it assigns nothing that Django looks up."""

    class Parent(View, Generic[TypeVar("T")]):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.kind = self.__class__.__name__

        @method_decorator(never_cache)
        def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
            super().setup(request, *args, **kwargs)
            self.page = request.GET.get("page")

    class Other(Protocol):
        """A protocol's constructor is Python's own."""

    assert guarding_of(guarded_handlers(answer, Parent)).is_whole
    assert guarding_of(guarded_class(answer, Parent)).is_whole
    assert guarding_of(guarded_handlers(answer, WithOptions)).is_whole
    assert guarding_of(guarded_class(answer, WithOptions)).is_whole
    assert guarding_of(guarded_handlers(answer, Other)).is_whole


class WithOptions(View):
    """Of its keywords it reads what it likes, and adds others by their names."""

    options_known: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, size: int = 1, **kwargs: Any) -> None:
        self.page = kwargs.pop("page", size) if "page" in kwargs else kwargs.get("other")
        for name in set(kwargs.keys()):
            self.options_known[name] = kwargs[name]
            del kwargs[name]
        kwargs["kind"] = "page"
        kwargs.setdefault("title", "Page")
        kwargs.update(colour="blue")
        self.log = logging.LoggerAdapter(logging.getLogger(), **self.options_known)
        super().__init__(**{"order": "asc", **kwargs})


def test_what_is_assigned_to_others() -> None:
    """What is assigned to the request is not assigned to the object that serves it; nor is every word a name."""

    class Parent(View):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.log = logging.getLogger("dispatch")
            self.kind = "get"

        def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
            super().setup(request, *args, **kwargs)
            setattr(request, "tenant", 1)  # noqa: B010
            request.__dict__["account"] = vars(request).get("tenant")
            request.get = request.headers
            self.later = lambda name: setattr(request, name, 2)
            self.visit = SimpleNamespace(request=request)

    class Passing(Parent):
        def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            setattr(request, "later", 2)  # noqa: B010
            return super().dispatch(request, *args, **kwargs)

    class Mixed(ProtectedResourceMixin, Passing):
        protector = protector

    assert guarding_of(guarded_handlers(answer, Parent)).is_whole
    assert guarding_of(guarded_class(answer, Passing)).is_whole
    assert guarding_of(Mixed).is_whole


def test_arguments_that_change_their_meaning() -> None:
    """Fail closed: an argument that stands for something else later may stand for the object."""

    class Parent(View):
        def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
            super().setup(request, *args, **kwargs)
            request = self
            setattr(request, "get", answer)  # noqa: B010

    assert not guarding_of(guarded_handlers(answer, Parent)).is_whole


def test_handlers_that_pass_on() -> None:
    """Django's own that do nothing but call another are as guarded as that one. They are plain, so the others are."""
    handler = protector("profile")(answer)
    form = type("Form", (FormView,), {"get": handler, "post": handler})
    assert guarding_of(form).is_whole
    assert not guarding_of(type("Half", (form,), {"post": answer})).is_whole
    assert not guarding_of(type("Own", (form,), {"put": answer})).is_whole
    moved = type("Moved", (RedirectView,), {"get": handler})
    assert guarding_of(moved).is_whole
    assert not guarding_of(type("Elsewhere", (RedirectView,), {"post": handler})).is_whole
    assert not guarding_of(form.as_view(http_method_names=["put"])).guards_for("POST")
    assert guarding_of_callback(form.as_view(http_method_names=["put"])).is_whole


def test_guard_on_a_class_whose_handlers_are_set() -> None:
    """A guard before ``dispatch`` stands before handlers of whatever origin, and before every refusal."""

    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.post = self.http_method_not_allowed = answer

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    assert guarding_of(guarded_class(answer, Parent)).is_whole
    assert guarding_of(guarded_class(answer)).by_method == {}


def test_what_is_open_is_told() -> None:
    """Of a class with guarded handlers it is told which others there may be."""

    class Parent(View):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            super().setup(*args, **kwargs)
            self.post = answer

    guarding = guarding_of(guarded_handlers(answer, Parent, _allowed_methods=None))
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
    """Fail closed: where the names of methods are not to be read, no handler is known."""
    assert not guarding_of(type("Page", (View,), {"get": protector()(answer), "http_method_names": names})).is_whole
    assert not guarding_of(guarded_handlers(answer).as_view(http_method_names=names)).is_whole


def test_as_view_of_its_own() -> None:
    """Fail closed: a class may hand on other handlers than those that it has; what it returns is judged by itself."""

    class Parent(View):
        @classmethod
        def as_view(cls, **kwargs: Any) -> Any:  # type: ignore[override]
            return csrf_exempt(super().as_view(**kwargs))

    single, whole = guarded_handlers(answer, Parent), guarded_class(answer, Parent)
    assert not guarding_of(single).is_whole
    assert guarding_of(single.as_view()).is_whole
    assert guarding_of(whole).is_whole
    assert guarding_of(whole.as_view()).is_whole


def test_view_sets_of_other_frameworks() -> None:
    """Fail closed: what a function says of itself is not believed. A guard on that function is one."""
    view = guarded_class(answer, ViewSet).as_view({"get": "get"})
    assert not guarding_of(view).is_whole
    assert guarding_of(protector()(view)).is_whole


def test_class_as_a_callback() -> None:
    """A class is judged by its ``dispatch`` where it is asked about itself; a URL that leads to it makes an object."""
    assert guarding_of(Parent).is_whole
    assert not guarding_of_callback(Parent).is_whole
    assert not guarding_of_callback(csrf_exempt(Parent)).is_whole  # type: ignore[type-var]
    assert guarding_of_callback(protector()(functools.partial(Parent))).is_whole


def test_decorators_that_want_more_than_a_stand_in() -> None:
    """A decorator that cannot be asked is taken to call what it wraps; others beside it are not seen."""
    times: list[Any] = []

    def picky(view: Any) -> Any:
        times.append(view)
        if len(times) > 1:
            raise RuntimeError("once is enough")
        return view

    class Page(View):
        get = method_decorator([picky, protector("lost")])(protector("found")(answer))

    assert words(Page, "GET") == ["found"]


def test_handler_that_is_a_class() -> None:
    """A class in the place of a handler is made an object of, and has no guard."""

    class Page(View):
        put = protector()(answer)

        class get:  # noqa: N801
            def get(self) -> Any:
                return super().get()  # type: ignore[misc]

    assert not guarding_of(Page).is_whole
