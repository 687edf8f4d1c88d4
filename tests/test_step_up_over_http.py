"""Step-up authentication (RFC 9470) and rich authorization requests (RFC 9396), for every source of tokens."""

import itertools
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InsufficientUserAuthenticationError,
    Reason,
    ResourceProtector,
)
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from tests import asgi, wsgi
from tests.answers import bearer
from tests.conftest import Committed
from tests.kit.asking import answer_of
from tests.kit.guarded_sites import CLIENTS
from tests.kit.urls import async_view, sync_view
from tests.site.models import StepUpToken
from tests.sites import MODES, Witness, serving
from tests.stepped_tokens import OF_OUR_RULES, SOURCES, commit_rows

pytestmark = pytest.mark.django_db

NOW = int(time.time())
SEND = {"def": wsgi.send, "async def": asgi.send}
PAYMENT = {"type": "payment", "actions": ["read", "write"], "locations": ["https://a"], "limit": {"amount": 5}}


@dataclass(frozen=True)
class Row:
    """A token for a view, and the response. ``challenge`` has the parameters besides realm and description."""

    id: str
    asked: Mapping[str, Any]
    claims: Mapping[str, Any]
    status: int = 200
    error: str | None = None
    challenge: Mapping[str, str] | None = None
    scope: str = "profile"


def unmet(**parameters: str) -> dict[str, Any]:
    code = "insufficient_user_authentication"
    return {"status": 401, "error": code, "challenge": {"error": code, "scope": "profile", **parameters}}


GOLD, RECENT, BOTH = {"acr_values": "gold"}, {"max_age": 3600}, {"acr_values": ["gold", "silver"], "max_age": 3600}
PAY = {"authorization_details": PAYMENT}
NO_DETAILS = {"status": 403, "error": "insufficient_scope", "challenge": {"error": "insufficient_scope"}}

