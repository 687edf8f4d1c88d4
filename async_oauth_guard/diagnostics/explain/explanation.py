"""Why a token is let in or refused, step by step.

The outcome is that of the flows that guard views: this module runs them and records each rule. It sends no signal, logs
no refusal and counts no validation. Validation itself happens as usual: it queries the database, sends requests to the
authorization servers, and caches their responses.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from urllib.parse import unquote_to_bytes, urlsplit

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.urls import Resolver404, resolve

from ...errors import GuardError, MissingAuthorizationError, OAuth2Error, Reason, TemporarilyUnavailableError, reason_of
from ...guard.context import make_context
from ...guard.protector import ResourceProtector
from ...guard.view_guard import ViewGuard
from ...protocol.credentials import (
    AUTHLIB_CREDENTIALS,
    CREDENTIALS,
    Credentials,
    read_authlib_credentials,
    read_credentials,
)
from ...protocol.jwt import Jwt, parse_jwt
from ...protocol.requirements import NOTHING
from ...protocol.rules import Rule, rules_for
from ...protocol.secrets import Secret
from ...runtime.effects import Flow
from ...runtime.run import arun, run_outside_loop
from ...validators.authorization import OWN, REQUIREMENTS, authorize_flow
from ...validators.authorization_context import TRACE, Authorization, AuthorizationContext
from ...validators.binding import POSSESSION
from ...validators.client_certificates import certified_possession
from ...validators.database import BearerTokenValidator
from ...validators.hooks import overridden
from ...validators.jwt import JWTBearerTokenValidator
from ...validators.routing import RECOGNISED
from ..remedies import REMEDIES
from .notes import Notes, Trace, row_claims_flow, shown_claims
from .steps import RuleDetail, Step, claims_of_proof, is_refused_for_proof, proof_steps, steps_of

__all__ = ["Explanation", "Outcome", "ValidatorExplanation", "aexplain", "explain"]

Outcome = Literal["accepted", "refused", "unavailable"]


@dataclass(frozen=True, slots=True)
class ValidatorExplanation:
    """The outcome of one validator, and the rules that led to it.

    Attributes:
        validator: its class, with a number if there are several of that class.
        outcome: the outcome. ``"not_asked"``: the guard would not try this validator, and trying it would send the
            token to a server or to the site's own code; or the proof of the request is refused.
        asked: whether the guard tries it for this token. Otherwise its outcome decides nothing.
        reason: why the token is refused, or could not be validated.
        steps: its rules, in order.
        claims: a few of the token's claims and header parameters. They are unverified unless the token is accepted.
        calls: requests to servers, lookups, and calls of the site's own code.
    """

    validator: str
    outcome: Literal["accepted", "refused", "unavailable", "not_asked"]
    asked: bool = False
    reason: Reason | None = None
    steps: tuple[Step, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """The outcome of one guard, and the rules that led to it.

    Attributes:
        outcome: the outcome. ``"unavailable"``: the token could not be validated.
        status: of the response; 200 if the view would run.
        error: the code in the response's body; ``None`` if the view would run.
        challenge: the response's ``WWW-Authenticate``, if it has one.
        reason: why the request is not let in.
        remedy: what to do about that.
        requirement: what the view requires, as text; ``None`` without a guard.
        credentials: the rules for the header.
        proof: the rules for the DPoP proof; empty if the guard checks none. That the proof was not used before is a
            rule of validators.
        proof_claims: a few of the proof's claims and header parameters, unverified.
        validators: the validators for the scheme, in order.
        asked: the names of the validators that the guard tries for this token.
    """

    outcome: Outcome
    status: int
    error: str | None
    challenge: str | None
    reason: Reason | None
    remedy: str | None
    requirement: str | None
    credentials: tuple[Step, ...]
    proof: tuple[Step, ...]
    proof_claims: Mapping[str, Any]
    validators: tuple[ValidatorExplanation, ...]
    asked: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as values that JSON can hold."""
        return asdict(self)


def explain(
    protector: ResourceProtector,
    authorization: str | Secret[str] | None,
    *,
    guard: ViewGuard | None = None,
    method: str = "GET",
    uri: str | None = None,
    proof: str | Secret[str] | None = None,
    certificate: bytes | None = None,
) -> Explanation:
    """Check what a request presents as a guard does, and explain the outcome. Sends no signal.

    Args:
        protector: whose validators check the token.
        authorization: the whole value of the header, scheme and token; ``None`` for a request without it.
        guard: the guard of a view, to check its requirements too.
        method: the method of the request.
        uri: the path or the whole URL of the request.
        proof: the value of the header ``DPoP``. It is not used up.
        certificate: the client's certificate, as DER. It counts as if the source of the protector's ``mtls`` had it.

    Raises:
        TypeError, ValueError: ``certificate`` is not the DER of one certificate.
        ImproperlyConfigured: the protector cannot check tokens.
        SynchronousOnlyOperation: an event loop runs in this thread.
        Exception: the site's own code raised it. A request would get status 500.
    """
    # From here on, no stack frame of this package shows the token or the proof.
    authorization, proof = _as_secret(authorization), _as_secret(proof)
    flow = _explain_flow(protector, _Presented(authorization, proof, certificate), guard, method, uri)
    return run_outside_loop(flow, "await aexplain()")


