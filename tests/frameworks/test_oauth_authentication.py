"""`OAuthAuthentication` on views of Django REST framework and adrf."""

import logging
import threading
from typing import Any, ClassVar

import pytest
from adrf.views import APIView as AsyncAPIView
from authlib.oauth2 import OAuth2Error
from django.core.cache import cache
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory
from django.urls import path
from django.views.decorators.cache import cache_page
from rest_framework.authentication import BaseAuthentication, BasicAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, NotFound
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    DPoP,
    InvalidTokenError,
    Reason,
    ResourceProtector,
    TokenValidator,
    token_rejected,
)
from async_oauth_guard.contrib.rest_framework import HasScopes, OAuthAuthentication, RefusalError
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from tests import asgi
from tests.answers import bearer
from tests.conftest import Send
from tests.frameworks.conftest import GOOD, NARROW, UNKNOWN
from tests.frameworks.grid import REFUSED, site
from tests.frameworks.rest_views import (
    FRAMEWORKS,
    Granted,
    MakeView,
    Own,
    authentication_of,
    essence,
    make_view,
)
from tests.kit.guarded_sites import CLIENTS, verifying
from tests.proofs import dpop, make_proof, thumbprint
from tests.site.models import OAuth2Token
from tests.sites import serving

pytestmark = pytest.mark.django_db

CHALLENGE = 'Bearer realm="api"'


@pytest.fixture(params=FRAMEWORKS)
def make(request: pytest.FixtureRequest) -> MakeView:
    """Makes a view of a framework, which answers in JSON."""
    base, handler = FRAMEWORKS[request.param]
    return lambda *permissions, **attributes: make_view(base, handler, *permissions, **attributes)


class Counting(TokenValidator):
    """Lets in every token, and counts how often it was asked."""

    TOKEN_TYPE = "bearer"

    def __init__(self) -> None:
        super().__init__("api")
        self.asked: list[threading.Thread] = []

    def authenticate_token(self, token_string: str) -> Any:
        self.asked.append(threading.current_thread())
        return AccessToken({"scope": "profile email", "sub": "1"})


def test_token(make: MakeView, send: Send) -> None:
    """The framework's request has the token and its user. The response is marked for caches."""
    with serving(make(HasScopes("profile email"))):
        answer = send("/", bearer(GOOD))
    assert answer.json == {"user": "alice", "scopes": ["email", "profile"]}
    assert answer.members("Vary") >= {"authorization"}
    assert answer.members("Cache-Control") == {"private"}


@pytest.mark.parametrize(
    "others",
    [[], [SessionAuthentication], [BasicAuthentication], [Own]],
    ids=["alone", "after sessions", "after Basic", "after another"],
)
def test_refusals(others: list[Any], make: MakeView, send: Send, protector: ResourceProtector) -> None:
    """A refusal is the same as that of a guarded function, whichever other classes are configured."""
    view = make(HasScopes("profile email"), authentication_classes=[*others, authentication_of(protector)])
    with serving(site(view, protector)):
        # The framework negotiates the content type before it authenticates.
        for headers in (headers for name, headers in REFUSED.items() if name != "browser"):
            assert essence(send("/notes/", headers)) == essence(send("/plain", headers))


@pytest.mark.parametrize("reason", Reason)
def test_reasons(reason: Reason, protector: ResourceProtector) -> None:
    """Every error has the status, body and headers of the error map, with another class in front."""
    classes = [SessionAuthentication, authentication_of(protector)]
    view = make_view(*FRAMEWORKS["DRF"], HasScopes("profile email"), authentication_classes=classes)
    with serving(site(view, protector)), override_oauth(error=reason):
        answer = asgi.send("/notes/")
        assert essence(answer) == essence(asgi.send("/plain"))
    assert answer.status in (400, 401, 403, 503)


