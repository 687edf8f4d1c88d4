"""What the commands have in common: people, machines, and exit statuses."""

import errno
import json
import os
import sys
from collections.abc import Mapping
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError

from async_oauth_guard.management.reporting import CANNOT_LOOK, Report, ReportCommand


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
    return Report({"a": 1}, lambda console: console.line("a is 1", "good"), **values)


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
        status, output, trouble = run(report(trouble="a is wrong", **values), json=as_json)
        assert (status, trouble) == (expected, "a is wrong")
        assert output


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_to_look_at(as_json: bool) -> None:
    """What cannot be looked at is a sentence, not a traceback, and the exit status is argparse's for wrong use."""
    assert run(ImproperlyConfigured("no setting"), json=as_json) == (2, "", "no setting")
    assert run(CommandError("no input", returncode=7), json=as_json) == (7, "", "no input")
    assert CANNOT_LOOK == 2


def test_colours() -> None:
    """Django's own two options say whether there are colours; without them a pipe has none."""
    assert run(report())[1] == run(report(), no_color=True)[1] == "a is 1\n"
    assert run(report(), force_color=True)[1] == "\x1b[32ma is 1\x1b[0m\n"


def test_a_command_that_looks_at_nothing() -> None:
    """A command has to say what it looks at."""
    with pytest.raises(NotImplementedError):
        call_command(ReportCommand())


@pytest.mark.parametrize("as_json", [False, True])
def test_readers_that_stop(as_json: bool) -> None:
    """Whoever reads may have seen enough: nothing is said of it, and the exit status is that of the report."""
    for found, expected in ((report(), 0), (report(trouble="a is wrong"), 1)):
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

    with pytest.raises(CommandError, match=r"^It cannot be printed: No space left on device\.$") as caught:
        call_command(Looking(report()), stdout=Full())
    assert caught.value.returncode == CANNOT_LOOK


def test_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's ``>&-`` leaves nothing to print to."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(CommandError, match=r"^There is no standard output to print to\.$") as caught:
        call_command(Looking(report()))
    assert caught.value.returncode == CANNOT_LOOK
