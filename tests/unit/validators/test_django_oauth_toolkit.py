"""Validates django-oauth-toolkit's access tokens in its own table."""

import datetime
import hashlib
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, JsonResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from django.utils import timezone
from oauth2_provider.decorators import protected_resource
from oauth2_provider.models import AbstractAccessToken, AccessToken, Application
from oauth2_provider.views import IntrospectTokenView

import async_oauth_guard
from async_oauth_guard import (
    BearerTokenValidator,
    InsufficientScopeError,
    IntrospectTokenValidator,
    InvalidTokenError,
    ResourceProtector,
)
from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.access_token import TokenState
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import Row
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.sites import MODES, serving
from tests.unit.driving import authorization_context, drive

LATER = datetime.timedelta(hours=1)


def row(**values: Any) -> Any:
    """An unsaved row."""
    return AccessToken(**{"token": "t", "expires": timezone.now() + LATER, "scope": "read write", **values})


def validator(**options: Any) -> BearerTokenValidator:
    return BearerTokenValidator.for_django_oauth_toolkit(**options)


def test_lookup() -> None:
    """A token is looked up by its SHA-256 checksum, with user and client in the same query."""
    _, (effect,) = drive(validator().authenticate_flow(Secret("abc")), [])
    assert isinstance(effect, Row)
    assert effect.queryset.model is AccessToken
    assert effect.field == "token_checksum"
    assert effect.key.reveal() == hashlib.sha256(b"abc").hexdigest()
    assert str(effect.queryset.query).count(" JOIN ") == 2
    assert validator().coalesces


def test_options_may_be_changed() -> None:
    """Options override the defaults."""
    _, (effect,) = drive(validator(lookup="token", digest=None, select_related=()).authenticate_flow(Secret("abc")), [])
    assert isinstance(effect, Row)
    assert (effect.field, effect.key.reveal()) == ("token", "abc")
    assert " JOIN " not in str(effect.queryset.query)


class OwnAccessToken(AbstractAccessToken):
    """A swapped model of the site."""

    user = None  # type: ignore[assignment]
    source_refresh_token = None  # type: ignore[assignment]
    id_token = None  # type: ignore[assignment]
    application = None  # type: ignore[assignment]

    class Meta:
        app_label = "site"
        managed = False


@pytest.mark.parametrize("label", ["site.OwnAccessToken", "site.ownaccesstoken"])
def test_swapped_model(label: str) -> None:
    """A swapped model is used."""
    with override_settings(OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL=label):
        assert validator().token_model is OwnAccessToken
    assert validator().token_model is AccessToken


@pytest.mark.parametrize("label", ["site.Nothing", "nowhere.Token", "nonsense"])
def test_swapped_model_that_is_not_there(label: str) -> None:
    """R134: if the swapped model does not exist, the message says what may be missing."""
    wanted = f"the model '{label}' does not exist; is 'oauth2_provider' in INSTALLED_APPS"
    with override_settings(OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL=label), pytest.raises(ImproperlyConfigured, match=wanted):
        _ = validator().token_model


API = "https://api.example.com"
RESOURCES: list[tuple[Any, str | None, bool]] = [
    ([], None, True),
    ([], f"{API}/x", True),
    ([API], f"{API}/x", True),
    ([API], API, True),
    ([f"{API}/v1"], f"{API}/v1/x", True),
    ([f"{API}/v1"], f"{API}/v1?q=1", True),
    ([f"{API}/v1"], f"{API}/v2", False),
    ([f"{API}/v1"], f"{API}/v10", False),
    (["https://other.example.com", API], f"{API}/x", True),
    (["https://other.example.com"], f"{API}/x", False),
    (["https://api.example.com.evil.example"], f"{API}/x", False),
    ([API], "https://api.example.com.evil.example/x", False),
    ([API], "http://api.example.com/x", False),
    ([API], None, False),
    ([API], "", False),
]


@pytest.mark.parametrize(("resource", "uri", "expected"), RESOURCES)
def test_resources(resource: Any, uri: str | None, expected: bool) -> None:
    """R28, R118: a row with resources is valid for URIs below one of them, and never without a URI."""
    state = validator().read_state(row(resource=resource), authorization_context(uri=uri))
    assert state.reason == (None if expected else Reason.WRONG_AUDIENCE)


