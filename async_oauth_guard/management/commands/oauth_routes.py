"""The command ``oauth_routes``: the views of a site, and which of them nothing guards."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandParser

from ...console import Cell, Console, Tone
from ...routes import TO_GUARD, Route, is_allowed, iter_routes, patterns_of_allowed
from ..reporting import CANNOT_LOOK, Report, ReportCommand

__all__ = ["Command"]

_HEADINGS = ("PATH", "VIEW", "COLOUR", "KIND", "REQUIREMENT", "VALIDATORS", "CSRF")
_NO_ROUTES = "There are no routes."


class Command(ReportCommand):
    """Lists every URL of the site with its view and what guards that."""

    help = "Lists every URL of the site with its view, and what guards it."

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments of this report."""
        super().add_arguments(parser)
        parser.add_argument(
            "--unguarded",
            action="store_true",
            help="List only what nothing guards and OAUTH_GUARD['UNGUARDED'] does not name, and exit with 1 if there "
            "is any.",
        )
        parser.add_argument("--urlconf", help="The URL configuration to look in, in place of ROOT_URLCONF.")

    def examine(self, options: Mapping[str, Any]) -> Report:
        """Look at the URL configuration."""
        allowed = patterns_of_allowed() or ()
        routes = list(iter_routes(options["urlconf"]))
        unguarded = [route for route in routes if not route.is_guarded and not is_allowed(route, allowed)]
        shown = unguarded if options["unguarded"] else routes
        document = {"routes": [{**route.as_json(), "allowed": is_allowed(route, allowed)} for route in shown]}
        if options["unguarded"]:
            trouble = f"Unguarded routes: {len(unguarded)} of {len(routes)}. {TO_GUARD}" if unguarded else None
            return Report(document, lambda console: _show_unguarded(console, unguarded, routes), trouble)
        trouble = _trouble_with_validators(routes)
        return Report(document, lambda console: _show(console, routes, unguarded), trouble, CANNOT_LOOK)


def _trouble_with_validators(routes: Iterable[Route]) -> str | None:
    """Why no token can be valid behind some guard."""
    for route in routes:
        for guard in route.all_guards:
            protector: Any = guard.protector
            try:
                validators = protector.validators
            except ImproperlyConfigured as error:
                return str(error)
            if not validators:
                return f"The guard of {route.path} has no token validator, so no token can be valid there."
    return None


def _show_unguarded(console: Console, unguarded: Sequence[Route], routes: Sequence[Route]) -> None:
    if unguarded:
        _show(console, unguarded, unguarded)
    elif not routes:
        console.line(_NO_ROUTES)
    elif all(route.is_guarded for route in routes):
        console.line("Every route is guarded.", "good")
    else:
        console.line("Every route is guarded or allowed.", "good")


def _show(console: Console, routes: Sequence[Route], unguarded: Sequence[Route]) -> None:
    if routes:
        console.table(_HEADINGS, [_row(route, _tone(route, unguarded)) for route in routes])
    else:
        console.line(_NO_ROUTES)


def _tone(route: Route, unguarded: Sequence[Route]) -> Tone:
    if route.is_guarded:
        return "good"
    return "bad" if any(route is each for each in unguarded) else "quiet"


def _row(route: Route, tone: Tone) -> list[str | Cell]:
    csrf = "exempt" if route.csrf_exempt else "checked"
    return [
        Cell(route.path, tone),
        route.view,
        route.colour,
        route.kind,
        Cell(route.requirement, tone),
        route.validators,
        csrf,
    ]
