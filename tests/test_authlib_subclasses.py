"""Subclasses written for Authlib's validators run unchanged under both libraries. Only the base class differs.

The expected answer is Authlib's, taken at run time under a sync view. The guard runs the same source under sync and
async views. It also runs it with the hooks as ``async def``, which await ``super().a<name>()``.
"""

import asyncio
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from authlib.integrations import django_oauth2 as authlib_django
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750, rfc7662, rfc9068
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jwt
from joserfc.errors import JoseError

import async_oauth_guard
from async_oauth_guard import IntrospectTokenValidator, JWTBearerTokenValidator, ResourceProtector
from tests.answers import bearer
from tests.conftest import SERVERS, Send
from tests.sites import MODES, serving
from tests.test_authlib_parity_remote import (
    ABSENT,
    ISSUER,
    KEY,
    KEYS,
    OTHER_KEY,
    PUBLIC,
    RESOURCE,
    SECRET,
    WITHOUT_KID,
    In,
    Outcome,
    hs256,
    make_jwt,
    outcome,
)

# A dictionary of keys is deprecated with Authlib.
pytestmark = pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning")

# How a validator is made, as a function of the class to make it of: Authlib's, or ours.
Make = Callable[[Any], Any]

OTHER_ISSUER = "https://other.example.com"

sync_and_async = pytest.mark.parametrize("mode", MODES)


# JWTs.


