"""`HasScopes` among the permissions of views of Django REST framework and adrf."""

import asyncio
import time
from typing import Any

import pytest
from adrf.permissions import AsyncBasePermission
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.http import HttpRequest
from django.test import RequestFactory
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.generics import ListCreateAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.serializers import CharField, Serializer
from rest_framework.views import APIView

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
    TokenValidator,
)
from async_oauth_guard.contrib.rest_framework import HasScopes, OAuthAuthentication
from async_oauth_guard.testing import override_oauth
from tests import asgi
from tests.answers import bearer
from tests.conftest import Send
from tests.frameworks.conftest import GOOD, NARROW, UNKNOWN
from tests.frameworks.rest_views import (
    FRAMEWORKS,
    OF_OBJECTS,
    Denied,
    Granted,
    MakeView,
    authentication_of,
    make_view,
)
from tests.site.models import OAuth2Token
from tests.sites import serving

pytestmark = pytest.mark.django_db

# Tokens by the letters that the table of compositions uses: all scopes, some, an unknown token, no token.
TOKENS = {"a": bearer(GOOD), "n": bearer(NARROW), "u": bearer(UNKNOWN), "-": []}
Email = HasScopes("email")


@pytest.fixture(params=FRAMEWORKS)
def make(request: pytest.FixtureRequest) -> MakeView:
    """Makes a view of a framework, which answers in JSON."""
    base, handler = FRAMEWORKS[request.param]
    return lambda *permissions, **attributes: make_view(base, handler, *permissions, **attributes)


class AsyncGranted(AsyncBasePermission):
    """A permission of adrf that is always granted."""


@pytest.mark.parametrize(
    ("scopes", "good", "narrow"),
    [
        ("profile", 200, 200),
        ("profile email", 200, 403),
        (["email", "profile"], 200, 200),
        (["email notes:read", "email"], 200, 403),
        ({"GET": "profile", "POST": "email"}, 200, 200),
        ({"POST": "profile"}, 403, 403),
        ([["email", "profile"]], 200, 403),
        (None, 200, 200),
    ],
)
def test_scopes(scopes: Any, good: int, narrow: int, make: MakeView, send: Send) -> None:
    """The grammar is that of `require_oauth`: a string requires all of its scopes, a list any of its members."""
    with serving(make(HasScopes(scopes))):
        assert send("/", bearer(GOOD)).status == good
        assert send("/", bearer(NARROW)).status == narrow
        assert send("/").status == 401


def test_message() -> None:
    """A permission that has refused nothing has no message."""
    assert HasScopes("a")().message is None


def test_bare(make: MakeView, send: Send) -> None:
    """The class itself requires a valid token."""
    with serving(make(HasScopes)):
        assert [send("/", headers).status for headers in TOKENS.values()] == [200, 200, 401, 401]


COMPOSITIONS: dict[str, tuple[Any, dict[str, int]]] = {
    "A & yes": (Email & Granted, {"a": 200, "n": 403, "u": 401, "-": 401}),
    "yes & A": (Granted & Email, {"a": 200, "n": 403, "u": 401, "-": 401}),
    "A & no": (Email & Denied, {"a": 403, "n": 403, "u": 401, "-": 401}),
    "A | yes": (Email | Granted, {"a": 200, "n": 200, "u": 401, "-": 200}),
    "no | A": (Denied | Email, {"a": 200, "n": 403, "u": 401, "-": 401}),
    "A | B": (Email | HasScopes("profile"), {"a": 200, "n": 200, "u": 401, "-": 401}),
    "~A": (~Email, {"a": 403, "n": 200, "u": 401, "-": 200}),
    "~A & B": (~Email & HasScopes("profile"), {"a": 403, "n": 200, "u": 401, "-": 401}),
    "(A | B) & yes": ((Email | HasScopes("x")) & Granted, {"a": 200, "n": 403, "u": 401, "-": 401}),
}
WITH_ASYNC: dict[str, tuple[Any, dict[str, int]]] = {
    "A & async": (Email & AsyncGranted, {"a": 200, "n": 403, "u": 401, "-": 401}),
    "async | A": (AsyncGranted | Email, {"a": 200, "n": 200, "u": 401, "-": 200}),
    "~A & async": (~Email & AsyncGranted, {"a": 403, "n": 200, "u": 401, "-": 200}),
}


