"""Which operations of Django Ninja count as guarded, and what the system checks say about them."""

import asyncio
import contextlib
import functools
import inspect
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.test import override_settings
from django.urls import path
from ninja import NinjaAPI, Router
from ninja.operation import Operation
from ninja.security import APIKeyHeader

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.contrib.ninja import OAuth, install
from async_oauth_guard.diagnostics.review import mark_reviewed
from async_oauth_guard.diagnostics.routes import Route, iter_routes
from async_oauth_guard.diagnostics.url_checks import check_site
from async_oauth_guard.guard.ninja_operations import operations_of
from async_oauth_guard.testing import assert_guarded
from tests.conftest import MakeToken
from tests.site.models import OAuth2Token
from tests.sites import serving

protector = ResourceProtector(BearerTokenValidator(OAuth2Token))


CSRF = ["django.middleware.csrf.CsrfViewMiddleware"]


class Guard(OAuth):
    protector = protector


class Wrapping(Guard):
    """Looks like `OAuth`, but lets everyone in."""

    @functools.wraps(OAuth.__call__)
    def __call__(self, request: HttpRequest) -> Any:
        return True


class Open(Guard):
    """Lets everyone in."""

    def __call__(self, request: HttpRequest) -> Any:
        return True


class Flowing(Guard):
    """Lets everyone in, too."""

    def _flow(self, request: HttpRequest) -> Any:
        yield from ()
        return True


class ApiKey(APIKeyHeader):
    def authenticate(self, request: HttpRequest, key: str | None) -> None:
        return None


def view(request: HttpRequest) -> None:
    raise NotImplementedError


def new_view() -> Any:
    def operation(request: HttpRequest) -> None:
        raise NotImplementedError

    return operation


def make_api(**options: Any) -> NinjaAPI:
    api = NinjaAPI(openapi_url=None, **options)
    install(api)
    return api


def route_of(api: NinjaAPI) -> Route:
    """The route of the operations, of which there is one path."""
    with serving([path("", api.urls)]):
        return next(iter(iter_routes()))


@pytest.mark.parametrize(
    ("auth", "requirement"),
    [
        (Guard("profile"), "GET: profile"),
        ([Guard("profile")], "GET: profile"),
        ([Guard("profile"), Guard(["email", "admin"])], "GET: profile or else email or admin"),
        ([Guard("profile"), ApiKey()], None),
        ([ApiKey(), Guard("profile")], None),
        (ApiKey(), None),
        (Open("profile"), None),
        (Wrapping("profile"), None),
        (Flowing("profile"), None),
        (lambda request: True, None),
        (None, None),
    ],
)
def test_authenticators(auth: Any, requirement: str | None) -> None:
    """An operation is guarded if each of its authenticators is OAuth, because each is an alternative."""
    api = make_api(auth=auth)
    api.get("/notes")(new_view())
    route = route_of(api)
    assert route.is_guarded is (requirement is not None)
    assert route.requirement == (requirement or "unguarded")


def test_each_method() -> None:
    """A path is guarded if the operation of each of its methods is."""
    api = make_api()
    api.get("/notes", auth=Guard("profile"))(new_view())
    api.post("/notes")(protector("email")(new_view()))
    # The first operation of a method is the one that runs.
    api.get("/notes")(new_view())
    route = route_of(api)
    assert route.requirement == "GET: profile; POST: email"
    assert route.is_guarded
    api = make_api()
    api.get("/notes", auth=Guard("profile"))(new_view())
    api.post("/notes")(new_view())
    route = route_of(api)
    assert route.requirement == "GET: profile; POST: unguarded"
    assert not route.is_guarded


def test_several_guards() -> None:
    """A request passes the guards in front of Ninja, then OAuth, then what is only around the function."""
    api = make_api()
    api.add_decorator(protector("admin"), mode="view")
    function = protector("phone")(new_view())
    del function._ninja_contribute_to_operation
    api.get("/notes", auth=Guard("profile"))(protector("email")(function))
    assert route_of(api).requirement == "GET: admin and then email and then profile and then phone"


def test_decorators_of_a_router() -> None:
    """They guard each operation of the router."""
    api, router = make_api(), Router()
    router.add_decorator(protector("profile"), mode="view")
    router.get("/notes")(new_view())
    api.add_router("", router)
    assert route_of(api).requirement == "GET: profile"


class OwnOperation(Operation):
    """May skip the authenticators."""


def test_changed_operations() -> None:
    """If the site's code may replace what Ninja runs, authenticators do not count; a guard in front of it does."""
    changes: list[Any] = [
        lambda operation: setattr(operation, "_run_checks", lambda request: None),
        lambda operation: setattr(operation, "run", lambda request: None),
        lambda operation: setattr(operation, "run", operation._set_auth),
        lambda operation: setattr(operation, "__class__", OwnOperation),
    ]
    for change in changes:
        api = make_api(auth=Guard("profile"))
        api.get("/notes")(new_view())
        api.get("/tags")(protector("email")(new_view()))
        with serving([path("", api.urls)]):
            for route in iter_routes():
                for operation in operations_of(route.callback):
                    change(operation)
            requirements = {route.path: route.requirement for route in iter_routes()}
        assert requirements["/notes"] == "unguarded"
        assert requirements["/tags"] in ("GET: email", "unguarded")


def test_names() -> None:
    """A route is named after the functions of its operations."""
    api = make_api()
    api.get("/notes")(protector("email")(view))
    api.post("/notes", auth=Guard())(view)
    route = route_of(api)
    assert (route.view, route.kind, route.is_async) == (f"{__name__}.view", "operation", False)


