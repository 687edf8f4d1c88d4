"""Requests that the tests of the kit make to guarded views, whatever overrides are active."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory

from async_oauth_guard import GuardError, Reason, ResourceProtector
from tests.kit.urls import async_view, rows, sync_view

alice = User(pk=7, username="alice")
sync_and_async = pytest.mark.parametrize("view", [sync_view, async_view], ids=["def", "async def"])


def get(path: str, **headers: str) -> tuple[int, Any]:
    """The status and the JSON of the site's answer."""
    response = Client().get(path, headers=headers)
    return response.status_code, response.json()


def answer_of(guard: Any, view: Any = sync_view, **headers: str) -> HttpResponse:
    """The answer of a view behind ``guard``, called directly. An async view runs on a new event loop."""
    guarded = guard(view)
    if view is sync_view:
        return guarded(RequestFactory().get("/", headers=headers))  # type: ignore[no-any-return]
    return async_to_sync(guarded)(AsyncRequestFactory().get("/", headers=headers))  # type: ignore[no-any-return]


def token_seen(protector: ResourceProtector = rows, scopes: Any = None, **asked: Any) -> Any:
    return protector.acquire_token(RequestFactory().get("/"), scopes, **asked)


async def atoken_seen() -> Any:
    return await rows.aacquire_token(RequestFactory().get("/"))


def reason_of(**asked: Any) -> Reason:
    """Why a request is refused."""
    with pytest.raises(GuardError) as refusal:
        token_seen(**asked)
    return refusal.value.reason
