"""What middleware sees of a token: the table of the page on middleware."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from async_oauth_guard import require_oauth
from async_oauth_guard.testing import override_oauth

UNSET = "not set"
seen: dict[str, Any] = {}


def look(place: str, request: HttpRequest) -> None:
    token = getattr(request, "oauth_token", UNSET)
    seen[place] = token if token in (UNSET, None) else "the token"


class Observer:
    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        look("before", request)
        if self.is_async:
            return self._acall(request)
        response = self.get_response(request)
        look("after", request)
        return response

    async def _acall(self, request: HttpRequest) -> Any:
        response = await self.get_response(request)
        look("after", request)
        return response

    def process_view(self, request: HttpRequest, *rest: object) -> None:
        look("process_view", request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        look("process_exception", request)
        return HttpResponse(status=500)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        look("process_template_response", request)
        return response


class Rendered(SimpleTemplateResponse):
    @property
    def rendered_content(self) -> str:
        return ""


def answer(request: HttpRequest) -> HttpResponse:
    if "fail" in request.GET:
        raise RuntimeError
    return Rendered("unused")


async def answer_async(request: HttpRequest) -> HttpResponse:
    return answer(request)


urlpatterns = [
    path("sync/guarded", require_oauth("a")(answer)),
    path("async/guarded", require_oauth("a")(answer_async)),
    path("sync/optional", require_oauth("a", optional=True)(answer)),
    path("async/optional", require_oauth("a", optional=True)(answer_async)),
    path("sync/unguarded", answer),
    path("async/unguarded", answer_async),
]

BEFORE = {"before": UNSET, "process_view": UNSET}
CASES: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "let in": ("guarded", "a", {"process_template_response": "the token", "after": "the token"}),
    "raises": ("guarded?fail", "a", {"process_exception": "the token", "after": "the token"}),
    "refused": ("guarded", "b", {"after": UNSET}),
    "optional": ("optional", None, {"process_template_response": None, "after": None}),
    "unguarded": ("unguarded", "a", {"process_template_response": UNSET, "after": UNSET}),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize(("where", "scope", "expected"), CASES.values(), ids=CASES)
@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.Observer"])
async def test_what_middleware_sees(
    where: str, scope: str | None, expected: dict[str, Any], server: str, kind: str
) -> None:
    """Nothing before the view; after it, what the view saw."""
    seen.clear()
    with nullcontext() if scope is None else override_oauth(scope):
        if server == "asgi":
            await AsyncClient().get(f"/{kind}/{where}")
        else:
            await sync_to_async(Client().get)(f"/{kind}/{where}")
    assert seen == BEFORE | expected
