"""``compat="authlib"`` answers as Authlib does: the same requests go to Authlib's own decorator and to ours."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from authlib.integrations import django_oauth2 as authlib_django
from authlib.integrations.django_oauth2.resource_protector import return_error_response
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper

import async_oauth_guard
from tests.answers import Answer, RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.rfc9110 import Challenge
from tests.site.models import AnyTenantToken, OAuth2Token, TenantToken, UUIDToken
from tests.sites import MODES, Witness, serving

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="Authlib's answers depend on the collation"),
]

GOOD, BARE, EXPIRED, REVOKED, MACHINE, INACTIVE = "good", "bare", "expired", "revoked", "machine", "inactive"
TWICE, MEMBER, NARROW = "twice", "member", "narrow"
TABBED, LINES = "tabbed", "lines"
LONG = "x" * 40_000

# How validators are made, as functions of the class to make them of: Authlib's, or ours.
Make = Callable[[Any], list[Any]]


def plain(base: Any) -> list[Any]:
    return [base(OAuth2Token, realm="r1")]


def without_realm(base: Any) -> list[Any]:
    return [base(OAuth2Token)]


def with_attributes(base: Any) -> list[Any]:
    return [base(OAuth2Token, realm="r1", authz_server="https://as.example.com", number=7)]


def none_at_all(base: Any) -> list[Any]:
    return []


def second_for_the_scheme(base: Any) -> list[Any]:
    return [base(OAuth2Token, realm="r1"), base(AnyTenantToken, realm="r2")]


def other_model(base: Any) -> list[Any]:
    return [base(AnyTenantToken, realm="r2"), base(OAuth2Token, realm="r1")]


def uuids(base: Any) -> list[Any]:
    return [base(UUIDToken, realm="r1")]


def ambiguous(base: Any) -> list[Any]:
    return [base(AnyTenantToken, realm="r1")]


def another_scheme(base: Any) -> list[Any]:
    class MacTokenValidator(base):
        TOKEN_TYPE = "mac"

    return [MacTokenValidator(OAuth2Token, realm="r1")]


def two_schemes(base: Any) -> list[Any]:
    return another_scheme(base) + plain(base)


def asking_for_a_device(base: Any) -> list[Any]:
    class DeviceValidator(base):
        def validate_request(self, request: Any) -> None:
            if "X-Device-Version" not in request.headers:
                raise InvalidRequestError("Which device is this?")
            if request.method == "DELETE":
                raise OAuth2Error(error="no_deletion", description="Not with a device.", status_code=418)

    return [DeviceValidator(OAuth2Token, realm="r1")]


def own_lookup(base: Any) -> list[Any]:
    class PrefixValidator(base):
        def authenticate_token(self, token_string: str) -> Any:
            return super().authenticate_token(token_string.removeprefix("v1."))

    return [PrefixValidator(OAuth2Token, realm="r1")]


def own_verdict(base: Any) -> list[Any]:
    class ClientValidator(base):
        def validate_token(self, token: Any, scopes: Any, request: Any, client: Any = None) -> None:
            super().validate_token(token, scopes, request)
            if client and token.client_id not in client:
                raise OAuth2Error(error="wrong_client", status_code=403)

    return [ClientValidator(OAuth2Token, realm="r1")]


def own_scopes(base: Any) -> list[Any]:
    class HierarchyValidator(base):
        @staticmethod
        def scope_insufficient(token_scopes: Any, required_scopes: Any) -> bool:
            return bool(required_scopes) and "profile" not in token_scopes.split()

    return [HierarchyValidator(OAuth2Token, realm="r1")]


@dataclass(frozen=True)
class Case:
    """A request, the view's requirement, and the protector's validators."""

    name: str
    headers: RawHeaders
    requirement: Mapping[str, Any] = field(default_factory=dict)
    make: Make = plain
    method: str = "GET"
    query: bytes = b""


def raw(*values: bytes) -> RawHeaders:
    return [(b"authorization", value) for value in values]


PROFILE = {"scopes": "profile"}
OPTIONAL = {"scopes": "profile", "optional": True}
DEVICE = [(b"x-device-version", b"2")]

CASES = [
    # Headers.
    Case("no header", []),
    Case("empty header", raw(b"")),
    Case("blank header", raw(b" ")),
    Case("scheme alone", raw(b"Bearer")),
    Case("scheme and a space", raw(b"Bearer ")),
    Case("lower case", bearer(GOOD, "bearer")),
    Case("upper case", bearer(GOOD, "BEARER")),
    Case("mixed case", bearer(GOOD, "bEaReR")),
    Case("two spaces", bearer(" " + GOOD)),
    Case("tab", raw(b"Bearer\tgood")),
    Case("space before", raw(b" Bearer good")),
    Case("space after", bearer(GOOD + " ")),
    Case("something after", bearer(GOOD + " extra")),
    Case("comma list", bearer(GOOD + "," + GOOD)),
    Case("twice the same line", raw(b"Bearer good", b"Bearer good")),
    Case("two lines", raw(b"Bearer good", b"Basic Zm9vOmJhcg==")),
    Case("two lines, other scheme first", raw(b"Basic Zm9vOmJhcg==", b"Bearer good")),
    Case("quoted", bearer(f'"{GOOD}"')),
    Case("equals sign", raw(b"Bearer=good")),
    Case("padding alone", bearer("===")),
    Case("control characters", raw(b"Bearer go\x01od")),
    Case("NUL", raw(b"Bearer go\x00od")),
    Case("bytes above ASCII", raw(b"Bearer g\xf6\xf6d")),
    Case("no-break space", raw(b"Bearer\xa0good")),
    Case("percent", bearer("%67ood")),
    Case("over-long", bearer(LONG)),
    Case("Basic", raw(b"Basic Zm9vOmJhcg==")),
    Case("Negotiate", raw(b"Negotiate x")),
    Case("DPoP", bearer(GOOD, "DPoP")),
    Case("longer scheme", bearer(GOOD, "BearerX")),
    Case("Proxy-Authorization", [(b"proxy-authorization", b"Bearer good")]),
    Case("cookie", [(b"cookie", b"access_token=good")]),
    Case("query", [], query=b"access_token=good"),
    Case("query beside the header", bearer(GOOD), query=b"access_token=bad"),
    # Tokens.
    Case("good", bearer(GOOD)),
    Case("wrong case", bearer(GOOD.upper())),
    Case("unknown", bearer("unknown")),
    Case("expired", bearer(EXPIRED)),
    Case("revoked", bearer(REVOKED)),
    Case("of no user", bearer(MACHINE)),
    Case("expired and without scope", bearer(EXPIRED), {"scopes": "email"}),
    # Requirements.
    Case("scope held", bearer(GOOD), PROFILE),
    Case("scope missing", bearer(NARROW), {"scopes": "email"}),
    Case("scopes of nothing", bearer(BARE), PROFILE),
    Case("no scopes asked of nothing", bearer(BARE), {"scopes": None}),
    Case("empty list asked of nothing", bearer(BARE), {"scopes": []}),
    Case("both held", bearer(GOOD), {"scopes": "email profile"}),
    Case("one of both held", bearer(NARROW), {"scopes": "profile email"}),
    Case("any, first", bearer(NARROW), {"scopes": ["profile", "x"]}),
    Case("any, last", bearer(NARROW), {"scopes": ["x", "profile"]}),
    Case("any, none", bearer(NARROW), {"scopes": ["x", "y"]}),
    Case("any of alls, held", bearer(GOOD), {"scopes": ["x y", "profile email"]}),
    Case("any of alls, missing", bearer(NARROW), {"scopes": ["x y", "profile email"]}),
    Case("nested, held", bearer(GOOD), {"scopes": [["profile", "email"], "x"]}),
    Case("nested, missing", bearer(NARROW), {"scopes": [["profile", "email"], "x"]}),
    Case("tuple", bearer(GOOD), {"scopes": ("x", "email")}),
    Case("set", bearer(GOOD), {"scopes": {"x", "email"}}),
    Case("scope in another case", bearer(GOOD), {"scopes": "Profile"}),
    Case("part of a scope", bearer(GOOD), {"scopes": "prof"}),
    Case("tab between scopes", bearer(TABBED), {"scopes": "profile email"}),
    Case("tab between scopes, one held", bearer(TABBED), PROFILE),
    Case("tab between scopes, none held", bearer(TABBED), {"scopes": "profile\temail admin"}),
    Case("newlines between scopes", bearer(LINES), {"scopes": "profile email"}),
    Case("newlines between scopes, one held", bearer(LINES), {"scopes": ["x", "email"]}),
    Case("newlines between scopes, none held", bearer(LINES), {"scopes": "admin"}),
    Case("required, no header", [], PROFILE),
    Case("required, other scheme", raw(b"Basic Zm9vOmJhcg=="), PROFILE),
    Case("required, unknown", bearer("unknown"), PROFILE),
    Case("optional, no header", [], OPTIONAL),
    Case("optional, empty header", raw(b""), OPTIONAL),
    Case("optional, good", bearer(GOOD), OPTIONAL),
    Case("optional, unknown", bearer("unknown"), OPTIONAL),
    Case("optional, expired", bearer(EXPIRED), OPTIONAL),
    Case("optional, other scheme", raw(b"Basic Zm9vOmJhcg=="), OPTIONAL),
    Case("optional, scheme alone", raw(b"Bearer"), OPTIONAL),
    Case("optional, scope missing", bearer(BARE), OPTIONAL),
    # Methods.
    Case("HEAD, no header", [], PROFILE, method="HEAD"),
    Case("HEAD, good", bearer(GOOD), PROFILE, method="HEAD"),
    Case("OPTIONS, no header", [], PROFILE, method="OPTIONS"),
    Case("OPTIONS, good", bearer(GOOD), PROFILE, method="OPTIONS"),
    Case("POST, no header", [], PROFILE, method="POST"),
    Case("POST, good", bearer(GOOD), PROFILE, method="POST"),
    # Validators.
    Case("no realm, no header", [], make=without_realm),
    Case("no realm, other scheme", raw(b"Basic Zm9vOmJhcg=="), make=without_realm),
    Case("no realm, unknown", bearer("unknown"), make=without_realm),
    Case("no realm, scope missing", bearer(BARE), PROFILE, make=without_realm),
    Case("attributes, no header", [], make=with_attributes),
    Case("attributes, other scheme", raw(b"Basic Zm9vOmJhcg=="), make=with_attributes),
    Case("attributes, unknown", bearer("unknown"), make=with_attributes),
    Case("attributes, revoked", bearer(REVOKED), make=with_attributes),
    Case("attributes, scope missing", bearer(BARE), PROFILE, make=with_attributes),
    Case("no validator, no header", [], make=none_at_all),
    Case("no validator, token", bearer(GOOD), make=none_at_all),
    Case("no validator, scheme alone", raw(b"Bearer"), make=none_at_all),
    Case("second validator is ignored", bearer("tenant"), make=second_for_the_scheme),
    Case("second validator, first's token", bearer(GOOD), make=second_for_the_scheme),
    Case("first validator gives the realm", [], make=other_model),
    Case("first validator knows it", bearer("tenant"), PROFILE, make=other_model),
    Case("UUID", bearer("6b3d5a52-8f0f-4d55-9d4e-0f5b8b3d7f10"), make=uuids),
    Case("unknown UUID", bearer("00000000-8f0f-4d55-9d4e-0f5b8b3d7f10"), make=uuids),
    Case("another scheme", bearer(GOOD, "MAC"), make=another_scheme),
    Case("another scheme, unknown", bearer("unknown", "MAC"), make=another_scheme),
    Case("another scheme, no header", [], make=another_scheme),
    Case("another scheme, Bearer", bearer(GOOD), make=another_scheme),
    Case("two schemes, no header", [], make=two_schemes),
    Case("two schemes, first", bearer(GOOD, "MAC"), make=two_schemes),
    Case("two schemes, second", bearer(GOOD), make=two_schemes),
    Case("two schemes, third", bearer(GOOD, "DPoP"), make=two_schemes),
    Case("own validate_request, refused", bearer(GOOD), make=asking_for_a_device),
    Case("own validate_request, passed", bearer(GOOD) + DEVICE, make=asking_for_a_device),
    Case("own validate_request comes first", bearer("unknown"), make=asking_for_a_device),
    Case("own validate_request, no header", [], make=asking_for_a_device),
    Case("own validate_request, error of its own", bearer(GOOD) + DEVICE, make=asking_for_a_device, method="DELETE"),
    Case("own authenticate_token", bearer("v1.good"), PROFILE, make=own_lookup),
    Case("own authenticate_token, unknown", bearer("v1.unknown"), PROFILE, make=own_lookup),
    Case("own authenticate_token, expired", bearer("v1.expired"), PROFILE, make=own_lookup),
    Case("own validate_token, passed", bearer(GOOD), {"client": "client"}, make=own_verdict),
    Case("own validate_token, refused", bearer(GOOD), {"client": "other"}, make=own_verdict),
    Case("own validate_token, list", bearer(GOOD), {"client": ["other", "client"]}, make=own_verdict),
    Case("own validate_token, unknown", bearer("unknown"), {"client": "client"}, make=own_verdict),
    Case("own validate_token, scope missing", bearer(BARE), PROFILE | {"client": "client"}, make=own_verdict),
    Case("own validate_token, tab between scopes", bearer(TABBED), {"scopes": "profile email"}, make=own_verdict),
    Case("own scope_insufficient, passed", bearer(NARROW), {"scopes": "profile:read"}, make=own_scopes),
    Case("own scope_insufficient, refused", bearer(BARE), {"scopes": "profile:read"}, make=own_scopes),
]

INVALID = {
    "error": "invalid_token",
    "error_description": "The access token provided is expired, revoked, malformed, or invalid for other reasons.",
}

# Where Authlib answers 500: what it would have said, had it seen the trouble.
CRASHES = [
    (Case("two rows", bearer(TWICE), make=ambiguous), 401, INVALID | {"realm": "r1"}),
    (Case("no UUID", bearer("unknown"), make=uuids), 401, INVALID | {"realm": "r1"}),
    (Case("group missing", bearer(GOOD), {"groups": "staff"}), 401, INVALID),
    (Case("group held", bearer(MEMBER), {"groups": "staff"}), 200, None),
    (Case("role missing", bearer(GOOD), {"roles": ["a", "b"]}), 401, INVALID),
    (Case("role held", bearer(MEMBER), {"roles": ["a", "b"]}), 200, None),
    (Case("entitlement missing", bearer(MEMBER), {"entitlements": "x"}), 401, INVALID),
    (Case("scope=, held", bearer(GOOD), {"scope": "profile"}), 200, None),
    (Case("scope=, missing", bearer(BARE), {"scope": "profile"}), 403, None),
]


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.user("bob", is_active=False)
    committed.token(access_token=GOOD, scope="profile email")
    committed.token(access_token=NARROW, scope="profile")
    committed.token(access_token=TABBED, scope="profile\temail")
    committed.token(access_token=LINES, scope="\r\nprofile\n email\x0b\n")
    committed.token(access_token=BARE, scope="")
    committed.token(access_token=MEMBER, groups=["staff"], roles=["b"])
    committed.token(access_token=EXPIRED, expires_at=int(time.time()) - 1)
    committed.token(access_token=REVOKED, revoked=True)
    committed.token(access_token=MACHINE, user=None)
    committed.token(access_token=INACTIVE, user="bob")
    committed.token(TenantToken, access_token="tenant", tenant="a")
    committed.token(TenantToken, access_token=TWICE, tenant="a")
    committed.token(TenantToken, access_token=TWICE, tenant="b")
    committed.token(UUIDToken, access_token="6b3d5a52-8f0f-4d55-9d4e-0f5b8b3d7f10")


@dataclass
class Outcome:
    """An answer, how often the view was entered, and what the signal's receivers got."""

    answer: Answer
    entered: int
    heard: list[dict[str, Any]]


