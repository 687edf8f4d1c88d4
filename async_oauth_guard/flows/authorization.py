"""The whole story of one token: a validator that knows it, its lifetime and scopes, then what else the view asks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from ..credentials import Secret
from ..effects import OUTAGES, Call, Flow, ReadModel
from ..errors import (
    InsufficientScopeError,
    InvalidTokenError,
    OAuth2Error,
    Reason,
    TemporarilyUnavailableError,
    adopt_error,
)
from ..hooks import hook, keywords_named, keywords_taken
from ..requirements import ATTRIBUTES, Requirements
from ..scopes import Requirement, read_values
from ..tokens import TokenState, read_attribute, read_user
from .routing import route

__all__ = ["Inquiry", "Verdict", "authorize_flow", "judge_flow", "require_flow"]


# One for each request. Not frozen, like those below: that would take four times as long to make.
@dataclass(slots=True, kw_only=True, eq=False)
class Inquiry:
    """What is asked about a token.

    ``request`` is ``None`` where there is none, as for a job; ``hook_request`` makes the request that Authlib hands to
    hooks; ``uri`` gives the URI that was called, if any. ``resource`` is who we are, ``cache`` the alias of the cache
    that workers share: both as the protector has them.
    """

    requirements: Requirements
    request: HttpRequest | None
    hook_request: Callable[[], Any]
    uri: Callable[[], str | None]
    resource: str | None = None
    cache: str | None = None

    @property
    def scopes(self) -> Requirement | None:
        """The scopes that are asked for here, or ``None`` where the guard grants the method to nobody."""
        return self.requirements.scopes.for_method(self.request.method if self.request is not None else None)


@dataclass(slots=True)
class Verdict:
    """A yes: the token as its validator gave it, its user, and the attributes that it carries (groups, for one).

    ``state`` is what it said of itself, where our own rules judged it; ``judged`` names the attributes that a hook has
    judged already.
    """

    # Error pages print it, and a model's ``__str__`` may show the token.
    token: Any = field(repr=False)
    user: Any = field(repr=False)
    attributes: Mapping[str, Any] = field(repr=False)
    state: TokenState | None = field(default=None, repr=False)
    judged: frozenset[str] = frozenset()


def authorize_flow(validators: Sequence[Any], token: Secret[str], inquiry: Inquiry) -> Flow[Verdict]:
    """Judge ``token``: the first validator that says yes decides; a no needs a definite no from all.

    Raises:
        InvalidTokenError, InsufficientScopeError: it is refused.
        TemporarilyUnavailableError: one that could not tell might have said yes.
    """
    refusal: InvalidTokenError | None = None
    outage: TemporarilyUnavailableError | None = None
    for validator in route(validators, token):
        try:
            verdict = yield from _ask_flow(validator, token, inquiry)
        except InvalidTokenError as error:
            refusal = refusal or error
        except TemporarilyUnavailableError as error:
            outage = error
        else:
            if inquiry.requirements.go_beyond_scopes:
                yield from require_flow(verdict, inquiry)
            return verdict
    raise outage or refusal or InvalidTokenError(reason=Reason.UNRECOGNISED_TOKEN)


def _ask_flow(validator: Any, token: Secret[str], inquiry: Inquiry) -> Flow[Verdict]:
    """One validator's verdict on the token, its lifetime and scopes, through the hooks that its class defines."""
    try:
        if validate_request := hook(validator, "validate_request"):
            yield Call(validate_request, (inquiry.hook_request(),))
        if authenticate_token := hook(validator, "authenticate_token"):
            found = yield Call(authenticate_token, (token,))
        else:
            found = yield from validator.authenticate_flow(token, inquiry)
        if validate_token := hook(validator, "validate_token"):
            return (yield from _hand_over_flow(validate_token, found, inquiry))
        return (yield from judge_flow(validator, found, inquiry))
    except OUTAGES:
        # The chain ends here: the frames of the database's error have the query's parameters in their locals.
        raise TemporarilyUnavailableError(reason=Reason.DATABASE_UNAVAILABLE) from None
    except OAuth2Error as error:
        adopted = adopt_error(error)
        adopted.validator = validator
        # Without the frames that it came through: these hold claims, and whoever logs an error may log its frames.
        raise adopted.with_traceback(None) from adopted.__cause__


