"""The list of routes."""

import functools
import re
import sys
from types import ModuleType
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import URLPattern, URLResolver, clear_url_caches, include, path, re_path
from django.urls.resolvers import RoutePattern
from django.utils import translation
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from async_oauth_guard import (
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ProtectedResourceMixin,
    ResourceProtector,
    TokenValidator,
    require_oauth,
)
from async_oauth_guard.diagnostics import routes
from async_oauth_guard.diagnostics.routes import (
    Route,
    import_urls,
    is_allowed,
    iter_routes,
    patterns_of_allowed,
    route_of,
)
from async_oauth_guard.diagnostics.validator_names import name_of_validator
from async_oauth_guard.diagnostics.view_analysis import guarding_of_callback
from tests.grid.kinds import KINDS
from tests.site.models import OAuth2Token
from tests.sites import MODES, Urls, Witness, serving

sync_and_async = pytest.mark.parametrize("mode", MODES)
protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
ISSUER = "https://as.example.com"


def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse()


def route(callback: Any) -> Route:
    """The one route of a site with this view."""
    (found,) = iter_routes(Urls(path("", callback)))
    return found


# Paths and names.

PATHS: list[tuple[Any, str, str | None]] = [
    (path("", view), "/", None),
    (path("reports/<int:year>", view, name="yearly"), "/reports/<int:year>", "yearly"),
    (re_path(r"^reports/(?P<year>[0-9]{4})/$", view, name="yearly"), "/reports/<year>/", "yearly"),
    (re_path(r"^(\d+)/(\w+)\.html$", view), "/<_0>/<_1>.html", None),
    (re_path(r"^x(?:/(?P<y>\d+))?$", view), "/x/<y>", None),
    (re_path(r"^50%$", view), "/50%", None),
    (re_path(r"^a|b$", view), "/a|b", None),
    (re_path(r"a/\Z", view), "/a/", None),
    (re_path(r"(?i)^health$", view), "/(?i)^health", None),
    (re_path(r"^(a)?(?(1)b|c)$", view), "/(a)?(?(1)b|c)", None),
    (re_path(r"^(?=a)?b$", view), "/(?=a)?b", None),
    (re_path("^a\\", view), "/a\\", None),
    (path("v1/", include([path("a", view, name="a")])), "/v1/a", "a"),
    (path("v1/", include([re_path(r"^a/$", view)])), "/v1/a/", None),
    (re_path(r"^v(?P<version>\d)/", include([path("a", view)])), "/v<version>/a", None),
    (path("v1/", include(([path("a", view, name="a"), path("b", view)], "app"))), "/v1/a", "app:a"),
    (
        path("v1/", include(([path("in/", include(([path("a", view, name="a")], "inner"))), path("b", view)], "app"))),
        "/v1/in/a",
        "app:inner:a",
    ),
    (path("v1/", include(([path("a", view, name="a")], "app"), namespace="first")), "/v1/a", "first:a"),
    (path(gettext_lazy("reports/"), view), "/reports/", None),
]


@pytest.mark.parametrize(("pattern", "expected", "name"), PATHS)
def test_paths_and_names(pattern: Any, expected: str, name: str | None) -> None:
    """A path is shown as a person reads it, and a name with its namespaces."""
    first = next(iter_routes(Urls(pattern)))
    assert (first.path, first.name) == (expected, name)


def test_language_prefixes() -> None:
    """A path with a prefix for its language is shown with the one in use."""
    with serving([*i18n_patterns(path("reports", view)), path("health", view)]), translation.override("de"):
        assert [route.path for route in iter_routes()] == ["/de/reports", "/health"]


def test_order() -> None:
    """Routes come in the order in which Django tries them, inner ones in the place of their include."""
    patterns = [path("a", view), path("b/", include([path("c", view), path("d", view)])), path("e", view)]
    with serving(patterns):
        assert [route.path for route in iter_routes()] == ["/a", "/b/c", "/b/d", "/e"]
    assert list(iter_routes(Urls())) == []


# Views.


class Page(View):
    def get(self, request: HttpRequest) -> HttpResponse: ...


class Pages:
    def page(self, request: HttpRequest) -> HttpResponse: ...

    def __call__(self, request: HttpRequest) -> HttpResponse: ...


