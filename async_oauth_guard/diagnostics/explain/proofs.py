"""Why a DPoP proof is accepted or refused, step by step."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from ...conf import Options
from ...errors import GuardError, InvalidDPoPProofError, UseDPoPNonceError
from ...guard.context import target_uri
from ...protocol.credentials import Credentials
from ...protocol.dpop import PROOF
from ...protocol.jwt import Jwt, parse_jwt
from ...protocol.rules import rules_for
from ...protocol.secrets import Secret
from .notes import Trace, shown_claims
from .steps import Step, steps_of

__all__ = ["claims_of_proof", "is_refused_for_proof", "proof_steps"]


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
