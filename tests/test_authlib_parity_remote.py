"""``compat="authlib"`` for remote tokens: the same subclasses, based on Authlib's classes and on the guard's.

The tests get Authlib's answer at run time. Where that answer is acceptable, the guard's answer must be the same to the
byte. Where Authlib crashes, or lets in a token that it should refuse, the guard must send Authlib's answer to an
invalid token. The tables say where the two differ.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from authlib.integrations import django_oauth2 as authlib_django
from authlib.oauth2 import rfc7662, rfc9068
from django.http import HttpRequest, JsonResponse
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

import async_oauth_guard
from tests.answers import Answer, bearer
from tests.conftest import Send
from tests.sites import MODES, serving

# A dictionary of keys is deprecated with Authlib.
pytestmark = pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning")

ISSUER, RESOURCE = "https://as.example.com", "https://api.example.com"
KEY = RSAKey.generate_key(2048, {"kid": "k1"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "k1"})
PUBLIC = KEY.as_dict(private=False)
WITHOUT_KID = {name: value for name, value in PUBLIC.items() if name != "kid"}
SECRET = OctKey.generate_key(256, {"kid": "s"})
CURVE = ECKey.generate_key("P-256", {"kid": "e"})
KEYS = KeySet([KEY])
ABSENT = object()


@dataclass(frozen=True)
class In:
    """A time, so many seconds from when the token is made."""

    seconds: float


CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "exp": In(86_400),
    "aud": RESOURCE,
    "sub": "alice",
    "client_id": "console",
    "iat": In(0),
    "jti": "j1",
    "scope": "profile email",
}


def make_jwt(header: Mapping[str, Any], claims: Any, key: Any = KEY) -> str:
    """A token with the header members and claims of a valid token, to which these are added, or which these replace."""
    if isinstance(claims, Mapping):
        now = int(time.time())
        merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ABSENT}
        merged = {name: now + value.seconds if isinstance(value, In) else value for name, value in merged.items()}
        claims = json.dumps(merged)
    full = {"alg": "RS256", "typ": "at+jwt", "kid": "k1", **header}
    algorithms = [*jws.JWSRegistry.algorithms]
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    registry.max_header_length = 4096
    members = {name: value for name, value in full.items() if value is not ABSENT}
    return jws.serialize_compact(members, claims, key, registry=registry)


@dataclass(frozen=True)
class Shape:
    """A JWT that differs from a good one."""

    name: str
    claims: Any = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    key: Any = None
    change: Callable[[str], str] = str

    @property
    def token(self) -> str:
        return self.change(make_jwt(self.header, self.claims, self.key or KEY))


# What the views ask for.
ASKED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a scope": {"scopes": "profile"},
    "all of two": {"scopes": "email profile"},
    "any of two": {"scopes": ["x", "profile"]},
    "another scope": {"scopes": "admin"},
    "a group": {"groups": "staff"},
    "a scope and a role": {"scopes": "profile", "roles": ["x", "admin"]},
}

EQUAL = [
    Shape("good"),
    Shape("typ in capitals", header={"typ": "AT+JWT"}),
    Shape("typ in full", header={"typ": "application/at+jwt"}),
    Shape("typ JWT", header={"typ": "JWT"}),
    Shape("typ of a logout token", header={"typ": "logout+jwt"}),
    Shape("no kid, one key", header={"kid": ABSENT}),
    Shape("unknown kid", header={"kid": "k2"}),
    Shape("known member cty", header={"cty": "x"}),
    Shape("another key's signature", key=OTHER_KEY),
    Shape("symmetric", header={"alg": "HS256"}, key=SECRET),
    Shape("expired", {"exp": In(-60)}),
    Shape("exp with a fraction", {"exp": 4102444800.5}),
    Shape("exp as text", {"exp": "4102444800"}),
    Shape("exp true", {"exp": True}),
    Shape("exp null", {"exp": None}),
    Shape("no exp", {"exp": ABSENT}),
    Shape("exp before the epoch", {"exp": -5}),
    Shape("nbf to come", {"nbf": In(60)}),
    Shape("nbf in the past", {"nbf": In(-60)}),
    Shape("nbf as text", {"nbf": "0"}),
    Shape("iat to come", {"iat": In(600)}),
    Shape("iat as text", {"iat": "0"}),
    Shape("no iat", {"iat": ABSENT}),
    Shape("another iss", {"iss": "https://other.example.com"}),
    Shape("iss with a slash", {"iss": ISSUER + "/"}),
    Shape("iss in a list", {"iss": [ISSUER]}),
    Shape("no iss", {"iss": ABSENT}),
    Shape("another aud", {"aud": "https://other.example.com"}),
    Shape("part of the aud", {"aud": RESOURCE + "/v2"}),
    Shape("aud in a list", {"aud": ["https://other.example.com", RESOURCE]}),
    Shape("other auds in a list", {"aud": ["https://other.example.com"]}),
    Shape("aud of nobody", {"aud": []}),
    Shape("aud an object", {"aud": {RESOURCE: 1}}),
    Shape("aud with a number in it", {"aud": [RESOURCE, 1]}),
    Shape("no aud", {"aud": ABSENT}),
    Shape("no sub", {"sub": ABSENT}),
    Shape("sub a number", {"sub": 7}),
    Shape("blank sub", {"sub": ""}),
    Shape("no client_id", {"client_id": ABSENT}),
    Shape("blank client_id", {"client_id": ""}),
    Shape("no jti", {"jti": ABSENT}),
    Shape("jti a number", {"jti": 7}),
    Shape("no scope", {"scope": ABSENT}),
    Shape("one scope", {"scope": "profile"}),
    Shape("scopes in a list", {"scope": ["profile", "email"]}),
    Shape("a scope of two words", {"scope": ["profile email"]}),
    Shape("scope in capitals", {"scope": "PROFILE"}),
    Shape("tab between scopes", {"scope": "profile\temail"}),
    Shape("newlines between scopes", {"scope": "\r\nprofile\n email\x0b\n"}),
    Shape("a tab within a scope of a list", {"scope": ["profile\temail"]}),
    Shape("amr", {"amr": ["pwd"]}),
    Shape("acr and auth_time", {"acr": "1", "auth_time": 5}),
    Shape("groups", {"groups": ["staff", "x"]}),
    Shape("other groups", {"groups": ["x"]}),
    Shape("groups as text", {"groups": "x staff"}),
    Shape("groups as text, tab between", {"groups": "x\tstaff"}),
    Shape("groups as text, part of one", {"groups": "staffers"}),
    Shape("groups and roles", {"groups": ["staff"], "roles": ["admin"]}),
    Shape("roles as text", {"roles": "admin"}),
    Shape("no object", "[]"),
    Shape("no JSON", "x"),
    Shape("no JWT", change=lambda token: "garbage"),
    Shape("without signature", change=lambda token: token.rpartition(".")[0] + "."),
    Shape("two parts", change=lambda token: token.rpartition(".")[0]),
    Shape("five parts", change=lambda token: token + ".a.b"),
    Shape("alg none", change=lambda token: "eyJhbGciOiJub25lIn0." + token.split(".")[1] + "."),
    Shape("changed", change=lambda token: token.replace(token.split(".")[1], token.split(".")[1][:-4] + "AAAA")),
]

# What Authlib lets in, or crashes over, and ours refuses as Authlib refuses a bad token.
REFUSED = [
    Shape("no typ", header={"typ": ABSENT}),
    Shape("blank typ", header={"typ": ""}),
    Shape("exp beyond all numbers", {"exp": 10**400}),
    Shape("iat before the epoch", {"iat": -5}),
    Shape("blank aud beside ours", {"aud": [RESOURCE, ""]}),
    Shape("client_id a number", {"client_id": 7}),
    Shape("scope a number", {"scope": 5}),
    Shape("scope an object", {"scope": {"profile": 1}}),
    Shape("scope with a number in it", {"scope": ["profile", 1]}),
    Shape("bound to a key", {"cnf": {"jkt": "x"}}),
    Shape("token_type DPoP", {"token_type": "DPoP"}),
    Shape("authorization_details that are none", {"authorization_details": 5}),
    Shape("a member twice", '{"iss": "x", ' + json.dumps({**CLAIMS, "exp": 4102444800, "iat": 0})[1:]),
]

# What Authlib refuses and ours lets in.
LET_IN = [
    Shape("expired five seconds ago", {"exp": In(-5)}),
    Shape("valid in five seconds", {"nbf": In(5)}),
    Shape("issued in half a minute", {"iat": In(30)}),
    Shape("nbf null", {"nbf": None}),
    Shape("auth_time as text", {"auth_time": "x"}),
    Shape("amr as text", {"amr": "pwd"}),
    Shape("blank acr", {"acr": ""}),
    Shape("no groups at all", {"groups": []}),
    Shape("groups null", {"groups": None}),
    Shape("unknown header member", header={"x": "y"}),
    Shape("key of the sender's in the header", header={"jwk": OTHER_KEY.as_dict(private=False)}),
    Shape("long header", header={"cty": "x" * 600}),
    Shape("RS512", header={"alg": "RS512"}),
    Shape("PS256", header={"alg": "PS256"}),
    Shape("scope blank", {"scope": ""}),
    Shape("scope null", {"scope": None}),
    Shape("scopes none", {"scope": []}),
]


@dataclass
class Outcome:
    """An answer, how often the view was entered, and the tokens that the signal's receivers were given."""

    answer: Answer
    entered: int
    heard: list[Any]

    @property
    def comparable(self) -> Any:
        lines = sorted((name.lower(), value) for name, value in self.answer.headers if name.lower() != "vary")
        return self.answer.status, self.answer.body, lines, self.entered, self.heard


