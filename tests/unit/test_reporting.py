"""What the commands have in common: people, machines, and exit statuses."""

import errno
import json
import os
import re
import sys
from collections.abc import Mapping
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError

from async_oauth_guard.management.reporting import CANNOT_LOOK, Printer, Report, ReportCommand, printable


class Looking(ReportCommand):
    """Reports what it was given, or cannot."""

    def __init__(self, report: Report | Exception) -> None:
        super().__init__()
        self.report = report

    def examine(self, options: Mapping[str, Any]) -> Report:
        if isinstance(self.report, Exception):
            raise self.report
        return self.report


def report(**values: Any) -> Report:
    return Report({"a": 1}, lambda printer: printer.line("a is 1", "good"), **values)


def run(found: Report | Exception, **options: Any) -> tuple[int, str, str]:
    """The exit status, the output, and what is said of trouble."""
    output = StringIO()
    try:
        call_command(Looking(found), stdout=output, **options)
    except CommandError as error:
        return error.returncode, output.getvalue(), str(error)
    return 0, output.getvalue(), ""


def test_all_is_well() -> None:
    """A report is printed for people, or with ``--json`` for machines, and the exit status is 0."""
    assert run(report()) == (0, "a is 1\n", "")
    status, output, _ = run(report(), json=True)
    assert (status, json.loads(output)) == (0, {"a": 1})


@pytest.mark.parametrize("as_json", [False, True])
def test_trouble(as_json: bool) -> None:
    """Trouble is said after the report, and the exit status is 1, or what the report says."""
    for values, expected in (({}, 1), ({"status": 3}, 3)):
        status, output, trouble = run(report(error="a is wrong", **values), json=as_json)
        assert (status, trouble) == (expected, "a is wrong")
        assert output


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_to_look_at(as_json: bool) -> None:
    """What cannot be looked at is a sentence, not a traceback, and the exit status is argparse's for wrong use."""
    assert run(ImproperlyConfigured("no setting"), json=as_json) == (2, "", "no setting")
    assert run(CommandError("no input", returncode=7), json=as_json) == (7, "", "no input")
    assert CANNOT_LOOK == 2


def test_colours() -> None:
    """Django's own two options say whether the output is styled; without them, output to a pipe is plain."""
    assert run(report())[1] == run(report(), no_color=True)[1] == "a is 1\n"
    assert run(report(), force_color=True)[1] == "\x1b[32;1ma is 1\x1b[0m\n"


ROWS: list[Any] = [("good", ["a", "guarded"]), ("plain", ["longer", ""])]


def show_all(printer: Printer) -> None:
    printer.table(["NAME", "GUARD"], ROWS)
    printer.line("trouble", "bad")
    printer.line()
    printer.line("less", "warning")


def test_tables() -> None:
    """A table is columns as wide as what is in them, without a space at the end of a line."""
    text = "NAME    GUARD\na       guarded\nlonger\ntrouble\n\nless\n"
    assert run(Report({}, show_all))[1] == text
    coloured = run(Report({}, show_all), force_color=True)[1]
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == text
    assert "\x1b[32;1ma       guarded\x1b[0m\n" in coloured
    assert "\x1b[31;1mtrouble\x1b[0m\n" in coloured
    assert "\x1b[33;1mless\x1b[0m\n" in coloured


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢", "plain é 漢"),
        ("a\nb", "a\nb"),
        ("\x1b[2Ja", "�[2Ja"),
        ("a\rb\tc\x00", "a�b�c�"),
        ("\u202eabc\u200b", "�abc�"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """Nothing that a terminal would take for a command, or that turns text around, gets there."""
    assert printable(text) == expected


def test_commands_for_a_terminal_are_not_printed() -> None:
    """So in lines and in tables, where a line's end would break the row as well."""

    def show(printer: Printer) -> None:
        printer.line("a\x1b[2J")
        printer.table(["H"], [("good", ["b\x1b[2J\nc"])])

    for color in ({"no_color": True}, {"force_color": True}):
        output = run(Report({}, show), **color)[1]
        assert "\x1b[2J" not in output
        assert "a�[2J" in output
        assert "b�[2J c" in output


def test_a_command_that_looks_at_nothing() -> None:
    """A command has to say what it looks at."""
    with pytest.raises(NotImplementedError):
        call_command(ReportCommand())


@pytest.mark.parametrize("as_json", [False, True])
def test_readers_that_stop(as_json: bool) -> None:
    """A reader may stop early: no error is printed, and the exit status is that of the report."""
    for found, expected in ((report(), 0), (report(error="a is wrong"), 1)):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w") as stream:
            try:
                call_command(Looking(found), stdout=stream, json=as_json)
                status = 0
            except CommandError as error:
                status = error.returncode
        assert status == expected


def test_output_that_is_full() -> None:
    """What cannot be printed is said in a sentence."""

    class Full(StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CommandError, match=r"^The output cannot be written: No space left on device\.$") as caught:
        call_command(Looking(report()), stdout=Full())
    assert caught.value.returncode == CANNOT_LOOK


def test_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's ``>&-`` leaves nothing to print to."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(CommandError, match=r"^Standard output is closed, so nothing can be printed\.$") as caught:
        call_command(Looking(report()))
    assert caught.value.returncode == CANNOT_LOOK