def authlib_outcome(case: Case, send: Send) -> Outcome:
    protector = authlib_django.ResourceProtector()
    for validator in case.make(authlib_django.BearerTokenValidator):
        protector.register_token_validator(validator)
    return outcome(case, send, protector, "def")


def our_outcome(case: Case, send: Send, mode: str) -> Outcome:
    validators = case.make(async_oauth_guard.BearerTokenValidator)
    protector = async_oauth_guard.ResourceProtector(*validators, compat="authlib")
    return outcome(case, send, protector, mode)


def outcome(case: Case, send: Send, protector: Any, mode: str) -> Outcome:
    heard: list[dict[str, Any]] = []

    def receiver(**arguments: Any) -> None:
        arguments["sender is the protector's class"] = arguments.pop("sender") is type(protector)
        arguments["signal"] = arguments["signal"] is authlib_django.token_authenticated
        heard.append(arguments)

    witness = Witness()
    authlib_django.token_authenticated.connect(receiver)
    try:
        with serving(protector(**case.requirement)(witness.view(mode))):
            answer = send("/", case.headers, method=case.method, query=case.query)
    finally:
        authlib_django.token_authenticated.disconnect(receiver)
    return Outcome(answer, witness.entered, heard)


def names(cases: list[Any]) -> list[str]:
    return [case.name if isinstance(case, Case) else case[0].name for case in cases]