def wraps_barely(view: Any) -> Any:
    """A decorator that copies no attributes."""

    @functools.wraps(view, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


HERE = "tests.unit.diagnostics.test_routes"
VIEWS: list[tuple[Any, str, str]] = [
    (view, f"{HERE}.view", "function"),
    (csrf_exempt(view), f"{HERE}.view", "function"),
    (functools.partial(view, year=1), f"{HERE}.view", "partial"),
    (Page.as_view(), f"{HERE}.Page", "class"),
    (csrf_exempt(Page.as_view()), f"{HERE}.Page", "class"),
    (functools.partial(Page.as_view(), year=1), f"{HERE}.Page", "class"),
    (Pages(), f"{HERE}.Pages", "object"),
    (Pages().page, f"{HERE}.Pages.page", "method"),
    (wraps_barely(Page.as_view()), f"{HERE}.Page", "class"),
]


@pytest.mark.parametrize(("callback", "dotted", "kind"), VIEWS)
@pytest.mark.parametrize("guard", [lambda view: view, protector("a")])
def test_views(callback: Any, dotted: str, kind: str, guard: Any) -> None:
    """A view is named by what it is below its decorators, guarded or not."""
    found = route(guard(callback))
    assert (found.view, found.kind, found.is_async) == (dotted, kind, False)
    assert found.is_guarded is (guard(view) is not view)


def marked_barely(view: Any) -> Any:
    """A decorator that copies the mark of the class, and nothing else."""

    def wrapper(*args: Any, **kwargs: Any) -> Any: ...

    wrapper.view_class = view.view_class  # type: ignore[attr-defined]
    return wrapper


class Descriptor:
    """What Python takes for a method, though it has no name."""

    def __call__(self, request: HttpRequest) -> HttpResponse: ...

    def __get__(self, instance: Any, owner: Any) -> Any: ...


STRANGE: list[tuple[Any, str, str]] = [
    (marked_barely(Page.as_view()), f"{HERE}.marked_barely.<locals>.wrapper", "function"),
    (Page, f"{HERE}.Page", "class"),
    (protector()(type("Guarded", (Page,), {})), f"{HERE}.Guarded", "class"),
    (HttpResponse, "django.http.response.HttpResponse", "class"),
    (str.upper, "str.upper", "function"),
    ("".join, "str.join", "function"),
    (len, "builtins.len", "function"),
    (functools.partial(print), "builtins.print", "partial"),
    (Descriptor(), f"{HERE}.Descriptor", "function"),
]


@pytest.mark.parametrize(("callback", "dotted", "kind"), STRANGE)
def test_views_that_are_hardly_any(callback: Any, dotted: str, kind: str) -> None:
    """Whatever can be called may be in the place of a view: it is listed, and unguarded."""
    found = route(callback)
    assert (found.view, found.kind, found.is_async) == (dotted, kind, False)
    assert not found.is_guarded


@sync_and_async
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str, mode: str) -> None:
    """A guarded view of any kind is listed as guarded, as sync or async, with its requirement."""
    made = KINDS[kind](Witness(), mode, protector, {"scopes": "profile"})
    (found,) = iter_routes(Urls(*(made if isinstance(made, list) else [path("", made)])))
    assert found.is_guarded
    assert found.is_async == (mode == "async def")
    assert found.requirement == ("GET: profile" if kind == "method" else "profile")
    assert found.validators == "BearerTokenValidator"


# Requirements, validators, CSRF.


def test_requirements_in_words() -> None:
    """Of nested guards each has its say; an optional one says that it is; and so has each method with its own."""

    @protector()
    class Mixed(View):
        get = protector("a", require_user=True)(Page.get)
        post = Page.get

    class Single(View):
        get = protector("a b")(Page.get)
        post = Page.get

    assert route(view).requirement == "unguarded"
    assert route(protector(view)).requirement == "any token"
    assert route(protector("a", optional=True)(protector("b")(view))).requirement == "optional: a and then b"
    assert route(Single.as_view()).requirement == "GET: a and b; POST: unguarded"
    assert route(Mixed.as_view()).requirement == "any token; and GET: a; a user"


def test_other_methods_in_words() -> None:
    """If a class answers methods for which it has no handler, the listing says so."""

    class Single(View):
        get = protector("a")(Page.get)
        http_method_not_allowed = Page.get

    assert route(Single.as_view()).requirement == "GET: a; other methods: unguarded"
    assert route(protector("b")(Single).as_view()).requirement == "b; and GET: a"


