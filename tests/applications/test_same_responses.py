"""A guard in front of an application responds as the guard of a view does, with the same status, headers and body."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse

from async_oauth_guard import BearerTokenValidator, DPoP, MutualTLS, ResourceProtector, TokenValidator, render_problem
from async_oauth_guard.testing import FakeAuthorizationServer
from tests import asgi
from tests.answers import bearer
from tests.conftest import Committed
from tests.kit.guarded_sites import introspecting, verifying
from tests.own_tokens import Own
from tests.proofs import OTHER_KEY, dpop, make_proof, thumbprint
from tests.site.models import OAuth2Token
from tests.sites import serving

pytestmark = pytest.mark.django_db

BOUND = {"cnf": {"jkt": thumbprint()}}
RESOURCE = "https://testserver/"


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    committed.token(access_token="row")
    committed.token(access_token="row-narrow", scope="other")
    committed.token(access_token="row-revoked", revoked=True)
    committed.token(access_token="row-machine", user=None)


@dataclass
class Case:
    """One request, with what lets it in or refuses it. ``headers`` is called for each of the two requests."""

    status: int
    headers: Callable[[FakeAuthorizationServer], Any] = lambda server: []
    validators: Callable[[], list[Any]] = lambda: [BearerTokenValidator(OAuth2Token)]
    options: Mapping[str, Any] = field(default_factory=dict)
    scopes: Any = "profile"
    requirements: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)


def raw(value: bytes) -> Callable[[Any], Any]:
    return lambda server: [(b"authorization", value)]


def row(token: str) -> Callable[[Any], Any]:
    return lambda server: bearer(token)


def jwt(scope: str = "profile", **options: Any) -> Callable[[FakeAuthorizationServer], Any]:
    return lambda server: bearer(server.jwt(scope, **options))


def opaque(scope: str = "profile", **options: Any) -> Callable[[FakeAuthorizationServer], Any]:
    return lambda server: bearer(server.opaque(scope, **options))


def proved(**options: Any) -> Callable[[FakeAuthorizationServer], Any]:
    def headers(server: FakeAuthorizationServer) -> Any:
        token = server.jwt("profile", claims=BOUND)
        return dpop(token, make_proof(token, **options))

    return headers


def twice(server: FakeAuthorizationServer) -> Any:
    token = server.jwt("profile", claims=BOUND)
    return dpop(token, make_proof(token), make_proof(token))


async def refuse(request: HttpRequest, token: Any) -> bool:
    return False


def deny(request: HttpRequest, token: Any) -> bool:
    raise PermissionDenied


def is_first_page(request: HttpRequest, token: Any) -> bool:
    return request.GET["page"] == "1" and request.path_info == "/" and request.get_host() == "testserver"


async def render_own(request: HttpRequest, error: Any) -> HttpResponse:
    response = HttpResponse(f"no {error.error} {request.path}", status=error.status_code)
    response.set_cookie("seen", "1")
    return response


def render_later(request: HttpRequest, error: Any) -> HttpResponse:
    return TemplateResponse(request, "no.html", {}, status=error.status_code)


class Down(TokenValidator):
    """A source that cannot be asked."""

    def authenticate_token(self, token_string: str) -> Any:
        from django.db import OperationalError

        raise OperationalError


JWT: Mapping[str, Any] = {"validators": lambda: [verifying()]}
ASKED: Mapping[str, Any] = {"validators": lambda: [introspecting()]}
PROVED: Mapping[str, Any] = {**JWT, "options": {"dpop": True}}

CASES: dict[str, Case] = {
    "nothing": Case(401),
    "empty header": Case(401, raw(b"")),
    "another scheme": Case(401, raw(b"Basic eDp5")),
    "malformed": Case(400, raw(b"Bearer a b")),
    "no token": Case(400, raw(b"Bearer")),
    "comma": Case(400, raw(b"Bearer a,b")),
    "not Latin-1": Case(400, raw("Bearer café€".encode())),
    "all bytes": Case(400, raw(b"Bearer " + bytes(range(128, 256)))),
    "repeated": Case(400, lambda server: bearer("row") + bearer("row")),
    "two schemes": Case(400, lambda server: [*bearer("row"), (b"authorization", b"Basic eDp5")]),
    "another name": Case(401, lambda server: [(b"AUTHORIZATION_", b"Bearer row"), (b"x_y", b"1")]),
    "too long": Case(401, raw(b"Bearer " + b"x" * 40_000)),
    "unknown row": Case(401, row("unknown")),
    "revoked row": Case(401, row("row-revoked")),
    "narrow row": Case(403, row("row-narrow")),
    "row": Case(200, row("row")),
    "row, HEAD": Case(200, row("row"), request={"method": "HEAD"}),
    "row, OPTIONS": Case(403, row("row"), scopes={"GET": "profile"}, request={"method": "OPTIONS"}),
    "nothing, HEAD": Case(401, request={"method": "HEAD"}),
    "nothing, OPTIONS": Case(401, request={"method": "OPTIONS"}),
    "lower-case method": Case(200, row("row"), scopes={"GET": "profile"}, request={"method": "get"}),
    "scopes by method": Case(403, row("row"), scopes={"GET": "other", "*": "profile"}),
    "alternatives": Case(403, row("row"), scopes=["a b", "profile c"]),
    "no user": Case(403, row("row-machine"), requirements={"require_user": True}),
    "groups": Case(403, row("row"), requirements={"groups": "staff"}),
    "check": Case(403, row("row"), requirements={"check": refuse}),
    "check of the request": Case(
        200, row("row"), requirements={"check": is_first_page}, request={"query": b"page=1", "path": "/"}
    ),
    "Django's own refusal": Case(403, row("row"), requirements={"check": deny}),
    "optional, nothing": Case(200, requirements={"optional": True}),
    "optional, malformed": Case(400, raw(b"Bearer a b"), requirements={"optional": True}),
    "down": Case(503, row("any"), lambda: [Down()]),
    "JWT": Case(200, jwt(), **JWT),
    "narrow JWT": Case(403, jwt("other"), **JWT),
    "expired JWT": Case(401, jwt(expires_in=-60), **JWT),
    "no JWT": Case(401, row("opaque"), **JWT),
    "fresh JWT": Case(200, jwt(), requirements={"fresh": True}, **JWT),
    "introspected": Case(200, opaque(), **ASKED),
    "inactive": Case(401, row("inactive"), **ASKED),
    "proof": Case(200, proved(), **PROVED),
    "no proof": Case(401, lambda server: dpop(server.jwt("profile", claims=BOUND)), **PROVED),
    "two proofs": Case(401, twice, **PROVED),
    "wrong method": Case(401, proved(method="POST"), **PROVED),
    "wrong key": Case(401, proved(key=OTHER_KEY), **PROVED),
    "proof below a prefix": Case(
        200, proved(uri="http://testserver/api/"), request={"path": "/api/", "changes": {"root_path": "/api"}}, **PROVED
    ),
    "host that is not allowed": Case(
        400, proved(), request={"changes": {"headers": [(b"host", b"evil.test")]}}, **PROVED
    ),
    "bound token as bearer": Case(401, jwt(claims=BOUND), **PROVED),
    "two schemes supported": Case(401, **PROVED),
    "only proofs": Case(401, **{**PROVED, "options": {"dpop": DPoP(required=True)}}),
    "unbound": Case(401, jwt(), requirements={"sender_constrained": True}, **PROVED),
    "no certificate": Case(401, row("any"), lambda: [Own({"x5t#S256": "x"})], options={"mtls": MutualTLS("asgi")}),
    "step-up": Case(401, jwt(), requirements={"acr_values": "gold", "max_age": 60}, **JWT),
    "details": Case(403, jwt(), requirements={"authorization_details": {"type": "pay"}}, **JWT),
    "metadata": Case(401, options={"resource": RESOURCE, "metadata": True}),
    "metadata, narrow": Case(403, row("row-narrow"), options={"resource": RESOURCE, "metadata": True}),
    "as Authlib": Case(401, options={"compat": "authlib"}),
    "as Authlib, let in": Case(200, row("row"), options={"compat": "authlib"}),
    "problem details": Case(401, options={"render_error": render_problem}),
    "own rendering": Case(401, options={"render_error": render_own}),
    "rendered later": Case(401, options={"render_error": render_later}),
    "user": Case(200, row("row"), options={"set_user": True}),
}


class Entered:
    """A site whose view says how often it was entered, and who is there."""

    def __init__(self) -> None:
        self.times = 0

    async def view(self, request: HttpRequest) -> HttpResponse:
        self.times += 1
        return JsonResponse({"method": request.method})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_same_response(case: Case, authority: FakeAuthorizationServer, settings: Any) -> None:
    """Both refuse with the same response, and let in with the same headers. What is refused enters no application."""
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": TEMPLATES}]
    protector = ResourceProtector(*case.validators(), **case.options)
    answers, entered = [], []
    for in_front in (False, True):
        site, application = Entered(), None
        view = site.view if in_front else protector(case.scopes, **case.requirements)(site.view)
        with serving(view):
            if in_front:
                application = protector.asgi(ASGIHandler(), case.scopes, **case.requirements)
            headers = case.headers(authority)
            request = {"path": "/", **case.request}
            changes = {**request.pop("changes", {})}
            if "headers" in changes:
                changes["headers"] = [*changes["headers"], *headers]
            answers.append(asgi.send(headers=headers, application=application, changes=changes, **request))
        entered.append(site.times)
    assert answers[1] == answers[0]
    assert answers[0].status == case.status
    assert entered == ([1, 1] if case.status == 200 else [0, 0])


TEMPLATES = {"loaders": [("django.template.loaders.locmem.Loader", {"no.html": "no {{ request.path }}"})]}


def test_enough_cases() -> None:
    """The table is long."""
    assert len(CASES) >= 40
