"""The rules that a token has to pass, in the order in which they are asked: a ladder for each kind of validator.

Nothing is judged here. A verdict has a `Reason`, and the ladder tells which rung that reason belongs to, so which rules
were passed before it and which were not reached.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from .claims import check_issuer, check_required
from .credentials import Secret
from .errors import Reason
from .flows.authorization import Inquiry
from .flows.database import lookup_key
from .hooks import hook
from .jose import Jwt
from .requirements import ATTRIBUTES
from .validators.introspection import IntrospectTokenValidator
from .validators.jwt import JWTBearerTokenValidator
from .validators.model import BearerTokenValidator
from .validators.toolkit import ToolkitTokenValidator

__all__ = [
    "AUTHLIB_CREDENTIALS",
    "CREDENTIALS",
    "DATABASE",
    "INTROSPECTION",
    "JWT",
    "OWN",
    "REQUIREMENTS",
    "Facts",
    "Outcome",
    "Rung",
    "Step",
    "is_own_kind",
    "ladder_of",
    "steps_of",
    "steps_of_credentials",
]

Outcome = Literal["passed", "failed", "not_reached"]


@dataclass(frozen=True, slots=True)
class Step:
    """A rule, and what came of it. ``detail`` is what the rule asks for, where there is something to tell."""

    rule: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """The step as JSON holds it."""
        return {"rule": self.rule, "outcome": self.outcome, "reason": self.reason, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a ladder is read by: the validator, what was asked, the token, as a JWT or why it is none, and its claims.

    ``claims`` are those that were judged, as far as they are known.
    """

    validator: Any
    inquiry: Inquiry
    token: Secret[str]
    jwt: Jwt | Reason
    claims: Mapping[str, Any] = field(repr=False)


def _always(facts: Facts) -> bool:
    return True


def _all_of_them(facts: Facts, reason: Reason) -> bool:
    return True


def _nothing(facts: Facts) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Rung:
    """A rule.

    Attributes:
        rule: its name, for people.
        reasons: why one may fail here.
        applies: whether it is asked at all.
        is_here: whether a failure with this reason was here, where a later rule has the same one.
        wants: what it asks for, in words.
    """

    rule: str
    reasons: Collection[Reason]
    applies: Callable[[Facts], bool] = _always
    is_here: Callable[[Facts, Reason], bool] = _all_of_them
    wants: Callable[[Facts], str] = _nothing


def steps_of(ladder: Sequence[Rung], facts: Facts, reason: Reason | None) -> tuple[Step, ...]:
    """The steps to a verdict: up to the rung that ``reason`` belongs to, or all of them where there is none."""
    rungs = [rung for rung in ladder if rung.applies(facts)]
    failed = len(rungs) if reason is None else _failed(rungs, facts, reason)
    if failed is None:
        # Code of the site's refused for a reason that the rules here do not have: which of them it asked, nobody knows.
        return (Step(OWN[0].rule, "failed", reason),)
    return tuple(_step(rung, number - failed, facts, reason) for number, rung in enumerate(rungs))


def steps_of_credentials(ladder: Sequence[Rung], reason: Reason | None) -> tuple[Step, ...]:
    """See `steps_of`. How a header is read depends on nothing else."""
    return steps_of(ladder, cast("Facts", None), reason)


def _failed(rungs: Sequence[Rung], facts: Facts, reason: Reason) -> int | None:
    for number, rung in enumerate(rungs):
        if reason in rung.reasons and rung.is_here(facts, reason):
            return number
    return None


def _step(rung: Rung, distance: int, facts: Facts, reason: Reason | None) -> Step:
    outcome: Outcome = "passed" if distance < 0 else "failed" if distance == 0 else "not_reached"
    return Step(rung.rule, outcome, reason if outcome == "failed" else None, rung.wants(facts))


def ladder_of(validator: Any) -> Sequence[Rung]:
    """The ladder of a validator; one whose class finds or judges tokens in its own way decides in one rung."""
    if not is_own_kind(validator):
        return (*OWN, *REQUIREMENTS)
    return next(ladder for kind, ladder in _LADDERS if isinstance(validator, kind))


def is_own_kind(validator: Any) -> bool:
    """Whether it is a validator of ours that finds and judges tokens by our rules."""
    is_of_ours = isinstance(validator, tuple(kind for kind, _ in _LADDERS))
    return is_of_ours and not any(hook(validator, name) for name in ("authenticate_token", "validate_token"))


# --- What rungs look at ---


