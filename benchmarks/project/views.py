"""Views with a constant response, and each contender's guard around them."""

import asyncio
import gc
import threading
import time
from typing import Any

from authlib.integrations.django_oauth2 import BearerTokenValidator as AuthlibBearerTokenValidator
from authlib.integrations.django_oauth2 import ResourceProtector as AuthlibResourceProtector
from django.http import HttpRequest, HttpResponse, JsonResponse
from oauth2_provider.decorators import protected_resource  # type: ignore[import-untyped,unused-ignore]

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from benchmarks import contenders
from benchmarks.contenders import ANSWER, ANSWER_BODY, SCOPE

from .models import Token

# Django sets Content-Length in a middleware. The load generator needs it to read responses.
ANSWER_HEADERS = {"Content-Length": str(len(ANSWER_BODY))}
# The most threads of a `ThreadPoolExecutor` with its default size.
LARGEST_POOL = 32

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
    """The number of tasks and the names of Python threads, for the soak."""
    # The loop's thread pool grows with its work and never shrinks. Fill it, so that its size is always the same.
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, time.sleep, 0.05) for _ in range(LARGEST_POOL)))
    # Objects that the garbage collector can free are not left behind.
    gc.collect()
    names = sorted(thread.name for thread in threading.enumerate())
    return JsonResponse({"tasks": len(asyncio.all_tasks()), "threads": names})


VIEWS: dict[str, Any] = {
    contenders.PLAIN: plain_async,
    contenders.PLAIN_SYNC: plain_sync,
    contenders.GUARD: require_oauth(SCOPE)(plain_async),
    contenders.GUARD_SYNC: require_oauth(SCOPE)(plain_sync),
    contenders.AUTHLIB: require_authlib(SCOPE)(plain_sync),
    contenders.TOOLKIT: protected_resource(scopes=[SCOPE])(plain_sync),
    contenders.TOOLKIT_GUARD: require_toolkit(SCOPE)(plain_async),
    contenders.AGET: aget,
    "tasks": tasks,
}
