"""Requests of the page's scripts, and only from the page itself: JSON in both directions, or a form for plain text."""

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

Message = Mapping[str, Any]


class BadCallError(Exception):
    """A request with an invalid value. Its text is the response."""


def page_call(handler: Callable[[Message], Awaitable[Message]]) -> Callable[..., Any]:
    """A view that takes POST with a JSON object, from the page itself."""

    # This replaces a CSRF token: no other site can send what `is_from_page` requires.
    @csrf_exempt
    @require_POST
    @functools.wraps(handler)
    async def view(request: HttpRequest) -> HttpResponse:
        if not is_from_page(request):
            return answer({"error": "Only the page of this demo may send this request."}, status=403)
        try:
            return answer(await handler(read_message(request.body)))
        except BadCallError as error:
            return answer({"error": str(error)}, status=400)

    return view


def form_call(handler: Callable[[Mapping[str, str]], Awaitable[str]]) -> Callable[..., Any]:
    """A view that takes POST with a form, from the page or from a program such as ``curl``, for plain text."""

    @csrf_exempt
    @require_POST
    @functools.wraps(handler)
    async def view(request: HttpRequest) -> HttpResponse:
        if not is_from_here(request):
            return plain("Only the page of this demo may send this request.", status=403)
        try:
            return plain(await handler(request.POST.dict()))
        except BadCallError as error:
            return plain(str(error), status=400)

    return view


def is_from_page(request: HttpRequest) -> bool:
    """Whether the request comes from the page, and not from another site.

    A form, or a script of another site without leave, cannot send JSON, nor say that it is of the same origin.
    """
    return request.content_type == "application/json" and is_from_here(request)


def is_from_here(request: HttpRequest) -> bool:
    """Whether no browser says that another site sent it. Current browsers do, also for forms."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    own_origin = f"{request.scheme}://{request.get_host()}"
    return request.headers.get("Origin", own_origin) == own_origin


def read_message(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        # Invalid JSON, or nested too deeply for Python.
        message = None
    if not isinstance(message, dict):
        raise BadCallError("The body must be a JSON object.")
    return message


def plain(text: str, *, status: int = 200) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain", headers={"Cache-Control": "no-store"})


def answer(document: Message, *, status: int = 200) -> JsonResponse:
    response = JsonResponse(document, status=status)
    response["Cache-Control"] = "no-store"
    return response
