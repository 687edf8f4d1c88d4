"""The site behind the proxies. Its only token is bound to the certificate whose thumbprint the environment names."""

import os
from types import SimpleNamespace
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import path

from async_oauth_guard import MutualTLS, ResourceProtector, TokenValidator

TOKEN = "bound-token"


class Bound(TokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        if token_string != TOKEN:
            return None
        confirmation = {"x5t#S256": os.environ["TEST_THUMBPRINT"]}
        return SimpleNamespace(
            is_expired=bool, is_revoked=bool, get_scope=lambda: "profile", cnf=confirmation, user=None
        )


mtls = MutualTLS(
    os.environ.get("TEST_SOURCE", "nginx"), trusted_proxies=os.environ.get("TEST_TRUSTED", "127.0.0.1").split()
)
protector = ResourceProtector(Bound(), mtls=mtls)


@protector("profile")
def sync_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


@protector("profile")
async def async_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


urlpatterns = [path("sync/", sync_view), path("async/", async_view)]
