"""``ResourceProtector``: the arguments that it accepts and refuses, and the methods that validate tokens."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory, override_settings
from django.views import View

from async_oauth_guard import (
    DPoP,
    GuardError,
    InsufficientScopeError,
    IntrospectTokenValidator,
    InvalidDPoPProofError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    ProtectedResourceMixin,
    ResourceProtector,
    TemporarilyUnavailableError,
    TokenValidator,
    UnsupportedTokenTypeError,
    render_problem,
    require_oauth,
    token_authenticated,
    token_rejected,
)
from async_oauth_guard.errors import Reason
from async_oauth_guard.guard.protector import ALL_PROTECTORS
from async_oauth_guard.protocol.credentials import MAX_TOKEN_LENGTH
from tests.rfc9110 import Challenge, read_challenges

ALICE = User(pk=7, username="alice")


def token(scope: Any = "a b", **values: Any) -> Any:
    """A token with Authlib's protocol that is in no database."""
    return SimpleNamespace(is_expired=bool, is_revoked=bool, get_scope=lambda: scope, user=ALICE, **values)


class Source(TokenValidator):
    """Knows the tokens that it was given."""

    def __init__(self, realm: str | None = None, known: Any = None, **attributes: Any) -> None:
        super().__init__(realm, **attributes)
        self.known = {"good": token()} if known is None else known

    def authenticate_token(self, token_string: str) -> Any:
        return self.known.get(token_string)


