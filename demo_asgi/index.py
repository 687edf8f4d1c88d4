"""A list of the routes, for programs."""

import inspect
from collections.abc import Iterable, Iterator

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver, get_resolver


async def index(request: HttpRequest) -> HttpResponse:
    """The routes of this site."""
    return JsonResponse({"routes": dict(_routes(get_resolver().url_patterns))}, json_dumps_params={"indent": 2})


def _routes(patterns: Iterable[URLPattern | URLResolver], prefix: str = "/") -> Iterator[tuple[str, str]]:
    for entry in patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, route)
        else:
            yield route, _summary(entry.callback)


def _summary(view: object) -> str:
    # A guarded view keeps its docstring.
    return (inspect.getdoc(view) or "").partition("\n")[0]
