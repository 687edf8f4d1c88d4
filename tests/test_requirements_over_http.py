"""A view's requirements for a token, with requests through both servers' handlers to sync and async views."""

import asyncio
import hashlib
import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpRequest

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.site.models import (
    HashedToken,
    LoginSession,
    OAuth2Token,
    QueryingToken,
    RelatedToken,
    Revocation,
    TenantToken,
    UUIDToken,
    tenant,
)
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD, READ, MACHINE, MEMBER, BOTH = "good", "read", "machine", "member", "expired-and-narrow"


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD, scope="profile email")
    committed.token(access_token=READ, scope="Read read:all xread read,write read\twrite")
    committed.token(access_token=MACHINE, user=None)
    committed.token(access_token=MEMBER, groups=["staff", "two words"], roles=["a", "b"], entitlements=["x"])
    committed.token(access_token=BOTH, scope="", expires_at=int(time.time()) - 1)


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))


async def is_good(request: HttpRequest, token: Any) -> bool:
    await asyncio.sleep(0)
    return bool(token.access_token == GOOD)


class IsGood:
    async def __call__(self, request: HttpRequest, token: Any) -> bool:
        return await is_good(request, token)


def has_colleagues(request: HttpRequest, token: Any) -> bool:
    return get_user_model().objects.exists()


def is_read(request: HttpRequest, token: Any) -> bool:
    return request.method == "GET"


BY_METHOD = {"GET": "profile", "POST": ["admin", "email profile"], "PUT": "admin", "*": "other"}

