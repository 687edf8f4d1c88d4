"""The command ``oauth_explain``: explains why a token is let in or refused."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.core.management.base import CommandParser

from ...diagnostics.explain import Explanation, Step, ValidatorExplanation, explain
from ...diagnostics.remedies import REMEDIES
from ...diagnostics.routes import route_of
from ...guard.mixins import require_oauth
from ...guard.protector import ResourceProtector
from ...guard.view_guard import ViewGuard
from ...protocol.credentials import TOKEN
from ...protocol.secrets import Secret
from ..presented import Presented, read_presented
from ..reporting import CANNOT_LOOK, Printer, Report, ReportCommand, Tone, cannot_look

__all__ = ["Command"]

_REFUSED, _UNAVAILABLE = 1, 3
_STATUSES = {"refused": _REFUSED, "unavailable": _UNAVAILABLE}

_PIPE_IT = (
    "The arguments are wrong; --help lists the options. Do not pass the token as an argument, because others can see"
    " arguments: pipe it in, as in `oauth_explain < token.txt`. Pass the path of a view with --url."
)

_OUTCOMES: Mapping[str, tuple[str, Tone]] = {
    "passed": ("passed", "good"),
    "failed": ("failed", "bad"),
    "not_reached": ("not reached", "plain"),
    "not_checked": ("not checked", "plain"),
}
_RESULTS: Mapping[str, tuple[str, Tone]] = {
    "accepted": ("accepts the token", "good"),
    "refused": ("refuses the token", "bad"),
    "unavailable": ("cannot validate the token", "warning"),
    "not_asked": ("was not tried", "plain"),
}


class Command(ReportCommand):
    help = (
        "Checks a token as the guards do, and shows rule by rule why it is let in or refused. Reads the token, or the"
        " whole header `Bearer <token>`, from standard input. Exit status: 0 let in, 1 refused, 2 used wrongly or"
        " nothing to check, 3 the result is unknown."
    )
    stealth_options = ("stdin",)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Create Django's parser, but do not repeat arguments in its errors: one may be a token."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def refuse(message: str) -> NoReturn:
            if parser.called_from_command_line:
                ArgumentParser.exit(parser, CANNOT_LOOK, f"{_PIPE_IT}\n")
            raise cannot_look(_PIPE_IT)

        parser.error = refuse  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--url", metavar="PATH", help="Also check what the view at this path requires.")
        parser.add_argument("--method", default="GET", help="The method of the request. Default: %(default)s")
        parser.add_argument(
            "--scheme", help="The scheme for a token without one. Default: Bearer, or DPoP if there is a proof"
        )
        parser.add_argument(
            "--dpop",
            type=Secret,
            metavar="PROOF",
            help="The DPoP proof of the request to --url. Standard input may have it too, in a line `DPoP: PROOF`.",
        )
        parser.add_argument(
            "--certificate",
            metavar="FILE",
            help="A file with the client's certificate, as PEM or DER, for a token that is bound to one.",
        )

    def examine(self, options: Mapping[str, Any]) -> Report:
        """Check the token on standard input."""
        if not TOKEN.fullmatch(options["method"]):
            raise cannot_look("--method must be the name of an HTTP method, such as POST.")
        guards = _guards(options["url"], options["method"])
        stdin = options.get("stdin") or sys.stdin
        presented = read_presented(stdin, options["scheme"], options["dpop"], options["certificate"])
        if presented.proof is not None and options["url"] is None:
            raise cannot_look(
                "--url must name the address of the request, because a DPoP proof is valid for one address."
            )
        explanations = [
            _explain_any(protector, presented, guard, options["method"], options["url"]) for protector, guard in guards
        ]
        decisive = next((each for each in explanations if each.outcome != "accepted"), explanations[0])
        return Report(
            {"outcome": decisive.outcome, "guards": [each.as_json() for each in explanations]},
            lambda printer: _show(printer, explanations),
            _error(decisive),
            _STATUSES.get(decisive.outcome, _REFUSED),
        )


def _guards(url: str | None, method: str) -> Sequence[tuple[Any, ViewGuard | None]]:
    """The protectors that check the token, each with its guard of a view; the outermost guard first."""
    if url is None:
        _check(require_oauth)
        return [(require_oauth, None)]
    try:
        route = route_of(url)
    except LookupError:
        raise cannot_look(
            "The site has no view at this --url. `oauth_routes` lists the paths. Check the slashes at both ends."
        ) from None
    guards = route.guards_for(method)
    if not guards:
        # Other methods of the class may have a guard.
        which = f"{method.upper()} of " if route.all_guards else ""
        raise cannot_look(f"There is no guard for {which}{route.view} at {route.path}.")
    for guard in guards:
        _check(guard.protector)
        _check_keywords(guard)
    return [(guard.protector, guard) for guard in guards]


def _check(protector: Any) -> None:
    if not protector.validators:
        raise ImproperlyConfigured(
            "There is no token validator, so no token is accepted: add one to OAUTH_GUARD['VALIDATORS']."
        )


def _check_keywords(guard: ViewGuard) -> None:
    try:
        guard.protector.check_keywords(guard.requirements)
    except TypeError as error:
        raise cannot_look(
            f"Each request to this view gets status 500: {error}. Correct the keyword at the view."
        ) from None


def _explain_any(protector: Any, presented: Presented, guard: ViewGuard | None, *where: Any) -> Explanation:
    """What the guard decides; if it refuses the token, the first of its alternatives that accepts it, or the last."""
    explanation = _explain(protector, presented, guard, *where)
    for other in () if guard is None else guard.alternatives:
        if explanation.outcome != "accepted":
            explanation = _explain_any(other.protector, presented, other, *where)
    return explanation


def _explain(
    protector: ResourceProtector, presented: Presented, guard: ViewGuard | None, method: str, url: str | None
) -> Explanation:
    try:
        return explain(
            protector,
            presented.authorization,
            guard=guard,
            method=method,
            uri=url,
            proof=presented.proof,
            certificate=presented.certificate,
        )
    except ImproperlyConfigured:
        raise
    except DisallowedHost:
        raise cannot_look("--url must be a path, or have a host that ALLOWED_HOSTS allows.") from None
    except Exception as error:
        # Report only the class: the message may contain the token that the site's code received.
        failure = type(error).__name__
    raise cannot_look(f"Your own code raised {failure} while the token was checked: a request would get status 500.")


def _error(explanation: Explanation) -> str | None:
    if explanation.outcome == "accepted":
        return None
    outcome = "is refused" if explanation.outcome == "refused" else "cannot be validated"
    return f"The token {outcome}: {explanation.reason}."


def _show(printer: Printer, explanations: Sequence[Explanation]) -> None:
    for number, explanation in enumerate(explanations, 1):
        if explanation.requirement is not None:
            who = f"Guard {number} of {len(explanations)}" if len(explanations) > 1 else "The guard"
            printer.line(f"{who} requires: {explanation.requirement}")
        _show_one(printer, explanation)


def _show_one(printer: Printer, explanation: Explanation) -> None:
    if not explanation.validators:
        printer.line("Reading the header")
        _table(printer, explanation.credentials)
    if explanation.proof:
        _show_proof(printer, explanation)
    for validator in explanation.validators:
        _show_validator(printer, validator)
    if explanation.outcome == "accepted":
        condition = ", if its proof was not used before" if explanation.proof else ""
        printer.line(f"Status 200: the request is let in{condition}.", "good")
        return
    tone: Tone = "bad" if explanation.outcome == "refused" else "warning"
    printer.line(f"Status {explanation.status}: {explanation.error}, for {explanation.reason}", tone)
    if explanation.challenge is not None:
        printer.line(f"WWW-Authenticate: {explanation.challenge}")
    printer.line(f"What to do: {explanation.remedy}")
    if explanation.error == "invalid_token":
        _show_other_reasons(printer, explanation)


def _show_other_reasons(printer: Printer, explanation: Explanation) -> None:
    """The response says why the first validator refuses the token. The token may be meant for another."""
    for validator in explanation.validators:
        if validator.asked and validator.reason is not None and validator.reason != explanation.reason:
            printer.line(f"What to do for {validator.validator}: {REMEDIES[validator.reason]}")


def _show_proof(printer: Printer, explanation: Explanation) -> None:
    is_refused = any(step.outcome == "failed" for step in explanation.proof)
    printer.line(f"The DPoP proof is {'refused' if is_refused else 'valid'}", "bad" if is_refused else "good")
    _table(printer, explanation.proof)
    if explanation.proof_claims:
        printer.line(f"  {'claims, unverified' if is_refused else 'claims'}: {_listed(explanation.proof_claims)}")
    printer.line()


def _show_validator(printer: Printer, validator: ValidatorExplanation) -> None:
    words, tone = _RESULTS[validator.outcome]
    aside = "" if validator.asked or validator.outcome == "not_asked" else " (the guard does not try it for this token)"
    printer.line(f"{validator.validator} {words}{aside}", tone)
    if validator.steps:
        _table(printer, validator.steps)
    for line in _lines_about(validator):
        printer.line(f"  {line}")
    printer.line()


def _lines_about(validator: ValidatorExplanation) -> Iterator[str]:
    if validator.claims:
        is_verified = validator.outcome == "accepted"
        yield f"{'claims' if is_verified else 'claims, unverified'}: {_listed(validator.claims)}"
    yield from validator.calls


def _listed(claims: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_as_text(value)}" for name, value in claims.items())


def _as_text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(printer: Printer, steps: Sequence[Step]) -> None:
    rows: list[tuple[Tone, Sequence[str]]] = []
    for step in steps:
        outcome, tone = _OUTCOMES[step.outcome]
        rows.append((tone, [step.rule, outcome, step.reason or "", step.detail]))
    printer.table(["rule", "outcome", "reason", "required"], rows)