def test_refusal_as_authlib(make: MakeView, send: Send) -> None:
    """With ``compat="authlib"``, too."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), compat="authlib")
    view = make(HasScopes("profile email"), authentication_classes=[Own, authentication_of(protector)])
    with serving(site(view, protector)):
        for headers in (bearer(UNKNOWN), bearer(NARROW), []):
            assert essence(send("/notes/", headers)) == essence(send("/plain", headers))


def test_own_exception_handler(protector: ResourceProtector, send: Send) -> None:
    """A handler of the site gets an exception of the framework. The headers do not depend on it."""
    seen: list[Any] = []

    class Notes(APIView):
        authentication_classes = (authentication_of(protector),)
        permission_classes = (HasScopes("profile"),)

        def get_exception_handler(self) -> Any:
            def handle(error: Any, context: Any) -> HttpResponse:
                seen.append(error)
                return HttpResponse("refused", status=error.status_code)

            return handle

    with serving(Notes.as_view()):
        answer = send("/", bearer(UNKNOWN))
    assert isinstance(seen[0], RefusalError)
    assert isinstance(seen[0], APIException)
    assert seen[0].error.reason is Reason.UNKNOWN_TOKEN
    assert seen[0].get_codes() == {"error": "invalid_token", "error_description": "invalid_token"}
    assert (answer.status, answer.body) == (401, b"refused")
    assert answer.header("Cache-Control") == "no-store"
    assert answer.challenges[0].parameters["scope"] == "profile"


def test_no_credentials(make: MakeView, send: Send) -> None:
    """Without a permission that requires a token, a request without credentials is let in."""
    with serving(make(AllowAny)):
        answer = send("/")
    assert answer.json == {"user": "", "scopes": None}
    assert answer.members("Vary") == {"authorization"}
    assert answer.members("Cache-Control") == set()


def test_other_schemes(make: MakeView, send: Send) -> None:
    """Credentials of another scheme are left to the classes that follow."""

    class Key(BaseAuthentication):
        def authenticate(self, request: Any) -> Any:
            return (OAuth2Token.objects.get(access_token=GOOD).user, None)

    with serving(make(IsAuthenticated, authentication_classes=[OAuthAuthentication, Key])):
        assert send("/", [(b"authorization", b"Key abc")]).json == {"user": "alice", "scopes": None}
        # A token that is refused is not.
        assert send("/", bearer(UNKNOWN)).status == 401


@pytest.mark.parametrize("second", [None, Own])
def test_challenge_of_the_framework(second: Any, make: MakeView, send: Send) -> None:
    """If the framework itself refuses a request, the challenge names the scopes that the view requires."""
    classes = [OAuthAuthentication, *([second] if second else [])]
    with serving(make(IsAuthenticated, HasScopes("profile email"), authentication_classes=classes)):
        answer = send("/")
    assert answer.status == 401
    assert answer.json == {"detail": "Authentication credentials were not provided."}
    assert answer.header("WWW-Authenticate") == f'{CHALLENGE}, scope="profile email"'


def test_challenge_of_two_permissions(make: MakeView, send: Send) -> None:
    """Every challenge names all scopes that the view requires, by method."""
    scopes = {"GET": "profile", "POST": "email"}
    with serving(make(HasScopes(scopes), HasScopes("notes:a"))):
        for headers, method, named in [
            ([], "GET", "profile notes:a"),
            ([], "POST", "email notes:a"),
            (bearer(UNKNOWN), "GET", "profile notes:a"),
        ]:
            challenge = send("/", headers, method=method).challenges[0]
            assert challenge.parameters["scope"] == named


@pytest.mark.parametrize("has_user", [True, False])
def test_user(has_user: bool, protector: ResourceProtector, send: Send) -> None:
    """A token without a user has an anonymous one. ``auser()`` is the same user, whatever the session says."""
    seen: list[Any] = []

    class Notes(AsyncAPIView):
        authentication_classes = (authentication_of(protector if has_user else ResourceProtector(Counting())),)

        async def get(self, request: Any) -> Response:
            seen.extend(each.username for each in (request.user, request._request.user, await request.auser()))
            assert request.auth is request.oauth_token is request._request.oauth_token
            return Response("done")

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).status == 200
    assert seen == ["alice" if has_user else ""] * 3


def test_unauthenticated_user_is_configurable(settings: Any, send: Send) -> None:
    """Without ``UNAUTHENTICATED_USER``, a request without a user has none, as everywhere in the framework."""
    settings.REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None}

    class Notes(APIView):
        authentication_classes = (authentication_of(ResourceProtector(Counting())),)

        def get(self, request: Any) -> Response:
            return Response(repr(request.user))

    with serving(Notes.as_view()):
        assert send("/", bearer("any")).json == "None"


# Guards that ran before.


@pytest.mark.parametrize("own_protector", [True, False])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_reuses_a_guard(own_protector: bool, framework: str, send: Send) -> None:
    """A guard around the view has validated the token already, if it is of the same protector."""
    validator = Counting()
    protector = ResourceProtector(validator)
    other = protector if own_protector else ResourceProtector(validator)
    view = make_view(*FRAMEWORKS[framework], HasScopes("email"), authentication_classes=[authentication_of(protector)])
    with serving(other("profile")(view)):
        assert send("/", bearer("any")).json == {"user": "", "scopes": ["email", "profile"]}
        assert len(validator.asked) == (1 if own_protector else 2)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_reuses_a_guard_in_front(framework: str) -> None:
    """So has a guard in front of the application."""
    validator = Counting()
    protector = ResourceProtector(validator)
    view = make_view(*FRAMEWORKS[framework], HasScopes("email"), authentication_classes=[authentication_of(protector)])
    with serving(view):
        application = protector.asgi(ASGIHandler(), "profile")
        answer = asgi.send("/", bearer("any"), application=application)
    assert answer.json == {"user": "", "scopes": ["email", "profile"]}
    assert len(validator.asked) == 1


def test_does_not_reuse_other_credentials(send: Send) -> None:
    """If something between the guard and the view changes the header, the new token is validated."""
    validator = Counting()
    protector = ResourceProtector(validator)
    view = make_view(*FRAMEWORKS["DRF"], authentication_classes=[authentication_of(protector)])

    def change(request: HttpRequest) -> Any:
        request.META["HTTP_AUTHORIZATION"] = "Bearer another"
        return view(request)

    with serving(protector(change)):
        assert send("/", bearer("any")).status == 200
    assert len(validator.asked) == 2


def test_one_validation(make: MakeView, send: Send) -> None:
    """Several permissions, checked again for an object, validate the token once."""
    validator = Counting()
    classes = [authentication_of(ResourceProtector(validator))]

    class Objects(APIView):
        authentication_classes = classes
        permission_classes = (HasScopes("profile"), HasScopes("email"))

        def get(self, request: Any) -> Response:
            self.check_object_permissions(request, object())
            return Response("done")

    with serving(make(HasScopes("profile"), HasScopes("email"), authentication_classes=classes)):
        assert send("/", bearer("any")).status == 200
    assert len(validator.asked) == 1
    with serving(Objects.as_view()):
        assert send("/", bearer("any")).status == 200
    assert len(validator.asked) == 2


async def test_one_thread() -> None:
    """In an async view of adrf, the token is validated on the thread on which the framework checks permissions."""
    validator = Counting()
    threads: list[threading.Thread] = []

    class Noting(Granted):
        def has_permission(self, request: Any, view: Any) -> bool:
            threads.append(threading.current_thread())
            return True

    base, handler = FRAMEWORKS["adrf async"]
    classes = [authentication_of(ResourceProtector(validator))]
    view = make_view(base, handler, HasScopes("profile"), Noting, authentication_classes=classes)
    response = await view(RequestFactory().get("/", headers={"Authorization": "Bearer any"}))
    assert response.status_code == 200
    assert validator.asked == threads
    assert threads != [threading.current_thread()]


async def test_not_in_a_coroutine() -> None:
    """Called in an event loop, the class says so instead of blocking it."""
    request = Request(RequestFactory().get("/", headers={"Authorization": f"Bearer {GOOD}"}))
    with pytest.raises(SynchronousOnlyOperation, match="sync_to_async"):
        OAuthAuthentication().authenticate(request)


# Sessions.


class Cookie(TokenValidator):
    """Serves a scheme that browsers send by themselves."""

    TOKEN_TYPE = "basic"

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"scope": "profile"})


def test_schemes_of_browsers(make: MakeView, send: Send) -> None:
    """Credentials that browsers send by themselves need a CSRF token, unless the protector opts out."""

    class Exempt(ResourceProtector):
        csrf_exempt = True

    headers = [(b"authorization", b"Basic YTpi")]
    for protector, status in ((ResourceProtector(Cookie("api")), 403), (Exempt(Cookie("api")), 200)):
        with serving(make(HasScopes("profile"), authentication_classes=[authentication_of(protector)])):
            assert send("/", headers).status == 200
            assert send("/", headers, method="POST").status == status


def test_session_and_token(make: MakeView, send: Send) -> None:
    """A request that another class has authenticated does not pass `HasScopes`, although it presents a token."""

    class Session(BaseAuthentication):
        def authenticate(self, request: Any) -> Any:
            return (OAuth2Token.objects.get(access_token=GOOD).user, None)

    with serving(make(HasScopes("profile"), authentication_classes=[Session, OAuthAuthentication])):
        answer = send("/", bearer(GOOD))
        assert (answer.status, answer.json["error"]) == (403, "access_denied")
        # Nobody has checked the token.
        assert "valid" not in answer.json["error_description"]
        assert send("/").status == 401


# The response.


def test_headers_of_other_responses(make: MakeView, send: Send) -> None:
    """Responses that the framework makes of exceptions are marked too, and headers of the view stay."""

    class Notes(APIView):
        authentication_classes = (OAuthAuthentication,)

        def get(self, request: Any) -> Response:
            raise NotFound

        def post(self, request: Any) -> Response:
            return Response("done", headers={"Cache-Control": "no-store", "Vary": "Cookie"})

    with serving(Notes.as_view()):
        for method, status in (("GET", 404), ("PATCH", 405)):
            answer = send("/", bearer(GOOD), method=method)
            assert (answer.status, answer.members("Cache-Control")) == (status, {"private"})
            assert "authorization" in answer.members("Vary")
        answer = send("/", bearer(GOOD), method="POST")
    assert answer.members("Cache-Control") == {"no-store"}
    assert answer.members("Vary") >= {"authorization", "cookie"}


def test_cache(send: Send, settings: Any) -> None:
    """Django's cache stores responses to requests without a token, and none that a middleware makes of an exception."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "rest"}}
    cache.clear()
    count: list[int] = []

    class Notes(APIView):
        authentication_classes = (OAuthAuthentication,)

        def get(self, request: Any) -> Response:
            count.append(1)
            if "fail" in request.GET:
                raise ZeroDivisionError
            return Response(len(count))

    def rescue(request: HttpRequest) -> Any:
        try:
            return Notes.as_view()(request).render()
        except ZeroDivisionError:
            return JsonResponse(len(count), safe=False)

    with serving(cache_page(60)(rescue)):
        assert [send("/").json, send("/").json] == [1, 1]
        assert [send("/", bearer(GOOD)).json, send("/", bearer(GOOD)).json] == [2, 3]
        assert [send("/", query=b"fail=1").json, send("/", query=b"fail=1").json] == [4, 5]


