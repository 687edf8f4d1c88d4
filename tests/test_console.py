"""Commands on the pages: those of ``manage.py`` run in a small site; the rest is run elsewhere, or says why not."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminals import BLOCK, Terminal, opened

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
# `test_tutorial` follows it.
PAGES = [page for page in sorted(ROOT.glob("docs/*.md")) if page.name != "tutorial.md"]

DJANGO = re.compile(r"(?:TOKEN=\$\()?python manage\.py ")
# What the tutorial runs, and what asks a server of the reader's.
ELSEWHERE = re.compile(r"pip install \"?path/to/the/clone|curl ")
FINE = {0, 1, 3}
"""Statuses of commands that did what they are for. A wrong option is 2."""

SETTINGS = """
INSTALLED_APPS += ["async_oauth_guard", "accounts"]
OAUTH_GUARD = {
    "RESOURCE": "https://api.example.com",
    "VALIDATORS": [
        {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "accounts.OAuth2Token"}}
    ],
}
"""
URLS = """
from django.urls import path

from accounts import views

urlpatterns = [
    path("me/", views.user_profile),
    path("profile/", views.user_profile),
    path("reports/", views.sync_profile),
]
"""


def blocks(page: Path) -> Iterator[tuple[str | None, list[str]]]:
    """The marks of a page's console blocks, and what is typed in them: after ``$``, or all where no line has one."""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["language"] == "console":
            text = re.sub(r"\\\n\s*", "", block["text"])
            yield block["mark"], re.findall(r"^\$ (.+)$", text, re.MULTILINE) or text.splitlines()


def commands() -> list[str]:
    """What the pages and the README let ``manage.py`` do, each once."""
    typed = (line for page in (*PAGES, README) for mark, lines in blocks(page) if mark is None for line in lines)
    return [*dict.fromkeys(line for line in typed if DJANGO.match(line))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_has_its_place(page: Path) -> None:
    """What is typed on a page runs below or in the tutorial, or has a line above that says why it cannot."""
    for mark, lines in blocks(page):
        assert mark is None or re.fullmatch(r"skip: .+", mark)
        if mark is None:
            assert [line for line in lines if not (DJANGO.match(line) or ELSEWHERE.match(line))] == []


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in a site with the README's model and views, a user, and a token in a file."""
    folder = tmp_path_factory.mktemp("site")
    with opened(folder, {"PYTHONPATH": str(ROOT)}) as terminal:
        for line in ("python -m django startproject mysite .", "python manage.py startapp accounts"):
            assert terminal.run(line) == ("", 0)
        for name, code in re.findall(
            r"^```python\n# (accounts/\w+\.py)[^\n]*\n(.*?)^```$", README.read_text(), re.M | re.S
        ):
            (folder / name).write_text(code)
        settings = folder / "mysite" / "settings.py"
        settings.write_text(settings.read_text() + SETTINGS)
        (folder / "mysite" / "urls.py").write_text(URLS)
        for line in (
            "python manage.py makemigrations accounts && python manage.py migrate",
            "python manage.py createsuperuser --noinput --username alice --email alice@example.com",
            "python manage.py oauth_token --verbosity 0 --user alice --scopes profile > token.txt",
        ):
            output, status = terminal.run(line)
            assert status == 0, output
        yield terminal


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_commands_run(terminal: Terminal, command: str) -> None:
    """A command of a page is understood, and ends without a traceback; tests pass."""
    output, status = terminal.run(command)
    assert status in ({0} if command.endswith(" test") else FINE), output
    assert "Traceback" not in output
