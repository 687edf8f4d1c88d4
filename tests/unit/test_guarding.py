"""What guards a view: nothing guarded is missed, and nothing unguarded is taken for guarded."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

from async_oauth_guard import BearerTokenValidator, ProtectedResourceMixin, ResourceProtector, require_oauth
from async_oauth_guard.guarding import class_behind, guarding_of, layers_of
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
    """A guard may stand on the ``__call__`` of an object's class, and a child's may come to its parent's."""

    class Guarded:
        @protector("a")
        def __call__(self, request: HttpRequest) -> HttpResponse: ...

    class Child(Guarded):
        def __call__(self, request: HttpRequest) -> HttpResponse:
            return super().__call__(request)

    class Open(Guarded):
        def __call__(self, request: HttpRequest) -> HttpResponse: ...

    assert words(Guarded()) == words(Child()) == ["a"]
    assert words(Open()) == []


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
        self.kept = super().dispatch
        return self.kept(request, *args, **kwargs)


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
    """A method that comes to its parent's guarded one is guarded; one that does not is open."""

    class Page(View):
        get = protector("read")(answer)

    class CallingGet(Page):
        def get(self, request: HttpRequest) -> HttpResponse:
            return super().get(request)

    class IgnoringGet(Page):
        def get(self, request: HttpRequest) -> HttpResponse: ...

    assert guarding_of(CallingGet).is_whole
    assert not guarding_of(IgnoringGet).is_whole


def test_methods_behind_an_own_dispatch() -> None:
    """Guards of methods count behind Django's own ``dispatch``: another may do without the methods."""

    class Page(Mixin, View):
        get = protector("read")(answer)

    class Own(View):
        get = protector("read")(answer)

        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any: ...

    assert guarding_of(Page).is_whole
    assert not guarding_of(Own).is_whole


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


# Django REST framework's view sets.


def test_marks_of_other_frameworks() -> None:
    """A view that names its class as ``cls`` is looked through to the ``dispatch`` of that."""

    def view(request: HttpRequest) -> HttpResponse: ...

    view.cls = Parent  # type: ignore[attr-defined]
    assert words(view) == words(csrf_exempt(view)) == ["parent"]