def test_nonce(make: MakeView, send: Send) -> None:
    """With DPoP, both schemes are challenged, and a missing nonce is sent."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), dpop=DPoP(nonce=True))
    view = make(HasScopes("profile email"), authentication_classes=[Own, authentication_of(protector)])
    with serving(site(view, protector)):
        for headers in ([], bearer(GOOD, "DPoP"), bearer(UNKNOWN)):
            assert essence(send("/notes/", headers)) == essence(send("/plain", headers))
        assert send("/notes/", bearer(GOOD)).members("Vary") >= {"authorization", "dpop"}


def test_proof(make: MakeView, send: Send) -> None:
    """A DPoP proof is checked and spent once, also if a permission requires a bound token."""
    with FakeAuthorizationServer(clients=CLIENTS) as server:
        protector = ResourceProtector(verifying(), dpop=True)
        token = server.jwt("profile email", claims={"cnf": {"jkt": thumbprint()}})
        headers = dpop(token, make_proof(token, uri="http://testserver/notes/"))
        permission = HasScopes("profile", sender_constrained=True)
        view = make(permission, HasScopes("email"), authentication_classes=[authentication_of(protector)])
        with serving([path("notes/", view)]):
            assert send("/notes/", headers).status == 200
            answer = send("/notes/", headers)
            assert (answer.status, answer.json["error"]) == (401, "invalid_dpop_proof")
            assert send("/notes/", bearer(server.jwt("profile email"))).json["error"] == "invalid_token"


# What is reported.


def test_log_and_signal(protector: ResourceProtector, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is logged, and the signal sent, once. A request that is let in is neither."""
    errors: list[Any] = []

    def hear(request: HttpRequest, error: Any, **kwargs: Any) -> None:
        errors.append((type(request).__module__, error.reason))

    token_rejected.connect(hear)
    caplog.set_level(logging.DEBUG, "async_oauth_guard.refusals")
    view = make_view(*FRAMEWORKS["DRF"], HasScopes("email"), authentication_classes=[authentication_of(protector)])
    expected = [Reason.MISSING_CREDENTIALS, Reason.UNKNOWN_TOKEN, Reason.INSUFFICIENT_SCOPE]
    try:
        with serving(view):
            for headers in ([], bearer(UNKNOWN), bearer(NARROW), bearer(GOOD)):
                send("/", headers)
    finally:
        token_rejected.disconnect(hear)
    assert [reason for _, reason in errors] == expected
    assert not any(module.startswith("rest_framework") for module, _ in errors)
    assert [record.reason for record in caplog.records if record.name == "async_oauth_guard.refusals"] == expected


