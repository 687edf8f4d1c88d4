"""``assert_guarded``: what has no guard fails the test, and is named; what has one is not."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path
from django.views import View

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.diagnostics.review import mark_reviewed
from async_oauth_guard.testing import Route, assert_guarded, iter_routes
from tests.grid.kinds import KINDS
from tests.site.models import OAuth2Token
from tests.sites import MODES, Urls, Witness, serving

protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
HERE = "tests.kit.test_guarded"


def plain(request: HttpRequest) -> HttpResponse: ...


async def coroutine(request: HttpRequest) -> HttpResponse: ...


class Page(View):
    def get(self, request: HttpRequest) -> HttpResponse: ...


class Half(View):
    get = protector("read")(Page.get)
    post = Page.get


PLANTED = [
    path("plain", plain, name="plain"),
    path("async", coroutine),
    path("in/", include(([path("class", Page.as_view(), name="class")], "inner"))),
    path("half", Half.as_view()),
]


def guarded_site() -> list[Any]:
    """Guarded views of every kind, sync and async."""
    views = []
    for kind, make in KINDS.items():
        for mode in MODES:
            view = make(Witness(), mode, protector, {"scopes": "profile"})
            route = f"{len(views)}-{kind}"
            views.append(path(route, view, name="kind") if callable(view) else path(route, include(view)))
    return [*views, path("optional", protector(optional=True)(plain))]


def test_planted_views() -> None:
    """A plain, an async and a class-based view without a guard are each found, and nothing else is named."""
    with serving([*guarded_site(), *PLANTED]), pytest.raises(AssertionError) as caught:
        assert_guarded()
    assert str(caught.value).splitlines() == [
        "unguarded:",
        f"  /plain ({HERE}.plain): unguarded",
        f"  /async ({HERE}.coroutine): unguarded",
        f"  /in/class ({HERE}.Page): unguarded",
        f"  /half ({HERE}.Half): GET: read; POST: unguarded",
        "Guard it, mark it with mark_reviewed, or add its path (such as '/admin/*'), name or view to"
        " OAUTH_GUARD['UNGUARDED'].",
    ]


def test_guarded_site() -> None:
    """Of a site without an open view nothing is named; the same of a configuration that is given."""
    with serving(guarded_site()):
        assert_guarded()
        assert_guarded("kind")
        assert all(isinstance(route, Route) and route.is_guarded for route in iter_routes())
    assert_guarded(urlconf=Urls(*guarded_site()))


def test_allowed_routes() -> None:
    """A check of the whole site skips the routes that the setting allows. A check of one such view does not."""
    with serving(PLANTED, OAUTH_GUARD={"UNGUARDED": ["/plain", "*.coroutine", "inner:*", "/half"]}):
        assert_guarded()
        # Nor is the setting recommended, which would not help.
        with pytest.raises(AssertionError, match=r"^unguarded:\n  /plain \(tests.kit.test_guarded.plain\): unguarded$"):
            assert_guarded("/plain")
    with serving(PLANTED, OAUTH_GUARD={"UNGUARDED": ["/plain"]}), pytest.raises(AssertionError, match="/async"):
        assert_guarded()


def test_reviewed_routes() -> None:
    """A check of the whole site skips the views marked as reviewed. A check of one such view does not."""
    view = mark_reviewed("open price list")(lambda request: HttpResponse())
    with serving([*guarded_site(), path("prices", view)]):
        assert_guarded()
        with pytest.raises(AssertionError, match=r"^unguarded:\n  /prices \(.*\): reviewed: open price list$"):
            assert_guarded("/prices")


def test_site_without_the_setting() -> None:
    """A site whose protectors are its own needs no setting."""
    with override_settings(ROOT_URLCONF=Urls(*guarded_site())):
        from django.conf import settings

        del settings.OAUTH_GUARD
        assert_guarded()


@pytest.mark.parametrize("url", ["/plain", "plain", "/async?x=1", "/in/class", "inner:class", "http://x/half"])
def test_urls_of_open_views(url: str) -> None:
    """A view may be named by its path or by the name of its URL."""
    with pytest.raises(AssertionError, match=r"^unguarded:\n  /"):
        assert_guarded(url, urlconf=Urls(*PLANTED))


def test_url_that_is_not_there() -> None:
    """A path that nobody answers, or a name that nothing has, fails, and says why."""
    with serving(PLANTED):
        with pytest.raises(AssertionError, match=r"^no route matches '/nothing'$"):
            assert_guarded("/nothing")
        with pytest.raises(AssertionError, match=r"^there is no URL named 'nothing'; a path begins with '/'$"):
            assert_guarded("nothing")


@pytest.mark.parametrize("view", [plain, coroutine, Page, Page.as_view(), Half, Half.as_view(), Witness().answer])
def test_open_views(view: Any) -> None:
    """A view can be given itself, or its class."""
    with pytest.raises(AssertionError, match=r"^unguarded: (tests.kit.test_guarded|tests.sites|django.views.generic)"):
        assert_guarded(view)


def test_open_object() -> None:
    """An object without a name is named by its class."""

    class Pages:
        def __call__(self, request: HttpRequest) -> HttpResponse: ...

    with pytest.raises(AssertionError, match=rf"^unguarded: {HERE}.test_open_object.<locals>.Pages$"):
        assert_guarded(Pages())


def test_what_has_no_module() -> None:
    """Some of Python's own functions are in no module; whatever they would answer, no guard stands before them."""
    with pytest.raises(AssertionError, match=r"^unguarded: str\.upper$"):
        assert_guarded(str.upper)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "include()"])
def test_guarded_views(kind: str, mode: str) -> None:
    """A guarded view of any kind passes."""
    assert_guarded(KINDS[kind](Witness(), mode, protector, {}))


@pytest.mark.parametrize("wrong", [7, ["/plain"], b"/plain"])
def test_what_is_neither(wrong: Any) -> None:
    """Anything else is an error that says what to write."""
    with pytest.raises(
        TypeError, match=r"^url_or_view must be a path, the name of a URL, or a view, got (int|list|bytes)$"
    ):
        assert_guarded(wrong)


def test_broken_site() -> None:
    """A site whose configuration cannot be loaded passes no test."""
    with override_settings(ROOT_URLCONF="tests.nowhere"), pytest.raises(ImproperlyConfigured, match=r"tests\.nowhere"):
        assert_guarded()