def outcome(protector: Any, validator: Any, token: str, send: Send, mode: str, asked: Mapping[str, Any]) -> Outcome:
    seen: list[Any] = []
    heard: list[Any] = []

    def sync_view(request: HttpRequest) -> JsonResponse:
        seen.append(request)
        return JsonResponse(request.oauth_token)  # type: ignore[attr-defined]

    async def async_view(request: HttpRequest) -> JsonResponse:
        return sync_view(request)

    def receiver(token: Any, **arguments: Any) -> None:
        heard.append(dict(token))

    protector.register_token_validator(validator)
    authlib_django.token_authenticated.connect(receiver)
    try:
        with serving(protector(**asked)({"def": sync_view, "async def": async_view}[mode])):
            answer = send("/", bearer(token))
    finally:
        authlib_django.token_authenticated.disconnect(receiver)
    return Outcome(answer, len(seen), heard)


def jwt_validator(base: Any, keys: Any = KEYS, **options: Any) -> Any:
    class Validator(base):
        def get_jwks(self) -> Any:
            return keys

    return Validator(ISSUER, RESOURCE, "r1", number=7, **options)


def theirs(token: str, send: Send, asked: Mapping[str, Any], keys: Any = KEYS) -> Outcome:
    validator = jwt_validator(rfc9068.JWTBearerTokenValidator, keys)
    return outcome(authlib_django.ResourceProtector(), validator, token, send, "def", asked)


