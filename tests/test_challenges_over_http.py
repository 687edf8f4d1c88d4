"""What a refusal tells the client: the scopes to request, or that no scope would help. Through both servers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error, rfc6749
from django.http import HttpRequest

from async_oauth_guard import (
    AccessDeniedError,
    BearerTokenValidator,
    InsufficientScopeError,
    InvalidTokenError,
    ResourceProtector,
    TokenValidator,
)
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.rfc9110 import Challenge
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD, MACHINE, BROKEN, UNKNOWN = "good-of-challenges", "machine-of-challenges", "broken-of-challenges", "unknown"


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD, scope="profile email")
    committed.token(access_token=MACHINE, user=None, scope="profile email")
    committed.token(access_token=BROKEN, expires_at=1, scope="profile email")


class OtherScheme(TokenValidator):
    """Knows no token, but has its own scheme."""

    TOKEN_TYPE = "Mac"

    def authenticate_token(self, token_string: str) -> None:
        return None


def refuses(error: OAuth2Error) -> Any:
    def check(request: HttpRequest, token: Any) -> bool:
        raise error

    return check


@dataclass(frozen=True)
class Row:
    """A request, and the parameters of the challenge for it besides the description; ``None`` for no challenge."""

    id: str
    asked: Mapping[str, Any]
    headers: RawHeaders
    status: int
    error: str
    challenge: Mapping[str, str] | None
    method: str = "GET"


def presenting(*values: str) -> RawHeaders:
    return [(b"authorization", value.encode()) for value in values]


ALTERNATIVES = {"scopes": ["a b c", "phone profile email x", "phone email", "phone profile"]}
BY_METHOD = {"scopes": {"GET": "profile", "POST": "admin"}}
INVALID = {"error": "invalid_token"}
MALFORMED = {"error": "invalid_request"}
LACKING = {"error": "insufficient_scope"}

ROWS = [
    # The scopes to request: the whole alternative of which the fewest are missing, the first of several.
    Row("R23", ALTERNATIVES, [], 401, "missing_authorization", {"scope": "phone email"}),
    Row("R23", ALTERNATIVES, presenting("Basic eA=="), 401, "unsupported_token_type", {"scope": "phone email"}),
    Row("R23", ALTERNATIVES, bearer(UNKNOWN), 401, "invalid_token", INVALID | {"scope": "phone email"}),
    Row("R23", ALTERNATIVES, bearer(BROKEN), 401, "invalid_token", INVALID | {"scope": "phone email"}),
    Row("R23", ALTERNATIVES, bearer("a b"), 400, "invalid_request", MALFORMED | {"scope": "phone email"}),
    Row("R114", ALTERNATIVES, bearer(GOOD), 403, "insufficient_scope", LACKING | {"scope": "phone email"}),
    Row("R114", {"scopes": "a b profile"}, bearer(GOOD), 403, "insufficient_scope", LACKING | {"scope": "a b profile"}),
    Row("R114", {"scopes": ["a b", "c profile email"]}, bearer(GOOD), 403, "insufficient_scope",
        LACKING | {"scope": "c profile email"}),
    Row("R114", BY_METHOD, bearer(GOOD), 403, "insufficient_scope", LACKING | {"scope": "admin"}, "POST"),
    Row("R23", BY_METHOD, bearer(UNKNOWN), 401, "invalid_token", INVALID | {"scope": "admin"}, "POST"),
    # A scope is never empty, and never offline_access.
    Row("R24", {"scopes": "offline_access"}, bearer(UNKNOWN), 401, "invalid_token", INVALID),
    Row("R24", {"scopes": "offline_access a"}, bearer(UNKNOWN), 401, "invalid_token", INVALID | {"scope": "a"}),
    Row("R23", {}, bearer(UNKNOWN), 401, "invalid_token", INVALID),
    Row("R23", BY_METHOD, bearer(UNKNOWN), 401, "invalid_token", INVALID, "PUT"),
    # What no scope can fix.
    Row("access_denied", {"check": lambda request, token: False, "scopes": "profile"}, bearer(GOOD), 403,
        "access_denied", None),
    Row("access_denied", {"require_user": True, "scopes": "profile"}, bearer(MACHINE), 403, "access_denied", None),
    Row("access_denied", {"groups": "staff", "scopes": "profile"}, bearer(GOOD), 403, "access_denied", None),
    Row("access_denied", {"roles": "a", "scopes": "profile"}, bearer(GOOD), 403, "access_denied", None),
    Row("access_denied", {"entitlements": "a", "scopes": "profile"}, bearer(GOOD), 403, "access_denied", None),
    Row("access_denied", BY_METHOD, bearer(GOOD), 403, "access_denied", None, "PUT"),
    # Scopes are compared first (E8 before access_denied).
    Row("R123", {"check": lambda request, token: False, "scopes": "admin"}, bearer(GOOD), 403, "insufficient_scope",
        LACKING | {"scope": "admin"}),
    Row("R123", {"groups": "staff", "scopes": "admin"}, bearer(GOOD), 403, "insufficient_scope",
        LACKING | {"scope": "admin"}),
    # What the site's own code raises.
    Row("hook", {"check": refuses(AccessDeniedError()), "scopes": "profile"}, bearer(GOOD), 403, "access_denied", None),
    Row("hook", {"check": refuses(rfc6749.AccessDeniedError()), "scopes": "profile"}, bearer(GOOD), 403,
        "access_denied", None),
    Row("hook", {"check": refuses(OAuth2Error(error="access_denied")), "scopes": "profile"}, bearer(GOOD), 403,
        "access_denied", None),
    Row("R13", {"check": refuses(OAuth2Error(error="access_denied", status_code=401)), "scopes": "profile"},
        bearer(GOOD), 401, "access_denied", {"error": "access_denied", "scope": "profile"}),
    Row("hook", {"check": refuses(InvalidTokenError()), "scopes": "profile"}, bearer(GOOD), 401, "invalid_token",
        INVALID | {"scope": "profile"}),
    Row("hook", {"check": refuses(InsufficientScopeError(scope=("own", "two"))), "scopes": "profile"}, bearer(GOOD),
        403, "insufficient_scope", LACKING | {"scope": "own two"}),
    Row("hook", {"check": refuses(OAuth2Error(error="made_up", status_code=418)), "scopes": "profile"}, bearer(GOOD),
        418, "made_up", {"error": "made_up", "scope": "profile"}),
]  # fmt: skip


def ids(row: Row) -> str:
    return f"{row.id}-{row.status}-{row.error}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_challenges(row: Row, mode: str, send: Send) -> None:
    """R23, R24, R114, R123: every challenge names the nearest scopes, and a refusal that no scope fixes has none."""
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    with serving(protector(**row.asked)(witness.view(mode))):
        answer = send("/", row.headers, method=row.method)
    assert (answer.status, answer.json["error"], witness.entered) == (row.status, row.error, 0)
    assert answer.header("Cache-Control") == "no-store"
    if row.challenge is None:
        assert answer.lines("WWW-Authenticate") == []
        return
    (challenge,) = answer.challenges
    parameters = {name: value for name, value in challenge.parameters.items() if name != "error_description"}
    assert (challenge.scheme, parameters) == ("bearer", {"realm": "api", **row.challenge})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("headers", "error"),
    [([], None), (bearer(UNKNOWN), "bearer"), (bearer(UNKNOWN, "Mac"), "mac")],
)
def test_bearer_comes_first(headers: RawHeaders, error: str | None, mode: str, send: Send) -> None:
    """R18, R20, R23: each scheme's challenge names the scope, ``Bearer`` comes first, the used scheme has the error."""
    protector = ResourceProtector(OtherScheme(), BearerTokenValidator(OAuth2Token))
    with serving(protector("profile")(Witness().view(mode))):
        answer = send("/", headers)
    described = {"error": "invalid_token", "error_description": str(InvalidTokenError.description)}
    plain = {"realm": "api", "scope": "profile"}
    assert answer.challenges == [
        Challenge(scheme, None, {**plain, **(described if scheme == error else {})}) for scheme in ("bearer", "mac")
    ]


