"""The whole story of one token: a validator that knows it, its lifetime and scopes, then what else the view asks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest

from ..credentials import Secret
from ..effects import Call, Flow, ReadModel
from ..errors import (
    InsufficientScopeError,
    InvalidTokenError,
    OAuth2Error,
    Reason,
    TemporarilyUnavailableError,
    adopt_error,
)
from ..hooks import hook, keywords_taken
from ..requirements import ATTRIBUTES, Requirements
from ..scopes import Requirement, read_values
from ..tokens import TokenState, read_attribute

__all__ = ["Inquiry", "Verdict", "authorize_flow", "judge_flow"]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked about a token.

    ``request`` is ``None`` where there is none, as for a job; ``hook_request`` makes the request that Authlib hands to
    hooks; ``uri`` gives the URI that was called, if any; ``wants_user`` has the token's user loaded in any case.
    """

    requirements: Requirements
    request: HttpRequest | None
    hook_request: Callable[[], Any]
    uri: Callable[[], str | None]
    wants_user: bool = False

    @property
    def scopes(self) -> Requirement | None:
        """The scopes that are asked for here, or ``None`` where the guard grants the method to nobody."""
        return self.requirements.scopes.for_method(self.request.method if self.request is not None else None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A yes: the token as its validator gave it, its user, and what it said of itself, where our own rules judged it.

    ``judged`` names the attributes that a hook has judged already.
    """

    token: Any
    state: TokenState | None
    user: Any = None
    judged: frozenset[str] = frozenset()


def authorize_flow(validators: Sequence[Any], token: Secret[str], inquiry: Inquiry) -> Flow[Verdict]:
    """Judge ``token``: the first validator that says yes decides; a no needs a definite no from all.

    Raises:
        InvalidTokenError, InsufficientScopeError: it is refused.
        TemporarilyUnavailableError: one that could not tell might have said yes.
    """
    refusal: InvalidTokenError | None = None
    outage: TemporarilyUnavailableError | None = None
    for validator in validators:
        if not _recognises(validator, token):
            continue
        try:
            verdict = yield from _ask_flow(validator, token, inquiry)
        except InvalidTokenError as error:
            refusal = refusal or error
        except TemporarilyUnavailableError as error:
            outage = error
        else:
            return (yield from _require_flow(verdict, inquiry))
    raise outage or refusal or InvalidTokenError(reason=Reason.UNRECOGNISED_TOKEN)


def _recognises(validator: Any, token: Secret[str]) -> bool:
    # Validators of Authlib's own classes are asked about every token.
    recognises = getattr(validator, "recognises", None)
    return recognises is None or recognises(token.reveal())


def _ask_flow(validator: Any, token: Secret[str], inquiry: Inquiry) -> Flow[Verdict]:
    """One validator's verdict on the token, its lifetime and scopes, through the hooks that its class defines."""
    try:
        if validate_request := hook(validator, "validate_request"):
            yield Call(validate_request, (inquiry.hook_request(),))
        if authenticate_token := hook(validator, "authenticate_token"):
            found = yield Call(authenticate_token, (token,))
        else:
            found = yield from validator.authenticate_flow(token)
        if validate_token := hook(validator, "validate_token"):
            return (yield from _hand_over_flow(validate_token, found, inquiry))
        state = yield from judge_flow(validator, found, inquiry)
        return Verdict(found, state, state.user)
    except OAuth2Error as error:
        adopted = adopt_error(error)
        adopted.validator = validator
        if adopted is error:
            raise
        raise adopted from error


def _hand_over_flow(validate_token: Callable[..., Any], found: Any, inquiry: Inquiry) -> Flow[Verdict]:
    """Let a ``validate_token`` written for Authlib judge alone: lifetime, scopes, and the keywords that it names."""
    asked = {name: requirement.given for name, requirement in inquiry.requirements.attributes.items()}
    judged = frozenset(keywords_taken(validate_token, asked))
    keywords = {**inquiry.requirements.extra, **{name: asked[name] for name in judged}}
    scopes = inquiry.scopes
    yield Call(validate_token, (found, scopes.given if scopes else None, inquiry.hook_request()), keywords)
    if found is None:
        # A hook that forgot this case would let anybody in.
        raise InvalidTokenError(reason=Reason.UNKNOWN_TOKEN)
    if scopes is None:
        raise InsufficientScopeError(reason=Reason.METHOD_NOT_NAMED)
    return Verdict(found, None, judged=judged)


def judge_flow(validator: Any, found: Any, inquiry: Inquiry) -> Flow[TokenState]:
    """Our own judgement of what a validator found: is it good now, and are its scopes enough?"""
    if not found:
        raise InvalidTokenError(reason=Reason.UNKNOWN_TOKEN)
    state: TokenState = yield from _read_flow(validator, found, inquiry)
    if state.reason is not None:
        raise InvalidTokenError(reason=state.reason)
    yield from _check_scopes_flow(validator, state, inquiry.scopes)
    return state


def _read_flow(validator: Any, found: Any, inquiry: Inquiry) -> Flow[TokenState]:
    try:
        state: TokenState = yield ReadModel(
            lambda token: validator.read_state(token, inquiry), found, type(found), validator.blocking_methods
        )
    except (OperationalError, InterfaceError):
        # The chain ends here: the frames of the database's error have the query's parameters in their locals.
        raise TemporarilyUnavailableError(reason=Reason.DATABASE_UNAVAILABLE) from None
    return state


def _check_scopes_flow(validator: Any, state: TokenState, required: Requirement | None) -> Flow[None]:
    if required is None:
        raise InsufficientScopeError(reason=Reason.METHOD_NOT_NAMED)
    try:
        held = read_values(state.scope)
    except ValueError:
        raise InvalidTokenError(reason=Reason.MALFORMED_SCOPE) from None
    if scope_insufficient := hook(validator, "scope_insufficient"):
        insufficient = yield Call(scope_insufficient, (state.scope, required.given))
    else:
        insufficient = not required.is_met_by(held)
    if insufficient:
        raise InsufficientScopeError(scope=required.nearest_alternative(held))


def _require_flow(verdict: Verdict, inquiry: Inquiry) -> Flow[Verdict]:
    """What the view asks beyond scopes. A good token without it is 403: another token may do."""
    requirements = inquiry.requirements
    attributes = {name: asked for name, asked in requirements.attributes.items() if name not in verdict.judged}
    state = verdict.state or TokenState()
    if verdict.state is None and (attributes or requirements.require_user or inquiry.wants_user):
        state = yield ReadModel(
            lambda token: _read_beyond(token, attributes), verdict.token, type(verdict.token), blocking=False
        )
        verdict = replace(verdict, user=state.user)
    for name, requirement in attributes.items():
        _check_attribute(name, requirement, state)
    if requirements.require_user and verdict.user is None:
        raise InsufficientScopeError(reason=Reason.NO_USER)
    for check in requirements.checks:
        passed = yield Call(check, (inquiry.request, verdict.token))
        # Fail closed: a coroutine that nobody awaited, or any other object, is true.
        if not isinstance(passed, bool):
            raise TypeError(f"check must return a bool, not {type(passed).__name__}")
        if not passed:
            raise InsufficientScopeError(reason=Reason.CHECK_FAILED)
    return verdict


def _read_beyond(token: Any, names: Iterable[str]) -> TokenState:
    """What a token that a hook judged carries besides."""
    return TokenState(
        user=read_attribute(token, "user"), attributes={name: read_attribute(token, name) for name in names}
    )


def _check_attribute(name: str, required: Requirement, state: TokenState) -> None:
    try:
        held = read_values(state.attributes[name])
    except ValueError:
        held = frozenset()
    if not required.is_met_by(held):
        raise InsufficientScopeError(reason=ATTRIBUTES[name])
