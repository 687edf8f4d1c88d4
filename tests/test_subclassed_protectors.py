"""A guard calls every method that a site's subclass overrides. If it never would, making the class is an error."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from authlib.oauth2 import rfc6750
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views import View

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InvalidTokenError,
    ProtectedResourceMixin,
    Reason,
    ResourceProtector,
    TokenValidator,
    require_oauth,
    token_rejected,
)
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD = "token-for-subclasses"
BANNED = "token-of-a-banned-client"

sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)
    committed.token(access_token=BANNED, client_id="banned")


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """The errors of ``token_rejected``."""
    errors: list[Any] = []

    def receive(sender: Any, error: Any, **kwargs: Any) -> None:
        errors.append(error)

    token_rejected.connect(receive)
    yield errors
    token_rejected.disconnect(receive)


# Methods that no guard would call.


def define(*args: Any, **kwargs: Any) -> Any:  # pragma: no cover - never called
    raise NotImplementedError


NEVER_ASKED = ["aacquire_token", "get_token_validator", "parse_request_authorization", "validate_request"]


@pytest.mark.parametrize("place", ["the class", "a mixin"])
@pytest.mark.parametrize("base", [TokenValidator, BearerTokenValidator])
@pytest.mark.parametrize("name", ["aauthenticate_token", "avalidate_token"])
def test_validators_methods_that_nobody_asks(name: str, base: type, place: str) -> None:
    """Fail closed: a validator cannot define the async variant, because the guard never calls it."""
    bases, own = ((base,), {name: define}) if place == "the class" else ((type("Mixin", (), {name: define}), base), {})
    with pytest.raises(TypeError, match=rf"Own\.{name}\(\) would never be called"):
        type("Own", bases, own)


@pytest.mark.parametrize("place", ["the class", "a mixin"])
@pytest.mark.parametrize("name", NEVER_ASKED)
def test_protectors_methods_that_nobody_asks(name: str, place: str) -> None:
    """Fail closed: a protector cannot define a method of Authlib's that has no effect here."""
    mixin = type("Mixin", (), {name: define})
    bases, own = ((ResourceProtector,), {name: define}) if place == "the class" else ((mixin, ResourceProtector), {})
    with pytest.raises(TypeError, match=rf"Own\.{name}\(\) would never be called"):
        type("Own", bases, own)


def test_other_methods_are_no_obstacle() -> None:
    """A subclass may add any other method, and may assign its parents' methods."""
    type("Own", (ResourceProtector,), {"helper": define})
    type("Own", (BearerTokenValidator,), {"helper": define, "aauthenticate_token": TokenValidator.aauthenticate_token})


@pytest.mark.parametrize("own", [{}, {"post": define}, {"dispatch": define}])
def test_mixin_after_view(own: dict[str, Any]) -> None:
    """Fail closed: listed after ``View`` the mixin would guard nothing, so making the class is an error."""
    with pytest.raises(TypeError, match="Own must list ProtectedResourceMixin before View"):
        type("Own", (View, ProtectedResourceMixin), own)


@sync_and_async
def test_mixin_before_view(mode: str, send: Send) -> None:
    """In the right order it guards the view, and also a subclass of the view."""
    witness = Witness()

    class SyncView(ProtectedResourceMixin, View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    class AsyncView(ProtectedResourceMixin, View):
        async def get(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    parent: Any = SyncView if mode == "def" else AsyncView
    for cls in (parent, type("Child", (parent,), {})):
        with serving(cls.as_view()):
            assert send("/").status == 401
            assert send("/", bearer(GOOD)).json == {"token": True, "user": "alice"}
    assert witness.entered == 2


LOST: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {"scope": "profile"}),
    ((), {"optional": True}),
    ((True,), {}),
    ((), {"check": lambda request, token: False}),
    ((), {"groups": "staff"}),
    ((), {"require_user": True}),
    ((), {"anything": "else"}),
]


