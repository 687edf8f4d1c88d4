"""The token of ``override_oauth``: how a test gives it, what a view sees of it, and how its rules are checked."""

import inspect
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import SynchronousOnlyOperation
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject
from oauth2_provider.models import AccessToken as ToolkitToken
from oauth2_provider.models import Application

from async_oauth_guard import AccessToken, GuardError, Reason, token_rejected
from async_oauth_guard.testing import AsyncOAuthClient, OAuthClient, override_oauth, token_overrides
from async_oauth_guard.validators.clock import CLOCK
from tests.kit.asking import alice, answer_of, reason_of, sync_and_async, token_seen
from tests.kit.urls import rows
from tests.site.models import OAuth2Token

# What is validated


@sync_and_async
@pytest.mark.parametrize(
    ("given", "asked", "status", "reason"),
    [
        ({}, {}, 200, None),
        ({"scopes": "a b"}, {"scopes": "a"}, 200, None),
        ({"scopes": "a"}, {"scopes": "a b"}, 403, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": "a"}, {"scopes": ["b", "a"]}, 200, None),
        ({"scopes": "a"}, {"scopes": {"POST": "a"}}, 403, Reason.METHOD_NOT_NAMED),
        ({}, {"require_user": True}, 403, Reason.NO_USER),
        ({"user": alice}, {"require_user": True}, 200, None),
        ({"user": User(pk=8, is_active=False)}, {}, 401, Reason.INACTIVE_USER),
        ({"claims": {"groups": ["staff"]}}, {"groups": "staff"}, 200, None),
        ({"claims": {"groups": ["staff"]}}, {"groups": "board"}, 403, Reason.INSUFFICIENT_GROUPS),
        ({"roles": ["editor"]}, {"roles": "editor"}, 200, None),
        ({"roles": ["editor"]}, {"roles": "owner"}, 403, Reason.INSUFFICIENT_ROLES),
        ({}, {"entitlements": "export"}, 403, Reason.INSUFFICIENT_ENTITLEMENTS),
        ({"authorization_details": {"type": "pay"}}, {"authorization_details": {"type": "pay"}}, 200, None),
        ({"authorization_details": [{"type": "pay"}]}, {"authorization_details": {"type": "pay"}}, 200, None),
        ({"tenant": "acme"}, {"check": lambda request, token: token.tenant == "acme"}, 200, None),
        ({"tenant": "acme"}, {"check": lambda request, token: token["tenant"] == "x"}, 403, Reason.CHECK_FAILED),
        ({"expires_at": 1}, {}, 401, Reason.EXPIRED),
        ({"expires_at": datetime(2001, 1, 1, tzinfo=UTC)}, {}, 401, Reason.EXPIRED),
        ({"claims": {"nbf": 9e9}}, {}, 401, Reason.NOT_YET_VALID),
        ({"claims": {"scope": 5}}, {}, 401, Reason.MALFORMED_SCOPE),
    ],
)
def test_requirements_are_judged(
    view: Any, given: dict[str, Any], asked: dict[str, Any], status: int, reason: Reason | None
) -> None:
    """The requirements of a view are checked for the override's token, by the rules for any token."""
    errors: list[GuardError] = []

    def receive(sender: Any, error: GuardError, **kwargs: Any) -> None:
        errors.append(error)

    token_rejected.connect(receive)
    try:
        with override_oauth(**given):
            assert answer_of(rows(**asked), view).status_code == status
    finally:
        token_rejected.disconnect(receive)
    assert [error.reason for error in errors] == ([] if reason is None else [reason])


def test_the_clock_is_that_of_remote_tokens() -> None:
    """Lifetimes are checked with the clock of the validators, which a test may move."""
    with override_oauth(expires_at=time.time() + 60):
        assert token_seen()
        with mock.patch.object(CLOCK, "wall", return_value=time.time() + 61):
            assert reason_of() is Reason.EXPIRED


# What a view sees


def test_claims_and_attributes() -> None:
    """The arguments are claims of the token, and what is no property of every token is an attribute of this one."""
    until = datetime.now(UTC) + timedelta(hours=1)
    with override_oauth(
        ["b", "a", "b"],
        claims={"jti": "1"},
        subject="s",
        client_id="c",
        issuer="i",
        audience=["x"],
        expires_at=until,
        token_type="DPoP",
        header={"kid": "k"},
        tenant="acme",
    ):
        token = token_seen()
    assert dict(token) == {
        "scope": "b a",
        "jti": "1",
        "sub": "s",
        "client_id": "c",
        "iss": "i",
        "aud": ["x"],
        "exp": until.timestamp(),
        "tenant": "acme",
    }
    assert (token.scopes, token.subject, token.client_id, token.issuer) == ({"a", "b"}, "s", "c", "i")
    assert (token.audience, token.expires_at, token.token_type) == (("x",), until.timestamp(), "DPoP")
    assert (token.header, token.tenant, token.user) == ({"kid": "k"}, "acme", None)
    assert AccessToken.of(mock.Mock(oauth_token=token)) is token


def test_defaults() -> None:
    """Without arguments the token is good, has no scope and no user, and does not expire."""
    with override_oauth(client_id=None, expires_at=None):
        token = token_seen()
    assert (type(token), dict(token), token.user) == (AccessToken, {"scope": ""}, None)


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (None, ""),
        ("", ""),
        ("  a   b ", "a b"),
        (["a", "b"], "a b"),
        (("b", "a"), "b a"),
        (set("hgfedcba"), "a b c d e f g h"),
        (frozenset({"b", "a"}), "a b"),
        ((scope for scope in ("a", "b")), "a b"),
        ({"a": 1}.keys(), "a"),
        ([], ""),
    ],
    ids=repr,
)
def test_scopes(scopes: Any, expected: str) -> None:
    """Scopes are a string, or any iterable of strings; those of a set come in one order."""
    with override_oauth(scopes):
        assert token_seen().get_scope() == expected


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ({"user": alice}, "7"),
        ({"user": alice, "subject": "s"}, "s"),
        ({"user": alice, "claims": {"sub": "s"}}, "s"),
        ({"user": User(username="unsaved")}, None),
        ({}, None),
    ],
)
def test_subjects(given: dict[str, Any], subject: str | None) -> None:
    """A user's primary key is the subject, where no other is given and there is one."""
    with override_oauth(**given):
        assert token_seen().subject == subject


