"""The validated access token that views get."""

import copy
import datetime
import pickle
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import RequestFactory
from oauth2_provider.models import AccessToken as ToolkitAccessToken
from oauth2_provider.models import Application

from async_oauth_guard import AccessToken
from async_oauth_guard.errors import InvalidTokenError, Reason
from async_oauth_guard.protocol.access_token import TokenState, _expiry_of, check_token, read_attribute
from tests.ids import described
from tests.site.models import OAuth2Token

CLAIMS = {"scope": "a b", "sub": "7", "client_id": "c", "iss": "https://as", "aud": ["x", "y"], "exp": 100}


def request_with(token: Any, state: TokenState | None = None) -> Any:
    request: Any = RequestFactory().get("/")
    request.oauth_token, request._oauth_token_state = token, state
    return request


def test_claims_are_a_dictionary() -> None:
    """A token is a ``dict`` of its claims, as with Authlib, and a copy of the given dictionary."""
    token = AccessToken(CLAIMS)
    assert token == CLAIMS
    assert token["scope"] == token.get("scope") == token.get_scope() == "a b"
    token["scope"] = "c"
    assert CLAIMS["scope"] == "a b"


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda token: pickle.loads(pickle.dumps(token))],
    ids=["copy", "deep", "pickle"],
)
def test_copies(duplicate: Any) -> None:
    """A copy has the same claims and attributes, also those that the site has added."""
    token: Any = AccessToken(CLAIMS, user=7, scope="z", header={"typ": "at+jwt"})
    token.tenant = "acme"
    found = duplicate(token)
    assert (type(found), found, found is token) == (AccessToken, CLAIMS, False)
    assert (found.user, found.get_scope(), found.header, found.tenant) == (7, "z", {"typ": "at+jwt"}, "acme")
    assert weakref.ref(found)() is found


PROPERTIES: list[tuple[dict[str, Any], str, Any]] = [
    (CLAIMS, "scopes", frozenset({"a", "b"})),
    (CLAIMS, "subject", "7"),
    (CLAIMS, "client_id", "c"),
    (CLAIMS, "issuer", "https://as"),
    (CLAIMS, "audience", ("x", "y")),
    (CLAIMS, "expires_at", 100),
    (CLAIMS, "user", None),
    (CLAIMS, "token_type", "Bearer"),
    ({}, "scopes", frozenset()),
    ({}, "subject", None),
    ({}, "client_id", None),
    ({}, "issuer", None),
    ({}, "audience", ()),
    ({}, "expires_at", None),
    ({"aud": "x"}, "audience", ("x",)),
    ({"aud": None}, "audience", ()),
    ({"scope": ["a", "b c"]}, "scopes", frozenset({"a", "b c"})),
]


@pytest.mark.parametrize(("claims", "name", "expected"), PROPERTIES)
def test_properties(claims: dict[str, Any], name: str, expected: Any) -> None:
    """Each property is the claim that the RFC names. An unknown value is ``None`` or empty."""
    assert getattr(AccessToken(claims), name) == expected


def test_protocol_of_authlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """``get_scope``, ``is_expired`` and ``is_revoked`` exist. A token has expired from the second of ``exp`` on."""
    monkeypatch.setattr("time.time", lambda: 100.0)
    assert [AccessToken({"exp": exp}).is_expired() for exp in (99, 100, 100.5, 101)] == [True, True, False, False]
    assert AccessToken({}).is_expired() is False
    assert AccessToken(CLAIMS).is_revoked() is False
    assert AccessToken({}).get_scope() is None


def test_user_and_type() -> None:
    """The user and the token's type are not claims."""
    user = User(pk=7)
    token = AccessToken({}, user=user, token_type="DPoP")
    assert (token.user, token.token_type, dict(token)) == (user, "DPoP", {})


def test_repr_shows_no_secret() -> None:
    """R31: the ``repr`` shows only scopes and lifetime."""
    assert repr(AccessToken({**CLAIMS, "jti": "hidden"})) == "<AccessToken scopes=['a', 'b'] expires_at=100>"
    assert repr(AccessToken({})) == "<AccessToken scopes=[] expires_at=None>"


def test_repr_of_a_malformed_scope() -> None:
    """A token with a malformed scope has a ``repr``."""
    assert "AccessToken" in repr(AccessToken({"scope": {"a": 1}}))


def test_of_a_request_without_a_guard() -> None:
    """Reading the token of an unguarded request is an error that says so."""
    with pytest.raises(LookupError, match="no guard has let it in") as caught:
        AccessToken.of(RequestFactory().get("/"))
    assert caught.value.__suppress_context__


def test_of_an_optional_guard() -> None:
    """If an optional guard got no token, the request has no token."""
    assert AccessToken.of(request_with(None)) is None


