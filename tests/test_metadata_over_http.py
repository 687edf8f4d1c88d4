"""Protected resource metadata (RFC 9728), with requests through both servers' handlers."""

import asyncio
import functools
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import URLResolver, include, path
from django.urls.resolvers import RegexPattern
from django.utils.decorators import method_decorator
from django.views import View

from async_oauth_guard import (
    BearerTokenValidator,
    DPoP,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    MutualTLS,
    ProtectedResourceMixin,
    ResourceProtector,
    require_oauth,
)
from async_oauth_guard.diagnostics.routes import iter_routes
from async_oauth_guard.diagnostics.url_checks import check_site
from tests import asgi
from tests.answers import Answer, bearer
from tests.conftest import Committed, Send
from tests.site.models import OAuth2Token
from tests.sites import MODES, Urls, Witness, serving
from tests.terminals import read_samples

WELL_KNOWN = "/.well-known/oauth-protected-resource"
RESOURCE = "https://api.example.com"

sync_and_async = pytest.mark.parametrize("mode", MODES)


def make(metadata: Any = True, *, resource: str = RESOURCE, **options: Any) -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token), resource=resource, metadata=metadata, **options)


def fetch(send: Send, protector: ResourceProtector, *patterns: Any, **request: Any) -> Answer:
    """The answer of a site with the document and these patterns."""
    with serving([*protector.metadata_urls(), *patterns]):
        return send(request.pop("path", WELL_KNOWN), **request)


# The document's URL.

ONLY = [
    ("https://h", WELL_KNOWN, b""),
    ("https://h/", WELL_KNOWN, b""),
    ("https://h/r1", f"{WELL_KNOWN}/r1", b""),
    ("https://h/r1/", f"{WELL_KNOWN}/r1/", b""),
    ("https://h/r1?k=v", f"{WELL_KNOWN}/r1", b"k=v"),
    ("https://h/a%20<b>.c", f"{WELL_KNOWN}/a <b>.c", b""),
    ("http://127.0.0.1:8000/r1", f"{WELL_KNOWN}/r1", b""),
]
OTHERS = [
    *((where, query) for _, where, query in ONLY),
    (f"{WELL_KNOWN}/", b""),
    (f"{WELL_KNOWN}/r1\n", b""),
    (f"{WELL_KNOWN}/r1/x", b""),
    (f"{WELL_KNOWN}/R1", b""),
    (f"{WELL_KNOWN}/r1", b"k=w"),
    (f"{WELL_KNOWN}/a b.c", b""),
    (f"/r1{WELL_KNOWN}", b""),
]


@pytest.mark.parametrize(("resource", "where", "query"), ONLY)
def test_one_url(resource: str, where: str, query: bytes, send: Send) -> None:
    """R109: the document is at exactly one URL, which is made from the resource, with its path and query."""
    with serving(make(resource=resource).metadata_urls()):
        answer = send(where, query=query)
        assert (answer.status, answer.json["resource"]) == (200, resource)
        others = [other for other in OTHERS if other != (where, query)]
        assert {send(other, query=given).status for other, given in others} == {404}


@pytest.mark.parametrize(
    "resource", [None, "http://api.example.com", "ftp://api.example.com", "https://u:p@h", "https://é"]
)
def test_required_resource(resource: str | None) -> None:
    """R112: metadata requires a resource with https, or with http on a loopback address."""
    with pytest.raises(ImproperlyConfigured, match="metadata requires"):
        ResourceProtector(metadata=True, resource=resource)
    with override_settings(OAUTH_GUARD={"METADATA": True, "RESOURCE": resource}):
        protector = ResourceProtector.from_settings()
        with pytest.raises(ImproperlyConfigured, match=r"OAUTH_GUARD\['METADATA'\]: metadata requires"):
            protector.metadata_urls()


@pytest.mark.parametrize("metadata", [None, False])
def test_no_metadata(metadata: Any) -> None:
    """Without metadata, there are no URLs, and the caller learns why."""
    with pytest.raises(ImproperlyConfigured, match=r"requires metadata=True, or OAUTH_GUARD\['METADATA'\]"):
        ResourceProtector(metadata=metadata, resource=RESOURCE).metadata_urls()


@pytest.mark.parametrize("metadata", [1, "yes", [("a", 1)]])
def test_wrong_types(metadata: Any) -> None:
    """Anything but ``True`` and a mapping is refused when the protector is built."""
    with pytest.raises(TypeError, match="metadata must be True, or a mapping of members"):
        ResourceProtector(metadata=metadata, resource=RESOURCE)


