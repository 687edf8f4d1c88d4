"""Sites of a few views, made for one test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path


class Urls:
    """A URLconf that is no module."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = list(patterns)


@contextmanager
def serving(view: Any, /, **settings: Any) -> Iterator[None]:
    """While this lasts the site has ``view`` at ``/``, or the given list of patterns, and these settings."""
    patterns = view if isinstance(view, list) else [path("", view)]
    with override_settings(ROOT_URLCONF=Urls(*patterns), **settings):
        yield


class Witness:
    """Sync and async views, and how often one of them was entered."""

    def __init__(self) -> None:
        self.entered = 0

    def answer(self, request: HttpRequest) -> JsonResponse:
        """Counts, and says who is there."""
        self.entered += 1
        token = request.oauth_token  # type: ignore[attr-defined]
        user = token and token.user
        return JsonResponse({"token": token is not None, "user": user and user.username})

    def view(self, mode: str) -> Any:
        """A function view that is ``def`` or ``async def``."""

        def sync_view(request: HttpRequest) -> JsonResponse:
            return self.answer(request)

        async def async_view(request: HttpRequest) -> JsonResponse:
            return self.answer(request)

        return {"def": sync_view, "async def": async_view}[mode]


MODES = ("def", "async def")
