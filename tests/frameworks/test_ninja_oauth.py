"""``OAuth`` of ``contrib.ninja`` on operations: who is let in, and the responses with and without ``install``."""

import logging
import threading
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path
from ninja import NinjaAPI, Router
from ninja.errors import AuthenticationError, HttpError
from ninja.parser import Parser

from async_oauth_guard import BearerTokenValidator, ResourceProtector, TemporarilyUnavailableError, render_problem
from async_oauth_guard.contrib.ninja import OAuth, install
from async_oauth_guard.guard.view_guard import ViewGuard
from async_oauth_guard.testing import override_oauth
from tests import asgi
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.frameworks.conftest import GOOD, NARROW, UNKNOWN
from tests.frameworks.grid import REFUSED, essence, site
from tests.frameworks.ninja_apis import BODY, JSON, WRONG_BODY, ApiKey, Note, echo, in_mode, make_api, oauth
from tests.proofs import dpop, make_proof, thumbprint
from tests.site.models import BoundToken, OAuth2Token
from tests.sites import MODES, serving

pytestmark = pytest.mark.django_db
sync_and_async = pytest.mark.parametrize("mode", MODES)


BOUND = "bound-token-of-the-frameworks"


@pytest.fixture(scope="module", autouse=True)
def _bound_token(committed: Committed) -> None:
    committed.token(BoundToken, access_token=BOUND, scope="profile", dpop_jkt=thumbprint())


@pytest.mark.parametrize("level", ["api", "router", "operation"])
@sync_and_async
def test_requests_are_judged(level: str, mode: str, protector: ResourceProtector, send: Send) -> None:
    """Refusals are those of a guarded function of Django, byte for byte, and come before the body is read."""
    auth = {"auth": oauth(protector, "profile email")}
    api = make_api(**(auth if level == "api" else {}))
    router = Router(**(auth if level == "router" else {}))
    router.post("/notes", **(auth if level == "operation" else {}))(in_mode(mode, echo))
    api.add_router("", router)
    with serving([path("api/", api.urls), *site([], protector)]):
        for headers in REFUSED.values():
            plain = send("/plain", headers, method="POST")
            assert essence(plain) == essence(send("/api/notes", [*headers, *JSON], **WRONG_BODY))
        assert send("/api/notes", [*bearer(GOOD), *JSON], **WRONG_BODY).status == 400
        answer = send("/api/notes", [*bearer(GOOD), *JSON], **BODY)
    assert answer.json == {"text": "hello", "user": "alice", "is_same": True}
    assert answer.members("Vary") == {"authorization"}
    assert answer.members("Cache-Control") == {"private"}


@sync_and_async
def test_without_install(mode: str, protector: ResourceProtector, send: Send) -> None:
    """Ninja renders the refusals itself: they have the right status, but no challenge."""
    api, entered = make_api(installed=False), list[int]()
    api.post("/notes", auth=oauth(protector, "profile email"))(in_mode(mode, lambda *_: entered.append(1)))
    wanted = {"no header": 401, "malformed": 400, "unknown token": 401, "scope missing": 403, "browser": 401}
    with serving([path("api/", api.urls)]):
        answers = {name: send("/api/notes", [*headers, *JSON], **BODY) for name, headers in REFUSED.items()}
    assert {name: answer.status for name, answer in answers.items()} == wanted
    assert all(answer.json.keys() == {"detail"} for answer in answers.values())
    assert entered == []


@sync_and_async
def test_alternatives_without_install(mode: str, protector: ResourceProtector, send: Send) -> None:
    """If the last authenticator in a list is not OAuth, every refusal is 401."""
    api, entered = make_api(installed=False), list[int]()
    auth = [oauth(protector, "profile email"), ApiKey()]
    api.post("/notes", auth=auth)(in_mode(mode, lambda *_: entered.append(1)))
    with serving([path("api/", api.urls)]):
        statuses = {send("/api/notes", [*headers, *JSON], **BODY).status for headers in REFUSED.values()}
    assert statuses == {401}
    assert entered == []


def test_guarded_docs_page(protector: ResourceProtector, send: Send) -> None:
    """`docs_decorator` guards the pages of the documentation."""
    api = make_api(docs_decorator=protector("profile"))
    with serving([path("api/", api.urls)]):
        for name in ("docs", "openapi.json"):
            assert send(f"/api/{name}").status == 401
            assert send(f"/api/{name}", bearer(GOOD)).status == 200


