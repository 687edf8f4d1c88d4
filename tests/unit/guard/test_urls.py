"""Guarding what ``include()`` takes or returns."""

from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path, reverse
from django.urls.resolvers import RoutePattern

from async_oauth_guard.guard.urls import guard_urls
from tests.sites import serving


def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse()


def other(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def mark(callback: Any) -> Any:
    """A guard that can be recognised."""
    return ("guarded", callback)


def module() -> ModuleType:
    made = ModuleType("urls")
    made.urlpatterns = [path("x/", view, name="x")]  # type: ignore[attr-defined]
    return made


def named_module() -> ModuleType:
    made = module()
    made.app_name = "app"  # type: ignore[attr-defined]
    return made


TAKEN: list[tuple[Any, str | None, str | None]] = [
    ([path("x/", view)], None, None),
    (([path("x/", view)], "app"), "app", "app"),
    (include([path("x/", view)]), None, None),
    (include(([path("x/", view)], "app"), namespace="ns"), "app", "ns"),
    (module(), None, None),
    (named_module(), "app", "app"),
    (include(named_module(), namespace="ns"), "app", "ns"),
    ("tests.urls", None, None),
]


@pytest.mark.parametrize(("urls", "app_name", "namespace"), TAKEN, ids=lambda part: repr(part)[:30])
def test_whatever_include_takes_or_returns(urls: Any, app_name: str | None, namespace: str | None) -> None:
    """Patterns, pairs, modules, names of modules and results of ``include()`` are taken, and a triple is returned."""
    patterns, *names = guard_urls(urls, mark)
    assert names == [app_name, namespace]
    expected = [] if urls == "tests.urls" else [("guarded", view)]
    assert [pattern.callback for pattern in patterns] == expected  # type: ignore[union-attr]


def test_wrong_urls_are_djangos_matter() -> None:
    """What ``include()`` refuses is refused in its words."""
    with pytest.raises(ImproperlyConfigured):
        guard_urls(([path("x/", view)], "app", "ns", "more"), mark)
    with pytest.raises(ImportError):
        guard_urls("no.such.module", mark)


def test_what_a_pattern_has_is_kept() -> None:
    """Route, default arguments and name stay."""
    given = re_path("^y/(?P<n>[0-9]+)/$", view, {"extra": 7}, name="y")
    (guarded,), *_ = guard_urls([given], mark)
    assert isinstance(guarded, URLPattern)
    assert guarded.pattern is given.pattern
    assert (guarded.default_args, guarded.name) == ({"extra": 7}, "y")
    assert given.callback is view


def test_what_a_resolver_has_is_kept() -> None:
    """Views at every depth are guarded, default arguments and namespaces of resolvers stay."""
    innermost = path("a/", other, name="a")
    inner = path("in/", include(([innermost], "inner"), namespace="n"), {"extra": 7})
    given = path("out/", include([inner]))
    (guarded,), *_ = guard_urls([given], mark)
    assert isinstance(guarded, URLResolver)
    nested = guarded.url_patterns[0]
    assert isinstance(nested, URLResolver)
    assert (nested.app_name, nested.namespace, nested.default_kwargs) == ("inner", "n", {"extra": 7})
    assert nested.pattern is inner.pattern
    assert nested.url_patterns[0].callback == ("guarded", other)  # type: ignore[union-attr]
    assert innermost.callback is other


def test_subclasses_of_patterns_stay_subclasses() -> None:
    """A pattern of a site's own class is one afterwards."""

    class Pattern(URLPattern):
        pass

    class Resolver(URLResolver):
        pass

    pattern = Pattern(RoutePattern("x/", name="x", is_endpoint=True), view, None, "x")
    (guarded, nested), *_ = guard_urls([pattern, Resolver(RoutePattern("y/"), [pattern])], mark)
    assert type(guarded) is Pattern
    assert type(nested) is Resolver
    assert type(nested.url_patterns[0]) is Pattern


def test_names_can_be_reversed() -> None:
    """Names and namespaces lead where they led before."""
    with serving([path("api/", guard_urls(([path("x/", view, name="x")], "app"), lambda callback: callback))]):
        assert reverse("app:x") == "/api/x/"