@sync_and_async
@pytest.mark.parametrize("protector", [require_oauth, ResourceProtector(BearerTokenValidator(OAuth2Token))])
@pytest.mark.parametrize(("arguments", "keywords"), LOST)
def test_arguments_beside_a_view(arguments: Any, keywords: Any, protector: ResourceProtector, mode: str) -> None:
    """Fail closed: other arguments passed with the view would be lost, so the call raises an error at once."""
    with pytest.raises(TypeError, match="a view must be the only argument"):
        protector(Witness().view(mode), *arguments, **keywords)
    with pytest.raises(TypeError):
        protector(type("Page", (View,), {}), *arguments, **keywords)


# ``acquire_token`` that a site overrides.


class Sync(ResourceProtector):
    """Asks more than its parent, in a ``def``."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        token = super().acquire_token(request, scopes, **requirements)
        if token.client_id == "banned":
            raise rfc6750.InvalidTokenError("Banned.")
        return token


class Async(ResourceProtector):
    """The same in an ``async def``, with the package's own error."""

    async def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        token = await super().aacquire_token(request, scopes, **requirements)
        if token.client_id == "banned":
            raise InvalidTokenError("Banned.")
        return token


class Nothing(ResourceProtector):
    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return None


class AsyncNothing(ResourceProtector):
    async def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:  # type: ignore[override]
        return None


class Unloaded(ResourceProtector):
    """Finds the row by itself, and not its user."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return OAuth2Token.objects.get(access_token=GOOD)


class FromAMixin:
    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        raise InvalidTokenError("Banned.")


class Mixed(FromAMixin, ResourceProtector):
    pass


every_subclass = pytest.mark.parametrize("cls", [Sync, Async])


def protector_of(cls: type[ResourceProtector], **options: Any) -> tuple[ResourceProtector, BearerTokenValidator]:
    validator = BearerTokenValidator(OAuth2Token, realm="of-the-validator")
    return cls(validator, **options), validator


@sync_and_async
@every_subclass
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_acquire_token_is_asked(compat: Any, cls: type[ResourceProtector], mode: str, send: Send) -> None:
    """An overridden ``acquire_token``, sync or async, decides for sync and async views."""
    witness = Witness()
    protector, _ = protector_of(cls, compat=compat)
    with serving(protector("profile")(witness.view(mode))):
        assert send("/", bearer(GOOD)).json == {"token": True, "user": "alice"}
        answer = send("/", bearer(BANNED))
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    assert [challenge.parameters["error"] for challenge in answer.challenges] == ["invalid_token"]
    assert witness.entered == 1


@every_subclass
def test_direct_calls_of_own_methods(cls: type[ResourceProtector]) -> None:
    """``aacquire_token`` and ``avalidate_token`` are ours, for the method to hand on to: they do not ask it."""
    protector, _ = protector_of(cls)
    request = RequestFactory().get("/", headers={"Authorization": f"Bearer {BANNED}"})
    assert async_to_sync(protector.aacquire_token)(request).client_id == "banned"
    assert async_to_sync(protector.avalidate_token)(BANNED).client_id == "banned"


@sync_and_async
@every_subclass
def test_its_parents_refusals(cls: type[ResourceProtector], mode: str, send: Send, heard: list[Any]) -> None:
    """Refusals by the parent method are answered as usual. Receivers get each of them once, with all details."""
    protector, validator = protector_of(cls)
    with serving(protector("email")(Witness().view(mode))):
        answers = [send("/", headers) for headers in ([], bearer("unknown"), bearer(GOOD))]
    assert [answer.status for answer in answers] == [401, 401, 403]
    assert [answer.challenges[0].parameters["realm"] for answer in answers] == ["of-the-validator"] * 3
    assert [(error.validator, error.reason) for error in heard] == [
        (None, Reason.MISSING_CREDENTIALS),
        (validator, Reason.UNKNOWN_TOKEN),
        (validator, Reason.INSUFFICIENT_SCOPE),
    ]


class Choosy(BearerTokenValidator):
    """Refuses with an error of Authlib's."""

    def validate_request(self, request: Any) -> None:
        raise rfc6750.InvalidTokenError("Not from there.")


