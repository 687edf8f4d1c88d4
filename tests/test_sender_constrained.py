"""``sender_constrained=True``: a view that no bearer token opens."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InvalidTokenError,
    Reason,
    ResourceProtector,
    require_oauth,
)
from async_oauth_guard.protocol.confirmation import Possession
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from async_oauth_guard.validators.authorization import authorize_flow
from tests.answers import bearer
from tests.bound_tokens import SOURCES, commit_rows
from tests.conftest import Committed
from tests.kit.asking import answer_of
from tests.kit.guarded_sites import CLIENTS, SEND
from tests.kit.urls import async_view, sync_view
from tests.sites import MODES, Witness, serving
from tests.unit.driving import PERFORM, authorization_context, drive
from tests.unit.validators.test_authorization import TOKEN, Known

pytestmark = pytest.mark.django_db

both_views = pytest.mark.parametrize("view", [sync_view, async_view])
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    commit_rows(committed, [None])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", SOURCES)
def test_unbound_tokens(source: str, mode: str) -> None:
    """R104: an unbound token is 401 ``invalid_token``, from every source, before step-up and scopes."""
    with FakeAuthorizationServer(clients=CLIENTS) as server:
        validator, token = SOURCES[source](server, None)
        guard = ResourceProtector(validator, dpop=True)(
            "profile", sender_constrained=True, acr_values="gold", roles="x"
        )
        witness = Witness()
        with serving(guard(witness.view(mode))):
            answer = SEND[mode]("/", bearer(token))
    first, second = answer.challenges
    assert (answer.status, witness.entered) == (401, 0)
    assert {*first.parameters} == {"realm", "scope", "error", "error_description"}
    assert (first.scheme, first.parameters["error"]) == ("bearer", "invalid_token")
    assert (second.scheme, {*second.parameters}) == ("dpop", {"realm", "scope", "algs"})


@pytest.mark.parametrize(
    ("confirmation", "thumbprints", "reason"),
    [
        ({"x5t#S256": JKT}, {"x5t#S256": JKT}, None),
        (None, {"x5t#S256": JKT}, Reason.BINDING_REQUIRED),
        (None, {}, Reason.BINDING_REQUIRED),
        ({"x5t#S256": JKT}, {}, Reason.SENDER_CONSTRAINED),
    ],
)
def test_bound_tokens(confirmation: Any, thumbprints: Any, reason: Reason | None) -> None:
    """R104: a bound token is let in, if the request proves what it is bound to."""
    context = authorization_context(sender_constrained=True)
    context.possession = Possession(thumbprints)
    validator = Known(AccessToken({"cnf": confirmation, "scope": ""}))
    if reason is None:
        assert drive(authorize_flow([validator], TOKEN, context), PERFORM, PERFORM)[0].token is validator.outcome
        return
    with pytest.raises(InvalidTokenError) as caught:
        drive(authorize_flow([validator], TOKEN, context), PERFORM, PERFORM)
    assert caught.value.reason is reason


@both_views
def test_overrides(view: Any) -> None:
    """A test's token opens the view only if it is bound."""
    guard = ResourceProtector(BearerTokenValidator("site.BoundToken"), dpop=True)(sender_constrained=True)
    with override_oauth():
        assert answer_of(guard, view).status_code == 401
    with override_oauth(claims={"cnf": {"jkt": JKT}}):
        assert answer_of(guard, view).status_code == 200


MESSAGE = "^sender_constrained=True requires a ResourceProtector with dpop or mtls$"


def test_protectors_that_check_no_proofs() -> None:
    """R134: no token could open the view, so this is an error when the view is guarded."""
    with pytest.raises(ImproperlyConfigured, match=MESSAGE):
        ResourceProtector()(sender_constrained=True)


@both_views
def test_ready_made_protector(view: Any) -> None:
    """R134: with the ready-made protector, which reads the setting later, it is one at the first request."""
    with pytest.raises(ImproperlyConfigured, match=MESSAGE):
        answer_of(require_oauth(sender_constrained=True), view)


async def test_validate_token() -> None:
    """R134: so it is without a request."""
    with pytest.raises(ImproperlyConfigured, match=MESSAGE):
        await ResourceProtector(BearerTokenValidator("site.BoundToken")).avalidate_token("x", sender_constrained=True)


@pytest.fixture(autouse=True)
def _setting(settings: Any) -> None:
    settings.OAUTH_GUARD = {
        "VALIDATORS": [
            {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "site.BoundToken"}}
        ]
    }