def keys_in_a_dictionary(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return {"keys": [PUBLIC]}

    return Validator(issuer=ISSUER, resource_server=RESOURCE)


def keys_in_a_key_set(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

    return Validator(ISSUER, RESOURCE, "r1", authz_server=ISSUER)


def one_key(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEY

    return Validator(ISSUER, RESOURCE, realm="r1")


def a_secret(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return SECRET

    return Validator(ISSUER, RESOURCE, realm="r1")


def own_constructor(base: Any) -> Any:
    class Validator(base):
        def __init__(self, keys: Any, *args: Any, **kwargs: Any) -> None:
            self.own_keys = keys
            super().__init__(*args, **kwargs)

        def get_jwks(self) -> Any:
            return self.own_keys

    return Validator(KEYS, ISSUER, RESOURCE)


def several_issuers(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def validate_iss(self, claims: Any, iss: str) -> bool:
            return iss in (ISSUER, OTHER_ISSUER) and claims["iss"] == iss

    return Validator(ISSUER, RESOURCE, realm="r1")


def one_more_issuer(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def validate_iss(self, claims: Any, iss: str) -> bool:
            return iss == OTHER_ISSUER or super().validate_iss(claims, iss)

    return Validator(ISSUER, RESOURCE, realm="r1")


def prefixed(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def authenticate_token(self, token_string: str) -> Any:
            return super().authenticate_token(token_string.removeprefix("v1."))

    return Validator(ISSUER, RESOURCE, realm="r1")


def own_verification(base: Any) -> Any:
    """Verifies the signature itself. ``validate_token`` then validates the claims by the options set here."""

    class Validator(base):
        def authenticate_token(self, token_string: str) -> Any:
            options: Any = {
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self.resource_server},
                "exp": {"essential": True},
                "client_id": {"essential": True, "values": ["console", "cli"]},
            }
            try:
                token = jwt.decode(token_string, KEYS)
            except JoseError as error:
                raise rfc6750.InvalidTokenError(realm="own") from error
            return JWTAccessTokenClaims(token.claims, token.header, options)

    return Validator(ISSUER, RESOURCE, realm="r1")


def own_verdict(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def validate_token(self, token: Any, scopes: Any, request: Any, **keywords: Any) -> None:
            super().validate_token(token, scopes, request, **keywords)
            if token["sub"] == "mallory":
                raise rfc6750.InvalidTokenError("Not you.", realm=self.realm)

    return Validator(ISSUER, RESOURCE, realm="r1")


def own_keyword(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def validate_token(
            self,
            token: Any,
            scopes: Any,
            request: Any,
            groups: Any = None,
            roles: Any = None,
            entitlements: Any = None,
            clients: Any = None,
        ) -> None:
            super().validate_token(token, scopes, request, groups, roles, entitlements)
            if clients and token["client_id"] not in clients:
                raise OAuth2Error(error="wrong_client", status_code=403)

    return Validator(ISSUER, RESOURCE, realm="r1")


def asking_for_a_device(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def validate_request(self, request: Any) -> None:
            if "X-Device-Version" not in request.headers:
                raise rfc6749.InvalidRequestError("Which device is this?")

    return Validator(ISSUER, RESOURCE, realm="r1")


def hierarchy(base: Any) -> Any:
    """``email`` is enough for ``email:read``. Tokens without scopes come as Authlib hands them over."""

    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:
            if not required_scopes:
                return False
            held = token_scopes.split() if isinstance(token_scopes, str) else [*(token_scopes or [])]
            return not any(scope.partition(":")[0] in held for scope in required_scopes)

    return Validator(ISSUER, RESOURCE, realm="r1")


# The same with hooks that are coroutine functions.


def async_keys(base: Any) -> Any:
    class Validator(base):
        async def get_jwks(self) -> Any:
            await asyncio.sleep(0)
            return await super().aget_jwks()

    return Validator(ISSUER, RESOURCE, "r1", jwks=KEYS, authz_server=ISSUER)


def async_secret(base: Any) -> Any:
    class Validator(base):
        async def get_jwks(self) -> Any:
            await asyncio.sleep(0)
            return SECRET

    return Validator(ISSUER, RESOURCE, realm="r1")


def async_prefixed(base: Any) -> Any:
    class Validator(base):
        async def get_jwks(self) -> Any:
            await asyncio.sleep(0)
            return KEYS

        async def authenticate_token(self, token_string: str) -> Any:
            await asyncio.sleep(0)
            return await super().aauthenticate_token(token_string.removeprefix("v1."))

    return Validator(ISSUER, RESOURCE, realm="r1")


def async_verification(base: Any) -> Any:
    class Validator(type(own_verification(base))):  # type: ignore[misc]
        async def authenticate_token(self, token_string: str) -> Any:
            await asyncio.sleep(0)
            return super().authenticate_token(token_string)

    return Validator(ISSUER, RESOURCE, realm="r1")


def async_verdict(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        async def validate_token(self, token: Any, scopes: Any, request: Any, **keywords: Any) -> None:
            await super().avalidate_token(token, scopes, request, **keywords)
            if token["sub"] == "mallory":
                raise rfc6750.InvalidTokenError("Not you.", realm=self.realm)

    return Validator(ISSUER, RESOURCE, realm="r1")


def async_keyword(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        async def validate_token(
            self,
            token: Any,
            scopes: Any,
            request: Any,
            groups: Any = None,
            roles: Any = None,
            entitlements: Any = None,
            clients: Any = None,
        ) -> None:
            await super().avalidate_token(token, scopes, request, groups, roles, entitlements)
            if clients and token["client_id"] not in clients:
                raise OAuth2Error(error="wrong_client", status_code=403)

    return Validator(ISSUER, RESOURCE, realm="r1")


def async_device(base: Any) -> Any:
    class Validator(type(asking_for_a_device(base))):  # type: ignore[misc]
        async def validate_request(self, request: Any) -> None:
            await asyncio.sleep(0)
            super().validate_request(request)

    return Validator(ISSUER, RESOURCE, realm="r1")


@functools.cache
def jwts() -> dict[str, str]:
    return {
        "good": make_jwt({}, {}),
        "prefixed": "v1." + make_jwt({}, {}),
        "expired": make_jwt({}, {"exp": In(-60)}),
        "to come": make_jwt({}, {"nbf": In(86_400)}),
        "other issuer": make_jwt({}, {"iss": OTHER_ISSUER}),
        "third issuer": make_jwt({}, {"iss": "https://third.example.com"}),
        "other audience": make_jwt({}, {"aud": "https://other.example.com"}),
        "no audience": make_jwt({}, {"aud": ABSENT}),
        "other type": make_jwt({"typ": "JWT"}, {}),
        "other key": make_jwt({}, {}, OTHER_KEY),
        "symmetric": hs256(kid="s"),
        "no scope": make_jwt({}, {"scope": ABSENT}),
        "member": make_jwt({}, {"groups": ["staff"], "roles": ["x", "admin"], "entitlements": "gold silver"}),
        "mallory": make_jwt({}, {"sub": "mallory"}),
        "other client": make_jwt({}, {"client_id": "cli"}),
        "third client": make_jwt({}, {"client_id": "third"}),
        "garbage": "garbage",
    }


ASKED: list[dict[str, Any]] = [
    {},
    {"scopes": "profile"},
    {"scopes": ["x", "profile email"]},
    {"scopes": "email:read"},
    {"groups": "staff"},
    {"roles": ["admin", "root"], "entitlements": "gold"},
    {"groups": "root"},
]
CLIENTS: list[dict[str, Any]] = [{"clients": "console"}, {"clients": ["third", "cli"]}]
DEVICE = [(b"x-device-version", b"2")]

# Authlib's source, and ours with hooks that are coroutine functions.
JWT_SOURCES: dict[str, tuple[Make, Make | None]] = {
    "keys in a dictionary": (keys_in_a_dictionary, None),
    "keys in a key set": (keys_in_a_key_set, async_keys),
    "one key": (one_key, None),
    "a secret": (a_secret, async_secret),
    "own constructor": (own_constructor, None),
    "several issuers": (several_issuers, None),
    "one more issuer": (one_more_issuer, None),
    "prefixed": (prefixed, async_prefixed),
    "own verification": (own_verification, async_verification),
    "own verdict": (own_verdict, async_verdict),
    "own keyword": (own_keyword, async_keyword),
    "asking for a device": (asking_for_a_device, async_device),
    "hierarchy of scopes": (hierarchy, None),
}


# Introspection.

ANSWERS: dict[str, dict[str, Any]] = {
    "good": {"active": True, "scope": "profile email", "sub": "alice", "client_id": "console"},
    "mallory": {"active": True, "scope": "profile email", "sub": "mallory", "client_id": "console"},
    "third-client": {"active": True, "scope": "profile", "client_id": "third"},
    "no-scope": {"active": True},
    "inactive": {"active": False},
    "other-audience": {"active": True, "aud": "https://other.example.com"},
}


def introspecting(base: Any) -> Any:
    class Validator(base):
        def introspect_token(self, token_string: str) -> Any:
            return {**ANSWERS.get(token_string, {"active": False})}

    return Validator(realm="r1", authz_server=ISSUER)


def introspecting_prefixed(base: Any) -> Any:
    class Validator(type(introspecting(base))):  # type: ignore[misc]
        def authenticate_token(self, token_string: str) -> Any:
            return super().authenticate_token(token_string.removeprefix("v1."))

    return Validator(realm="r1")


def introspecting_own_verdict(base: Any) -> Any:
    class Validator(type(introspecting(base))):  # type: ignore[misc]
        def validate_token(self, token: Any, scopes: Any, request: Any, clients: Any = None) -> None:
            super().validate_token(token, scopes, request)
            if clients and token.get("client_id") not in clients:
                raise OAuth2Error(error="wrong_client", status_code=403)

    return Validator(realm="r1")


def introspecting_device(base: Any) -> Any:
    class Validator(type(introspecting(base))):  # type: ignore[misc]
        def validate_request(self, request: Any) -> None:
            if "X-Device-Version" not in request.headers:
                raise rfc6749.InvalidRequestError("Which device is this?")

    return Validator(realm="r1")


def introspecting_hierarchy(base: Any) -> Any:
    class Validator(type(introspecting(base))):  # type: ignore[misc]
        @staticmethod
        def scope_insufficient(token_scopes: Any, required_scopes: Any) -> bool:
            return bool(required_scopes) and "email" not in (token_scopes or "").split()

    return Validator(realm="r1")


def async_introspecting(base: Any) -> Any:
    class Validator(base):
        async def introspect_token(self, token_string: str) -> Any:
            await asyncio.sleep(0)
            return {**ANSWERS.get(token_string, {"active": False})}

    return Validator(realm="r1", authz_server=ISSUER)


def async_introspecting_prefixed(base: Any) -> Any:
    class Validator(type(async_introspecting(base))):  # type: ignore[misc]
        async def authenticate_token(self, token_string: str) -> Any:
            return await super().aauthenticate_token(token_string.removeprefix("v1."))

    return Validator(realm="r1")


def async_introspecting_own_verdict(base: Any) -> Any:
    class Validator(type(introspecting(base))):  # type: ignore[misc]
        async def validate_token(self, token: Any, scopes: Any, request: Any, clients: Any = None) -> None:
            await super().avalidate_token(token, scopes, request)
            if clients and token.get("client_id") not in clients:
                raise OAuth2Error(error="wrong_client", status_code=403)

    return Validator(realm="r1")


INTROSPECT_SOURCES: dict[str, tuple[Make, Make | None]] = {
    "own introspection": (introspecting, async_introspecting),
    "prefixed": (introspecting_prefixed, async_introspecting_prefixed),
    "own verdict": (introspecting_own_verdict, async_introspecting_own_verdict),
    "asking for a device": (introspecting_device, None),
    "hierarchy of scopes": (introspecting_hierarchy, None),
}
SCOPES_ASKED = [asked for asked in ASKED if set(asked) <= {"scopes"}]
PRESENTED = [*ANSWERS, "v1.good", "v1.inactive", "unknown"]


def under_authlib(make: Make, base: Any, token: str, send: Send, asked: dict[str, Any]) -> Outcome:
    return outcome(authlib_django.ResourceProtector(), make(base), token, send, "def", asked)


answers_of_authlib: dict[Any, Outcome] = {}


def answer_of_authlib(make: Make, base: Any, token: str, asked: dict[str, Any]) -> Outcome:
    """Each question is put to Authlib once, in its own world, WSGI. Its answer is expected of us under both servers."""
    key = make, token, repr(asked)
    if key not in answers_of_authlib:
        answers_of_authlib[key] = under_authlib(make, base, token, SERVERS["wsgi"], asked)
    return answers_of_authlib[key]


def under_ours(make: Make, base: Any, token: str, send: Send, mode: str, asked: dict[str, Any]) -> Outcome:
    return outcome(ResourceProtector(compat="authlib"), make(base), token, send, mode, asked)


def with_device(send: Send) -> Send:
    return lambda path, headers, **options: send(path, [*headers, *DEVICE], **options)


def taking_turns(source: Make, coroutines: Make | None) -> Iterator[list[tuple[Make, str]]]:
    """Two combinations of sync or async hooks and views for each case. Together the cases cover all of them."""
    combinations = [(make, mode) for make in (source, coroutines or source) for mode in MODES]
    return itertools.cycle([combinations[::3], combinations[1:3]])


@pytest.mark.parametrize("name", JWT_SOURCES)
def test_jwt_subclasses(name: str, send: Send) -> None:
    """Every answer of the subclass is the same as under Authlib, to the byte, with sync and async hooks and views."""
    source, coroutines = JWT_SOURCES[name]
    clients = CLIENTS if "keyword" in name else []
    turns = taking_turns(source, coroutines)
    for presented, token in jwts().items():
        for asked in [*ASKED, *clients] if presented in ("good", "member", "other client") else ASKED[1:2]:
            expected = answer_of_authlib(source, rfc9068.JWTBearerTokenValidator, token, asked)
            assert expected.answer.status < 500
            for make, mode in next(turns):
                got = under_ours(make, JWTBearerTokenValidator, token, send, mode, asked)
                assert got.comparable == expected.comparable, (presented, asked, make.__name__, mode)


@pytest.mark.parametrize("name", INTROSPECT_SOURCES)
def test_introspect_subclasses(name: str, send: Send) -> None:
    """So it is with subclasses that introspect."""
    source, coroutines = INTROSPECT_SOURCES[name]
    clients = CLIENTS if "verdict" in name else []
    turns = taking_turns(source, coroutines)
    for token in PRESENTED:
        for asked in [*SCOPES_ASKED, *clients]:
            expected = answer_of_authlib(source, rfc7662.IntrospectTokenValidator, token, asked)
            assert expected.answer.status < 500
            for make, mode in next(turns):
                got = under_ours(make, IntrospectTokenValidator, token, send, mode, asked)
                assert got.comparable == expected.comparable, (token, asked, make.__name__, mode)


@pytest.mark.parametrize("name", ["jwt", "introspection"])
def test_device_is_known(name: str, send: Send) -> None:
    """A ``validate_request`` that finds what it looks for lets the request go on."""
    cases: dict[str, Any] = {
        "jwt": (asking_for_a_device, rfc9068.JWTBearerTokenValidator, JWTBearerTokenValidator, jwts()["good"]),
        "introspection": (
            introspecting_device,
            rfc7662.IntrospectTokenValidator,
            IntrospectTokenValidator,
            "good",
        ),
    }
    make, theirs, ours, token = cases[name]
    expected = under_authlib(make, theirs, token, with_device(send), {})
    assert expected.answer.status == 200
    for mode in MODES:
        assert under_ours(make, ours, token, with_device(send), mode, {}).comparable == expected.comparable


@pytest.mark.parametrize("name", JWT_SOURCES)
def test_jwt_subclasses_outside_compat(name: str, send: Send) -> None:
    """Without ``compat`` the same tokens are let in, and the same refused; missing groups are 403 then."""
    source = JWT_SOURCES[name][0]
    for presented, token in jwts().items():
        plain = answer_of_authlib(source, rfc9068.JWTBearerTokenValidator, token, {}).answer.status
        for asked in ASKED if presented == "member" else ASKED[:1]:
            expected = answer_of_authlib(source, rfc9068.JWTBearerTokenValidator, token, asked).answer.status
            if plain == 200 and expected == 401:
                expected = 403
            got = outcome(ResourceProtector(), source(JWTBearerTokenValidator), token, send, "async def", asked)
            assert got.answer.status == expected, (presented, asked)


# What a subclass sees.


class Seen:
    """The hooks that were called, with their arguments and threads."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.threads: set[int] = set()

    def note(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, arguments))
        self.threads.add(threading.get_ident())

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def noting(base: Any, seen: Seen) -> Any:
    """Every hook notes its call, and hands on to the base class."""

    class Validator(base):
        def get_jwks(self) -> Any:
            seen.note("get_jwks")
            return KEYS

        def validate_request(self, request: Any) -> None:
            seen.note("validate_request", request.method, request.uri)

        def authenticate_token(self, token_string: str) -> Any:
            seen.note("authenticate_token", str(token_string))
            return super().authenticate_token(token_string)

        def validate_iss(self, claims: Any, iss: str) -> bool:
            seen.note("validate_iss", dict(claims), iss)
            return bool(super().validate_iss(claims, iss))

        def validate_token(self, token: Any, scopes: Any, request: Any, *args: Any, **keywords: Any) -> None:
            seen.note("validate_token", dict(token), scopes, request.method, args, keywords)
            super().validate_token(token, scopes, request, *args, **keywords)

    return Validator(ISSUER, RESOURCE)


@sync_and_async
@pytest.mark.parametrize("asked", [{}, {"scopes": "profile"}, {"scopes": ["profile", "x"], "roles": "admin"}], ids=str)
def test_what_hooks_are_given(asked: dict[str, Any], mode: str, send: Send) -> None:
    """Each hook is called as often as Authlib calls it, with the same arguments."""
    token = make_jwt({}, {"roles": ["admin"]})
    theirs, ours = Seen(), Seen()
    under_authlib(lambda base: noting(base, theirs), rfc9068.JWTBearerTokenValidator, token, send, asked)
    answered = under_ours(lambda base: noting(base, ours), JWTBearerTokenValidator, token, send, mode, asked)
    assert answered.answer.status == 200
    assert sorted(ours.names) == sorted(theirs.names)
    assert dict(ours.calls) == dict(theirs.calls)
    # On a loop they run on the request's own thread, one for all.
    assert len(ours.threads) == 1


@sync_and_async
@pytest.mark.parametrize("scope", [ABSENT, "profile email", ["profile"]], ids=["none", "text", "list"])
def test_what_scope_insufficient_is_given(scope: Any, mode: str, send: Send) -> None:
    """The scopes as the token holds them, and an empty list where it holds none."""

    def make(base: Any) -> Any:
        class Validator(base):
            def get_jwks(self) -> Any:
                return KEYS

            def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:
                if required_scopes:
                    given.append((token_scopes, required_scopes))
                return False

        return Validator(ISSUER, RESOURCE)

    given: list[Any] = []
    token = make_jwt({}, {"scope": scope})
    under_authlib(make, rfc9068.JWTBearerTokenValidator, token, send, {"scopes": "x"})
    under_ours(make, JWTBearerTokenValidator, token, send, mode, {"scopes": "x"})
    assert given[0] == given[1]
    assert len(given) == 2


@sync_and_async
def test_hooks_that_are_patched(mode: str, send: Send) -> None:
    """A site's tests may patch a hook, in the class or in the validator in use."""
    validator = keys_in_a_key_set(JWTBearerTokenValidator)
    introspecting_validator = introspecting(IntrospectTokenValidator)
    token = make_jwt({}, {}, OTHER_KEY)
    cases = [
        (validator, "get_jwks", OTHER_KEY, token),
        (introspecting_validator, "introspect_token", {"active": True}, "made-up"),
    ]
    for patched, name, result, presented in cases:
        for owner in (patched, type(patched)):
            assert outcome(ResourceProtector(), patched, presented, send, mode, {}).answer.status == 401
            with mock.patch.object(owner, name, return_value=result) as hook:
                assert outcome(ResourceProtector(), patched, presented, send, mode, {}).answer.status == 200
            assert hook.call_count == 1
            assert outcome(ResourceProtector(), patched, presented, send, mode, {}).answer.status == 401


# A token that a subclass found itself is validated like one that the guard found.


@sync_and_async
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.com"},
        {"iss": OTHER_ISSUER},
        {"exp": In(-60)},
        {"cnf": {"jkt": "x"}},
        {"token_use": "refresh"},
    ],
    ids=str,
)
def test_own_find_is_judged(claims: dict[str, Any], mode: str, send: Send) -> None:
    """R28, R37: claims that ``authenticate_token`` found must have the right audience and issuer, or they are refused.

    This holds for plain claims, over which Authlib crashes, and for its claims class without options, which it lets in.
    """

    def make(base: Any, wrap: Callable[..., Any]) -> Any:
        class Validator(base):
            def authenticate_token(self, token_string: str) -> Any:
                token = jwt.decode(token_string, KEYS)
                return wrap(token.claims, token.header)

        return Validator(ISSUER, RESOURCE)

    for wrap in (JWTAccessTokenClaims, lambda claims, header: claims):
        good = outcome(
            ResourceProtector(),
            make(JWTBearerTokenValidator, wrap),
            make_jwt({}, {}),
            send,
            mode,
            {"scopes": "profile"},
        )
        assert good.answer.status == 200
        validator = make(JWTBearerTokenValidator, wrap)
        refused = outcome(ResourceProtector(), validator, make_jwt({}, claims), send, mode, {})
        assert (refused.answer.status, refused.entered) == (401, 0)


@sync_and_async
def test_own_find_of_an_answer_is_judged(mode: str, send: Send) -> None:
    """R28: an audience that is given is compared also with what ``authenticate_token`` has found without a server."""

    class Validator(IntrospectTokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            return {"active": True, "aud": token_string, "scope": "profile"}

    protector = ResourceProtector(resource=RESOURCE)
    for validator in (Validator(audience="a"), Validator(audience="a", user_lookup="username")):
        assert outcome(protector, validator, "b", send, mode, {}).answer.status == 401
    for validator, token in ((Validator(audience="a"), "a"), (Validator(audience=None), "b")):
        assert outcome(ResourceProtector(), validator, token, send, mode, {"scopes": "profile"}).answer.status == 200


def test_first_argument_of_an_introspecting_subclass() -> None:
    """With Authlib it is the realm, here it is the endpoint. A value that cannot be an endpoint is an error at once."""
    cls = type(introspecting(IntrospectTokenValidator))
    with pytest.raises(ValueError, match="introspection_endpoint: must be an absolute https:// URL"):
        cls("r1")
    assert cls(realm="r1").realm == "r1"


def test_introspecting_subclass_without_anything() -> None:
    """One that neither introspects nor finds tokens by itself needs an endpoint."""

    class Validator(IntrospectTokenValidator):
        def validate_request(self, request: Any) -> None:
            pass

    with pytest.raises(ValueError, match="introspection_endpoint or issuer must be given"):
        Validator()


# What such subclasses count on.


def judging_by_validate(base: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return KEYS

        def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
            try:
                token.validate()
            except JoseError as error:
                raise rfc6750.InvalidTokenError(realm=self.realm) from error

    return Validator(ISSUER, RESOURCE, "r1")


@sync_and_async
@pytest.mark.parametrize("presented", ["good", "expired", "to come"])
def test_validate_judges_the_lifetime(presented: str, mode: str, send: Send) -> None:
    """A ``validate_token`` that only calls ``token.validate()`` refuses the tokens that it refuses under Authlib."""
    token = jwts()[presented]
    expected = under_authlib(judging_by_validate, rfc9068.JWTBearerTokenValidator, token, send, {})
    got = under_ours(judging_by_validate, JWTBearerTokenValidator, token, send, mode, {})
    assert got.comparable == expected.comparable


@sync_and_async
@pytest.mark.parametrize("claims", [{"nbf": "0"}, {"nbf": True}, {"iat": In(600)}], ids=str)
def test_validate_judges_every_time(claims: dict[str, Any], mode: str, send: Send) -> None:
    """It also refuses a token with an invalid time, or with an issue time in the future."""
    token = make_jwt({}, claims)
    expected = under_authlib(judging_by_validate, rfc9068.JWTBearerTokenValidator, token, send, {})
    assert expected.answer.status == 401
    got = under_ours(judging_by_validate, JWTBearerTokenValidator, token, send, mode, {})
    assert got.comparable == expected.comparable


def test_validate_takes_authlibs_arguments() -> None:
    """``validate(now=..., leeway=...)`` is what Authlib's own claims take."""
    token = async_oauth_guard.AccessToken({"exp": 100})
    token.validate(now=50, leeway=0)
    token.validate(now=105, leeway=10)
    with pytest.raises(rfc6750.InvalidTokenError):
        token.validate(now=105)


def test_a_key_without_kid(send: Send) -> None:
    """The one key there is, which has no name, verifies tokens that give it one."""

    def make(base: Any) -> Any:
        class Validator(base):
            def get_jwks(self) -> Any:
                return WITHOUT_KID

        return Validator(ISSUER, RESOURCE)

    expected = under_authlib(make, rfc9068.JWTBearerTokenValidator, jwts()["good"], send, {})
    assert expected.answer.status == 200
    assert under_ours(make, JWTBearerTokenValidator, jwts()["good"], send, "def", {}).comparable == expected.comparable


def test_groups_are_put_to_the_hook(send: Send) -> None:
    """Authlib asks ``scope_insufficient`` about groups, roles and entitlements as well."""

    def make(base: Any) -> Any:
        class Validator(base):
            def get_jwks(self) -> Any:
                return KEYS

            def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:
                required = [scope.lower() for scope in required_scopes or []]
                return bool(super().scope_insufficient(token_scopes, required))

        return Validator(ISSUER, RESOURCE)

    expected = under_authlib(make, rfc9068.JWTBearerTokenValidator, jwts()["member"], send, {"groups": "STAFF"})
    assert expected.answer.status == 200
    got = under_ours(make, JWTBearerTokenValidator, jwts()["member"], send, "def", {"groups": "STAFF"})
    assert got.comparable == expected.comparable


def test_validate_iss_sees_signed_claims_only(send: Send) -> None:
    """Authlib asks ``validate_iss`` about tokens whose signature is good, and about no others."""
    seen: list[Any] = []

    def make(base: Any) -> Any:
        class Validator(base):
            def get_jwks(self) -> Any:
                return KEYS

            def validate_iss(self, claims: Any, iss: str) -> bool:
                seen.append(iss)
                return True

        return Validator(ISSUER, RESOURCE)

    under_authlib(make, rfc9068.JWTBearerTokenValidator, jwts()["other key"], send, {})
    assert seen == []
    under_ours(make, JWTBearerTokenValidator, jwts()["other key"], send, "def", {})
    assert seen == []


def test_a_bearer_header_is_all_that_a_subclass_needs(send: Send) -> None:
    """The five lines of Authlib's documentation, with the other import."""

    class MyJWTBearerTokenValidator(JWTBearerTokenValidator):
        def get_jwks(self) -> Any:
            return KEYS

    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(MyJWTBearerTokenValidator(issuer=ISSUER, resource_server=RESOURCE))

    @require_oauth(scope="profile", groups="staff", roles="admin", entitlements="gold")
    async def resource_endpoint(request: Any) -> Any:
        from django.http import JsonResponse

        return JsonResponse(request.oauth_token)

    with serving(resource_endpoint):
        assert send("/", bearer(jwts()["member"])).status == 200
        assert send("/", bearer(jwts()["good"])).status == 403