async def aexplain(
    protector: ResourceProtector,
    authorization: str | Secret[str] | None,
    *,
    guard: ViewGuard | None = None,
    method: str = "GET",
    uri: str | None = None,
    proof: str | Secret[str] | None = None,
    certificate: bytes | None = None,
) -> Explanation:
    """See `explain`."""
    authorization, proof = _as_secret(authorization), _as_secret(proof)
    presented = _Presented(authorization, proof, certificate)
    return await arun(_explain_flow(protector, presented, guard, method, uri))


def _as_secret(presented: str | Secret[str] | None) -> Secret[str] | None:
    return Secret(presented) if isinstance(presented, str) else presented


@dataclass(frozen=True, slots=True)
class _Presented:
    """What the client of the request presents. See `explain`."""

    authorization: Secret[str] | None
    proof: Secret[str] | None
    certificate: bytes | None

    def __post_init__(self) -> None:
        # This raises if it is not a certificate.
        certified_possession(self.certificate)


def _explain_flow(
    protector: ResourceProtector,
    presented: _Presented,
    guard: ViewGuard | None,
    method: str,
    uri: str | None,
) -> Flow[Explanation]:
    without_requirements = ViewGuard(protector, {}, NOTHING, optional=False)
    view_guard = without_requirements if guard is None else replace(guard, protector=protector)
    trace, authorization = Trace(presented.certificate), presented.authorization
    request = _request(presented, method, uri)
    setattr(request, TRACE, trace)
    as_authlib, serving = protector.options.as_authlib, protector.by_scheme()
    read = read_authlib_credentials if as_authlib else read_credentials
    credentials = read(None if authorization is None else authorization.reveal(), serving, trace)
    table = AUTHLIB_CREDENTIALS if as_authlib else CREDENTIALS
    refusal = credentials if isinstance(credentials, GuardError) else None
    header_steps = steps_of([(rule, "") for rule in table], trace.rule, refusal)
    error = yield from _error_flow(view_guard, request, credentials)
    of_proof: tuple[Step, ...] = ()
    validators: Sequence[ValidatorExplanation] = ()
    if isinstance(credentials, Credentials):
        of_proof = proof_steps(protector.options, request, credentials, trace, error)
        context = make_context(protector.options, view_guard.requirements, request)
        context.possession = getattr(request, POSSESSION, context.possession)
        trace.is_guard, trace.is_over = False, is_refused_for_proof(error)
        validators = yield from _validators_flow(serving[credentials.scheme], credentials, context, trace)
    reason = None if error is None else reason_of(error)
    return Explanation(
        outcome=_outcome_of(error),
        status=200 if error is None else int(error.status_code),
        error=None if error is None else str(error.error),
        challenge=None if error is None else dict(error.get_headers()).get("WWW-Authenticate"),
        reason=reason,
        remedy=None if reason is None else REMEDIES[reason],
        requirement=None if guard is None else guard.describe(),
        credentials=header_steps,
        proof=of_proof,
        proof_claims=claims_of_proof(presented.proof) if of_proof else {},
        validators=tuple(validators),
        asked=tuple(validator.validator for validator in validators if validator.asked),
    )


def _error_flow(
    guard: ViewGuard, request: HttpRequest, credentials: Credentials | GuardError
) -> Flow[GuardError | None]:
    """Why the request is refused; ``None`` if it is let in."""
    if guard.optional and isinstance(credentials, MissingAuthorizationError):
        return None
    try:
        yield from guard.authorize_flow(request, credentials)
    except GuardError as error:
        return error
    return None


def _validators_flow(
    serving: Sequence[Any], credentials: Credentials, context: AuthorizationContext, trace: Trace
) -> Flow[Sequence[ValidatorExplanation]]:
    """The outcome of each validator, in order."""
    names = [type(validator).__name__ for validator in serving]
    explanations: list[ValidatorExplanation] = []
    for number, (validator, name) in enumerate(zip(serving, names, strict=True)):
        notes = trace.of(validator)
        if notes is None and not trace.is_over and _keeps_tokens(validator):
            notes = yield from _try_other_flow(validator, credentials.token, context, trace)
        unique = name if names.count(name) == 1 else f"{name} {names[: number + 1].count(name)}"
        if notes is None:
            explanations.append(ValidatorExplanation(unique, "not_asked"))
        else:
            explanations.append((yield from _validator_flow(unique, notes, credentials.token, context)))
    return explanations


