"""The view of the protected resource metadata (RFC 9728), and the guards whose scopes it lists."""

import asyncio
import functools
import json
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import URLResolver, path
from django.urls.resolvers import RegexPattern
from django.views import View

from async_oauth_guard import DPoP, MutualTLS, ProtectedResourceMixin, ResourceProtector
from async_oauth_guard.guard.metadata import make_document
from tests.sites import Urls
from tests.unit.validators.remote_validators import API, jwt

WELL_KNOWN = ".well-known/oauth-protected-resource"


def make(resource: str = API, **options: Any) -> ResourceProtector:
    return ResourceProtector(jwt(), resource=resource, **{"metadata": True, **options})


def ask(protector: ResourceProtector, method: str = "GET", query: str = "") -> HttpResponse:
    """The response of the view, on an event loop."""
    [pattern] = protector.metadata_urls()
    request = RequestFactory().generic(method, "/", QUERY_STRING=query)
    with override_settings(ROOT_URLCONF=Urls()):
        return asyncio.run(pattern.callback(request))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("resource", "where"),
    [
        ("https://h", WELL_KNOWN),
        ("https://h/r1", f"{WELL_KNOWN}/r1"),
        ("https://h/r1/", f"{WELL_KNOWN}/r1/"),
        ("https://h/a%20<b>.c", f"{WELL_KNOWN}/a <b>.c"),
    ],
)
def test_one_path(resource: str, where: str) -> None:
    """R109: the pattern matches the path of the resource's document, and no other."""
    [pattern] = make(resource).metadata_urls()
    assert pattern.resolve(where)
    for other in (f"{where}/", f"{where}\n", f"x/{where}", where.upper(), where.replace(".c", "xc") + "?", ""):
        assert pattern.resolve(other) is None


@pytest.mark.parametrize("metadata", [None, False])
def test_no_metadata(metadata: Any) -> None:
    """Without metadata, there is no pattern, and the error says what to set."""
    with pytest.raises(ImproperlyConfigured, match=r"requires metadata=True, or OAUTH_GUARD\['METADATA'\]"):
        make(metadata=metadata).metadata_urls()


def test_query() -> None:
    """R109: a resource identifier with another query is another resource, which is not found."""
    protector = make("https://h/r1?k=v")
    assert ask(protector, query="k=v").status_code == 200
    for query in ("", "k=w", "k=v&x"):
        with pytest.raises(Http404):
            ask(protector, query=query)
    with pytest.raises(Http404):
        ask(make(), query="k=v")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_document(method: str) -> None:
    """R110: the document is JSON that any site may read and caches may store."""
    response = ask(make(dpop=DPoP(("ES256",), required=True), mtls=MutualTLS("asgi")), method)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert response["Cache-Control"] == "public, max-age=300"
    assert response["Access-Control-Allow-Origin"] == "*"
    assert json.loads(response.content) == {
        "resource": API,
        "authorization_servers": ["https://as.example.com"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "dpop_bound_access_tokens_required": True,
        "tls_client_certificate_bound_access_tokens": True,
    }


def test_preflight() -> None:
    """R110: OPTIONS allows the methods, and the header of MCP clients, for every site."""
    response = ask(make(), "OPTIONS")
    assert (response.status_code, response.content, "Content-Type" in response) == (204, b"", False)
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert response["Access-Control-Allow-Headers"] == "MCP-Protocol-Version"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods(method: str) -> None:
    """R110: any other method gets 405 with the methods that are allowed."""
    response = ask(make(), method)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert response["Access-Control-Allow-Origin"] == "*"


def function(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def by_handlers(protector: ResourceProtector) -> Any:
    class ByHandlers(View):
        @protector("read")
        def get(self, request: HttpRequest) -> HttpResponse:
            return function(request)

        @protector("write")
        def post(self, request: HttpRequest) -> HttpResponse:
            return function(request)

    return ByHandlers.as_view()


def by_mixin(protector: ResourceProtector, **given: Any) -> Any:
    attributes = {"protector": protector, "required_scopes": "mixed"}
    return type("Mixed", (ProtectedResourceMixin, View), attributes).as_view(**given)  # type: ignore[attr-defined]


def wrapped_in_itself(protector: ResourceProtector) -> Any:
    view: Any = protector("cycle")(function)
    view.__wrapped__ = view
    return view


VIEWS: dict[str, tuple[Any, list[str] | None]] = {
    "function": (lambda protector: protector("b a")(function), ["a", "b"]),
    "two guards": (lambda protector: protector("outer")(protector("inner")(function)), ["inner", "outer"]),
    "partial": (lambda protector: functools.partial(protector("p")(function)), ["p"]),
    "handlers": (by_handlers, ["read", "write"]),
    "mixin": (by_mixin, ["mixed"]),
    "mixin with arguments": (lambda protector: by_mixin(protector, required_scopes="given"), ["given"]),
    "wrapped in itself": (wrapped_in_itself, ["cycle"]),
    "offline_access": (lambda protector: protector("offline_access a")(function), ["a"]),
    "another protector": (lambda protector: make()("a")(function), None),
    "unguarded": (lambda protector: function, None),
}


@pytest.mark.parametrize(("make_view", "scopes"), VIEWS.values(), ids=VIEWS)
def test_scopes(make_view: Any, scopes: list[str] | None) -> None:
    """R112: the document lists the scopes that the guards of the protector in the URL configuration require."""
    protector = make()
    with override_settings(ROOT_URLCONF=Urls(path("v", make_view(protector)))):
        assert make_document(protector).get("scopes_supported") == scopes


def test_urls_that_include_themselves() -> None:
    """Included URLs are read, but not again within themselves."""
    protector = make()
    urls = Urls(path("v", protector("a")(function)))
    urls.urlpatterns.append(URLResolver(RegexPattern("^again/"), urls))
    site = Urls(path("w", protector("b")(function)), URLResolver(RegexPattern("^x/"), urls))
    with override_settings(ROOT_URLCONF=site):
        assert make_document(protector)["scopes_supported"] == ["a", "b"]
