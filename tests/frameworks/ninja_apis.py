"""APIs of Ninja that take a note, for the tests of ``OAuth``."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI, Schema
from ninja.security import APIKeyHeader

from async_oauth_guard import ResourceProtector
from async_oauth_guard.contrib.ninja import OAuth, install


class Note(Schema):
    text: str


class ApiKey(APIKeyHeader):
    param_name = "X-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return key if key == "good" else None


def oauth(protector: ResourceProtector, *scopes: Any, **requirements: Any) -> OAuth:
    return type("OAuth", (OAuth,), {"protector": protector})(*scopes, **requirements)


def make_api(*, installed: bool = True, **options: Any) -> NinjaAPI:
    api = NinjaAPI(**options)
    if installed:
        install(api)
    return api


def in_mode(mode: str, function: Callable[..., Any]) -> Any:
    """The function itself, or an async one that calls it."""

    async def afunction(request: HttpRequest, note: Note) -> Any:
        return function(request, note)

    def sync_function(request: HttpRequest, note: Note) -> Any:
        return function(request, note)

    return sync_function if mode == "def" else afunction


def echo(request: Any, note: Note) -> dict[str, Any]:
    is_same = request.auth is request.oauth_token
    return {"text": note.text, "user": request.oauth_token.user.username, "is_same": is_same}


BODY = {"method": "POST", "body": b'{"text": "hello"}'}
WRONG_BODY = {"method": "POST", "body": b"{"}
JSON = [(b"content-type", b"application/json")]