class Down(TokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        raise TemporarilyUnavailableError


class Mac(Source):
    TOKEN_TYPE = "MAC"


def request_with(header: str | None = "Bearer good", method: str = "GET") -> HttpRequest:
    return RequestFactory().generic(method, "/", headers={} if header is None else {"Authorization": header})


def acquire(protector: ResourceProtector, *args: Any, **kwargs: Any) -> Any:
    return protector.acquire_token(*args, **kwargs)


def aacquire(protector: ResourceProtector, *args: Any, **kwargs: Any) -> Any:
    return async_to_sync(protector.aacquire_token)(*args, **kwargs)


def validate(protector: ResourceProtector, *args: Any, **kwargs: Any) -> Any:
    return protector.validate_token(*args, **kwargs)


def avalidate(protector: ResourceProtector, *args: Any, **kwargs: Any) -> Any:
    return async_to_sync(protector.avalidate_token)(*args, **kwargs)


acquiring = pytest.mark.parametrize("method", [acquire, aacquire])
validating = pytest.mark.parametrize("method", [validate, avalidate])

# Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"realm": "é"}, "realm must be printable ASCII"),
        ({"compat": "toolkit"}, "compat must be 'authlib' or None"),
        ({"resource": "api"}, "resource must be a URI with a host and without a fragment"),
        ({"resource": ""}, "resource must be a URI with a host and without a fragment"),
        ({"public_origin": "https://x/y"}, "public_origin must be a scheme and a host"),
        ({"resource": "https://x:65536/y"}, "resource must have a port from 1 to 65535, or none"),
        ({"resource": "http://x:port/y"}, "resource must have a port from 1 to 65535, or none"),
        ({"public_origin": "https://x:99999"}, "public_origin must have a port from 1 to 65535, or none"),
        ({"public_origin": "https://x:0"}, "public_origin must have a port from 1 to 65535, or none"),
        ({"public_origin": ""}, "public_origin must be a scheme and a host"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    """R134: an argument that cannot work is refused when the protector is made."""
    with pytest.raises(ValueError, match=message):
        ResourceProtector(**arguments)


def test_arguments() -> None:
    """What was given is what is used."""
    protector = ResourceProtector(
        realm="r", resource="https://x/y", public_origin="https://x", set_user=True, render_error=render_problem
    )
    options = protector.options
    assert (options.realm, options.resource, options.public_origin) == ("r", "https://x/y", "https://x")
    assert (options.compat, options.set_user, options.render_error) == (None, True, render_problem)
    assert ResourceProtector(compat="authlib").options.compat == "authlib"
    assert protector in ALL_PROTECTORS


@pytest.mark.parametrize("thing", [Source, None, "Source", object(), SimpleNamespace(authenticate_token=7)])
def test_no_validators(thing: Any) -> None:
    """A class that somebody forgot to call, or anything else without ``authenticate_token``, is no validator."""
    for register in (ResourceProtector().register_token_validator, ResourceProtector):
        with pytest.raises(TypeError, match=r"a token validator must be an object with authenticate_token\(\), got "):
            register(thing)


@pytest.mark.parametrize("scheme", [None, 7])
def test_validators_without_a_scheme(scheme: Any) -> None:
    """A validator that serves no scheme is never asked, so it is refused."""
    validator = SimpleNamespace(authenticate_token=print, TOKEN_TYPE=scheme)
    with pytest.raises(TypeError, match=r"^SimpleNamespace must have a TOKEN_TYPE, such as 'bearer'$"):
        ResourceProtector(validator)


def test_renderers_that_cannot_be_called() -> None:
    """R134: what cannot be called renders nothing."""
    with pytest.raises(TypeError, match=r"^render_error must be "):
        ResourceProtector(render_error="dotted.path")  # type: ignore[arg-type]


NOT_ASKED = ["aacquire_token", "get_token_validator", "parse_request_authorization", "validate_request"]


@pytest.mark.parametrize("name", NOT_ASKED)
def test_methods_that_would_never_be_called(name: str) -> None:
    """R124: a subclass that counts on a method of Authlib's class which nobody asks here is refused."""
    with pytest.raises(TypeError, match=rf"^Own.{name}\(\) would never be called: "):
        type("Own", (ResourceProtector,), {name: lambda self: None})


@pytest.mark.parametrize("arguments", [{"optional": True}, {"optional": None}, {"groups": "g"}])
def test_arguments_beside_a_view(arguments: dict[str, Any]) -> None:
    """R124: arguments that would be lost are refused."""
    with pytest.raises(TypeError, match="a view must be the only argument"):
        ResourceProtector(Source())(view, **arguments)


class OwnAcquire(ResourceProtector):
    """Records its arguments, and returns or raises ``given``."""

    given: Any = None

    def acquire_token(self, request: Any, scopes: Any = None, level: Any = None, **requirements: Any) -> Any:
        self.asked = (scopes, {"level": level, **requirements})
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


class OwnAsyncAcquire(OwnAcquire):
    async def acquire_token(  # type: ignore[override]
        self, request: Any, scopes: Any = None, level: Any = None, **requirements: Any
    ) -> Any:
        return super().acquire_token(request, scopes, level, **requirements)


OWN_ANSWERS: list[tuple[Any, int]] = [
    (token(), 200),
    (None, 401),
    (InvalidTokenError(), 401),
    (InsufficientScopeError(), 403),
    (TemporarilyUnavailableError(), 503),
    (InvalidRequestError("why"), 400),
]


def test_own_acquire_token() -> None:
    """Guarded views call a subclass's ``acquire_token``, sync or async, with a copy of the scopes."""
    for cls in (OwnAcquire, OwnAsyncAcquire):
        for inner in (view, aview):
            for given, status in OWN_ANSWERS:
                protector = cls(TakesLevel())
                protector.given = given
                scopes = ["a", "b"]
                response = answer_of(protector(scopes, level=7)(inner), request_with())
                assert response.status_code == status
                assert protector.asked == (["a", "b"], {"level": 7})
                assert protector.asked[0] is not scopes
                assert ("WWW-Authenticate" in response) == (status in (400, 401, 403))


def test_validators_in_order() -> None:
    """Validators are called in the order in which they were given and registered."""
    first, second, third = Source(), Source(), Source()
    protector = ResourceProtector(first, second)
    protector.register_token_validator(third)
    assert protector.validators == [first, second, third]


def test_validators_may_be_registered_after_a_request() -> None:
    """A validator that is registered late is called from then on."""
    protector = ResourceProtector(Source(known={}))
    with pytest.raises(InvalidTokenError):
        protector.acquire_token(request_with())
    protector.register_token_validator(Source())
    assert protector.acquire_token(request_with()).get_scope() == "a b"


@pytest.mark.parametrize(("realm", "attributes"), [("é", {}), ("a\nb", {}), (None, {"a": "é"}), (None, {"error": "x"})])
def test_validators_whose_challenge_cannot_be_written(realm: Any, attributes: dict[str, str]) -> None:
    """R16, R134: a class of Authlib's does not look at its options, so they are looked at when it is registered."""

    class OfAuthlib(AuthlibTokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            return None

    with pytest.raises(ValueError):
        ResourceProtector(OfAuthlib(realm, **attributes))


@pytest.mark.parametrize("method", [acquire, aacquire, validate, avalidate])
def test_without_a_validator(method: Any) -> None:
    """E001's reason: without a validator nobody can be let in, which is the site's mistake and nobody's 401."""
    with pytest.raises(ImproperlyConfigured, match="this ResourceProtector must have a token validator"):
        method(ResourceProtector(), request_with() if method in (acquire, aacquire) else "good")


def test_without_a_validator_as_authlib() -> None:
    """Authlib's protector without a validator refuses every request."""
    with pytest.raises(UnsupportedTokenTypeError):
        ResourceProtector(compat="authlib").acquire_token(request_with())


# Keywords.


class TakesLevel(Source):
    def validate_token(self, token: Any, scopes: Any, request: Any, level: Any = None) -> None:
        self.seen = level


class TakesAll(Source):
    def validate_token(self, token: Any, scopes: Any, request: Any, **anything: Any) -> None:
        self.seen = anything


REFUSALS: list[tuple[list[Any], dict[str, Any], str]] = [
    ([Source()], {"level": 7}, r"Source.validate_token\(\) must accept the keyword level$"),
    ([TakesLevel(), Source()], {"level": 7}, r"Source.validate_token\(\) must accept the keyword level$"),
    ([Source(), TakesAll()], {"level": 7}, r"Source.validate_token\(\) must accept the keyword level$"),
    ([TakesLevel()], {"lavel": 7}, r"TakesLevel.validate_token\(\) must accept the keyword lavel$"),
]


@pytest.mark.parametrize(("validators", "keywords", "message"), REFUSALS)
def test_keywords_that_no_validator_takes(validators: Any, keywords: dict[str, Any], message: str) -> None:
    """A keyword has to be taken by every validator; it is a ``TypeError`` at decoration, naming both."""
    protector = ResourceProtector(*validators)
    with pytest.raises(TypeError, match=message):
        protector(**keywords)
    with pytest.raises(TypeError, match=message):
        protector.protect_urls([], **keywords)
    for method in (acquire, aacquire):
        with pytest.raises(TypeError, match=message):
            method(protector, request_with(), **keywords)
    for method in (validate, avalidate):
        with pytest.raises(TypeError, match=message):
            method(protector, "good", **keywords)


@pytest.mark.parametrize("validators", [[TakesLevel()], [TakesAll()], [TakesAll(), TakesLevel()], []])
def test_keywords_that_validators_take(validators: Any) -> None:
    """Where each takes it, or none is there yet, nothing is said."""
    ResourceProtector(*validators)(level=7)


def test_keywords_are_handed_on() -> None:
    """A keyword reaches the validator's own ``validate_token``, a string in a list."""
    first, second = TakesLevel(), TakesAll(known={"good": token(roles=["r"], groups=["g"])})
    ResourceProtector(first).acquire_token(request_with(), level="gold")
    ResourceProtector(second).acquire_token(request_with(), level=7, roles="r", groups=["g"])
    assert first.seen == ["gold"]
    assert second.seen == {"level": 7, "roles": ["r"], "groups": ["g"]}


def test_keywords_of_validators_that_come_late() -> None:
    """A validator registered after the decoration that does not take a keyword is a ``TypeError`` at the request."""
    protector = ResourceProtector()

    @protector(level=7)
    def view(request: HttpRequest) -> HttpResponse:
        raise AssertionError("entered")

    protector.register_token_validator(Source())
    for header in ("Bearer good", None):
        with pytest.raises(TypeError, match=r"Source.validate_token\(\) must accept the keyword level$"):
            view(request_with(header))


SOURCE_IN_SETTINGS = {"VALIDATORS": [{"BACKEND": "tests.unit.guard.test_protector.Source"}]}


def test_keywords_of_the_settings_validators() -> None:
    """The setting is read at the first request, so such a keyword is a ``TypeError`` then, and not before."""
    protector = ResourceProtector.from_settings()

    @protector(level=7)
    def view(request: HttpRequest) -> HttpResponse:
        raise AssertionError("entered")

    with (
        override_settings(OAUTH_GUARD=SOURCE_IN_SETTINGS),
        pytest.raises(TypeError, match=r"Source.validate_token\(\) must accept the keyword level$"),
    ):
        view(request_with())


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"optional": 1}, TypeError, "^optional must be True or False, got int$"),
    ({"optional": None}, TypeError, "^optional must "),
    ({"scopes": ""}, ValueError, "^scopes must "),
    ({"scopes": 7}, TypeError, "^scopes must "),
    ({"scopes": "a", "scope": "a"}, TypeError, "^scopes and scope"),
    ({"check": 7}, TypeError, "^check must be "),
]


