"""One guard after another on operations of Ninja: the second one reuses what the first one found."""

from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.contrib.ninja import OAuth, install
from tests import asgi
from tests.answers import bearer
from tests.conftest import Send
from tests.frameworks.conftest import GOOD
from tests.site.models import OAuth2Token
from tests.sites import MODES, serving

pytestmark = pytest.mark.django_db


class CountingValidator(BearerTokenValidator):
    """Counts how often a token is looked up."""

    def __init__(self) -> None:
        super().__init__(OAuth2Token)
        self.lookups = 0

    def authenticate_token(self, token_string: str) -> Any:
        self.lookups += 1
        return super().authenticate_token(token_string)


@pytest.mark.parametrize("mode", MODES)
def test_one_lookup(mode: str, send: Send) -> None:
    """A guard around the URLs, one in front of Ninja, and OAuth look the token up once, and each checks its scopes."""
    validator = CountingValidator()
    protector = ResourceProtector(validator)
    auth = type("OAuth", (OAuth,), {"protector": protector})
    api = NinjaAPI()
    install(api)

    def sync_notes(request: HttpRequest) -> dict[str, str]:
        return {"for": request.auth.user.username}  # type: ignore[attr-defined]

    async def async_notes(request: HttpRequest) -> dict[str, str]:
        return sync_notes(request)

    notes: Any = sync_notes if mode == "def" else async_notes
    api.get("/notes", auth=auth("profile"))(protector("email")(notes))
    api.get("/admin", auth=[auth("admin"), auth("openid")])(protector("email")(notes))
    with serving([path("api/", protector.protect_urls(api.urls))]):
        assert send("/api/notes", bearer(GOOD)).json == {"for": "alice"}
        assert validator.lookups == 1
        refused = send("/api/admin", bearer(GOOD))
        assert (refused.status, refused.challenges[0].parameters["scope"]) == (403, "openid")
        assert validator.lookups == 2


@pytest.mark.parametrize("mode", MODES)
def test_behind_an_application(mode: str) -> None:
    """`OAuth` also reuses what a guard in front of Django's application found."""
    validator = CountingValidator()
    protector = ResourceProtector(validator)
    api = NinjaAPI(auth=type("OAuth", (OAuth,), {"protector": protector})("profile"))
    install(api)

    def sync_notes(request: HttpRequest) -> dict[str, str]:
        return {"for": request.auth.user.username}  # type: ignore[attr-defined]

    async def async_notes(request: HttpRequest) -> dict[str, str]:
        return sync_notes(request)

    notes: Any = sync_notes if mode == "def" else async_notes
    api.get("/notes")(notes)
    with serving([path("api/", api.urls)]):
        application = protector.asgi(ASGIHandler(), "email")
        answer = asgi.send("/api/notes", bearer(GOOD), application=application)
    assert answer.json == {"for": "alice"}
    assert validator.lookups == 1
