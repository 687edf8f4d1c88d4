"""Decorated views keep their signatures."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_type

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View

from async_oauth_guard import AccessToken, MutualTLS, ProtectedResourceMixin, ResourceProtector, require_oauth

protector = ResourceProtector(realm="api", resource="https://api.example.com", compat=None, set_user=True)
with_metadata = ResourceProtector(resource="https://api.example.com", metadata={"resource_name": "Reports"})


async def certificate_of(request: HttpRequest) -> bytes | None:
    return None


by_header = ResourceProtector(mtls=MutualTLS("nginx", header="X-Cert", trusted_proxies=["10.0.0.0/8", "unix"]))
by_function = ResourceProtector(mtls=MutualTLS(certificate_of), metadata=None)


@require_oauth
def bare(request: HttpRequest, year: int) -> HttpResponse:
    return HttpResponse(str(year))


@require_oauth
async def abare(request: HttpRequest, year: int) -> HttpResponse:
    return HttpResponse(str(year))


@require_oauth("profile")
def scoped(request: HttpRequest, *, name: str) -> JsonResponse:
    return JsonResponse({"name": name})


@require_oauth(["profile email", "user"], optional=True, until_expiry=False)
async def ascoped(request: HttpRequest, *, name: str) -> JsonResponse:
    return JsonResponse({"name": name})


assert_type(bare(HttpRequest(), 2026), HttpResponse)
assert_type(scoped(HttpRequest(), name="x"), JsonResponse)
awaited: Coroutine[Any, Any, HttpResponse] = abare(HttpRequest(), 2026)
also_awaited: Awaitable[JsonResponse] = ascoped(HttpRequest(), name="x")
plain: Callable[[HttpRequest, int], HttpResponse] = bare


async def caller(request: HttpRequest) -> None:
    assert_type(await abare(request, 2026), HttpResponse)
    assert_type(await ascoped(request, name="x"), JsonResponse)


def is_admin(request: HttpRequest, token: Any) -> bool:
    return AccessToken.of(request) is not None


async def may_enter(request: HttpRequest, token: Any) -> bool:
    return True


@protector()
def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@protector(None)
def none(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@protector([["profile", "email"], "user"])
def groups(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@protector(("profile", "user"), groups=["staff"], roles="auditor", entitlements=["a b"])
def attributes(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@protector({"GET": "read", "POST": ["write", "admin"], "*": None})
def by_method(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@protector(scope="read", require_user=True, fresh=True, check=[is_admin, may_enter], acr="gold")
async def everything(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@require_oauth("profile")
class Guarded(View):
    name = "guarded"

    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


assert_type(Guarded.name, str)
got: Coroutine[Any, Any, HttpResponse] = Guarded().get(HttpRequest())
guarded_class: type[Guarded] = Guarded
as_view: Callable[..., Any] = require_oauth("profile")(Guarded.as_view())


class Methods(View):
    @require_oauth("read")
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @require_oauth("write")
    async def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


assert_type(Methods().get(HttpRequest()), HttpResponse)


@method_decorator(require_oauth("profile"), name="dispatch")
class Dispatched(View):
    pass


class Mixed(ProtectedResourceMixin, View):
    required_scopes = ["notes:read", "admin"]
    oauth_optional = True
    protector = protector

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()
