"""The audiences that validators of remote tokens accept."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from async_oauth_guard import (
    AccessToken,
    InvalidTokenError,
    ResourceProtector,
)
from async_oauth_guard.errors import Reason
from async_oauth_guard.validators.audience_option import FROM_PROTECTOR
from tests.ids import described
from tests.unit.driving import World
from tests.unit.validators.remote_validators import API, OTHER_API, Make, both, context_of, introspection, jwt, token_of

AUDIENCES: list[tuple[Any, type[Exception], str]] = [
    *((value, ValueError, "must contain only non-empty strings") for value in ("", [], (), [""], [API, 7])),
    *((value, TypeError, "must be a string, a list of strings or None") for value in (7, {API: 1}, b"api", object())),
]


@pytest.mark.parametrize(("audience", "error", "message"), AUDIENCES, ids=lambda part: described(part)[:30])
@pytest.mark.parametrize(("make", "argument"), [(jwt, "resource_server"), (introspection, "audience")])
def test_wrong_audiences(make: Make, argument: str, audience: Any, error: type[Exception], message: str) -> None:
    """R134: an invalid audience is refused. Only ``None`` disables the check."""
    with pytest.raises(error, match=f"^{argument} {message}"):
        make(audience)


@pytest.mark.parametrize(
    ("audience", "expected"),
    [(API, (API,)), ([API, OTHER_API], (API, OTHER_API)), ((API,), (API,)), ({API}, (API,)), (None, None)],
)
@both
def test_audiences(make: Make, audience: Any, expected: Any) -> None:
    """The audience is one string or several."""
    validator = make(audience)
    assert validator.audience == expected
    assert not validator.takes_audience_from_protector


@pytest.mark.parametrize(("make", "argument"), [(jwt, "resource_server"), (introspection, "audience")])
def test_no_decision_on_the_audience(make: Make, argument: str) -> None:
    """R134: a validator without any audience is refused when it is registered, at the latest."""
    message = rf"TokenValidator has no audience: pass {argument}=, or give the protector a resource \(.*\); {argument}="
    entry = {
        "BACKEND": f"{__name__}.{make.__name__}",
        "OPTIONS": {},
    }
    with pytest.raises(ImproperlyConfigured, match=message):
        ResourceProtector(make())
    protector = ResourceProtector()
    with pytest.raises(ImproperlyConfigured, match=message):
        protector.register_token_validator(make())
    assert protector.validators == []
    ready_made = ResourceProtector.from_settings()
    with override_settings(OAUTH_GUARD={"VALIDATORS": [entry]}), pytest.raises(ImproperlyConfigured, match=message):
        _ = ready_made.validators
    with override_settings(OAUTH_GUARD={}), pytest.raises(ImproperlyConfigured, match=message):
        ready_made.register_token_validator(make())


@both
def test_decisions_on_the_audience(make: Make) -> None:
    """The audience can come from the validator or the protector, or the check can be disabled."""
    ResourceProtector(make(API))
    ResourceProtector(make(None))
    ResourceProtector(make(), resource=API)
    ready_made = ResourceProtector.from_settings()
    entry = {"BACKEND": f"{__name__}.{make.__name__}"}
    with override_settings(OAUTH_GUARD={"RESOURCE": API, "VALIDATORS": [entry]}):
        ready_made.register_token_validator(make())
        assert len(ready_made.validators) == 2


AUDIENCE_RULES: list[tuple[Any, str | None, Any, bool]] = [
    # the validator's audience, the protector's resource, the token's, whether it is let in
    (API, None, API, True),
    (API, None, [OTHER_API, API], True),
    (API, None, OTHER_API, False),
    (API, OTHER_API, API, True),
    (API, OTHER_API, OTHER_API, False),
    ([API, OTHER_API], None, OTHER_API, True),
    (None, None, OTHER_API, True),
    (None, API, OTHER_API, True),
    (FROM_PROTECTOR, API, API, True),
    (FROM_PROTECTOR, API, OTHER_API, False),
    (FROM_PROTECTOR, API, f"{API}/", False),
]


@pytest.mark.parametrize(("audience", "resource", "aud", "expected"), AUDIENCE_RULES)
@both
def test_audience_of_tokens(make: Make, audience: Any, resource: Any, aud: Any, expected: bool) -> None:
    """R28, R38, R118: a token must be for this API. Audiences compare as exact strings."""
    world, validator = World(), make(audience)
    protector = ResourceProtector(validator, resource=resource)
    token = token_of(make, world, aud=aud)
    flow = validator.authenticate_flow(token, context_of(protector.options.resource))
    if expected:
        assert isinstance(world.run(flow), AccessToken)
        return
    with pytest.raises(InvalidTokenError) as caught:
        world.run(flow)
    assert caught.value.reason == Reason.WRONG_AUDIENCE


@both
def test_one_validator_of_several_protectors(make: Make) -> None:
    """R33: each protector's own resource counts, even if another protector just let the token in."""
    world, validator = World(), make()
    ResourceProtector(validator, resource=API)
    ResourceProtector(validator, resource=OTHER_API)
    token = token_of(make, world, aud=API)
    assert world.run(validator.authenticate_flow(token, context_of(API)))["sub"] == "alice"
    with pytest.raises(InvalidTokenError) as caught:
        world.run(validator.authenticate_flow(token, context_of(OTHER_API)))
    assert caught.value.reason == Reason.WRONG_AUDIENCE
    assert world.run(validator.authenticate_flow(token, context_of(API)))["sub"] == "alice"


@both
def test_public_methods_without_a_protector(make: Make) -> None:
    """Public methods use the resource of the protectors if it is the same for all, and raise an error otherwise."""
    message = f"has no audience, and no single protector to take it from: pass {make()._audience_argument}="
    world, validator = World(), make()
    token = token_of(make, world)
    with pytest.raises(ImproperlyConfigured, match=message):
        world.run(validator.authenticate_flow(token))
    ResourceProtector(validator, resource=API)
    ResourceProtector(validator, resource=API)
    assert world.run(validator.authenticate_flow(token))["sub"] == "alice"
    ResourceProtector(validator, resource=OTHER_API)
    with pytest.raises(ImproperlyConfigured, match=message):
        world.run(validator.authenticate_flow(token))
    assert world.run(make(API).authenticate_flow(token))["sub"] == "alice"
