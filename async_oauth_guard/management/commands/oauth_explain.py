"""The command ``oauth_explain``: why a token is let in or refused."""

import getpass
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandParser

from ...console import Cell, Console, Tone
from ...credentials import TOKEN, Secret
from ...explanation import Explanation, Step, ValidatorExplanation, explain
from ...protector import ResourceProtector
from ...routes import route_of
from ...view_guard import ViewGuard
from ...views import require_oauth
from ..reporting import CANNOT_LOOK, Report, ReportCommand, cannot_look

__all__ = ["Command"]

_REFUSED, _UNAVAILABLE = 1, 3
_STATUSES = {"refused": _REFUSED, "unavailable": _UNAVAILABLE}

# Bytes: room for what is too long for a guard, and for no more.
_MAX_INPUT = 65_536
_PIPE_IT = (
    "These arguments are not understood; --help tells which there are. The token is no argument, since others can see"
    " those: pipe it in, as in `oauth_explain < token.txt`."
)
_WHOLE_HEADER = re.compile(r"authorization:", re.IGNORECASE)
# RFC 9110 §5.6.2, §9.1: of a scheme and of a method.
_NAME = re.compile(TOKEN.pattern)

_OUTCOMES: Mapping[str, tuple[str, Tone]] = {
    "passed": ("passed", "good"),
    "failed": ("failed", "bad"),
    "not_reached": ("not reached", "quiet"),
}
_VERDICTS: Mapping[str, tuple[str, Tone]] = {
    "accepted": ("accepts it", "good"),
    "refused": ("refuses it", "bad"),
    "unavailable": ("cannot tell", "warning"),
    "not_asked": ("is not asked", "quiet"),
}


class Command(ReportCommand):
    """See ``help``."""

    help = (
        "Judge a token as the guards do, and tell rule by rule why it is let in or refused. The token, or a whole"
        " header `Bearer <token>`, is read from standard input. Exit status: 0 let in, 1 refused, 2 used wrongly,"
        " 3 nobody could tell."
    )
    stealth_options = ("stdin",)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """As Django's, but its errors do not repeat what was given: it may be a token."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def refuse(message: str) -> NoReturn:
            if parser.called_from_command_line:
                ArgumentParser.exit(parser, CANNOT_LOOK, f"{_PIPE_IT}\n")
            raise cannot_look(_PIPE_IT)

        parser.error = refuse  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments."""
        super().add_arguments(parser)
        parser.add_argument("--url", metavar="PATH", help="Judge what the view at this path asks for, too.")
        parser.add_argument("--method", default="GET", help="The request's method. Default: %(default)s")
        parser.add_argument("--scheme", default="Bearer", help="The token's scheme. Default: %(default)s")

    def examine(self, options: Mapping[str, Any]) -> Report:
        """Judge the token on standard input.

        Raises:
            ImproperlyConfigured, CommandError: it cannot be judged at all.
        """
        if not _NAME.fullmatch(options["method"]):
            raise cannot_look("--method: this cannot be the name of a method.")
        guards = _guards(options["url"], options["method"])
        authorization = _read(options.get("stdin") or sys.stdin, options["scheme"])
        explanations = [
            _explain(protector, authorization, guard, options["method"], options["url"]) for protector, guard in guards
        ]
        decisive = next((each for each in explanations if each.verdict != "accepted"), explanations[0])
        return Report(
            {"verdict": decisive.verdict, "guards": [each.as_json() for each in explanations]},
            lambda console: _show(console, explanations),
            _trouble(decisive),
            _STATUSES.get(decisive.verdict, _REFUSED),
        )


def _guards(url: str | None, method: str) -> Sequence[tuple[Any, ViewGuard | None]]:
    """Who judges, and for what view; the outermost guard first."""
    if url is None:
        _check(require_oauth)
        return [(require_oauth, None)]
    try:
        route = route_of(url)
    except LookupError:
        raise cannot_look(
            "No view of the site is at this --url: `oauth_routes` lists their paths. Mind the slashes at both ends."
        ) from None
    guards = route.guards_for(method)
    if not guards:
        # Of a class whose other methods have one.
        which = f"{method.upper()} of " if route.all_guards else ""
        raise cannot_look(f"No guard stands before {which}{route.view} at {route.path}.")
    for guard in guards:
        _check(guard.protector)
        _check_keywords(guard)
    return [(guard.protector, guard) for guard in guards]


def _check(protector: Any) -> None:
    if not protector.validators:
        raise ImproperlyConfigured("There is no token validator, so no token can be valid: add one to OAUTH_GUARD.")


def _check_keywords(guard: ViewGuard) -> None:
    try:
        guard.protector.check_keywords(guard.requirements)
    except TypeError as error:
        raise cannot_look(
            f"Each request for this view is answered with 500: {error}. Correct the keyword at the view."
        ) from None


