"""The validated token, as views see it."""

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory
from oauth2_provider.models import AccessToken as ToolkitAccessToken
from oauth2_provider.models import Application

from async_oauth_guard import AccessToken
from async_oauth_guard.errors import Reason
from async_oauth_guard.tokens import TokenState, read_attribute
from tests.site.models import OAuth2Token

CLAIMS = {"scope": "a b", "sub": "7", "client_id": "c", "iss": "https://as", "aud": ["x", "y"], "exp": 100}


def request_with(token: Any, state: TokenState | None = None) -> Any:
    request: Any = RequestFactory().get("/")
    request.oauth_token, request._oauth_token_state = token, state
    return request


def test_claims_are_a_dictionary() -> None:
    """A token is a ``dict`` of its claims, as with Authlib, and not the dictionary that was given."""
    token = AccessToken(CLAIMS)
    assert token == CLAIMS
    assert token["scope"] == token.get("scope") == token.get_scope() == "a b"
    token["scope"] = "c"
    assert CLAIMS["scope"] == "a b"


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
    """Each property is the claim of the RFC's name; what is not known is ``None`` or empty."""
    assert getattr(AccessToken(claims), name) == expected


def test_protocol_of_authlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """``get_scope``, ``is_expired`` and ``is_revoked`` are there; a token is expired from the second of ``exp`` on."""
    monkeypatch.setattr("time.time", lambda: 100.0)
    assert [AccessToken({"exp": exp}).is_expired() for exp in (99, 100, 100.5, 101)] == [True, True, False, False]
    assert AccessToken({}).is_expired() is False
    assert AccessToken(CLAIMS).is_revoked() is False
    assert AccessToken({}).get_scope() is None


def test_user_and_type() -> None:
    """The user and the token's type are no claims."""
    user = User(pk=7)
    token = AccessToken({}, user=user, token_type="DPoP")
    assert (token.user, token.token_type, dict(token)) == (user, "DPoP", {})


def test_repr_shows_no_secret() -> None:
    """R31: what is printed are scopes and lifetime."""
    assert repr(AccessToken({**CLAIMS, "jti": "hidden"})) == "<AccessToken scopes=['a', 'b'] expires_at=100>"
    assert repr(AccessToken({})) == "<AccessToken scopes=[] expires_at=None>"


def test_repr_of_a_malformed_scope() -> None:
    """A token whose scope is of a wrong type can be printed all the same."""
    assert "AccessToken" in repr(AccessToken({"scope": {"a": 1}}))


def test_of_a_request_without_a_guard() -> None:
    """To ask for the token where no guard stands is a mistake that is told."""
    with pytest.raises(LookupError, match="no guard has let this request in") as caught:
        AccessToken.of(RequestFactory().get("/"))
    assert caught.value.__suppress_context__


def test_of_an_optional_guard() -> None:
    """Where an optional guard got no token there is none."""
    assert AccessToken.of(request_with(None)) is None


def test_of_an_access_token() -> None:
    """An ``AccessToken`` is given as it is."""
    token = AccessToken(CLAIMS)
    assert AccessToken.of(request_with(token)) is token


@pytest.mark.parametrize("user", [None, "somebody"])
def test_of_a_mapping(user: Any) -> None:
    """Claims of another kind are wrapped, with the user that they have."""

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
    """With Authlib's protocol, as `AccessToken.of` wants it of rows that a hook judged."""

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
    """R32: a database row has the claims that its columns tell, and no others: not the token itself."""
    token = AccessToken.of(request_with(row))
    assert token == claims
    assert token is not None
    assert token.user is getattr(row, "user", None)
    assert token.token_type == "Bearer"


def test_of_a_row_that_was_judged() -> None:
    """What the guard has read of a row is not read again."""
    row = SimpleNamespace(token_type="MAC")
    token = AccessToken.of(request_with(row, TokenState(scope=["a", "b"], user=ALICE)))
    assert token == {"scope": "a b", "sub": "7"}
    assert token is not None
    assert token.user is ALICE
    assert token.token_type == "MAC"


@pytest.mark.parametrize("token_type", ["", None])
def test_of_a_row_without_a_type(token_type: Any) -> None:
    """A row whose type is blank is a bearer token."""
    token = AccessToken.of(request_with(SimpleNamespace(token_type=token_type), TokenState()))
    assert token is not None
    assert token.token_type == "Bearer"


def test_of_a_row_without_get_scope() -> None:
    """A row of django-oauth-toolkit, which a validator's own ``validate_token`` judged, has its scope in a column."""
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
    """A claim of a mapping, an attribute of anything else."""
    assert read_attribute(token, "groups") == expected


def test_state() -> None:
    """What says nothing is good, and asks for nothing."""
    assert TokenState() == TokenState(None, None, None, {})
    assert TokenState(Reason.EXPIRED).attributes == {}
