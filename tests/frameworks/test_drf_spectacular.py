"""The OpenAPI documents that drf-spectacular makes of guarded views."""

import json
from collections.abc import Iterator
from typing import Any

import openapi_spec_validator
import pytest
from django.urls import path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.validation import validate_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.serializers import CharField, Serializer
from rest_framework.viewsets import ViewSet

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.contrib.drf_spectacular import AutoSchema
from async_oauth_guard.contrib.rest_framework import HasScopes, OAuthAuthentication
from async_oauth_guard.testing import FakeAuthorizationServer
from tests.frameworks.rest_views import authentication_of
from tests.kit.guarded_sites import CLIENTS, verifying
from tests.site.models import OAuth2Token

pytestmark = pytest.mark.django_db

GIVEN = {"OAUTH2_AUTHORIZATION_URL": "https://sso/authorize", "OAUTH2_TOKEN_URL": "https://sso/token"}
A, B = HasScopes("a"), HasScopes("b c")


class Note(Serializer[Any]):
    """What the operations respond with."""

    text = CharField()


class Notes(GenericAPIView[Any]):
    """A view with two operations."""

    serializer_class = Note
    authentication_classes: Any = (OAuthAuthentication,)
    permission_classes: Any = (A,)
    schema = AutoSchema()

    def get(self, request: Any) -> Response:
        raise NotImplementedError

    def post(self, request: Any) -> Response:
        raise NotImplementedError


def like(**attributes: Any) -> Any:
    return type("Notes", (Notes,), attributes)


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    GENERATOR_STATS.reset()
    yield
    assert [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache] == []


def document_of(*views: Any, **settings: Any) -> Any:
    """The document of a site with these views, which is valid."""
    patterns = [
        path(f"notes{number}/", view.as_view() if isinstance(view, type) else view) for number, view in enumerate(views)
    ]
    with patched_settings({**GIVEN, **settings}):
        document = SchemaGenerator(patterns=patterns).get_schema(public=True)
    validate_schema(document)
    # The standard's own schema, not that of the framework.
    openapi_spec_validator.validate(json.loads(json.dumps(document)))
    return document


def security_of(document: Any, method: str = "get", number: int = 0) -> Any:
    return document["paths"][f"/notes{number}/"][method].get("security")


@pytest.mark.parametrize(
    ("permissions", "security"),
    [
        ([A], [{"oauth2": ["a"]}]),
        ([A, B], [{"oauth2": ["a", "b", "c"]}]),
        ([A & B], [{"oauth2": ["a", "b", "c"]}]),
        ([A | B], [{"oauth2": ["a"]}, {"oauth2": ["b", "c"]}]),
        ([HasScopes(["a", "b"])], [{"oauth2": ["a"]}, {"oauth2": ["b"]}]),
        ([HasScopes(["a", "b"]) & HasScopes("c")], [{"oauth2": ["a", "c"]}, {"oauth2": ["b", "c"]}]),
        ([A | IsAuthenticated], [{"oauth2": ["a"]}, {"oauth2": []}]),
        ([A & ~B], [{"oauth2": ["a"]}]),
        ([HasScopes], [{"oauth2": []}]),
        ([IsAuthenticated], [{"oauth2": []}]),
        ([AllowAny], [{"oauth2": []}, {}]),
        ([], [{"oauth2": []}]),
    ],
)
def test_scopes(permissions: Any, security: Any) -> None:
    """Each alternative of the permissions is an alternative of the operation."""
    assert security_of(document_of(like(permission_classes=permissions))) == security


def test_methods() -> None:
    """An operation has the scopes of its method. One that is never let in has no way."""
    document = document_of(like(permission_classes=[HasScopes({"GET": "a", "POST": "b"})]))
    assert security_of(document) == [{"oauth2": ["a"]}]
    assert security_of(document, "post") == [{"oauth2": ["b"]}]
    assert security_of(document_of(like(permission_classes=[HasScopes({"GET": "a"})])), "post") is None


def test_permissions_by_method() -> None:
    """A view may choose its permissions itself."""
    view = like(get_permissions=lambda self: [(A | B)() if self.request.method == "GET" else B()])
    document = document_of(view)
    assert security_of(document) == [{"oauth2": ["a"]}, {"oauth2": ["b", "c"]}]
    assert security_of(document, "post") == [{"oauth2": ["b", "c"]}]


def test_scheme() -> None:
    """The scheme has the given URLs, and names all scopes, with descriptions if there are any."""
    document = document_of(Notes, like(permission_classes=[B]), OAUTH2_SCOPES={"a": "Read notes", "z": "Not used"})
    assert document["components"]["securitySchemes"] == {
        "oauth2": {
            "type": "oauth2",
            "flows": {
                "authorizationCode": {
                    "authorizationUrl": "https://sso/authorize",
                    "tokenUrl": "https://sso/token",
                    "scopes": {"a": "Read notes", "b": "", "c": ""},
                }
            },
        }
    }


