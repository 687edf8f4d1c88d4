"""What a site's own subclasses decide is asked wherever a guard stands, or refused when the class is made."""

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from authlib.oauth2 import rfc6750
from django.http import HttpRequest, HttpResponse
from django.views import View

from async_oauth_guard import (
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
from tests.sites import COLOURS, Witness, serving

pytestmark = pytest.mark.django_db

GOOD = "token-for-subclasses"
BANNED = "token-of-a-banned-client"

both_colours = pytest.mark.parametrize("colour", COLOURS)


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
    """Fail closed: a validator that defines the twin, which the guard never calls, is no class."""
    bases, own = ((base,), {name: define}) if place == "the class" else ((type("Mixin", (), {name: define}), base), {})
    with pytest.raises(TypeError, match=rf"Own\.{name}\(\) would never be called"):
        type("Own", bases, own)


@pytest.mark.parametrize("place", ["the class", "a mixin"])
@pytest.mark.parametrize("name", NEVER_ASKED)
def test_protectors_methods_that_nobody_asks(name: str, place: str) -> None:
    """Fail closed: a protector with a method of Authlib's that decides nothing here is no class."""
    mixin = type("Mixin", (), {name: define})
    bases, own = ((ResourceProtector,), {name: define}) if place == "the class" else ((mixin, ResourceProtector), {})
    with pytest.raises(TypeError, match=rf"Own\.{name}\(\) would never be called"):
        type("Own", bases, own)


def test_other_methods_are_no_obstacle() -> None:
    """A subclass may add what it likes, and name the doors of its parents."""
    type("Own", (ResourceProtector,), {"helper": define})
    type("Own", (BearerTokenValidator,), {"helper": define, "aauthenticate_token": TokenValidator.aauthenticate_token})


@pytest.mark.parametrize("own", [{}, {"post": define}, {"dispatch": define}])
def test_mixin_after_view(own: dict[str, Any]) -> None:
    """Fail closed: named after ``View`` the mixin would guard nothing, so there is no such class."""
    with pytest.raises(TypeError, match="Own names View before ProtectedResourceMixin"):
        type("Own", (View, ProtectedResourceMixin), own)


@both_colours
def test_mixin_before_view(colour: str, send: Send) -> None:
    """In the right order it guards, a subclass of the view too."""
    witness = Witness()

    class SyncView(ProtectedResourceMixin, View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    class AsyncView(ProtectedResourceMixin, View):
        async def get(self, request: HttpRequest) -> HttpResponse:
            return witness.answer(request)

    parent: Any = SyncView if colour == "def" else AsyncView
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


@both_colours
@pytest.mark.parametrize("protector", [require_oauth, ResourceProtector(BearerTokenValidator(OAuth2Token))])
@pytest.mark.parametrize(("arguments", "keywords"), LOST)
def test_arguments_beside_a_view(arguments: Any, keywords: Any, protector: ResourceProtector, colour: str) -> None:
    """Fail closed: what stands beside the view would be lost, so the call says so at once."""
    with pytest.raises(TypeError, match="arguments beside a view would be lost"):
        protector(Witness().view(colour), *arguments, **keywords)
    with pytest.raises(TypeError):
        protector(type("Page", (View,), {}), *arguments, **keywords)


# ``acquire_token`` of a site's own.


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


@both_colours
@every_subclass
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_acquire_token_is_asked(compat: Any, cls: type[ResourceProtector], colour: str, send: Send) -> None:
    """An overridden ``acquire_token``, of either colour, decides for views of either colour."""
    witness = Witness()
    protector, _ = protector_of(cls, compat=compat)
    with serving(protector("profile")(witness.view(colour))):
        assert send("/", bearer(GOOD)).json == {"token": True, "user": "alice"}
        answer = send("/", bearer(BANNED))
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    assert [challenge.parameters["error"] for challenge in answer.challenges] == ["invalid_token"]
    assert witness.entered == 1


@both_colours
@every_subclass
def test_its_parents_refusals(cls: type[ResourceProtector], colour: str, send: Send, heard: list[Any]) -> None:
    """What the overridden method asks its parent is answered as ever, and told to receivers once, with all of it."""
    protector, validator = protector_of(cls)
    with serving(protector("email")(Witness().view(colour))):
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


@both_colours
@every_subclass
@pytest.mark.parametrize("compat", [None, "authlib"])
def test_hooks_errors_pass_through(
    compat: Any, cls: type[ResourceProtector], colour: str, send: Send, heard: list[Any]
) -> None:
    """A hook's error that went through the overridden method is told once, with the validator that refused."""
    validator = Choosy(OAuth2Token, realm="choosy")
    with serving(cls(validator, compat=compat)(Witness().view(colour))):
        answer = send("/", bearer(GOOD))
    assert (answer.status, answer.json["error_description"]) == (401, "Not from there.")
    assert [(error.validator, error.reason) for error in heard] == [(validator, Reason.REFUSED_BY_HOOK)]


@both_colours
@every_subclass
def test_its_own_refusals_are_told_once(
    cls: type[ResourceProtector], colour: str, send: Send, heard: list[Any]
) -> None:
    """Receivers hear of what the overridden method itself refuses, once, and why as far as is known."""
    protector, _ = protector_of(cls)
    with serving(protector(Witness().view(colour))):
        send("/", bearer(BANNED))
    assert [error.reason for error in heard] == [Reason.REFUSED_BY_HOOK]


@both_colours
@pytest.mark.parametrize("cls", [Nothing, AsyncNothing])
def test_no_token_lets_nobody_in(cls: type[ResourceProtector], colour: str, send: Send, heard: list[Any]) -> None:
    """Fail closed: without a token there is nobody to let in, whatever was presented."""
    witness = Witness()
    protector, _ = protector_of(cls)
    with serving(protector(witness.view(colour))):
        assert send("/", bearer(GOOD)).status == 401
    with serving(protector(optional=True)(witness.view(colour))):
        assert send("/", bearer(GOOD)).status == 401
    assert witness.entered == 0
    assert [error.reason for error in heard] == [Reason.UNKNOWN_TOKEN] * 2


class Falsy(ResourceProtector):
    """Answers as a check would, or with claims that it did not find."""

    answer: Any = None

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return self.answer


@both_colours
@pytest.mark.parametrize("answer", [False, {}, ""], ids=repr)
def test_falsy_answer_lets_nobody_in(answer: Any, colour: str, send: Send) -> None:
    """Fail closed: what is no token to Python is none to a guard, as it is where a validator finds it."""
    witness = Witness()
    protector = type("Own", (Falsy,), {"answer": answer})(BearerTokenValidator(OAuth2Token))
    with serving(protector(view_that_only_counts(witness, colour))):
        assert send("/", bearer(GOOD)).status == 401
    assert witness.entered == 0


def view_that_only_counts(witness: Witness, colour: str) -> Any:
    def sync_view(request: HttpRequest) -> HttpResponse:
        witness.entered += 1
        return HttpResponse()

    async def async_view(request: HttpRequest) -> HttpResponse:
        return sync_view(request)

    return async_view if colour == "async def" else sync_view


@both_colours
def test_acquire_token_of_a_mixin(colour: str, send: Send) -> None:
    """It may come from a class beside ours."""
    with serving(protector_of(Mixed)[0](Witness().view(colour))):
        assert send("/", bearer(GOOD)).status == 401


@both_colours
def test_patched_acquire_token(colour: str, send: Send) -> None:
    """Tests may put another in its place, also after the view was guarded: its token is the request's."""
    protector, _ = protector_of(ResourceProtector)
    witness = Witness()
    with serving(protector("email")(witness.view(colour))):
        with mock.patch.object(protector, "acquire_token", return_value=OAuth2Token(access_token="fake")) as patched:
            assert send("/").json == {"token": True, "user": None}
        assert send("/").status == 401
    assert patched.call_args.kwargs == {"scopes": "email"}
    assert witness.entered == 1


@pytest.mark.parametrize("set_user", [False, True])
@both_colours
def test_unloaded_user_of_an_acquired_row(colour: str, set_user: bool, send: Send) -> None:
    """The user of a row that the overridden method found is there for views of either colour, loaded if need be."""
    protector, _ = protector_of(Unloaded, set_user=set_user)
    with serving(protector(Witness().view(colour))):
        assert send("/", bearer(GOOD)).json == {"token": True, "user": "alice"}


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


@both_colours
@pytest.mark.parametrize("scopes", [["profile", ["email"]], {"GET": ["profile"], "*": [["email"]]}, [["profile"]]])
def test_arguments_are_its_own(scopes: Any, colour: str, send: Send) -> None:
    """What the overridden method does to its lists and mappings changes nothing for the next request."""
    seen.clear()
    protector, _ = protector_of(Meddling)
    written = repr(scopes)
    with serving(protector(scopes, groups=[["staff"], "crew"])(Witness().view(colour))):
        assert [send("/", bearer(GOOD)).status for _ in range(3)] == [403] * 3
    with serving(protector(scopes, groups=[])(Witness().view(colour))):
        assert [send("/", bearer(GOOD)).status for _ in range(3)] == [200] * 3
    assert {text for text, _ in seen} == {written}
    assert repr(scopes) == written
