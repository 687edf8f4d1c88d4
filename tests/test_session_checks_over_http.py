"""CSRF and login checks beside a guard, however a site installs them: an optional token never takes them away."""

import subprocess
import sys
import textwrap
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from async_oauth_guard import BearerTokenValidator, ProtectedResourceMixin, ResourceProtector
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.site.models import OAuth2Token
from tests.sites import COLOURS, Witness, serving

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

both_colours = pytest.mark.parametrize("colour", COLOURS)


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))


def post_class(witness: Witness, colour: str, *bases: type) -> type[View]:
    class SyncView(*bases, View):  # type: ignore[misc]
        def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    class AsyncView(*bases, View):  # type: ignore[misc]
        async def post(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    return SyncView if colour == "def" else AsyncView


def guarded_function(protector: ResourceProtector, witness: Witness, colour: str, decorate: Any) -> Any:
    return decorate(protector(optional=True)(witness.view(colour)))


def guarded_class(protector: ResourceProtector, witness: Witness, colour: str, decorate: Any) -> Any:
    cls = protector(optional=True)(post_class(witness, colour))
    return method_decorator(decorate, name="dispatch")(cls).as_view()


def mixed_class(protector: ResourceProtector, witness: Witness, colour: str, decorate: Any) -> Any:
    own = protector

    class Mixin(ProtectedResourceMixin):
        protector = own
        oauth_optional = True

    return method_decorator(decorate, name="dispatch")(post_class(witness, colour, Mixin)).as_view()


FORMS = {"function": guarded_function, "class": guarded_class, "mixin": mixed_class}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@both_colours
@every_form
@pytest.mark.parametrize("middleware", [[], [CSRF]], ids=["without the middleware", "with it"])
def test_csrf_protect_above_an_optional_guard(
    middleware: list[str], form: Any, colour: str, protector: ResourceProtector, send: Send
) -> None:
    """Where ``csrf_protect`` is all the protection that there is, a browser without token and cookie is refused."""
    witness = Witness()
    # Django's own decorators fail when they have something to say before an async class: a 500, and as closed.
    fails = form is not guarded_function and colour == "async def" and not middleware
    with serving(form(protector, witness, colour, csrf_protect), MIDDLEWARE=middleware):
        assert send("/", method="POST").status == (500 if fails else 403)
        assert witness.entered == 0
        assert send("/", MATCHING, method="POST").json == {"token": False, "user": None}


@both_colours
@every_form
def test_csrf_protect_asks_no_cookie_of_tokens_beside_the_middleware(
    form: Any, colour: str, protector: ResourceProtector, send: Send
) -> None:
    """With the middleware installed, which the guard asks itself, a token needs no cookie under ``csrf_protect``."""
    with serving(form(protector, Witness(), colour, csrf_protect), MIDDLEWARE=[CSRF]):
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


@both_colours
@pytest.mark.parametrize("middleware", [[FACTORY], [*UNUSED, CSRF], [FACTORY, *UNUSED]])
def test_middleware_of_a_factory(middleware: list[str], colour: str, protector: ResourceProtector, send: Send) -> None:
    """A CSRF middleware that a function makes, or one beside others that are not used, is asked like any."""
    witness = Witness()
    with serving(protector(optional=True)(witness.view(colour)), MIDDLEWARE=middleware):
        assert send("/", method="POST").status == 403
        assert witness.entered == 0
        assert send("/", MATCHING, method="POST").status == 200
        assert send("/", bearer(GOOD), method="POST").status == 200


@both_colours
def test_middlewares_that_are_not_used(colour: str, protector: ResourceProtector, send: Send) -> None:
    """Where each CSRF middleware switched itself off there is no check, and nothing fails; ``csrf_protect`` counts."""
    witness = Witness()
    with serving(protector(optional=True)(witness.view(colour)), MIDDLEWARE=UNUSED):
        assert send("/", method="POST").status == 200
    assert witness.entered == 1
    with serving(csrf_protect(protector(optional=True)(witness.view(colour))), MIDDLEWARE=UNUSED):
        assert send("/", method="POST").status == 403
    assert witness.entered == 1


CHECKED = [([CSRF], "POST", 403), ([FACTORY], "POST", 403), ([*SESSIONS, LOGIN], "GET", 302)]


@both_colours
@pytest.mark.parametrize(("middleware", "method", "status"), CHECKED)
def test_vary(
    middleware: list[str], method: str, status: int, colour: str, protector: ResourceProtector, send: Send
) -> None:
    """What the session checks answer depends on the credentials too, and says so to caches."""
    with serving(protector(optional=True)(Witness().view(colour)), MIDDLEWARE=middleware):
        answer = send("/", method=method)
    assert answer.status == status
    assert "authorization" in answer.members("Vary")


@both_colours
def test_changes_of_trusted_origins_are_followed(colour: str, protector: ResourceProtector, send: Send) -> None:
    """The settings that the middleware keeps are those of the moment, though it was asked before they changed."""

    def statuses() -> dict[str, int]:
        origins = ("https://a.example", "https://b.example")
        return {
            origin: send("/", [*MATCHING, (b"origin", origin.encode())], method="POST").status for origin in origins
        }

    with serving(protector(optional=True)(Witness().view(colour)), MIDDLEWARE=[CSRF]):
        with override_settings(CSRF_TRUSTED_ORIGINS=["https://a.example"]):
            assert statuses() == {"https://a.example": 200, "https://b.example": 403}
        with override_settings(CSRF_TRUSTED_ORIGINS=["https://b.example"]):
            assert statuses() == {"https://a.example": 403, "https://b.example": 200}


def warnings() -> list[str]:
    return [message.msg for message in run_checks(tags=["security"]) if message.id == "async_oauth_guard.W004"]


@both_colours
@every_form
def test_exemption_above_the_guard(form: Any, colour: str, protector: ResourceProtector, send: Send) -> None:
    """``csrf_exempt`` above an optional guard exempts nobody from the site's middleware."""
    witness = Witness()
    with serving(form(protector, witness, colour, csrf_exempt), MIDDLEWARE=[CSRF]):
        assert send("/", method="POST").status == 403
    assert witness.entered == 0


@both_colours
def test_exemption_above_the_guard_is_reported(colour: str, protector: ResourceProtector) -> None:
    """A system check says where ``csrf_exempt`` has no effect, also under an ``include()``."""
    view = guarded_function(protector, Witness(), colour, csrf_exempt)
    with serving([path("api/", ([path("x", view)], None, None))]):
        (message,) = warnings()
    assert message.startswith("csrf_exempt has no effect above the optional guard of ")
    assert __name__ in message or "tests.sites" in message


@both_colours
def test_exemption_by_attribute_above_the_guard_is_reported(colour: str, protector: ResourceProtector) -> None:
    """So does one that is written as an attribute of the guarded view."""
    view = protector(optional=True)(Witness().view(colour))

    def above(request: HttpRequest) -> Any:  # pragma: no cover - only looked at
        return view(request)

    above.__wrapped__, above.csrf_exempt = view, True  # type: ignore[attr-defined]
    with serving([path("api/", ([path("x", above)], None, None))]):
        (message,) = warnings()
    assert "tests.sites" in message


@both_colours
def test_exemption_below_the_guard(colour: str, protector: ResourceProtector, send: Send) -> None:
    """``csrf_exempt`` next to the view is its author's wish: requests without a token are exempt; nothing to report."""
    function = protector(optional=True)(csrf_exempt(Witness().view(colour)))
    cls = post_class(Witness(), colour)
    below = protector(optional=True)(method_decorator(csrf_exempt, name="dispatch")(cls)).as_view()
    for view in (function, below):
        with serving(view, MIDDLEWARE=[CSRF]):
            assert warnings() == []
            assert send("/", method="POST").status == 200


@both_colours
def test_exemption_above_guards_that_ask_for_a_token(colour: str, protector: ResourceProtector) -> None:
    """Above a guard without ``optional``, ``csrf_exempt`` changes nothing, so nothing is said."""
    with serving(csrf_exempt(protector(Witness().view(colour)))):
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
