"""The rules for what a view requires of a valid token besides scopes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..errors import GuardError, InsufficientUserAuthenticationError, Reason
from ..protocol.authorization_details import are_granted, describe_details
from ..protocol.requirements import ATTRIBUTES
from ..protocol.rules import Rule
from ..protocol.scopes import ImpliedScopes, Requirement
from ..protocol.step_up import StepUp
from ..runtime.effects import Call, Flow
from .authorization_context import Authorization, AuthorizationContext
from .hooks import check_returned

__all__ = [
    "AFTER_SCOPES",
    "ATTRIBUTE_RULES",
    "BEFORE_SCOPES",
    "BEYOND_SCOPES",
    "format_requirement",
    "implied_scopes",
    "implying",
    "name_step_up",
    "names_scope",
]

# The implied scopes of the protector that calls a hook.
_IMPLIED: ContextVar[ImpliedScopes | None] = ContextVar("async_oauth_guard.implied_scopes", default=None)


def implied_scopes() -> ImpliedScopes | None:
    """The implied scopes for a method of a validator that a hook calls."""
    return _IMPLIED.get()


@contextmanager
def implying(scopes: ImpliedScopes | None) -> Iterator[None]:
    """Pass implied scopes to the methods of a validator that a hook calls in this block."""
    earlier = _IMPLIED.set(scopes)
    try:
        yield
    finally:
        _IMPLIED.reset(earlier)


def names_scope(reason: Reason) -> bool:
    """Whether the refusal of a valid token for ``reason`` names the scopes that the view requires."""
    return reason in (Reason.INSUFFICIENT_SCOPE, Reason.INSUFFICIENT_ACR, Reason.AUTHENTICATION_TOO_OLD)


def name_step_up(error: GuardError, authorization: Authorization) -> None:
    """Write into ``error`` what the token's user does not meet. RFC 9470 §3: both parameters may be needed."""
    if isinstance(error, InsufficientUserAuthenticationError):
        acr, auth_time = _held(authorization, "acr"), _held(authorization, "auth_time")
        unmet = _step_up(authorization.context).unmet(acr, auth_time, authorization.context.clock.wall())
        error.acr_values, error.max_age = unmet.acr_values, unmet.max_age


def _held(authorization: Authorization, name: str) -> Any:
    """A claim of the token, or the attribute of a row that was read with its state."""
    token = authorization.token
    return token.get(name) if isinstance(token, Mapping) else authorization.attributes.get(name)


def _step_up(context: AuthorizationContext) -> StepUp:
    return context.requirements.step_up or StepUp()


def _check_constrained(authorization: Authorization) -> Reason | None:
    return None if authorization.confirmation is not None else Reason.BINDING_REQUIRED


def _check_acr(authorization: Authorization) -> Reason | None:
    is_accepted = _step_up(authorization.context).accepts_acr(_held(authorization, "acr"))
    return None if is_accepted else Reason.INSUFFICIENT_ACR


def _check_auth_time(authorization: Authorization) -> Reason | None:
    auth_time = _held(authorization, "auth_time")
    is_accepted = _step_up(authorization.context).accepts_auth_time(auth_time, authorization.context.clock.wall())
    return None if is_accepted else Reason.AUTHENTICATION_TOO_OLD


def _check_details(authorization: Authorization) -> Reason | None:
    required = authorization.context.requirements.authorization_details
    is_granted = are_granted(required, _held(authorization, "authorization_details"))
    return None if is_granted else Reason.INSUFFICIENT_AUTHORIZATION_DETAILS


def _check_user(authorization: Authorization) -> Reason | None:
    return None if authorization.is_for_user() else Reason.NO_USER


def _check_flow(authorization: Authorization) -> Flow[Reason | None]:
    context = authorization.context
    for check in context.requirements.checks:
        passed = yield Call(check, (context.request, authorization.token))
        check_returned(check, passed, bool)
        if not passed:
            return Reason.CHECK_FAILED
    return None


def format_requirement(required: Requirement | None) -> str:
    """The alternatives, as text."""
    return "" if required is None else " or ".join(map(" ".join, required.alternatives))


def _attribute_rule(name: str) -> Rule[Authorization, AuthorizationContext]:
    def check(authorization: Authorization) -> Reason | None:
        required = authorization.context.requirements.attributes[name]
        held = authorization.context.readable_values(authorization.attributes.get(name))
        return None if name in authorization.checked or required.is_met_by(held) else ATTRIBUTES[name]

    return Rule(
        name,
        check,
        applies=lambda context: name in context.requirements.attributes,
        asks_for=lambda context: format_requirement(context.requirements.attributes[name]),
    )


BEFORE_SCOPES: Sequence[Rule[Authorization, AuthorizationContext]] = (
    Rule("sender-constrained", _check_constrained, applies=lambda context: context.requirements.sender_constrained),
    Rule(
        "acr",
        _check_acr,
        applies=lambda context: bool(_step_up(context).acr_values),
        asks_for=lambda context: " or ".join(_step_up(context).acr_values),
    ),
    Rule(
        "auth_time",
        _check_auth_time,
        applies=lambda context: _step_up(context).max_age is not None,
        asks_for=lambda context: f"at most {_step_up(context).max_age} s ago",
    ),
)
"""Checked before scopes, so that the user is sent to the server once for both (RFC 9470 §3)."""

AFTER_SCOPES: Sequence[Rule[Authorization, AuthorizationContext]] = (
    Rule(
        "granted details",
        _check_details,
        applies=lambda context: bool(context.requirements.authorization_details),
        asks_for=lambda context: describe_details(context.requirements.authorization_details),
    ),
)
"""RFC 9396 §9.1: the resource server enforces what the token's ``authorization_details`` grant."""

ATTRIBUTE_RULES: Mapping[str, Rule[Authorization, AuthorizationContext]] = {
    name: _attribute_rule(name) for name in ATTRIBUTES
}
BEYOND_SCOPES: Sequence[Rule[Authorization, AuthorizationContext]] = (
    *ATTRIBUTE_RULES.values(),
    Rule("speaks for a user", _check_user, applies=lambda context: context.requirements.require_user),
    Rule("check", _check_flow, applies=lambda context: bool(context.requirements.checks), is_flow=True),
)
"""Checked last: what no scope can fix."""
