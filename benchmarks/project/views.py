"""One constant answer, and each contender's way of asking for a token before it."""

import asyncio
import gc
from typing import Any

from authlib.integrations.django_oauth2 import BearerTokenValidator as AuthlibBearerTokenValidator
from authlib.integrations.django_oauth2 import ResourceProtector as AuthlibResourceProtector
from django.http import HttpRequest, HttpResponse, JsonResponse
from oauth2_provider.decorators import protected_resource  # type: ignore[import-untyped,unused-ignore]

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from benchmarks.contenders import ANSWER, ANSWER_BODY, SCOPE

from .models import Token

# Django leaves Content-Length to a middleware, and the load generator reads answers by it.
ANSWER_HEADERS = {"Content-Length": str(len(ANSWER_BODY))}

require_oauth = ResourceProtector(BearerTokenValidator(Token))
require_toolkit = ResourceProtector(BearerTokenValidator.for_django_oauth_toolkit())
require_authlib: Any = AuthlibResourceProtector()
require_authlib.register_token_validator(AuthlibBearerTokenValidator(Token))  # type: ignore[no-untyped-call,unused-ignore]


async def plain_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse(ANSWER, headers=ANSWER_HEADERS)


def plain_sync(request: HttpRequest) -> HttpResponse:
    return JsonResponse(ANSWER, headers=ANSWER_HEADERS)


async def aget(request: HttpRequest) -> HttpResponse:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return HttpResponse(status=401)
    try:
        token = await Token.objects.select_related("user").aget(access_token=credentials)
    except Token.DoesNotExist:
        return HttpResponse(status=401)
    if token.is_expired() or token.is_revoked() or not token.user.is_active:
        return HttpResponse(status=401)
    if SCOPE not in token.get_scope().split():
        return HttpResponse(status=403)
    return await plain_async(request)


async def tasks(request: HttpRequest) -> HttpResponse:
    """How many tasks the server's loop holds, for the soak."""
    # What only waits for the garbage collector is not left behind.
    gc.collect()
    return JsonResponse({"tasks": len(asyncio.all_tasks())})


VIEWS: dict[str, Any] = {
    "plain-async": plain_async,
    "plain-sync": plain_sync,
    "guard-async": require_oauth(SCOPE)(plain_async),
    "guard-sync": require_oauth(SCOPE)(plain_sync),
    "authlib-sync": require_authlib(SCOPE)(plain_sync),
    "toolkit-sync": protected_resource(scopes=[SCOPE])(plain_sync),
    "guard-toolkit-async": require_toolkit(SCOPE)(plain_async),
    "aget": aget,
}
