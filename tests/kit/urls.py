"""A site whose protectors have validators of every kind. No test that overrides tokens may call any of them."""

from typing import Any, NoReturn

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.views import View

from async_oauth_guard import (
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ProtectedResourceMixin,
    ResourceProtector,
    TokenValidator,
)

ISSUER = "https://as.example"


class HookedValidator(TokenValidator):
    """A source of tokens with every hook that there is."""

    TOKEN_TYPE = "hooked"

    def authenticate_token(self, token_string: str) -> NoReturn:
        raise AssertionError("asked")

    def validate_request(self, request: Any) -> NoReturn:
        raise AssertionError("asked")

    def validate_token(self, token: Any, scopes: Any, request: Any, tenant: Any = None) -> NoReturn:
        raise AssertionError("asked")

    def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> NoReturn:
        raise AssertionError("asked")


def model_validator() -> BearerTokenValidator:
    return BearerTokenValidator("site.OAuth2Token", realm="rows")


protectors = {
    "rows": ResourceProtector(model_validator()),
    "jwt": ResourceProtector(JWTBearerTokenValidator(issuer=ISSUER, resource_server="https://api.example")),
    "introspection": ResourceProtector(
        IntrospectTokenValidator(
            f"{ISSUER}/introspect", client_id="api", client_secret="secret", audience="https://api.example"
        )
    ),
    "hooks": ResourceProtector(HookedValidator()),
    "several": ResourceProtector(
        HookedValidator(),
        model_validator(),
        JWTBearerTokenValidator(issuer=ISSUER, resource_server="https://api.example"),
    ),
    "authlib": ResourceProtector(model_validator(), compat="authlib"),
    "authlib without validators": ResourceProtector(compat="authlib"),
}
rows = protectors["rows"]


class OwnProtector(ResourceProtector):
    """Has an ``acquire_token`` of its author's, which calls ours."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, **requirements)


def describe(request: HttpRequest) -> JsonResponse:
    token = request.oauth_token  # type: ignore[attr-defined]
    user = token and token.user
    return JsonResponse(
        {
            "token": token is not None,
            "scope": token and token.get_scope(),
            "user": user and user.username,
            "client": token and token.client_id,
        }
    )


def sync_view(request: HttpRequest) -> JsonResponse:
    return describe(request)


async def async_view(request: HttpRequest) -> JsonResponse:
    return describe(request)


@rows("profile")
class SyncView(View):
    def get(self, request: HttpRequest) -> JsonResponse:
        return describe(request)


class AsyncView(ProtectedResourceMixin, View):
    protector = rows
    required_scopes = "profile"

    async def get(self, request: HttpRequest) -> JsonResponse:
        return describe(request)


def redirect(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/sync/function")


async def visits(request: HttpRequest) -> JsonResponse:
    """Counts by a cookie."""
    count = int(request.COOKIES.get("visits", 0)) + 1
    response = JsonResponse({"visits": count, "token": request.oauth_token is not None})  # type: ignore[attr-defined]
    response.set_cookie("visits", str(count))
    return response


VIEWS = {
    "/sync/function": rows("profile")(sync_view),
    "/async/function": rows("profile")(async_view),
    "/sync/class": SyncView.as_view(),
    "/async/class": AsyncView.as_view(),
}
OTHERS = {
    "/redirect": rows("profile")(redirect),
    "/visits": rows(optional=True)(visits),
    "/optional/sync": rows("profile", optional=True)(sync_view),
    "/optional/async": rows("profile", optional=True)(async_view),
}

urlpatterns = [path(route[1:], view) for route, view in (VIEWS | OTHERS).items()]