def without_vary(answer: Answer) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in answer.headers if name.lower() != "vary")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_answers_as_authlib(case: Case, mode: str, send: Send) -> None:
    """Status, body and header lines are Authlib's to the byte, but for ``Vary``; so are the signal's arguments."""
    theirs, ours = authlib_outcome(case, send), our_outcome(case, send, mode)
    assert theirs.answer.status < 500
    assert (ours.answer.status, ours.answer.body) == (theirs.answer.status, theirs.answer.body)
    assert without_vary(ours.answer) == without_vary(theirs.answer)
    assert ours.answer.members("Vary") == {"authorization"}
    assert ours.entered == theirs.entered
    assert ours.heard == theirs.heard


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("case", "status", "challenge"), CRASHES, ids=names(CRASHES))
def test_answers_where_authlib_crashes(
    case: Case, status: int, challenge: dict[str, str] | None, mode: str, send: Send
) -> None:
    """Where Authlib answers 500, the guard sends the nearest of Authlib's refusals, with the same text."""
    assert authlib_outcome(case, send).answer.status == 500
    ours = our_outcome(case, send, mode)
    assert ours.answer.status == status
    assert ours.answer.challenges == ([] if challenge is None else [Challenge("bearer", None, challenge)])
    assert ours.entered == (status == 200)
    if status != 200:
        assert ours.answer.header("Cache-Control") == "no-store"
        assert ours.answer.header("Pragma") == "no-cache"


