"""Endpoints for the scripts of the page: JSON in both directions, or a form for plain text. Other sites are refused."""

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

Message = Mapping[str, Any]

_OTHER_SITE = "Only the page of this demo may send this request."


class InvalidRequestError(Exception):
    """A request with an invalid value. Its text is the response."""


def json_endpoint(handler: Callable[[Message], Awaitable[Message]]) -> Callable[..., Any]:
    """A view that accepts POST with a JSON object, from the page only."""

    # This replaces a CSRF token: no other site can send what `is_from_page` requires.
    @csrf_exempt
    @require_POST
    @functools.wraps(handler)
    async def view(request: HttpRequest) -> HttpResponse:
        if not is_from_page(request):
            return json_response({"error": _OTHER_SITE}, status=403)
        try:
            return json_response(await handler(read_message(request.body)))
        except InvalidRequestError as error:
            return json_response({"error": str(error)}, status=400)

    return view


def form_endpoint(handler: Callable[[Mapping[str, str]], Awaitable[str]]) -> Callable[..., Any]:
    """A view that accepts POST with a form, from the page or from a program such as ``curl``. It returns plain text."""

    @csrf_exempt
    @require_POST
    @functools.wraps(handler)
    async def view(request: HttpRequest) -> HttpResponse:
        if not is_same_origin(request):
            return text_response(_OTHER_SITE, status=403)
        try:
            return text_response(await handler(request.POST.dict()))
        except InvalidRequestError as error:
            return text_response(str(error), status=400)

    return view


def is_from_page(request: HttpRequest) -> bool:
    """Whether the request comes from the page, and not from another site.

    A form cannot send JSON. A script of another site cannot either, unless CORS allows it. Neither can claim to be of
    the same origin.
    """
    return request.content_type == "application/json" and is_same_origin(request)


def is_same_origin(request: HttpRequest) -> bool:
    """Whether no header names another site. Current browsers send these headers, also with forms."""
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
        raise InvalidRequestError("The body must be a JSON object.")
    return message


def text_response(text: str, *, status: int = 200) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain", headers={"Cache-Control": "no-store"})


def json_response(document: Message, *, status: int = 200) -> JsonResponse:
    return JsonResponse(document, status=status, headers={"Cache-Control": "no-store"})