@pytest.mark.parametrize("case", COMPOSITIONS)
def test_compositions(case: str, make: MakeView, send: Send) -> None:
    """The classes compose with ``&``, ``|`` and ``~``. A token that is refused is refused before permissions."""
    permission, expected = COMPOSITIONS[case]
    with serving(make(permission)):
        assert {letter: send("/", headers).status for letter, headers in TOKENS.items()} == expected


@pytest.mark.parametrize("framework", ["adrf async", "adrf sync"])
@pytest.mark.parametrize("case", WITH_ASYNC)
def test_async_permissions(case: str, framework: str, send: Send) -> None:
    """They compose with the async permissions of adrf too."""
    permission, expected = WITH_ASYNC[case]
    with serving(make_view(*FRAMEWORKS[framework], permission)):
        assert {letter: send("/", headers).status for letter, headers in TOKENS.items()} == expected


def test_challenge_of_a_composition(make: MakeView, send: Send) -> None:
    """If `OAuthAuthentication` comes first, a composed refusal of a request without a token has a challenge."""
    with serving(make(HasScopes("email notes:b") & Granted | HasScopes("notes:a"))):
        answer = send("/")
        assert answer.header("WWW-Authenticate") == 'Bearer realm="api", scope="notes:a"'
        answer = send("/", bearer(NARROW))
        assert (answer.status, answer.header("WWW-Authenticate")) == (403, None)
    with serving(make(Granted | HasScopes("notes:a"), IsAuthenticated)):
        # One way requires no scopes, so all scopes in the challenge would mislead.
        assert send("/").header("WWW-Authenticate") == 'Bearer realm="api", scope="notes:a"'
    with serving(make(HasScopes | HasScopes("notes:a"), IsAuthenticated)):
        assert send("/").header("WWW-Authenticate") == 'Bearer realm="api"'
    with serving(make(HasScopes({"POST": "notes:a"}), IsAuthenticated, authentication_classes=[OAuthAuthentication])):
        assert send("/", method="PUT").status == 401


@pytest.mark.parametrize("framework", OF_OBJECTS)
def test_objects(framework: str, send: Send) -> None:
    """For an object, the decision is that for the request. `check` is called once."""
    calls: list[int] = []

    def check(request: HttpRequest, token: Any) -> bool:
        calls.append(1)
        return True

    with serving(make_view(*OF_OBJECTS[framework], HasScopes("profile", check=check))):
        assert send("/", bearer(GOOD)).status == 200
    assert calls == [1]


def test_permission_for_objects_only(send: Send) -> None:
    """A view that checks only objects gets the same refusals."""

    class Notes(APIView):
        authentication_classes = (OAuthAuthentication,)

        def get_permissions(self) -> Any:
            return [HasScopes("email")()] if self.request.user.is_anonymous or hasattr(self, "checks") else []

        def get(self, request: Any) -> Response:
            self.checks = True
            self.check_object_permissions(request, object())
            return Response("done")

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).status == 200
        answer = send("/", bearer(NARROW))
        assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
        # The classes are not known to the authentication class, but to the permission.
        assert answer.challenges[0].parameters["scope"] == "email"
        assert send("/").challenges[0].parameters["scope"] == "email"


def test_requirements(make: MakeView) -> None:
    """All other requirements have the same meaning and errors as for `require_oauth`."""
    now = int(time.time())
    with serving(make(HasScopes("profile", acr_values="gold", max_age=60))):
        with override_oauth("profile", acr="gold", auth_time=now):
            assert asgi.send("/").status == 200
        with override_oauth("profile", acr="bronze", auth_time=now):
            challenge = asgi.send("/").challenges[0]
            assert challenge.parameters["error"] == "insufficient_user_authentication"
            assert challenge.parameters["acr_values"] == "gold"
    for keywords in ({"groups": "staff"}, {"require_user": True}, {"check": lambda request, token: False}):
        with serving(make(HasScopes(**keywords))), override_oauth("profile"):
            answer = asgi.send("/")
            assert (answer.status, answer.json["error"], answer.challenges) == (403, "access_denied", [])
    with serving(make(HasScopes(sender_constrained=True))), override_oauth("profile"):
        # The protector has neither `dpop` nor `mtls`.
        assert asgi.send("/").status == 500