def test_guards_for_a_method() -> None:
    """The guards that one request passes are its class's and its method's."""

    @protector("class")
    class Mixed(View):
        get = protector("get")(Page.get)
        post = Page.get

    found = route(Mixed.as_view())
    assert [guard.keywords["scopes"] for guard in found.guards] == ["class"]
    for method in ("GET", "get", "head"):
        assert [guard.keywords["scopes"] for guard in found.guards_for(method)] == ["class", "get"]
    assert [guard.keywords["scopes"] for guard in found.guards_for("POST")] == ["class"]
    assert [guard.keywords["scopes"] for guard in found.all_guards] == ["class", "get"]


def jwt(**options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(ISSUER, **{"resource_server": "https://api.example.com", **options})


def introspection(**options: Any) -> IntrospectTokenValidator:
    given = {"introspection_endpoint": f"{ISSUER}/introspect?key=s3cret", "client_id": "c", "client_secret": "s3cret"}
    return IntrospectTokenValidator(**{**given, "audience": "https://api.example.com", **options})


@pytest.mark.parametrize("setting", [{"REALMS": 1}, {"VALIDATORS": [{"BACKEND": "builtins.zip", "OPTIONS": {"x": 1}}]}])
def test_validators_that_cannot_be_told(setting: Any) -> None:
    """A wrong setting keeps no route from being listed."""
    with override_settings(OAUTH_GUARD=setting):
        assert route(require_oauth("a")(view)).validators == "?"


def test_validators_of_several_protectors() -> None:
    """Each protector's validators are named once."""
    other = ResourceProtector(jwt())
    assert route(protector(protector(other(view)))).validators == f"BearerTokenValidator; {name_of_validator(jwt())}"
    assert route(view).validators == ""


class Optional(ProtectedResourceMixin, View):
    oauth_optional = True
    protector = protector
    get = Page.get


class Required(Optional):
    oauth_optional = False


class MayReadCookies(ResourceProtector):
    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any: ...


class ReadsNoCookies(MayReadCookies):
    csrf_exempt = True


class Password(TokenValidator):
    """Checks credentials that browsers add by themselves."""

    TOKEN_TYPE = "basic"

    def authenticate_token(self, token_string: str) -> Any: ...


def guarded_before_its_validator() -> Any:
    late = ResourceProtector()
    guarded = late(view)
    late.register_token_validator(Password())
    return guarded


EXEMPT: list[tuple[Any, bool]] = [
    (ResourceProtector(Password())(view), False),
    (ResourceProtector(BearerTokenValidator(OAuth2Token), Password())(view), False),
    (guarded_before_its_validator(), False),
    (ReadsNoCookies(Password())(view), True),
    (ResourceProtector(Password())(csrf_exempt(view)), True),
    # Lets nobody in.
    (ResourceProtector()(view), True),
    (MayReadCookies()(view), False),
    (ReadsNoCookies()(view), True),
    (view, False),
    (csrf_exempt(view), True),
    (protector(view), True),
    (protector(optional=True)(view), False),
    (protector(optional=True)(csrf_exempt(view)), True),
    (Optional.as_view(), False),
    (Required.as_view(), True),
]


@pytest.mark.parametrize(("callback", "expected"), EXEMPT)
@pytest.mark.parametrize("middleware", [[], ["django.middleware.csrf.CsrfViewMiddleware"], ["tests.nowhere.X"]])
def test_csrf(callback: Any, expected: bool, middleware: list[str]) -> None:
    """A view is exempt if the CSRF check lets all its requests be; behind an optional guard it does not."""
    with override_settings(MIDDLEWARE=middleware):
        assert route(callback).csrf_exempt is expected


def test_json() -> None:
    """A route can be given to machines; the view itself, and its guards, cannot."""
    with serving([path("a", protector("profile")(view), name="a")]):
        (found,) = iter_routes()
    assert found.as_json() == {
        "path": "/a",
        "name": "a",
        "view": f"{HERE}.view",
        "is_async": False,
        "kind": "function",
        "guarded": True,
        "reviewed": None,
        "requirement": "profile",
        "validators": "BearerTokenValidator",
        "csrf_exempt": True,
    }


# From a path to its route.


def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The views that somebody looks at for their guards, from now on."""
    looked: list[Any] = []

    def look(callback: Any) -> Any:
        looked.append(callback)
        return guarding_of_callback(callback)

    monkeypatch.setattr(routes, "guarding_of_callback", look)
    return looked


SITE = Urls(
    path("reports/<int:year>", view, name="yearly"),
    re_path(r"^old/", include([re_path(r"^reports/(?P<year>\d+)$", view, name="old")])),
    path("v1/", include(([path("a", protector("a")(view), name="a")], "app"))),
    path("same", protector(view)),
    path("same/<int:x>", view),
    path("a b", view, name="space"),
)
FOUND: list[tuple[str, str, str | None]] = [
    ("/reports/2024", "/reports/<int:year>", "yearly"),
    ("/reports/2024?page=2#top", "/reports/<int:year>", "yearly"),
    ("https://api.example.com/reports/2024", "/reports/<int:year>", "yearly"),
    ("/old/reports/7", "/old/reports/<year>", "old"),
    ("/v1/a", "/v1/a", "app:a"),
    ("/same/1", "/same/<int:x>", None),
    ("/a%20b", "/a b", "space"),
]


@pytest.mark.parametrize(("url", "expected", "name"), FOUND)
def test_route_of_a_path(url: str, expected: str, name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The route that answers a path is found, as it is listed; no other's view is looked at."""
    looked = looks(monkeypatch)
    found = route_of(url, SITE)
    assert (found.path, found.name) == (expected, name)
    assert looked == [found.callback]
    assert found in list(iter_routes(SITE))


@pytest.mark.parametrize("url", ["/reports", "/reports/x", "reports/2024", "", "/"])
def test_path_without_a_route(url: str) -> None:
    """A path that nobody answers is an error that names it."""
    with pytest.raises(LookupError, match=f"^no route matches '{url}'$"):
        route_of(url, SITE)


@pytest.mark.parametrize("url", ["//[", "http://[x/reports/2024", "http://x:99999/reports/2024", "//x:port/"])
def test_what_is_no_url(url: str) -> None:
    """What is not a URL is reported as such."""
    with pytest.raises(LookupError, match=f"^{re.escape(repr(url))} is not a valid URL$"):
        route_of(url, SITE)


def test_resolver_with_ways_of_its_own() -> None:
    """What only a resolver of a site's own knows is found by asking it."""

    class Pages(URLResolver):
        def resolve(self, path: Any) -> Any:
            return URLPattern(RoutePattern("page/<slug:name>", name="page"), protector("a")(view)).resolve(path)

    resolver = Pages(RoutePattern(""), [])
    found = route_of("/page/x", Urls(resolver))
    assert (found.path, found.name, found.requirement) == ("/page/<slug:name>", "page", "a")
    unnamed = Urls(Unnamed(RoutePattern(""), []))
    assert route_of("/page/x", unnamed).name is None


class Unnamed(URLResolver):
    def resolve(self, path: Any) -> Any:
        return URLPattern(RoutePattern("page/<slug:name>"), view).resolve(path)


# Broken configurations.


def broken(monkeypatch: pytest.MonkeyPatch, code: str, name: str = "broken_urls") -> None:
    """Let there be a URL configuration with this code."""

    class Finder:
        @staticmethod
        def find_spec(fullname: str, *_: Any) -> Any:
            if fullname != name:
                return None
            from importlib.machinery import ModuleSpec

            return ModuleSpec(name, Loader())  # type: ignore[arg-type]

    class Loader:
        def create_module(self, spec: Any) -> None: ...

        def exec_module(self, module: ModuleType) -> None:
            exec(compile(code, f"{name}.py", "exec"), vars(module))

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    monkeypatch.delitem(sys.modules, name, raising=False)


BROKEN: list[tuple[str, str]] = [
    ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
    ("from tests.sites import nothing", "cannot be loaded: ImportError: cannot import name 'nothing' from"),
    ("raise ImportError('two\\n  lines')", "cannot be loaded: ImportError: two lines"),
    ("import tests.sites\ntests.sites.nothing", "cannot be loaded: AttributeError (broken_urls.py, line 2)"),
    ("urlpatterns = [", "cannot be loaded: SyntaxError: '[' was never closed (broken_urls.py, line 1)"),
    ("raise ValueError('postgres://api:s3cret@db')", "cannot be loaded: ValueError (broken_urls.py, line 1)"),
    ("from django.urls import path\n\npath('a', 's3cret')", "cannot be loaded: TypeError (broken_urls.py, line 3)"),
    ("import sys\nsys.exit(0)", "cannot be loaded: SystemExit (broken_urls.py, line 2)"),
    ("", "must have a list of patterns"),
    ("urlpatterns = 7", "must have a list of patterns"),
    ("urlpatterns = ['a']", "must contain only results of path(), re_path() or include(), got str"),
    (
        "from django.urls import include, path\nurlpatterns = [path('a/', include('broken_urls'))]",
        "includes itself",
    ),
]


@pytest.mark.parametrize(("code", "expected"), BROKEN)
def test_broken_urlconf(code: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that cannot be loaded is one sentence, which names it and says what is wrong with it."""
    broken(monkeypatch, code)
    for look in (lambda: list(iter_routes("broken_urls")), lambda: route_of("/", "broken_urls")):
        monkeypatch.delitem(sys.modules, "broken_urls", raising=False)
        clear_url_caches()
        with pytest.raises(ImproperlyConfigured) as caught:
            look()
        assert str(caught.value).startswith(f"the URL configuration broken_urls {expected}")
        assert "\n" not in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_broken_part() -> None:
    """A broken part is reported by its name, or by its type if it has no name."""
    resolver = URLResolver(RoutePattern("a/"), "tests.nowhere")
    with pytest.raises(ImproperlyConfigured, match=r"^the URL configuration tests.nowhere cannot be loaded: ModuleNot"):
        list(iter_routes(Urls(resolver)))
    with pytest.raises(ImproperlyConfigured, match=r"^the URL configuration Urls must contain .*, got int$"):
        list(iter_routes(Urls(7)))


def test_patterns_that_are_made_while_they_are_read() -> None:
    """If no module is at fault, the line that raised is named."""

    def patterns() -> Any:
        raise KeyError("s3cret")
        yield

    urls = Urls()
    urls.urlpatterns = patterns()
    with pytest.raises(
        ImproperlyConfigured, match=r"^the URL configuration Urls cannot be loaded: KeyError \(test_rou"
    ):
        list(iter_routes(urls))


def test_import_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part of the site's URLs is imported, or it is said which cannot be."""
    broken(monkeypatch, "urlpatterns = []")
    looked = looks(monkeypatch)
    with serving([path("", view), URLResolver(RoutePattern("a/"), "broken_urls")]):
        assert "broken_urls" not in sys.modules
        import_urls()
        assert "broken_urls" in sys.modules
    assert looked == []
    with override_settings(ROOT_URLCONF="tests.nowhere"), pytest.raises(ImproperlyConfigured, match=r"tests\.nowhere"):
        import_urls()


def test_one_part_twice() -> None:
    """A part that is included twice, side by side, is no circle."""
    part = [path("c", view)]
    urls = Urls(path("a/", include(part)), path("b/", include(part)))
    assert [route.path for route in iter_routes(urls)] == ["/a/c", "/b/c"]


def test_without_a_urlconf() -> None:
    """A site without URLs gets an error that says so, unless another configuration is passed."""
    with override_settings():
        from django.conf import settings

        del settings.ROOT_URLCONF
        with pytest.raises(
            ImproperlyConfigured, match=r"^ROOT_URLCONF must be set, because without it the site has no URLs$"
        ):
            list(iter_routes())
        assert len(list(iter_routes(SITE))) == 6


# The routes that need no guard.


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/v1/<int:x>", True),
        ("/v1/*", True),
        ("app:a", True),
        ("app:*", True),
        (f"{HERE}.view", True),
        ("tests.*", True),
        ("/V1/*", False),
        ("/v1/", False),
        ("v1/*", False),
        ("a", False),
    ],
)
def test_patterns(pattern: str, expected: bool) -> None:
    """A pattern is compared with the path, the name and the view, as a shell compares, and in the same case."""
    (found,) = iter_routes(Urls(path("v1/", include(([path("<int:x>", view, name="a")], "app")))))
    assert is_allowed(found, ["/other", pattern]) is expected
    assert not is_allowed(found, [])


def test_paths_that_look_like_patterns() -> None:
    """A path that has a pattern's own characters can be named as it is shown."""
    (found,) = iter_routes(Urls(re_path("^a[bc]|d$", view)))
    assert found.path == "/a[bc]|d"
    assert is_allowed(found, ["/a[bc]|d"])


def test_patterns_of_the_setting() -> None:
    """The setting has the patterns, or has none, or is not there; a wrong one is said."""
    with override_settings(OAUTH_GUARD={"UNGUARDED": ["/health"]}):
        assert patterns_of_allowed() == ("/health",)
    with override_settings(OAUTH_GUARD={}):
        assert patterns_of_allowed() is None
    with override_settings(OAUTH_GUARD={"UNGUARDED": 7}), pytest.raises(ImproperlyConfigured, match="UNGUARDED"):
        patterns_of_allowed()
    with override_settings():
        from django.conf import settings

        del settings.OAUTH_GUARD
        assert patterns_of_allowed() is None
