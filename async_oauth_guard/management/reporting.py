"""What the commands have in common: a report for people or for machines, and an exit status that tells how it went."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

from ..console import Console

__all__ = ["CANNOT_LOOK", "Report", "ReportCommand", "cannot_look", "printing"]

CANNOT_LOOK = 2
"""The exit status of a command that was used wrongly, or could not do its work; argparse has the same one."""


def cannot_look(sentence: str) -> CommandError:
    """The error that ends a command so, with what to tell people."""
    return CommandError(sentence, returncode=CANNOT_LOOK)


@dataclass(frozen=True, slots=True)
class Report:
    """What a command found out.

    Attributes:
        document: the whole of it, for ``--json``.
        show: prints it for people.
        trouble: a sentence about what is not as it should be, if anything is.
        status: the exit status where there is trouble.
    """

    document: Mapping[str, Any]
    show: Callable[[Console], None]
    trouble: str | None = None
    status: int = 1


class ReportCommand(BaseCommand):
    """A command that looks at something, prints a `Report` of it, and ends with 0 only where all is well."""

    # They look at sites that may be broken, and say so themselves.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments of every report."""
        parser.add_argument("--json", action="store_true", help="Print the report as JSON, for machines.")

    def examine(self, options: Mapping[str, Any]) -> Report:
        """Look.

        Raises:
            ImproperlyConfigured, CommandError: it is impossible to; the message is one sentence for people.
        """
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, print, and tell by the exit status how it went."""
        try:
            report = self.examine(options)
        except ImproperlyConfigured as error:
            raise cannot_look(str(error)) from error
        with printing(self.stdout):
            if options["json"]:
                self.stdout.write(json.dumps(report.document, indent=2))
            else:
                report.show(Console(cast("TextIO", self.stdout), color=_color(options)))
        if report.trouble is not None:
            raise CommandError(report.trouble, returncode=report.status)


@contextmanager
def printing(output: OutputWrapper) -> Iterator[None]:
    """Around what a command prints. Whoever reads may stop: that is no error, and changes no exit status.

    Raises:
        CommandError: there is nothing to print to, or it is full.
    """
    if output._out is None:
        raise cannot_look("There is no standard output to print to.")
    try:
        yield
        output.flush()
    except BrokenPipeError:
        # `head` has seen enough. Python would stumble over it once more on leaving.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    except OSError as error:
        raise cannot_look(f"It cannot be printed: {error.strerror}.") from error


def _color(options: Mapping[str, Any]) -> bool | None:
    if options["no_color"]:
        return False
    return True if options["force_color"] else None