COMPAT = [
    ({"groups": "staff"}, GOOD, "GET", 401, "invalid_token"),
    ({"roles": "a"}, GOOD, "GET", 401, "invalid_token"),
    ({"entitlements": "a"}, GOOD, "GET", 401, "invalid_token"),
    ({"require_user": True}, MACHINE, "GET", 403, "insufficient_scope"),
    ({"check": lambda request, token: False}, GOOD, "GET", 403, "insufficient_scope"),
    (BY_METHOD, GOOD, "PUT", 403, "insufficient_scope"),
    ({"scopes": "admin"}, GOOD, "GET", 403, "insufficient_scope"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("asked", "token", "method", "status", "error"), COMPAT)
def test_compat_is_unchanged(
    asked: dict[str, Any], token: str, method: str, status: int, error: str, mode: str, send: Send
) -> None:
    """With ``compat="authlib"``, such refusals are Authlib's: without ``access_denied``, and no challenge on a 403."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), compat="authlib")
    with serving(protector(**asked)(Witness().view(mode))):
        answer = send("/", bearer(token), method=method)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert bool(answer.lines("WWW-Authenticate")) == (status == 401)
    assert "scope=" not in answer.text


def test_error_in_code() -> None:
    """``except`` clauses for either class of Authlib, and for ours of the same kind, catch a refusal of this kind."""
    error = AccessDeniedError()
    assert isinstance(error, InsufficientScopeError)
    assert isinstance(error, rfc6749.AccessDeniedError)
    assert (error.error, error.status_code, error.scope) == ("access_denied", 403, ())
