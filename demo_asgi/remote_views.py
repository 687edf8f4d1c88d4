"""Views for tokens of the authorization server, for tokens of every source, and for bound tokens.

`AccessToken.of` returns the claims of a token from any source.
"""

from django.http import HttpRequest, HttpResponse, JsonResponse

from async_oauth_guard import AccessToken

from .guards import (
    require_any,
    require_certificate,
    require_dpop,
    require_dpop_nonce,
    require_introspection,
    require_jwt,
)

LOGIN = {"acr_values": "mfa", "max_age": 600}
"""A login with two factors, at most ten minutes ago."""


@require_jwt("profile")
async def jwt_async(request: HttpRequest) -> HttpResponse:
    """An async view for JWTs."""
    return _token_info(request)


@require_jwt("profile")
def jwt_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for JWTs."""
    return _token_info(request)


@require_introspection("profile")
async def introspection_async(request: HttpRequest) -> HttpResponse:
    """An async view for tokens that the authorization server reports as active."""
    return _token_info(request)


@require_introspection("profile")
def introspection_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for tokens that the authorization server reports as active."""
    return _token_info(request)


@require_introspection("profile", fresh=True)
async def introspection_fresh(request: HttpRequest) -> HttpResponse:
    """An async view that introspects the token on each request: a revoked token is refused at once."""
    return _token_info(request)


@require_any("profile")
async def any_async(request: HttpRequest) -> HttpResponse:
    """An async view for database tokens, JWTs and introspected tokens."""
    return _token_info(request)


@require_any("profile")
def any_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for database tokens, JWTs and introspected tokens."""
    return _token_info(request)


@require_dpop("profile", sender_constrained=True)
async def dpop_async(request: HttpRequest) -> HttpResponse:
    """An async view for tokens that are bound to a key: each request proves that its client has the key."""
    return _token_info(request)


@require_dpop("profile", sender_constrained=True)
def dpop_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for tokens that are bound to a key: each request proves that its client has the key."""
    return _token_info(request)


@require_dpop_nonce("profile", sender_constrained=True)
async def nonce_async(request: HttpRequest) -> HttpResponse:
    """An async view that accepts only proofs with a nonce of this site."""
    return _token_info(request)


@require_dpop_nonce("profile", sender_constrained=True)
def nonce_sync(request: HttpRequest) -> HttpResponse:
    """A sync view that accepts only proofs with a nonce of this site."""
    return _token_info(request)


@require_certificate("profile", sender_constrained=True)
async def mtls_async(request: HttpRequest) -> HttpResponse:
    """An async view for tokens that are bound to the client's certificate."""
    return _token_info(request)


@require_certificate("profile", sender_constrained=True)
def mtls_sync(request: HttpRequest) -> HttpResponse:
    """A sync view for tokens that are bound to the client's certificate."""
    return _token_info(request)


@require_jwt("profile", **LOGIN)
async def payment_async(request: HttpRequest) -> HttpResponse:
    """An async view whose user must have logged in a moment ago, with two factors."""
    return _token_info(request)


@require_jwt("profile", **LOGIN)
def payment_sync(request: HttpRequest) -> HttpResponse:
    """A sync view whose user must have logged in a moment ago, with two factors."""
    return _token_info(request)


def _token_info(request: HttpRequest) -> HttpResponse:
    token = AccessToken.of(request)
    assert token is not None
    username = None if token.user is None else token.user.get_username()
    return JsonResponse({"username": username, "client_id": token.client_id, "scopes": sorted(token.scopes)})
