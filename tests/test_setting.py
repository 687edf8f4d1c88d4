"""The ready-made ``require_oauth`` does what the setting says, and says what is wrong with it."""

import copy
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import Error, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory, override_settings

from async_oauth_guard import GuardError, require_oauth
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.rfc9110 import Challenge
from tests.site.models import QueryingToken
from tests.sites import MODES, Witness, serving

# Django's checks, which run together with the guard's, query every database.
pytestmark = pytest.mark.django_db(databases="__all__")

GOOD = "good"
sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)
    committed.token(QueryingToken, access_token="other")


def changed(**values: Any) -> dict[str, Any]:
    """The suite's own setting with other values."""
    return {**copy.deepcopy(settings.OAUTH_GUARD), **values}


def validator(model: str, **options: Any) -> dict[str, Any]:
    return {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": model, **options}}


def jwt(**options: Any) -> dict[str, Any]:
    given = {"issuer": "https://as.example.com", "resource_server": "https://api.example.com", **options}
    return {"BACKEND": "async_oauth_guard.JWTBearerTokenValidator", "OPTIONS": given}


def introspection(**options: Any) -> dict[str, Any]:
    given = {"issuer": "https://as.example.com", "client_id": "api", "client_secret": "s3cret", "audience": None}
    return {"BACKEND": "async_oauth_guard.IntrospectTokenValidator", "OPTIONS": {**given, **options}}


def without_audience(entry: dict[str, Any], argument: str) -> dict[str, Any]:
    del entry["OPTIONS"][argument]
    return entry


def render_teapot(request: HttpRequest, error: GuardError) -> HttpResponse:
    return JsonResponse({"teapot": error.error}, status=error.status_code)


@sync_and_async
def test_setting_is_followed(mode: str, send: Send) -> None:
    """The realm and the validators are the setting's."""
    with serving(require_oauth("profile")(Witness().view(mode))):
        assert send("/", bearer(GOOD)).json == {"token": True, "user": "alice"}
        assert send("/").challenges == [Challenge("bearer", None, {"realm": "api", "scope": "profile"})]


@sync_and_async
def test_changes_are_followed(mode: str, send: Send) -> None:
    """A view guarded before follows the new setting after ``setting_changed``, and then the old one again."""
    view = require_oauth(Witness().view(mode))
    with serving(view):
        assert send("/").challenges[0].parameters["realm"] == "api"
    with serving(view, OAUTH_GUARD=changed(REALM="other", VALIDATORS=[validator("site.QueryingToken")])):
        assert send("/").challenges[0].parameters["realm"] == "other"
        assert send("/", bearer(GOOD)).status == 401
        assert send("/", bearer("other")).status == 200
    with serving(view):
        assert send("/").challenges[0].parameters["realm"] == "api"
        assert send("/", bearer(GOOD)).status == 200


@sync_and_async
def test_several_validators(mode: str, send: Send) -> None:
    """Each validator knows its own tokens. A token is refused if all refuse it, with the first one's realm."""
    both = [validator("site.OAuth2Token", realm="first"), validator("site.QueryingToken", realm="second")]
    with serving(require_oauth(Witness().view(mode)), OAUTH_GUARD=changed(VALIDATORS=both)):
        assert send("/", bearer(GOOD)).status == 200
        assert send("/", bearer("other")).status == 200
        answer = send("/", bearer("unknown"))
        assert answer.status == 401
        assert [challenge.parameters["realm"] for challenge in answer.challenges] == ["first"]


@sync_and_async
def test_other_keys(mode: str, send: Send) -> None:
    """``COMPAT``, ``SET_USER`` and ``RENDER_ERROR`` do what the arguments of the same names do."""

    def sync_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"user": request.user.username})

    async def async_view(request: HttpRequest) -> JsonResponse:
        return sync_view(request)

    view = require_oauth(sync_view if mode == "def" else async_view)
    with serving(view, OAUTH_GUARD=changed(SET_USER=True)):
        assert send("/", bearer(GOOD)).json == {"user": "alice"}
    with serving(view, OAUTH_GUARD=changed(COMPAT="authlib")):
        assert send("/").header("Pragma") == "no-cache"
    with serving(view, OAUTH_GUARD=changed(RENDER_ERROR=f"{__name__}.render_teapot")):
        answer = send("/")
        assert answer.json == {"teapot": "missing_authorization"}
        assert answer.challenges
        assert answer.header("Cache-Control") == "no-store"
    with serving(view, OAUTH_GUARD=changed(RENDER_ERROR="async_oauth_guard.render_problem")):
        assert send("/").header("Content-Type") == "application/problem+json"


