"""CSRF and login checks together with a guard, however a site installs them. An optional token never removes them."""

import functools
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.checks import run_checks
from django.core.exceptions import MiddlewareNotUsed
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    ProtectedResourceMixin,
    ResourceProtector,
    TokenValidator,
)
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD = "token-of-the-session-checks"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
LOGIN = "django.contrib.auth.middleware.LoginRequiredMiddleware"
SECRET = b"a" * 32
MATCHING: RawHeaders = [(b"cookie", b"csrftoken=" + SECRET), (b"x-csrftoken", SECRET)]

sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))


def post_class(witness: Witness, mode: str, *bases: type) -> type[View]:
    class SyncView(*bases, View):  # type: ignore[misc]
        def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    class AsyncView(*bases, View):  # type: ignore[misc]
        async def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    return SyncView if mode == "def" else AsyncView


def guarded_function(protector: ResourceProtector, witness: Witness, mode: str, decorate: Any) -> Any:
    return decorate(protector(optional=True)(witness.view(mode)))


def guarded_class(protector: ResourceProtector, witness: Witness, mode: str, decorate: Any) -> Any:
    cls = protector(optional=True)(post_class(witness, mode))
    return method_decorator(decorate, name="dispatch")(cls).as_view()


def mixed_class(protector: ResourceProtector, witness: Witness, mode: str, decorate: Any) -> Any:
    own = protector

    class Mixin(ProtectedResourceMixin):
        protector = own
        oauth_optional = True

    return method_decorator(decorate, name="dispatch")(post_class(witness, mode, Mixin)).as_view()


FORMS = {"function": guarded_function, "class": guarded_class, "mixin": mixed_class}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@sync_and_async
@every_form
@pytest.mark.parametrize("middleware", [[], [CSRF]], ids=["without the middleware", "with it"])
def test_csrf_protect_above_an_optional_guard(
    middleware: list[str], form: Any, mode: str, protector: ResourceProtector, send: Send
) -> None:
    """Where ``csrf_protect`` is all the protection that there is, a browser without token and cookie is refused."""
    witness = Witness()
    # Django's own decorators fail when they have something to say before an async class: a 500, and as closed.
    fails = form is not guarded_function and mode == "async def" and not middleware
    with serving(form(protector, witness, mode, csrf_protect), MIDDLEWARE=middleware):
        assert send("/", method="POST").status == (500 if fails else 403)
        assert witness.entered == 0
        assert send("/", MATCHING, method="POST").json == {"token": False, "user": None}


@sync_and_async
@every_form
def test_csrf_protect_asks_no_cookie_of_tokens_beside_the_middleware(
    form: Any, mode: str, protector: ResourceProtector, send: Send
) -> None:
    """With the middleware installed, which the guard asks itself, a token needs no cookie under ``csrf_protect``."""
    with serving(form(protector, Witness(), mode, csrf_protect), MIDDLEWARE=[CSRF]):
        assert send("/", bearer(GOOD), method="POST").json == {"token": True, "user": "alice"}


class NotUsed(CsrfViewMiddleware):
    """Switches itself off, as the settings tell it."""

    def __init__(self, get_response: Any) -> None:
        raise MiddlewareNotUsed


def csrf_factory(get_response: Any) -> CsrfViewMiddleware:
    """A function that makes Django's middleware."""
    return CsrfViewMiddleware(get_response)


def unused_factory(get_response: Any) -> Any:
    raise MiddlewareNotUsed


for factory in (csrf_factory, unused_factory):
    factory.sync_capable = factory.async_capable = True  # type: ignore[attr-defined]

FACTORY, UNUSED = f"{__name__}.csrf_factory", [f"{__name__}.NotUsed", f"{__name__}.unused_factory"]


