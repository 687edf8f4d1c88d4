"""A site with DPoP and metadata, for itself behind a proxy and for the doctor. The environment plants faults."""

import os
import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

from async_oauth_guard import JWTBearerTokenValidator, ResourceProtector
from async_oauth_guard.runtime import django_cache
from async_oauth_guard.validators.clock import CLOCK
from tests.remote.authority import make_key

# Before any cache is used: the settings of the tests name none.
settings.CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["TESTS_REDIS"]},
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
del settings.OAUTH_GUARD
# A busy machine must not look like a slow cache.
django_cache._Cache.deadline = django_cache._Store.deadline = 30.0
AHEAD = float(os.environ.get("TESTS_CLOCK_AHEAD", "0"))
CLOCK.wall = lambda: time.time() + AHEAD

options: dict[str, Any] = {
    "resource": os.environ["TESTS_RESOURCE"],
    "public_origin": os.environ.get("TESTS_ORIGIN") or None,
    "cache": os.environ.get("TESTS_CACHE") or None,
}
validator = JWTBearerTokenValidator("https://as.example.com", jwks={"keys": [make_key("k").as_dict(private=False)]})
require_oauth = ResourceProtector(validator, dpop=True, metadata=True, **options)


@require_oauth("notes")
async def async_notes(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


@require_oauth("notes")
def sync_notes(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


metadata = [] if "TESTS_UNROUTED" in os.environ else require_oauth.metadata_urls()
urlpatterns = [*metadata, path("async/", async_notes), path("sync/", sync_notes)]
