"""Validators of remote tokens, as built, registered and subclassed."""

import ssl
from collections.abc import Mapping
from typing import Any, assert_type

import httpx
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse

from async_oauth_guard import AccessToken, IntrospectTokenValidator, JWTBearerTokenValidator, ResourceProtector

ISSUER = "https://as.example.com"


def find_user(claims: Mapping[str, Any]) -> User | None:
    return User.objects.filter(username=claims["sub"]).first()


async def afind_user(claims: Mapping[str, Any]) -> User | None:
    return await User.objects.filter(username=claims["sub"]).afirst()


def make_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(proxy="http://proxy.internal:3128")


def get_keys() -> dict[str, Any]:
    return {"keys": []}


async def aget_keys() -> dict[str, Any]:
    return {"keys": []}


jwt = JWTBearerTokenValidator(ISSUER)
JWTBearerTokenValidator(ISSUER, "https://api.example.com", "api", server="s")
JWTBearerTokenValidator(ISSUER, ["https://api.example.com", "api"], jwks_uri=f"{ISSUER}/keys", profile="keycloak")
JWTBearerTokenValidator(ISSUER, resource_server=None, jwks={"keys": []}, algorithms=["HS256"])
JWTBearerTokenValidator(ISSUER, jwks=get_keys, algorithms=("RS256", "ES256"), user_lookup="username")
JWTBearerTokenValidator(ISSUER, jwks=aget_keys, algorithms={"RS256"}, user_lookup=("email", "email"))
JWTBearerTokenValidator(
    ISSUER, leeway=0, jwks_ttl=60.5, cooldown=10, max_stale=3600, timeout=2, user_lookup=find_user, verify="ca.pem"
)
JWTBearerTokenValidator(
    ISSUER,
    user_lookup=afind_user,
    http_client=make_client,
    verify=ssl.create_default_context(),
    allow_insecure_http=True,
)

introspection = IntrospectTokenValidator(f"{ISSUER}/introspect", client_id="api", client_secret="s")
IntrospectTokenValidator(issuer=ISSUER, client_id="api", client_secret="s", client_auth="client_secret_post")
IntrospectTokenValidator(
    issuer=ISSUER, client_id="api", client_secret={"kty": "EC"}, client_auth="private_key_jwt", audience="api"
)
IntrospectTokenValidator(f"{ISSUER}/introspect", client_auth="none", audience=None, cache_ttl=0, negative_ttl=1.5)
IntrospectTokenValidator(
    f"{ISSUER}/introspect",
    client_secret="token",
    client_auth="bearer",
    audience=("a", "b"),
    scope_claim="scp",
    stale_if_error=60,
    timeout=2.5,
    max_concurrency=10,
    user_lookup="username",
    token_format=r"at_\w+",
    signed_responses="required",
    jwks_uri=f"{ISSUER}/keys",
    http_client="accounts.clients.make_client",
    realm="api",
    server="s",
)

protector = ResourceProtector(jwt, introspection, resource="https://api.example.com", cache="default")
protector.register_token_validator(jwt)


class OwnIntrospection(IntrospectTokenValidator):
    def introspect_token(self, token_string: str) -> dict[str, Any]:
        return {"active": token_string == "known"}

    def cache_identity(self) -> str:
        return "tenant"


class OwnAsyncIntrospection(IntrospectTokenValidator):
    async def introspect_token(self, token_string: str) -> dict[str, Any]:
        return dict(await super().aintrospect_token(token_string))


class OwnKeys(JWTBearerTokenValidator):
    def get_jwks(self) -> dict[str, Any]:
        return {"keys": []}

    def validate_iss(self, claims: Any, iss: Any) -> bool:
        return isinstance(iss, str) and iss.startswith(ISSUER)


class OwnAsyncKeys(JWTBearerTokenValidator):
    async def get_jwks(self) -> dict[str, Any]:
        return dict(await super().aget_jwks())


ResourceProtector(OwnIntrospection(), OwnAsyncIntrospection(issuer=ISSUER, audience="api", client_auth="none"))
ResourceProtector(OwnKeys(ISSUER, "api"), OwnAsyncKeys(ISSUER, "api"))


@protector("profile", fresh=True)
async def view(request: HttpRequest) -> HttpResponse:
    token = AccessToken.of(request)
    assert token is not None
    return JsonResponse({"sub": token.subject, "kid": token.header.get("kid"), "user": token.user})


def methods(presented: str) -> None:
    assert_type(protector.invalidate(presented), None)
    jwt.authenticate_token(presented)
    jwt.get_jwks()
    introspection.introspect_token(presented)


async def adoors(presented: str) -> None:
    assert_type(await protector.ainvalidate(presented), None)
    await jwt.aauthenticate_token(presented)
    await jwt.aget_jwks()
    await introspection.aintrospect_token(presented)