def _read(stdin: Any, scheme: str) -> Secret[str]:
    """The value of the header, from standard input."""
    if not _NAME.fullmatch(scheme):
        raise cannot_look("--scheme: this cannot be the name of a scheme.")
    if stdin is None:
        # It was closed.
        given: Any = b""
    elif stdin.isatty():
        given = _prompt()
    else:
        given = getattr(stdin, "buffer", stdin).read(_MAX_INPUT + 1)
    data = given.encode(errors="replace") if isinstance(given, str) else given
    return Secret(_header(_line(data), scheme))


def _prompt() -> str:
    try:
        return getpass.getpass("Token (not shown): ")
    except (EOFError, KeyboardInterrupt):
        # The terminal's cursor is still in the line of the prompt.
        raise cannot_look("\nNo token was given.") from None


def _line(data: bytes) -> str:
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > _MAX_INPUT:
        raise cannot_look(f"Standard input has more than {_MAX_INPUT} bytes, so it is no token.")
    if not data.strip():
        raise cannot_look("Standard input is empty: pipe the token in.")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\n" in text or "\r" in text:
        raise cannot_look("Standard input has several lines: one token is wanted, in one line.")
    if not text.replace("\t", " ").isprintable():
        raise cannot_look("Standard input is binary: one token is wanted, as text.")
    return text


def _header(line: str, scheme: str) -> str:
    if field := _WHOLE_HEADER.match(line):
        return line[field.end() :].strip(" \t")
    # A token has no space within, so what has one is a scheme and a token.
    line = line.strip(" \t")
    return line if " " in line or "\t" in line else f"{scheme} {line}"


def _explain(
    protector: ResourceProtector, authorization: Secret[str], guard: ViewGuard | None, method: str, url: str | None
) -> Explanation:
    try:
        return explain(protector, authorization, guard=guard, method=method, uri=url)
    except ImproperlyConfigured:
        raise
    except Exception as error:
        # By its class alone: a message of the site's code may hold what it was handed.
        failure = type(error).__name__
    raise cannot_look(
        f"Code of the site's own raised {failure} while the token was judged: a request would be answered with 500."
    )


def _trouble(explanation: Explanation) -> str | None:
    if explanation.verdict == "accepted":
        return None
    word = "refused" if explanation.verdict == "refused" else "not judged"
    return f"The token is {word}: {explanation.reason}."


def _show(console: Console, explanations: Sequence[Explanation]) -> None:
    for number, explanation in enumerate(explanations, 1):
        if explanation.requirement is not None:
            who = f"Guard {number} of {len(explanations)}" if len(explanations) > 1 else "The guard"
            console.line(f"{who} asks for: {explanation.requirement}")
        _show_one(console, explanation)


def _show_one(console: Console, explanation: Explanation) -> None:
    if not explanation.validators:
        console.line("How the header is read")
        _table(console, explanation.credentials)
    for validator in explanation.validators:
        _show_validator(console, validator)
    if explanation.verdict == "accepted":
        console.line("Status 200: it is let in.", "good")
        return
    tone: Tone = "bad" if explanation.verdict == "refused" else "warning"
    console.line(f"Status {explanation.status}: {explanation.error}, for {explanation.reason}", tone)
    if explanation.challenge is not None:
        console.line(f"WWW-Authenticate: {explanation.challenge}")
    console.line(f"What to do: {explanation.remedy}")


def _show_validator(console: Console, validator: ValidatorExplanation) -> None:
    words, tone = _VERDICTS[validator.verdict]
    aside = (
        "" if validator.asked or validator.verdict == "not_asked" else " (the guard does not ask it about this token)"
    )
    console.line(f"{validator.validator} {words}{aside}", tone)
    if validator.steps:
        _table(console, validator.steps)
    for line in _lines_about(validator):
        console.line(f"  {line}", "quiet")
    console.line()


def _lines_about(validator: ValidatorExplanation) -> Iterator[str]:
    if validator.claims:
        is_verified = validator.verdict == "accepted"
        claims = ", ".join(f"{name}={_told(value)}" for name, value in validator.claims.items())
        yield f"{'claims' if is_verified else 'claims, unverified'}: {claims}"
    yield from validator.calls


def _told(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(console: Console, steps: Sequence[Step]) -> None:
    rows: list[Sequence[str | Cell]] = []
    for step in steps:
        outcome, tone = _OUTCOMES[step.outcome]
        rows.append([step.rule, Cell(outcome, tone), Cell(step.reason or "", tone), Cell(step.detail, "quiet")])
    console.table(["rule", "verdict", "reason", "asked for"], rows)