@sync_and_async
@pytest.mark.parametrize("middleware", [[FACTORY], [*UNUSED, CSRF], [FACTORY, *UNUSED]])
def test_middleware_of_a_factory(middleware: list[str], mode: str, protector: ResourceProtector, send: Send) -> None:
    """A CSRF middleware works as usual if a function makes it, or if the site lists others that are not used."""
    witness = Witness()
    with serving(protector(optional=True)(witness.view(mode)), MIDDLEWARE=middleware):
        assert send("/", method="POST").status == 403
        assert witness.entered == 0
        assert send("/", MATCHING, method="POST").status == 200
        assert send("/", bearer(GOOD), method="POST").status == 200


@sync_and_async
def test_middlewares_that_are_not_used(mode: str, protector: ResourceProtector, send: Send) -> None:
    """If each CSRF middleware is switched off, there is no check and nothing fails. ``csrf_protect`` still checks."""
    witness = Witness()
    with serving(protector(optional=True)(witness.view(mode)), MIDDLEWARE=UNUSED):
        assert send("/", method="POST").status == 200
    assert witness.entered == 1
    with serving(csrf_protect(protector(optional=True)(witness.view(mode))), MIDDLEWARE=UNUSED):
        assert send("/", method="POST").status == 403
    assert witness.entered == 1


CHECKED = [([CSRF], "POST", 403), ([FACTORY], "POST", 403), ([*SESSIONS, LOGIN], "GET", 302)]


@sync_and_async
@pytest.mark.parametrize(("middleware", "method", "status"), CHECKED)
def test_vary(
    middleware: list[str], method: str, status: int, mode: str, protector: ResourceProtector, send: Send
) -> None:
    """The answers of the session checks depend on the credentials too. Their ``Vary`` header says so."""
    with serving(protector(optional=True)(Witness().view(mode)), MIDDLEWARE=middleware):
        answer = send("/", method=method)
    assert answer.status == status
    assert "authorization" in answer.members("Vary")


@sync_and_async
def test_changes_of_trusted_origins_are_followed(mode: str, protector: ResourceProtector, send: Send) -> None:
    """The middleware uses the current settings, even if it ran before they changed."""

    def statuses() -> dict[str, int]:
        origins = ("https://a.example", "https://b.example")
        return {
            origin: send("/", [*MATCHING, (b"origin", origin.encode())], method="POST").status for origin in origins
        }

    with serving(protector(optional=True)(Witness().view(mode)), MIDDLEWARE=[CSRF]):
        with override_settings(CSRF_TRUSTED_ORIGINS=["https://a.example"]):
            assert statuses() == {"https://a.example": 200, "https://b.example": 403}
        with override_settings(CSRF_TRUSTED_ORIGINS=["https://b.example"]):
            assert statuses() == {"https://a.example": 403, "https://b.example": 200}


def warnings() -> list[str]:
    return [message.msg for message in run_checks(tags=["security"]) if message.id == "async_oauth_guard.W004"]


