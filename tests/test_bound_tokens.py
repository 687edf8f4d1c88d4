"""A site that checks no proofs lets in no token that is bound to something, from any source."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from oauth2_provider.models import AccessToken as ToolkitToken

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InvalidTokenError,
    Reason,
    ResourceProtector,
    token_rejected,
)
from async_oauth_guard.protocol.attributes import read_confirmation
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from tests.answers import bearer
from tests.bound_tokens import SOURCES, SOURCES_OF_KEYS, commit_rows
from tests.conftest import Committed
from tests.kit.asking import answer_of
from tests.kit.guarded_sites import CLIENTS, SEND, introspecting, site
from tests.kit.urls import async_view, sync_view
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

sync_and_async = pytest.mark.parametrize("mode", MODES)
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

CONFIRMATIONS: dict[str, tuple[Any, Reason]] = {
    "key": ({"jkt": JKT}, Reason.SENDER_CONSTRAINED),
    "certificate": ({"x5t#S256": JKT}, Reason.SENDER_CONSTRAINED),
    "empty": ({}, Reason.UNSUPPORTED_CONFIRMATION),
    "text": ("x", Reason.UNSUPPORTED_CONFIRMATION),
    "unknown member": ({"jwk": {}}, Reason.UNSUPPORTED_CONFIRMATION),
    "another member too": ({"jkt": JKT, "kid": "k"}, Reason.UNSUPPORTED_CONFIRMATION),
}


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    commit_rows(committed, [None, *(confirmation for confirmation, _ in CONFIRMATIONS.values())])


@pytest.fixture
def server() -> Iterator[FakeAuthorizationServer]:
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


@sync_and_async
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("confirmation", "reason"), CONFIRMATIONS.values(), ids=CONFIRMATIONS)
def test_bound_tokens(
    source: str, confirmation: Any, reason: Reason, mode: str, server: FakeAuthorizationServer
) -> None:
    """R94, R104: a token with any ``cnf`` is no bearer token, whatever source it comes from."""
    validator, token = SOURCES[source](server, confirmation)
    with site(mode, validator) as guarded:
        assert guarded.outcome(token) == (401, reason)


@sync_and_async
@pytest.mark.parametrize("source", SOURCES)
def test_unbound_tokens(source: str, mode: str, server: FakeAuthorizationServer) -> None:
    """R104: ``cnf: null`` means that the token is a bearer token."""
    validator, token = SOURCES[source](server, None)
    with site(mode, validator) as guarded:
        assert guarded.outcome(token) == (200, None)


@sync_and_async
@pytest.mark.parametrize(
    ("confirmation", "outcome"), [(None, (200, None)), ({"jkt": JKT}, (401, Reason.SENDER_CONSTRAINED))]
)
def test_field(confirmation: Any, outcome: Any, mode: str, server: FakeAuthorizationServer) -> None:
    """R94: the field that ``confirmation`` names is empty for bearer tokens only."""
    validator, token = SOURCES_OF_KEYS["field"](server, confirmation)
    with site(mode, validator) as guarded:
        assert guarded.outcome(token) == outcome


@sync_and_async
def test_introspection_says_dpop(mode: str, server: FakeAuthorizationServer) -> None:
    """R72, R94: what the server calls a DPoP token is no bearer token, also without ``cnf``."""
    with site(mode, introspecting()) as guarded:
        token = server.opaque("profile", claims={"token_type": "DPoP"})
        assert guarded.outcome(token) == (401, Reason.SENDER_CONSTRAINED)


class OwnRequests(ResourceProtector):
    """Finds tokens by itself."""

    token: Any = {"scope": "profile", "cnf": {"jkt": JKT}}

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return AccessToken(self.token)


@sync_and_async
@pytest.mark.parametrize(("confirmation", "reason"), CONFIRMATIONS.values(), ids=CONFIRMATIONS)
def test_acquired_tokens(confirmation: Any, reason: Reason, mode: str) -> None:
    """R94, R104: a token that a protector's own method finds is checked too."""
    protector = OwnRequests(BearerTokenValidator("site.OAuth2Token"))
    reasons: list[Any] = []

    def hear(sender: Any, error: Any, **kwargs: Any) -> None:
        reasons.append(error.reason)

    token_rejected.connect(hear)
    with serving(protector("profile")(Witness().view(mode))):
        for protector.token in ({"scope": "profile", "cnf": confirmation}, {"scope": "profile", "cnf": None}):
            reasons.append(SEND[mode]("/", bearer("any")).status)
    assert reasons == [reason, 401, 200]


def test_toolkit() -> None:
    """The option is one of django-oauth-toolkit's validator too, for a swapped model."""
    validator = BearerTokenValidator.for_django_oauth_toolkit(confirmation="thumbprint")
    row = ToolkitToken(token="a token")
    for thumbprint, confirmation in ((JKT, {"jkt": JKT}), ("", None), (None, None)):
        row.thumbprint = thumbprint
        assert read_confirmation(row, validator._thumbprint_field) == confirmation
    with pytest.raises(AttributeError, match="thumbprint"):
        read_confirmation(ToolkitToken(token="another"), validator._thumbprint_field)


@pytest.mark.parametrize(("confirmation", "error"), [("", ValueError), (1, TypeError)])
def test_names_of_fields(confirmation: Any, error: type[Exception]) -> None:
    """``confirmation`` is a name."""
    with pytest.raises(error, match="confirmation"):
        BearerTokenValidator("site.BoundToken", confirmation=confirmation)


def test_without_a_request() -> None:
    """``validate_token`` of a protector refuses a bound token, and so does that of a validator that is called alone."""
    _, token = SOURCES["own"](None, {"jkt": JKT})  # type: ignore[arg-type]
    validator, _ = SOURCES["own"](None, {"jkt": JKT})  # type: ignore[arg-type]
    for validate in (
        lambda: ResourceProtector(validator).validate_token(token),
        lambda: validator.validate_token(validator.authenticate_token(token), None, None),
    ):
        with pytest.raises(InvalidTokenError) as caught:
            validate()
        assert caught.value.reason is Reason.SENDER_CONSTRAINED  # type: ignore[attr-defined]


@pytest.mark.parametrize("view", [sync_view, async_view], ids=MODES)
def test_overrides(view: Any) -> None:
    """A test's override presents no proof, so what its token is bound to is not checked."""
    protector = ResourceProtector(BearerTokenValidator("site.OAuth2Token"))
    with override_oauth("profile", claims={"cnf": {"jkt": JKT}}):
        assert answer_of(protector("profile"), view).status_code == 200
        assert protector.validate_token("any").confirmation == {"jkt": JKT}
        assert answer_of(OwnRequests(BearerTokenValidator("site.OAuth2Token"))(), view).status_code == 401


class CallsOurs(ResourceProtector):
    """Leaves it to us to find the token."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, **requirements)


def test_overrides_of_acquired_tokens() -> None:
    """The same for a protector whose own method calls ours."""
    with override_oauth("profile", claims={"cnf": {"jkt": JKT}}):
        assert answer_of(CallsOurs(BearerTokenValidator("site.OAuth2Token"))()).status_code == 200