def test_lazy_users() -> None:
    """A lazy user is the user that it stands for, and nobody if it stands for nobody."""
    with override_oauth(user=SimpleLazyObject(lambda: alice)):
        assert token_seen(require_user=True).user is alice
    with override_oauth(user=SimpleLazyObject(lambda: None)):
        assert reason_of(require_user=True) is Reason.NO_USER


def test_each_request_has_its_own_token() -> None:
    """What a view writes into the token, at any depth, is not there for the next request, nor in what was given."""
    claims = {"realm_access": {"roles": ["a"]}}
    with override_oauth("a", claims=claims, header={"kid": "k"}, limits=["x"]):
        first = token_seen()
        first["scope"] = "b"
        first["realm_access"]["roles"].append("b")
        first.limits.append("y")
        first.header["kid"] = "other"
        second = token_seen()
    assert second == {"scope": "a", "realm_access": {"roles": ["a"]}, "limits": ["x"]}
    assert (second.limits, second.header) == (["x"], {"kid": "k"})
    assert claims == {"realm_access": {"roles": ["a"]}}


def test_what_is_given_is_copied() -> None:
    """What a test does with its claims afterwards, at any depth, changes no token."""
    claims = {"realm_access": {"roles": ["a"]}}
    with override_oauth(claims=claims):
        claims["realm_access"]["roles"].append("b")
        assert token_seen()["realm_access"] == {"roles": ["a"]}


# Whole tokens