@pytest.mark.parametrize(("keywords", "error", "message"), WRONG)
@pytest.mark.parametrize("guard", [ResourceProtector(Source()), ResourceProtector.from_settings()])
def test_wrong_keywords(keywords: Any, error: type[Exception], message: str, guard: ResourceProtector) -> None:
    """R120: invalid requirements are refused at decoration."""
    with pytest.raises(error, match=message):
        guard(**keywords)


def test_second_argument_is_optional() -> None:
    """As in Authlib, ``optional`` may be given by its position."""
    assert ResourceProtector(Source())(None, True)(lambda request: "seen")(request_with(None)) == "seen"


def test_use_is_noted() -> None:
    """A protector knows whether it guards anything."""
    protector = ResourceProtector(Source())
    assert not protector.is_used
    protector.acquire_token(request_with())
    assert not protector.is_used
    protector("a")
    assert protector.is_used


# Direct calls.

OUTCOMES: list[tuple[str | None, Any, Any]] = [
    ("Bearer good", None, None),
    ("Bearer good", "a", None),
    ("Bearer good", ["c", "a b"], None),
    ("Bearer good", "c", InsufficientScopeError),
    ("Bearer bad", "a", InvalidTokenError),
    (None, "a", MissingAuthorizationError),
    ("Basic good", "a", UnsupportedTokenTypeError),
    ("Bearer good x", "a", InvalidRequestError),
    ("Bearer good,Bearer good", "a", InvalidRequestError),
]