def _audiences(facts: Facts) -> Collection[str] | None:
    audiences: Collection[str] | None = facts.validator._audiences(facts.inquiry)
    return audiences


def _is_in_form(facts: Facts, reason: Reason) -> bool:
    return facts.jwt is reason


def _is_in_required(facts: Facts, reason: Reason) -> bool:
    return check_required(facts.validator._profile, facts.claims) is reason


def _is_in_issuer(facts: Facts, reason: Reason) -> bool:
    return check_issuer(facts.claims, facts.validator.issuer) is reason


def _is_in_times(facts: Facts, reason: Reason) -> bool:
    return facts.validator._check_times(facts.claims) is reason


def _judges_issuer_itself(facts: Facts) -> bool:
    return hook(facts.validator, "validate_iss") is not None


def _issuer(facts: Facts) -> str:
    return f"iss is {facts.validator.issuer}"


def _audience(facts: Facts) -> str:
    is_profiled = isinstance(facts.validator, JWTBearerTokenValidator)
    claim = facts.validator._profile.audience if is_profiled else "aud"
    return f"{claim} has {_or(_audiences(facts) or ())}"


def _now(facts: Facts) -> str:
    return f"it is {datetime.fromtimestamp(facts.validator._server.clock.wall(), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _is_in_no_column(facts: Facts, reason: Reason) -> bool:
    # The database is not asked then.
    return lookup_key(facts.token, facts.validator.column) is None


def _form_of_column(facts: Facts) -> str:
    column = facts.validator.column
    kind = type(column.field).__name__
    length = "" if column.digest else getattr(column.field, "max_length", None) or ""
    return f"{kind}({length})" if length else kind


def _column(facts: Facts) -> str:
    field = facts.validator.column.field
    return f"in {field.model._meta.label}.{field.name}"


def _scopes(facts: Facts) -> str:
    required = facts.inquiry.scopes
    return "" if required is None else _or(" ".join(alternative) for alternative in required.alternatives)


def _attribute(name: str) -> Rung:
    return Rung(
        name,
        {ATTRIBUTES[name]},
        applies=lambda facts: name in facts.inquiry.requirements.attributes,
        wants=lambda facts: _or(map(" ".join, facts.inquiry.requirements.attributes[name].alternatives)),
    )


def _or(parts: Any) -> str:
    return " or ".join(parts)


# --- The ladders ---

CREDENTIALS = (
    Rung("credentials are presented", {Reason.MISSING_CREDENTIALS}),
    Rung("presented once", {Reason.REPEATED_CREDENTIALS}),
    Rung("scheme is served", {Reason.UNSUPPORTED_SCHEME}),
    Rung("length of the token", {Reason.TOKEN_TOO_LONG}),
    Rung("form of the credentials", {Reason.MALFORMED_CREDENTIALS}),
)
"""How the header is read."""

AUTHLIB_CREDENTIALS = (CREDENTIALS[0], CREDENTIALS[2], CREDENTIALS[3])
"""With ``compat="authlib"``."""

OWN = (Rung("its own decision", {Reason.REFUSED_BY_HOOK}),)
"""Where code of the site's decides."""

REQUIREMENTS = (
    Rung("method is granted", {Reason.METHOD_NOT_NAMED}, wants=lambda facts: _method(facts)),
    Rung("scopes", {Reason.MALFORMED_SCOPE, Reason.INSUFFICIENT_SCOPE}, wants=_scopes),
    *map(_attribute, ATTRIBUTES),
    Rung("speaks for a user", {Reason.NO_USER}, applies=lambda facts: facts.inquiry.requirements.require_user),
    Rung("check", {Reason.CHECK_FAILED}, applies=lambda facts: bool(facts.inquiry.requirements.checks)),
)
"""What a view asks of a token that is good."""


def _method(facts: Facts) -> str:
    request = facts.inquiry.request
    return "" if request is None else str(request.method)


