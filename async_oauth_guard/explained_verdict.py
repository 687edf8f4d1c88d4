"""One verdict in the making, watched: whom the guard asks about a token, and what each validator says alone.

The flows are those that guard views. What stands for a validator in them asks it when they do, and writes down how it
came to its verdict.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from django.http import HttpRequest

from .credentials import Credentials, Secret
from .effects import Flow
from .errors import (
    GuardError,
    InvalidTokenError,
    MissingAuthorizationError,
    OAuth2Error,
    Reason,
    TemporarilyUnavailableError,
    adopt_error,
)
from .explained_notes import Notes, row_claims_flow, tell_claims
from .explained_rules import DATABASE, Facts, Step, is_own_kind, ladder_of, steps_of
from .flows.authorization import Inquiry, Verdict, authorize_flow
from .hooks import hook
from .jose import Jwt, parse_jwt
from .protector import ResourceProtector
from .requirements import Requirements
from .signals import reason_of
from .validators.introspection import IntrospectTokenValidator
from .view_guard import ViewGuard

__all__ = ["Judge", "Judgement", "ValidatorExplanation", "judgement_of"]

Judgement = Literal["accepted", "refused", "unavailable"]


@dataclass(frozen=True, slots=True)
class ValidatorExplanation:
    """One validator's verdict on the token, and how it came to it.

    Attributes:
        validator: its class; with a number, where there are several of that class.
        verdict: ``"not_asked"`` where the guard would not ask it, and asking would hand the token to somebody.
        asked: whether the guard asks it about this token. The verdict of one that it does not ask decides nothing.
        reason: why it is refused, or could not be judged.
        steps: its rules, in order.
        claims: a few of the token's claims and header parameters; unverified, unless it is accepted.
        calls: what was asked of the outside world.
    """

    validator: str
    verdict: Literal["accepted", "refused", "unavailable", "not_asked"]
    asked: bool
    reason: Reason | None
    steps: tuple[Step, ...]
    claims: Mapping[str, Any]
    calls: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation as JSON holds it."""
        return {
            "validator": self.validator,
            "verdict": self.verdict,
            "asked": self.asked,
            "reason": self.reason,
            "steps": [step.as_json() for step in self.steps],
            "claims": dict(self.claims),
            "calls": list(self.calls),
        }


def judgement_of(error: OAuth2Error | None) -> Judgement:
    """The word for a refusal, for an outage, or for a yes where there is no error."""
    if error is None:
        return "accepted"
    return "unavailable" if isinstance(error, TemporarilyUnavailableError) else "refused"


class _SettledError(Exception):
    """Carries a verdict that is final past the rules that look for further validators."""

    def __init__(self, outcome: Verdict | Exception) -> None:
        super().__init__()
        self.outcome = outcome


class _Watched:
    """A validator as the routing sees it; when it is asked, it is asked alone, and its verdict is told."""

    def __init__(self, validator: Any, ask_flow: Callable[[Any, Secret[str], Inquiry], Flow[Verdict]]) -> None:
        self.validator = validator
        self.recognises = hook(validator, "recognises")
        self.owns = getattr(validator, "owns", None)
        self._ask_flow = ask_flow

    def authenticate_flow(self, token: Secret[str], inquiry: Inquiry) -> Flow[Any]:
        """Ask the validator.

        Raises:
            InvalidTokenError, TemporarilyUnavailableError: others may be asked.
            _SettledError: nobody else is.
        """
        try:
            verdict = yield from self._ask_flow(self.validator, token, inquiry)
        except (InvalidTokenError, TemporarilyUnavailableError):
            raise
        except Exception as error:
            raise _SettledError(error) from None
        raise _SettledError(verdict)