def without(key: str) -> dict[str, Any]:
    values = changed()
    del values[key]
    return values


# A setting, and what the error has to say.
BAD: list[tuple[str, Any, list[str]]] = [
    ("no dictionary", ["REALM"], ["OAUTH_GUARD"]),
    ("none", None, ["OAUTH_GUARD"]),
    ("no validators", without("VALIDATORS"), ["validator"]),
    ("empty validators", changed(VALIDATORS=[]), ["validator"]),
    ("misspelt key", changed(REALMS="x"), ["'REALMS'", "'REALM'"]),
    ("singular key", changed(VALIDATOR=[]), ["'VALIDATOR'", "'VALIDATORS'"]),
    ("lower-case key", changed(realm="x"), ["'realm'", "'REALM'"]),
    ("unheard-of key", changed(FLAVOUR="x"), ["'FLAVOUR'"]),
    ("realm of a wrong type", changed(REALM=3), ["REALM"]),
    ("realm with a line break", changed(REALM="a\r\nSet-Cookie: x=y"), ["REALM"]),
    ("realm outside ASCII", changed(REALM="h\xe9"), ["REALM"]),
    ("resource that is no URI", changed(RESOURCE="api"), ["RESOURCE"]),
    ("resource with a fragment", changed(RESOURCE="https://api.example.com/#a"), ["RESOURCE"]),
    ("origin with a path", changed(PUBLIC_ORIGIN="https://api.example.com/api"), ["PUBLIC_ORIGIN"]),
    ("unknown compat", changed(COMPAT="flask"), ["COMPAT"]),
    ("set_user of a wrong type", changed(SET_USER="no"), ["SET_USER"]),
    ("renderer that is not there", changed(RENDER_ERROR="tests.nowhere.render"), ["RENDER_ERROR"]),
    ("renderer that cannot be called", changed(RENDER_ERROR=f"{__name__}.GOOD"), ["RENDER_ERROR"]),
    ("validators of a wrong type", changed(VALIDATORS="async_oauth_guard.BearerTokenValidator"), ["VALIDATORS"]),
    ("validator of a wrong type", changed(VALIDATORS=["async_oauth_guard.BearerTokenValidator"]), ["VALIDATORS", "0"]),
    ("misspelt key of a validator", changed(VALIDATORS=[{"BACKENDS": "x"}]), ["'BACKENDS'", "'BACKEND'"]),
    ("no backend", changed(VALIDATORS=[{"OPTIONS": {}}]), ["VALIDATORS", "BACKEND"]),
    ("backend that is not there", changed(VALIDATORS=[{"BACKEND": "tests.nowhere.V"}]), ["BACKEND", "tests.nowhere.V"]),
    (
        "no model",
        changed(VALIDATORS=[{"BACKEND": "async_oauth_guard.BearerTokenValidator"}]),
        ["OPTIONS", "token_model"],
    ),
    ("model that is not there", changed(VALIDATORS=[validator("site.Nothing")]), ["site.Nothing"]),
    (
        "column that is not there",
        changed(VALIDATORS=[validator("site.OAuth2Token", lookup="key")]),
        ["lookup", "'key'"],
    ),
    ("unknown digest", changed(VALIDATORS=[validator("site.OAuth2Token", digest="md0")]), ["OPTIONS", "md0"]),
    ("parameter that is taken", changed(VALIDATORS=[validator("site.OAuth2Token", Scope="x")]), ["OPTIONS", "Scope"]),
    ("cache that is not there", changed(CACHE="redis"), ["CACHE", "'redis'"]),
    ("cache of a wrong type", changed(CACHE=7), ["CACHE", "int"]),
    (
        "no audience",
        changed(VALIDATORS=[without_audience(jwt(), "resource_server")]),
        ["OPTIONS", "pass resource_server=, or give the protector a resource", "resource_server=None"],
    ),
    (
        "no audience for answers",
        changed(VALIDATORS=[without_audience(introspection(), "audience")]),
        ["OPTIONS", "pass audience=, or give the protector a resource", "audience=None"],
    ),
    (
        "secret of everybody's",
        changed(VALIDATORS=[jwt(algorithms=["HS256"])]),
        ["algorithms", "HS256", "pass it as jwks="],
    ),
    ("no algorithm", changed(VALIDATORS=[jwt(algorithms=[])]), ["algorithms", "no token could be valid"]),
    (
        "issuer in the clear",
        changed(VALIDATORS=[jwt(issuer="http://as.example.com")]),
        ["issuer", "https://", "allow_insecure_http=True"],
    ),
    ("negative lifetime", changed(VALIDATORS=[jwt(jwks_ttl=-1)]), ["jwks_ttl", "0 or more"]),
    ("negative cache_ttl", changed(VALIDATORS=[introspection(cache_ttl=-1)]), ["cache_ttl", "0 or more"]),
    ("unknown profile", changed(VALIDATORS=[jwt(profile="keycloack")]), ["profile", "'keycloack'", "'keycloak'"]),
    ("no secret", changed(VALIDATORS=[introspection(client_secret="")]), ["client_secret", "client_secret_basic"]),
    ("parameter outside ASCII", changed(VALIDATORS=[validator("site.OAuth2Token", a="\xe9")]), ["OPTIONS", "a"]),
]
bad = pytest.mark.parametrize(("value", "says"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])


