"""What the commands share: a report for people or as JSON, and an exit status that gives the result."""

import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

__all__ = ["CANNOT_LOOK", "Printer", "Report", "ReportCommand", "Tone", "cannot_look", "printable", "printing"]

Tone: TypeAlias = Literal["plain", "good", "warning", "bad"]

# Django's names.
_STYLES: Mapping[Tone, str] = {"good": "SUCCESS", "warning": "WARNING", "bad": "ERROR"}

CANNOT_LOOK = 2
"""The exit status of a command that was used wrongly or cannot run. argparse uses the same status."""


def cannot_look(sentence: str) -> CommandError:
    """Return the error that ends a command with `CANNOT_LOOK`; ``sentence`` says why."""
    return CommandError(sentence, returncode=CANNOT_LOOK)


class Printer:
    """Prints lines and tables to the output of a command, in Django's styles."""

    def __init__(self, command: BaseCommand) -> None:
        self._command = command

    def line(self, text: str = "", tone: Tone = "plain") -> None:
        """Print one line, or several."""
        style = getattr(self._command.style, _STYLES.get(tone, ""), str)
        self._command.stdout.write(style(printable(text)))

    def table(self, headings: Sequence[str], rows: Iterable[tuple[Tone, Sequence[str]]]) -> None:
        """Print aligned columns, each as wide as its longest cell."""
        lines: list[tuple[Tone, Sequence[str]]] = [("plain", headings), *rows]
        cells = [[printable(cell).replace("\n", " ") for cell in line] for _, line in lines]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for (tone, _), row in zip(lines, cells, strict=True):
            self.line("  ".join(map(str.ljust, row, widths)).rstrip(), tone)


def printable(text: str) -> str:
    """Replace characters that could control a terminal: the claims of a token may contain anything."""
    return "".join(each if each == "\n" or not unicodedata.category(each).startswith("C") else "�" for each in text)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a command.

    Attributes:
        document: the whole result, for ``--json``.
        show: prints the result for people.
        error: a sentence that says what is wrong, if anything is.
        status: the exit status if something is wrong.
    """

    document: Mapping[str, Any]
    show: Callable[[Printer], None]
    error: str | None = None
    status: int = 1


class ReportCommand(BaseCommand):
    """A command that examines something and prints a `Report`. It ends with 0 only if nothing is wrong."""

    # These commands examine sites that may be broken, and report the problems themselves.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the report as JSON, for programs.")

    def examine(self, options: Mapping[str, Any]) -> Report:
        """Create the report.

        Raises:
            ImproperlyConfigured, CommandError: this is impossible; the message is one sentence for people.
        """
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Create and print the report, and set the exit status."""
        try:
            report = self.examine(options)
        except ImproperlyConfigured as error:
            raise cannot_look(str(error)) from error
        with printing(self.stdout):
            if options["json"]:
                self.stdout.write(json.dumps(report.document, indent=2))
            else:
                report.show(Printer(self))
        if report.error is not None:
            raise CommandError(report.error, returncode=report.status)


@contextmanager
def printing(output: OutputWrapper) -> Iterator[None]:
    """Wrap the output of a command. If the reader closes the pipe, that is no error, and the exit status stays.

    Raises:
        CommandError: standard output is closed, or cannot be written to (for example, the disk is full).
    """
    if output._out is None:
        raise cannot_look("Standard output is closed, so nothing can be printed.")
    try:
        yield
        output.flush()
    except BrokenPipeError:
        # The reader has stopped, as `head` does. At exit, Python would fail on the closed pipe once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    except OSError as error:
        raise cannot_look(f"The output cannot be written: {error.strerror}.") from error
