"""Views of Django REST framework, before and after a move from django-oauth-toolkit."""

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import include, path
from django.utils import timezone
from oauth2_provider.contrib.rest_framework import (
    IsAuthenticatedOrTokenHasScope,
    OAuth2Authentication,
    TokenHasScope,
    TokenMatchesOASRequirements,
)
from oauth2_provider.models import AccessToken
from rest_framework.authentication import BaseAuthentication, BasicAuthentication, TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.contrib.rest_framework import HasScopes, OAuthAuthentication
from async_oauth_guard.diagnostics.review import mark_reviewed
from async_oauth_guard.diagnostics.routes import is_excused
from async_oauth_guard.testing import iter_routes
from tests.answers import Answer, RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.frameworks.rest_views import Own, authentication_of
from tests.frameworks.rows import shows
from tests.sites import serving

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)
GOOD, BARE, EXPIRED = "toolkit-good", "toolkit-bare", "toolkit-expired"
INACTIVE, MACHINE = "toolkit-of-bob", "toolkit-of-a-client"
SESSION: RawHeaders = [(b"cookie", b"alice=here")]


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    alice, bob = committed.user("alice"), committed.user("bob", is_active=False)
    rows: Mapping[str, Mapping[str, Any]] = {
        GOOD: {"user": alice, "scope": "a"},
        BARE: {"user": alice, "scope": ""},
        EXPIRED: {"user": alice, "scope": "a", "expires": timezone.now() - HOUR},
        INACTIVE: {"user": bob, "scope": "a"},
        MACHINE: {"scope": "a"},
    }
    for token, values in rows.items():
        committed.row(AccessToken(token=token, **{"expires": timezone.now() + HOUR, **values}))


class Session(BaseAuthentication):
    """As `SessionAuthentication`: finds a user by a cookie, sets no ``request.auth``, and has no challenge."""

    def authenticate(self, request: Any) -> Any:
        return (User.objects.get(username="alice"), None) if "alice" in request.COOKIES else None


class Password(BasicAuthentication):
    """Knows every password of alice."""

    def authenticate_credentials(self, userid: str, password: str, request: Any = None) -> Any:
        return User.objects.get(username=userid), None


class Token(TokenAuthentication):
    """Takes the name of a user for a token. It sets ``request.auth``, as the framework's own class does."""

    def authenticate_credentials(self, key: str) -> Any:
        return User.objects.get(username=key), {"key": key}


class IsAuthenticatedWithoutOAuth(IsAuthenticated):
    """The class of the page."""

    def has_permission(self, request: Any, view: Any) -> bool:
        by_oauth = isinstance(request.successful_authenticator, OAuthAuthentication)
        return not by_oauth and super().has_permission(request, view)


OAuth = authentication_of(ResourceProtector(BearerTokenValidator.for_django_oauth_toolkit()))
BY_USER = HasScopes("a") | IsAuthenticatedWithoutOAuth


def view_with(authentication: list[Any], permissions: list[Any], **attributes: Any) -> Any:
    def get(self: Any, request: Any) -> Response:
        return Response({"user": request.user and request.user.username})

    classes = {"authentication_classes": authentication, "permission_classes": permissions}
    own = {**classes, "renderer_classes": [JSONRenderer], "get": get, **attributes}
    return type("Notes", (APIView,), own).as_view()


def before(send: Send, permission: Any, headers: RawHeaders = (), *, classes: Any = None, **request: Any) -> Answer:
    """The response of a view with the toolkit's classes."""
    attributes = {"required_scopes": ["a"], "required_alternate_scopes": {"GET": [["a"]]}}
    listed = classes or [OAuth2Authentication, Session, Password, Token]
    with serving(view_with(listed, [permission], **attributes)):
        return send("/", headers, **request)


def after(send: Send, permission: Any, headers: RawHeaders = (), *, classes: Any = None, **request: Any) -> Answer:
    """The response of the view with the classes of this package."""
    permissions = permission if isinstance(permission, list) else [permission]
    with serving(view_with(classes or [OAuth, Session, Password, Token], permissions)):
        return send("/", headers, **request)


@shows("no token, and another authentication class comes first")
@pytest.mark.parametrize(("first", "status", "challenge"), [(Session, 403, None), (Own, 401, 'Own realm="x"')])
def test_order_of_classes(first: Any, status: int, challenge: str | None, send: Send) -> None:
    """The toolkit's challenge is sent only if its class comes first."""
    theirs = before(send, TokenHasScope, classes=[first, OAuth2Authentication])
    assert (theirs.status, theirs.header("WWW-Authenticate")) == (status, challenge)
    ours = after(send, HasScopes("a"), classes=[OAuth, first])
    assert (ours.status, ours.challenges[0].parameters["scope"]) == (401, "a")


@shows("a session and no token, scopes required")
def test_session_alone(send: Send) -> None:
    """A session does not satisfy a permission that needs scopes: the client is asked for a token."""
    assert before(send, TokenHasScope, SESSION).status == 403
    answer = after(send, HasScopes("a"), SESSION)
    assert (answer.status, answer.challenges[0].parameters["scope"]) == (401, "a")