def test_own_comparison_of_resources(settings: Any) -> None:
    """The site's own comparison gets the URI without its query."""
    seen = []

    def compare(uri: str, resources: Any) -> bool:
        seen.append((uri, resources))
        return True

    from oauth2_provider.settings import oauth2_settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oauth2_settings, "RESOURCE_SERVER_TOKEN_RESOURCE_VALIDATOR", compare, raising=False)
        assert validator().read_state(row(resource=["x"]), authorization_context(uri=f"{API}/x?q")).reason is None
    assert seen == [(f"{API}/x", ["x"])]


ALICE, BOB = User(pk=7), User(pk=8, is_active=False)

STATES: list[tuple[dict[str, Any], TokenState]] = [
    ({"user": ALICE}, TokenState(None, "read write", ALICE, {})),
    ({}, TokenState(None, "read write", None, {})),
    ({"user": BOB}, TokenState(Reason.INACTIVE_USER, "read write", BOB, {})),
    ({"expires": timezone.now() - LATER}, TokenState(Reason.EXPIRED)),
    ({"expires": timezone.now() - LATER, "resource": ["x"]}, TokenState(Reason.EXPIRED)),
    ({"expires": None}, TokenState(Reason.EXPIRED)),
]


@pytest.mark.parametrize(("values", "state"), STATES)
def test_states(values: dict[str, Any], state: TokenState) -> None:
    """R26: the columns ``expires``, ``scope`` and ``user`` are read, in the same order as for other rows."""
    assert validator().read_state(row(**values), authorization_context()) == state


def test_rows_that_are_not_valid_for_reasons_of_their_own() -> None:
    """The ``is_valid()`` of a swapped model may refuse a token, before resources are checked."""

    class Own(AccessToken):
        class Meta:
            proxy = True
            app_label = "site"

        def is_valid(self, scopes: Any = None) -> bool:
            return False

    state = validator().read_state(Own(expires=timezone.now() + LATER, resource=["x"]), authorization_context())
    assert state == TokenState(Reason.REVOKED)


def test_rows_without_the_column_for_resources() -> None:
    """Older versions of the toolkit have no resources."""
    token = SimpleNamespace(is_expired=bool, is_valid=lambda: True, application=None, scope="a", user=ALICE)
    assert validator().read_state(token, authorization_context()) == TokenState(None, "a", ALICE, {})


class Clients:
    """Clients of a site that can disable them."""

    def __init__(self, usable: bool) -> None:
        self.usable = usable
        self.seen: list[Any] = []

    def is_usable(self, request: Any) -> bool:
        self.seen.append((request.uri, request.http_method, dict(request.headers)))
        return self.usable


@pytest.mark.parametrize("usable", [True, False])
@pytest.mark.parametrize(
    ("method", "uri", "seen"),
    [("POST", f"{API}/x", (f"{API}/x", "POST")), (None, None, ("", "GET"))],
)
def test_clients_that_are_switched_off(usable: bool, method: Any, uri: Any, seen: Any) -> None:
    """A token of a client that is not usable is refused. ``is_usable()`` gets the request if there is one."""
    clients = Clients(usable)
    token = SimpleNamespace(
        is_expired=bool, is_valid=lambda: True, resource=[], application=clients, scope="a", user=ALICE
    )
    state = validator().read_state(token, authorization_context(method=method, uri=uri, headers={"X-Device": "d"}))
    assert state.reason == (None if usable else Reason.UNUSABLE_CLIENT)
    (called,) = clients.seen
    assert called[:2] == seen
    assert ("X-Device" in called[2]) == (method is not None)


async def forgotten(*arguments: Any) -> bool:
    return False


@pytest.mark.parametrize("name", ["is_valid", "allows_audience", "is_usable"])
def test_models_that_do_not_decide(name: str) -> None:
    """R124: a model's method that does not return a ``bool`` is a bug of the site, and lets no request in."""
    methods = {"is_valid": lambda: True, "allows_audience": lambda uri: True, "is_usable": lambda request: True}
    own: Any = SimpleNamespace(**{**methods, name: forgotten})
    token = SimpleNamespace(
        is_expired=bool,
        is_valid=own.is_valid,
        resource=["x"],
        allows_audience=own.allows_audience,
        application=type("Client", (), {"is_usable": staticmethod(own.is_usable)})(),
        scope="a",
        user=ALICE,
    )
    with pytest.raises(TypeError, match=r"^forgotten\(\) must return a bool, got coroutine$"):
        validator().read_state(token, authorization_context(uri=f"{API}/x"))