def _keeps_tokens(validator: Any) -> bool:
    """Whether trying the validator sends the token neither to a server nor to the site's own code."""
    hooks = ("authenticate_token", "validate_token", "validate_request")
    keeps = isinstance(validator, BearerTokenValidator | JWTBearerTokenValidator)
    return keeps and not any(overridden(validator, name) for name in hooks)


def _try_other_flow(
    validator: Any, token: Secret[Any], context: AuthorizationContext, trace: Trace
) -> Flow[Notes | None]:
    """Try a validator that the guard skips. This does not call the view's checks, which run only for the guard."""
    context = replace(context, requirements=replace(context.requirements, checks=()))
    unrecognised = Notes(validator, is_asked=False)
    unrecognised.rule = RECOGNISED
    try:
        yield from authorize_flow([validator], token, context)
    except GuardError as error:
        unrecognised.outcome = error
    return trace.of(validator) or unrecognised


def _validator_flow(
    name: str, notes: Notes, token: Secret[Any], context: AuthorizationContext
) -> Flow[ValidatorExplanation]:
    error = notes.outcome if isinstance(notes.outcome, GuardError) else None
    jwt = parse_jwt(token)
    claims: Mapping[str, Any] = jwt.claims if isinstance(jwt, Jwt) else {}
    header: Mapping[str, Any] = jwt.header if isinstance(jwt, Jwt) else {}
    if isinstance(notes.outcome, Authorization) and isinstance(notes.outcome.token, Mapping):
        claims = notes.outcome.token
    elif notes.claims is not None:
        claims = notes.claims
    elif notes.row is not None and isinstance(notes.validator, BearerTokenValidator):
        claims = yield from row_claims_flow(notes.row)
    if not notes.is_asked:
        context = replace(context, requirements=replace(context.requirements, checks=()))
    return ValidatorExplanation(
        validator=name,
        outcome=_outcome_of(error),
        asked=notes.is_asked,
        reason=None if error is None else reason_of(error),
        steps=steps_of(_rules_of(notes.validator, context), notes.rule, error),
        claims=shown_claims(claims, header),
        calls=tuple(notes.calls),
    )


def _rules_of(validator: Any, context: AuthorizationContext) -> Sequence[RuleDetail]:
    """The rules of a validator, each with what it requires, as text."""
    # Validators of classes from Authlib have no tables.
    tables: Iterable[tuple[Sequence[Rule[Any, Any]], Any]] = [((OWN,), None), (REQUIREMENTS, context)]
    if hasattr(validator, "_rule_tables"):
        tables = validator._rule_tables(context)
    return [(rule, rule.asks_for(policy)) for table, policy in tables for rule in rules_for(policy, table)]


def _outcome_of(error: OAuth2Error | None) -> Outcome:
    """Whether the token is accepted (no error), refused, or could not be validated."""
    if error is None:
        return "accepted"
    return "unavailable" if isinstance(error, TemporarilyUnavailableError) else "refused"


def _request(presented: _Presented, method: str, uri: str | None) -> HttpRequest:
    """A request as Django builds it, because hooks and checks may read it."""
    parts = urlsplit(uri or "/")
    secure = parts.scheme == "https"
    environ: dict[str, Any] = {
        # Django turns any method into upper case.
        "REQUEST_METHOD": method.upper(),
        # PEP 3333: the bytes of the path, each decoded as one character.
        "PATH_INFO": unquote_to_bytes((parts.path or "/").encode(errors="surrogateescape")).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname or _own_host(),
        "SERVER_PORT": str(parts.port or (443 if secure else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": io.BytesIO(),
    }
    request = WSGIRequest(environ)
    if uri is not None:
        with suppress(Resolver404):
            # Checks may read the arguments that Django takes from the path.
            request.resolver_match = resolve(request.path_info)
    # Last, because an exception above, such as from the site's own converter, is reported with local variables.
    for name, value in {"HTTP_AUTHORIZATION": presented.authorization, "HTTP_DPOP": presented.proof}.items():
        if value is not None:
            request.META[name] = value.reveal()
    return request


def _own_host() -> str:
    """A host that ALLOWED_HOSTS allows."""
    for host in settings.ALLOWED_HOSTS:
        if "*" not in host:
            return str(host).removeprefix(".")
    return "localhost"