# Requests.


@pytest.mark.parametrize("host", [b"testserver", b"evil.example.com"])
def test_resource_is_configured(host: bytes, send: Send) -> None:
    """R111: ``resource`` is the configured text, whatever host the request names."""
    answer = fetch(send, make(), headers=[(b"x-forwarded-host", host), (b"x-forwarded-proto", b"http")])
    assert answer.json["resource"] == RESOURCE


def test_get(send: Send) -> None:
    """R110: the document is JSON, may be read from any origin and cached, and needs neither token nor session."""
    answer = fetch(send, make())
    assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    assert answer.header("Access-Control-Allow-Origin") == "*"
    assert answer.header("Cache-Control") == "public, max-age=300"
    assert answer.header("Vary") is None
    assert answer.json == {"resource": RESOURCE, "bearer_methods_supported": ["header"]}


def test_head(send: Send) -> None:
    """HEAD has the headers of GET."""
    head, get = (fetch(send, make(), method=method) for method in ("HEAD", "GET"))
    assert (head.status, head.headers) == (get.status, get.headers)


def test_preflight(send: Send) -> None:
    """OPTIONS answers a CORS preflight, also for the header that MCP clients add."""
    answer = fetch(send, make(), method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("Access-Control-Allow-Origin") == "*"
    assert answer.members("Access-Control-Allow-Methods") == {"get", "head", "options"}
    assert answer.members("Access-Control-Allow-Headers") == {"mcp-protocol-version"}
    assert answer.header("Content-Type") is None


MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods(method: str, send: Send) -> None:
    """R110: other methods get 405, also where Django's CSRF and login checks are installed."""
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        answer = fetch(send, make(), method=method)
    assert answer.status == 405
    assert answer.members("Allow") == {"get", "head", "options"}


def test_session_middleware(send: Send) -> None:
    """R110: no login is required where every other view requires one."""
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        assert fetch(send, make()).status == 200


@pytest.mark.django_db
def test_atomic_requests(send: Send) -> None:
    """``ATOMIC_REQUESTS``, with which Django refuses async views, does not concern the document."""
    connection = connections["default"].settings_dict
    earlier, connection["ATOMIC_REQUESTS"] = connection["ATOMIC_REQUESTS"], True
    try:
        assert fetch(send, make()).status == 200
    finally:
        connection["ATOMIC_REQUESTS"] = earlier


def test_no_thread() -> None:
    """Under ASGI, the document is served on the event loop."""
    threads: set[int] = set()

    class Recording(ResourceProtector):
        @property
        def validators(self) -> Any:
            threads.add(threading.get_ident())
            return super().validators

    protector = Recording(resource=RESOURCE, metadata=True)

    async def ask() -> int:
        answer = await asgi.request(WELL_KNOWN)
        assert answer.status == 200
        return threading.get_ident()

    with serving(protector.metadata_urls()):
        assert asyncio.run(ask()) in threads
    assert len(threads) == 1


# Members.

AS, OTHER = "https://as.example.com", "https://other.example.com"


def test_authorization_servers(send: Send) -> None:
    """R112, R113: the issuers of the validators are listed in their order, and each once."""
    protector = ResourceProtector(
        IntrospectTokenValidator(f"{OTHER}/introspect", client_id="a", client_secret="b", issuer=OTHER),
        BearerTokenValidator(OAuth2Token),
        IntrospectTokenValidator("https://third.example.com/introspect", client_id="a", client_secret="b"),
        JWTBearerTokenValidator(AS),
        JWTBearerTokenValidator(OTHER),
        resource=RESOURCE,
        metadata=True,
    )
    assert fetch(send, protector).json["authorization_servers"] == [OTHER, AS]


def test_overrides(send: Send) -> None:
    """R112: members of the mapping replace computed ones, ``None`` removes one, and others are added."""
    protector = make({"authorization_servers": [AS], "bearer_methods_supported": None, "resource_name": "Reports"})
    assert fetch(send, protector).json == {
        "resource": RESOURCE,
        "authorization_servers": [AS],
        "resource_name": "Reports",
    }


def test_settings(send: Send) -> None:
    """The ready-made protector takes the setting, also after it has changed."""
    with override_settings(OAUTH_GUARD={"RESOURCE": RESOURCE, "METADATA": {"resource_name": "Old"}}):
        patterns = require_oauth.metadata_urls()
        with serving(patterns):
            assert send(WELL_KNOWN).json["resource_name"] == "Old"
    with serving(patterns, OAUTH_GUARD={"RESOURCE": RESOURCE, "METADATA": {}}):
        assert send(WELL_KNOWN).json == {"resource": RESOURCE, "bearer_methods_supported": ["header"]}


def function(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


async def coroutine(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


def by_handler(protector: ResourceProtector) -> Any:
    class ByHandler(View):
        @protector("handler:read")
        def get(self, request: HttpRequest) -> HttpResponse:
            return function(request)

        @protector("handler:write")
        def post(self, request: HttpRequest) -> HttpResponse:
            return function(request)

    return ByHandler.as_view()


def wrapped(protector: ResourceProtector) -> Any:
    guarded = protector("w")(function)
    return functools.wraps(guarded)(lambda request: guarded(request))


def cycle(protector: ResourceProtector) -> Any:
    view: Any = protector("c")(function)
    view.__wrapped__ = view
    return view


def by_class(protector: ResourceProtector) -> Any:
    @method_decorator(protector("dispatch"), name="dispatch")
    class Decorated(View):
        get = function

    return protector("whole")(Decorated).as_view()


def by_mixin(protector: ResourceProtector, **given: Any) -> Any:
    class Mixed(ProtectedResourceMixin, View):
        required_scopes = "mixin"

    Mixed.protector = protector
    return Mixed.as_view(**given)


class Callable:
    def __init__(self, protector: ResourceProtector) -> None:
        type(self).__call__ = protector("called")(type(self).__call__)  # type: ignore[method-assign]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return function(request)


VIEWS: dict[str, tuple[Any, list[str]]] = {
    "def": (lambda protector: protector("a b")(function), ["a", "b"]),
    "async def": (lambda protector: protector(["c a", "b"])(coroutine), ["a", "b", "c"]),
    "by method": (lambda protector: protector({"GET": "r", "*": [["w", "x"]]})(function), ["r", "w", "x"]),
    "optional": (lambda protector: protector("o", optional=True)(function), ["o"]),
    "two guards": (lambda protector: protector("outer")(protector("inner")(coroutine)), ["inner", "outer"]),
    "wrapped": (wrapped, ["w"]),
    "cycle": (cycle, ["c"]),
    "partial": (lambda protector: functools.partial(protector("p")(function)), ["p"]),
    "handlers": (by_handler, ["handler:read", "handler:write"]),
    "class": (by_class, ["dispatch", "whole"]),
    "mixin": (by_mixin, ["mixin"]),
    "mixin with arguments": (lambda protector: by_mixin(protector, required_scopes="given"), ["given"]),
    "object": (Callable, ["called"]),
    "offline_access": (lambda protector: protector("offline_access a")(function), ["a"]),
    "any token": (lambda protector: protector()(function), None),
    "unguarded": (lambda protector: function, None),
}


@pytest.mark.parametrize(("make_view", "scopes"), VIEWS.values(), ids=VIEWS)
def test_scopes(make_view: Any, scopes: list[str] | None, send: Send) -> None:
    """R24, R112: the scopes that the guards in the URL configuration ask for are listed, sorted."""
    protector = make()
    protector("not routed")(function)
    view = make_view(protector)
    for patterns in ([path("v", view)], [path("x/", include([path("y/", include([path("z", view)]))]))]):
        answer = fetch(send, protector, path("other", make()("another")(function)), *patterns)
        assert answer.json.get("scopes_supported") == scopes


def test_protected_urls(send: Send) -> None:
    """Views that `protect_urls` guards count too."""
    protector = make()
    urls = path("x/", protector.protect_urls([path("y", function)], "included"))
    assert fetch(send, protector, urls).json["scopes_supported"] == ["included"]


def test_urls_that_include_themselves(send: Send) -> None:
    """A URL configuration that includes itself is read once."""
    protector = make()
    urls = Urls(*protector.metadata_urls(), path("v", protector("a")(function)))
    urls.urlpatterns.append(URLResolver(RegexPattern("^again/"), urls))
    with override_settings(ROOT_URLCONF=urls):
        assert send(WELL_KNOWN).json["scopes_supported"] == ["a"]


def test_certificates(send: Send) -> None:
    """R112: with ``mtls``, the document says that tokens may be bound to certificates."""
    document = fetch(send, make(mtls=MutualTLS("asgi"))).json
    assert document["tls_client_certificate_bound_access_tokens"] is True


def test_proofs_and_authorization_details(send: Send) -> None:
    """R112: the document names the algorithms of DPoP proofs, and the types of the authorization details of guards."""
    detail = {"type": "payment", "actions": ["read"]}
    protector = make(dpop=DPoP(("ES256", "Ed25519"), required=True))
    document = fetch(
        send, protector, path("x", protector(authorization_details=[detail, {"type": "a"}])(function))
    ).json
    assert document["dpop_signing_alg_values_supported"] == ["ES256", "Ed25519"]
    assert document["dpop_bound_access_tokens_required"] is True
    assert document["authorization_details_types_supported"] == ["a", "payment"]
    document = fetch(send, make(dpop=True)).json
    assert "dpop_signing_alg_values_supported" in document
    assert "dpop_bound_access_tokens_required" not in document
    assert not {"dpop_signing_alg_values_supported", "authorization_details_types_supported"} & set(
        fetch(send, make()).json
    )


def test_sample_of_the_page(send: Send) -> None:
    """The page shows the document of its configuration."""
    [typed] = read_samples(Path(__file__).parent.parent / "docs" / "metadata.md")
    validator = JWTBearerTokenValidator("https://as.example.com")
    protector = ResourceProtector(validator, resource="https://api.example.com/v1", metadata=True)
    view = path("v", protector("reports:read reports:write")(function))
    assert fetch(send, protector, view, path=f"{WELL_KNOWN}/v1").json == json.loads(typed.shown)


def test_routes() -> None:
    """The route counts as reviewed: no check reports it as unguarded, and nothing else of it."""
    with serving(make().metadata_urls(), OAUTH_GUARD={"UNGUARDED": []}):
        [route] = iter_routes()
        assert check_site(None) == []
    assert route.path == WELL_KNOWN
    assert route.requirement == "reviewed: public metadata (RFC 9728)"
    assert (route.is_async, route.csrf_exempt) == (True, True)


# Challenges.


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token="narrow", scope="")


@pytest.mark.django_db
@sync_and_async
@pytest.mark.parametrize(
    ("headers", "status"),
    [([], 401), (bearer("x", "Basic"), 401), (bearer("unknown"), 401), (bearer("a b"), 400), (bearer("narrow"), 403)],
)
@pytest.mark.parametrize("resource", [RESOURCE, "https://h/r1?k=v"])
def test_challenges(resource: str, headers: Any, status: int, mode: str, send: Send) -> None:
    """R22: each challenge of a 400, 401 or 403 names the URL of the document, and the document is there."""
    protector = make(resource=resource)
    view = protector("profile")(Witness().view(mode))
    with serving([*protector.metadata_urls(), path("", view)]):
        answer = send("/", headers)
        assert answer.status == status
        [challenge] = answer.challenges
        url = challenge.parameters["resource_metadata"]
        origin, _, rest = url.partition("/.well-known/")
        where, _, query = rest.partition("?")
        found = send(f"/.well-known/{where}", query=query.encode())
    assert (found.status, found.json["resource"]) == (200, resource)
    assert url == resource.replace("/r1", "/.well-known/oauth-protected-resource/r1") if "r1" in resource else origin


def test_no_challenge_without_metadata(send: Send) -> None:
    """Without metadata, no challenge names a document."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), resource=RESOURCE)
    with serving(protector("a")(function)):
        assert "resource_metadata" not in send("/").challenges[0].parameters


@pytest.mark.parametrize("name", ["resource_metadata", "Resource_Metadata"])
def test_reserved_attribute(name: str) -> None:
    """With metadata, the parameter's name is reserved; without, a validator may have it."""
    attributes = {name: "https://h/x"}
    message = "'resource_metadata' would appear in the challenge twice"
    with pytest.raises(ValueError, match=message):
        ResourceProtector(BearerTokenValidator(OAuth2Token, **attributes), resource=RESOURCE, metadata=True)
    ResourceProtector(BearerTokenValidator(OAuth2Token, **attributes), resource=RESOURCE)
    entry = {
        "BACKEND": "async_oauth_guard.BearerTokenValidator",
        "OPTIONS": {"token_model": "site.OAuth2Token", **attributes},
    }
    setting = {"RESOURCE": RESOURCE, "VALIDATORS": [entry]}
    with (
        override_settings(OAUTH_GUARD={**setting, "METADATA": {}}),
        pytest.raises(ImproperlyConfigured, match=message),
    ):
        _ = ResourceProtector.from_settings().validators
    with override_settings(OAUTH_GUARD=setting):
        assert len(ResourceProtector.from_settings().validators) == 1


def test_document_is_json(send: Send) -> None:
    """The body is a JSON object of which no member is empty."""
    members = json.loads(fetch(send, make({"a": [], "b": None, "c": ""})).body)
    assert set(members) == {"resource", "bearer_methods_supported"}
