"""Scopes that imply others, for every source of tokens."""

from collections.abc import Iterator
from typing import Any

import pytest

from async_oauth_guard import BearerTokenValidator, ResourceProtector, require_oauth
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from tests import asgi, wsgi
from tests.answers import bearer
from tests.conftest import Committed
from tests.kit.asking import answer_of
from tests.kit.guarded_sites import CLIENTS
from tests.kit.urls import async_view, sync_view
from tests.site.models import StepUpToken
from tests.sites import MODES, Witness, serving
from tests.stepped_tokens import SOURCES, commit_rows

pytestmark = pytest.mark.django_db

SEND = {"def": wsgi.send, "async def": asgi.send}
IMPLIED = {"files": ["files:read", "files:write"], "admin": "files users", "users": ["admin"]}

# The token's scope, the required scopes, the status, and the scope of the challenge.
ROWS: list[tuple[str, Any, int, str | None]] = [
    ("files", "files:read", 200, None),
    ("files", "files:read files:write", 200, None),
    ("admin", "files:write users", 200, None),
    ("users", "files:read", 200, None),
    ("files:read", "files:read", 200, None),
    ("files:read", "files", 403, "files"),
    ("files:read files:write", "files", 403, "files"),
    ("Files", "files:read", 403, "files:read"),
    # Implied scopes are not missing.
    ("files", ["a b", "files:read files:write c"], 403, "files:read files:write c"),
]
# In each of these, hooks of the site decide about scopes.
OF_OUR_RULES = ("JWT", "introspection", "row", "own", "own checks")


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    commit_rows(committed, [(scope, {}) for scope, *_ in ROWS])


@pytest.fixture
def server() -> Iterator[FakeAuthorizationServer]:
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", OF_OUR_RULES)
@pytest.mark.parametrize(("held", "required", "status", "scope"), ROWS)
def test_implied_scopes(
    held: str,
    required: Any,
    status: int,
    scope: str | None,
    source: str,
    mode: str,
    server: FakeAuthorizationServer,
) -> None:
    """R115: a token's scopes count together with all that they imply, also where a hook calls our method."""
    made, token = SOURCES[source](server, held, {})
    protector = ResourceProtector(*made.validators, implied_scopes=IMPLIED)
    witness = Witness()
    with serving(protector(required)(witness.view(mode))):
        answer = SEND[mode]("/", bearer(token))
    assert (answer.status, witness.entered) == (status, status == 200)
    # An error that a hook raises names the nearest scopes for a token without any.
    if scope is not None and source != "own checks":
        assert [challenge.parameters["scope"] for challenge in answer.challenges] == [scope]


@pytest.mark.parametrize("mode", MODES)
def test_by_the_setting(mode: str) -> None:
    """R115: ``OAUTH_GUARD["IMPLIED_SCOPES"]`` configures the ready-made protector."""
    validators = [{"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "site.StepUpToken"}}]
    token = SOURCES["row"](None, "files", {})[1]  # type: ignore[arg-type]
    view = require_oauth("files:read")(Witness().view(mode))
    for implied, status in (IMPLIED, 200), ({}, 403), (None, 403):
        with serving(view, OAUTH_GUARD={"VALIDATORS": validators, "IMPLIED_SCOPES": implied}):
            assert SEND[mode]("/", bearer(token)).status == status


async def test_granted_scopes_stay() -> None:
    """R115: the token's own scopes are those that were granted. The option's later changes have no effect."""
    implied = {"files": ["files:read"]}
    protector = ResourceProtector(BearerTokenValidator(StepUpToken), implied_scopes=implied)
    implied.clear()
    token = await protector.avalidate_token(SOURCES["row"](None, "files", {})[1], "files:read")  # type: ignore[arg-type]
    assert token.scope == "files"


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_overrides(view: Any) -> None:
    """R115: a test's override has implied scopes too."""
    guard = ResourceProtector(BearerTokenValidator(StepUpToken), implied_scopes=IMPLIED)("files:read")
    with override_oauth("files"):
        assert answer_of(guard, view).status_code == 200
    with override_oauth("other"):
        assert answer_of(guard, view).status_code == 403