# The row, the keywords, the token, the method, the status, and the scopes that the challenge of a 403 names.
ROWS: list[tuple[str, dict[str, Any], str, str, int, str | None]] = [
    ("R119", {"scopes": "read"}, READ, "GET", 403, "read"),
    ("R119", {"scopes": "Read"}, READ, "GET", 200, None),
    ("R119", {"scopes": "write"}, READ, "GET", 403, "write"),
    ("R119", {"scopes": "xread read:all"}, READ, "GET", 200, None),
    ("R120", {"scopes": "email profile"}, GOOD, "GET", 200, None),
    ("R120", {"scopes": "email phone"}, GOOD, "GET", 403, "email phone"),
    ("R120", {"scopes": ["phone", "email"]}, GOOD, "GET", 200, None),
    ("R120", {"scopes": ["a b c", "email phone", "x y"]}, GOOD, "GET", 403, "email phone"),
    ("R120", {"scopes": [["email", "profile"], "x"]}, GOOD, "GET", 200, None),
    ("R120", {"scopes": None}, MACHINE, "GET", 200, None),
    ("R120", {"scopes": []}, MACHINE, "GET", 200, None),
    ("R120", {"scope": "phone"}, GOOD, "GET", 403, "phone"),
    ("R24", {"scopes": "offline_access phone"}, GOOD, "GET", 403, "phone"),
    ("R27", {"scopes": BY_METHOD}, GOOD, "GET", 200, None),
    ("R27", {"scopes": BY_METHOD}, GOOD, "HEAD", 200, None),
    ("R27", {"scopes": BY_METHOD}, GOOD, "POST", 200, None),
    ("R27", {"scopes": BY_METHOD}, GOOD, "PUT", 403, "admin"),
    ("R27", {"scopes": BY_METHOD}, GOOD, "OPTIONS", 403, "other"),
    ("R27", {"scopes": BY_METHOD}, GOOD, "PATCH", 403, "other"),
    ("R27", {"scopes": {"GET": None}}, GOOD, "GET", 200, None),
    ("R27", {"scopes": {"GET": None}}, GOOD, "POST", 403, None),
    ("R34", {"require_user": True}, GOOD, "GET", 200, None),
    ("R34", {"require_user": True}, MACHINE, "GET", 403, None),
    ("groups", {"groups": "staff"}, MEMBER, "GET", 200, None),
    ("groups", {"groups": "staff"}, GOOD, "GET", 403, None),
    ("groups", {"groups": ["x", "staff"]}, MEMBER, "GET", 200, None),
    ("groups", {"groups": "staff x"}, MEMBER, "GET", 403, None),
    ("groups", {"groups": [["two words", "staff"]]}, MEMBER, "GET", 200, None),
    ("groups", {"groups": "two words"}, MEMBER, "GET", 403, None),
    ("roles", {"roles": "a b"}, MEMBER, "GET", 200, None),
    ("roles", {"roles": "a c"}, MEMBER, "GET", 403, None),
    ("entitlements", {"entitlements": ["x"]}, MEMBER, "GET", 200, None),
    ("entitlements", {"entitlements": ["y"]}, MEMBER, "GET", 403, None),
    ("together", {"scopes": "profile", "groups": "staff", "roles": "c"}, MEMBER, "GET", 403, None),
    ("check", {"check": is_good}, GOOD, "GET", 200, None),
    ("check", {"check": is_good}, MEMBER, "GET", 403, None),
    ("check", {"check": IsGood()}, GOOD, "GET", 200, None),
    ("check", {"check": IsGood()}, MEMBER, "GET", 403, None),
    ("check", {"check": lambda request, token: is_good(request, token)}, GOOD, "GET", 200, None),
    ("check", {"check": lambda request, token: is_good(request, token)}, MEMBER, "GET", 403, None),
    ("check", {"check": has_colleagues}, GOOD, "GET", 200, None),
    ("check", {"check": [has_colleagues, is_good, is_read]}, GOOD, "GET", 200, None),
    ("check", {"check": [has_colleagues, is_good, is_read]}, GOOD, "POST", 403, None),
    ("check", {"check": [is_read, is_good]}, MEMBER, "GET", 403, None),
    ("R123", {"scopes": "admin"}, BOTH, "GET", 401, None),
    ("R123", {"check": is_read, "scopes": "admin"}, GOOD, "POST", 403, "admin"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("row", "asked", "token", "method", "status", "scope"), ROWS, ids=[f"{row[0]}-{n}" for n, row in enumerate(ROWS)]
)
def test_requirements(
    row: str,
    asked: dict[str, Any],
    token: str,
    method: str,
    status: int,
    scope: str | None,
    mode: str,
    protector: ResourceProtector,
    send: Send,
) -> None:
    """R24, R27, R30, R34, R119, R120, R122, R123: each requirement lets in and refuses as its row says."""
    witness = Witness()
    with serving(protector(**asked)(witness.view(mode))):
        answer = send("/", bearer(token), method=method)
    assert answer.status == status
    assert witness.entered == (status == 200)
    if status == 403:
        assert answer.json["error"] == ("access_denied" if scope is None else "insufficient_scope")
        assert [challenge.parameters.get("scope") for challenge in answer.challenges] == [scope] * (scope is not None)


@pytest.mark.parametrize("mode", MODES)
def test_each_view_decides_for_itself(mode: str, protector: ResourceProtector, send: Send) -> None:
    """R33: two views with different scopes each check the same token."""
    for scopes, status in [("profile", 200), ("admin", 403)] * 2:
        with serving(protector(scopes)(Witness().view(mode))):
            assert send("/", bearer(GOOD)).status == status


WRONG = [
    ({"scopes": 3}, TypeError, "scopes"),
    ({"scopes": ["a", 3]}, TypeError, "scopes"),
    ({"scopes": [["a", 3]]}, TypeError, "scopes"),
    ({"scopes": {"GET": 3}}, TypeError, "scopes"),
    ({"scopes": b"a"}, TypeError, "scopes"),
    ({"scopes": ""}, ValueError, "scopes"),
    ({"scopes": " "}, ValueError, "scopes"),
    ({"scopes": ["a", ""]}, ValueError, "scopes"),
    ({"scopes": [[]]}, ValueError, "scopes"),
    ({"scopes": {"GET": ""}}, ValueError, "scopes"),
    ({"groups": 3}, TypeError, "groups"),
    ({"groups": ""}, ValueError, "groups"),
    ({"roles": [""]}, ValueError, "roles"),
    ({"entitlements": {}}, TypeError, "entitlements"),
    ({"check": 3}, TypeError, "check"),
    ({"check": [is_good, None]}, TypeError, "check"),
    ({"require_user": "yes"}, TypeError, "require_user"),
    ({"optional": "yes"}, TypeError, "optional"),
    ({"groop": "staff"}, TypeError, "groop.*BearerTokenValidator|BearerTokenValidator.*groop"),
]


@pytest.mark.parametrize(("asked", "error", "names"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_wrong_requirements(
    asked: dict[str, Any], error: type[Exception], names: str, protector: ResourceProtector
) -> None:
    """R120: an impossible requirement is an error that names the argument, when the view is decorated."""
    with pytest.raises(error, match=names):
        protector(**asked)


@pytest.mark.parametrize("mode", MODES)
def test_keywords_are_known_at_the_first_request_at_the_latest(mode: str, send: Send) -> None:
    """If a validator registered later does not take a keyword, the guard raises an error. The view is not entered."""
    witness = Witness()
    protector = ResourceProtector()
    view = protector(groop="staff")(witness.view(mode))
    protector.register_token_validator(BearerTokenValidator(OAuth2Token))
    with serving(view):
        assert send("/", bearer(GOOD)).status == 500
    assert witness.entered == 0


@pytest.mark.parametrize("mode", MODES)
def test_validators_may_be_registered_later(mode: str, send: Send) -> None:
    """A validator registered after the view was decorated is used."""
    protector = ResourceProtector()
    view = protector("profile")(Witness().view(mode))
    protector.register_token_validator(BearerTokenValidator(OAuth2Token))
    with serving(view):
        assert send("/", bearer(GOOD)).status == 200


@pytest.fixture(scope="module")
def other_models(committed: Committed) -> None:
    committed.token(HashedToken, token_hash=hashlib.sha256(b"hashed").hexdigest())
    committed.token(UUIDToken, access_token="6b3d5a52-8f0f-4d55-9d4e-0f5b8b3d7f10")
    committed.token(RelatedToken, access_token="open", session=committed.row(LoginSession()))
    committed.token(RelatedToken, access_token="closed", session=committed.row(LoginSession(closed=True)))
    committed.token(QueryingToken, access_token="kept")
    committed.token(QueryingToken, access_token="revoked")
    committed.token(TenantToken, access_token="shared", tenant="a", scope="of-a")
    committed.token(TenantToken, access_token="shared", tenant="b", scope="of-b")
    committed.row(Revocation(access_token="revoked"))


def validators() -> dict[str, BearerTokenValidator]:
    return {
        "hashed": BearerTokenValidator(HashedToken, lookup="token_hash", digest="sha256"),
        "uuid": BearerTokenValidator(UUIDToken),
        "related": BearerTokenValidator(RelatedToken, select_related=["user", "session"]),
        "related, not loaded": BearerTokenValidator(RelatedToken),
        "querying": BearerTokenValidator(QueryingToken),
        "querying, announced": BearerTokenValidator(QueryingToken, blocking_methods=True),
        "uncoalesced": BearerTokenValidator(OAuth2Token, coalesce=False),
        "queryset": BearerTokenValidator(OAuth2Token, queryset=OAuth2Token.objects.filter(client_id="client")),
        "queryset of others": BearerTokenValidator(
            OAuth2Token, queryset=OAuth2Token.objects.exclude(client_id="client")
        ),
        "format": BearerTokenValidator(OAuth2Token, token_format="g.{3}"),
    }


MODEL_ROWS = [
    ("hashed", "hashed", 200),
    ("hashed", "unhashed", 401),
    ("uuid", "6b3d5a52-8f0f-4d55-9d4e-0f5b8b3d7f10", 200),
    ("uuid", "6b3d5a52-8f0f-4d55-9d4e-0f5b8b3d7f11", 401),
    ("uuid", "no-uuid", 401),
    ("related", "open", 200),
    ("related", "closed", 401),
    ("related, not loaded", "open", 200),
    ("related, not loaded", "closed", 401),
    ("querying", "kept", 200),
    ("querying", "revoked", 401),
    ("querying, announced", "kept", 200),
    ("querying, announced", "revoked", 401),
    ("uncoalesced", GOOD, 200),
    ("uncoalesced", "unknown", 401),
    ("queryset", GOOD, 200),
    ("queryset of others", GOOD, 401),
    ("format", GOOD, 200),
    ("format", MEMBER, 401),
]


@pytest.mark.usefixtures("other_models")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "token", "status"), MODEL_ROWS)
def test_models(name: str, token: str, status: int, mode: str, send: Send) -> None:
    """R126: whatever the model's methods read, sync and async views get their result, and the user without a query."""
    witness = Witness()
    with serving(ResourceProtector(validators()[name])(witness.view(mode))):
        answers = [send("/", bearer(token)) for _ in range(2)]
    assert [answer.status for answer in answers] == [status] * 2
    if status == 200:
        assert answers[0].json == {"token": True, "user": "alice"}


@pytest.mark.usefixtures("other_models")
@pytest.mark.parametrize("mode", MODES)
def test_managers_that_depend_on_the_request(mode: str, send: Send) -> None:
    """A manager that filters by a context variable answers for the tenant of the request, and for no other."""
    protector = ResourceProtector(BearerTokenValidator(TenantToken))

    for name, other in [("a", "b"), ("b", "a")]:
        with serving(in_tenant(name, protector(f"of-{name}")(Witness().view(mode)), mode)):
            assert send("/", bearer("shared")).status == 200
        with serving(in_tenant(name, protector(f"of-{other}")(Witness().view(mode)), mode)):
            assert send("/", bearer("shared")).status == 403
    with serving(protector(Witness().view(mode))):
        assert send("/", bearer("shared")).status == 401


def in_tenant(name: str, view: Any, mode: str) -> Any:
    def sync_view(request: HttpRequest) -> Any:
        tenant.set(name)
        return view(request)

    async def async_view(request: HttpRequest) -> Any:
        tenant.set(name)
        return await view(request)

    return sync_view if mode == "def" else async_view


SCOPE_TYPES: list[tuple[Any, int]] = [
    ("readwrite", 403),
    (["read"], 200),
    (("read", "write"), 200),
    ({"read"}, 200),
    (None, 403),
    ("", 403),
    ({"read": 1}, 401),
    (3, 401),
    (["read", 3], 401),
    (b"read", 401),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("scope", "status"), SCOPE_TYPES, ids=[repr(scope) for scope, _ in SCOPE_TYPES])
def test_types_of_scope(
    scope: Any, status: int, mode: str, protector: ResourceProtector, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R121: a string holds scopes between spaces, a list holds them whole, and anything else is a broken token."""
    monkeypatch.setattr(OAuth2Token, "get_scope", lambda self: scope)
    witness = Witness()
    with serving(protector("read")(witness.view(mode))):
        assert send("/", bearer(GOOD)).status == status
    assert witness.entered == (status == 200)
