"""Guards of views use again what a guard of the same protector has found out in front of the application."""

import base64
import hashlib
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, HttpResponse

from async_oauth_guard import (
    BearerTokenValidator,
    InsufficientScopeError,
    MutualTLS,
    Reason,
    ResourceProtector,
    TokenValidator,
)
from async_oauth_guard.guard import proofs
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from async_oauth_guard.validators import jwt_verification
from async_oauth_guard.validators.clock import CLOCK
from tests import asgi
from tests.answers import Answer, bearer
from tests.applications.served import who
from tests.certificates import der
from tests.conftest import Committed
from tests.kit.guarded_sites import introspecting, verifying
from tests.proofs import dpop, make_proof, thumbprint
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

sync_and_async = pytest.mark.parametrize("mode", MODES)
BOUND = {"cnf": {"jkt": thumbprint()}}


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    committed.token(access_token="row")
    committed.token(access_token="other-row")
    committed.token(access_token="staff-row", groups=["staff"])


class Counts:
    """How often something expensive was done."""

    def __init__(self) -> None:
        self.queries = self.signatures = self.proofs = 0


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    its = Counts()

    def count(owner: Any, name: str, kind: str, within: str = "") -> None:
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            # Some databases get other queries too when a connection opens.
            if not within or within in str(args[1:]).lower():
                setattr(its, kind, getattr(its, kind) + 1)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    count(CursorWrapper, "execute", "queries", within="oauth2token")
    count(jwt_verification, "verify_signature", "signatures")
    count(proofs, "check_proof", "proofs")
    return its


Wrap = Callable[[Any], Any]


def unchanged(app: Any) -> Any:
    return app


def get(
    protector: ResourceProtector,
    headers: Any,
    *,
    mode: str = "async def",
    in_front: dict[str, Any] | None = None,
    view: dict[str, Any] | None = None,
    between: Wrap = unchanged,
    witness: Witness | None = None,
    behind: ResourceProtector | None = None,
) -> Answer:
    """The answer of a guarded view behind a guard."""
    guarded = (behind or protector)("profile", **(view or {}))((witness or Witness()).view(mode))
    with serving(guarded):
        application = protector.asgi(between(ASGIHandler()), **(in_front or {}))
        return asgi.send("/", headers, application=application)


@sync_and_async
def test_rows(mode: str, counts: Counts) -> None:
    """One lookup serves both guards."""
    assert get(ResourceProtector(BearerTokenValidator(OAuth2Token)), bearer("row"), mode=mode).status == 200
    assert counts.queries == 1


@sync_and_async
def test_jwts(mode: str, counts: Counts, authority: FakeAuthorizationServer) -> None:
    """One signature check serves both guards, also if neither may use a remembered one."""
    fresh = {"fresh": True}
    protector = ResourceProtector(verifying())
    token = authority.jwt("profile")
    for _ in range(3):
        counts.signatures = 0
        assert get(protector, bearer(token), mode=mode, in_front=fresh, view=fresh).status == 200
        assert counts.signatures == 1


def scope_of(headers: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "headers": headers}


@sync_and_async
def test_remembered_jwts(mode: str, counts: Counts, authority: FakeAuthorizationServer) -> None:
    """What the guard in front lets in without a flow reaches a guarded view in the same way."""
    protector = ResourceProtector(verifying())
    headers = bearer(authority.jwt("profile"))
    guarded = protector("profile", require_user=False, groups=None)(Witness().view(mode))
    with serving(guarded):
        application = protector.asgi(ASGIHandler(), "profile")
        for _ in range(4):
            assert asgi.send("/", headers, application=application).status == 200
        assert guarded._oauth_guard.recall(ASGIRequest(scope_of(headers), io.BytesIO()))
    assert counts.signatures == 1
    with serving(protector("other")(Witness().view(mode))):
        assert asgi.send("/", headers, application=application).status == 403


@sync_and_async
@pytest.mark.parametrize(
    ("in_front", "view", "calls"), [(True, True, 1), (True, False, 1), (False, True, 2), (False, False, 1)]
)
def test_fresh(in_front: bool, view: bool, calls: int, mode: str, authority: FakeAuthorizationServer) -> None:
    """A view that requires a fresh result gets one, unless the guard in front got one for the same request."""
    protector = ResourceProtector(introspecting())
    before = len(authority.calls_to("introspection"))
    headers = bearer(authority.opaque("profile"))
    options = {"in_front": {"fresh": in_front}, "view": {"fresh": view}}
    assert get(protector, headers, mode=mode, **options).status == 200
    assert len(authority.calls_to("introspection")) - before == calls