def test_urls_of_the_issuer() -> None:
    """Without given URLs, those in the metadata of the issuer are used."""
    with FakeAuthorizationServer(clients=CLIENTS) as server:
        issuer = server.issuer
        view = like(authentication_classes=[authentication_of(ResourceProtector(verifying(issuer)))])
        document = document_of(view, OAUTH2_AUTHORIZATION_URL=None, OAUTH2_TOKEN_URL=None)
    (scheme,) = document["components"]["securitySchemes"].values()
    (flow,) = scheme["flows"].values()
    assert flow["tokenUrl"].startswith(issuer)


def test_unknown_urls() -> None:
    """If no URL is known, the scheme is that of bearer tokens, and requirements name no scopes (OpenAPI 3.0)."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    view = like(authentication_classes=[authentication_of(protector)])
    document = document_of(view, OAUTH2_AUTHORIZATION_URL=None, OAUTH2_TOKEN_URL=None)
    assert document["components"]["securitySchemes"] == {"Authentication": {"type": "http", "scheme": "bearer"}}
    assert security_of(document) == [{"Authentication": []}]


def test_several_protectors() -> None:
    """Each protector has a scheme, with the name of its class if that is free."""
    first, second = (ResourceProtector(BearerTokenValidator(OAuth2Token)) for _ in range(2))
    views = [
        Notes,
        like(authentication_classes=[authentication_of(first), SessionAuthentication]),
        like(authentication_classes=[authentication_of(second)]),
        like(authentication_classes=[authentication_of(first)]),
    ]
    document = document_of(*views)
    assert [security_of(document, number=number) for number in range(4)] == [
        [{"oauth2": ["a"]}],
        [{"Authentication": ["a"]}, {"cookieAuth": []}],
        [{"Authentication_3": ["a"]}],
        [{"Authentication": ["a"]}],
    ]


def test_responses() -> None:
    """Operations share the responses of refusals, unless they declare their own."""
    document = document_of(Notes, like(authentication_classes=[SessionAuthentication], permission_classes=[]))
    responses = document["paths"]["/notes0/"]["get"]["responses"]
    assert set(responses) == {"200", "401", "403", "503"}
    assert responses["503"] == {"$ref": "#/components/responses/OAuth503"}
    assert document["components"]["responses"]["OAuth401"]["headers"] == {
        "WWW-Authenticate": {"schema": {"type": "string"}}
    }
    assert set(document["paths"]["/notes1/"]["get"]["responses"]) == {"200"}


def test_guards_of_handlers_and_classes() -> None:
    """The document has the scopes of guards on handlers and classes too."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))

    @protector("whole")
    class Whole(Notes):
        authentication_classes = (SessionAuthentication,)
        permission_classes = ()

        @protector(["a", "b"], optional=True)
        def get(self, request: Any) -> Response:
            raise NotImplementedError

    @protector("whole")
    class Both(Notes):
        authentication_classes = (authentication_of(protector), SessionAuthentication)

    document = document_of(Whole, Both)
    assert security_of(document) == [{"oauth2": ["whole", "a"]}, {"oauth2": ["whole", "b"]}, {"oauth2": ["whole"]}]
    assert security_of(document, "post") == [{"oauth2": ["whole"]}]
    assert security_of(document, number=1) == [{"oauth2": ["whole", "a"]}]
    assert "503" in document["paths"]["/notes0/"]["get"]["responses"]


def test_view_sets() -> None:
    """Operations of a view set have the permissions and guards of their actions."""

    class Set(ViewSet):
        authentication_classes = (OAuthAuthentication,)
        schema = AutoSchema()
        serializer_class = Note

        def get_permissions(self) -> Any:
            return [A() if self.action == "list" else B()]

        def list(self, request: Any) -> Response:
            raise NotImplementedError

        def create(self, request: Any) -> Response:
            raise NotImplementedError

    document = document_of(Set.as_view({"get": "list", "post": "create"}))
    assert security_of(document) == [{"oauth2": ["a"]}]
    assert security_of(document, "post") == [{"oauth2": ["b", "c"]}]


def test_excluded_operations() -> None:
    """An operation that the view excludes stays excluded."""

    class Excluding(AutoSchema):
        def is_excluded(self) -> bool:
            return self.method == "POST"

    document = document_of(like(schema=Excluding()))
    assert set(document["paths"]["/notes0/"]) == {"get"}