@pytest.mark.parametrize("is_async", [True, False])
def test_check(is_async: bool, make: MakeView, send: Send) -> None:
    """``check`` may be sync or async. It gets Django's request."""
    seen: list[Any] = []

    def check(request: HttpRequest, token: Any) -> bool:
        seen.append(type(request).__module__)
        return True

    async def acheck(request: HttpRequest, token: Any) -> bool:
        await asyncio.sleep(0)
        return check(request, token)

    with serving(make(HasScopes("profile", check=acheck if is_async else check))):
        assert send("/", bearer(GOOD)).status == 200
    assert [module.partition(".")[0] for module in seen] == ["django"]


def test_fresh(send: Send) -> None:
    """``fresh`` validates the token again, unless the guard before was fresh too."""
    asked: list[str] = []

    class Asking(TokenValidator):
        TOKEN_TYPE = "bearer"

        def authenticate_token(self, token_string: str) -> Any:
            asked.append(token_string)
            return AccessToken({"scope": "profile"})

    protector = ResourceProtector(Asking("api"))
    view = make_view(
        *FRAMEWORKS["DRF"], HasScopes("profile", fresh=True), authentication_classes=[authentication_of(protector)]
    )
    with serving(view):
        assert send("/", bearer("any")).status == 200
        assert len(asked) == 2


def test_hooks_of_validators(make: MakeView, send: Send) -> None:
    """A validator that decides about scopes or keywords itself decides here too, about the token that it found."""
    calls: list[Any] = []

    class Deciding(BearerTokenValidator):
        def validate_token(  # type: ignore[override]
            self, token: Any, scopes: Any, request: Any, tenant: Any = None
        ) -> None:
            calls.append((scopes, tenant))
            super().validate_token(token, scopes, request)

    classes = [authentication_of(ResourceProtector(Deciding(OAuth2Token)))]
    with serving(make(HasScopes("profile", tenant="a"), authentication_classes=classes)):
        assert send("/", bearer(GOOD)).status == 200
        assert calls == [(None, None), (["profile"], ["a"])]
    with serving(make(HasScopes("other", tenant="a"), authentication_classes=classes)):
        assert send("/", bearer(GOOD)).status == 403


@pytest.mark.parametrize("compose", [lambda a: a, lambda a: ~a, lambda a: a | Granted, lambda a: Granted & a])
def test_outages(compose: Any, make: MakeView, send: Send) -> None:
    """An outage neither grants nor refuses permission: it is 503 in every composition."""

    def check(request: HttpRequest, token: Any) -> bool:
        raise TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE, retry_after=7)

    with serving(make(compose(HasScopes("profile", check=check)))):
        answer = send("/", bearer(GOOD))
    assert (answer.status, answer.header("Retry-After")) == (503, "7")
    assert answer.json["error"] == "temporarily_unavailable"
    assert answer.header("Cache-Control") == "no-store"


@pytest.mark.parametrize("compose", [lambda a: a, lambda a: ~a, lambda a: a | Granted])
def test_bugs(compose: Any, make: MakeView, send: Send) -> None:
    """A bug is a 500 in every composition."""

    def check(request: HttpRequest, token: Any) -> bool:
        raise OperationalError("down")

    with serving(make(compose(HasScopes("profile", check=check)))):
        assert send("/", bearer(GOOD)).status == 500


def test_other_methods(send: Send) -> None:
    """The framework's description of a view asks for the permissions of other methods."""

    class Note(Serializer[Any]):
        text = CharField()

    class Notes(ListCreateAPIView[Any]):
        authentication_classes = (OAuthAuthentication,)
        permission_classes = (HasScopes({"POST": "email", "*": None}),)
        renderer_classes = (JSONRenderer,)
        serializer_class = Note

    class Fewer(Notes):
        permission_classes = (HasScopes({"OPTIONS": None}),)

    with serving(Notes.as_view()):
        assert "actions" in send("/", bearer(GOOD), method="OPTIONS").json
        assert "actions" not in send("/", bearer(NARROW), method="OPTIONS").json
        assert send("/", method="OPTIONS").status == 401
    with serving(Fewer.as_view()):
        assert "actions" not in send("/", bearer(GOOD), method="OPTIONS").json