@acquiring
@pytest.mark.parametrize(("header", "scopes", "error"), OUTCOMES)
def test_acquiring(method: Any, header: str | None, scopes: Any, error: Any) -> None:
    """The check without the decorator gives the token, or raises the error with its challenge."""
    source = Source("r")
    if error is None:
        assert method(ResourceProtector(source), request_with(header), scopes) is source.known["good"]
        return
    with pytest.raises(error) as caught:
        method(ResourceProtector(source), request_with(header), scopes)
    (challenge,) = read_challenges(caught.value.challenge)
    assert challenge.parameters["realm"] == "r"


@acquiring
def test_acquiring_with_requirements(method: Any) -> None:
    """These methods accept every keyword of the decorator."""
    protector = ResourceProtector(Source())
    method(protector, request_with(), scope="a", require_user=True, check=lambda request, token: True, fresh=True)
    with pytest.raises(InsufficientScopeError):
        method(protector, request_with(), groups="g")
    with pytest.raises(InsufficientScopeError):
        method(protector, request_with(method="POST"), {"GET": "a"})


@acquiring
def test_acquiring_from_a_source_that_is_down(method: Any) -> None:
    """E21: an outage is not a refusal."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        method(ResourceProtector(Down()), request_with())
    assert caught.value.challenge is None
    assert caught.value.retry_after == 1


@validating
@pytest.mark.parametrize(
    ("presented", "scopes", "error"),
    [
        ("good", None, None),
        ("good", "a", None),
        ("good", {"*": "a"}, None),
        ("good", {"GET": "a"}, InsufficientScopeError),
        ("good", "c", InsufficientScopeError),
        ("bad", "a", InvalidTokenError),
        ("Bearer good", "a", InvalidTokenError),
        ("", "a", InvalidTokenError),
        ("\0", None, InvalidTokenError),
        ("x" * MAX_TOKEN_LENGTH, None, InvalidTokenError),
    ],
)
def test_validating(method: Any, presented: str, scopes: Any, error: Any) -> None:
    """R12, R27: a token is validated in full without a request, with the ``*`` of a mapping."""
    source = Source()
    if error is None:
        assert method(ResourceProtector(source), presented, scopes) is source.known["good"]
        return
    with pytest.raises(error):
        method(ResourceProtector(source), presented, scopes)


@validating
def test_validating_what_is_too_long(method: Any) -> None:
    """R12: no validator gets a token that is too long."""

    class Unasked(TokenValidator):
        def recognises(self, token: str) -> bool:
            raise AssertionError("asked")

    with pytest.raises(InvalidTokenError) as caught:
        method(ResourceProtector(Unasked()), "x" * (MAX_TOKEN_LENGTH + 1))
    assert caught.value.reason == Reason.TOKEN_TOO_LONG


@validating
def test_validating_asks_all_schemes(method: Any) -> None:
    """Without a scheme, the validators of every scheme are called."""
    mac = Mac(known={"other": token("x")})
    assert method(ResourceProtector(Source(), mac), "other") is mac.known["other"]


@validating
@pytest.mark.parametrize("thing", [None, b"good", 7])
def test_validating_what_is_no_string(method: Any, thing: Any) -> None:
    """A value that is not a string is the caller's mistake, not a token that happens to read ``None``."""
    source = Source(known={str(thing): token()})
    with pytest.raises(TypeError):
        method(ResourceProtector(source), thing)


def test_direct_calls_on_a_loop() -> None:
    """R126: the sync methods refuse to block a loop, and name their async counterparts."""
    protector = ResourceProtector(Source())

    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=r"Use await aacquire_token\(\) instead"):
            protector.acquire_token(request_with())
        with pytest.raises(SynchronousOnlyOperation, match=r"Use await avalidate_token\(\) instead"):
            protector.validate_token("good")

    asyncio.run(main())


@pytest.fixture
def heard() -> Any:
    """What the signals' receivers heard."""
    calls: list[Any] = []

    def authenticated(sender: Any, **kwargs: Any) -> None:
        calls.append(("authenticated", sender, kwargs["token"]))

    def rejected(sender: Any, **kwargs: Any) -> None:
        calls.append(("rejected", sender, kwargs["request"], kwargs["error"]))

    token_authenticated.connect(authenticated)
    token_rejected.connect(rejected)
    yield calls
    token_authenticated.disconnect(authenticated)
    token_rejected.disconnect(rejected)


@acquiring
def test_signals(method: Any, heard: list[Any]) -> None:
    """Receivers hear of the token that was let in, or of the very error that is raised, with its challenge."""
    protector, source = ResourceProtector(), Source()
    protector.register_token_validator(source)
    method(protector, request_with())
    request = request_with("Bearer bad")
    with pytest.raises(InvalidTokenError) as caught:
        method(protector, request)
    assert heard == [
        ("authenticated", ResourceProtector, source.known["good"]),
        ("rejected", ResourceProtector, request, caught.value),
    ]
    assert caught.value.challenge


@validating
def test_validating_sends_no_signal(method: Any, heard: list[Any]) -> None:
    """Without a request there is nobody to tell of."""
    protector = ResourceProtector(Source())
    method(protector, "good")
    with pytest.raises(InvalidTokenError):
        method(protector, "bad")
    assert heard == []


