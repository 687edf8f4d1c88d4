"""What is known of the request of a guarded view."""

from typing import assert_type

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views import View

from async_oauth_guard import AccessToken, AuthenticatedRequest, require_oauth


class Row:
    """A stand-in for a model of tokens."""

    client_id: str


@require_oauth("profile")
async def of_a_row(request: AuthenticatedRequest[Row], year: int) -> JsonResponse:
    assert_type(request.oauth_token, Row)
    return JsonResponse({"client": request.oauth_token.client_id, "path": request.path, "year": year})


@require_oauth("profile")
def of_a_claim(request: AuthenticatedRequest[AccessToken]) -> HttpResponse:
    assert_type(request.oauth_token, AccessToken)
    return HttpResponse(request.oauth_token.client_id or "")


@require_oauth(optional=True)
async def of_nobody(request: AuthenticatedRequest[AccessToken | None]) -> HttpResponse:
    assert_type(request.oauth_token, AccessToken | None)
    return HttpResponse("" if request.oauth_token is None else "you")


class Page(View):
    @require_oauth("read")
    def get(self, request: AuthenticatedRequest[Row]) -> HttpResponse:
        return HttpResponse(request.oauth_token.client_id)


def elsewhere(request: HttpRequest) -> str:
    return request.path


def passes_on(request: AuthenticatedRequest[Row]) -> str:
    return elsewhere(request)


routes = [
    path("<int:year>", of_a_row),
    path("claim", of_a_claim),
    path("nobody", of_nobody),
    path("page", Page.as_view()),
]
