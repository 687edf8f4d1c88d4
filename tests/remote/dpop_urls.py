"""The site that a worker process serves to `test_dpop_workers`; variables name its cache and the key of its client."""

import os
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

from async_oauth_guard import DPoP, ResourceProtector
from tests.own_tokens import Own

# Before any cache is used: the settings of the tests name none.
settings.CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["TESTS_REDIS"],
        "KEY_PREFIX": os.environ["TESTS_PREFIX"],
    }
}

tokens = Own({"jkt": os.environ["TESTS_THUMBPRINT"]})
options: dict[str, Any] = {"public_origin": "https://api.example.com", "cache": "default"}
require_oauth = ResourceProtector(tokens, dpop=True, **options)
with_nonces = ResourceProtector(tokens, dpop=DPoP(nonce=True), **options)


async def async_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


def sync_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


urlpatterns = [
    path("async/", require_oauth("profile")(async_view)),
    path("sync/", require_oauth("profile")(sync_view)),
    path("nonce/", with_nonces("profile")(async_view)),
]