@sync_and_async
@every_subclass
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_hooks_errors_pass_through(
    compat: Any, cls: type[ResourceProtector], mode: str, send: Send, heard: list[Any]
) -> None:
    """Receivers get a hook's error that went through the overridden method once, with the validator that refused."""
    validator = Choosy(OAuth2Token, realm="choosy")
    with serving(cls(validator, compat=compat)(Witness().view(mode))):
        answer = send("/", bearer(GOOD))
    assert (answer.status, answer.json["error_description"]) == (401, "Not from there.")
    assert [(error.validator, error.reason) for error in heard] == [(validator, Reason.REFUSED_BY_HOOK)]


@sync_and_async
@every_subclass
def test_its_own_refusals_are_told_once(cls: type[ResourceProtector], mode: str, send: Send, heard: list[Any]) -> None:
    """Receivers hear of what the overridden method itself refuses, once, and why as far as is known."""
    protector, _ = protector_of(cls)
    with serving(protector(Witness().view(mode))):
        send("/", bearer(BANNED))
    assert [error.reason for error in heard] == [Reason.REFUSED_BY_HOOK]


@sync_and_async
@pytest.mark.parametrize("cls", [Nothing, AsyncNothing])
def test_no_token_lets_nobody_in(cls: type[ResourceProtector], mode: str, send: Send, heard: list[Any]) -> None:
    """Fail closed: without a token there is nobody to let in, whatever was presented."""
    witness = Witness()
    protector, _ = protector_of(cls)
    with serving(protector(witness.view(mode))):
        assert send("/", bearer(GOOD)).status == 401
    with serving(protector(optional=True)(witness.view(mode))):
        assert send("/", bearer(GOOD)).status == 401
    assert witness.entered == 0
    assert [error.reason for error in heard] == [Reason.UNKNOWN_TOKEN] * 2


class Falsy(ResourceProtector):
    """Answers as a check would, or with claims that it did not find."""

    answer: Any = None

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return self.answer


@sync_and_async
@pytest.mark.parametrize("answer", [False, {}, ""], ids=repr)
def test_falsy_answer_lets_nobody_in(answer: Any, mode: str, send: Send) -> None:
    """Fail closed: a falsy object is not a token, just as when a validator returns it."""
    witness = Witness()
    protector = type("Own", (Falsy,), {"answer": answer})(BearerTokenValidator(OAuth2Token))
    with serving(protector(view_that_only_counts(witness, mode))):
        assert send("/", bearer(GOOD)).status == 401
    assert witness.entered == 0


def generate() -> Iterator[Any]:  # pragma: no cover - never begun
    yield None


NO_TOKENS: dict[str, Any] = {
    "a flag": True,
    "a number": 7,
    "bytes": b"x",
    "a pair": (None, "unknown"),
    "a refusal": InvalidTokenError(),
    "a class": InvalidTokenError,
    "a response": HttpResponse(status=401),
    "a generator": generate(),
    "a method": "x".strip,
    "a function": generate,
}


@sync_and_async
@pytest.mark.parametrize("answer", NO_TOKENS.values(), ids=NO_TOKENS)
def test_answer_that_is_no_token_lets_nobody_in(answer: Any, mode: str, send: Send) -> None:
    """Fail closed: a refusal that is returned, or a call that was forgotten, is a mistake and not a token."""
    witness = Witness()
    protector = type("Own", (Falsy,), {"answer": property(lambda self: answer)})(BearerTokenValidator(OAuth2Token))
    with serving(protector(view_that_only_counts(witness, mode))):
        assert send("/", bearer(GOOD)).status == 500
    assert witness.entered == 0