def test_of_an_access_token() -> None:
    """An ``AccessToken`` is returned unchanged."""
    token = AccessToken(CLAIMS)
    assert AccessToken.of(request_with(token)) is token


@pytest.mark.parametrize(("claims", "expected"), [(CLAIMS, 100), ({}, None), ({"exp": "100"}, None)])
def test_expiry_of_claims(claims: dict[str, Any], expected: float | None) -> None:
    """Claims expire at their ``exp``, if it is a number."""
    assert _expiry_of(claims) == expected


def test_row_that_never_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last time of the calendar stands for "never". With ``USE_TZ = False``, it need not be a time in UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert _expiry_of(SimpleNamespace(expires_at=datetime.datetime.max)) is None
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("user", [None, "somebody"])
def test_of_a_mapping(user: Any) -> None:
    """Other mappings are wrapped, with their user."""

    class Claims(dict[str, Any]):
        pass

    claims = Claims(CLAIMS)
    if user:
        claims.user = user  # type: ignore[attr-defined]
    token = AccessToken.of(request_with(claims))
    assert type(token) is AccessToken
    assert token == CLAIMS
    assert token.user == user


ALICE = User(pk=7, username="alice")
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


class Toolkit(ToolkitAccessToken):
    """A row with Authlib's protocol, which `AccessToken.of` requires of rows that hooks return."""

    class Meta:
        proxy = True
        app_label = "site"

    def get_scope(self) -> str:
        return self.scope


ROWS: list[tuple[Any, dict[str, Any]]] = [
    (
        OAuth2Token(user=ALICE, client_id="c", scope="a b", expires_at=100),
        {"scope": "a b", "sub": "7", "client_id": "c", "exp": 100},
    ),
    (OAuth2Token(client_id="c", scope=""), {"scope": "", "client_id": "c"}),
    (SimpleNamespace(get_scope=lambda: None), {}),
    (SimpleNamespace(get_scope=lambda: ["a", "b"]), {"scope": "a b"}),
    (SimpleNamespace(get_scope=lambda: ("a",), resource=["https://x"]), {"scope": "a", "aud": ["https://x"]}),
    (SimpleNamespace(get_scope=lambda: "a", get_expires_at=lambda: 9), {"scope": "a", "exp": 9}),
    (SimpleNamespace(get_scope=lambda: "a", get_expires_at=lambda: None, expires_at=1.5), {"scope": "a", "exp": 1.5}),
    (SimpleNamespace(get_scope=lambda: "a", expires=NOON), {"scope": "a", "exp": NOON.timestamp()}),
    (SimpleNamespace(get_scope=lambda: "a", expires_at=NOON, expires=5), {"scope": "a", "exp": NOON.timestamp()}),
    (SimpleNamespace(get_scope=lambda: "a", expires_at=True), {"scope": "a"}),
    (SimpleNamespace(get_scope=lambda: "a", expires_at="soon"), {"scope": "a"}),
    (SimpleNamespace(get_scope=lambda: "a", expires=NOON.date()), {"scope": "a"}),
    (
        Toolkit(application=Application(client_id="app"), scope="a"),
        {"scope": "a", "client_id": "app", "aud": []},
    ),
    (SimpleNamespace(get_scope=lambda: "a", application=None, client_id="row"), {"scope": "a", "client_id": "row"}),
    (Toolkit(application_id=7, scope="a"), {"scope": "a", "aud": []}),
]


@pytest.mark.parametrize(("row", "claims"), ROWS, ids=lambda part: repr(part)[:40])
def test_of_a_row(row: Any, claims: dict[str, Any]) -> None:
    """R32: a database row has the claims of its columns, and does not contain the token itself."""
    token = AccessToken.of(request_with(row))
    assert token == claims
    assert token is not None
    assert token.user is getattr(row, "user", None)
    assert token.token_type == "Bearer"


def test_of_a_row_that_was_judged() -> None:
    """What the guard has read from a row is not read again."""
    row = SimpleNamespace(cnf="not read")
    state = TokenState(scope=["a", "b"], user=ALICE, confirmation={"jkt": "x"})
    token = AccessToken.of(request_with(row, state))
    assert token == {"scope": "a b", "sub": "7", "cnf": {"jkt": "x"}}
    assert token is not None
    assert token.user is ALICE
    assert (token.confirmation, token.token_type) == ({"jkt": "x"}, "DPoP")


@pytest.mark.parametrize(
    ("claims", "token_type"),
    [
        ({}, "Bearer"),
        ({"cnf": {"jkt": "x"}}, "DPoP"),
        ({"cnf": {"x5t#S256": "x"}}, "Bearer"),
        ({"cnf": None}, "Bearer"),
    ],
)
def test_type_follows_from_the_confirmation(claims: dict[str, Any], token_type: str) -> None:
    """A token that is bound to a key is a DPoP token (RFC 9449 §6). One that is bound to a certificate is not."""
    token = AccessToken(claims)
    assert (token.confirmation, token.token_type) == (claims.get("cnf"), token_type)
    row = AccessToken.of(request_with(SimpleNamespace(cnf=claims.get("cnf"))))
    assert row is not None
    assert (row.confirmation, row.token_type) == (claims.get("cnf"), token_type)