BRONZE = Row("R105", BOTH, {"acr": "bronze", "auth_time": 5}, **unmet(acr_values="gold silver", max_age="3600"))
MET = [
    Row("R105", GOLD, {"acr": "gold"}),
    Row("R105", {"acr_values": ["platinum", "gold"]}, {"acr": "gold"}),
    Row("R105", RECENT, {"auth_time": NOW - 60}),
    Row("R105", RECENT, {"auth_time": NOW - 60.5}),
    Row("R105", RECENT, {"auth_time": NOW + 30}),
    Row("R105", BOTH, {"acr": "silver", "auth_time": NOW}),
    Row("R108", PAY, {"authorization_details": [PAYMENT]}),
    Row("R108", PAY, {"authorization_details": [{"type": "other"}, {**PAYMENT, "more": 1}]}),
    Row("R108", {"authorization_details": [{"type": "other"}, {"type": "payment", "actions": ["write"]}]},
        {"authorization_details": [PAYMENT]}),
    Row("R105", GOLD | PAY | {"groups": "staff"},
        {"acr": "gold", "groups": ["staff"], "authorization_details": [PAYMENT]}),
]  # fmt: skip
UNMET = [
    Row("R105", GOLD, {}, **unmet(acr_values="gold")),
    Row("R105", GOLD, {"acr": "silver"}, **unmet(acr_values="gold")),
    Row("R105", GOLD, {"acr": "GOLD"}, **unmet(acr_values="gold")),
    Row("R105", GOLD, {"acr": "gold silver"}, **unmet(acr_values="gold")),
    Row("R105", GOLD, {"acr": ["gold"]}, **unmet(acr_values="gold")),
    Row("R105", GOLD, {"acr": {"gold": 1}}, **unmet(acr_values="gold")),
    Row("R105", {"acr_values": ["1", "2"]}, {"acr": 1}, **unmet(acr_values="1 2")),
    Row("R105", RECENT, {}, **unmet(max_age="3600")),
    Row("R105", RECENT, {"auth_time": NOW - 86_400}, **unmet(max_age="3600")),
    Row("R105", RECENT, {"auth_time": NOW + 3600}, **unmet(max_age="3600")),
    Row("R105", RECENT, {"auth_time": str(NOW)}, **unmet(max_age="3600")),
    Row("R105", RECENT, {"auth_time": True}, **unmet(max_age="3600")),
    Row("R105", RECENT, {"auth_time": [NOW]}, **unmet(max_age="3600")),
    Row("R105", {"max_age": 0}, {"auth_time": NOW - 86_400}, **unmet(max_age="0")),
    # Only what is unmet is named.
    Row("R105", BOTH, {"acr": "gold"}, **unmet(max_age="3600")),
    Row("R105", BOTH, {"acr": "bronze", "auth_time": NOW}, **unmet(acr_values="gold silver")),
    BRONZE,
    # Before authorization details, and before what no scope can fix.
    Row("E10", GOLD | PAY, {"authorization_details": [PAYMENT]}, **unmet(acr_values="gold")),
    Row("E10", GOLD | PAY, {}, **unmet(acr_values="gold")),
    Row("E10", GOLD | {"require_user": True, "groups": "staff"}, {}, **unmet(acr_values="gold")),
    Row("E10", GOLD | {"check": lambda request, token: False}, {}, **unmet(acr_values="gold")),
    Row("R108", PAY, {}, **NO_DETAILS),
    Row("R108", PAY, {"authorization_details": []}, **NO_DETAILS),
    Row("R108", PAY, {"authorization_details": [{**PAYMENT, "type": "account"}]}, **NO_DETAILS),
    Row("R108", PAY, {"authorization_details": [{**PAYMENT, "actions": ["read"]}]}, **NO_DETAILS),
    Row("R108", PAY, {"authorization_details": [{**PAYMENT, "locations": ["https://b"]}]}, **NO_DETAILS),
    Row("R108", PAY, {"authorization_details": [{**PAYMENT, "limit": {"amount": 6}}]}, **NO_DETAILS),
    Row("R108", PAY, {"authorization_details": [{"type": "payment"}, {**PAYMENT, "actions": ["write"]}]}, **NO_DETAILS),
    # E9 before what no scope can fix.
    Row("E9", PAY | {"groups": "staff", "require_user": True}, {}, **NO_DETAILS),
    # What no scope can fix, of a token that meets the rest.
    Row("access_denied", BOTH | PAY | {"groups": "staff"},
        {"acr": "gold", "auth_time": NOW, "authorization_details": [PAYMENT]}, 403, "access_denied"),
]  # fmt: skip
LACKING_SCOPES = [
    # Both are named, so that the user is sent to the server once.
    Row("R107", BOTH, {}, **unmet(acr_values="gold silver", max_age="3600"), scope="email"),
    Row("R107", GOLD, {"acr": "silver"}, **unmet(acr_values="gold"), scope=""),
    # E8 before E9.
    Row("R123", PAY, {}, 403, "insufficient_scope", {"error": "insufficient_scope", "scope": "profile"}, ""),
    Row("R123", GOLD, {"acr": "gold"}, 403, "insufficient_scope",
        {"error": "insufficient_scope", "scope": "profile"}, ""),
    # Step-up before a method without an entry.
    Row("E10", {"scopes": {"POST": "profile"}, **GOLD}, {}, 401, "insufficient_user_authentication",
        {"error": "insufficient_user_authentication", "acr_values": "gold"}),
    Row("E10", {"scopes": {"POST": "profile"}, **GOLD}, {"acr": "gold"}, 403, "access_denied"),
    # Of several alternatives, that which the token has; or the nearest.
    Row("R107", {"scopes": ["admin", "profile email"], **GOLD}, {}, 401, "insufficient_user_authentication",
        {"error": "insufficient_user_authentication", "acr_values": "gold", "scope": "profile email"}, "profile email"),
    Row("R107", {"scopes": None, **GOLD}, {}, 401, "insufficient_user_authentication",
        {"error": "insufficient_user_authentication", "acr_values": "gold"}),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    commit_rows(committed, [(row.scope, row.claims) for row in (*MET, *UNMET, *LACKING_SCOPES)])
    committed.token(StepUpToken, access_token="expired", expires_at=1)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeAuthorizationServer]:
    """One for all tokens: each validator fetches its metadata and keys again."""
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