@sync_and_async
@every_form
def test_exemption_above_the_guard(form: Any, mode: str, protector: ResourceProtector, send: Send) -> None:
    """``csrf_exempt`` above an optional guard exempts nobody from the site's middleware."""
    witness = Witness()
    with serving(form(protector, witness, mode, csrf_exempt), MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 403
    assert witness.entered == 0


@sync_and_async
def test_exemption_above_the_guard_is_reported(mode: str, protector: ResourceProtector) -> None:
    """A system check says where ``csrf_exempt`` has no effect, also under an ``include()``."""
    view = guarded_function(protector, Witness(), mode, csrf_exempt)
    with serving([path("api/", ([path("x", view)], None, None))]):
        (message,) = warnings()
    assert message.startswith("csrf_exempt has no effect above the guard of ")
    assert __name__ in message or "tests.sites" in message


@sync_and_async
def test_exemption_by_attribute_above_the_guard_is_reported(mode: str, protector: ResourceProtector) -> None:
    """So does one that is written as an attribute of the guarded view."""
    view = protector(optional=True)(Witness().view(mode))

    def above(request: HttpRequest) -> Any:  # pragma: no cover - only looked at
        return view(request)

    above.__wrapped__, above.csrf_exempt = view, True  # type: ignore[attr-defined]
    with serving([path("api/", ([path("x", above)], None, None))]):
        (message,) = warnings()
    assert "tests.sites" in message


@sync_and_async
def test_exemption_below_the_guard(mode: str, protector: ResourceProtector, send: Send) -> None:
    """``csrf_exempt`` next to the view is its author's wish: requests without a token are exempt; nothing to report."""
    function = protector(optional=True)(csrf_exempt(Witness().view(mode)))
    cls = post_class(Witness(), mode)
    below = protector(optional=True)(method_decorator(csrf_exempt, name="dispatch")(cls)).as_view()
    for view in (function, below):
        with serving(view, MIDDLEWARE=[CSRF]):
            assert warnings() == []
            assert send("/", method="POST").status == 200


@sync_and_async
def test_exemption_above_guards_that_ask_for_a_token(mode: str, protector: ResourceProtector) -> None:
    """Above a guard without ``optional``, ``csrf_exempt`` changes nothing, so nothing is said."""
    with serving(csrf_exempt(protector(Witness().view(mode)))):
        assert warnings() == []


class Wrapper:
    """A site's own object around Django's request, much like the request of Django REST framework."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


@sync_and_async
def test_wrapper_of_a_request_keeps_the_check(mode: str, protector: ResourceProtector, send: Send) -> None:
    """Only Django REST framework is known to check sessions itself; for other wrappers the guard has it done."""
    witness = Witness()
    guarded = protector(optional=True)(witness.view(mode))

    @functools.wraps(guarded)
    def sync_view(request: HttpRequest) -> Any:
        return guarded(Wrapper(request))

    @functools.wraps(guarded)
    async def async_view(request: HttpRequest) -> Any:
        return await guarded(Wrapper(request))

    with serving(sync_view if mode == "def" else async_view, MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 403
        assert witness.entered == 0
        assert send("/", MATCHING, method="POST").json == {"token": False, "user": None}
        assert send("/", bearer(GOOD), method="POST").json == {"token": True, "user": "alice"}


# A protector whose own `acquire_token` reads a cookie, which browsers send by themselves.


class FromCookie(ResourceProtector):
    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        if (token := request.COOKIES.get("access_token")) is not None:
            return self.validate_token(token, scopes)
        return super().acquire_token(request, scopes, **requirements)


class FromCookieAsync(ResourceProtector):
    async def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:  # type: ignore[override]
        if (token := request.COOKIES.get("access_token")) is not None:
            return await self.avalidate_token(token, scopes)
        return await super().aacquire_token(request, scopes, **requirements)


class Unchecked(FromCookie):
    csrf_exempt = True


COOKIE = b"access_token=" + GOOD.encode()
FROM_COOKIE: RawHeaders = [(b"cookie", COOKIE)]
FROM_COOKIE_MATCHING: RawHeaders = [(b"cookie", COOKIE + b"; csrftoken=" + SECRET), (b"x-csrftoken", SECRET)]
WITHOUT_CREDENTIALS: list[RawHeaders] = [
    FROM_COOKIE,
    [*FROM_COOKIE, (b"authorization", b"")],
    [*FROM_COOKIE, (b"authorization", b"Basic Zm9vOmJhcg==")],
    # Browsers add these as well, and another site chooses the query. Its `,bearer,` looks like a second scheme.
    [*FROM_COOKIE, (b"authorization", b'Digest username="alice", uri="/?,bearer,", response="0"')],
]
every_cookie_protector = pytest.mark.parametrize("cls", [FromCookie, FromCookieAsync])
FORMS_OF_COOKIES: dict[str, Any] = {
    "function": lambda guard, mode, witness: guard(witness.view(mode)),
    "class": lambda guard, mode, witness: guard(post_class(witness, mode)).as_view(),
    "as_view": lambda guard, mode, witness: guard(post_class(witness, mode).as_view()),
    "mixin": lambda guard, mode, witness: post_class(witness, mode, mixin_of(guard)).as_view(),
}


def mixin_of(guard: Any) -> type:
    return type("Mixin", (ProtectedResourceMixin,), {"protector": guard})


def cookie_protector(cls: Any, **options: Any) -> Any:
    return cls(BearerTokenValidator(OAuth2Token), **options)


@sync_and_async
@every_cookie_protector
@pytest.mark.parametrize("form", FORMS_OF_COOKIES.values(), ids=FORMS_OF_COOKIES)
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_token_of_a_cookie_needs_a_csrf_token(compat: Any, form: Any, cls: Any, mode: str, send: Send) -> None:
    """Where a protector's own ``acquire_token`` may read a cookie, another site's form does not get in by it."""
    witness = Witness()
    with serving(form(cookie_protector(cls, compat=compat), mode, witness), MIDDLEWARE=[CSRF]):
        for headers in WITHOUT_CREDENTIALS:
            answer = send("/", headers, method="POST")
            assert (answer.status, "authorization" in answer.members("Vary")) == (403, True)
        assert witness.entered == 0
        assert send("/", FROM_COOKIE_MATCHING, method="POST").json == {"token": True, "user": "alice"}
        assert send("/", MATCHING, method="POST").status == 401


@sync_and_async
@every_cookie_protector
def test_token_of_the_header_needs_no_csrf_token(cls: Any, mode: str, send: Send) -> None:
    """Credentials of a scheme that the guard serves are sent by no browser by itself, whether good or not."""
    with serving(cookie_protector(cls)(Witness().view(mode)), MIDDLEWARE=[CSRF]):
        assert send("/", bearer(GOOD), method="POST").status == 200
        assert send("/", bearer("unknown"), method="POST").status == 401
        assert send("/", [(b"authorization", b"Bearer")], method="POST").status == 400


class BasicValidator(TokenValidator):
    TOKEN_TYPE = "Basic"

    def authenticate_token(self, token_string: str) -> AccessToken:
        return AccessToken({"scope": "profile"})


class Password(ResourceProtector):
    """Does not define ``acquire_token``."""


class ExemptPassword(Password):
    csrf_exempt = True


BASIC: RawHeaders = [(b"authorization", b"Basic Zm9vOmJhcg==")]


@sync_and_async
@pytest.mark.parametrize("cls", [Password, FromCookie, FromCookieAsync])
@pytest.mark.parametrize("optional", [False, True])
def test_credentials_that_browsers_send_need_a_csrf_token(optional: bool, cls: Any, mode: str, send: Send) -> None:
    """Browsers add ``Basic`` credentials that they know by themselves, also to another site's form."""
    witness = Witness()
    guard = cls(BasicValidator(), BearerTokenValidator(OAuth2Token))(optional=optional)
    with serving(guard(witness.view(mode)), MIDDLEWARE=[CSRF]):
        assert send("/", BASIC, method="POST").status == 403
        assert witness.entered == 0
        assert send("/", [*BASIC, *MATCHING], method="POST").status == 200
        assert send("/", bearer(GOOD), method="POST").status == 200


@sync_and_async
def test_csrf_protect_above_a_guard_for_credentials_that_browsers_send(mode: str, send: Send) -> None:
    """Without the middleware, ``csrf_protect`` above the guard checks, also if the validator was registered later."""
    late = Password()
    for protector in (Password(BasicValidator()), late):
        view = csrf_protect(protector(Witness().view(mode)))
        if protector is late:
            late.register_token_validator(BasicValidator())
        for middleware in ([], [CSRF]):
            with serving(view, MIDDLEWARE=middleware):
                assert send("/", BASIC, method="POST").status == 403
                assert send("/", [*BASIC, *MATCHING], method="POST").status == 200


@sync_and_async
def test_exempt_from_the_check_of_credentials(mode: str, send: Send) -> None:
    """``csrf_exempt`` below the guard, or ``csrf_exempt = True`` on the protector's class, leaves the check out."""
    view = Witness().view(mode)
    for guarded in (ExemptPassword(BasicValidator())(view), Password(BasicValidator())(csrf_exempt(view))):
        with serving(guarded, MIDDLEWARE=[CSRF]):
            assert send("/", BASIC, method="POST").status == 200


@sync_and_async
@every_cookie_protector
def test_safe_methods_need_no_csrf_token(cls: Any, mode: str, send: Send) -> None:
    """``GET`` is checked by nobody."""
    with serving(cookie_protector(cls)(Witness().view(mode)), MIDDLEWARE=[CSRF]):
        assert send("/", FROM_COOKIE).status == 200
        assert send("/").status == 401


@sync_and_async
@every_cookie_protector
def test_token_of_a_cookie_needs_no_login(cls: Any, mode: str, send: Send) -> None:
    """A token is required in any case, so no login is required."""
    with serving(cookie_protector(cls)(Witness().view(mode)), MIDDLEWARE=[*SESSIONS, CSRF, LOGIN]):
        assert send("/").status == 401
        assert send("/", FROM_COOKIE_MATCHING, method="POST").status == 200


@sync_and_async
@pytest.mark.parametrize("exempt", ["below the guard", "by the class"])
def test_exempt_from_the_check_of_cookies(exempt: str, mode: str, send: Send) -> None:
    """``csrf_exempt`` below the guard, or ``csrf_exempt = True`` on the protector's class, leaves the check out."""
    view = Witness().view(mode)
    guarded = cookie_protector(Unchecked)(view)
    if exempt == "below the guard":
        guarded = cookie_protector(FromCookie)(csrf_exempt(view))
    with serving(guarded, MIDDLEWARE=[CSRF]):
        assert send("/", FROM_COOKIE, method="POST").status == 200


@sync_and_async
@every_cookie_protector
def test_csrf_protect_above_a_guard_that_may_read_cookies(cls: Any, mode: str, send: Send) -> None:
    """Without the middleware, ``csrf_protect`` above the guard checks; with it, only requests without credentials."""
    view = csrf_protect(cookie_protector(cls)(Witness().view(mode)))
    with serving(view, MIDDLEWARE=[]):
        assert send("/", FROM_COOKIE, method="POST").status == 403
        assert send("/", FROM_COOKIE_MATCHING, method="POST").status == 200
    with serving(view, MIDDLEWARE=[CSRF]):
        assert send("/", FROM_COOKIE, method="POST").status == 403
        assert send("/", bearer(GOOD), method="POST").status == 200


@sync_and_async
def test_csrf_protect_above_a_guard_that_is_unchecked(mode: str, send: Send) -> None:
    """With ``csrf_exempt = True`` the view is exempt, as behind any guard that asks for a token."""
    with serving(csrf_protect(cookie_protector(Unchecked)(Witness().view(mode))), MIDDLEWARE=[]):
        assert send("/", FROM_COOKIE, method="POST").status == 200


@sync_and_async
@every_cookie_protector
def test_csrf_token_of_a_session(cls: Any, mode: str, send: Send) -> None:
    """``CSRF_USE_SESSIONS`` counts: a matching cookie is then none."""
    site = {"MIDDLEWARE": [*SESSIONS, CSRF], "SESSION_ENGINE": SessionStore.__module__, "CSRF_USE_SESSIONS": True}
    session = SessionStore()
    session["_csrftoken"] = SECRET.decode()
    session.save()
    cookies = COOKIE + b"; sessionid=" + str(session.session_key).encode()
    matching: RawHeaders = [(b"cookie", cookies), (b"x-csrftoken", SECRET)]
    with serving(cookie_protector(cls)(Witness().view(mode)), **site):
        assert send("/", FROM_COOKIE_MATCHING, method="POST").status == 403
        assert send("/", matching, method="POST").status == 200


@every_cookie_protector
def test_token_of_a_cookie_within_a_transaction(cls: Any, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ATOMIC_REQUESTS`` changes nothing."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    with serving(cookie_protector(cls)(Witness().view("def")), MIDDLEWARE=[CSRF]):
        assert send("/", FROM_COOKIE, method="POST").status == 403
        assert send("/", FROM_COOKIE_MATCHING, method="POST").status == 200


@sync_and_async
@every_cookie_protector
def test_optional_guard_that_may_read_cookies(cls: Any, mode: str, send: Send) -> None:
    """An optional guard lets in requests without a header after both checks. For other schemes it calls the method."""
    guarded = cookie_protector(cls)(optional=True)(Witness().view(mode))
    other = (b"authorization", b"Basic Zm9vOmJhcg==")
    with serving(guarded, MIDDLEWARE=[CSRF]):
        assert send("/", FROM_COOKIE, method="POST").status == 403
        assert send("/", FROM_COOKIE_MATCHING, method="POST").json == {"token": False, "user": None}
        assert send("/", [*FROM_COOKIE, other], method="POST").status == 403
        assert send("/", [*FROM_COOKIE_MATCHING, other], method="POST").json["token"] is True
    with serving(guarded, MIDDLEWARE=[*SESSIONS, LOGIN]):
        assert send("/", FROM_COOKIE).status == 302


@sync_and_async
def test_acquire_token_assigned_to_the_protector(mode: str, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail closed: a function that replaces the method may read a cookie as well."""
    protector = cookie_protector(ResourceProtector)
    guarded = protector(Witness().view(mode))
    monkeypatch.setattr(protector, "acquire_token", lambda request, **asked: protector.validate_token(GOOD))
    with serving(guarded, MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 403
        assert send("/", MATCHING, method="POST").status == 200


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_csrf_exempt_that_is_no_bool(value: Any) -> None:
    """Fail closed: an exemption is ``True`` and nothing else."""
    with pytest.raises(TypeError, match=rf"^Own\.csrf_exempt must be True or False, got {type(value).__name__}$"):
        type("Own", (FromCookie,), {"csrf_exempt": value})


@sync_and_async
def test_csrf_exempt_of_an_object_that_is_no_bool(mode: str, send: Send) -> None:
    """Fail closed: this holds for an attribute of the object too."""
    protector = cookie_protector(FromCookie)
    protector.csrf_exempt = "False"  # type: ignore[assignment]
    with serving(protector(Witness().view(mode)), MIDDLEWARE=[CSRF]):
        assert send("/", FROM_COOKIE, method="POST").status == 403


@sync_and_async
def test_exemption_above_a_guard_that_may_read_cookies_is_reported(mode: str, send: Send) -> None:
    """A system check says where ``csrf_exempt`` has no effect above such a guard."""
    with serving(csrf_exempt(cookie_protector(FromCookie)(Witness().view(mode))), MIDDLEWARE=[CSRF]):
        assert send("/", FROM_COOKIE, method="POST").status == 403
        assert len(warnings()) == 1
    with serving(csrf_exempt(cookie_protector(Unchecked)(Witness().view(mode)))):
        assert warnings() == []


SITE_WITHOUT_USERS = """
import asyncio, sys
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="s", ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", INSTALLED_APPS=["async_oauth_guard"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()

from django.http import HttpResponse
from django.urls import path
from async_oauth_guard import AccessToken, ResourceProtector, TokenValidator
from tests import asgi, wsgi

class Validator(TokenValidator):
    def authenticate_token(self, token_string):
        return AccessToken({"scope": "profile"}) if token_string == "good" else None

def sync_view(request):
    return HttpResponse()

async def async_view(request):
    return HttpResponse()

guard = ResourceProtector(Validator())(optional=True)
urlpatterns = [path("def", guard(sync_view)), path("async", guard(async_view))]
for server in (asgi, wsgi):
    for name in ("/def", "/async"):
        for headers in ([], [(b"authorization", b"Bearer good")], [(b"authorization", b"Bearer bad")]):
            print(server.send(name, headers, method="POST").status)
assert "django.contrib.auth.models" not in sys.modules
"""


def test_site_without_users() -> None:
    """Without Django's users among the installed apps, an optional guard asks the CSRF middleware alone."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SITE_WITHOUT_USERS)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["403", "200", "401"] * 4
