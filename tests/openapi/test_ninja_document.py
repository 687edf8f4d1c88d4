"""The OpenAPI document of an API of Ninja with ``install``."""

import json
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path
from ninja import NinjaAPI, Router
from ninja.openapi.docs import Redoc
from ninja.security import APIKeyHeader
from openapi_spec_validator import validate

from async_oauth_guard import BearerTokenValidator, JWTBearerTokenValidator, ResourceProtector
from async_oauth_guard.contrib.ninja import OAuth, install
from async_oauth_guard.testing import FakeAuthorizationServer, iter_routes
from tests.conftest import Send
from tests.site.models import OAuth2Token
from tests.sites import serving

URLS = {"authorization_url": "https://as.example/authorize", "token_url": "https://as.example/token"}
database = ResourceProtector(BearerTokenValidator(OAuth2Token))
ISSUER = "https://as-of-ninja.example"


class Guard(OAuth):
    protector = database


class ApiKey(APIKeyHeader):
    def authenticate(self, request: HttpRequest, key: str | None) -> None:
        return None


def new_view(name: str) -> Any:
    def operation(request: HttpRequest) -> None:
        raise NotImplementedError

    operation.__name__ = name
    return operation


def document_of(api: NinjaAPI) -> dict[str, Any]:
    """The document as clients get it. It is valid."""
    with serving([path("api/", api.urls)]):
        document: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
    validate(document)
    return document


def make_api(**installed: Any) -> NinjaAPI:
    api = NinjaAPI()
    install(api, **installed)
    return api


ANY_TOKEN: list[Any] = [{"Guard": []}]


@pytest.mark.parametrize(
    ("auth", "security"),
    [
        (Guard(), ANY_TOKEN),
        (Guard("profile email"), [{"Guard": ["profile", "email"]}]),
        (Guard(["profile", "email phone"]), [{"Guard": ["profile"]}, {"Guard": ["email", "phone"]}]),
        (Guard({"GET": "profile", "*": "admin"}), [{"Guard": ["profile"]}]),
        # No request is let in.
        (Guard({"POST": "admin"}), ANY_TOKEN),
        ([Guard("profile"), ApiKey()], [{"Guard": ["profile"]}, {"ApiKey": []}]),
        ([Guard("profile"), Guard("email")], [{"Guard": ["profile"]}, {"Guard": ["email"]}]),
        (ApiKey(), [{"ApiKey": []}]),
        (lambda request: True, None),
        (None, None),
    ],
)
def test_authenticators(auth: Any, security: Any) -> None:
    """Each alternative is one way to be let in."""
    api = make_api(**URLS)
    api.get("/notes", auth=auth)(new_view("notes"))
    assert document_of(api)["paths"]["/api/notes"]["get"].get("security") == security


def test_several_guards() -> None:
    """A request must pass all of them. Where a token is optional, so are the scopes."""
    api = make_api(**URLS)
    api.get("/a", auth=[Guard("b"), ApiKey()])(database(["c", "b d"])(new_view("a")))
    api.get("/b")(database("b", optional=True)(new_view("b")))
    paths = document_of(api)["paths"]
    assert paths["/api/a"]["get"]["security"] == [
        {"Guard": ["c", "b"]},
        {"Guard": ["c"], "ApiKey": []},
        {"Guard": ["b", "d"]},
        {"Guard": ["b", "d"], "ApiKey": []},
    ]
    assert paths["/api/b"]["get"]["security"] == [{"Guard": ["b"]}, {}]


def test_security_of_the_site() -> None:
    """Security that an operation declares itself is kept, and its own responses too."""
    api = make_api(**URLS)
    extra = {"security": [{"Guard": ["admin"]}], "responses": {401: {"description": "Ours"}}}
    api.get("/notes", auth=Guard("profile"), openapi_extra=extra)(new_view("notes"))
    operation = document_of(api)["paths"]["/api/notes"]["get"]
    assert operation["security"] == [{"Guard": ["profile"]}, {"Guard": ["admin"]}]
    assert operation["responses"]["401"]["description"] == "Ours"