def test_subclasses_are_senders(heard: list[Any]) -> None:
    """The sender is the protector's own class."""

    class Own(ResourceProtector):
        pass

    Own(Source()).acquire_token(request_with())
    assert heard[0][1] is Own


# Challenges.

CHALLENGES: list[tuple[list[Any], dict[str, Any], str | None, Any, list[Challenge]]] = [
    ([Source()], {}, None, None, [Challenge("bearer", None, {"realm": "api"})]),
    ([Source()], {"realm": "p"}, None, None, [Challenge("bearer", None, {"realm": "p"})]),
    ([Source("v")], {"realm": "p"}, None, None, [Challenge("bearer", None, {"realm": "v"})]),
    (
        [Source("v", server="s")],
        {},
        None,
        "a",
        [Challenge("bearer", None, {"realm": "v", "server": "s", "scope": "a"})],
    ),
    ([Source("v"), Source("w")], {}, None, None, [Challenge("bearer", None, {"realm": "v"})]),
    (
        [Source("v"), Mac("m")],
        {},
        "Basic x",
        None,
        [Challenge("bearer", None, {"realm": "v"}), Challenge("mac", None, {"realm": "m"})],
    ),
    ([Source()], {}, None, ["a b", "c"], [Challenge("bearer", None, {"realm": "api", "scope": "c"})]),
    ([Source()], {}, None, "a offline_access", [Challenge("bearer", None, {"realm": "api", "scope": "a"})]),
    ([Source()], {}, None, "offline_access", [Challenge("bearer", None, {"realm": "api"})]),
    ([Source()], {}, None, {"POST": "a"}, [Challenge("bearer", None, {"realm": "api"})]),
    ([Source()], {}, "Basic x", {"GET": "a", "POST": "b"}, [Challenge("bearer", None, {"realm": "api", "scope": "a"})]),
]


@pytest.mark.parametrize(("validators", "options", "header", "scopes", "expected"), CHALLENGES)
def test_challenges(validators: Any, options: Any, header: Any, scopes: Any, expected: list[Challenge]) -> None:
    """R13, R14, R23, R24: a challenge for each scheme, without an error, with the scopes that this method wants."""
    with pytest.raises(GuardError) as caught:
        ResourceProtector(*validators, **options).acquire_token(request_with(header), scopes)
    assert read_challenges(str(caught.value.challenge)) == expected


def test_challenge_of_the_validator_that_refused() -> None:
    """The realm is that of the validator that refused; other schemes keep theirs, and get no error (R20)."""
    first = Source("first", known={})
    second = Source("second", known={"narrow": token("")})
    protector = ResourceProtector(first, second, Mac("mac"))
    with pytest.raises(InsufficientScopeError) as caught:
        protector.acquire_token(request_with("bearer narrow"), "a offline_access")
    bearer, mac = read_challenges(str(caught.value.challenge))
    assert (bearer.parameters["realm"], bearer.parameters["scope"]) == ("second", "a")
    assert bearer.parameters["error"] == "insufficient_scope"
    assert mac == Challenge("mac", None, {"realm": "mac", "scope": "a"})


@pytest.mark.parametrize("header", ["MAC good", "mac good", "Mac good"])
def test_schemes_of_validators(header: str) -> None:
    """R2: a validator's scheme is compared without regard to case, in its own spelling too."""
    mac = Mac()
    assert ResourceProtector(Source(known={}), mac).acquire_token(request_with(header)) is mac.known["good"]


def test_compat_keeps_the_first_of_a_scheme() -> None:
    """As Authlib does, compat mode asks the first validator of a scheme and forgets the others."""
    protector = ResourceProtector(Source(known={}), Source(), compat="authlib")
    with pytest.raises(InvalidTokenError) as caught:
        protector.acquire_token(request_with())
    assert dict(caught.value.get_headers())["WWW-Authenticate"].startswith('Bearer error="invalid_token"')


def test_compat_errors_are_authlibs() -> None:
    """In compat mode missing groups are an invalid token; the reason stays."""
    protector = ResourceProtector(Source("r"), compat="authlib")
    with pytest.raises(InvalidTokenError) as caught:
        protector.acquire_token(request_with(), groups="g")
    assert caught.value.reason == Reason.INSUFFICIENT_GROUPS


# Views.


def view(request: Any) -> HttpResponse:
    held = request.oauth_token
    return JsonResponse({"token": held is not None, "user": str(getattr(request, "user", "untouched"))})


async def aview(request: Any) -> HttpResponse:
    return view(request)


views = pytest.mark.parametrize("inner", [view, aview])


def answer_of(guarded: Any, request: HttpRequest) -> Any:
    return async_to_sync(guarded)(request) if iscoroutinefunction(guarded) else guarded(request)