def test_reviewed() -> None:
    """A route is reviewed if the functions of all its unguarded operations are."""
    open_view = mark_reviewed("open prices")(new_view())
    api = make_api()
    api.get("/notes")(open_view)
    api.post("/notes", auth=Guard("email"))(new_view())
    assert route_of(api).requirement == "GET: unguarded; POST: email; reviewed: open prices"
    api = make_api()
    api.get("/notes")(open_view)
    api.post("/notes")(new_view())
    assert route_of(api).review is None


def test_assert_guarded() -> None:
    """It names the operation that is open."""
    api = make_api()
    api.get("/notes", auth=Guard("profile"))(new_view())
    with serving([path("api/", api.urls)]):
        assert_guarded("/api/notes")
    api = make_api()
    api.get("/notes")(view)
    with serving([path("api/", api.urls)]), pytest.raises(AssertionError, match=rf"/api/notes \({__name__}.view\)"):
        assert_guarded("/api/notes")


def test_metadata() -> None:
    """The metadata names the scopes of operations, however they are guarded."""
    from async_oauth_guard.guard.metadata import make_document

    described = ResourceProtector(
        BearerTokenValidator(OAuth2Token),
        resource="https://api.example/",
        metadata={"authorization_servers": ["https://as.example"]},
    )
    auth = type("OAuth", (OAuth,), {"protector": described})
    api = make_api()
    api.get("/a", auth=auth("profile"))(new_view())
    api.get("/b")(described("email")(new_view()))
    with serving([path("", api.urls)]):
        assert make_document(described)["scopes_supported"] == ["email", "profile"]


# The checks.


def messages(*apis: NinjaAPI, **settings: Any) -> list[str]:
    with serving([path(f"{number}/", api.urls) for number, api in enumerate(apis)], **settings):
        return [f"{each.id}: {each.msg} {each.hint}" for each in check_site(None)]


def test_open_routes() -> None:
    """E008: the guard above guards one route of a function, and others are open."""
    api = make_api(urls_namespace="a")
    protector("profile")(api.get("/a")(api.get("/b")(view)))
    api.post("/b", auth=Guard())(view)
    other = make_api(urls_namespace="b")
    other.get("/c")(view)
    other.get("/d", auth=ApiKey())(view)
    [message] = messages(api, other)
    assert message.startswith(
        f"async_oauth_guard.E008: {__name__}.view is guarded at /0/a, but not at /0/b, /1/c, /1/d. A guard above"
    )
    assert "below" in message


def test_no_open_routes() -> None:
    """No E008: the guard is below, or in front of all, or the open routes are allowed."""
    api = make_api()
    api.get("/a")(api.get("/b")(protector("profile")(new_view())))
    assert messages(api) == []
    api = make_api()
    function = new_view()
    protector("profile")(api.get("/a")(api.get("/b", auth=Guard())(function)))
    assert messages(api) == []
    api = make_api()
    protector("profile")(api.get("/a")(api.get("/b")(new_view())))
    assert [each[:23] for each in messages(api)] == ["async_oauth_guard.E008:"]
    allowed = {"VALIDATORS": [], "UNGUARDED": ["/0/b", "/0/"]}
    assert messages(api, OAUTH_GUARD=allowed) == []
    wrong = {"UNGUARDED": 1}
    assert [each[:23] for each in messages(api, OAUTH_GUARD=wrong)] == ["async_oauth_guard.E008:"]


def test_install_is_missing() -> None:
    """W029: once for each API that uses OAuth without `install`."""
    api = NinjaAPI(openapi_url=None, title="Notes")
    api.get("/a", auth=Guard())(new_view())
    api.get("/b", auth=[ApiKey(), Guard()])(new_view())
    [message] = messages(api)
    assert message.startswith("async_oauth_guard.W029: Operations of the NinjaAPI 'Notes' use OAuth")
    without = NinjaAPI(openapi_url=None)
    without.get("/a", auth=ApiKey())(protector(new_view()))
    assert messages(without) == []


def test_async_generators() -> None:
    """A guarded generator is one for Ninja, which registers it as such. It yields nothing if nobody has checked."""

    @protector
    async def lines(request: HttpRequest) -> AsyncIterator[str]:
        yield "never"

    assert inspect.isasyncgenfunction(lines)
    with pytest.raises(PermissionDenied, match="directly above the async generator, or next to Django Ninja's"):
        asyncio.run(lines(HttpRequest()).__anext__())


@pytest.mark.django_db
def test_explain(make_token: MakeToken, capsys: pytest.CaptureFixture[str]) -> None:
    """The token is explained for the alternative that lets it in, or else for the last."""
    api = make_api(auth=[Guard("admin"), Guard("profile"), Guard("email")])
    api.get("/notes")(new_view())
    for scope, requirement, status in (("profile", "profile", 200), ("none", "email", 403)):
        token = make_token(OAuth2Token, access_token=f"explained-{scope}", scope=scope)
        with serving([path("", api.urls)]), contextlib.suppress(SystemExit, CommandError):
            call_command("oauth_explain", url="/notes", stdin=io.StringIO(token.access_token))
        printed = capsys.readouterr().out
        assert f"The guard requires: {requirement}" in printed
        assert f"Status {status}" in printed


@pytest.mark.parametrize(
    ("optional", "middleware", "is_exempt"), [(False, [], True), (True, [], False), (True, CSRF, True)]
)
def test_exemptions(optional: bool, middleware: list[str], is_exempt: bool) -> None:
    """What is in front of Ninja is exempt from Django's CSRF check where the guarded function is."""
    function = protector("profile", optional=optional)(new_view())
    make_api().get("/notes")(function)
    with override_settings(MIDDLEWARE=middleware):
        assert bool(function.csrf_exempt) is is_exempt
        assert bool(function._ninja_operation.run.csrf_exempt) is is_exempt
