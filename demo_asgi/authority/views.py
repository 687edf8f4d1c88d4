"""The endpoints, for HTTP."""

import functools
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from . import keys
from .endpoints import IntrospectionEndpoint, RevocationEndpoint
from .faults import FAULTS
from .metadata import metadata
from .server import server
from .specimens import specimens as make_specimens


def for_programs(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse what a browser posts: nobody is asked who they are here, so any page could make it send that."""

    @functools.wraps(view)
    def refuse_browsers(request: HttpRequest) -> HttpResponse:
        if request.method == "POST" and ("Origin" in request.headers or "Sec-Fetch-Site" in request.headers):
            return JsonResponse({"error": "access_denied", "error_description": "Not from a browser."}, status=403)
        return view(request)

    return refuse_browsers


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Access tokens, for clients that authenticate (RFC 6749 §3.2)."""
    return server.create_token_response(request)


@require_POST
def introspect(request: HttpRequest) -> HttpResponse:
    """What is known of a token, for the resource server (RFC 7662)."""
    return server.create_endpoint_response(IntrospectionEndpoint.ENDPOINT_NAME, request)


@require_POST
def revoke(request: HttpRequest) -> HttpResponse:
    """The end of a token, for the client that it was issued to (RFC 7009)."""
    return server.create_endpoint_response(RevocationEndpoint.ENDPOINT_NAME, request)


@require_safe
def jwks(request: HttpRequest) -> HttpResponse:
    """The public keys (RFC 7517)."""
    return JsonResponse(keys.public_key_set())


@require_POST
@for_programs
def rotate(request: HttpRequest) -> HttpResponse:
    """A new key: ``old=keep`` goes on publishing the others, ``old=remove`` does not. Nobody is asked who they are."""
    old = request.POST.get("old")
    if old not in ("keep", "remove"):
        return JsonResponse({"error": "invalid_request", "error_description": "old is keep or remove."}, status=400)
    return JsonResponse({"kid": keys.rotate(keep_old=old == "keep"), "old": old}, status=201)


@require_http_methods(["GET", "POST"])
@for_programs
def faults(request: HttpRequest) -> HttpResponse:
    """What is wrong with this server: ``down`` and ``slow``, each ``on`` or ``off``. Nobody is asked who they are."""
    wanted = {name: request.POST[name] for name in ("down", "slow") if name in request.POST}
    if not set(wanted.values()) <= {"on", "off"}:
        return JsonResponse({"error": "invalid_request", "error_description": "A fault is on or off."}, status=400)
    for name, state in wanted.items():
        setattr(FAULTS, name, state == "on")
    return JsonResponse({"down": FAULTS.down, "slow": FAULTS.slow, "kids": keys.kids()})


@require_POST
@for_programs
def specimens(request: HttpRequest) -> HttpResponse:
    """JWTs that no resource server should take. Nobody is asked who they are."""
    return JsonResponse(make_specimens())


@require_safe
def describe(request: HttpRequest) -> HttpResponse:
    """Where everything is (RFC 8414)."""
    return JsonResponse(metadata(), json_dumps_params={"indent": 2})