def ours(token: str, send: Send, mode: str, asked: Mapping[str, Any], keys: Any = KEYS, **options: Any) -> Outcome:
    validator = jwt_validator(async_oauth_guard.JWTBearerTokenValidator, keys, **options)
    return outcome(async_oauth_guard.ResourceProtector(compat="authlib"), validator, token, send, mode, asked)


def each(shapes: list[Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shape", [pytest.param(shape, id=shape.name) for shape in shapes])


sync_and_async = pytest.mark.parametrize("mode", MODES)


def worth_asking(answered: Outcome, asked: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """All of ``asked`` of a token that is good for something; of any other, whether that is seen first."""
    return [*asked.values()] if answered.answer.status == 200 else [*asked.values()][:: len(asked) - 1]


@each(EQUAL)
def test_jwts_as_authlib(shape: Shape, send: Send) -> None:
    """Status, body, header fields and signal are Authlib's to the byte, whatever the token and the view's wish."""
    token = shape.token
    for asked in worth_asking(theirs(token, send, {}), ASKED):
        expected = theirs(token, send, asked)
        assert expected.answer.status in (200, 401, 403)
        for mode in MODES:
            assert ours(token, send, mode, asked).comparable == expected.comparable


@each(REFUSED)
def test_jwts_that_authlib_should_refuse(shape: Shape, send: Send) -> None:
    """A token that Authlib wrongly lets in, or crashes over, gets Authlib's answer to an invalid token."""
    token = shape.token
    assert theirs(token, send, {}).answer.status == 200
    expected = theirs("garbage", send, {})
    for mode in MODES:
        for asked in worth_asking(expected, ASKED):
            assert ours(token, send, mode, asked).comparable == expected.comparable


@sync_and_async
@each(LET_IN)
def test_jwts_that_authlib_refuses(shape: Shape, mode: str, send: Send) -> None:
    """Here ours is the more lenient: within its leeway, and for what says nothing of the token."""
    token = shape.token
    assert theirs(token, send, {}).answer.status == 401
    assert ours(token, send, mode, {}).answer.status == 200


@sync_and_async
@each([shape for shape in LET_IN if shape.name in ("expired five seconds ago", "valid in five seconds")])
def test_jwts_without_leeway(shape: Shape, mode: str, send: Send) -> None:
    """With ``leeway=0`` clocks are compared as Authlib compares them."""
    token = shape.token
    assert ours(token, send, mode, {}, leeway=0).comparable == theirs(token, send, {}).comparable


@sync_and_async
@each([shape for shape in REFUSED if shape.name in ("no typ", "blank typ")])
def test_jwts_without_typ(shape: Shape, mode: str, send: Send) -> None:
    """Tokens that do not say what they are need a profile under which they need not; a blank ``typ`` is never one."""
    token = shape.token
    expected = theirs(token if shape.name == "no typ" else "garbage", send, {})
    assert ours(token, send, mode, {}, profile="generic").comparable == expected.comparable


CRASHING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"groups": {"staff": 1}}, {"groups": "staff"}),
    ({"groups": 5}, {"groups": "staff"}),
    ({"roles": {"admin": True}}, {"roles": "admin"}),
    ({"scope": 5}, {"scopes": "profile"}),
    ({"scope": {"profile": 1}}, {"scopes": "profile"}),
]


