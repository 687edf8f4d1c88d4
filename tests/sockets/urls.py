"""The site that a real server serves in these tests."""

import asyncio
import gc
import threading

from django.http import HttpRequest, JsonResponse
from django.urls import path

from async_oauth_guard import require_oauth

counts = {"started": 0, "ended": 0}


def who(request: HttpRequest) -> JsonResponse:
    token = request.oauth_token  # type: ignore[attr-defined]
    return JsonResponse({"user": token and token.user and token.user.username, "path": request.path})


@require_oauth("profile")
def sync_view(request: HttpRequest) -> JsonResponse:
    return who(request)


@require_oauth("profile")
async def async_view(request: HttpRequest) -> JsonResponse:
    return who(request)


@require_oauth(optional=True)
async def optional_view(request: HttpRequest) -> JsonResponse:
    return who(request)


@require_oauth("profile")
async def endless_view(request: HttpRequest) -> JsonResponse:
    """Ends when its client goes away."""
    counts["started"] += 1
    try:
        await asyncio.Event().wait()
    finally:
        counts["ended"] += 1
    return who(request)


async def state(request: HttpRequest) -> JsonResponse:
    """What is alive in this process, and a warning in its log for each connection that nobody closed."""
    gc.collect()
    names = [thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return JsonResponse({"tasks": len(asyncio.all_tasks()), "threads": len(names), **counts})


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("optional/", optional_view),
    path("endless/", endless_view),
    path("state/", state),
]

# Otherwise each collection looks through all that was imported. What requests leave behind comes later.
gc.freeze()