@views
@pytest.mark.parametrize(("user", "name"), [(ALICE, "alice"), (None, "AnonymousUser")])
def test_set_user(inner: Any, user: Any, name: str) -> None:
    """R34: the request's user is the token's, or anonymous; ``auser()`` returns the same user."""
    known = token()
    known.user = user
    request: Any = request_with()
    request.user = User(username="of the session")
    response = answer_of(ResourceProtector(Source(known={"good": known}), set_user=True)(inner), request)
    assert b'"user": "%s"' % name.encode() in response.content
    assert async_to_sync(request.auser)() is request.user
    assert isinstance(request.user, AnonymousUser) == (user is None)


@views
def test_set_user_of_what_a_hook_judged(inner: Any) -> None:
    """The user of a token that a hook judged is read as well."""
    request: Any = request_with()
    answer_of(ResourceProtector(TakesAll(), set_user=True)(inner), request)
    assert request.user is ALICE


@views
def test_user_is_left_alone(inner: Any) -> None:
    """Without ``set_user`` the request's user is not changed."""
    assert b"untouched" in answer_of(ResourceProtector(Source())(inner), request_with()).content


@views
def test_renderers(inner: Any) -> None:
    """The configured renderer, sync or async, renders a refusal, and the response is completed in any case."""

    def own(request: HttpRequest, error: GuardError) -> HttpResponse:
        return HttpResponse(f"own {error.error}", status=error.status_code)

    async def aown(request: HttpRequest, error: GuardError) -> HttpResponse:
        return own(request, error)

    renderers: list[Any] = [own, aown]
    for renderer in renderers:
        protector = ResourceProtector(Source(), render_error=renderer)
        response = answer_of(protector(inner), request_with("Bearer bad"))
        assert (response.status_code, response.content) == (401, b"own invalid_token")
        assert read_challenges(response["WWW-Authenticate"])[0].parameters["error"] == "invalid_token"
        assert (response["Cache-Control"], response["Vary"]) == ("no-store", "Authorization")


@views
@pytest.mark.parametrize("returned", [None, "refused", {"error": "invalid_token"}, SimpleNamespace(headers={})])
def test_renderers_that_return_no_response(inner: Any, returned: Any) -> None:
    """A renderer that returns anything but a response is a ``TypeError``, and the view is not called."""
    entered: list[Any] = []

    def entering(request: HttpRequest) -> HttpResponse:
        entered.append(request)
        return HttpResponse()

    async def aentering(request: HttpRequest) -> HttpResponse:
        return entering(request)

    protector = ResourceProtector(Source(), render_error=lambda request, error: returned)
    guarded = protector(aentering if iscoroutinefunction(inner) else entering)
    with pytest.raises(TypeError, match=f"^render_error must return an HttpResponse, got {type(returned).__name__}$"):
        answer_of(guarded, request_with("Bearer bad"))
    assert entered == []


@views
@pytest.mark.parametrize(
    ("renderer", "content_type"), [(None, "application/json"), (render_problem, "application/problem+json")]
)
def test_our_renderers(inner: Any, renderer: Any, content_type: str) -> None:
    """Ours are JSON, or problem details."""
    protector = ResourceProtector(Source(), render_error=renderer)
    response = answer_of(protector(inner), request_with("Bearer bad"))
    assert response["Content-Type"] == content_type
    assert (response["Cache-Control"], response["Vary"]) == ("no-store", "Authorization")


@views
def test_caches(inner: Any) -> None:
    """R25, R131: what was given for a token is private; what was given without one, or as Authlib does, is not."""
    good, compat = ResourceProtector(Source()), ResourceProtector(Source(), compat="authlib")
    assert answer_of(good(inner), request_with())["Cache-Control"] == "private"
    assert "Cache-Control" not in answer_of(good(optional=True)(inner), request_with(None))
    assert "Cache-Control" not in answer_of(compat(inner), request_with())
    assert answer_of(compat(inner), request_with())["Vary"] == "Authorization"


@views
@pytest.mark.parametrize(("header", "status"), [(None, 200), ("", 200), ("Basic x", 401), ("Bearer", 400)])
def test_optional(inner: Any, header: Any, status: int) -> None:
    """Only the absence of credentials is let in."""
    guarded = ResourceProtector(Source())(optional=True)(inner)
    assert answer_of(guarded, request_with(header)).status_code == status


# The ready-made protector.


def test_settings_are_read_at_first_use_and_when_they_change() -> None:
    """The setting is read when a request comes, kept, and read anew after ``setting_changed``."""
    protector = ResourceProtector.from_settings()
    with override_settings(OAUTH_GUARD=SOURCE_IN_SETTINGS):
        first = protector.validators
        assert [type(validator) for validator in first] == [Source]
        assert protector.validators[0] is first[0]
        assert protector.acquire_token(request_with()).get_scope() == "a b"
        setting_changed.send(sender=None, setting="OTHER", value=None, enter=True)
        assert protector.validators[0] is first[0]
    with override_settings(OAUTH_GUARD={**SOURCE_IN_SETTINGS, "REALM": "later"}):
        assert protector.validators[0] is not first[0]
        with pytest.raises(InvalidTokenError) as caught:
            protector.acquire_token(request_with("Bearer bad"))
        assert 'realm="later"' in str(caught.value.challenge)


