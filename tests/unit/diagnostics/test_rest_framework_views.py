"""What `oauth_routes`, `assert_guarded` and the system checks know of views of Django REST framework and adrf."""

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import adrf.decorators
import adrf.views
import adrf.viewsets
import pytest
from django.core.management import CommandError, call_command
from django.urls import include, path
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import action, api_view, authentication_classes, permission_classes
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ViewSet

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.contrib.rest_framework import HasScopes, OAuthAuthentication
from async_oauth_guard.diagnostics import checks
from async_oauth_guard.diagnostics.url_checks import check_site
from async_oauth_guard.guard.metadata import make_document
from async_oauth_guard.testing import assert_guarded, iter_routes
from tests.conftest import MakeToken
from tests.site.models import OAuth2Token
from tests.sites import serving

protector = ResourceProtector(BearerTokenValidator(OAuth2Token), resource="https://api.example", metadata=True)
A, B = HasScopes("a"), HasScopes("b")


class Authentication(OAuthAuthentication):
    protector = protector


class Other(BasePermission):
    """Another permission."""


class Notes(APIView):
    """Guarded, unless a subclass changes that."""

    authentication_classes: Any = (Authentication,)
    permission_classes: Any = (A,)

    def get(self, request: Any) -> Response:
        return Response()


def like(base: Any = Notes, **attributes: Any) -> Any:
    """A subclass of a view."""
    return type("Notes", (base,), attributes)


def requirement_of(view: Any) -> tuple[bool, str]:
    """Whether the view is guarded, and the requirement that the command shows."""
    callback = view.as_view() if isinstance(view, type) else view
    with serving(callback):
        (route,) = iter_routes()
    return route.is_guarded, route.requirement


@pytest.mark.parametrize(
    ("permissions", "requirement"),
    [
        ([A], "a"),
        ((A,), "a"),
        ([HasScopes], "any token"),
        ([Other, A], "a"),
        ([A, B], "a and then b"),
        ([A & B], "a and then b"),
        ([A & Other], "a"),
        ([A | B], "a or else b"),
        ([(A | B) & Other], "a or else b"),
        ([(A & B) | A], "a and then b or else a"),
        ([A & HasScopes("c", require_user=True)], "a and then c; a user"),
        ([], None),
        ([Other], None),
        ([A | Other], None),
        ([(A & B) | Other], None),
        ([~A], None),
        ([~~A], None),
        ([~A | B], None),
        ([~A & B], "b"),
        ([A()], None),
    ],
)
def test_permissions(permissions: Any, requirement: str | None) -> None:
    """A view is guarded if each alternative of its permissions requires `HasScopes`. What `~` inverts never counts."""
    expected = (requirement is not None, requirement or "unguarded")
    assert requirement_of(like(permission_classes=permissions)) == expected
    assert requirement_of(like(adrf.views.APIView, **{**vars(Notes), "permission_classes": permissions})) == expected


@api_view(["GET"])
@authentication_classes([Authentication])
@permission_classes([A])
def sync_function(request: Any) -> Response:
    return Response()


@adrf.decorators.api_view(["GET"])
@authentication_classes([Authentication])
@permission_classes([A])
async def async_function(request: Any) -> Response:
    return Response()


async def _async_get(self: Any, request: Any) -> Response:
    return Response()


@pytest.mark.parametrize(
    "view",
    [
        sync_function,
        async_function,
        like(adrf.views.APIView, authentication_classes=[Authentication], permission_classes=[A], get=_async_get),
        Notes.as_view(authentication_classes=[Authentication], permission_classes=[A]),
        like(authentication_classes=[SessionAuthentication, Authentication]),
        like(get_parsers=lambda self: []),
        like(perform_authentication=lambda self, request: None),
    ],
)
def test_guarded(view: Any) -> None:
    """Guarded views of all kinds."""
    assert requirement_of(view) == (True, "a")