@pytest.mark.parametrize("error", [ZeroDivisionError, TypeError, AttributeError])
def test_bugs(error: type[Exception], make: MakeView, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a hook is a 500, not a 401."""

    class Broken(Counting):
        def authenticate_token(self, token_string: str) -> Any:
            raise error

    class Later:
        def has_permission(self, request: Any, view: Any) -> bool:
            raise AssertionError("not reached")

    with serving(make(Later, authentication_classes=[authentication_of(ResourceProtector(Broken()))])):
        assert send("/", bearer("any")).status == 500


def test_errors_of_hooks(make: MakeView, send: Send) -> None:
    """An error that a hook raises is answered as by a guarded function."""

    class StrangeError(OAuth2Error):
        error = "strange"
        status_code = 418

    class Refusing(Counting):
        errors: ClassVar[dict[str, Any]] = {
            "authlib": StrangeError("description", "https://uri"),
            "ours": InvalidTokenError(reason=Reason.EXPIRED),
        }

        def authenticate_token(self, token_string: str) -> Any:
            raise self.errors[token_string]

    protector = ResourceProtector(Refusing())
    view = make(HasScopes("profile email"), authentication_classes=[authentication_of(protector)])
    with serving(site(view, protector)):
        for token in Refusing.errors:
            assert essence(send("/notes/", bearer(token))) == essence(send("/plain", bearer(token)))


# Configuration and tests of sites.


def test_protector_of_a_subclass() -> None:
    """A protector must be one, and must not find tokens itself: those may come from cookies."""

    class Acquiring(ResourceProtector):
        def acquire_token(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return object()

    with pytest.raises(TypeError, match="must be a ResourceProtector, got str"):
        authentication_of("protector")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must not override acquire_token"):
        authentication_of(Acquiring())


def test_request_of_something_else() -> None:
    """Django's own request is accepted, and nothing but requests."""
    user, token = OAuthAuthentication().authenticate(
        RequestFactory().get("/", headers={"Authorization": f"Bearer {GOOD}"})
    )  # type: ignore[misc]
    assert (user.username, token.access_token) == ("alice", GOOD)
    with pytest.raises(RefusalError) as refused:
        OAuthAuthentication().authenticate(RequestFactory().get("/", headers={"Authorization": f"Bearer {UNKNOWN}"}))
    assert refused.value.auth_header.startswith(CHALLENGE)
    with pytest.raises(TypeError, match="must be a request of Django or of a framework, got str"):
        OAuthAuthentication().authenticate("request")


def test_override_oauth() -> None:
    """The test kit's override works with the framework's client and request factory."""
    view = make_view(*FRAMEWORKS["DRF"], HasScopes("notes:read"))
    with serving([path("notes", view)]):
        client = APIClient()
        assert client.get("/notes").status_code == 401
        with override_oauth("notes:read extra"):
            assert client.get("/notes").json() == {"user": "", "scopes": ["extra", "notes:read"]}
            assert view(APIRequestFactory().get("/notes")).status_code == 200
        with override_oauth("extra"):
            assert client.get("/notes").status_code == 403
        with override_oauth(error=Reason.DATABASE_UNAVAILABLE):
            response = client.get("/notes")
            assert (response.status_code, response["Retry-After"]) == (503, "1")
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {GOOD}")
        assert client.get("/notes").status_code == 403


def test_force_authenticate() -> None:
    """The client's own way to authenticate presents no token, so `HasScopes` refuses it."""
    with serving([path("notes", make_view(*FRAMEWORKS["DRF"], HasScopes("notes:read")))]):
        client = APIClient()
        client.force_authenticate(OAuth2Token.objects.get(access_token=GOOD).user, token="x")
        assert client.get("/notes").status_code == 401
