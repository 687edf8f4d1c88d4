"""Views for tokens that the authorization server vouches for, and for tokens of every source.

`AccessToken.of` gives the claims of a token, wherever it comes from.
"""

from django.http import HttpRequest, HttpResponse, JsonResponse

from async_oauth_guard import AccessToken

from .guards import require_any, require_introspection, require_jwt


@require_jwt("profile")
async def jwt_async(request: HttpRequest) -> HttpResponse:
    """An async view for JWTs."""
    return _who(request)


@require_jwt("profile")
def jwt_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for JWTs."""
    return _who(request)


@require_introspection("profile")
async def introspection_async(request: HttpRequest) -> HttpResponse:
    """An async view for whatever the authorization server calls active."""
    return _who(request)


@require_introspection("profile")
def introspection_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for whatever the authorization server calls active."""
    return _who(request)


@require_introspection("profile", fresh=True)
async def introspection_fresh(request: HttpRequest) -> HttpResponse:
    """An async view for which the authorization server is asked each time: a revoked token is refused at once."""
    return _who(request)


@require_any("profile")
async def any_async(request: HttpRequest) -> HttpResponse:
    """An async view for rows, JWTs and whatever the authorization server calls active."""
    return _who(request)


@require_any("profile")
def any_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for rows, JWTs and whatever the authorization server calls active."""
    return _who(request)


def _who(request: HttpRequest) -> HttpResponse:
    token = AccessToken.of(request)
    assert token is not None
    username = None if token.user is None else token.user.get_username()
    return JsonResponse({"username": username, "client_id": token.client_id, "scopes": sorted(token.scopes)})
