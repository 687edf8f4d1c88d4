"""Guards on views of Django REST framework: each row of its tables in ``docs/frameworks.md``."""

from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.decorators import login_not_required
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpRequest
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from async_oauth_guard import AccessToken, BearerTokenValidator, MissingAuthorizationError, ResourceProtector
from async_oauth_guard.guard.signals import token_rejected
from async_oauth_guard.testing import iter_routes
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.frameworks.conftest import GOOD, NARROW, UNKNOWN
from tests.frameworks.grid import REQUIRED, check_answers, site
from tests.frameworks.rows import shows
from tests.frameworks.ways import BEFORE_THE_VIEW, WAYS, Framework, MakeView, RestWitness, ViewGuards, class_, method
from tests.site.models import OAuth2Token
from tests.sites import serving

pytestmark = pytest.mark.django_db

REST = Framework(APIView, ListAPIView, ViewSet, SimpleRouter, api_view, is_async=False)
SESSIONS: dict[str, Any] = {
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ],
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
}


@shows(*WAYS)
@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_ways(make: MakeView, protector: ResourceProtector, send: Send) -> None:
    """However a view is guarded, it answers like a guarded function of Django."""
    check_answers(REST, make, protector, send)


@shows("the body and the headers of refusals")
def test_refusals_are_not_rendered_again(protector: ResourceProtector, send: Send) -> None:
    """A refusal is no exception of the framework's and no `Response`: renderers and handlers do not see it."""

    class Notes(APIView):
        renderer_classes = ()

        @protector
        def get(self, request: Request) -> Response:
            raise AssertionError("no request is let in here")

        def handle_exception(self, exc: Exception) -> Response:
            raise AssertionError("a refusal is an answer") from exc

        def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
            return None, None

    with serving(Notes.as_view()):
        answer = send("/", bearer(UNKNOWN))
    assert answer.status == 401
    assert answer.json["error"] == "invalid_token"
    assert answer.header("Allow") == "GET, HEAD, OPTIONS"


@shows("`request.oauth_token`, `AccessToken.of(request)`")
def test_both_requests_have_the_token(protector: ResourceProtector, send: Send) -> None:
    """The framework's request has the token, and so has Django's inside."""
    seen: list[Any] = []

    class Notes(APIView):
        @protector
        def get(self, request: Request) -> Response:
            both = (request, request._request)
            seen.extend((vars(each)["oauth_token"], AccessToken.of(each).scopes) for each in both)
            assert vars(request)["_oauth_token_state"] is vars(request._request)["_oauth_token_state"]
            return Response("seen")

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).status == 200
    token = OAuth2Token.objects.get(access_token=GOOD)
    assert seen == [(token, {"profile", "email"})] * 2


@shows("`request.user` with `set_user=True`")
def test_set_user(send: Send) -> None:
    """On a handler, both requests have the token's user; before a view, the framework's authentication decides."""
    setting = ResourceProtector(BearerTokenValidator(OAuth2Token), set_user=True)

    def names(request: Any) -> list[str]:
        return [each.user.username for each in (request, request._request)]

    class Handler(APIView):
        @setting
        def get(self, request: Request) -> Response:
            return Response(names(request))

    @setting
    class Whole(APIView):
        def get(self, request: Request) -> Response:
            return Response(names(request))

        post = get

    whole = {
        "none": Whole.as_view(authentication_classes=[]),
        "session": Whole.as_view(authentication_classes=[SessionAuthentication]),
    }
    with serving([path("handler", Handler.as_view()), *(path(name, view) for name, view in whole.items())]):
        assert send("/handler", bearer(GOOD)).json == ["alice", "alice"]
        assert send("/none", bearer(GOOD)).json == ["", ""]
        assert send("/session", bearer(GOOD)).json == ["alice", "alice"]
        assert send("/session", bearer(GOOD), method="POST").json == ["alice", "alice"]


@shows("`request.auth`")
def test_auth_is_left_alone(protector: ResourceProtector, send: Send) -> None:
    """What the framework's own authentication has found stays."""

    class Notes(APIView):
        @protector
        def get(self, request: Request) -> Response:
            return Response(repr(request.auth))

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).json == "None"


@shows("scopes by method, `require_user`, `groups` and all other arguments")
def test_requirements(protector: ResourceProtector, send: Send) -> None:
    """One guard has a requirement for each method and other requirements."""
    witness = RestWitness()

    class Notes(APIView):
        @protector({"GET": "profile", "POST": "email"}, require_user=True)
        def handle(self, request: Request) -> Response:
            return witness.answer(request)

        get = post = handle

    with serving(Notes.as_view()):
        assert send("/", bearer(NARROW)).status == 200
        assert send("/", bearer(NARROW), method="POST").status == 403
        assert send("/", bearer(GOOD), method="POST").status == 200


