"""Views of Django REST framework and adrf that answer with the token and the user that the framework has."""

from collections.abc import Callable
from typing import Any

from adrf.views import APIView as AsyncAPIView
from asgiref.sync import sync_to_async
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from async_oauth_guard import AccessToken, ResourceProtector
from async_oauth_guard.contrib.rest_framework import OAuthAuthentication
from tests.answers import Answer

MakeView = Callable[..., Any]


def answer(request: Any) -> Response:
    token = AccessToken.of(request) if request.auth else None
    return Response({"user": request.user.username, "scopes": token and sorted(token.scopes)})


def sync_handler(self: Any, request: Any) -> Response:
    return answer(request)


async def async_handler(self: Any, request: Any) -> Response:
    return answer(request)


async def acheck_object(self: Any, request: Any) -> Response:
    await sync_to_async(self.check_object_permissions)(request, object())
    return Response("done")


def check_object(self: Any, request: Any) -> Response:
    self.check_object_permissions(request, object())
    return Response("done")


def make_view(base: type, handler: Any, *permissions: Any, **attributes: Any) -> Any:
    """A view that answers in JSON, with these permission classes. ``attributes`` are those of its class."""
    defaults = {
        "authentication_classes": [OAuthAuthentication],
        "permission_classes": list(permissions),
        "renderer_classes": [JSONRenderer],
        "get": handler,
        "post": handler,
    }
    return type("Notes", (base,), {**defaults, **attributes}).as_view()  # type: ignore[attr-defined]


FRAMEWORKS: dict[str, tuple[type, Any]] = {
    "DRF": (APIView, sync_handler),
    "adrf async": (AsyncAPIView, async_handler),
    "adrf sync": (AsyncAPIView, sync_handler),
}
# Views that also check the permissions for an object.
OF_OBJECTS: dict[str, tuple[type, Any]] = {
    "DRF": (APIView, check_object),
    "adrf async": (AsyncAPIView, acheck_object),
    "adrf sync": (AsyncAPIView, check_object),
}


def authentication_of(protector: ResourceProtector) -> Any:
    """The authentication class for a protector."""
    return type("Authentication", (OAuthAuthentication,), {"protector": protector})


class Own(BaseAuthentication):
    """Another class, which has a challenge, and authenticates nobody."""

    def authenticate(self, request: Any) -> None:
        return None

    def authenticate_header(self, request: Any) -> str:
        return 'Own realm="x"'


class Granted(BasePermission):
    """A permission that is always granted."""


class Denied(BasePermission):
    """A permission that is never granted."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return False

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return False


def essence(answer: Answer) -> Any:
    """All that a refusal sends. The frameworks add ``Allow``, and write JSON without spaces."""
    headers = {(name, value) for name, value in answer.headers if name not in ("Allow", "Content-Length")}
    return answer.status, headers, answer.json