@sync_and_async
@pytest.mark.parametrize(("claims", "asked"), CRASHING)
def test_jwts_over_which_authlib_crashes(claims: Any, asked: dict[str, Any], mode: str, send: Send) -> None:
    """R121: a claim of an unreadable type grants nothing. Authlib's answer to a missing claim or bad token is sent."""
    token = make_jwt({}, claims)
    assert theirs(token, send, asked).answer.status == 500
    expected = theirs("garbage" if "scope" in claims else make_jwt({}, {}), send, asked)
    assert expected.answer.status == 401
    assert ours(token, send, mode, asked).comparable == expected.comparable


@sync_and_async
def test_scope_keyword(mode: str, send: Send) -> None:
    """``scope=``, of which Authlib's own documentation tells, and over which it crashes, works as ``scopes=``."""
    for wanted in ("profile", "admin"):
        token = make_jwt({}, {})
        assert theirs(token, send, {"scope": wanted}).answer.status == 500
        answered = ours(token, send, mode, {"scope": wanted})
        assert answered.comparable == theirs(token, send, {"scopes": wanted}).comparable


@sync_and_async
@pytest.mark.parametrize("groups", [["staff", 1], [1]], ids=str)
def test_groups_of_several_types(groups: Any, mode: str, send: Send) -> None:
    """Authlib makes text of whatever it finds in a list; a list with anything but strings in it grants nothing."""
    token = make_jwt({}, {"groups": groups})
    asked = {"groups": str(groups[0])}
    assert theirs(token, send, asked).answer.status == 200
    assert ours(token, send, mode, asked).comparable == theirs(make_jwt({}, {}), send, asked).comparable


# Keys.


def hs256(**header: Any) -> str:
    return make_jwt({"alg": "HS256", **header}, {}, SECRET)


