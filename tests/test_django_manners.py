"""How a guarded view gets on with Django's own middlewares and decorators."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.template.response import SimpleTemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.deprecation import MiddlewareMixin
from django.views import View
from django.views.decorators.cache import cache_control, cache_page
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.vary import vary_on_headers

from async_oauth_guard import AccessToken, BearerTokenValidator, ProtectedResourceMixin, ResourceProtector
from tests.answers import RawHeaders, bearer
from tests.conftest import MakeToken, Send
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("token")]

GOOD = "token-of-alice"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
LOGIN = [*SESSIONS, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
SECRET = b"a" * 32
MATCHING: RawHeaders = [(b"cookie", b"csrftoken=" + SECRET), (b"x-csrftoken", SECRET)]


@pytest.fixture
def token(make_token: MakeToken) -> OAuth2Token:
    row: OAuth2Token = make_token(access_token=GOOD)
    return row


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))


def post_class(witness: Witness, mode: str) -> type[View]:
    class SyncView(View):
        def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    class AsyncView(View):
        async def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    return SyncView if mode == "def" else AsyncView


# Ways to guard a whole view, with the user's own wish (a decorator, or none) below the guard.


def guard_function(guard: Any, wish: Any, witness: Witness, mode: str) -> Any:
    return guard(wish(witness.view(mode)))


def guard_class(guard: Any, wish: Any, witness: Witness, mode: str) -> Any:
    return guard(method_decorator(wish, name="dispatch")(post_class(witness, mode))).as_view()


def guard_as_view(guard: Any, wish: Any, witness: Witness, mode: str) -> Any:
    return guard(wish(post_class(witness, mode).as_view()))


def guard_dispatch(guard: Any, wish: Any, witness: Witness, mode: str) -> Any:
    cls = method_decorator(wish, name="dispatch")(post_class(witness, mode))
    return method_decorator(guard, name="dispatch")(cls).as_view()


WAYS = {
    "function": guard_function,
    "class": guard_class,
    "as_view()": guard_as_view,
    "dispatch": guard_dispatch,
}
everyway = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
sync_and_async = pytest.mark.parametrize("mode", MODES)


def unchanged(view: Any) -> Any:
    return view


# CSRF


@sync_and_async
@everyway
def test_required_token_needs_no_csrf_cookie(way: Any, mode: str, protector: ResourceProtector, send: Send) -> None:
    """R130: where a token is required, a POST needs no CSRF token, and without a token it is 401, not 403."""
    with serving(way(protector("profile"), unchanged, Witness(), mode), MIDDLEWARE=[CSRF]):
        assert send("/", bearer(GOOD), method="POST").status == 200
        assert send("/", method="POST").status == 401


@sync_and_async
@everyway
def test_optional_token_keeps_csrf_for_browsers(way: Any, mode: str, protector: ResourceProtector, send: Send) -> None:
    """R130: where the token is optional, a POST without one is checked as Django would, and one with it is not."""
    witness = Witness()
    with serving(way(protector(optional=True), unchanged, witness, mode), MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 403
        assert witness.entered == 0
        assert send("/", MATCHING, method="POST").status == 200
        assert send("/", bearer(GOOD), method="POST").status == 200
        assert send("/", bearer("unknown"), method="POST").status == 401


@sync_and_async
@everyway
def test_exemption_below_the_guard_is_the_users_wish(
    way: Any, mode: str, protector: ResourceProtector, send: Send
) -> None:
    """R130: an optional view that is ``csrf_exempt`` below the guard is never checked."""
    with serving(way(protector(optional=True), csrf_exempt, Witness(), mode), MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 200


@sync_and_async
def test_exemption_above_the_guard_does_not_count(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R130: above the guard the mark is no wish of the user's, so an optional view is still checked."""
    with serving(csrf_exempt(protector(optional=True)(Witness().view(mode))), MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 403
        assert send("/", bearer(GOOD), method="POST").status == 200


@sync_and_async
def test_without_the_middleware_there_is_no_check(mode: str, protector: ResourceProtector, send: Send) -> None:
    """A site without Django's CSRF middleware does not get its check from the guard."""
    with serving(protector(optional=True)(Witness().view(mode))):
        assert send("/", method="POST").status == 200


@sync_and_async
def test_single_method_keeps_the_check(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R130: a single guarded method is not exempted, which would expose the others."""
    witness = Witness()
    guard = protector("profile")

    class SyncView(View):
        @guard
        def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    class AsyncView(View):
        @guard
        async def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    with serving((SyncView if mode == "def" else AsyncView).as_view(), MIDDLEWARE=[CSRF]):
        assert send("/", bearer(GOOD), method="POST").status == 403
        assert send("/", [*bearer(GOOD), *MATCHING], method="POST").status == 200


class CountingCsrfMiddleware(CsrfViewMiddleware):
    """A site's own, which has more to say."""

    def process_view(self, request: HttpRequest, callback: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        if request.headers.get("X-Trusted") == "yes":
            return None
        if request.headers.get("X-Trusted") == "no":
            return HttpResponse("not you", status=418)
        return super().process_view(request, callback, args, kwargs)


@sync_and_async
def test_subclass_of_the_middleware_is_asked(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R130: it is the installed middleware's own ``process_view`` that decides, a subclass's too."""
    middleware = [f"{__name__}.{CountingCsrfMiddleware.__qualname__}"]
    with serving(protector(optional=True)(Witness().view(mode)), MIDDLEWARE=middleware):
        assert send("/", method="POST").status == 403
        assert send("/", [(b"x-trusted", b"yes")], method="POST").status == 200
        answer = send("/", [(b"x-trusted", b"no")], method="POST")
        assert (answer.status, answer.body) == (418, b"not you")


@sync_and_async
def test_mixin_and_csrf(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R130: a class guarded by ``ProtectedResourceMixin`` is exempt as far as a decorated one."""
    bases = (ProtectedResourceMixin, post_class(Witness(), mode))
    with serving(type("Required", bases, {"protector": protector}).as_view(), MIDDLEWARE=[CSRF]):
        assert send("/", bearer(GOOD), method="POST").status == 200
    optional = type("Optional", bases, {"protector": protector, "oauth_optional": True})
    with serving(optional.as_view(), MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 403
        assert send("/", bearer(GOOD), method="POST").status == 200


# LoginRequiredMiddleware


@sync_and_async
@everyway
def test_required_token_is_no_login(way: Any, mode: str, protector: ResourceProtector, send: Send) -> None:
    """R129: with ``LoginRequiredMiddleware`` a missing token is 401, never a redirect, and a token lets in."""
    with serving(way(protector("profile"), unchanged, Witness(), mode), MIDDLEWARE=LOGIN):
        assert send("/", method="POST").status == 401
        assert send("/", bearer(GOOD), method="POST").status == 200
        assert send("/", bearer("unknown"), method="POST").status == 401


@sync_and_async
@everyway
def test_optional_token_or_login(way: Any, mode: str, protector: ResourceProtector, send: Send, alice: User) -> None:
    """R129: where the token is optional, who brings none has to log in, and who is logged in gets through."""
    witness = Witness()
    with serving(way(protector(optional=True), unchanged, witness, mode), MIDDLEWARE=LOGIN, LOGIN_URL="/login/"):
        answer = send("/", method="POST")
        assert (answer.status, answer.header("Location")) == (302, "/login/?next=/")
        assert witness.entered == 0
        assert send("/", bearer(GOOD), method="POST").status == 200
        assert send("/", session_of(alice), method="POST").status == 200


@sync_and_async
@everyway
def test_login_not_required_below_the_guard(way: Any, mode: str, protector: ResourceProtector, send: Send) -> None:
    """R129: an optional view that is ``login_not_required`` itself lets anybody in who brings no token."""
    with serving(way(protector(optional=True), login_not_required, Witness(), mode), MIDDLEWARE=LOGIN):
        assert send("/", method="POST").status == 200


def session_of(user: User) -> RawHeaders:
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    assert session.session_key
    return [(b"cookie", b"sessionid=" + session.session_key.encode())]


# request.user


def user_view(mode: str, *, in_both_ways: bool = False) -> Any:
    def sync_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse([request.user.username, request.user.is_anonymous], safe=False)

    async def async_view(request: HttpRequest) -> JsonResponse:
        user = await request.auser()
        assert not in_both_ways or user == request.user
        return JsonResponse([user.username, user.is_anonymous], safe=False)

    return sync_view if mode == "def" else async_view


@sync_and_async
def test_set_user(mode: str, send: Send, make_token: MakeToken) -> None:
    """With ``set_user=True``, ``request.user`` is the token's user, or nobody: never the session's."""
    bob = User.objects.create_user("bob")
    make_token(access_token="machine", user=None)
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), set_user=True)
    session = session_of(bob)
    with serving(protector(user_view(mode, in_both_ways=True)), MIDDLEWARE=SESSIONS):
        assert send("/", bearer(GOOD)).json == ["alice", False]
        assert send("/", [*bearer(GOOD), *session]).json == ["alice", False]
        assert send("/", [*bearer("machine"), *session]).json == ["", True]
    with serving(protector(user_view(mode, in_both_ways=True))):
        assert send("/", bearer(GOOD)).json == ["alice", False]


@sync_and_async
def test_user_is_left_alone(mode: str, protector: ResourceProtector, send: Send) -> None:
    """Without ``set_user`` the guard leaves ``request.user`` to the session."""
    session = session_of(User.objects.create_user("bob"))
    with serving(protector(user_view(mode)), MIDDLEWARE=SESSIONS):
        assert send("/", [*bearer(GOOD), *session]).json == ["bob", False]
        assert send("/", bearer(GOOD)).json == ["", True]


@sync_and_async
def test_access_token_of_a_row(mode: str, protector: ResourceProtector, send: Send, alice: User) -> None:
    """``AccessToken.of(request)`` tells of a database row what it tells of any other token."""

    def sync_view(request: HttpRequest) -> JsonResponse:
        token = AccessToken.of(request)
        assert token is not None
        assert GOOD not in repr(token)
        assert token.user == alice
        scopes = sorted(token.scopes)
        return JsonResponse([scopes, token.subject, token.client_id, token.token_type, token["scope"]], safe=False)

    async def async_view(request: HttpRequest) -> JsonResponse:
        return sync_view(request)

    with serving(protector(sync_view if mode == "def" else async_view)):
        expected = [["profile"], str(alice.pk), "client", "Bearer", "profile"]
        assert send("/", bearer(GOOD)).json == expected


# Caches


@pytest.fixture
def _empty_cache() -> Any:
    cache.clear()
    yield
    cache.clear()


SITE_CACHE = [
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]


@pytest.mark.usefixtures("_empty_cache")
@pytest.mark.parametrize(
    # Django's `cache_page` is for sync views.
    ("how", "mode"),
    [("cache_page", "def"), ("middleware", "def"), ("middleware", "async def")],
)
def test_cached_pages_reach_nobody_else(
    how: str, mode: str, protector: ResourceProtector, send: Send, make_token: MakeToken, token: OAuth2Token
) -> None:
    """R131: a cache outside the guard serves no page to another, to nobody, or for a token revoked meanwhile."""
    make_token(access_token="bobs", user=User.objects.create_user("bob"))
    view = protector(Witness().view(mode))
    view = cache_page(60)(view) if how == "cache_page" else view
    with serving(view, MIDDLEWARE=SITE_CACHE if how == "middleware" else []):
        for _ in range(2):
            assert send("/", bearer(GOOD)).json["user"] == "alice"
            assert send("/").status == 401
            assert send("/", bearer("bobs")).json["user"] == "bob"
        token.revoked = True
        token.save()
        assert send("/", bearer(GOOD)).status == 401
        assert send("/", bearer("bobs")).json["user"] == "bob"


class Rescue(MiddlewareMixin):
    """Makes a page of whatever a view raises, as a site may."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        token = getattr(request, "oauth_token", None)
        # Newer versions of Django add ``Vary`` themselves, unless it is public.
        page = "nobody" if token is None else token.user.username
        return HttpResponse(page, headers={"Cache-Control": "public"})


RESCUED = [*SITE_CACHE, f"{__name__}.Rescue"]


class RenderedLater(SimpleTemplateResponse):
    """Is rendered when the view has returned."""

    rendering_attrs = [*SimpleTemplateResponse.rendering_attrs, "render_text"]

    def __init__(self, render: Callable[[], str]) -> None:
        super().__init__([])
        self.render_text = render

    @property
    def rendered_content(self) -> str:
        return self.render_text()


def fail() -> str:
    raise KeyError("a bug of the view")


def view_of(mode: str, answer: Callable[[HttpRequest], Any]) -> Any:
    def sync_view(request: HttpRequest) -> Any:
        return answer(request)

    async def async_view(request: HttpRequest) -> Any:
        return answer(request)

    return sync_view if mode == "def" else async_view


class FailingSource(BearerTokenValidator):
    def validate_request(self, request: Any) -> None:
        if "authorization" in request.headers:
            fail()


failures = pytest.mark.parametrize("failure", [lambda request: fail(), lambda request: RenderedLater(fail)])


@pytest.mark.usefixtures("_empty_cache")
@sync_and_async
@failures
@pytest.mark.parametrize("guards", [[{}], [{"optional": True}], [{}, {}]], ids=["required", "optional", "two guards"])
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_pages_made_of_exceptions_reach_nobody_else(
    compat: Any, guards: list[Any], failure: Any, mode: str, send: Send
) -> None:
    """R131: Django's cache keeps no page that a middleware made of what a guarded view raised, or its rendering."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), compat=compat)
    view = view_of(mode, failure)
    for asked in guards:
        view = protector(**asked)(view)
    with serving(view, MIDDLEWARE=RESCUED):
        # Who came first without a token must not leave a page for those with one, either.
        nobody = (200, b"nobody") if guards[0] else (401, None)
        for _ in range(2):
            answer = send("/")
            assert (answer.status, answer.body if guards[0] else None) == nobody
            assert send("/", bearer(GOOD)).body == b"alice"


@pytest.mark.usefixtures("_empty_cache")
@sync_and_async
def test_pages_made_of_a_hooks_exception_reach_nobody_else(mode: str, send: Send) -> None:
    """R131: nor of what a hook raised before the view was entered."""
    protector = ResourceProtector(FailingSource(OAuth2Token))
    with serving(protector(Witness().view(mode)), MIDDLEWARE=RESCUED):
        assert send("/", bearer(GOOD)).body == b"nobody"
        assert send("/").status == 401


@pytest.mark.usefixtures("_empty_cache")
def test_pages_made_of_exceptions_below_cache_page(protector: ResourceProtector, send: Send) -> None:
    """R131: nor where ``cache_page`` below the guard has said that there is something to keep."""
    with serving(protector(cache_page(60)(view_of("def", lambda request: fail()))), MIDDLEWARE=RESCUED):
        assert send("/", bearer(GOOD)).body == b"alice"
        assert send("/").status == 401


CACHES: list[tuple[Any, str, list[str]]] = [
    (cache_page(60), "def", []),
    (lambda view: view, "def", SITE_CACHE),
    (lambda view: view, "async def", SITE_CACHE),
]


@pytest.mark.usefixtures("_empty_cache")
@pytest.mark.parametrize(("keep", "mode", "middleware"), CACHES)
@pytest.mark.parametrize("answer", [lambda: HttpResponse("x"), lambda: RenderedLater(lambda: "x")])
@pytest.mark.parametrize("guards", [1, 2])
@pytest.mark.parametrize("place", ["above", "between"])
def test_good_pages_are_kept(
    place: str,
    guards: int,
    answer: Any,
    keep: Any,
    mode: str,
    middleware: list[str],
    protector: ResourceProtector,
    send: Send,
) -> None:
    """R131: the view's answer is still cached as before, also when it is rendered later."""
    entered: list[Any] = []

    def answer_publicly(request: HttpRequest) -> Any:
        entered.append(request)
        response = answer()
        response.headers["Cache-Control"] = "public"
        return response

    view = view_of(mode, answer_publicly)
    for _ in range(guards):
        view = protector(view)
    view = keep(view) if place == "above" else protector(keep(view))
    with serving(view, MIDDLEWARE=middleware):
        assert [send("/", bearer(GOOD)).body for _ in range(3)] == [b"x"] * 3
    assert len(entered) == 1


@pytest.mark.usefixtures("_empty_cache")
@sync_and_async
def test_views_that_decide_that_nothing_is_kept(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R131: where the view itself tells Django's cache to keep nothing, its word counts."""
    entered: list[Any] = []

    def answer(request: HttpRequest) -> HttpResponse:
        entered.append(request)
        request._cache_update_cache = False  # type: ignore[attr-defined]
        return HttpResponse(headers={"Cache-Control": "public"})

    with serving(protector(view_of(mode, answer)), MIDDLEWARE=SITE_CACHE):
        assert [send("/", bearer(GOOD)).status for _ in range(2)] == [200] * 2
    assert len(entered) == 2


@sync_and_async
def test_requests_that_no_cache_has_looked_at(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R131: without Django's cache a request has no mark of it afterwards, and a false one while the view runs."""
    requests: list[Any] = []

    def answer(request: Any) -> HttpResponse:
        requests.append((request, bool(request._cache_update_cache)))
        return HttpResponse()

    with serving(protector(view_of(mode, answer))):
        assert send("/", bearer(GOOD)).status == 200
    assert [(hasattr(request, "_cache_update_cache"), within) for request, within in requests] == [(False, False)]


CACHE_WISHES = [
    ({}, {"private"}),
    ({"max_age": 60}, {"max-age=60", "private"}),
    ({"public": True}, {"public"}),
    ({"private": True}, {"private"}),
    ({"no_store": True}, {"no-store"}),
]


@sync_and_async
@pytest.mark.parametrize(("wish", "expected"), CACHE_WISHES)
def test_cache_control(
    wish: dict[str, Any], expected: set[str], mode: str, protector: ResourceProtector, send: Send
) -> None:
    """R25: an answer for a token is private unless the view named who may keep it."""
    view = Witness().view(mode)
    with serving(protector(cache_control(**wish)(view) if wish else view)):
        assert send("/", bearer(GOOD)).members("Cache-Control") == expected


class FromCookie(ResourceProtector):
    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return self.validate_token(request.COOKIES.get("token", ""), scopes, **requirements)


FROM_COOKIE: RawHeaders = [(b"cookie", b"token=" + GOOD.encode())]


@pytest.mark.usefixtures("_empty_cache", "token")
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_pages_for_a_cookies_token_reach_nobody_else(compat: Any, send: Send) -> None:
    """R131: a page for a token that was not in the header is private, with ``compat="authlib"`` too."""
    protector = FromCookie(BearerTokenValidator(OAuth2Token), compat=compat)
    with serving(cache_page(60)(protector(Witness().view("def")))):
        assert send("/", FROM_COOKIE).members("Cache-Control") >= {"private"}
        assert send("/").status == 401


@sync_and_async
@pytest.mark.usefixtures("token")
def test_answers_to_a_token_that_is_gone_are_private(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R25: an answer to a token is private, although the view, or a guard within, takes the token off the request."""

    def take(request: Any) -> HttpResponse:
        del request.oauth_token
        return HttpResponse()

    nested = FromCookie(BearerTokenValidator(OAuth2Token))(protector(optional=True)(Witness().view(mode)))
    for view, headers in ((protector(view_of(mode, take)), bearer(GOOD)), (nested, FROM_COOKIE)):
        with serving(view):
            answer = send("/", headers)
        assert (answer.status, answer.members("Cache-Control")) == (200, {"private"})


@sync_and_async
def test_answers_without_a_token_are_not_private(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R25: what an optional view answers without a token says of caches what the view said, and varies all the same."""
    with serving(protector(optional=True)(Witness().view(mode))):
        answer = send("/")
    assert answer.header("Cache-Control") is None
    assert answer.members("Vary") == {"authorization"}


@sync_and_async
def test_vary_is_added(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R25: ``Vary`` gains ``Authorization`` and keeps what the view named."""
    with serving(protector(vary_on_headers("Accept", "authorization")(Witness().view(mode)))):
        assert send("/", bearer(GOOD)).members("Vary") == {"accept", "authorization"}


@sync_and_async
def test_other_responses_are_marked(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R25: a streamed response and a refusal have ``Vary``, like all others."""

    def sync_view(request: HttpRequest, kind: str) -> HttpResponseBase:
        return StreamingHttpResponse([b"a", b"b"]) if kind == "stream" else HttpResponse(status=409)

    async def async_view(request: HttpRequest, kind: str) -> HttpResponseBase:
        async def parts() -> Any:
            yield b"a"
            yield b"b"

        return StreamingHttpResponse(parts()) if kind == "stream" else HttpResponse(status=409)

    with serving([path("<kind>", protector(sync_view if mode == "def" else async_view))]):
        for kind, status in [("stream", 200), ("conflict", 409)]:
            if kind == "stream" and send.__module__.endswith("asgi") != (mode == "async def"):
                # Django warns of a sync stream on an async server, and of an async stream on a sync server.
                continue
            answer = send(f"/{kind}", bearer(GOOD))
            assert answer.status == status
            assert answer.members("Vary") == {"authorization"}
            assert answer.members("Cache-Control") == {"private"}


# HEAD and OPTIONS


@sync_and_async
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_are_requests_like_others(
    method: str, mode: str, protector: ResourceProtector, send: Send
) -> None:
    """A guarded view asks for a token whatever the method; preflights are the CORS middleware's."""
    witness = Witness()
    with serving(protector("profile")(witness.view(mode))):
        assert send("/", method=method).status == 401
        assert witness.entered == 0
        assert send("/", bearer(GOOD), method=method).status == 200


@sync_and_async
def test_options_of_a_class(mode: str, protector: ResourceProtector, send: Send) -> None:
    """A guarded class answers ``OPTIONS`` itself, to every request with a valid token."""
    with serving(protector(post_class(Witness(), mode)).as_view()):
        assert send("/", method="OPTIONS").status == 401
        answer = send("/", bearer(GOOD), method="OPTIONS")
        assert answer.status == 200
        assert answer.members("Allow") == {"post", "options"}


@sync_and_async
def test_method_not_allowed(mode: str, protector: ResourceProtector, send: Send) -> None:
    """A method that a guarded class has not is Django's 405, for those who have a token."""
    with serving(protector(post_class(Witness(), mode)).as_view()):
        assert send("/", method="DELETE").status == 401
        assert send("/", bearer(GOOD), method="DELETE").status == 405