@pytest.mark.parametrize("mode", MODES)
def test_inactive_users_are_refused(mode: str, send: Send) -> None:
    """A deactivated user's token is invalid, unless the validator has an option that allows it. Authlib lets it in."""
    strict = Case("inactive user", bearer(INACTIVE))
    lenient = Case("inactive user", bearer(INACTIVE), make=lambda base: [base(OAuth2Token, require_active_user=False)])
    assert authlib_outcome(strict, send).answer.status == 200
    ours = our_outcome(strict, send, mode)
    assert (ours.answer.status, ours.entered) == (401, 0)
    assert ours.answer.challenges == [Challenge("bearer", None, INVALID | {"realm": "r1"})]
    assert our_outcome(lenient, send, mode).answer.status == 200


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("header", [[], bearer("unknown")], ids=["no header", "unknown"])
def test_realms_are_quoted(header: RawHeaders, mode: str, send: Send) -> None:
    """R17: a realm with a quote, which Authlib writes as it is, is escaped."""
    case = Case("quoted realm", header, make=lambda base: [base(OAuth2Token, realm='a"b\\c')])
    challenge = our_outcome(case, send, mode).answer.challenges[0]
    assert challenge.parameters["realm"] == 'a"b\\c'


@pytest.mark.parametrize("mode", MODES)
def test_outage_is_no_refusal(mode: str, send: Send) -> None:
    """R124: when the database is down the answer is 503 in this mode too, and the view is not entered."""
    with mock.patch.object(CursorWrapper, "execute", side_effect=OperationalError("down")):
        ours = our_outcome(Case("outage", bearer(GOOD)), send, mode)
    assert (ours.answer.status, ours.entered, ours.heard) == (503, 0, [])
    assert ours.answer.challenges == []
    assert int(ours.answer.header("Retry-After") or 0) >= 1