KEYS_AS_AUTHLIB = {
    "a set as a dictionary": ({"keys": [PUBLIC]}, make_jwt({}, {})),
    "a key as a dictionary": (PUBLIC, make_jwt({}, {})),
    "a public key": (RSAKey.import_key(PUBLIC), make_jwt({}, {})),
    "a private key": (KEY, make_jwt({}, {})),
    "a key without kid, no kid in the token": (RSAKey.import_key(WITHOUT_KID), make_jwt({"kid": ABSENT}, {})),
    "a key without kid": (RSAKey.import_key(WITHOUT_KID), make_jwt({}, {})),
    "a KeySet that made its kid": (KeySet([RSAKey.import_key(WITHOUT_KID)]), make_jwt({}, {})),
    "two keys, no kid in the token": (KeySet([KEY, OTHER_KEY]), make_jwt({"kid": ABSENT}, {})),
    "a key of another algorithm": ({"keys": [{**PUBLIC, "alg": "RS512"}]}, make_jwt({}, {})),
    "a secret": (SECRET, hs256(kid="s")),
    "a secret, no kid in the token": (SECRET, hs256(kid=ABSENT)),
    "a secret in a KeySet": (KeySet([SECRET]), hs256(kid="s")),
    "a secret too short for the algorithm": (SECRET, make_jwt({"alg": "HS384", "kid": "s"}, {}, SECRET)),
    "a secret, a token of the public key": (SECRET, make_jwt({}, {})),
    "a public key, a token of its text": (KEYS, hs256(kid="k1")),
    "a curve": (KeySet([CURVE]), make_jwt({"alg": "ES256", "kid": "e"}, {}, CURVE)),
    "two kinds": (KeySet([KEY, CURVE]), make_jwt({"alg": "ES256", "kid": "e"}, {}, CURVE)),
}


@sync_and_async
@pytest.mark.parametrize(("keys", "token"), KEYS_AS_AUTHLIB.values(), ids=KEYS_AS_AUTHLIB)
def test_keys_as_authlib(keys: Any, token: str, mode: str, send: Send) -> None:
    """Whatever form ``get_jwks`` gives its keys in, the answer is Authlib's."""
    assert ours(token, send, mode, {}, keys).comparable == theirs(token, send, {}, keys).comparable


@sync_and_async
def test_a_set_of_one_key_without_kid(mode: str, send: Send) -> None:
    """Authlib makes up a name for it, which no token knows; here its one key is a key as any that is alone."""
    keys, token = {"keys": [WITHOUT_KID]}, make_jwt({}, {})
    assert theirs(token, send, {}, keys).answer.status == 401
    assert ours(token, send, mode, {}, keys).answer.status == 200
    assert ours(make_jwt({}, {}, OTHER_KEY), send, mode, {}, keys).answer.status == 401


# What ours does not use, with the header members of its token, and what the log says of it. joserfc warns of weak keys.
UNUSED_KEYS: dict[str, tuple[Callable[[], Any], Any, Callable[[Any], Any], str]] = {
    "a short secret": (
        lambda: OctKey.import_key("a short secret"),
        {"alg": "HS256", "kid": ABSENT},
        lambda key: key,
        "0 (its size or exponent",
    ),
    "a secret as a dictionary": (
        lambda: SECRET,
        {"alg": "HS256", "kid": "s"},
        lambda key: key.as_dict(private=True),
        "0 (it is not public)",
    ),
    "a private key as a dictionary": (
        lambda: KEY,
        {},
        lambda key: {"keys": [key.as_dict(private=True)]},
        "0 (it is not public)",
    ),
    "a small key": (
        lambda: RSAKey.generate_key(1024, {"kid": "k1"}),
        {},
        lambda key: KeySet([key]),
        "0 (its size or exponent",
    ),
}