@sync_and_async
def test_proofs(mode: str, counts: Counts, authority: FakeAuthorizationServer) -> None:
    """One check of the proof serves both guards, which spend it once. A fresh view does not check it again."""
    protector = ResourceProtector(verifying(), dpop=True)
    token = authority.jwt("profile", claims=BOUND)
    for view in ({}, {"fresh": True}):
        counts.proofs = 0
        headers = dpop(token, make_proof(token))
        assert get(protector, headers, mode=mode, view=view).status == 200
        assert get(protector, headers, mode=mode, view=view).status == 401
        assert counts.proofs == 2


@sync_and_async
def test_reports_do_not_show_the_proof(mode: str, authority: FakeAuthorizationServer) -> None:
    """R133: Django's error reports print the values of META, also if the guard in front has checked the proof."""
    shown: list[str] = []

    def remember(request: HttpRequest, token: Any) -> bool:
        shown.append(repr(request.META["HTTP_DPOP"]))
        return True

    protector = ResourceProtector(verifying(), dpop=True)
    token = authority.jwt("profile", claims=BOUND)
    proof = make_proof(token)
    assert get(protector, dpop(token, proof), mode=mode, view={"check": remember}).status == 200
    assert len(shown) == 1
    assert proof not in shown[0]


@sync_and_async
def test_proofs_of_another_protector(mode: str, counts: Counts, authority: FakeAuthorizationServer) -> None:
    """Another protector checks the proof itself, and does not take it for a replayed one."""
    protector, behind = (ResourceProtector(verifying(), dpop=True) for _ in range(2))
    token = authority.jwt("profile", claims=BOUND)
    headers = dpop(token, make_proof(token))
    assert get(protector, headers, mode=mode, behind=behind).status == 200
    assert counts.proofs == 2
    assert get(protector, headers, mode=mode, behind=behind).status == 401


def test_another_proof_behind(authority: FakeAuthorizationServer) -> None:
    """A proof that an application puts in the place of the spent one must be new."""
    protector = ResourceProtector(verifying(), dpop=True)
    token = authority.jwt("profile", claims=BOUND)
    used = make_proof(token)
    assert get(protector, dpop(token, used)).status == 200
    answer = get(protector, dpop(token, make_proof(token)), between=presenting(dpop(token, used)))
    assert answer.status == 401


@sync_and_async
def test_certificates(mode: str, authority: FakeAuthorizationServer) -> None:
    """The client's certificate is read once."""
    asked = []

    def read(request: HttpRequest) -> bytes:
        asked.append(request.path)
        return der()

    hashed = base64.urlsafe_b64encode(hashlib.sha256(der()).digest()).decode().rstrip("=")
    token = authority.jwt("profile", claims={"cnf": {"x5t#S256": hashed}})
    assert get(ResourceProtector(verifying(), mtls=MutualTLS(read)), bearer(token), mode=mode).status == 200
    assert asked == ["/"]


def presenting(headers: Any) -> Wrap:
    """An application that changes the headers of requests."""

    def wrap(app: Any) -> Any:
        async def changed(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "headers": [(b"host", b"testserver"), *headers]}, receive, send)

        return changed

    return wrap


@sync_and_async
@pytest.mark.parametrize(
    ("headers", "status", "queries"),
    [(bearer("other-row"), 200, 2), (bearer("unknown"), 401, 2), ([], 401, 1), (bearer("row"), 200, 1)],
)
def test_changed_credentials(headers: Any, status: int, queries: int, mode: str, counts: Counts) -> None:
    """A view validates credentials that were changed on the way."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    assert get(protector, bearer("row"), mode=mode, between=presenting(headers)).status == status
    assert counts.queries == queries


@sync_and_async
@pytest.mark.parametrize(
    ("requirements", "status"),
    [
        ({"groups": "staff"}, 403),
        ({"require_user": True}, 200),
        ({"check": lambda request, token: False}, 403),
        ({"check": lambda request, token: token.access_token == "row"}, 200),
    ],
)
def test_requirements_of_the_view(requirements: Any, status: int, mode: str, counts: Counts) -> None:
    """What the view requires is checked, without another lookup."""
    protector, witness = ResourceProtector(BearerTokenValidator(OAuth2Token)), Witness()
    assert get(protector, bearer("row"), mode=mode, view=requirements, witness=witness).status == status
    assert witness.entered == (status == 200)
    assert counts.queries == 1


def test_attributes_that_only_the_view_requires(counts: Counts) -> None:
    """They are read from the token that the guard in front has found."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    assert get(protector, bearer("staff-row"), view={"groups": "staff"}).status == 200
    assert counts.queries == 1