class Judge:
    """One verdict of ``protector``'s, in the making. What it says in its own way, ``acquire_token()``, is asked too."""

    def __init__(self, protector: ResourceProtector) -> None:
        self._protector = protector
        self._told: list[tuple[Any, ValidatorExplanation]] = []
        self._rejected: GuardError | None = None

    def error_flow(
        self, guard: ViewGuard, request: HttpRequest, credentials: Credentials | GuardError
    ) -> Flow[GuardError | None]:
        """Why the request is refused; ``None`` where it is let in."""
        if guard.optional and isinstance(credentials, MissingAuthorizationError):
            return None
        try:
            if hook(self._protector, "acquire_token") is None:
                yield from self.authorize_request_flow(request, guard.requirements, credentials)
            else:
                yield from self._acquire_flow(guard, request, credentials)
        except GuardError as error:
            return error
        return None

    def _acquire_flow(
        self, guard: ViewGuard, request: HttpRequest, credentials: Credentials | GuardError
    ) -> Flow[Verdict]:
        # The author's method calls ours, which would send signals: so it is called on a copy that leaves these out.
        quiet: Any = copy.copy(self._protector)
        quiet.read_credentials = lambda request: credentials
        quiet.authorize_request_flow = self.authorize_request_flow
        quiet.reject_flow = self.reject_flow
        own = ViewGuard(quiet, guard.keywords, guard.requirements, guard.optional)
        return (yield from own._acquire_flow(quiet.acquire_token, request, credentials))

    def authorize_request_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Verdict]:
        """As the protector's, but for the signals; each validator that is asked is told of."""
        self._protector.check_keywords(requirements)
        try:
            if isinstance(credentials, GuardError):
                raise credentials
            return (yield from self._ask_flow(credentials, self._protector._inquiry(request, requirements)))
        except OAuth2Error as refusal:
            error = yield from self.reject_flow(refusal, request, requirements, credentials)
            raise error from error.__cause__

    def reject_flow(
        self,
        refusal: OAuth2Error,
        request: HttpRequest,
        requirements: Requirements,
        credentials: Credentials | GuardError,
    ) -> Flow[GuardError]:
        """As the protector's, but for the signals."""
        yield from ()
        earlier = self._rejected
        if earlier is not None and refusal in (earlier, earlier.__cause__):
            return earlier
        error = self._rejected = self._protector._adopt(refusal, request, requirements, credentials)
        return error

    def _serving(self, credentials: Credentials) -> Sequence[Any]:
        return self._protector._by_scheme()[credentials.scheme]

    def _ask_flow(self, credentials: Credentials, inquiry: Inquiry) -> Flow[Verdict]:
        watched = [_Watched(validator, self._tell_flow) for validator in self._serving(credentials)]
        try:
            return (yield from authorize_flow(watched, credentials.token, inquiry))
        except _SettledError as settled:
            if isinstance(settled.outcome, Exception):
                raise settled.outcome from settled.outcome.__cause__
            return settled.outcome
        except GuardError as error:
            error.validator = getattr(error.validator, "validator", None)
            raise

    def _tell_flow(self, validator: Any, token: Secret[str], inquiry: Inquiry, asked: bool = True) -> Flow[Verdict]:
        """What a validator says when it is asked alone, and how it came to it."""
        notes = Notes()
        try:
            verdict = yield from notes.watch_flow(authorize_flow([validator], token, inquiry))
        except OAuth2Error as refusal:
            error = adopt_error(refusal)
            told = yield from _validator_flow(validator, token, inquiry, notes, error, None, asked)
            self._told.append((validator, told))
            raise
        told = yield from _validator_flow(validator, token, inquiry, notes, None, verdict, asked)
        self._told.append((validator, told))
        return verdict

    def tell_others_flow(self, credentials: Credentials, inquiry: Inquiry) -> Flow[None]:
        """Ask those too that the guard does not, where that hands the token to nobody."""
        inquiry = replace(inquiry, requirements=replace(inquiry.requirements, checks=()))
        for validator in self._serving(credentials):
            if any(known is validator for known, _ in self._told):
                continue
            if not _keeps_tokens(validator):
                self._told.append((validator, _NOT_ASKED))
                continue
            try:
                yield from self._tell_flow(validator, credentials.token, inquiry, asked=False)
            except OAuth2Error:
                # It was told.
                continue

    def told(self, credentials: Credentials) -> Sequence[ValidatorExplanation]:
        """What was told of the validators, in their order, each with a name of its own."""
        serving = self._serving(credentials)
        names = [type(validator).__name__ for validator in serving]
        return [
            replace(
                # An author's `acquire_token` may have asked more than once: what it was told last, it went by.
                next(told for known, told in reversed(self._told) if known is validator),
                validator=name if names.count(name) == 1 else f"{name} {names[: number + 1].count(name)}",
            )
            for number, (validator, name) in enumerate(zip(serving, names, strict=True))
        ]


_NOT_ASKED = ValidatorExplanation("", "not_asked", False, None, (), {}, ())


def _keeps_tokens(validator: Any) -> bool:
    """Whether it shows a token to nobody who has not seen it: neither to a server, nor to code of the site's."""
    is_ours = is_own_kind(validator) and hook(validator, "validate_request") is None
    return is_ours and not isinstance(validator, IntrospectTokenValidator)


def _validator_flow(
    validator: Any,
    token: Secret[str],
    inquiry: Inquiry,
    notes: Notes,
    error: GuardError | None,
    verdict: Verdict | None,
    asked: bool,
) -> Flow[ValidatorExplanation]:
    jwt = parse_jwt(token)
    claims: Mapping[str, Any] = jwt.claims if isinstance(jwt, Jwt) else {}
    header: Mapping[str, Any] = jwt.header if isinstance(jwt, Jwt) else {}
    ladder = ladder_of(validator)
    if verdict is not None and isinstance(verdict.token, Mapping):
        claims = verdict.token
    elif notes.claims is not None:
        claims = notes.claims
    elif notes.row is not None and ladder is DATABASE:
        claims = yield from row_claims_flow(notes.row)
    facts = Facts(validator, inquiry, token, jwt, claims)
    reason = None if error is None else reason_of(error)
    return ValidatorExplanation(
        validator="",
        verdict=judgement_of(error),
        asked=asked,
        reason=reason,
        steps=steps_of(ladder, facts, reason),
        claims=tell_claims(claims, header),
        calls=tuple(notes.calls),
    )
