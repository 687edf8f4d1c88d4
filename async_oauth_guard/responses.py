"""From an error to an answer, and what every answer of a guarded view carries."""

from http.client import responses

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from .errors import GuardError

__all__ = ["complete_refusal", "mark_response", "render_json", "render_problem"]


def render_json(request: HttpRequest, error: GuardError) -> HttpResponse:
    """The answer in the form of RFC 6749 §5.2: ``{"error": ..., "error_description": ...}``. The default."""
    return complete_refusal(JsonResponse(dict(error.get_body()), status=error.status_code), error)


def render_problem(request: HttpRequest, error: GuardError) -> HttpResponse:
    """The answer as problem details (RFC 9457), with the OAuth code in a member ``error``."""
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


def complete_refusal(response: HttpResponse, error: GuardError) -> HttpResponse:
    """What a refusal needs whoever rendered it: RFC 9110 §15.5.2 (a challenge), RFC 9111 §3.5 (nothing cached)."""
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers.setdefault(name, value)
    patch_vary_headers(response, ["Authorization"])
    return response


def mark_response(response: object, *, private: bool) -> None:
    """Let caches keep the view's answer apart from those to others, and shared ones not keep it if ``private``."""
    if not isinstance(response, HttpResponseBase):
        # Django itself complains of what is no response.
        return
    # Most views set neither, and Django's own patching takes longer than the rest of the guard.
    present = {name.lower() for name in response.headers}
    if "vary" in present:
        patch_vary_headers(response, ["Authorization"])
    else:
        response.headers["Vary"] = "Authorization"
    if private and "cache-control" not in present:
        response.headers["Cache-Control"] = "private"
    elif private and not _names_cacheability(response.headers["Cache-Control"]):
        patch_cache_control(response, private=True)


def _names_cacheability(cache_control: str) -> bool:
    directives = {part.partition("=")[0].strip().lower() for part in cache_control.split(",")}
    return not directives.isdisjoint({"public", "private", "no-store"})