@pytest.mark.parametrize("name", ["headers", "format_kwarg", "action_map", "action"])
@pytest.mark.parametrize("base", [APIView, adrf.views.APIView])
def test_attributes_that_the_frameworks_set(name: str, base: Any) -> None:
    """A setter of the site runs before the permissions are checked, and may replace them."""

    def open_to_everybody(self: Any, value: Any) -> None:
        self.permission_classes = []

    setter = {name: property(lambda self: None, open_to_everybody)}
    assert requirement_of(like(base, **vars(Notes))) == (True, "a")
    assert requirement_of(like(base, **{**vars(Notes), **setter})) == (False, "unguarded")


def test_view_sets() -> None:
    """Each route of a view set has the permissions of its action."""

    class Set(ViewSet):
        authentication_classes = (Authentication,)
        permission_classes = (A,)

        def list(self, request: Any) -> Response:
            return Response()

        @action(detail=False, permission_classes=[B])
        def own(self, request: Any) -> Response:
            return Response()

        @action(detail=False, permission_classes=[Other])
        def open(self, request: Any) -> Response:
            return Response()

    class AsyncSet(adrf.viewsets.ViewSet):
        authentication_classes = (Authentication,)
        permission_classes = (A,)

        async def list(self, request: Any) -> Response:
            return Response()

    router = SimpleRouter()
    router.register("set", Set, basename="set")
    router.register("async", AsyncSet, basename="async")
    with serving([path("", include(router.urls))]):
        routes = {route.name: (route.kind, route.requirement) for route in iter_routes()}
    assert routes == {
        "set-list": ("class", "a"),
        "set-own": ("class", "b"),
        "set-open": ("class", "unguarded"),
        "async-list": ("class", "a"),
    }


def _set_permissions(self: Any, *args: Any) -> Any:
    self.permission_classes = []


def _pass(self: Any, *args: Any, **kwargs: Any) -> Any:
    return None


class Forging(A):  # type: ignore[misc, valid-type]
    def has_permission(self, request: Any, view: Any) -> bool:
        return True


@pytest.mark.parametrize(
    "view",
    [
        like(authentication_classes=[]),
        like(authentication_classes=[SessionAuthentication]),
        like(permission_classes=[Forging]),
        like(permission_classes=property(lambda self: [A])),
        like(get_permissions=lambda self: []),
        like(check_permissions=_pass),
        like(permission_denied=_pass),
        like(initial=_pass),
        like(get_authenticators=lambda self: []),
        like(perform_authentication=_set_permissions),
        like(determine_version=_set_permissions),
        like(setup=lambda self, request: setattr(self, "permission_classes", [])),
        like(dispatch=lambda self, request: Response()),
        like(adrf.views.APIView, **{**vars(Notes), "sync_dispatch": _pass}),
        like(adrf.views.APIView, **{**vars(Notes), "check_sync_permissions": _pass}),
        Notes.as_view(permission_classes=[Other]),
        Notes.as_view(authentication_classes=[]),
        Notes.as_view(initial=_pass),
    ],
)
def test_unguarded(view: Any) -> None:
    """In doubt, a view is unguarded."""
    assert requirement_of(view) == (False, "unguarded")


def test_handlers() -> None:
    """Guards on handlers are shown. The framework's own ``options`` is not guarded by them."""
    get = protector("a")(lambda self, request: Response())
    assert requirement_of(like(APIView, get=get)) == (False, "GET: a; OPTIONS: unguarded")
    assert requirement_of(like(APIView, get=get, metadata_class=None)) == (True, "GET: a")
    assert requirement_of(like(APIView, get=get, http_method_names=["get"])) == (True, "GET: a")
    assert requirement_of(like(APIView, get=get, http_method_names=["get"], initialize_request=_set_permissions)) == (
        False,
        "unguarded",
    )
    assert requirement_of(like(Notes, get=get)) == (True, "a; and GET: a")


def test_handlers_of_view_sets() -> None:
    """A view set binds its actions to methods."""

    class Set(ViewSet):
        metadata_class = None

        @protector("a")
        def list(self, request: Any) -> Response:
            return Response()

        def create(self, request: Any) -> Response:
            return Response()

    assert requirement_of(Set.as_view({"get": "list"})) == (True, "GET: a; HEAD: a")
    assert requirement_of(Set.as_view({"get": "list", "post": "create"}))[0] is False
    assert requirement_of(like(Set, metadata_class=object).as_view({"get": "list"}))[0] is False


