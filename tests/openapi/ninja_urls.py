"""A site with an API of Django Ninja and its docs page, for a browser. The issuer is in the environment."""

import os
from typing import Any

from django.http import HttpRequest
from django.middleware.security import SecurityMiddleware
from django.urls import path
from django.utils.decorators import decorator_from_middleware
from ninja import NinjaAPI

from async_oauth_guard import JWTBearerTokenValidator, ResourceProtector
from async_oauth_guard.contrib.ninja import OAuth, install

ISSUER = os.environ["NINJA_DOCS_ISSUER"]
AUDIENCE = "https://api.example"


class Guard(OAuth):
    """Accepts the JWTs of the issuer."""

    protector = ResourceProtector(JWTBearerTokenValidator(issuer=ISSUER, resource_server=AUDIENCE))


# As most sites have it. It separates the windows of a page from those of other sites.
secure = decorator_from_middleware(SecurityMiddleware)

api = NinjaAPI(docs_decorator=secure)
api.add_decorator(secure, mode="view")
install(api, authorization_url=f"{ISSUER}/authorize", token_url=f"{ISSUER}/codes", client_id="docs")


@api.get("/notes", auth=Guard("notes:read"))
def list_notes(request: HttpRequest) -> dict[str, Any]:
    """The token's subject and scopes."""
    token = request.oauth_token  # type: ignore[attr-defined]
    return {"sub": token["sub"], "scope": token["scope"]}


urlpatterns = [path("api/", api.urls)]