def test_clients_of_the_toolkit_are_usable() -> None:
    """The toolkit's own method allows all clients, and is not called."""
    assert validator().read_state(row(application=Application()), authorization_context()).reason is None


# With the table.


def create(token: str = "the-token", **values: Any) -> Any:
    created = row(token=token, **values)
    created.save()
    return created


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(validator())


@pytest.mark.django_db
def test_validate_token(protector: ResourceProtector) -> None:
    """R26 to R28: `validate_token` validates a token without a request. One with resources is refused without a URI."""
    created = create()
    assert protector.validate_token("the-token", "read") == created
    assert async_to_sync(protector.avalidate_token)("the-token", "read") == created
    with pytest.raises(InsufficientScopeError):
        protector.validate_token("the-token", "admin")
    for wrong in ("the-tokem", "THE-TOKEN", created.token_checksum):
        with pytest.raises(InvalidTokenError):
            protector.validate_token(wrong)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("uri", "expected"), [(f"{API}/v1/x", True), (f"{API}/v1", True), (API, False), (None, False), ("", False)]
)
def test_validate_token_for_a_uri(uri: str | None, expected: bool, protector: ResourceProtector) -> None:
    """R28: ``uri=`` says what the token is used for."""
    created = create(resource=[f"{API}/v1"])
    for validate in (protector.validate_token, async_to_sync(protector.avalidate_token)):
        if expected:
            assert validate("the-token", uri=uri) == created
            continue
        with pytest.raises(InvalidTokenError) as caught:
            validate("the-token", uri=uri)
        assert caught.value.reason == Reason.WRONG_AUDIENCE


URIS: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "http://testserver/x/", True),
    ({}, "http://testserver", True),
    ({}, API, False),
    ({"public_origin": API}, f"{API}/x", True),
    ({"public_origin": API}, "http://testserver", False),
    ({"resource": f"{API}/v1"}, API, True),
    ({"resource": f"{API}/v1"}, f"{API}/v1", False),
    ({"resource": f"{API}/v1", "public_origin": "https://public.example.com"}, "https://public.example.com/x/", True),
    ({"resource": f"{API}/v1", "public_origin": "https://public.example.com"}, API, False),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("options", "resource", "expected"), URIS)
def test_uri_of_a_request(options: dict[str, Any], resource: str, expected: bool) -> None:
    """R28, R118: the URI comes from ``public_origin``, ``resource`` or ``Host``, in this order."""
    created = create(resource=[resource])
    protector = ResourceProtector(validator(), **options)
    request = RequestFactory().get("/x/?q=1", headers={"Authorization": "Bearer the-token"})
    if expected:
        assert protector.acquire_token(request) == created
        assert async_to_sync(protector.aacquire_token)(request) == created
        return
    with pytest.raises(InvalidTokenError) as caught:
        protector.acquire_token(request)
    assert caught.value.reason == Reason.WRONG_AUDIENCE


@pytest.fixture(scope="module")
def alice(committed: Committed) -> User:
    """A user with a row and a client that every server thread sees."""
    user = committed.user("alice")
    client = committed.row(Application(client_id="the-client", name="n", user=user))
    committed.row(row(token="seen-by-all", user=user, application=client))
    return user


@pytest.mark.django_db
@pytest.mark.parametrize("mode", MODES)
def test_views(mode: str, protector: ResourceProtector, send: Send, alice: User) -> None:
    """R1, R126: a row of the toolkit is accepted by sync and async views, with user and client loaded."""

    def view(request: HttpRequest) -> JsonResponse:
        token = async_oauth_guard.AccessToken.of(request)
        assert token is not None
        row_ = request.oauth_token  # type: ignore[attr-defined]
        return JsonResponse({**token, "user": row_.user.username, "client": row_.application.client_id})

    async def aview(request: HttpRequest) -> JsonResponse:
        return view(request)

    with serving(protector("read")(view if mode == "def" else aview)):
        answer = send("/", bearer("seen-by-all"))
    assert answer.status == 200
    known = answer.json
    assert isinstance(known.pop("exp"), float)
    assert known == {
        "scope": "read write",
        "sub": str(alice.pk),
        "client_id": "the-client",
        "aud": [],
        "user": "alice",
        "client": "the-client",
    }


# Sites before and after the move. Each name is that of a row of `docs/moving-from-django-oauth-toolkit.md`.

SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


def greet(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.username})  # type: ignore[union-attr]