def check(row: Row, source: str, mode: str, server: FakeAuthorizationServer) -> None:
    """Send a request with the token of this row, from this source, and compare the response."""
    protector, token = SOURCES[source](server, row.scope, row.claims)
    witness = Witness()
    with serving(protector(**{"scopes": "profile", **row.asked})(witness.view(mode))):
        answer = SEND[mode]("/", bearer(token))
    assert (answer.status, witness.entered) == (row.status, row.status == 200)
    if row.status == 200:
        return
    assert answer.json["error"] == row.error
    assert answer.header("Cache-Control") == "no-store"
    assert [
        {name: value for name, value in challenge.parameters.items() if name not in ("realm", "error_description")}
        for challenge in answer.challenges
    ] == ([] if row.challenge is None else [row.challenge])


def pairs(rows: Sequence[Row], sources: Collection[str]) -> list[Any]:
    """Every row with every source. Each row, and each source, comes to sync and to async views in turn."""
    return [
        pytest.param(row, source, MODES[(number + turn) % 2], id=f"{row.id}-{row.status}-{source}")
        for (number, row), (turn, source) in itertools.product(enumerate(rows), enumerate(sources))
    ]


@pytest.mark.parametrize(("row", "source", "mode"), pairs([*MET, *UNMET], SOURCES))
def test_requirements(row: Row, source: str, mode: str, server: FakeAuthorizationServer) -> None:
    """R105, R108: each source's tokens are let in or refused as the row says, whatever hooks are overridden."""
    check(row, source, mode, server)


@pytest.mark.parametrize(("row", "source", "mode"), pairs(LACKING_SCOPES, OF_OUR_RULES))
def test_order(row: Row, source: str, mode: str, server: FakeAuthorizationServer) -> None:
    """R107, R123: step-up comes before scopes, and its challenge names them too."""
    check(row, source, mode, server)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("token", ["expired", "unknown"])
def test_invalid_tokens_learn_nothing(token: str, mode: str) -> None:
    """R106: an invalid token gets ``invalid_token``, and its challenge does not show the policy."""
    protector = ResourceProtector(BearerTokenValidator(StepUpToken))
    with serving(protector("profile", **BOTH, **PAY)(Witness().view(mode))):
        answer = SEND[mode]("/", bearer(token))
    (challenge,) = answer.challenges
    assert (answer.status, challenge.parameters["error"]) == (401, "invalid_token")
    assert {*challenge.parameters} == {"realm", "scope", "error", "error_description"}


@pytest.mark.parametrize("mode", MODES)
def test_every_request_is_checked(mode: str) -> None:
    """R116: an ``Mcp-Session-Id`` of an earlier request with a token gives no access."""
    with serving(ResourceProtector(BearerTokenValidator(StepUpToken))("profile")(Witness().view(mode))):
        session = [(b"mcp-session-id", b"1868a90c")]
        good = SEND[mode]("/", [*session, *bearer(_token_of(MET[0]))])
        without = SEND[mode]("/", session)
    assert (good.status, without.status) == (200, 401)
    assert "error" not in without.challenges[0].parameters


def _token_of(row: Row) -> str:
    return SOURCES["row"](None, row.scope, row.claims)[1]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_step_up_as_authlib(mode: str) -> None:
    """``compat="authlib"``: Authlib knows no step-up, so the response is the same as without compat."""
    answers = []
    for compat in (None, "authlib"):
        protector = ResourceProtector(BearerTokenValidator(StepUpToken, realm="r"), compat=compat)  # type: ignore[arg-type]
        with serving(protector("profile", **GOLD)(Witness().view(mode))):
            answers.append(SEND[mode]("/", bearer(_token_of(MET[2]))))
    assert answers[0].status == 401
    assert (answers[0].challenges, answers[0].json) == (answers[1].challenges, answers[1].json)