@shows("`check=`, `render_error`, receivers of signals, an overridden `acquire_token`")
def test_users_code_gets_django_s_request(protector: ResourceProtector, send: Send) -> None:
    """What users hand to a guard is written for Django's request, and gets that one."""
    seen: list[type] = []

    def check(request: HttpRequest, token: Any) -> bool:
        seen.append(type(request))
        return request.method == "GET"

    def receiver(request: HttpRequest, **kwargs: Any) -> None:
        seen.append(type(request))

    class Own(ResourceProtector):
        def acquire_token(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            seen.append(type(request))
            return super().acquire_token(request, *args, **kwargs)

    protector = Own(BearerTokenValidator(OAuth2Token))
    view = method(REST, RestWitness(), ViewGuards(protector, {"check": check}))
    token_rejected.connect(receiver)
    try:
        with serving(view):
            assert send("/", bearer(GOOD)).status == 200
            assert send("/").status == 401
    finally:
        token_rejected.disconnect(receiver)
    assert len(seen) == 4
    assert all(issubclass(each, HttpRequest) for each in seen)


@shows("`require_oauth.acquire_token(request)` within a handler")
def test_acquire_token(protector: ResourceProtector, send: Send) -> None:
    """It takes the framework's request too, and judges Django's inside."""
    seen: list[Any] = []

    def check(request: HttpRequest, token: Any) -> bool:
        seen.append(request)
        return True

    class Notes(APIView):
        def get(self, request: Request) -> Response:
            try:
                token = protector.acquire_token(request, "profile", check=check)
            except MissingAuthorizationError as error:
                return Response("refused", status=error.status_code)
            assert seen == [request._request]
            return Response(token.user.username)

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).json == "alice"
        assert send("/").status == 401


