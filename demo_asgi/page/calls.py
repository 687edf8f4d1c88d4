"""What the page's scripts ask of the server: JSON there, JSON back, and only from the page itself."""

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

Message = Mapping[str, Any]


class BadCallError(Exception):
    """A call with something in it that cannot be used; its text is the answer."""


def page_call(handler: Callable[[Message], Awaitable[Message]]) -> Callable[..., Any]:
    """A view that takes POST with a JSON object, from the page itself."""

    # Instead of a CSRF token: no other site can send what `is_from_page` wants.
    @csrf_exempt
    @require_POST
    @functools.wraps(handler)
    async def view(request: HttpRequest) -> HttpResponse:
        if not is_from_page(request):
            return answer({"error": "This is for the page of this demo alone."}, status=403)
        try:
            return answer(await handler(read_message(request.body)))
        except BadCallError as error:
            return answer({"error": str(error)}, status=400)

    return view


def is_from_page(request: HttpRequest) -> bool:
    """Whether no other site made a browser send it.

    A form, or a script of another site without leave, cannot send JSON, nor say that it is of the same origin.
    """
    if request.content_type != "application/json":
        return False
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    own_origin = f"{request.scheme}://{request.get_host()}"
    return request.headers.get("Origin", own_origin) == own_origin


def read_message(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        # No JSON, or deeper than Python reads it.
        message = None
    if not isinstance(message, dict):
        raise BadCallError("A JSON object is wanted.")
    return message


def answer(document: Message, *, status: int = 200) -> JsonResponse:
    response = JsonResponse(document, status=status)
    response["Cache-Control"] = "no-store"
    return response