@bad
def test_bad_setting(value: Any, says: list[str]) -> None:
    """R134: a setting that cannot work is ``ImproperlyConfigured`` at first use, with the key and the nearest one."""
    view = require_oauth("profile")(Witness().view("def"))
    with override_settings(OAUTH_GUARD=value), pytest.raises(ImproperlyConfigured) as caught:
        view(RequestFactory().get("/", headers={"Authorization": "Bearer x"}))
    assert [part for part in says if part not in str(caught.value)] == []


@sync_and_async
@bad
def test_bad_setting_over_http(value: Any, says: list[str], mode: str, send: Send) -> None:
    """R124, R134: a bad setting lets nobody in, and says nothing of itself to clients."""
    witness = Witness()
    with serving(require_oauth(optional=True)(witness.view(mode)), OAUTH_GUARD=value):
        assert send("/", bearer(GOOD)).status == 500
    assert witness.entered == 0


@bad
def test_bad_setting_is_found_by_a_check(value: Any, says: list[str]) -> None:
    """R134: ``manage.py check`` finds it before, with an id and a hint."""
    view = require_oauth("profile")(Witness().view("def"))
    with serving(view, OAUTH_GUARD=value):
        found = [message for message in run_checks() if (message.id or "").startswith("async_oauth_guard.")]
    errors = [message for message in found if isinstance(message, Error)]
    assert errors
    assert all(message.hint for message in errors)
    text = " ".join(message.msg for message in errors)
    assert [part for part in says if part not in text] == []


@pytest.mark.usefixtures("no_other_protectors")
def test_user_field_that_is_not_there() -> None:
    """E003, R134: a column of the user model that is not there is found by the check, before a token needs it."""
    with serving(require_oauth(Witness().view("def")), OAUTH_GUARD=changed(VALIDATORS=[jwt(user_lookup="nickname")])):
        found = [message for message in run_checks() if message.id == "async_oauth_guard.E003"]
    assert [message.msg for message in found] == ["user_lookup must name a field of auth.User, got 'nickname'"]


@pytest.mark.usefixtures("no_other_protectors")
def test_what_weakens_security_is_warned_of() -> None:
    """W005, W006: what was switched off in the setting is said, and is no error."""
    setting = changed(VALIDATORS=[introspection(), jwt(allow_insecure_http=True)])
    with serving(require_oauth(Witness().view("def")), OAUTH_GUARD=setting):
        found = [str(message.id) for message in run_checks() if str(message.id).startswith("async_oauth_guard.")]
    assert found == ["async_oauth_guard.W005", "async_oauth_guard.W006"]


@pytest.mark.usefixtures("no_other_protectors")
def test_good_setting_passes_the_checks() -> None:
    """The suite's own setting gives no error."""
    with serving(require_oauth("profile")(Witness().view("def"))):
        found = [message for message in run_checks() if (message.id or "").startswith("async_oauth_guard.E")]
    assert found == []


def test_bad_setting_does_not_matter_before_use() -> None:
    """Views can be guarded while the setting is bad, or not there: it is read when a request comes."""
    with override_settings(OAUTH_GUARD={"REALMS": "x"}):
        require_oauth("profile")(Witness().view("def"))
