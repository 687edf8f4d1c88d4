"""Makes the response of a refusal: its status, its headers and its body."""

from collections.abc import Callable
from http.client import responses
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from ..errors import GuardError
from ..validators.cache_identity import setdefault_bounded
from .responses import add_nonce

__all__ = ["complete_refusal", "render_json", "render_problem", "share_refusal"]

Response = TypeVar("Response", bound=HttpResponseBase)


def render_json(request: HttpRequest, error: GuardError) -> HttpResponse:
    """The response in the form of RFC 6749 §5.2: ``{"error": ..., "error_description": ...}``. This is the default."""
    return complete_refusal(JsonResponse(dict(error.get_body()), status=error.status_code), error)


def share_refusal(render: Callable[..., HttpResponse], request: HttpRequest, error: GuardError) -> HttpResponse:
    """What one of our own renderers returns. Equal refusals share the response, so it must not be changed."""
    if error.dpop_nonce is not None or error.stand_in is not None:
        return render(request, error)
    key = (render, error.status_code, error.vary, *error.get_body(), *error.get_headers())
    response = _SHARED.get(key)
    if response is None:
        response = setdefault_bounded(_SHARED, key, render(request, error))
        response.is_shared = True  # type: ignore[attr-defined]
    return response


_SHARED: dict[Any, HttpResponse] = {}


def render_problem(request: HttpRequest, error: GuardError) -> HttpResponse:
    """The response as problem details (RFC 9457), with the OAuth error code in the member ``error``."""
    problem = {
        "type": "about:blank",
        # RFC 9457 §4.2.1: with about:blank, the title is the status phrase.
        "title": responses.get(error.status_code, ""),
        "status": error.status_code,
        "detail": error.description,
        "error": error.error,
    }
    response = JsonResponse(problem, status=error.status_code, content_type="application/problem+json")
    return complete_refusal(response, error)


def complete_refusal(response: Response, error: GuardError) -> Response:
    """Add the headers that every error response needs, also if the site renders it.

    These are a challenge (RFC 9110 §15.5.2) and headers that prevent caching (RFC 9111 §3.5).
    """
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers.setdefault(name, value)
    patch_vary_headers(response, list(error.vary))
    add_nonce(response, error.dpop_nonce)
    return response