def _hand_over_flow(validate_token: Callable[..., Any], found: Any, inquiry: Inquiry) -> Flow[Verdict]:
    """Let a ``validate_token`` written for Authlib judge alone: lifetime, scopes, and the attributes that it names."""
    asked = {name: requirement.for_hook() for name, requirement in inquiry.requirements.attributes.items()}
    # One that takes them by ``**`` may not have thought of them, so they are judged here as well.
    judged = frozenset(keywords_named(validate_token, asked))
    taken = {name: asked[name] for name in keywords_taken(validate_token, asked)}
    keywords = {**inquiry.requirements.extra_for_hook(), **taken}
    scopes = inquiry.scopes
    yield Call(validate_token, (found, scopes.for_hook() if scopes else None, inquiry.hook_request()), keywords)
    if not found:
        # A hook that forgot this case would let anybody in.
        raise InvalidTokenError(reason=Reason.UNKNOWN_TOKEN)
    if scopes is None:
        raise InsufficientScopeError(reason=Reason.METHOD_NOT_NAMED)
    # The user as well, whoever asks for it: a view on an event loop could not load it.
    state = yield ReadModel(lambda token: _read_beyond(token, asked), found, blocking=False)
    return Verdict(found, state.user, state.attributes, judged=judged)


def judge_flow(validator: Any, found: Any, inquiry: Inquiry) -> Flow[Verdict]:
    """Our own judgement of what a validator found: is it good now, and are its scopes enough?"""
    if not found:
        raise InvalidTokenError(reason=Reason.UNKNOWN_TOKEN)
    state: TokenState = (
        validator.read_state(found, inquiry)
        if validator._has_state_at_hand
        else (yield ReadModel(lambda token: validator.read_state(token, inquiry), found, validator.blocking_methods))
    )
    if state.reason is not None:
        raise InvalidTokenError(reason=state.reason)
    required = inquiry.scopes
    if required is None:
        raise InsufficientScopeError(reason=Reason.METHOD_NOT_NAMED)
    if scope_insufficient := hook(validator, "scope_insufficient"):
        return (yield from _compare_flow(scope_insufficient, found, state, required, inquiry))
    _check_scopes(state, required)
    return Verdict(found, state.user, state.attributes, state)


def _compare_flow(
    scope_insufficient: Callable[..., Any], found: Any, state: TokenState, required: Requirement, inquiry: Inquiry
) -> Flow[Verdict]:
    """Let a hook compare scopes, and, as with Authlib, groups, roles and entitlements too."""
    if (yield Call(scope_insufficient, (state.scope, required.for_hook()))):
        raise InsufficientScopeError(scope=required.nearest_alternative(_values_or_none(state.scope)))
    attributes = inquiry.requirements.attributes
    for name, requirement in attributes.items():
        if (yield Call(scope_insufficient, (state.attributes.get(name), requirement.for_hook()))):
            raise InsufficientScopeError(reason=ATTRIBUTES[name])
    return Verdict(found, state.user, state.attributes, state, judged=frozenset(attributes))


def _check_scopes(state: TokenState, required: Requirement) -> None:
    try:
        held = read_values(state.scope)
    except ValueError:
        raise InvalidTokenError(reason=Reason.MALFORMED_SCOPE) from None
    if not required.is_met_by(held):
        raise InsufficientScopeError(scope=required.nearest_alternative(held))


def require_flow(verdict: Verdict, inquiry: Inquiry) -> Flow[None]:
    """What the view asks beyond scopes. A good token without it is 403: another token may do."""
    requirements = inquiry.requirements
    for name, requirement in requirements.attributes.items():
        if name not in verdict.judged:
            _check_attribute(name, requirement, verdict.attributes)
    if requirements.require_user and verdict.user is None:
        raise InsufficientScopeError(reason=Reason.NO_USER)
    for check in requirements.checks:
        passed = yield Call(check, (inquiry.request, verdict.token))
        # Fail closed: a coroutine that nobody awaited, or any other object, is true.
        if not isinstance(passed, bool):
            raise TypeError(f"check must return a bool, not {type(passed).__name__}")
        if not passed:
            raise InsufficientScopeError(reason=Reason.CHECK_FAILED)


def _read_beyond(token: Any, names: Iterable[str]) -> TokenState:
    """What a token that a hook judged carries besides."""
    return TokenState(user=read_user(token), attributes={name: read_attribute(token, name) for name in names})


def _check_attribute(name: str, required: Requirement, attributes: Mapping[str, Any]) -> None:
    if not required.is_met_by(_values_or_none(attributes.get(name))):
        raise InsufficientScopeError(reason=ATTRIBUTES[name])


def _values_or_none(held: Any) -> frozenset[str]:
    try:
        return read_values(held)
    except ValueError:
        return frozenset()
