"""Every kind of view that can be guarded, sync and async. Each is created anew with a witness inside."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View

from async_oauth_guard import ResourceProtector
from tests.sites import Witness

# Makes a view, or a list of patterns, from the witness, "def" or "async def", the protector and its keywords.
MakeView = Callable[[Witness, str, ResourceProtector, dict[str, Any]], Any]


def function(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    return protector(**asked)(witness.view(mode))


def method(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    guard = protector(**asked)
    return view_class(witness, mode, guard).as_view()


def whole_class(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    return protector(**asked)(view_class(witness, mode)).as_view()


def as_view_result(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    return protector(**asked)(view_class(witness, mode).as_view())


def dispatch(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    return method_decorator(protector(**asked), name="dispatch")(view_class(witness, mode)).as_view()


def partial(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    def sync_view(request: HttpRequest, extra: str) -> JsonResponse:
        assert extra == "given beforehand"
        return witness.answer(request)

    async def async_view(request: HttpRequest, extra: str) -> JsonResponse:
        return sync_view(request, extra)

    view = sync_view if mode == "def" else async_view
    return protector(**asked)(functools.partial(view, extra="given beforehand"))


def callable_object(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    class SyncView:
        def __call__(self, request: HttpRequest) -> JsonResponse:
            return witness.answer(request)

    class AsyncView:
        async def __call__(self, request: HttpRequest) -> JsonResponse:
            return witness.answer(request)

    return protector(**asked)(SyncView() if mode == "def" else AsyncView())


def included(witness: Witness, mode: str, protector: ResourceProtector, asked: dict[str, Any]) -> Any:
    nested = [path("", witness.view(mode))]
    urls = ([path("", include(nested))], "app")
    return [path("", protector.protect_urls(urls, **asked))]


KINDS: dict[str, MakeView] = {
    "function": function,
    "method": method,
    "class": whole_class,
    "as_view()": as_view_result,
    "dispatch": dispatch,
    "partial": partial,
    "object": callable_object,
    "include()": included,
}


def view_class(witness: Witness, mode: str, guard: Callable[[Any], Any] = lambda view: view) -> type[View]:
    """A sync or async class-based view, with its ``get`` decorated by ``guard``."""

    class SyncView(View):
        @guard
        def get(self, request: HttpRequest) -> JsonResponse:
            return witness.answer(request)

    class AsyncView(View):
        @guard
        async def get(self, request: HttpRequest) -> JsonResponse:
            return witness.answer(request)

    return SyncView if mode == "def" else AsyncView