def test_assert_guarded() -> None:
    """The assertion accepts a view, its class, and a route."""
    with serving([path("notes", Notes.as_view())]):
        assert_guarded()
        assert_guarded("/notes")
    assert_guarded(Notes)
    assert_guarded(Notes.as_view())
    with pytest.raises(AssertionError, match="unguarded"):
        # Its actions may have other permissions.
        assert_guarded(like(ViewSet, authentication_classes=[Authentication], permission_classes=[A]))
    with pytest.raises(AssertionError, match="unguarded"):
        assert_guarded(like(permission_classes=[~A]))


def test_metadata() -> None:
    """The metadata of the protector names the scopes of `HasScopes` too, also those that no request needs."""

    class Set(ModelViewSet[Any]):
        authentication_classes = (Authentication,)
        permission_classes = (HasScopes("set") | Other,)

    patterns = [
        path("notes", Notes.as_view(permission_classes=[A & B])),
        path("set", Set.as_view({"get": "list"})),
        path(
            "others", Notes.as_view(authentication_classes=[OAuthAuthentication], permission_classes=[HasScopes("x")])
        ),
    ]
    with serving(patterns):
        assert make_document(protector)["scopes_supported"] == ["a", "b", "set"]


@pytest.mark.django_db
@pytest.mark.parametrize(("scope", "verdict"), [("a", "accepted"), ("b", "accepted"), ("c", "refused")])
def test_explain(scope: str, verdict: str, make_token: MakeToken) -> None:
    """`oauth_explain --url` checks a token against the alternatives of a view."""
    token = make_token(scope=scope)
    with serving([path("notes", Notes.as_view(permission_classes=[A | B]))]):
        output = io.StringIO()
        with contextlib.suppress(SystemExit, CommandError):
            call_command("oauth_explain", url="/notes", json=True, stdin=io.StringIO(token.access_token), stdout=output)
    assert json.loads(output.getvalue())["outcome"] == verdict


def test_protector_without_validators(no_other_protectors: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """E001: the protector of an authentication class counts as used."""
    empty = ResourceProtector()
    monkeypatch.setattr(checks, "ALL_PROTECTORS", {empty})
    assert [message for message in checks.check_guards(None) if str(message.id).endswith("E001")] == []
    type("Used", (OAuthAuthentication,), {"protector": empty})
    assert [message for message in checks.check_guards(None) if str(message.id).endswith("E001")] != []


# System checks.


Messages = Callable[..., list[str]]


@pytest.fixture
def messages(no_other_protectors: None) -> Messages:
    """The ids of the messages about a view."""

    def check(view: Any) -> list[str]:
        with serving(view.as_view() if isinstance(view, type) else view):
            return [f"{message.id}".partition(".")[2] for message in check_site(None)]

    return check


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (Notes, []),
        (like(authentication_classes=[Authentication, SessionAuthentication]), []),
        (like(authentication_classes=[Authentication, OAuthAuthentication]), []),
        (like(authentication_classes=[SessionAuthentication, Authentication]), ["W027"]),
        (like(authentication_classes=[SessionAuthentication]), ["W028"]),
        (like(authentication_classes=[], permission_classes=[Other | A]), ["W028"]),
        (like(authentication_classes=[SessionAuthentication], permission_classes=[IsAuthenticated]), []),
        (protector(like(authentication_classes=[SessionAuthentication]).as_view()), []),
        (lambda request: None, []),
        (like(permission_classes=[HasScopes("a", tenant="b")]), ["E006"]),
    ],
)
def test_checks(view: Any, expected: list[str], messages: Messages) -> None:
    """W027: another class comes first. W028: nothing validates tokens. E006: a keyword that no validator knows."""
    assert messages(view) == expected


def test_once_for_each_view(messages: Messages) -> None:
    """A view with two routes gets one message."""
    view = like(authentication_classes=[SessionAuthentication]).as_view()
    assert messages([path("a", view), path("b", view)]) == ["W028"]