@sync_and_async
def test_rows(view: Any) -> None:
    """A row that was never saved is the token itself, judged by its own methods."""
    row = OAuth2Token(scope="profile", user=alice, groups=["staff"])
    with override_oauth(token=row):
        assert token_seen() is row
        assert answer_of(rows("profile", groups="staff", require_user=True), view).status_code == 200
        assert answer_of(rows("email"), view).status_code == 403
        assert reason_of(groups="board") is Reason.INSUFFICIENT_GROUPS
        row.revoked = True
        assert (reason_of(), answer_of(rows(), view).status_code) == (Reason.REVOKED, 401)
        row.expires_at = 1
        assert reason_of() is Reason.EXPIRED
    with override_oauth(token=OAuth2Token(user=User(pk=9, is_active=False))):
        assert reason_of() is Reason.INACTIVE_USER


def test_rows_of_the_toolkit() -> None:
    """So is one of django-oauth-toolkit's, by the toolkit's rules."""
    later = datetime.now(UTC) + timedelta(hours=1)
    row = ToolkitToken(scope="read", expires=later, user=alice, application=Application(client_id="app"))
    with override_oauth(token=row):
        assert token_seen(scopes="read") is row
        assert reason_of(scopes="write") is Reason.INSUFFICIENT_SCOPE
        with mock.patch.object(Application, "is_usable", return_value=False):
            assert reason_of() is Reason.UNUSABLE_CLIENT
        row.expires = later - timedelta(hours=2)
        assert reason_of() is Reason.EXPIRED


@pytest.mark.django_db(transaction=True)
async def test_rows_that_query() -> None:
    """A row whose methods query is checked where queries are allowed, for an async view too."""
    user = await User.objects.acreate(username="bob")
    row = await OAuth2Token.objects.acreate(access_token="t", scope="profile", user=user)
    row = await OAuth2Token.objects.aget(pk=row.pk)
    with pytest.raises(SynchronousOnlyOperation):
        _ = row.user
    with override_oauth(token=row):
        assert (await rows.aacquire_token(RequestFactory().get("/"), require_user=True)).user == user


def test_access_tokens() -> None:
    """An `AccessToken` is given as it is, and judged by its claims."""
    token = AccessToken({"scope": "a", "exp": time.time() + 60}, user=alice)
    with override_oauth(token=token):
        assert token_seen(scopes="a", require_user=True) is token
        token["exp"] = 1
        assert reason_of() is Reason.EXPIRED
    listed = AccessToken({"x": 1}, scope=["a", "b"])
    with override_oauth(token=listed):
        assert token_seen(scopes="a b") is listed


# Bad input

