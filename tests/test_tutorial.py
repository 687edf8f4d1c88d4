"""The tutorials, followed to the letter."""

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.terminals import BLOCK, Terminal, Typed, opened, read_console

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted(ROOT.glob("docs/tutorial*.md"))
FILE = re.compile(r"# (?P<path>[\w./]+)(?P<end>, at the end)?\n")
OTHER_TERMINALS = ("in a second terminal", "in a third terminal")


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_block_is_followed(page: Path) -> None:
    """Each block of a tutorial is a file with its name, or what is typed into a terminal."""
    blocks = [*BLOCK.finditer(page.read_text(encoding="utf-8"))]
    assert len(blocks) * 2 == page.read_text(encoding="utf-8").count("```")
    for block in blocks:
        assert block["mark"] in (None, *OTHER_TERMINALS)
        if block["language"] == "console":
            assert read_console(block["text"]) != []
        else:
            assert FILE.match(block["text"]), block["text"]


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ("", "", True),
        ("a\nb\n", "a\nb", True),
        ("a\n", "a\nb", False),
        ("a…\n", "a\nb", True),
        ("a … c\n", "a b c  ", True),
        ("a … c\n", "a b d", False),
        ("a.c\n", "abc", False),
    ],
)
def test_what_is_shown(shown: str, printed: str, fits: bool) -> None:
    """What is shown is what is printed, but for white space at the ends, and for what an ellipsis stands for."""
    assert Typed("command", shown).is_answered_by(printed) is fits


def test_a_terminal_keeps_its_state(tmp_path: Path) -> None:
    """A terminal stays in its folder and keeps variables and the last status; both streams are seen."""
    with opened(tmp_path, {"OURS": "4"}) as terminal:
        assert terminal.run("mkdir inner && cd inner && there=here") == ("", 0)
        assert terminal.run('basename "$PWD"; echo $there $OURS >&2; cat') == ("inner\nhere 4\n", 0)
        assert terminal.run("false") == ("", 1)
        assert terminal.run("echo $?") == ("1\n", 0)


def test_what_a_terminal_started_ends_with_it(tmp_path: Path) -> None:
    """What goes on in a terminal is waited for until it has said what is shown, and ends with the terminal."""
    with opened(tmp_path) as terminal:
        terminal.start(Typed("echo first; echo second; exec cat", "first\nsecond\n"))
    with opened(tmp_path) as terminal, pytest.raises(AssertionError, match=r"did not start: echo first"):
        terminal.start(Typed("echo first; exit", "second\n"))
    with opened(tmp_path) as terminal, pytest.raises(AssertionError, match=r"closed during: exit"):
        terminal.run("exit")


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_tutorial(page: Path, tmp_path: Path) -> None:
    """Followed in an empty folder with Python and pip alone, a tutorial works, and prints what it says.

    Only these are replaced: the clone's path, as the page asks, and the ports, which may be taken here.
    """
    _skip_without_an_index(tmp_path)
    text = page.read_text(encoding="utf-8").replace("path/to/the/clone", shlex.quote(str(ROOT)))
    for port in ("8000", "8080"):
        text = text.replace(port, str(_free_port()))
    folder = tmp_path / "empty"
    folder.mkdir()
    with ExitStack() as terminals:
        first = terminals.enter_context(opened(folder))
        for block in BLOCK.finditer(text):
            if block["language"] != "console":
                _write(folder, block["text"])
            elif block["mark"] in OTHER_TERMINALS:
                _start(terminals.enter_context(opened(folder)), read_console(block["text"]))
            else:
                _type(first, read_console(block["text"]))


def _write(folder: Path, text: str) -> None:
    name = FILE.match(text)
    assert name is not None
    file = folder / name["path"]
    if name["end"]:
        text = file.read_text(encoding="utf-8") + "\n" + text
    file.write_text(text, encoding="utf-8")


def _type(terminal: Terminal, console: list[Typed]) -> None:
    for typed, following in zip(console, [*console[1:], None], strict=True):
        output, status = terminal.run(typed.command)
        assert status == 0 or (following is not None and following.command == "echo $?"), f"{typed.command}\n{output}"
        assert typed.shown == "" or typed.is_answered_by(output), f"{typed.command}\n{output}"


def _start(terminal: Terminal, console: list[Typed]) -> None:
    _type(terminal, console[:-1])
    terminal.start(console[-1])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _skip_without_an_index(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "asgiref"]
    if os.environ.get("OAUTH_GUARD_TEST_DOCS") == "required":
        return
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("pip finds no package index, and the tutorial installs from one")
