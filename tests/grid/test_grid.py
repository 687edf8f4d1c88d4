"""Every kind of view, sync and async, behind both servers, with every result."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.grid.kinds import KINDS, MakeView
from tests.rfc9110 import Challenge
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

# Nobody else writes these words, so that none of them in an answer or a log is there by chance.
GOOD, NARROW, EXPIRED, REVOKED, INACTIVE, UNKNOWN = (
    f"{word}-4bF7" for word in ("gooood", "narrow", "expirred", "revokked", "inacttive", "unknowwn")
)

PROFILE = {"scopes": "profile email"}
OPTIONAL = {"scopes": "profile email", "optional": True}
WANTED = {"realm": "api", "scope": "profile email"}


def working() -> AbstractContextManager[Any]:
    return nullcontext()


def down() -> AbstractContextManager[Any]:
    return mock.patch.object(CursorWrapper, "execute", side_effect=OperationalError("no route to host"))


@dataclass(frozen=True)
class Authorization:
    """A request, and what is answered.

    ``challenge`` holds the parameters that the challenge must have; ``error`` is the code in the body, and in the
    challenge too where ``names_error``.
    """

    name: str
    headers: RawHeaders
    status: int
    error: str | None = None
    challenge: Mapping[str, str] | None = None
    names_error: bool = True
    asked: Mapping[str, Any] = field(default_factory=lambda: PROFILE)
    database: Any = working


VERDICTS = [
    Authorization("good token", bearer(GOOD), 200),
    Authorization("no header", [], 401, "missing_authorization", WANTED, names_error=False),
    Authorization(
        "other scheme",
        [(b"authorization", b"Basic Zm9vOmJhcg==")],
        401,
        "unsupported_token_type",
        WANTED,
        names_error=False,
    ),
    Authorization("malformed", bearer(GOOD + " x"), 400, "invalid_request", WANTED),
    Authorization("repeated", bearer(GOOD) + bearer(GOOD), 400, "invalid_request", WANTED),
    Authorization("unknown token", bearer(UNKNOWN), 401, "invalid_token", WANTED),
    Authorization("expired token", bearer(EXPIRED), 401, "invalid_token", WANTED),
    Authorization("revoked token", bearer(REVOKED), 401, "invalid_token", WANTED),
    Authorization("inactive user", bearer(INACTIVE), 401, "invalid_token", WANTED),
    Authorization("scope missing", bearer(NARROW), 403, "insufficient_scope", WANTED),
    Authorization("database down", bearer(GOOD), 503, "temporarily_unavailable", database=down),
    Authorization("optional, good token", bearer(GOOD), 200, asked=OPTIONAL),
    Authorization("optional, no header", [], 200, asked=OPTIONAL),
    Authorization("optional, unknown token", bearer(UNKNOWN), 401, "invalid_token", WANTED, asked=OPTIONAL),
]


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.user("bob", is_active=False)
    committed.token(access_token=GOOD, scope="email profile")
    committed.token(access_token=NARROW, scope="profile")
    committed.token(access_token=EXPIRED, scope="email profile", expires_at=int(time.time()) - 1)
    committed.token(access_token=REVOKED, scope="email profile", revoked=True)
    committed.token(access_token=INACTIVE, scope="email profile", user="bob")


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda verdict: verdict.name)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_grid(make: MakeView, mode: str, verdict: Authorization, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """R1, R4, R5, R7, R13 to R15, R20, R23, R25 to R27, R29, R30, R122, R126: one answer, whatever the view.

    It has the status, the challenge and the headers of the error map, the view is entered for 200 alone, and the token
    is nowhere to be read.
    """
    caplog.set_level("DEBUG")
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    with serving(make(witness, mode, protector, dict(verdict.asked))), verdict.database():
        answer = send("/", verdict.headers)

    assert answer.status == verdict.status
    assert witness.entered == (answer.status == 200)
    assert "authorization" in answer.members("Vary")
    secrets = [value.decode().removeprefix("Bearer ") for _, value in verdict.headers]
    assert not [secret for secret in secrets if secret in answer.text + caplog.text]
    if verdict.error is None:
        _check_page(verdict, answer)
    else:
        _check_refusal(verdict, answer)


def _check_page(verdict: Authorization, answer: Any) -> None:
    came_with_token = bool(verdict.headers)
    assert answer.json == {"token": came_with_token, "user": "alice" if came_with_token else None}
    assert answer.challenges == []
    assert answer.members("Cache-Control") == ({"private"} if came_with_token else set())


def _check_refusal(verdict: Authorization, answer: Any) -> None:
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Cache-Control") == "no-store"
    assert set(answer.json) == {"error", "error_description"}
    assert answer.json["error"] == verdict.error
    assert answer.json["error_description"]
    assert answer.header("Retry-After") is None or (answer.status == 503 and int(answer.header("Retry-After")) >= 1)
    assert (answer.header("Retry-After") is None) == (answer.status != 503)
    if verdict.challenge is None:
        assert answer.lines("WWW-Authenticate") == []
        return
    described = {"error": verdict.error, "error_description": answer.json["error_description"]}
    expected = {**verdict.challenge, **(described if verdict.names_error else {})}
    assert answer.challenges == [Challenge("bearer", None, expected)]