def test_each_method() -> None:
    """The scopes of an operation with several methods are those of each method."""
    api = make_api(**URLS)
    scopes = {"GET": "read", "*": "write"}
    api.api_operation(["GET", "POST"], "/notes", auth=Guard(scopes))(new_view("notes"))
    api.get("/hidden", include_in_schema=False, auth=Guard("hidden"))(new_view("hidden"))
    with serving([path("api/", api.urls)]):
        document = api.get_openapi_schema()
    operations = document["paths"]["/api/notes"]
    assert operations["get"]["security"] == [{"Guard": ["read"]}]
    assert operations["post"]["security"] == [{"Guard": ["write"]}]
    flow = document["components"]["securitySchemes"]["Guard"]["flows"]["authorizationCode"]
    assert flow["scopes"] == {"read": "", "write": ""}


def test_error_responses() -> None:
    """Guarded operations share their error responses; others have none."""
    api = make_api(**URLS)
    api.get("/auth", auth=Guard())(new_view("auth"))
    api.get("/below")(database(new_view("below")))
    api.get("/open")(new_view("open"))
    document = document_of(api)
    references = {status: {"$ref": f"#/components/responses/OAuth{status}"} for status in ("401", "403", "503")}
    for name in ("auth", "below"):
        assert document["paths"][f"/api/{name}"]["get"]["responses"] == {"200": {"description": "OK"}, **references}
    assert document["paths"]["/api/open"]["get"]["responses"] == {"200": {"description": "OK"}}
    assert document["components"]["responses"].keys() == {"OAuth401", "OAuth403", "OAuth503"}
    assert document["components"]["schemas"]["OAuthError"]["required"] == ["error", "error_description"]


def test_nothing_guarded() -> None:
    """The document of an API without guards is Ninja's own."""
    api, plain = make_api(**URLS), NinjaAPI()
    for each in (api, plain):
        each.get("/notes", auth=ApiKey())(new_view("notes"))
    assert document_of(api) == document_of(plain)


def test_several_protectors() -> None:
    """Each protector has a security scheme of its own, named after the class."""
    other = ResourceProtector(BearerTokenValidator(OAuth2Token))
    api = make_api(**URLS)
    api.get("/a", auth=Guard("a"))(new_view("a"))
    api.get("/b")(other("b")(new_view("b")))
    same_name = type("Guard", (OAuth,), {"protector": ResourceProtector(BearerTokenValidator(OAuth2Token))})
    api.get("/c", auth=same_name("c"))(new_view("c"))
    document = document_of(api)
    assert document["components"]["securitySchemes"].keys() == {"Guard", "OAuth", "Guard3"}
    assert document["paths"]["/api/b"]["get"]["security"] == [{"OAuth": ["b"]}]
    assert document["paths"]["/api/c"]["get"]["security"] == [{"Guard3": ["c"]}]


def test_routers() -> None:
    """The authenticators of a router count."""
    api, router = make_api(**URLS), Router(auth=Guard("profile"))
    router.get("/notes")(new_view("notes"))
    api.add_router("", router)
    assert document_of(api)["paths"]["/api/notes"]["get"]["security"] == [{"Guard": ["profile"]}]


def scheme_of(protector: ResourceProtector, **installed: Any) -> Any:
    api = make_api(**installed)
    api.get("/notes", auth=type("OAuth", (OAuth,), {"protector": protector})("profile"))(new_view("notes"))
    return document_of(api)["components"]["securitySchemes"]["OAuth"]


def remote() -> ResourceProtector:
    return ResourceProtector(JWTBearerTokenValidator(issuer=ISSUER, resource_server="https://api.example"))


BEARER = {"type": "http", "scheme": "bearer"}


def test_given_urls() -> None:
    """The URLs of `install` are used as they are, and nothing is fetched."""
    flow = {"authorizationUrl": URLS["authorization_url"], "tokenUrl": URLS["token_url"], "scopes": {"profile": ""}}
    assert scheme_of(database, **URLS) == {"type": "oauth2", "flows": {"authorizationCode": flow}}
    with FakeAuthorizationServer(ISSUER) as server:
        assert scheme_of(remote(), **URLS) == {"type": "oauth2", "flows": {"authorizationCode": flow}}
        assert server.calls == []


