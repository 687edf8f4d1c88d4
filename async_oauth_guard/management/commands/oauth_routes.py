"""The command ``oauth_routes``: lists the views of a site, and finds those without a guard."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandParser

from ...diagnostics.routes import TO_GUARD, Route, is_allowed, is_excused, iter_routes, patterns_of_allowed
from ..reporting import CANNOT_LOOK, Printer, Report, ReportCommand, Tone

__all__ = ["Command"]

_HEADINGS = ("PATH", "VIEW", "ASYNC", "KIND", "REQUIREMENT", "VALIDATORS", "CSRF")
_NO_ROUTES = "There are no routes."


class Command(ReportCommand):
    """Lists every URL of the site, with its view and its guards."""

    help = "Lists every URL of the site, with its view and its guards."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--unguarded",
            action="store_true",
            help="List only routes without a guard that are neither marked with mark_reviewed nor named in "
            "OAUTH_GUARD['UNGUARDED']. Exit with 1 if there are any.",
        )
        parser.add_argument(
            "--urlconf",
            action="append",
            help="The URL configuration to list, instead of ROOT_URLCONF. May be repeated.",
        )

    def examine(self, options: Mapping[str, Any]) -> Report:
        allowed = patterns_of_allowed() or ()
        routes = [route for urlconf in options["urlconf"] or [None] for route in iter_routes(urlconf)]
        unguarded = [route for route in routes if not route.is_guarded and not is_excused(route, allowed)]
        shown = unguarded if options["unguarded"] else routes
        document = {"routes": [{**route.as_json(), "allowed": is_allowed(route, allowed)} for route in shown]}
        if options["unguarded"]:
            error = f"Unguarded routes: {len(unguarded)} of {len(routes)}. {TO_GUARD}" if unguarded else None
            return Report(document, lambda printer: _show_unguarded(printer, unguarded, routes), error)
        error = _error_of_validators(routes)
        return Report(document, lambda printer: _show(printer, routes, unguarded, allowed), error, CANNOT_LOOK)


def _error_of_validators(routes: Iterable[Route]) -> str | None:
    """Say why some guard accepts no token at all, if there is one."""
    for route in routes:
        for guard in route.all_guards:
            protector: Any = guard.protector
            try:
                validators = protector.validators
            except ImproperlyConfigured as error:
                return str(error)
            if not validators:
                return f"The guard of {route.path} has no token validator, so it accepts no token."
    return None


def _show_unguarded(printer: Printer, unguarded: Sequence[Route], routes: Sequence[Route]) -> None:
    if unguarded:
        _show(printer, unguarded, unguarded)
    elif not routes:
        printer.line(_NO_ROUTES)
    elif all(route.is_guarded for route in routes):
        printer.line("Every route is guarded.", "good")
    else:
        printer.line("Every route is guarded, reviewed or allowed.", "good")


def _show(printer: Printer, routes: Sequence[Route], unguarded: Sequence[Route], allowed: Sequence[str] = ()) -> None:
    if routes:
        printer.table(_HEADINGS, [(_tone(route, unguarded), _row(route, allowed)) for route in routes])
    else:
        printer.line(_NO_ROUTES)


def _tone(route: Route, unguarded: Sequence[Route]) -> Tone:
    if route.is_guarded:
        return "good"
    return "bad" if any(route is each for each in unguarded) else "plain"


def _row(route: Route, allowed: Sequence[str]) -> list[str]:
    csrf = "exempt" if route.csrf_exempt else "checked"
    called = "async" if route.is_async else "sync"
    is_open = not route.is_guarded and is_allowed(route, allowed)
    requirement = f"{route.requirement} (allowed)" if is_open else route.requirement
    return [route.path, route.view, called, route.kind, requirement, route.validators, csrf]
