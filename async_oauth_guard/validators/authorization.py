"""Authorizes one request: a validator accepts the token, then the token is checked against the view's requirements."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..errors import (
    GuardError,
    InvalidTokenError,
    OAuth2Error,
    Reason,
    TemporarilyUnavailableError,
    adopt_error,
    error_of,
)
from ..protocol.access_token import TokenState, check_token
from ..protocol.confirmation import NO_POSSESSION
from ..protocol.requirements import ATTRIBUTES
from ..protocol.rules import Rule, reported, rules_for, walk_flow
from ..protocol.scopes import with_implied
from ..protocol.secrets import Secret
from ..runtime.effects import OUTAGES, Call, Flow, ReadModel
from .authorization_context import Authorization, AuthorizationContext
from .binding import BINDING, POSSESSION, bind_flow, check_before_hook_flow, presenting, read_trusted_state
from .found_token import FoundToken
from .fresh import call_hook_flow
from .hooks import Hooks, check_returned, hooks_of, keywords_named, keywords_taken
from .routing import route
from .token_requirements import (
    AFTER_SCOPES,
    ATTRIBUTE_RULES,
    BEFORE_SCOPES,
    BEYOND_SCOPES,
    format_requirement,
    implying,
    name_step_up,
    names_scope,
)

__all__ = [
    "OWN",
    "REQUIREMENTS",
    "adopt_token_flow",
    "authorize_flow",
    "validate_flow",
    "require_flow",
]


def authorize_flow(validators: Sequence[Any], token: Secret[str], context: AuthorizationContext) -> Flow[Authorization]:
    """Validate ``token``. The first validator that accepts it wins. 401 only if every validator rejects it.

    Raises:
        InvalidTokenError, InsufficientScopeError: the token is refused.
        TemporarilyUnavailableError: no validator accepted the token, and one had an outage.
    """
    refusal: InvalidTokenError | None = None
    outage: TemporarilyUnavailableError | None = None
    trace = context.trace
    for validator in route(validators, token) if context.found is None else (context.found.validator,):
        validating = _validate_token_flow(validator, token, context)
        try:
            authorization = yield from (validating if trace is None else trace.watch_flow(validating, validator))
        except InvalidTokenError as error:
            refusal = refusal or error
        except TemporarilyUnavailableError as error:
            outage = error
        else:
            if context.requirements.go_beyond_scopes:
                requiring = require_flow(authorization)
                yield from (requiring if trace is None else trace.watch_flow(requiring))
            return authorization
    raise outage or refusal or InvalidTokenError(reason=Reason.UNRECOGNISED_TOKEN)


def _validate_token_flow(validator: Any, token: Secret[str], context: AuthorizationContext) -> Flow[Authorization]:
    """Let one validator check the token, its lifetime and scopes. Call the hooks that its class overrides."""
    try:
        if context.trace is not None:
            context.trace.reach(OWN)
        hooks, state = hooks_of(validator), None
        if hooks.validate_request is not None:
            yield Call(hooks.validate_request, (context.hook_request(),))
        if context.found is not None:
            found = context.found.token
        elif hooks.authenticate_token is not None:
            found = yield from call_hook_flow(hooks.authenticate_token, token, fresh=context.requirements.fresh)
        elif hooks.validate_token is None and validator._has_state_at_hand:
            found, state = yield from validator.find_flow(token, context)
        else:
            found = yield from validator.authenticate_flow(token, context)
        if hooks.validate_token is not None:
            yield from check_before_hook_flow(validator, found, context)
            authorization = yield from _hand_over_flow(validator, hooks.validate_token, found, context)
        else:
            authorization = yield from validate_flow(validator, found, context, state, hooks)
        authorization.found = context.found or FoundToken(validator, found, state and state.remembered)
        return authorization
    except OUTAGES:
        # Drop the cause: the frames of the database's error have the parameters of the query in their locals.
        raise TemporarilyUnavailableError(reason=Reason.DATABASE_UNAVAILABLE) from None
    except OAuth2Error as error:
        adopted = adopt_error(error)
        adopted.validator = validator
        # Drop the traceback: its frames hold claims, and loggers may log these frames.
        raise adopted.with_traceback(None) from adopted.__cause__


def _hand_over_flow(
    validator: Any, validate_token: Callable[..., Any], found: Any, context: AuthorizationContext
) -> Flow[Authorization]:
    """Let a custom ``validate_token`` check lifetime, scopes, and the attributes that are among its parameters."""
    keywords = {name: requirement.for_hook() for name, requirement in context.requirements.attributes.items()}
    # A hook that takes them by ``**`` may not check them, so they are checked here as well.
    checked = frozenset(keywords_named(validate_token, keywords))
    taken = {name: keywords[name] for name in keywords_taken(validate_token, keywords)}
    scopes = context.scopes
    with presenting(context.possession), implying(context.implied_scopes):
        yield Call(
            validate_token,
            (found, scopes.for_hook() if scopes else None, context.hook_request()),
            {**context.requirements.extra_for_hook(), **taken},
        )
    return (yield from _trust_flow(validator, found, context, checked))


def adopt_token_flow(acquire: Call, context: AuthorizationContext) -> Flow[Authorization]:
    """Authorize the token that a custom ``acquire_token`` returns, which must check lifetime and scopes itself.

    Raises:
        InvalidTokenError, InsufficientScopeError: it returned no token, or the token does not meet the requirements.
        TemporarilyUnavailableError: the database had an outage.
    """
    try:
        token = yield acquire
        # The method may have called ours, which has checked the proof.
        context.possession = getattr(context.request, POSSESSION, context.possession)
        authorization = yield from _trust_flow(None, token, context)
    except OUTAGES:
        raise TemporarilyUnavailableError(reason=Reason.DATABASE_UNAVAILABLE) from None
    if context.requirements.go_beyond_scopes and not _has_met(authorization.token, context):
        yield from require_flow(authorization)
    return authorization


def _trust_flow(
    validator: Any, token: Any, context: AuthorizationContext, checked: frozenset[str] = frozenset()
) -> Flow[Authorization]:
    """Authorize a token that a hook has validated, and read its user and the attributes that the view requires."""
    if not token:
        # Fail closed if the hook forgot this case.
        raise InvalidTokenError(reason=Reason.UNKNOWN_TOKEN)
    check_token(token)
    authorization = Authorization(token, None, {}, None, checked, context=context, required=context.scopes)
    if not context.requirements.narrow_tokens:
        _require(_METHOD, authorization)
    # Always load the user: a view on an event loop could not load it later.
    names = context.requirements.attribute_names
    state = yield ReadModel(lambda token: read_trusted_state(validator, token, names), token, blocking=False)
    yield from bind_flow(state.confirmation, state.token_type, context)
    authorization.user, authorization.attributes = state.user, state.attributes
    authorization.confirmation = state.confirmation
    if context.requirements.narrow_tokens:
        _require(rules_for(context, (*BEFORE_SCOPES, *_METHOD, *AFTER_SCOPES)), authorization)
    return authorization


def validate_flow(
    validator: Any,
    found: Any,
    context: AuthorizationContext,
    state: TokenState | None = None,
    hooks: Hooks | None = None,
) -> Flow[Authorization]:
    """Check that a token that a validator found is valid now, and that its scopes are sufficient.

    Without the token's ``state`` and the ``hooks`` of the validator, they are read first.
    """
    if not found:
        raise InvalidTokenError(reason=Reason.UNKNOWN_TOKEN)
    if state is None:
        read: Callable[[Any], TokenState] = partial(validator.read_state, context=context)
        at_hand = validator._has_state_at_hand
        now: TokenState = read(found) if at_hand else (yield ReadModel(read, found, validator.blocking_methods))
        state = now
    if state.reason is not None:
        raise InvalidTokenError(reason=state.reason)
    if state.confirmation is not None or context.possession is not NO_POSSESSION or state.token_type is not None:
        yield from bind_flow(state.confirmation, state.token_type, context)
    authorization = Authorization(found, state.user, state.attributes, state, context=context, required=context.scopes)
    authorization.confirmation, authorization.scope = state.confirmation, state.scope
    scope_insufficient = (hooks or hooks_of(validator)).scope_insufficient
    if scope_insufficient is None:
        _require(rules_for(context, _GRANT) if context.requirements.narrow_tokens else _SCOPES_ALONE, authorization)
    else:
        _require(rules_for(context, (*BEFORE_SCOPES, *_METHOD)), authorization)
        yield from _compare_flow(scope_insufficient, authorization)
    return authorization


def _compare_flow(scope_insufficient: Callable[..., Any], authorization: Authorization) -> Flow[None]:
    """Let a hook compare the scopes and, as with Authlib, groups, roles and entitlements."""
    attributes = authorization.context.requirements.attributes
    compared: list[tuple[Any, Any, Any, Reason]] = [
        (_SCOPES, authorization.scope, authorization.required, Reason.INSUFFICIENT_SCOPE),
        *(
            (ATTRIBUTE_RULES[name], authorization.attributes.get(name), attributes[name], ATTRIBUTES[name])
            for name in attributes
        ),
    ]
    for rule, held, required, reason in compared:
        authorization.context.reach(rule)
        insufficient = yield Call(scope_insufficient, (held, required.for_hook()))
        check_returned(scope_insufficient, insufficient, bool)
        if insufficient:
            raise _refusal(reason, authorization)
        if rule is _SCOPES:
            _require(rules_for(authorization.context, AFTER_SCOPES), authorization)
    authorization.checked = frozenset(attributes)


def require_flow(authorization: Authorization) -> Flow[None]:
    """Check the requirements beyond scopes. A valid token that does not meet them gets 403."""
    context = authorization.context
    reason = yield from walk_flow(rules_for(context, BEYOND_SCOPES), authorization, context.trace)
    if reason is not None:
        raise error_of(reason)
    if context.request is not None:
        met = (authorization.token, context.requirements.beyond_scopes)
        context.request._oauth_met = met  # type: ignore[attr-defined]


def _has_met(token: Any, context: AuthorizationContext) -> bool:
    """Whether this token met the same requirements in this request, so that no ``check`` is called twice."""
    earlier: Any = getattr(context.request, "_oauth_met", None)
    return earlier is not None and (earlier[0] is token and earlier[1] == context.requirements.beyond_scopes)


def _require(rules: Sequence[Rule[Authorization, AuthorizationContext]], authorization: Authorization) -> None:
    trace = authorization.context.trace
    for rule in rules if trace is None else reported(rules, trace):
        reason = rule.check(authorization)
        if reason is not None:
            raise _refusal(reason, authorization)


def _refusal(reason: Reason, authorization: Authorization) -> GuardError:
    error, required = error_of(reason), authorization.required
    if names_scope(reason) and required is not None:
        held = authorization.context.readable_values(authorization.scope)
        error.scope = required.nearest_alternative(with_implied(held, authorization.context.implied_scopes))
    name_step_up(error, authorization)
    return error


# --- requirements ---


def _check_method(authorization: Authorization) -> Reason | None:
    return Reason.METHOD_NOT_NAMED if authorization.required is None else None


def _check_scopes(authorization: Authorization) -> Reason | None:
    required, context = authorization.required, authorization.context
    try:
        is_met = required is not None and required.accepts(
            authorization.scope, any_space=context.as_authlib, implied=context.implied_scopes
        )
    except ValueError:
        return Reason.MALFORMED_SCOPE
    return None if is_met else Reason.INSUFFICIENT_SCOPE


OWN: Rule[Any, Any] = Rule("its own decision")
"""Represents a decision by the site's code."""

_SCOPES: Rule[Authorization, AuthorizationContext] = Rule(
    "scopes", _check_scopes, asks_for=lambda context: format_requirement(context.scopes)
)
_METHOD: Sequence[Rule[Authorization, AuthorizationContext]] = (
    Rule(
        "method is granted",
        _check_method,
        asks_for=lambda context: "" if context.request is None else str(context.request.method),
    ),
)
_SCOPES_ALONE: Sequence[Rule[Authorization, AuthorizationContext]] = (*_METHOD, _SCOPES)
_GRANT: Sequence[Rule[Authorization, AuthorizationContext]] = (*BEFORE_SCOPES, *_SCOPES_ALONE, *AFTER_SCOPES)
REQUIREMENTS: Sequence[Rule[Any, Any]] = (*BINDING, *_GRANT, *BEYOND_SCOPES)
"""Who may present a valid token, and what a view requires of it."""