def test_validators_of_code_survive_a_change_of_settings() -> None:
    """What was registered in code stays, after those of the setting; a plain protector reads no setting at all."""
    protector, plain = ResourceProtector.from_settings(), ResourceProtector(Source())
    registered = Source()
    protector.register_token_validator(registered)
    with override_settings(OAUTH_GUARD=SOURCE_IN_SETTINGS):
        assert protector.validators[1:] == [registered]
        assert len(protector.validators) == 2
        assert len(plain.validators) == 1


class Remembering(IntrospectTokenValidator):
    """Caches what its hook says. The first instance is ready only after ``may_be_ready`` is set."""

    active = True
    instances = 0
    is_building, may_be_ready = threading.Event(), threading.Event()

    def __init__(self) -> None:
        super().__init__(audience=None)
        Remembering.instances += 1
        if Remembering.instances == 1:
            self.is_building.set()
            assert self.may_be_ready.wait(10)

    def introspect_token(self, token_string: str) -> Any:
        return {"active": self.active}

    def cache_identity(self) -> str:
        return "one"


def test_first_requests_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """If several threads read the setting at once, all use the same validators, so ``invalidate`` reaches them."""
    protector = ResourceProtector.from_settings()
    with override_settings(OAUTH_GUARD={"VALIDATORS": [{"BACKEND": f"{__name__}.Remembering"}]}):
        with ThreadPoolExecutor(1) as slow:
            response = slow.submit(protector.acquire_token, request_with())
            assert Remembering.is_building.wait(10)
            protector.acquire_token(request_with())
            Remembering.may_be_ready.set()
            response.result()
        monkeypatch.setattr(Remembering, "active", False)
        protector.invalidate("good")
        with pytest.raises(InvalidTokenError):
            protector.acquire_token(request_with())


@pytest.mark.parametrize("value", [{"REALMS": 1}, None, {"SET_USER": 1, **SOURCE_IN_SETTINGS}])
def test_wrong_settings_let_nobody_in(value: Any) -> None:
    """R124, R134: an invalid setting is ``ImproperlyConfigured`` at the first request, with or without a token."""
    protector = ResourceProtector.from_settings()
    guarded = protector(optional=True)(lambda request: pytest.fail("entered"))
    with override_settings(OAUTH_GUARD=value):
        for header in (None, "Bearer good"):
            with pytest.raises(ImproperlyConfigured):
                guarded(request_with(header))


def test_ready_made_protector() -> None:
    """``require_oauth`` is such a protector, and so is the mixin's."""
    assert isinstance(require_oauth, ResourceProtector)
    assert ProtectedResourceMixin.protector is require_oauth


def test_mixin_behind_view() -> None:
    """R124: a mixin that is named after ``View`` would guard nothing, so the class is refused."""
    with pytest.raises(TypeError, match="must list ProtectedResourceMixin before View"):
        type("V", (View, ProtectedResourceMixin), {"protector": ResourceProtector(Source())})


@pytest.mark.parametrize("name", ["required_scope", "require_scopes", "requires_scopes", "oath_optional"])
def test_mixin_with_a_misspelt_attribute(name: str) -> None:
    """A class whose misspelt attribute would ask for less than its author thinks is refused when it is made."""
    with pytest.raises(TypeError, match=rf"V.{name} has no effect; did you mean (required_scopes|oauth_optional)\?"):
        type("V", (ProtectedResourceMixin, View), {"protector": ResourceProtector(Source()), name: "admin"})


def test_mixin_with_other_attributes() -> None:
    """A class may have additional attributes."""
    own = {"protector": ResourceProtector(Source()), "scope": "a", "required_permissions": (), "oauth_realm": "b"}
    assert issubclass(type("V", (ProtectedResourceMixin, View), own), View)


WRONG_CLASSES: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"required_scopes": ""}, ValueError),
    ({"required_scopes": 7}, TypeError),
    ({"oauth_optional": "yes"}, TypeError),
]


@pytest.mark.parametrize(("attributes", "error"), WRONG_CLASSES)
def test_mixin_with_wrong_attributes(attributes: dict[str, Any], error: type[Exception]) -> None:
    """R120: a class with invalid requirements is refused when it is created."""
    with pytest.raises(error):
        type("V", (ProtectedResourceMixin, View), {"protector": ResourceProtector(Source()), **attributes})


class HandingOn(ResourceProtector):
    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, **requirements)


@views
def test_own_acquire_token_that_hands_on(inner: Any, heard: list[Any]) -> None:
    """The library's refusal that an overridden ``acquire_token`` passes on is answered unchanged and signalled once."""
    guarded = HandingOn(Source("r"))("a")(inner)
    assert answer_of(guarded, request_with()).status_code == 200
    response = answer_of(guarded, request_with("Bearer bad"))
    assert response.status_code == 401
    assert read_challenges(response["WWW-Authenticate"])[0].parameters["realm"] == "r"
    assert [call[0] for call in heard] == ["authenticated", "rejected"]