def test_guard_instead_of_authentication(make: MakeView, protector: ResourceProtector, send: Send) -> None:
    """A guard around the view may validate the token: `HasScopes` uses its protector."""
    view = make(HasScopes("email"), authentication_classes=[SessionAuthentication])
    with serving(protector("profile")(view)):
        assert send("/", bearer(GOOD)).status == 200
        answer = send("/", bearer(NARROW))
    assert (answer.status, answer.challenges[0].parameters["scope"]) == (403, "email")
    assert answer.members("Vary") >= {"authorization"}


def test_other_users(make: MakeView, send: Send) -> None:
    """A response that depends on `HasScopes` is marked for caches, although another class has authenticated."""

    class Session(BaseAuthentication):
        def authenticate(self, request: Any) -> Any:
            return (OAuth2Token.objects.get(access_token=GOOD).user, None)

    with serving(make(HasScopes("email") | Granted, authentication_classes=[Session, OAuthAuthentication])):
        answer = send("/")
    assert (answer.status, answer.members("Vary")) == (200, {"authorization"})


def test_one_request_for_two_views(send: Send) -> None:
    """A decision holds as long as the request presents the same token."""
    view = make_view(*FRAMEWORKS["DRF"], HasScopes("email"))

    def both(request: HttpRequest) -> Any:
        assert view(request).status_code == 200
        request.META["HTTP_AUTHORIZATION"] = f"Bearer {NARROW}"
        return view(request)

    with serving(both):
        assert send("/", bearer(GOOD)).status == 403


def test_nothing_validates_tokens(make: MakeView, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """Without authentication class and guard, the response is 500, with a token or without one, also for ``~``."""
    for permission in (HasScopes("email"), ~HasScopes("email")):
        with serving(make(permission, authentication_classes=[SessionAuthentication])):
            assert [send("/", headers).status for headers in TOKENS.values()] == [500] * 4
    assert "must have OAuthAuthentication in its authentication_classes" in caplog.text


def test_acquire_token_instead_of_authentication(make: MakeView, send: Send) -> None:
    """The token of a protector with its own ``acquire_token`` cannot be checked again, so the response is 500."""

    class Acquiring(ResourceProtector):
        def acquire_token(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return AccessToken({"scope": "email"})

    view = make(HasScopes("email"), authentication_classes=[])
    with serving(Acquiring(BearerTokenValidator(OAuth2Token))(view)):
        assert send("/", bearer(GOOD)).status == 500


async def test_in_a_coroutine() -> None:
    """An async handler may ask again for an object: the decision is known."""
    base, _ = FRAMEWORKS["adrf async"]

    async def get(self: Any, request: Any) -> Response:
        self.check_object_permissions(request, object())
        return Response("done")

    view = await sync_to_async(make_view)(base, get, HasScopes("profile"))
    with override_oauth("profile"):
        response = await view(RequestFactory().get("/"))
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("make_class", "error", "words"),
    [
        (lambda: HasScopes("a")("b"), TypeError, "has its requirements already"),
        (lambda: HasScopes(5), TypeError, "scopes"),
        (lambda: HasScopes(" "), ValueError, "blank"),
        (lambda: HasScopes("a", max_age="x"), TypeError, "max_age"),
    ],
)
def test_wrong_arguments(make_class: Any, error: type[Exception], words: str) -> None:
    """Wrong arguments raise when the class is made."""
    with pytest.raises(error, match=words):
        make_class()


def test_subclasses(make: MakeView, send: Send) -> None:
    """A site may name a requirement, and give it a message."""

    class ReadsNotes(HasScopes("email")):  # type: ignore[misc]
        message = "Ask for email."

    with serving(make(ReadsNotes)):
        assert send("/", bearer(GOOD)).status == 200
        assert send("/", bearer(NARROW)).json == {"detail": "Ask for email."}