class DownValidator(BearerTokenValidator):
    """Cannot find out anything."""

    def authenticate_token(self, token_string: str) -> Any:
        raise TemporarilyUnavailableError(retry_after=7)


@pytest.mark.parametrize("installed", [True, False])
@sync_and_async
def test_outages(mode: str, installed: bool, send: Send) -> None:
    """They are 503, also if another authenticator would let the request in."""
    down = ResourceProtector(DownValidator(OAuth2Token))
    api = make_api(installed=installed)
    api.post("/notes", auth=[oauth(down), ApiKey()])(in_mode(mode, echo))
    with serving([path("api/", api.urls)]):
        answer = send("/api/notes", [*bearer(GOOD), *JSON, (b"x-key", b"good")], **BODY)
    assert answer.status == 503
    assert answer.header("Retry-After") == ("7" if installed else None)


@pytest.mark.parametrize("order", ["OAuth first", "OAuth last"])
@sync_and_async
def test_alternatives(order: str, mode: str, protector: ResourceProtector, send: Send) -> None:
    """In a list each authenticator is an alternative. If none lets the request in, the response is that of OAuth."""
    auth = [oauth(protector, "profile email"), ApiKey()]
    api = make_api(auth=auth if order == "OAuth first" else auth[::-1])
    api.post("/notes")(in_mode(mode, lambda request, note: {"auth": str(request.auth)}))
    key = [(b"x-key", b"good")]
    with serving([path("api/", api.urls), *site([], protector)]):
        for headers in REFUSED.values():
            plain = send("/plain", headers, method="POST")
            assert essence(plain) == essence(send("/api/notes", [*headers, *JSON], **BODY))
            with_key = send("/api/notes", [*headers, *JSON, *key], **BODY)
            assert (with_key.status, with_key.json) == (200, {"auth": "good"})
            assert with_key.members("Cache-Control") == set()
            assert with_key.members("Vary") == (set() if order == "OAuth last" else {"authorization"})
        with_token = send("/api/notes", [*bearer(GOOD), *JSON], **BODY)
    assert with_token.status == 200
    assert with_token.members("Cache-Control") == {"private"}


@sync_and_async
def test_alternative_scopes(mode: str, protector: ResourceProtector, send: Send) -> None:
    """Several OAuth in a list let in what any of them lets in, also behind a guard of the URLs."""
    api = make_api()
    # The operations of other methods of the path do not matter.
    api.get("/notes", auth=oauth(protector))(lambda request: {})
    api.post("/notes", auth=[oauth(protector, "admin"), oauth(protector, "profile")])(in_mode(mode, echo))
    with serving([path("api/", api.urls), path("guarded/", protector.protect_urls(api.urls))]):
        for prefix in ("api", "guarded"):
            assert send(f"/{prefix}/notes", [*bearer(NARROW), *JSON], **BODY).status == 200
            assert send(f"/{prefix}/notes", [*bearer(UNKNOWN), *JSON], **BODY).status == 401


def test_an_operation_without_a_known_view(protector: ResourceProtector, rf: RequestFactory) -> None:
    """If the operation of a request is unknown, a refusal is final, whatever may come after it."""
    request = rf.get("/")
    request.resolver_match = None
    with pytest.raises(HttpError) as caught:
        oauth(protector)(request)
    assert caught.value.status_code == 401


@sync_and_async
def test_errors_of_operations(mode: str, protector: ResourceProtector, send: Send) -> None:
    """Errors that an operation raises itself are rendered by the handlers of the site, and marked for caches."""

    def fail(request: HttpRequest, note: Note) -> None:
        raise {"authentication": AuthenticationError(), "http": HttpError(409, "of the view")}[note.text]

    api = NinjaAPI(auth=[oauth(protector), ApiKey()])
    api.add_exception_handler(AuthenticationError, lambda request, error: HttpResponse("of the site", status=401))
    install(api)
    api.post("/notes")(in_mode(mode, fail))
    with serving([path("api/", api.urls)]):
        for text, status in (("authentication", 401), ("http", 409)):
            body = {"method": "POST", "body": b'{"text": "%s"}' % text.encode()}
            answer = send("/api/notes", [*bearer(GOOD), *JSON], **body)
            assert answer.status == status
            assert answer.members("Vary") == {"authorization"}
            assert answer.members("Cache-Control") == {"private"}
            assert answer.header("WWW-Authenticate") is None
            # OAuth refused these, and the key let them in.
            answer = send("/api/notes", [*bearer(UNKNOWN), *JSON, (b"x-key", b"good")], **body)
            assert (answer.status, answer.header("WWW-Authenticate")) == (status, None)