@pytest.mark.django_db
@pytest.mark.parametrize("cookie", [[], [(b"cookie", b"sessionid=of-nobody")]], ids=["no session", "session"])
def test_post_without_a_token(cookie: Any, protector: ResourceProtector, send: Send) -> None:
    """The guard asks for a token before Django's check can refuse the request, unless the token is optional."""
    statuses = []
    for guarded in (protected_resource()(greet), protector(greet), protector(optional=True)(greet)):
        with serving(guarded, MIDDLEWARE=SESSIONS):
            answer = send("/", cookie, method="POST")
            statuses.append((answer.status, bool(answer.challenges), b"CSRF verification failed" in answer.body))
    assert statuses == [(403, False, True), (401, True, False), (403, False, True)]


@pytest.mark.django_db
@pytest.mark.usefixtures("alice")
def test_user_of_the_middleware(send: Send) -> None:
    """Only a guarded view gets the token's user, also if `login_required` is above the guard."""
    setting_user = ResourceProtector(validator(), set_user=True)
    middleware = [*SESSIONS, "oauth2_provider.middleware.OAuth2TokenMiddleware"]
    backends = ["oauth2_provider.backends.OAuth2Backend"]
    with serving(login_required(greet), MIDDLEWARE=middleware, AUTHENTICATION_BACKENDS=backends):
        assert send("/", bearer("seen-by-all")).json == {"user": "alice"}
    for view, status in ((login_required(greet), 302), (login_required(setting_user(greet)), 302)):
        with serving(view, MIDDLEWARE=SESSIONS):
            assert send("/", bearer("seen-by-all")).status == status
    with serving(setting_user(greet), MIDDLEWARE=SESSIONS):
        assert send("/", bearer("seen-by-all")).json == {"user": "alice"}


def toolkit_client() -> httpx.AsyncClient:
    """Sends what the guard asks to the toolkit's own endpoint."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(ASGIHandler()))


INTROSPECTED: list[tuple[str, dict[str, Any], int]] = [
    ("seen-by-all", {}, 200),
    ("seen-by-all", {"audience": API}, 401),
    ("for-the-api", {"audience": API}, 200),
    ("for-another", {"audience": API}, 401),
    ("for-another", {}, 200),
    ("of-a-client", {}, 200),
    ("unknown", {}, 401),
    ("seen-by-all", {"client_auth": "bearer", "client_id": None, "client_secret": "may-introspect"}, 200),
    ("seen-by-all", {"client_auth": "bearer", "client_id": None, "client_secret": "of-a-client"}, 503),
]


@pytest.fixture(scope="module")
def _introspected(committed: Committed, alice: User) -> None:
    kind = {"client_type": "confidential", "authorization_grant_type": "client-credentials"}
    client = committed.row(Application(client_id="rs", client_secret="a secret: of rs", name="rs", **kind))
    for token, values in {
        "for-the-api": {"user": alice, "resource": [API]},
        "for-another": {"user": alice, "resource": ["https://other.example.com"]},
        "of-a-client": {"application": client},
        "may-introspect": {"application": client, "scope": "introspection"},
    }.items():
        committed.row(row(token=token, **values))


@pytest.mark.django_db
@pytest.mark.usefixtures("_introspected")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("token", "options", "status"), INTROSPECTED)
def test_introspection_at_the_toolkit(
    token: str, options: dict[str, Any], status: int, mode: str, send: Send, settings: Any
) -> None:
    """The options that the page shows are right for the toolkit's endpoint. It sends ``aud`` for ``resource`` only."""
    settings.ALLOWED_HOSTS = ["testserver", "as.example.com"]
    shown = {"client_id": "rs", "client_secret": "a secret: of rs", "audience": None, **options}
    introspecting = IntrospectTokenValidator(
        "https://as.example.com/o/introspect/",
        user_lookup=("username", "username"),
        http_client=toolkit_client,
        cache_ttl=0,
        **shown,
    )
    seen: list[Any] = []

    def view(request: HttpRequest) -> JsonResponse:
        found = request.oauth_token  # type: ignore[attr-defined]
        seen.append((type(found), found.user and found.user.username))
        return JsonResponse({})

    async def aview(request: HttpRequest) -> JsonResponse:
        return view(request)

    guarded = ResourceProtector(introspecting)("read")(view if mode == "def" else aview)
    with serving([path("", guarded), path("o/introspect/", IntrospectTokenView.as_view())]):
        assert send("/", bearer(token)).status == status
    user = None if token == "of-a-client" else "alice"
    assert seen == ([(async_oauth_guard.AccessToken, user)] if status == 200 else [])
