"""Guarded URLs stand where ``include()`` stands."""

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path

from async_oauth_guard import ProtectedResourceMixin, require_oauth
from tests.typing.decorators import Guarded, Mixed, ascoped, bare


async def open_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


assert issubclass(Mixed, ProtectedResourceMixin)
patterns: list[URLPattern | URLResolver] = [path("x/", open_view)]

urlpatterns: list[URLPattern | URLResolver] = [
    *require_oauth.metadata_urls(),
    path("bare/", bare),
    path("scoped/", ascoped),
    path("guarded/", Guarded.as_view()),
    path("mixed/", Mixed.as_view()),
    path("result/", require_oauth("profile")(open_view)),
    path("list/", require_oauth.protect_urls(patterns, "read")),
    path("pair/", require_oauth.protect_urls((patterns, "app"), ["read", "admin"], optional=True)),
    path("included/", require_oauth.protect_urls(include("somewhere.urls"), groups="staff")),
    path("named/", require_oauth.protect_urls("somewhere.urls")),
]