@sync_and_async
def test_scopes_of_the_view(mode: str, counts: Counts) -> None:
    """The scopes are compared for each guard."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    guarded = protector("other")(Witness().view(mode))
    with serving(guarded):
        answer = asgi.send("/", bearer("row"), application=protector.asgi(ASGIHandler(), "profile"))
    assert answer.challenges[0].parameters["scope"] == "other"
    assert counts.queries == 1


def test_expired_on_the_way(authority: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that expires while the request is read is refused by the view."""

    def wrap(app: Any) -> Any:
        async def later(scope: Any, receive: Any, send: Any) -> None:
            real = CLOCK.wall
            monkeypatch.setattr(CLOCK, "wall", lambda: real() + 7200)
            await app(scope, receive, send)

        return later

    token = authority.jwt("profile")
    assert get(ResourceProtector(verifying()), bearer(token), between=wrap, view={"groups": None}).status == 401


class OwnValidator(TokenValidator):
    """Finds and checks tokens itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.checked: list[Any] = []

    def authenticate_token(self, token_string: str) -> Any:
        self.found.append(token_string)
        return SimpleNamespace(user=None)

    def validate_token(self, token: Any, scopes: Any, request: Any, **keywords: Any) -> None:
        self.checked.append(scopes)
        if scopes == ["other"]:
            raise InsufficientScopeError()


@sync_and_async
def test_hooks(mode: str) -> None:
    """The hook that finds a token is called once, the one that checks it for each guard."""
    validator = OwnValidator()
    assert get(ResourceProtector(validator), bearer("x"), mode=mode).status == 200
    assert validator.found == ["x"]
    assert validator.checked == [None, ["profile"]]


class OwnProtector(ResourceProtector):
    """Calls ours."""

    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, **requirements)


@sync_and_async
def test_own_acquire_token(mode: str, counts: Counts, authority: FakeAuthorizationServer) -> None:
    """The site's own method is called for each guard, and a proof is spent once."""
    protector = OwnProtector(verifying(), dpop=True)
    token = authority.jwt("profile", claims=BOUND)
    headers = dpop(token, make_proof(token))
    assert get(protector, headers, mode=mode).status == 200
    assert counts.proofs == 1
    assert get(protector, headers, mode=mode).status == 401


class Tracer:
    """Traces a validation, and notes nothing."""

    certificate = None

    def reach(self, rule: Any) -> None: ...

    def watch_flow(self, flow: Any, validator: Any = None) -> Any:
        return flow


def test_traced_requests(counts: Counts) -> None:
    """A request that is explained is validated anew, so that each rule is seen."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for tracer in (None, Tracer()):
            request: Any = ASGIRequest(scope, io.BytesIO())
            request._oauth_trace = tracer
            await protector.aacquire_token(request, "profile")
            seen.append(counts.queries)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    assert asgi.send("/", bearer("row"), application=protector.asgi(app)).status == 204
    assert seen == [1, 2]


class Passwords(TokenValidator):
    """Accepts what browsers send by themselves."""

    TOKEN_TYPE = "basic"

    def authenticate_token(self, token_string: str) -> Any:
        return SimpleNamespace(
            is_expired=lambda: False, is_revoked=lambda: False, get_scope=lambda: "profile", cnf=None, user=None
        )


def test_credentials_of_browsers() -> None:
    """The guard in front leaves the CSRF check to the application. A guarded view behind it makes it."""
    headers, csrf = [(b"authorization", b"Basic eDp5")], ["django.middleware.csrf.CsrfViewMiddleware"]
    protector = ResourceProtector(Passwords())
    entered: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        entered.append(scope["method"])
        await ASGIHandler()(scope, receive, send)

    for view in (protector("profile")(Witness().view("async def")), Witness().view("async def")):
        with serving(view, MIDDLEWARE=csrf):
            assert asgi.send("/", headers, method="POST", application=protector.asgi(app)).status == 403
    assert entered == ["POST", "POST"]


def test_nested_guards(counts: Counts) -> None:
    """Of two guards of one protector in front of an application, only the first does a lookup."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    other = ResourceProtector(BearerTokenValidator(OAuth2Token))
    answer = get(protector, bearer("row"), between=lambda app: other.asgi(protector.asgi(app)))
    assert answer.status == 200
    assert counts.queries == 2


@sync_and_async
@pytest.mark.parametrize("kind", ["view", "optional view"])
def test_overrides(kind: str, mode: str, reasons: list[Any]) -> None:
    """A test's override holds for both guards."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    optional = {"optional": kind == "optional view"}
    with override_oauth(scopes="profile"):
        assert get(protector, [], mode=mode, view=optional).status == 200
    with override_oauth(scopes="other"):
        assert get(protector, [], mode=mode, view=optional).status == 403
    assert reasons == [Reason.INSUFFICIENT_SCOPE]


@sync_and_async
def test_unguarded_views(mode: str) -> None:
    """A view without a guard finds the token in the scope."""

    async def async_view(request: HttpRequest) -> HttpResponse:
        return who(request)

    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    with serving({"def": who, "async def": async_view}[mode]):
        answer = asgi.send("/", bearer("row"), application=protector.asgi(ASGIHandler()))
    assert answer.json == {"user": "alice"}