def view_that_only_counts(witness: Witness, mode: str) -> Any:
    def sync_view(request: HttpRequest) -> HttpResponse:
        witness.entered += 1
        return HttpResponse()

    async def async_view(request: HttpRequest) -> HttpResponse:
        return sync_view(request)

    return async_view if mode == "async def" else sync_view


@sync_and_async
def test_acquire_token_of_a_mixin(mode: str, send: Send) -> None:
    """The method may come from a mixin."""
    with serving(protector_of(Mixed)[0](Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == 401


@sync_and_async
def test_patched_acquire_token(mode: str, send: Send) -> None:
    """Tests may patch the method, also after the view was guarded. Its token becomes the request's."""
    protector, _ = protector_of(ResourceProtector)
    witness = Witness()
    with serving(protector("email")(witness.view(mode))):
        with mock.patch.object(protector, "acquire_token", return_value=OAuth2Token(access_token="fake")) as patched:
            assert send("/").json == {"token": True, "user": None}
        assert send("/").status == 401
    assert patched.call_args.kwargs == {"scopes": "email"}
    assert witness.entered == 1


@pytest.mark.parametrize("set_user", [False, True])
@sync_and_async
def test_unloaded_user_of_an_acquired_row(mode: str, set_user: bool, send: Send) -> None:
    """Sync and async views get the user of a row that the overridden method found. It is loaded if necessary."""
    protector, _ = protector_of(Unloaded, set_user=set_user)
    with serving(protector(Witness().view(mode))):
        assert send("/", bearer(GOOD)).json == {"token": True, "user": "alice"}


# The guard does what an ``acquire_token`` leaves out.


class Ignoring(ResourceProtector):
    """Finds the row, and ignores the other requirements."""

    found: Any = None

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **kwargs: Any) -> Any:
        asked.append(sorted(kwargs))
        return self.found


class IgnoringAsync(Ignoring):
    async def acquire_token(self, request: HttpRequest, scopes: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().acquire_token(request, scopes, **kwargs)


class WithoutKeywords(Ignoring):
    def acquire_token(self, request: HttpRequest) -> Any:  # type: ignore[override]
        return super().acquire_token(request)


class WithScopesAlone(Ignoring):
    async def acquire_token(self, request: HttpRequest, scopes: Any = None) -> Any:  # type: ignore[override]
        return super().acquire_token(request, scopes)


class WithRolesAlone(Ignoring):
    def acquire_token(self, request: HttpRequest, *, roles: Any = None) -> Any:  # type: ignore[override]
        return super().acquire_token(request, roles=roles)


class Paired(SimpleNamespace):
    """A token of a site's own kind."""


asked: list[list[str]] = []
STAFF = SimpleNamespace(username="alice", is_authenticated=True)
FULL: dict[str, Any] = {"groups": ["staff"], "roles": "admin auditor", "entitlements": ("x",)}
BEYOND: list[tuple[dict[str, Any], Reason | None]] = [
    ({}, None),
    ({"groups": "staff"}, None),
    ({"groups": "crew"}, Reason.INSUFFICIENT_GROUPS),
    ({"groups": ["crew", "staff"]}, None),
    ({"roles": "auditor admin"}, None),
    ({"roles": "owner"}, Reason.INSUFFICIENT_ROLES),
    ({"entitlements": "x"}, None),
    ({"entitlements": "y"}, Reason.INSUFFICIENT_ENTITLEMENTS),
    ({"require_user": True}, None),
    ({"check": lambda request, token: True}, None),
    ({"check": lambda request, token: False}, Reason.CHECK_FAILED),
]


@sync_and_async
@pytest.mark.parametrize("cls", [Ignoring, IgnoringAsync, WithoutKeywords, WithScopesAlone, WithRolesAlone])
@pytest.mark.parametrize("found", [Paired(user=STAFF, **FULL), AccessToken(FULL, user=STAFF)], ids=["object", "claims"])
@pytest.mark.parametrize(("keywords", "reason"), BEYOND)
def test_what_acquire_token_forgets_is_asked_all_the_same(
    keywords: dict[str, Any],
    reason: Reason | None,
    found: Any,
    cls: type[Ignoring],
    mode: str,
    send: Send,
    heard: list[Any],
) -> None:
    """Whatever keywords the overridden method takes, the view gets no token that lacks what it asks beyond scopes."""
    witness = Witness()
    protector, _ = protector_of(type("Own", (cls,), {"found": found}))
    with serving(protector(**keywords)(witness.view(mode))):
        answer = send("/", bearer("whatever"))
    assert answer.status == (200 if reason is None else 403)
    assert [error.reason for error in heard] == ([] if reason is None else [reason])
    assert answer.json.get("error") == (None if reason is None else "access_denied")
    assert witness.entered == (reason is None)


NOTHING_HELD = [
    Paired(user=None),
    Paired(user=None, groups=mock.Mock(), roles=7, entitlements=[1]),
    {"user": "alice", "sub": "alice"},
    object(),
]


@sync_and_async
@pytest.mark.parametrize("found", NOTHING_HELD, ids=repr)
@pytest.mark.parametrize(
    "keywords", [{"groups": "staff"}, {"roles": "7"}, {"entitlements": "1"}, {"require_user": True}]
)
def test_tokens_that_hold_nothing(keywords: Any, found: Any, mode: str, send: Send) -> None:
    """Fail closed: an object that tells nothing, or nothing that can be read, holds nothing."""
    protector, _ = protector_of(type("Own", (Ignoring,), {"found": found}))
    with serving(protector(**keywords)(Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == 403


@sync_and_async
def test_method_that_is_not_named_below_acquire_token(mode: str, send: Send) -> None:
    """A mapping that names no entry for a method grants it to nobody, whatever the overridden method looks at."""
    protector, _ = protector_of(type("Own", (Ignoring,), {"found": Paired(user=None, username="x")}))
    with serving(protector({"POST": "profile"})(view_that_only_counts(Witness(), mode))):
        assert send("/", bearer(GOOD)).status == 403
        assert send("/", bearer(GOOD), method="POST").status == 200


@sync_and_async
@pytest.mark.parametrize("cls", [Sync, Async])
def test_check_is_called_once(cls: Any, mode: str, send: Send) -> None:
    """A ``check`` that the overridden method handed on to ours is not called again."""
    called: list[Any] = []

    def check(request: Any, token: Any) -> bool:
        called.append(token)
        return True

    protector, _ = protector_of(cls)
    with serving(protector(check=check, require_user=True)(Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == 200
    assert len(called) == 1


class Dropping(ResourceProtector):
    """Asks its parent for less than the view asks."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **kwargs: Any) -> Any:
        return super().acquire_token(request, scopes, require_user=True)


class Swapping(ResourceProtector):
    """Returns another token than the one that was validated."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        super().acquire_token(request, scopes, **requirements)
        return Paired(user=None)


@sync_and_async
@pytest.mark.parametrize("cls", [Dropping, Swapping])
def test_other_requirements_and_other_tokens_are_judged(cls: Any, mode: str, send: Send) -> None:
    """What ours judged counts for this token and these requirements alone."""
    protector, _ = protector_of(cls)
    alice = {"check": lambda request, token: token.user is not None, "require_user": True}
    refused = {"check": lambda request, token: False} if cls is Dropping else alice
    with serving(protector(**refused)(Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == 403


class OwnKeywords(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any, level: Any = None) -> None:
        super().validate_token(token, scopes, request)


class Naming(ResourceProtector):
    def acquire_token(
        self, request: HttpRequest, scopes: Any = None, *, fresh: bool = False, level: Any = None, **rest: Any
    ) -> Any:
        return super().acquire_token(request, scopes, fresh=fresh, level=level, **rest)


LOST_BY_OVERRIDE = [
    (Ignoring, {"fresh": True}, "fresh"),
    (Ignoring, {"level": 7}, "level"),
    (IgnoringAsync, {"fresh": True}, "fresh"),
    (WithoutKeywords, {"scopes": "profile"}, "scopes"),
    (WithoutKeywords, {"scope": "profile"}, "scopes"),
    (WithRolesAlone, {"scopes": {"GET": None}}, "scopes"),
    (WithScopesAlone, {"fresh": True}, "fresh"),
]


@pytest.mark.parametrize(("cls", "keywords", "lost"), LOST_BY_OVERRIDE)
def test_keywords_that_an_override_would_lose(cls: Any, keywords: dict[str, Any], lost: str) -> None:
    """Only the overridden method can see to these keywords, so one that does not name them is refused at once."""
    with pytest.raises(
        TypeError, match=rf"^{cls.__name__}\.acquire_token\(\) must name the keyword {lost} in its signature"
    ):
        cls(OwnKeywords(OAuth2Token))(**keywords)


@sync_and_async
def test_keywords_that_an_override_names(mode: str, send: Send) -> None:
    """What the overridden method names it gets, and a flag that is off needs no name."""
    with serving(Naming(OwnKeywords(OAuth2Token))(fresh=True, level=7)(Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == 200
    with serving(Sync(OwnKeywords(OAuth2Token))(fresh=False)(Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == 200
    protector = type("Own", (WithoutKeywords,), {"found": Paired(user=None)})(OwnKeywords(OAuth2Token))
    for nothing in ([], None):
        with serving(protector(nothing)(Witness().view(mode))):
            assert send("/").status == 200


@sync_and_async
@pytest.mark.parametrize("cls", [Ignoring, WithScopesAlone, WithRolesAlone])
def test_keywords_that_an_override_gets(cls: Any, mode: str, send: Send) -> None:
    """It gets the keywords that it takes, and no others."""
    asked.clear()
    protector, _ = protector_of(type("Own", (cls,), {"found": Paired(user=STAFF, **FULL)}))
    with serving(protector(groups="staff", roles="admin")(Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == 200
    expected = {Ignoring: ["groups", "roles"], WithScopesAlone: [], WithRolesAlone: ["roles"]}
    assert asked == [expected[cls]]


@sync_and_async
@pytest.mark.parametrize("cls", [Sync, Async, WithScopesAlone])
def test_scopes_by_their_other_name(cls: Any, mode: str, send: Send) -> None:
    """``scope=`` reaches the overridden method as ``scopes``."""
    protector, _ = protector_of(type("Own", (cls,), {"found": None}))
    with serving(protector(scope="email")(Witness().view(mode))):
        assert send("/", bearer(GOOD)).status == (401 if cls is WithScopesAlone else 403)


class Meddling(ResourceProtector):
    """Uses its arguments as its own, all the way down."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        seen.append((repr(scopes), repr(requirements)))
        token = super().acquire_token(request, scopes, **requirements)
        for value in (scopes, requirements["groups"], *(scopes.values() if isinstance(scopes, dict) else scopes)):
            if isinstance(value, dict | list):
                value.clear()
        return token


seen: list[Any] = []


@sync_and_async
@pytest.mark.parametrize("scopes", [["profile", ["email"]], {"GET": ["profile"], "*": [["email"]]}, [["profile"]]])
def test_arguments_are_its_own(scopes: Any, mode: str, send: Send) -> None:
    """What the overridden method does to its lists and mappings changes nothing for the next request."""
    seen.clear()
    protector, _ = protector_of(Meddling)
    written = repr(scopes)
    with serving(protector(scopes, groups=[["staff"], "crew"])(Witness().view(mode))):
        assert [send("/", bearer(GOOD)).status for _ in range(3)] == [403] * 3
    with serving(protector(scopes, groups=[])(Witness().view(mode))):
        assert [send("/", bearer(GOOD)).status for _ in range(3)] == [200] * 3
    assert {text for text, _ in seen} == {written}
    assert repr(scopes) == written