@pytest.mark.parametrize("mode", MODES)
def test_details_as_authlib(mode: str) -> None:
    """``compat="authlib"``: missing details are Authlib's 403, without a challenge."""
    protector = ResourceProtector(BearerTokenValidator(StepUpToken), compat="authlib")
    with serving(protector("profile", **PAY)(Witness().view(mode))):
        answer = SEND[mode]("/", bearer(_token_of(MET[0])))
    assert (answer.status, answer.json["error"], answer.challenges) == (403, "insufficient_scope", [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InsufficientUserAuthenticationError(acr_values="gold"), {"acr_values": "gold"}),
        (
            InsufficientUserAuthenticationError(acr_values=("a", 'b"\r\n'), max_age=5),
            {"acr_values": "a b???", "max_age": "5"},
        ),
        (InsufficientUserAuthenticationError(), {}),
    ],
)
def test_hooks_may_ask_for_step_up(error: Any, expected: dict[str, str], mode: str) -> None:
    """R16, R105: a check may refuse with step-up. Its values cannot break the header."""

    def ask(request: Any, token: Any) -> bool:
        raise error

    with serving(ResourceProtector(BearerTokenValidator(StepUpToken))("profile", check=ask)(Witness().view(mode))):
        answer = SEND[mode]("/", bearer(_token_of(MET[0])))
    (challenge,) = answer.challenges
    assert answer.status == 401
    assert {name: challenge.parameters.get(name) for name in ("acr_values", "max_age")} == {
        "acr_values": None,
        "max_age": None,
        **expected,
    }


# --- without a request, in code, in tests ---


async def test_validate_token() -> None:
    """Without a request, the error has what the challenge would name."""
    protector = ResourceProtector(BearerTokenValidator(StepUpToken))
    with pytest.raises(InsufficientUserAuthenticationError) as caught:
        await protector.avalidate_token(_token_of(BRONZE), ["admin", "profile"], **BOTH)
    error = caught.value
    assert (error.acr_values, error.max_age, error.scope) == (("gold", "silver"), 3600, ("profile",))
    assert error.reason is Reason.INSUFFICIENT_ACR
    assert (await protector.avalidate_token(_token_of(MET[5]), "profile", **BOTH)).acr == "silver"


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_overrides(view: Any) -> None:
    """`override_oauth` gives tokens that meet or do not meet the requirements, or refuses as a real guard does."""
    protector = ResourceProtector(BearerTokenValidator(StepUpToken))
    asked = {**BOTH, **PAY}
    with override_oauth("profile", acr="gold", auth_time=NOW, authorization_details=PAYMENT):
        assert answer_of(protector("profile", **asked), view).status_code == 200
    with override_oauth("profile", acr="gold", auth_time=5):
        response = answer_of(protector("profile", **asked), view)
        assert response["WWW-Authenticate"].endswith(', max_age="3600"')
    with override_oauth("profile", acr="gold", auth_time=NOW, authorization_details=[{"type": "payment"}]):
        assert answer_of(protector("profile", **asked), view).status_code == 403
    for error in (Reason.INSUFFICIENT_ACR, InsufficientUserAuthenticationError):
        with override_oauth(error=error):
            response = answer_of(protector("profile", **asked), view)
            assert response.status_code == 401
            assert response["WWW-Authenticate"].endswith('acr_values="gold silver", max_age="3600"')
            assert 'scope="profile"' in response["WWW-Authenticate"]


def test_rows_as_access_tokens(rf: Any, committed: Committed) -> None:
    """`AccessToken.of` shows how the user authenticated and what was granted, required or not."""
    row = committed.token(StepUpToken, access_token="shown", acr="gold", auth_time=5, authorization_details=[PAYMENT])
    for asked in ({}, {**BOTH, "max_age": 10**12, **PAY}):
        seen = []

        def view(request: Any, seen: list[Any] = seen) -> Any:
            from django.http import HttpResponse

            seen.append(AccessToken.of(request))
            return HttpResponse()

        request = rf.get("/", headers={"authorization": f"Bearer {row.access_token}"})
        ResourceProtector(BearerTokenValidator(StepUpToken))("profile", **asked)(view)(request)
        token = seen[0]
        assert (token["acr"], token["auth_time"], token.authorization_details) == ("gold", 5, [PAYMENT])