_SERVER = {
    Reason.SERVER_UNREACHABLE,
    Reason.SERVER_TOO_SLOW,
    Reason.SERVER_ANSWER_UNUSABLE,
    Reason.METADATA_UNUSABLE,
    Reason.KEYS_UNAVAILABLE,
    Reason.BACKING_OFF,
    Reason.TOO_MANY_CALLS,
}
_RECOGNISED = Rung("form that this validator takes", {Reason.UNRECOGNISED_TOKEN})
_AUDIENCE = Rung("audience", {Reason.WRONG_AUDIENCE}, lambda facts: _audiences(facts) is not None, wants=_audience)
_BEARER = Rung("needs no proof of possession", {Reason.SENDER_CONSTRAINED})
_DETAILS = Rung("authorization_details", {Reason.MALFORMED_CLAIM})
_USER = Rung(
    "user",
    {Reason.UNKNOWN_USER, Reason.INACTIVE_USER, Reason.DATABASE_UNAVAILABLE},
    applies=lambda facts: facts.validator.user_lookup is not None,
)
_TIMES = Rung(
    "times",
    {
        Reason.EXPIRED,
        Reason.NOT_YET_VALID,
        Reason.ISSUED_IN_FUTURE,
        Reason.MISSING_CLAIM,
        Reason.MALFORMED_CLAIM,
    },
    is_here=lambda facts, reason: reason not in _DETAILS.reasons or _is_in_times(facts, reason),
    wants=_now,
)

DATABASE = (
    _RECOGNISED,
    Rung("the column can hold it", {Reason.UNKNOWN_TOKEN}, is_here=_is_in_no_column, wants=_form_of_column),
    Rung("database answers", {Reason.DATABASE_UNAVAILABLE}),
    Rung("one row has it, not two", {Reason.AMBIGUOUS_TOKEN}),
    Rung("a row has it", {Reason.UNKNOWN_TOKEN}, wants=_column),
    Rung("not expired", {Reason.EXPIRED}),
    Rung("not revoked", {Reason.REVOKED}),
    Rung(
        "resource",
        {Reason.WRONG_AUDIENCE},
        applies=lambda facts: isinstance(facts.validator, ToolkitTokenValidator),
        wants=lambda facts: facts.inquiry.uri() or "",
    ),
    Rung(
        "client is usable",
        {Reason.UNUSABLE_CLIENT},
        applies=lambda facts: isinstance(facts.validator, ToolkitTokenValidator),
    ),
    Rung("user is active", {Reason.INACTIVE_USER}),
    *REQUIREMENTS,
)
"""Tokens in a model."""

JWT = (
    _RECOGNISED,
    Rung(
        "a signed JWT that can be read in one way",
        {Reason.MALFORMED_JWT, Reason.CRITICAL_HEADER, Reason.UNSUPPORTED_ALGORITHM, Reason.WRONG_TYPE},
        is_here=_is_in_form,
    ),
    Rung(
        "algorithm",
        {Reason.UNSUPPORTED_ALGORITHM},
        wants=lambda facts: f"alg is {_or(facts.validator.algorithms)}",
    ),
    Rung("type", {Reason.WRONG_TYPE}, wants=lambda facts: f"profile {facts.validator._profile.name}"),
    Rung(
        "claims that make an access token",
        {Reason.MISSING_CLAIM, Reason.WRONG_CLAIM, Reason.MALFORMED_CLAIM},
        is_here=_is_in_required,
        wants=lambda facts: " ".join(facts.validator._profile.required),
    ),
    Rung(
        "issuer",
        {Reason.MISSING_CLAIM, Reason.WRONG_ISSUER},
        applies=lambda facts: not _judges_issuer_itself(facts),
        is_here=_is_in_issuer,
        wants=_issuer,
    ),
    _AUDIENCE,
    _TIMES,
    _BEARER,
    _DETAILS,
    Rung("key of the issuer", {*_SERVER, Reason.UNKNOWN_KEY}),
    Rung("signature", {Reason.BAD_SIGNATURE}),
    Rung("issuer, by validate_iss()", {Reason.WRONG_ISSUER}, applies=_judges_issuer_itself),
    _USER,
    *REQUIREMENTS,
)
"""JWTs. All that costs no network comes first."""

INTROSPECTION = (
    _RECOGNISED,
    Rung("the server's word", {*_SERVER, Reason.SERVER_REFUSES_US, Reason.TOKEN_ANSWER_UNUSABLE}),
    Rung("active", {Reason.INACTIVE_TOKEN, Reason.UNKNOWN_TOKEN}),
    Rung(
        "issuer",
        {Reason.MISSING_CLAIM, Reason.WRONG_ISSUER},
        applies=lambda facts: facts.validator.issuer is not None,
        wants=_issuer,
    ),
    _AUDIENCE,
    _TIMES,
    _BEARER,
    _DETAILS,
    _USER,
    *REQUIREMENTS,
)
"""Tokens that a server is asked about."""

_LADDERS: tuple[tuple[type, Sequence[Rung]], ...] = (
    (BearerTokenValidator, DATABASE),
    (JWTBearerTokenValidator, JWT),
    (IntrospectTokenValidator, INTROSPECTION),
)