@pytest.mark.parametrize("mode", MODES)
def test_receivers_may_be_sync_or_async(mode: str, send: Send) -> None:
    """A receiver that is a coroutine function hears of the token too, as it does from Django's own signals."""
    heard: list[Any] = []

    async def receiver(token: Any, **arguments: Any) -> None:
        heard.append(token.access_token)

    async_oauth_guard.token_authenticated.connect(receiver)
    try:
        our_outcome(Case("good", bearer(GOOD)), send, mode)
    finally:
        async_oauth_guard.token_authenticated.disconnect(receiver)
    assert heard == [GOOD]


class Own(async_oauth_guard.ResourceProtector):
    """Hands on to ours."""

    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, **requirements)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("header", [bearer(GOOD), bearer("unknown"), []], ids=["good", "unknown", "no header"])
def test_own_acquire_token(header: RawHeaders, mode: str, send: Send) -> None:
    """A response to a token that may not be in the header is marked as private. All else is as Authlib sends it."""
    case = Case("own acquire_token", header)
    theirs = authlib_outcome(case, send)
    protector = Own(*case.make(async_oauth_guard.BearerTokenValidator), compat="authlib")
    # The sender is the class of the protector, as with Authlib.
    ours = outcome(case, send, protector, mode)
    assert (ours.answer.status, ours.answer.body) == (theirs.answer.status, theirs.answer.body)
    added = [("cache-control", "private")] if theirs.answer.status == 200 else []
    assert without_vary(ours.answer) == sorted([*without_vary(theirs.answer), *added])
    assert ours.heard == theirs.heard