@pytest.mark.parametrize("token_type", ["", None, "MAC"])
def test_of_a_row_without_a_type(token_type: Any) -> None:
    """A row with a blank or an unknown type is a bearer token."""
    token = AccessToken.of(request_with(SimpleNamespace(token_type=token_type), TokenState()))
    assert token is not None
    assert token.token_type == "Bearer"


def test_of_a_row_without_get_scope() -> None:
    """A django-oauth-toolkit row from a custom ``validate_token`` has its scope in a column."""
    token = AccessToken.of(request_with(SimpleNamespace(scope="a b", expires=NOON)))
    assert token is not None
    assert token.scopes == {"a", "b"}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ({"groups": ["a"]}, ["a"]),
        ({}, None),
        (AccessToken({"groups": ["a"]}, user="u"), ["a"]),
        (SimpleNamespace(groups=["a"]), ["a"]),
        (SimpleNamespace(), None),
        (None, None),
    ],
)
def test_read_attribute(token: Any, expected: Any) -> None:
    """An attribute is a claim of a mapping, or an attribute of any other object."""
    assert read_attribute(token, "groups") == expected


def test_state() -> None:
    """The default state is valid, without user, scope and attributes."""
    assert TokenState() == TokenState(None, None, None, {})
    assert TokenState(Reason.EXPIRED).attributes == {}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, []),
        ({"authorization_details": [{"type": "a", "x": 1}]}, [{"type": "a", "x": 1}]),
        ({"authorization_details": {"type": "a"}}, []),
        ({"authorization_details": [{"type": "a"}, "b"]}, [{"type": "a"}]),
    ],
)
def test_authorization_details(claims: dict[str, Any], expected: list[Any]) -> None:
    """R108: the list of what was granted; a malformed value grants nothing."""
    assert AccessToken(claims).authorization_details == expected


def test_authentication_of_a_row() -> None:
    """A row's own fields are shown, and what the guard has read; no property is read, because it may run a query."""

    class Row(SimpleNamespace):
        @property
        def auth_time(self) -> Any:
            raise AssertionError("read")

    row = Row(scope="a", user=None, acr="gold", authorization_details=[{"type": "a"}])
    request: Any = SimpleNamespace(oauth_token=row)
    token = AccessToken.of(request)
    assert token is not None
    assert (token["acr"], token.authorization_details, "auth_time" in token) == ("gold", [{"type": "a"}], False)
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    request._oauth_token_state = TokenState(scope="a", attributes={"auth_time": at, "acr": None})
    token = AccessToken.of(request)
    assert token is not None
    assert (token["auth_time"], "acr" in token) == (at.timestamp(), False)


@pytest.mark.parametrize(
    ("claims", "options", "reason"),
    [
        ({"exp": 100}, {"now": 99}, None),
        ({"exp": 100}, {"now": 100}, Reason.EXPIRED),
        ({"exp": 100}, {"now": 104, "leeway": 5}, None),
        ({"exp": 100}, {"now": 105, "leeway": 5}, Reason.EXPIRED),
        ({"exp": 100}, {}, Reason.EXPIRED),
        ({"nbf": 100}, {"now": 99}, Reason.NOT_YET_VALID),
        ({"nbf": 100}, {}, None),
        ({"exp": "100"}, {"now": 1}, Reason.MALFORMED_CLAIM),
        ({}, {}, None),
    ],
)
def test_validating_again(claims: dict[str, Any], options: dict[str, Any], reason: Reason | None) -> None:
    """As with Authlib, ``validate()`` checks the lifetime again, at a given time or now. A token needs no ``exp``."""
    if reason is None:
        AccessToken(claims).validate(**options)
        return
    with pytest.raises(InvalidTokenError) as caught:
        AccessToken(claims).validate(**options)
    assert caught.value.reason == reason


@pytest.mark.parametrize("token", [{"sub": "7"}, "text", object(), AccessToken({}), SimpleNamespace()])
def test_possible_tokens(token: Any) -> None:
    """Claims, a string and any other object can be a token."""
    check_token(token)


@pytest.mark.parametrize(
    "token",
    [7, True, ["a"], (1,), print, (each for each in "a"), User, InvalidTokenError(), HttpResponse()],
    ids=described,
)
def test_impossible_tokens(token: Any) -> None:
    """R124: a mistake of a hook, such as an error that it returned instead of raising it, is not a token."""
    with pytest.raises(TypeError, match=rf"must return a token .*; got {type(token).__name__}$"):
        check_token(token)
