"""Guards on views of adrf: each row of its table in ``docs/frameworks.md``."""

import sys
from typing import Any

import pytest
from adrf.decorators import api_view
from adrf.generics import ListAPIView
from adrf.routers import SimpleRouter
from adrf.views import APIView
from adrf.viewsets import ViewSet
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from async_oauth_guard import AccessToken, BearerTokenValidator, ResourceProtector
from tests.answers import bearer
from tests.conftest import Send
from tests.frameworks.conftest import GOOD
from tests.frameworks.grid import REQUIRED, check_answers, site
from tests.frameworks.rows import shows
from tests.frameworks.ways import (
    WAYS,
    Framework,
    MakeView,
    RestWitness,
    ViewGuards,
    decorated_method,
    generic_view,
)
from tests.site.models import OAuth2Token
from tests.sites import serving

pytestmark = pytest.mark.django_db

ASYNC = Framework(APIView, ListAPIView, ViewSet, SimpleRouter, api_view, is_async=True, list="alist")
SYNC = Framework(APIView, ListAPIView, ViewSet, SimpleRouter, api_view, is_async=False)

BY_METHOD_DECORATOR = (decorated_method, generic_view)


@shows("each way above, with `async def`")
@pytest.mark.parametrize(
    "make",
    [make for make in WAYS.values() if make not in BY_METHOD_DECORATOR],
    ids=[name for name, make in WAYS.items() if make not in BY_METHOD_DECORATOR],
)
def test_ways(make: MakeView, protector: ResourceProtector, send: Send) -> None:
    """However an async view is guarded, it answers like a guarded function of Django."""
    check_answers(ASYNC, make, protector, send)


@shows("`method_decorator` on an `async def` handler")
@pytest.mark.parametrize("make", BY_METHOD_DECORATOR)
def test_method_decorator(make: MakeView, protector: ResourceProtector, send: Send) -> None:
    """On Python 3.11, adrf takes what Django's decorator has made for a plain ``def``, and fails: nobody gets in."""
    if sys.version_info >= (3, 12):
        check_answers(ASYNC, make, protector, send)
        return
    witness = RestWitness()
    with serving(site(make(ASYNC, witness, ViewGuards(protector, REQUIRED)), protector)):
        assert send("/notes/", bearer(GOOD)).status == 500
    assert witness.entered == 0


@shows("each way above, with `def`")
@pytest.mark.parametrize("make", [make for make in WAYS.values() if make is not generic_view])
def test_sync_ways(make: MakeView, protector: ResourceProtector, send: Send) -> None:
    """So does a plain view of adrf."""
    check_answers(SYNC, make, protector, send)


@shows("a `def` action in a view set with `async def` ones")
def test_mixed_view_set(protector: ResourceProtector, send: Send) -> None:
    """Adrf runs the plain action on a thread, and so does the guard."""
    witness = RestWitness()

    class Notes(ViewSet):
        @protector("profile")
        def list(self, request: Any) -> Response:
            return witness.answer(request)

        @protector("profile")
        async def create(self, request: Any) -> Response:
            return witness.answer(request)

    assert Notes.view_is_async
    with serving(Notes.as_view({"get": "list", "post": "create"})):
        for method in ("GET", "POST"):
            assert send("/", method=method).status == 401
            assert send("/", bearer(GOOD), method=method).json == {"token": True, "user": "alice"}
    assert witness.entered == 2


@shows("`request.oauth_token`, `AccessToken.of(request)`, `set_user=True`")
def test_both_requests_have_the_token(send: Send) -> None:
    """The framework's request and Django's inside have the token and its user."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), set_user=True)
    seen: list[Any] = []

    class Notes(APIView):
        @protector
        async def get(self, request: Any) -> Response:
            for each in (request, request._request):
                assert vars(each)["oauth_token"] == await OAuth2Token.objects.aget(access_token=GOOD)
                seen.append((AccessToken.of(each).subject, str(each.user.pk), str((await each.auser()).pk)))
            return Response("seen")

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).status == 200
    pk = str(OAuth2Token.objects.get(access_token=GOOD).user_id)
    assert seen == [(pk, pk, pk)] * 2


@shows("the framework's permissions")
def test_permissions(protector: ResourceProtector, send: Send) -> None:
    """`IsAuthenticated` runs before the guard of a handler: a token does not log a user in to the framework."""

    class Notes(APIView):
        permission_classes = (IsAuthenticated,)

        @protector
        async def get(self, request: Any) -> Response:
            raise AssertionError("no request is let in here")

    with serving(Notes.as_view()):
        assert send("/", bearer(GOOD)).status == 403