@pytest.mark.parametrize("compat", [None, "authlib"])
@pytest.mark.parametrize("mode", MODES)
def test_post_without_a_token(mode: str, compat: Any, send: Send) -> None:
    """Django's CSRF check refuses the request before Authlib's guard. Ours asks for a token, unless it is optional."""
    protector = async_oauth_guard.ResourceProtector(*plain(async_oauth_guard.BearerTokenValidator), compat=compat)
    theirs = authlib_django.ResourceProtector()
    theirs.register_token_validator(*plain(authlib_django.BearerTokenValidator))
    statuses = []
    for guarded in (
        theirs()(Witness().view("def")),
        protector(Witness().view(mode)),
        protector(optional=True)(Witness().view(mode)),
    ):
        with serving(guarded, MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"]):
            answer = send("/", method="POST")
            statuses.append((answer.status, b"CSRF verification failed" in answer.body))
    assert statuses == [(403, True), (401, False), (403, True)]


@pytest.mark.parametrize("token", ["unknown", NARROW])
def test_return_error_response(token: str, send: Send) -> None:
    """Authlib's function turns our errors into responses with a challenge, but without ``Vary``."""
    protector = async_oauth_guard.ResourceProtector(*plain(async_oauth_guard.BearerTokenValidator))

    def view(request: Any) -> Any:
        try:
            return protector.acquire_token(request, "email")
        except OAuth2Error as error:
            return return_error_response(error)

    with serving(view):
        answer = send("/", bearer(token))
    with serving(protector("email")(Witness().view("def"))):
        guarded = send("/", bearer(token))
    assert guarded.members("Vary") == {"authorization"}
    assert (answer.status, answer.body) == (guarded.status, guarded.body)
    assert answer.headers == [(name, value) for name, value in guarded.headers if name != "Vary"]


def test_the_signal_is_authlibs() -> None:
    """Receivers connected to Authlib's ``token_authenticated`` hear us without a change."""
    assert async_oauth_guard.token_authenticated is authlib_django.token_authenticated


@pytest.mark.parametrize("make", [plain, own_verdict])
@pytest.mark.parametrize("token", [TABBED, LINES])
@pytest.mark.parametrize("mode", MODES)
def test_tabs_and_newlines_without_compat(token: str, make: Make, mode: str, send: Send) -> None:
    """RFC 6749 §3.3: without ``compat`` only spaces separate scopes, also where a hook hands on to ours."""
    protector = async_oauth_guard.ResourceProtector(*make(async_oauth_guard.BearerTokenValidator))
    with serving(protector("profile")(Witness().view(mode))):
        assert send("/", bearer(token)).status == 403
