"""A reader's terminal: commands of a page, typed one after the other, and what they print."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 300.0
"""Seconds for all that one terminal does."""

BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]+) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_END = "the command has ended:"


@dataclass(frozen=True)
class Typed:
    """A command, and what the page shows of its output: ``…`` stands for anything."""

    command: str
    shown: str

    def is_answered_by(self, output: str) -> bool:
        pattern = ".*".join(re.escape(part) for part in _tidy(self.shown).split("…"))
        return re.fullmatch(pattern, _tidy(output), re.DOTALL) is not None


def read_console(text: str) -> list[Typed]:
    """What is typed in a ``console`` block: each line after ``$``, and beneath it what is printed."""
    first, *others = re.split(r"^\$ ", text, flags=re.MULTILINE)
    if first:
        raise ValueError(f"a console block begins with '$ ': {first!r}")
    return [Typed(command, shown) for command, _, shown in (each.partition("\n") for each in others)]


def read_samples(page: Path) -> list[Typed]:
    """The commands of a page beneath which it shows what is printed."""
    blocks = BLOCK.finditer(page.read_text(encoding="utf-8"))
    texts = [block["text"] for block in blocks if block["language"] == "console"]
    typed = [each for text in texts if re.search(r"^\$ ", text, re.MULTILINE) for each in read_console(text)]
    return [each for each in typed if each.shown.strip()]


class Terminal:
    """A shell that stays open, so that ``cd``, ``source`` and variables last."""

    def __init__(self, shell: subprocess.Popen[str]) -> None:
        self._shell = shell

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints, on either stream, and its exit status."""
        self._type(f"{{ {command}\n}} </dev/null\nlast=$?; printf '\\n%s %d\\n' '{_END}' $last; (exit $last)")
        output = ""
        for line in self._lines():
            if line.startswith(_END):
                return output.removesuffix("\n"), int(line.removeprefix(_END))
            output += line
        raise AssertionError(f"the terminal closed during: {command}\n{output}")

    def start(self, typed: Typed) -> None:
        """Type a command that goes on, and wait until it has printed what is shown."""
        self._type(typed.command)
        output = ""
        for line in self._lines():
            output += line
            if typed.is_answered_by(output):
                return
        raise AssertionError(f"this did not start: {typed.command}\n{output}")

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{text}\n")
        self._shell.stdin.flush()

    def _lines(self) -> Iterator[str]:
        assert self._shell.stdout is not None
        return iter(self._shell.stdout.readline, "")


@contextmanager
def opened(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """A terminal in ``folder``; at the end of the block, or at the deadline, all that it started has ended."""
    with subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=folder,
        env=_environment() | dict(variables or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as shell:
        deadline = threading.Timer(DEADLINE, _end, [shell])
        deadline.start()
        try:
            yield Terminal(shell)
        finally:
            deadline.cancel()
            _end(shell)


def _end(shell: subprocess.Popen[str]) -> None:
    # The shell leads a separate process group, which includes every process that it started.
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _environment() -> dict[str, str]:
    """The environment of a reader who knows nothing of this run of the tests, but has its Python."""
    ours = ("COVERAGE", "DJANGO_", "OAUTH_GUARD_", "PYTEST", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return kept | {"PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