@sync_and_async
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize(("make", "header", "given", "logged"), UNUSED_KEYS.values(), ids=UNUSED_KEYS)
def test_keys_that_are_not_used(
    make: Any, header: Any, given: Any, logged: str, mode: str, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """Authlib takes weak keys, and secrets from wherever they come. Ours takes none of these: 503, and a log line."""
    key = make()
    keys, token = given(key), make_jwt(header, {}, key)
    assert theirs(token, send, {}, keys).answer.status == 200
    caplog.clear()
    refused = ours(token, send, mode, {}, keys)
    assert (refused.answer.status, refused.entered, refused.answer.challenges) == (503, 0, [])
    assert logged in caplog.text
    assert "get_jwks() or the jwks argument returned no usable key" in caplog.text
    assert "a short secret" not in caplog.text


# Introspection. The token is the name of the answer.

ANSWERS: dict[str, Any] = {
    "good": {"active": True, "scope": "profile email"},
    "one-scope": {"active": True, "scope": "profile"},
    "no-scope": {"active": True},
    "scope-null": {"active": True, "scope": None},
    "scope-blank": {"active": True, "scope": ""},
    "scope-list": {"active": True, "scope": ["profile", "email"]},
    "scope-in-capitals": {"active": True, "scope": "PROFILE"},
    "tab-between-scopes": {"active": True, "scope": "profile\temail"},
    "newlines-between-scopes": {"active": True, "scope": "\r\nprofile\n email\x0b\n"},
    "tab-within-a-scope-of-a-list": {"active": True, "scope": ["profile\temail"]},
    "part-of-a-scope": {"active": True, "scope": "profiles"},
    "all-members": {
        "active": True,
        "scope": "profile",
        "client_id": "console",
        "username": "alice",
        "token_type": "Bearer",
        "exp": 4102444800,
        "iat": 1700000000,
        "nbf": 1700000000,
        "sub": "alice",
        "aud": RESOURCE,
        "iss": ISSUER,
        "jti": "j1",
    },
    "other-audience": {"active": True, "aud": "https://other.example.com", "scope": "profile"},
    "other-issuer": {"active": True, "iss": "https://other.example.com", "scope": "profile"},
    "exp-null": {"active": True, "exp": None, "scope": "profile"},
    "unknown-members": {"active": True, "scope": "profile", "ext": {"a": [1, {"b": None}]}},
    "token-type-in-lower-case": {"active": True, "scope": "profile", "token_type": "bearer"},
    "inactive": {"active": False},
    "inactive-with-scope": {"active": False, "scope": "profile", "exp": 4102444800},
    "active-null": {"active": None},
    "active-0": {"active": 0, "scope": "profile"},
    "active-blank": {"active": "", "scope": "profile"},
    "empty": {},
    "none": None,
    "empty-list": [],
    "empty-text": "",
}
REFUSED_ANSWERS: dict[str, Any] = {
    "active-true-as-text": {"active": "true", "scope": "profile"},
    "active-false-as-text": {"active": "false", "scope": "profile"},
    "active-1": {"active": 1, "scope": "profile"},
    "active-list": {"active": [False], "scope": "profile"},
    "expired": {"active": True, "exp": 1700000000, "scope": "profile"},
    "exp-as-text": {"active": True, "exp": "4102444800", "scope": "profile"},
    "not-yet": {"active": True, "nbf": 4102444800, "scope": "profile"},
    "issued-in-the-future": {"active": True, "iat": 4102444800, "scope": "profile"},
    "bound": {"active": True, "cnf": {"jkt": "x"}, "scope": "profile"},
    "dpop": {"active": True, "token_type": "DPoP", "scope": "profile"},
    "hydra-of-old": {"active": True, "token_type": "access_token", "scope": "profile"},
    "scope-a-number": {"active": True, "scope": 5},
    "scope-an-object": {"active": True, "scope": {"profile": 1}},
    "scope-with-a-number": {"active": True, "scope": ["profile", 1]},
}
CRASHING_ANSWERS: dict[str, Any] = {
    "no-active": {"scope": "profile"},
    "an-error": {"error": "invalid_client"},
    "a-list": [{"active": True}],
    "text": "active",
    "a-number": 5,
}
EVERY_ANSWER = {**ANSWERS, **REFUSED_ANSWERS, **CRASHING_ANSWERS}
SCOPES_ASKED = {name: asked for name, asked in ASKED.items() if set(asked) <= {"scopes"}}


def introspect_validator(base: Any) -> Any:
    class Validator(base):
        def introspect_token(self, token_string: str) -> Any:
            return json.loads(json.dumps(EVERY_ANSWER.get(token_string, {"active": False})))

    return Validator(realm="r1", number=7)


def their_introspection(token: str, send: Send, asked: Mapping[str, Any]) -> Outcome:
    validator = introspect_validator(rfc7662.IntrospectTokenValidator)
    return outcome(authlib_django.ResourceProtector(), validator, token, send, "def", asked)


def our_introspection(token: str, send: Send, mode: str, asked: Mapping[str, Any]) -> Outcome:
    validator = introspect_validator(async_oauth_guard.IntrospectTokenValidator)
    return outcome(async_oauth_guard.ResourceProtector(compat="authlib"), validator, token, send, mode, asked)


@pytest.mark.parametrize("token", ANSWERS)
def test_answers_as_authlib(token: str, send: Send) -> None:
    """Status, body, header fields and signal are Authlib's to the byte, whatever the answer and the view's wish."""
    for asked in worth_asking(their_introspection(token, send, {}), SCOPES_ASKED):
        expected = their_introspection(token, send, asked)
        assert expected.answer.status in (200, 401, 403)
        for mode in MODES:
            assert our_introspection(token, send, mode, asked).comparable == expected.comparable


@pytest.mark.parametrize("token", REFUSED_ANSWERS)
def test_answers_that_authlib_should_refuse(token: str, send: Send) -> None:
    """R26, R71: if Authlib lets in a token that is not active, the guard sends Authlib's answer to an invalid token."""
    assert their_introspection(token, send, {}).answer.status == 200
    expected = their_introspection("inactive", send, {})
    for mode in MODES:
        for asked in worth_asking(expected, SCOPES_ASKED):
            assert our_introspection(token, send, mode, asked).comparable == expected.comparable


@sync_and_async
@pytest.mark.parametrize("token", CRASHING_ANSWERS)
def test_answers_over_which_authlib_crashes(token: str, mode: str, send: Send) -> None:
    """R124: what is no answer is no yes: it is refused, in Authlib's words, and nobody enters."""
    assert their_introspection(token, send, {}).answer.status == 500
    refused = our_introspection(token, send, mode, {})
    assert refused.comparable == their_introspection("inactive", send, {}).comparable


ATTRIBUTE_ANSWERS: dict[str, Any] = {
    "staff": {"active": True, "groups": ["staff"]},
    "staff-as-text": {"active": True, "groups": "x staff"},
    "staff-behind-a-tab": {"active": True, "groups": "x\tstaff"},
    "staffers": {"active": True, "groups": ["staffers"]},
    "no-list": {"active": True, "groups": {"staff": 1}},
    "nobody": {"active": True},
}
EVERY_ANSWER.update(ATTRIBUTE_ANSWERS)


@sync_and_async
@pytest.mark.parametrize("token", ATTRIBUTE_ANSWERS)
def test_groups_of_answers(token: str, mode: str, send: Send) -> None:
    """``groups=``, over which Authlib's validator crashes, is checked as Authlib checks it for a JWT."""
    asked = {"groups": "staff"}
    assert their_introspection(token, send, asked).answer.status == 500
    is_held = token in ("staff", "staff-as-text", "staff-behind-a-tab")
    expected = their_introspection(token, send, {}) if is_held else theirs(make_jwt({}, {}), send, asked)
    assert our_introspection(token, send, mode, asked).comparable == expected.comparable


@sync_and_async
def test_other_keywords(mode: str, send: Send) -> None:
    """A keyword that no ``validate_token`` takes is an error at once. Authlib crashes over it in each request."""
    for protector_of, token in ((ours, make_jwt({}, {})), (our_introspection, "good")):
        with pytest.raises(TypeError, match="level"):
            protector_of(token, send, mode, {"level": "gold"})
    assert theirs(make_jwt({}, {}), send, {"level": "gold"}).answer.status == 500
    assert their_introspection("good", send, {"level": "gold"}).answer.status == 500