SECRET = "the-text-of-a-token"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"scopes": 5}, TypeError, "scopes must be a string such as 'profile email', or a list of scopes, got int"),
        ({"scopes": b"a"}, TypeError, "scopes must be a string .*, got bytes"),
        ({"scopes": {"GET": "a"}}, TypeError, "scopes must be a string .*, got dict"),
        ({"scopes": ["a", 5]}, TypeError, "scopes must contain strings, got int"),
        ({"scopes": [["a"]]}, TypeError, "scopes must contain strings, got list: only views name"),
        ({"scopes": ["a b"]}, ValueError, r"scopes: 'a b' is not a single scope; write 'a b' or \['a', 'b'\]"),
        ({"scopes": [""]}, ValueError, "scopes: '' is not a single scope"),
        ({"scopes": 'a"'}, ValueError, "scopes: 'a\"' has characters that are not allowed in a scope"),
        ({"user": "alice"}, TypeError, r"user must be .* such as user=User\.objects\.get\(\.\.\.\), got str"),
        ({"user": 7}, TypeError, "user must be .*, got int"),
        ({"user": User}, TypeError, "user must be .*, got the class User"),
        ({"user": User.objects.none()}, TypeError, "user must be .*, got QuerySet"),
        ({"user": AnonymousUser()}, TypeError, "user must not be anonymous; leave it out"),
        ({"claims": [("a", 1)]}, TypeError, r"claims must be a mapping of claims by name, .*, got list"),
        ({"claims": {1: 1}}, TypeError, "claims must be a mapping of claims by name"),
        ({"scopes": "a", "claims": {"scope": "b"}}, TypeError, "scope: this claim is given twice"),
        ({"subject": "a", "claims": {"sub": "b"}}, TypeError, "sub: this claim is given twice"),
        ({"expires_at": 1, "exp": 2}, TypeError, "exp: this claim is given twice"),
        ({"expires_at": "soon"}, TypeError, "expires_at must be seconds since the epoch or a datetime, got str"),
        ({"expires_at": True}, TypeError, "expires_at must be .*, got bool"),
        (
            {"is_revoked": True},
            TypeError,
            "is_revoked: tokens already have an attribute of this name; pass the claim in claims=",
        ),
        ({"_scope": "a"}, TypeError, "_scope: tokens already have an attribute of this name"),
        ({"token": SECRET}, TypeError, r"token must be .*, got text: write override_oauth\(scopes=\.\.\., user="),
        ({"token": SECRET.encode()}, TypeError, "token must be .*, got text"),
        ({"token": {"active": True}}, TypeError, "token must be .*, got a mapping: write claims="),
        ({"token": OAuth2Token}, TypeError, r"token must be .* with is_expired\(\), .*, got the class OAuth2Token"),
        ({"token": alice}, TypeError, "token must be .*, got User"),
        ({"token": OAuth2Token(), "scopes": "a"}, TypeError, "token: it must be the only argument; .* scopes"),
        ({"token": OAuth2Token(), "user": alice, "tenant": 1}, TypeError, "token: .*; leave out user, tenant"),
    ],
)
def test_bad_input(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """Arguments that cannot be used are refused with what to write, and the text of a token is not repeated."""
    with pytest.raises(error, match=message) as refused:
        override_oauth(**given)
    assert SECRET not in str(refused.value)


MISTAKEN = {
    "scope": "scopes=...",
    "scops": "scopes=...",
    "usr": "user=...",
    "users": "user=...",
    "claim": "claims=...",
    "eror": "error=...",
    "tokens": "token=...",
    "headers": "header=...",
    "client": "client_id=...",
    "clientid": "client_id=...",
    "subjet": "subject=...",
    "issuers": "issuer=...",
    "audiences": "audience=...",
    "expires": "expires_at=...",
    "expires_in": r"expires_at=\.\.\., or error='expired'",
    "expired": r"expires_at=\.\.\., or error='expired'",
    "revoked": "error='revoked'",
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "override_oauth": override_oauth,
    "OAuthClient": lambda **given: OAuthClient().oauth(**given),
    "AsyncOAuthClient": lambda **given: AsyncOAuthClient().oauth(**given),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("name", "meant"), MISTAKEN.items())
def test_mistaken_names(function: str, name: str, meant: str) -> None:
    """A keyword that is misspelt, or borrowed from elsewhere, is refused with the one that was meant: it is no claim.

    A claim that has such a name is given with the other claims.
    """
    with pytest.raises(TypeError, match=rf"^{name}: write {meant}; pass a claim of that name in claims=$"):
        FUNCTIONS[function](**{name: "x"})
    with override_oauth(claims={name: "x"}):
        assert token_seen()[name] == "x"


def test_other_names() -> None:
    """The names of claims that are in use are no mistakes."""
    names = ["acr", "amr", "auth_time", "azp", "cid", "email", "entitlements", "groups", "jti", "name", "oid"]
    names += ["preferred_username", "realm_access", "roles", "scp", "sid", "sub", "tenant", "tid", "username"]
    with override_oauth(**dict.fromkeys(names, "x")):
        assert {*names} <= {*token_seen()}


def test_arguments_are_known() -> None:
    """What is held against a misspelt name is every argument that there is."""
    parameters = inspect.signature(override_oauth).parameters.values()
    named = {each.name for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD}
    documented = {"client_id", "subject", "expires_at", "issuer", "audience", "token_type", "header"}
    documented |= {"acr", "auth_time", "authorization_details", "confirmation"}
    assert set(token_overrides._ARGUMENTS) == named | documented
