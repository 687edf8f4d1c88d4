"""The site that a worker process serves here; variables name its authorization server and its cache."""

import os

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

from async_oauth_guard import IntrospectTokenValidator, JWTBearerTokenValidator, ResourceProtector
from tests.remote.authority import AUDIENCE, CLIENT_SECRET, INTROSPECTION

# Before any cache is used: the settings of the tests name none.
settings.CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["TESTS_REDIS"],
        "KEY_PREFIX": os.environ["TESTS_PREFIX"],
    }
}

issuer = os.environ["TESTS_ISSUER"]
require_oauth = ResourceProtector(
    JWTBearerTokenValidator(issuer, AUDIENCE, timeout=5),
    IntrospectTokenValidator(
        issuer + INTROSPECTION, client_id="api", client_secret=CLIENT_SECRET, audience=AUDIENCE, timeout=5
    ),
    cache="default",
)


@require_oauth("profile")
async def async_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"sub": request.oauth_token.subject})  # type: ignore[attr-defined]


@require_oauth("profile")
def sync_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"sub": request.oauth_token.subject})  # type: ignore[attr-defined]


urlpatterns = [path("async/", async_view), path("sync/", sync_view)]