def test_urls_of_the_issuer() -> None:
    """Without them, they are those in the metadata of the issuer. The metadata is fetched once."""
    protector = remote()
    with FakeAuthorizationServer(ISSUER, metadata={"authorization_endpoint": f"{ISSUER}/authorize"}) as server:
        for _ in range(2):
            [(kind, flow)] = scheme_of(protector)["flows"].items()
            assert kind == "authorizationCode"
            assert (flow["authorizationUrl"], flow["tokenUrl"]) == (f"{ISSUER}/authorize", f"{ISSUER}/token")
        assert len(server.calls_to("metadata")) == 1
        for given, url in (("authorization_url", "authorizationUrl"), ("token_url", "tokenUrl")):
            [(kind, other)] = scheme_of(protector, **{given: "https://login.example"})["flows"].items()
            assert kind == "authorizationCode"
            assert other == {**flow, url: "https://login.example"}


def test_incomplete_metadata() -> None:
    """Without an authorization endpoint, clients can only get tokens for themselves; without both, none."""
    with FakeAuthorizationServer(ISSUER, metadata={"authorization_endpoint": None}):
        flow = {"tokenUrl": f"{ISSUER}/token", "scopes": {"profile": ""}}
        assert scheme_of(remote()) == {"type": "oauth2", "flows": {"clientCredentials": flow}}
    with FakeAuthorizationServer(ISSUER, metadata={"authorization_endpoint": None, "token_endpoint": None}):
        assert scheme_of(remote()) == BEARER


def test_no_metadata() -> None:
    """If no metadata is known or available, the document says only that a token is necessary."""
    assert scheme_of(database) == BEARER
    without_url = JWTBearerTokenValidator(issuer="accounts", resource_server=None, jwks_uri=f"{ISSUER}/jwks")
    assert scheme_of(ResourceProtector(without_url)) == BEARER
    with FakeAuthorizationServer(ISSUER) as server:
        server.fail("down")
        assert scheme_of(remote()) == BEARER


def test_without_install() -> None:
    """The document says that a token is necessary."""
    api = NinjaAPI()
    api.get("/notes", auth=Guard("profile"))(new_view("notes"))
    document = document_of(api)
    assert document["components"]["securitySchemes"] == {"Guard": BEARER}
    assert document["paths"]["/api/notes"]["get"]["security"] == ANY_TOKEN


@pytest.mark.parametrize("installed", [True, False])
def test_docs_page(installed: bool, send: Send) -> None:
    """It uses PKCE, and its window stays in touch with the one of the authorization server."""
    api = NinjaAPI(docs_url="/about/docs")
    if installed:
        install(api, client_id="</script>")
    with serving([path("api/", api.urls)]):
        page, redirect = send("/api/about/docs"), send("/api/about/oauth2-redirect.html")
        paths = {route.path: route.review for route in iter_routes()}
    configured = rb'ui.initOAuth({"usePkceWithAuthorizationCodeGrant": true, "clientId": "\u003c/script>"});</script>'
    assert (configured in page.body) is installed
    assert redirect.status == (200 if installed else 404)
    assert ("/api/about/oauth2-redirect.html" in paths) is installed
    if installed:
        assert page.header("Cross-Origin-Opener-Policy") == "same-origin-allow-popups"
        assert redirect.header("Cross-Origin-Opener-Policy") == "unsafe-none"
        assert paths["/api/about/oauth2-redirect.html"] == "static page of the API's documentation"


@pytest.mark.parametrize("options", [{"docs_url": None}, {"openapi_url": None}, {"docs": Redoc()}])
def test_no_docs_page(options: dict[str, Any]) -> None:
    """Without Ninja's page with Swagger UI, there is no page to redirect to."""
    api = NinjaAPI(**options)
    install(api)
    with serving([path("", api.urls)]):
        assert not [route for route in iter_routes() if "oauth2-redirect" in route.path]


def test_other_apis_keep_their_docs_page(send: Send) -> None:
    """Ninja's APIs share one object for their pages. `install` leaves it as it is."""
    make_api()
    api = NinjaAPI(urls_namespace="other")
    api.get("/notes")(lambda request: HttpResponse())
    with serving([path("api/", api.urls)]):
        assert b"initOAuth" not in send("/api/docs").body