@shows("a session and an invalid or expired token")
@pytest.mark.parametrize("token", [EXPIRED, "unknown"])
def test_session_and_invalid_token(token: str, send: Send) -> None:
    """A token that is refused is refused, whoever else the request is from."""
    headers = [*SESSION, *bearer(token)]
    for theirs, ours in ((IsAuthenticated, IsAuthenticated), (IsAuthenticatedOrTokenHasScope, BY_USER)):
        assert before(send, theirs, headers).json == {"user": "alice"}
        answer = after(send, ours, headers)
        assert (answer.status, answer.json["error"]) == (401, "invalid_token")


@shows("`Token …` or `Basic …` for another class, scopes required")
@pytest.mark.parametrize("credentials", [b"Token alice", b"Basic YWxpY2U6eA=="])
def test_other_schemes(credentials: bytes, send: Send) -> None:
    """Credentials of another class are no token."""
    headers = [(b"authorization", credentials)]
    # With older releases, the toolkit's permission raises an `AssertionError`.
    assert before(send, TokenHasScope, headers).status in (403, 500)
    answer = after(send, HasScopes("a"), headers)
    assert (answer.status, answer.json["error"]) == (401, "unsupported_token_type")
    assert answer.challenges[0].parameters["scope"] == "a"


@shows("`HEAD`, with `TokenMatchesOASRequirements` that names only `GET`")
def test_head(send: Send) -> None:
    """``HEAD`` counts as ``GET``, unless it has an entry."""
    assert before(send, TokenMatchesOASRequirements, bearer(GOOD)).status == 200
    assert before(send, TokenMatchesOASRequirements, bearer(GOOD), method="HEAD").status == 403
    assert after(send, HasScopes({"GET": "a"}), bearer(GOOD), method="HEAD").status == 200
    assert after(send, HasScopes({"GET": "a", "HEAD": "b"}), bearer(GOOD), method="HEAD").status == 403


@shows("a token in the query string (`?access_token=`)")
@pytest.mark.filterwarnings("ignore:Presenting an OAuth 2.0 access token:DeprecationWarning")
def test_token_in_the_query(send: Send) -> None:
    """A token in the address is not read."""
    query = f"access_token={GOOD}".encode()
    assert before(send, TokenHasScope, query=query).status == 200
    assert after(send, HasScopes("a"), query=query).status == 401


@shows("a token of a user who is not active")
def test_inactive_user(send: Send) -> None:
    """The token of a user who is not active is invalid, unless the validator has an option that allows it."""
    assert before(send, TokenHasScope, bearer(INACTIVE)).status == 200
    assert after(send, HasScopes("a"), bearer(INACTIVE)).status == 401
    lenient = BearerTokenValidator.for_django_oauth_toolkit(require_active_user=False)
    classes = [authentication_of(ResourceProtector(lenient))]
    assert after(send, HasScopes("a"), bearer(INACTIVE), classes=classes).status == 200


@shows("a token of a client without a user")
def test_token_without_user(send: Send) -> None:
    """``request.user`` is an anonymous user, as for a request that nobody authenticated."""
    assert before(send, TokenHasScope, bearer(MACHINE)).json == {"user": None}
    assert after(send, HasScopes("a"), bearer(MACHINE)).json == {"user": ""}


WAYS: dict[str, tuple[RawHeaders, int]] = {
    "token": (bearer(GOOD), 200),
    "token without the scope": (bearer(BARE), 403),
    "session": (SESSION, 200),
    "session and a token without the scope": ([*SESSION, *bearer(BARE)], 403),
    "Token": ([(b"authorization", b"Token alice")], 200),
    "Basic": ([(b"authorization", b"Basic YWxpY2U6eA==")], 200),
    "nothing": ([], 401),
}


@pytest.mark.parametrize("way", WAYS)
def test_authenticated_or_scope(way: str, send: Send) -> None:
    """Instead of ``IsAuthenticatedOrTokenHasScope``: whom another class has authenticated needs no scopes."""
    headers, status = WAYS[way]
    assert before(send, IsAuthenticatedOrTokenHasScope, headers).status == status
    assert after(send, BY_USER, headers).status == status


def test_authenticated_alone(send: Send) -> None:
    """``IsAuthenticated`` alone lets in sessions too. After `HasScopes` it does not."""
    for headers, alone, together in ((bearer(BARE), 200, 200), (SESSION, 200, 401), (bearer(MACHINE), 403, 403)):
        assert before(send, IsAuthenticated, headers).status == alone
        assert after(send, IsAuthenticated, headers).status == alone
        assert after(send, [HasScopes, IsAuthenticated], headers).status == together


def test_views_that_need_a_mark(settings: Any) -> None:
    """A view that a session is sufficient for is unguarded, unless it is marked; so is the root of a router."""

    class Notes(ViewSet):
        authentication_classes = (OAuth,)
        permission_classes = (BY_USER,)

        def list(self, request: Any) -> Response:
            return Response()

    class Marked(Notes):
        pass

    mark_reviewed("a session is sufficient")(Marked)
    settings.REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"]}
    for viewset, listed, reported in (
        (Notes, ["api-root"], {"/api/notes/", "/api/notes.<format>"}),
        (Marked, [], {"/api/", "/api/<drf_format_suffix:format>"}),
        (Marked, ["api-root"], set()),
    ):
        router = DefaultRouter()
        router.register("notes", viewset, basename="notes")
        with serving([path("api/", include(router.urls))]):
            routes = [route for route in iter_routes() if not (route.is_guarded or is_excused(route, listed))]
        assert {route.path for route in routes} == reported