# What only a subclass or a caller without a request can get wrong.


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_csrf_exempt_of_another_type(value: Any) -> None:
    """R129: a class whose ``csrf_exempt`` is neither ``True`` nor ``False`` is refused when it is created."""
    with pytest.raises(TypeError, match=rf"^Own.csrf_exempt must be True or False, got {type(value).__name__}$"):
        type("Own", (ResourceProtector,), {"csrf_exempt": value})
    for allowed in (True, False):
        assert type("Own", (ResourceProtector,), {"csrf_exempt": allowed}).csrf_exempt is allowed  # type: ignore[attr-defined]


class OwnWithoutScopes(ResourceProtector):
    def acquire_token(self, request: Any) -> Any:  # type: ignore[override]
        return token()


class OwnAsyncWithoutScopes(ResourceProtector):
    async def acquire_token(self, request: Any) -> Any:  # type: ignore[override]
        return token()


@views
@pytest.mark.parametrize("cls", [OwnWithoutScopes, OwnAsyncWithoutScopes])
def test_own_acquire_token_without_scopes(cls: Any, inner: Any) -> None:
    """R124: a method that cannot get the scopes is refused for a guard that requires some, and only for such a one."""
    for required in ({"scopes": "a"}, {"scope": "a"}, {"scopes": {"GET": "a"}}):
        with pytest.raises(TypeError, match=rf"^{cls.__name__}.acquire_token\(\) must name the keyword scopes in its "):
            cls(Source())(**required)
    assert answer_of(cls(Source())()(inner), request_with()).status_code == 200


@views
@pytest.mark.parametrize("cls", [OwnAcquire, OwnAsyncAcquire])
def test_scope_for_an_own_acquire_token(cls: Any, inner: Any) -> None:
    """The keyword ``scope`` is another spelling, so a subclass's method gets it as its argument ``scopes``."""
    protector = cls(TakesLevel())
    protector.given = token()
    for keywords, expected in ({"scope": "a"}, "a"), ({"scope": None, "scopes": "b"}, "b"):
        assert answer_of(protector(**keywords)(inner), request_with()).status_code == 200
        assert protector.asked == (expected, {"level": None})


class Invalidated(Source):
    """Records the tokens that it removes from its cache, and from which shared cache."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: list[Any] = []

    def invalidate_flow(self, token: Any, cache: str | None) -> Any:
        self.removed.append((token.reveal(), cache))
        yield from ()


@pytest.mark.parametrize(
    "invalidate",
    [ResourceProtector.invalidate, async_to_sync(ResourceProtector.ainvalidate)],
    ids=["sync", "async"],
)
def test_invalidating(invalidate: Any) -> None:
    """Every validator with a cache removes the token, also behind one of Authlib's, which has none."""

    class OfAuthlib(AuthlibTokenValidator):
        TOKEN_TYPE = "bearer"

        def authenticate_token(self, token_string: str) -> Any:
            return None

    first, second = Invalidated(), Invalidated()
    invalidate(ResourceProtector(first, OfAuthlib(), second, cache="default"), "good")
    assert first.removed == second.removed == [("good", "default")]
    with pytest.raises(TypeError):
        invalidate(ResourceProtector(first), b"good")


@validating
@pytest.mark.parametrize(
    ("presented", "message"),
    [
        ({"proof": b"p", "method": "GET", "uri": "https://x/"}, "^proof must be a string, got bytes$"),
        ({"method": 7}, "^method must be a string, got int$"),
        ({"uri": b"https://x/"}, "^uri must be a string, got bytes$"),
        ({"proof": "p"}, "^method and uri must be given with proof"),
        ({"proof": "p", "method": "GET"}, "^method and uri must be given with proof"),
        ({"proof": "p", "uri": "https://x/"}, "^method and uri must be given with proof"),
    ],
)
def test_validating_with_wrong_arguments(method: Any, presented: dict[str, Any], message: str) -> None:
    """R96: a proof is valid for one request only, so its method and URI must be given with it."""
    with pytest.raises(TypeError, match=message):
        method(ResourceProtector(Source(), dpop=True), "good", **presented)


@validating
def test_validating_where_proofs_are_required(method: Any) -> None:
    """R96: with ``required=True``, no token is valid without a proof, also without a request."""
    assert method(ResourceProtector(Source(), dpop=True), "good")
    with pytest.raises(InvalidDPoPProofError) as caught:
        method(ResourceProtector(Source(), dpop=DPoP(required=True)), "good")
    assert caught.value.reason == Reason.MISSING_PROOF


@validating
def test_validating_where_proofs_are_unknown(method: Any) -> None:
    """A proof that the protector cannot check is the site's mistake, and nobody's valid proof."""
    with pytest.raises(ImproperlyConfigured, match=r"must have dpop= to check a proof$"):
        method(ResourceProtector(Source()), "good", proof="p", method="GET", uri="https://x/")