class Refusing(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return False


class Busy(BaseThrottle):
    def allow_request(self, request: Request, view: Any) -> bool:
        return False

    def wait(self) -> None:
        return None


@shows("the framework's authentication, permissions and throttles")
@pytest.mark.parametrize(("policy", "cls", "status"), [("permission", Refusing, 403), ("throttle", Busy, 429)])
@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_policies(
    make: MakeView,
    policy: str,
    cls: type,
    status: int,
    protector: ResourceProtector,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They run before the guard of a handler, and after a guard before the view."""
    monkeypatch.setattr(APIView, f"{policy}_classes", [cls])
    witness = RestWitness()
    with serving(site(make(REST, witness, ViewGuards(protector, REQUIRED)), protector)):
        assert send("/notes/", bearer(GOOD)).status == status
        assert send("/notes/").status == (401 if make in BEFORE_THE_VIEW else status)
    assert witness.entered == 0


class ByTheToken(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return request.oauth_token.user.username == "alice"


@shows("permission classes that read `request.oauth_token`")
def test_permission_that_reads_the_token(protector: ResourceProtector, send: Send) -> None:
    """After a guard before the view, the framework's request passes on the token of Django's."""
    view = class_(REST, RestWitness(), ViewGuards(protector, REQUIRED))
    with serving(view.cls.as_view(permission_classes=[ByTheToken])):
        assert send("/", bearer(GOOD)).status == 200


@shows("`OPTIONS`")
@pytest.mark.parametrize(("make", "status"), [(method, 200), (class_, 401)])
def test_options(make: MakeView, status: int, protector: ResourceProtector, send: Send) -> None:
    """The framework describes a view to everybody, unless the guard stands before it."""
    witness = RestWitness()
    with serving(make(REST, witness, ViewGuards(protector, REQUIRED))):
        assert send("/", method="OPTIONS").status == status
        assert send("/", bearer(GOOD), method="OPTIONS").status == 200
    assert witness.entered == 0


class Unread(BaseParser):
    media_type = "*/*"

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a refused request is not parsed")


@shows("`request.data`")
def test_data_is_not_read_before_a_refusal(protector: ResourceProtector, send: Send) -> None:
    """The body of a refused request is not parsed, and that of another is there for the view."""

    class Notes(APIView):
        parser_classes = (Unread,)

        @protector
        def post(self, request: Request) -> Response:
            raise AssertionError("no request is let in here")

        @protector
        def put(self, request: Request) -> Response:
            request.parsers = APIView().get_parsers()
            return Response(request.data)

    note: RawHeaders = [(b"content-type", b"application/json"), (b"content-length", b"8")]
    with serving(Notes.as_view()):
        assert send("/", [*note, *bearer(UNKNOWN)], method="POST", body=b'{"a": 1}').status == 401
        assert send("/", [*note, *bearer(GOOD)], method="PUT", body=b'{"a": 1}').json == {"a": 1}


@shows("an exception in a handler that the framework handles")
def test_answers_to_exceptions(protector: ResourceProtector, send: Send) -> None:
    """The guard of a handler has ended by then; a guard before the view sees the answer."""

    def get(self: Any, request: Request) -> Response:
        raise NotFound

    handler = type("Handler", (APIView,), {"get": protector(get)})
    whole = protector(type("Whole", (APIView,), {"get": get}))
    with serving([path("handler", handler.as_view()), path("whole", whole.as_view())]):
        inside, outside = send("/handler", bearer(GOOD)), send("/whole", bearer(GOOD))
    assert [inside.status, outside.status] == [404, 404]
    assert inside.members("Cache-Control") | inside.members("Vary") == {"accept"}
    assert outside.members("Cache-Control") | outside.members("Vary") == {"accept", "authorization", "private"}


@shows("`optional=True` on a handler")
def test_optional_handler(protector: ResourceProtector, send: Send, session: RawHeaders) -> None:
    """A request without a token gets the framework's own checks and no others: here sessions need a CSRF token."""
    witness = RestWitness()

    class Notes(APIView):
        @protector(optional=True)
        def post(self, request: Request) -> Response:
            assert vars(request)["oauth_token"] is vars(request._request)["oauth_token"]
            return witness.answer(request)

    with serving(Notes.as_view(), **SESSIONS):
        assert send("/", method="POST").json == {"token": False, "user": None}
        assert send("/", session, method="POST").json == {"detail": "CSRF Failed: CSRF cookie not set."}
        assert send("/", bearer(GOOD), method="POST").json == {"token": True, "user": "alice"}
    assert witness.entered == 2


@shows("`optional=True` on a class")
def test_optional_class(protector: ResourceProtector, send: Send) -> None:
    """Django's CSRF check comes first for requests without a token, unless ``dispatch`` is exempt below the guard."""

    @protector(optional=True)
    class Checked(APIView):
        def post(self, request: Request) -> Response:
            return Response("seen")

    @protector(optional=True)
    @method_decorator([csrf_exempt, login_not_required], name="dispatch")
    class Exempt(APIView):
        def post(self, request: Request) -> Response:
            return Response("seen")

    with serving([path("checked", Checked.as_view()), path("exempt", Exempt.as_view())], **SESSIONS):
        assert send("/checked", method="POST").status == 403
        assert send("/checked", bearer(GOOD), method="POST").status == 200
        assert send("/exempt", method="POST").status == 200


@shows("a session cookie in addition to a token")
@pytest.mark.parametrize("make", [method, class_])
def test_session_beside_a_token(
    make: MakeView, protector: ResourceProtector, send: Send, session: RawHeaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SessionAuthentication` asks for a CSRF token all the same; without authentication classes nothing does."""
    both = [*session, *bearer(GOOD)]
    view = post_view(make, ViewGuards(protector, REQUIRED))
    with serving(view, **SESSIONS):
        assert send("/", both, method="POST").json == {"detail": "CSRF Failed: CSRF cookie not set."}
        view.cls.authentication_classes = ()
        assert send("/", both, method="POST").status == 200


def post_view(make: MakeView, guarding: ViewGuards) -> Any:
    """The view of that way, which answers to POST in the place of GET."""
    view = make(REST, RestWitness(), guarding)
    view.cls.post = view.cls.get
    return view


@shows("`oauth_routes` and `assert_guarded`")
@pytest.mark.parametrize("make", [make for make in WAYS.values() if make not in BEFORE_THE_VIEW])
def test_guarded_handlers(make: MakeView, protector: ResourceProtector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework's own ``options`` has no guard, so a view of guarded handlers is unguarded, unless it is off."""
    with serving(site(make(REST, RestWitness(), ViewGuards(protector, REQUIRED)), protector)):
        _, notes = iter_routes()
    assert [guard.protector for guard in notes.guards_for("GET")] == [protector]
    assert not notes.is_guarded
    monkeypatch.setattr(APIView, "metadata_class", None)
    with serving(site(make(REST, RestWitness(), ViewGuards(protector, REQUIRED)), protector)):
        assert [route.is_guarded for route in iter_routes()] == [True, True]


@shows("`async def` handlers without adrf")
def test_async_handlers(protector: ResourceProtector, send: Send) -> None:
    """The framework itself does not await them: no token, no entry, and no answer but an error."""
    witness = RestWitness()

    class Notes(APIView):
        @protector
        async def get(self, request: Request) -> Response:
            return witness.answer(request)

        def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
            # Python would warn of it later.
            response.close()
            return super().finalize_response(request, response, *args, **kwargs)

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).status == 500
    assert witness.entered == 0


@pytest.fixture
def session(committed: Committed) -> RawHeaders:
    """The cookie of a browser in which alice has logged in."""
    alice = committed.user("alice")
    session = SessionStore()
    session[SESSION_KEY] = str(alice.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = alice.get_session_auth_hash()
    session.save()
    return [(b"cookie", f"sessionid={session.session_key}".encode())]
