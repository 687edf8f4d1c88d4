"""The site that the clients visit. Variables name its authorization server, and how it introspects tokens."""

import json
import os
from collections.abc import Iterator

from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, path

from async_oauth_guard import (
    AccessToken,
    DPoP,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ResourceProtector,
    TokenValidator,
)

ORIGIN = f"http://127.0.0.1:{os.environ['OAUTH_GUARD_TEST_PORT']}"
ISSUER = os.environ["TEST_ISSUER"]
CREDENTIALS = json.loads(os.environ["TEST_CREDENTIALS"])


def sync_view(request: HttpRequest) -> JsonResponse:
    return describe(request)


async def async_view(request: HttpRequest) -> JsonResponse:
    return describe(request)


def describe(request: HttpRequest) -> JsonResponse:
    token = AccessToken.of(request)
    assert token is not None
    return JsonResponse({"type": token.token_type, "client": token.client_id, "scopes": sorted(token.scopes)})


def api(prefix: str, validator: TokenValidator) -> Iterator[URLPattern]:
    """An API with its own identifier: views without and with nonces, and its metadata."""
    resource = f"{ORIGIN}/{prefix}"
    plain = ResourceProtector(validator, resource=resource, dpop=True, metadata=True)
    with_nonces = ResourceProtector(validator, resource=resource, dpop=DPoP(nonce=True))
    yield from plain.metadata_urls()
    for protector, folder in ((plain, prefix), (with_nonces, f"{prefix}/nonce")):
        for name, view in (("sync", sync_view), ("async", async_view)):
            yield path(f"{folder}/{name}/", protector("notes:read")(view))


urlpatterns = [
    *api("jwt", JWTBearerTokenValidator(ISSUER)),
    *api("opaque", IntrospectTokenValidator(issuer=ISSUER, **CREDENTIALS)),
]