@sync_and_async
def test_other_authenticators_alone(mode: str, protector: ResourceProtector, send: Send) -> None:
    """`install` changes nothing for operations without OAuth."""
    api = make_api()
    api.post("/notes", auth=ApiKey())(in_mode(mode, lambda *_: {}))
    with serving([path("api/", api.urls)]):
        refused = send("/api/notes", JSON, **BODY)
        let_in = send("/api/notes", [*JSON, (b"x-key", b"good")], **BODY)
    assert (refused.status, refused.json) == (401, {"detail": "Unauthorized"})
    assert let_in.status == 200
    assert let_in.members("Vary") | let_in.members("Cache-Control") == set()


@pytest.mark.parametrize("installed", [True, False])
@sync_and_async
def test_caches(mode: str, installed: bool, protector: ResourceProtector, send: Send) -> None:
    """Django's cache never answers a request without a token with what a token got."""
    cache.clear()
    entered = list[int]()
    api = make_api(installed=installed)

    def sync_notes(request: HttpRequest) -> HttpResponse:
        entered.append(1)
        response = HttpResponse("for alice")
        response.headers["Cache-Control"] = "public"
        return response

    async def async_notes(request: HttpRequest) -> HttpResponse:
        return sync_notes(request)

    register = api.get("/notes", auth=oauth(protector))
    register(sync_notes if mode == "def" else async_notes)
    middleware = ["django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"]
    with serving([path("api/", api.urls)], MIDDLEWARE=middleware):
        assert [send("/api/notes", bearer(GOOD)).status for _ in range(2)] == [200, 200]
        assert send("/api/notes").status == 401
    # With `Vary`, the response is stored for this token, as the view wanted. Without it, it is not stored.
    assert len(entered) == (1 if installed else 2)
    cache.clear()


