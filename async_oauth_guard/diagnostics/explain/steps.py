"""The steps to an outcome, of a token or of a DPoP proof: each rule, and whether it passed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.http import HttpRequest

from ...conf import Options
from ...errors import GuardError, InvalidDPoPProofError, Reason, UseDPoPNonceError, reason_of
from ...guard.context import target_uri
from ...protocol.credentials import Credentials
from ...protocol.dpop import PROOF
from ...protocol.jwt import Jwt, parse_jwt
from ...protocol.rules import Rule, rules_for
from ...protocol.secrets import Secret
from ...validators.authorization import OWN
from ...validators.dpop_replay import REPLAY
from .notes import Trace, shown_claims

__all__ = ["RuleDetail", "Step", "claims_of_proof", "is_refused_for_proof", "proof_steps", "steps_of"]

RuleDetail = tuple[Rule[Any, Any], str]
"""A rule, and what it requires, as text."""

_USES_UP_NOTHING = "not checked here, so that the proof can still be used"


@dataclass(frozen=True, slots=True)
class Step:
    """A rule and its outcome. ``detail`` says what the rule requires, if it requires something specific.

    The outcome ``"not_checked"`` is that of the rule that a proof was not used before: checking it would use the proof.
    """

    rule: str
    outcome: Literal["passed", "failed", "not_reached", "not_checked"]
    reason: Reason | None = None
    detail: str = ""


def steps_of(rules: Sequence[RuleDetail], reached: Rule[Any, Any] | None, error: GuardError | None) -> tuple[Step, ...]:
    """The steps to an outcome. Without an error, all rules passed; otherwise ``reached`` is the one that failed."""
    if error is None:
        return tuple(_passed(rule, detail) for rule, detail in rules)
    failed = next((number for number, (rule, _) in enumerate(rules) if rule is reached), None)
    if failed is None:
        # The site's own code refused the token. Which of the package's rules it applied is unknown.
        return (Step(OWN.name, "failed", reason_of(error)),)
    return (
        *(_passed(rule, detail) for rule, detail in rules[:failed]),
        Step(rules[failed][0].name, "failed", reason_of(error), rules[failed][1]),
        *(Step(rule.name, "not_reached", None, detail) for rule, detail in rules[failed + 1 :]),
    )


def _passed(rule: Rule[Any, Any], detail: str) -> Step:
    if rule is REPLAY:
        return Step(rule.name, "not_checked", None, _USES_UP_NOTHING)
    return Step(rule.name, "passed", None, detail)


# --- DPoP proofs ---


def is_refused_for_proof(error: GuardError | None) -> bool:
    """Whether a request is refused before its token is looked at, because of its proof."""
    return isinstance(error, InvalidDPoPProofError | UseDPoPNonceError)


def proof_steps(
    options: Options, request: HttpRequest, credentials: Credentials, trace: Trace, error: GuardError | None
) -> tuple[Step, ...]:
    """The rules for the proof of an explained request; empty if the guard checks no proof."""
    dpop = options.dpop
    if dpop is None or credentials.scheme != "dpop":
        return ()
    details = {"htm": str(request.method), "htu": target_uri(options, request)}
    rules = [(rule, rule.asks_for(dpop) or details.get(rule.name, "")) for rule in rules_for(dpop, PROOF)]
    if not trace.notes and all(rule is not trace.rule for rule, _ in rules):
        # The site's own code refused the request before.
        return ()
    return steps_of(rules, trace.rule, error if is_refused_for_proof(error) else None)


def claims_of_proof(proof: Secret[str] | None) -> Mapping[str, Any]:
    """The claims and header parameters of a proof that may be shown, unverified."""
    jwt = None if proof is None else parse_jwt(proof)
    return shown_claims(jwt.claims, jwt.header, ("htm", "htu", "iat")) if isinstance(jwt, Jwt) else {}