@sync_and_async
def test_no_thread(mode: str, protector: ResourceProtector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninja calls OAuth where the operation runs: in the event loop, or on the thread of a sync one."""
    judged, entered = list[int](), list[int]()
    judge = ViewGuard.check_flow

    def check_flow(*args: Any) -> Any:
        judged.append(threading.get_ident())
        return judge(*args)

    monkeypatch.setattr(ViewGuard, "check_flow", check_flow)
    api = make_api(auth=oauth(protector))

    def sync_notes(request: HttpRequest) -> None:
        entered.append(threading.get_ident())

    async def async_notes(request: HttpRequest) -> None:
        entered.append(threading.get_ident())

    api.get("/notes")(sync_notes if mode == "def" else async_notes)
    with serving([path("api/", api.urls)]):
        assert asgi.send("/api/notes", bearer(GOOD)).status == 200
    assert judged == entered


@sync_and_async
def test_user(mode: str, send: Send) -> None:
    """With ``set_user``, the operation gets the token's user."""
    api = make_api(auth=oauth(ResourceProtector(BearerTokenValidator(OAuth2Token), set_user=True)))
    api.post("/notes")(in_mode(mode, lambda request, note: {"user": request.user.username}))
    with serving([path("api/", api.urls)]):
        assert send("/api/notes", [*bearer(GOOD), *JSON], **BODY).json == {"user": "alice"}


@sync_and_async
def test_rendered_errors(mode: str, send: Send) -> None:
    """The site's ``render_error`` renders refusals."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), render_error=render_problem)
    api = make_api(auth=oauth(protector))
    api.post("/notes")(in_mode(mode, echo))
    with serving([path("api/", api.urls)]):
        answer = send("/api/notes", [*bearer(UNKNOWN), *JSON], **BODY)
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.json["error"] == "invalid_token"


@pytest.mark.parametrize("header", [f"Bearer {UNKNOWN}", f"Token {UNKNOWN}", UNKNOWN, f"Bearer {UNKNOWN} x"])
@pytest.mark.parametrize("installed", [True, False])
@sync_and_async
def test_credentials_are_not_logged(
    mode: str,
    installed: bool,
    header: str,
    protector: ResourceProtector,
    send: Send,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in DEBUG either, where Ninja's own ``HttpBearer`` logs them."""
    api = make_api(installed=installed, auth=oauth(protector))
    api.post("/notes")(in_mode(mode, echo))
    with serving([path("api/", api.urls)], DEBUG=True), caplog.at_level(logging.DEBUG):
        answer = send("/api/notes", [(b"authorization", header.encode()), *JSON], **BODY)
    assert answer.status in (400, 401)
    assert UNKNOWN not in caplog.text + answer.text


@sync_and_async
def test_bugs(mode: str, send: Send) -> None:
    """An exception that is no refusal is a 500, and nobody gets in."""

    def check(request: HttpRequest, token: Any) -> bool:
        raise RuntimeError("a bug of the site")

    api = make_api(auth=oauth(ResourceProtector(BearerTokenValidator(OAuth2Token)), check=check))
    api.post("/notes")(in_mode(mode, echo))
    with serving([path("api/", api.urls)]):
        assert send("/api/notes", [*bearer(GOOD), *JSON], **BODY).status == 500


def test_arguments(protector: ResourceProtector) -> None:
    """They are those of `require_oauth`, except ``optional``, and wrong ones are refused when the API is defined."""
    with pytest.raises(TypeError, match="OAuth has no optional"):
        OAuth("profile", optional=True)
    with pytest.raises(ValueError, match="scopes"):
        OAuth("")
    with pytest.raises(TypeError, match="mode"):
        oauth(protector, mode="blue")


@sync_and_async
def test_proofs(mode: str, send: Send) -> None:
    """A DPoP proof is good for one request, however many alternatives check it."""
    protector = ResourceProtector(BearerTokenValidator(BoundToken, confirmation="dpop_jkt"), dpop=True)
    api = make_api(auth=[oauth(protector, "admin"), oauth(protector, "profile")])
    api.post("/notes")(in_mode(mode, echo))
    with serving([path("api/", api.urls)]):
        headers = [*dpop(BOUND, make_proof(BOUND, method="POST", uri="http://testserver/api/notes")), *JSON]
        assert send("/api/notes", headers, **BODY).status == 200
        again = send("/api/notes", headers, **BODY)
        assert (again.status, again.json["error"]) == (401, "invalid_dpop_proof")
        assert send("/api/notes", [*bearer(BOUND), *JSON], **BODY).status == 401


@sync_and_async
def test_overrides(mode: str, protector: ResourceProtector) -> None:
    """`override_oauth` of the test kit replaces the credentials for OAuth too."""
    send = asgi.send
    api = make_api(auth=oauth(protector, "profile"))
    api.post("/notes")(in_mode(mode, lambda request, note: {"scopes": sorted(request.auth.scopes)}))
    with serving([path("api/", api.urls)]):
        with override_oauth(scopes="profile email"):
            assert send("/api/notes", JSON, **BODY).json == {"scopes": ["email", "profile"]}
        with override_oauth(scopes="email"):
            assert send("/api/notes", JSON, **BODY).status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"authorization", b"Bearer \xff\xfe")], 400),
        ([*bearer(GOOD), *bearer(GOOD)], 400),
        ([(b"authorization", b"")], 401),
        ([(b"authorization", b"Bearer")], 400),
        (bearer("x" * 20_000), 401),
        ([(b"authorization", b"Basic YTpi")], 401),
    ],
)
@sync_and_async
def test_bad_headers(mode: str, headers: RawHeaders, status: int, protector: ResourceProtector, send: Send) -> None:
    """They are refused as by any guarded view, before Ninja parses a body that it cannot parse."""

    class Broken(Parser):
        def parse_body(self, request: HttpRequest) -> Any:
            raise RuntimeError("a parser of the site")

    api = make_api(auth=oauth(protector, "profile email"), parser=Broken())
    api.post("/notes")(in_mode(mode, echo))
    with serving([path("api/", api.urls), *site([], protector)]):
        answer = send("/api/notes", [*headers, *JSON], **BODY)
        assert answer.status == status
        assert essence(answer) == essence(send("/plain", headers, method="POST"))
        # Ninja's own answer to what its parser raises.
        assert send("/api/notes", [*bearer(GOOD), *JSON], **BODY).status == 400
