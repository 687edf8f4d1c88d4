"""Commands on the pages: those of ``manage.py`` run in a small site; the rest is run elsewhere, or says why not."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.terminals import BLOCK, opened, read_samples

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"
# `test_tutorial` follows the tutorials.
PAGES = [page for page in sorted(ROOT.glob("docs/*.md")) if not page.name.startswith("tutorial")]

DJANGO = re.compile(r"(?:TOKEN=\$\()?python manage\.py ")
# What the tutorial runs, and what asks a server of the reader's.
ELSEWHERE = re.compile(r"pip install \"?path/to/the/clone|curl ")
FINE = {0, 1, 3}
"""Statuses of commands that did what they are for. A wrong option is 2."""

UNKNOWN = "Unknown command"
"""What Django says of a command that does not exist; its status is 1, that of a command which found something."""

SETTINGS = """
import os

INSTALLED_APPS += ["async_oauth_guard", "accounts"]
OAUTH_GUARD = {
    "RESOURCE": "https://api.example.com",
    "VALIDATORS": [
        {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "accounts.OAuth2Token"}}
    ],
}
if "ENDPOINT" in os.environ:
    asking = {"introspection_endpoint": os.environ["ENDPOINT"], "client_id": "api", "client_secret": "secret"}
    OAUTH_GUARD["VALIDATORS"] = [{"BACKEND": "async_oauth_guard.IntrospectTokenValidator", "OPTIONS": asking}]
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


Run = Callable[[str], tuple[str, int]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a command in a site with the quickstart's model and views, a user, and a token in a file.

    Each command runs once, because several pages and tables name the same. A process of Django costs a second.
    """
    folder = tmp_path_factory.mktemp("site")
    with opened(folder, {"PYTHONPATH": str(ROOT)}) as terminal:
        run = cache(terminal.run)
        for line in ("python -m django startproject mysite .", "python manage.py startapp accounts"):
            assert run(line) == ("", 0)
        for name, code in re.findall(
            r"^```python\n# (accounts/\w+\.py)[^\n]*\n(.*?)^```$", QUICKSTART.read_text(), re.M | re.S
        ):
            (folder / name).write_text(code)
        settings = folder / "mysite" / "settings.py"
        settings.write_text(settings.read_text() + SETTINGS)
        for name in ("urls.py", "api_urls.py"):
            (folder / "mysite" / name).write_text(URLS)
        for line in (
            "python manage.py makemigrations accounts && python manage.py migrate",
            "python manage.py createsuperuser --noinput --username alice --email alice@example.com",
            "python manage.py oauth_token --verbosity 0 --user alice --scopes profile > token.txt",
        ):
            output, status = run(line)
            assert status == 0, output
        yield run


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_commands_run(run: Run, command: str) -> None:
    """A command of a page is understood, and ends without a traceback; tests pass."""
    output, status = run(command)
    assert status in ({0} if command.endswith(" test") else FINE), output
    assert "Traceback" not in output
    assert UNKNOWN not in output


@pytest.mark.slow
def test_no_command(run: Run) -> None:
    """The test can distinguish an unknown command from a known one."""
    output, status = run("python manage.py oauth_dcotor")
    assert status in FINE
    assert UNKNOWN in output


# --- exit statuses ---------------------------------------------------------------------------------------------------

TOKEN = 'TOKEN=$(python manage.py oauth_token --user alice --scopes "profile email")'
NOBODY = "ENDPOINT=http://127.0.0.1:9/introspect"
STATUSES = {
    ("oauth_routes", 0): "python manage.py oauth_routes",
    ("oauth_routes", 1): "python manage.py oauth_routes --unguarded --urlconf django.contrib.auth.urls",
    ("oauth_routes", 2): "python manage.py oauth_routes --urlconf nowhere",
    ("oauth_explain", 0): "python manage.py oauth_explain < token.txt",
    ("oauth_explain", 1): "echo another | python manage.py oauth_explain",
    ("oauth_explain", 2): "python manage.py oauth_explain --url /nowhere/ < token.txt",
    ("oauth_explain", 3): f"{NOBODY} python manage.py oauth_explain < token.txt",
    ("oauth_doctor", 0): "python manage.py oauth_doctor",
    ("oauth_doctor", 1): f"{NOBODY} python manage.py oauth_doctor",
    ("oauth_doctor", 2): "python manage.py oauth_doctor --timeout 0",
    ("oauth_token", 0): "python manage.py oauth_token --user alice",
    ("oauth_token", 2): "python manage.py oauth_token --user nobody",
}
"""How each exit status of each command comes about."""


def rows_of_statuses(page: str) -> list[list[str]]:
    """The table of exit statuses of a page, with its head and without the line below it."""
    found = re.search(r"^\| Exit status \|.*\n(?:\|.*\n)+", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M)
    assert found is not None
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
    return [head, *rows]


def test_statuses_of_all_commands() -> None:
    """The page of commands has each status of each command, and no other."""
    (_, *names), *rows = rows_of_statuses("commands.md")
    told = {(name.strip("`"), int(row[0])) for row in rows for name, cell in zip(names, row[1:], strict=True) if cell}
    assert told == set(STATUSES)


@pytest.mark.parametrize(
    ("page", "command"),
    [("routes.md", "oauth_routes"), ("explain.md", "oauth_explain"), ("doctor.md", "oauth_doctor")],
)
def test_statuses_of_one_command(page: str, command: str) -> None:
    """So has the page of each command."""
    _, *rows = rows_of_statuses(page)
    assert [int(row[0]) for row in rows] == [status for name, status in STATUSES if name == command]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "status"), STATUSES)
def test_statuses(run: Run, command: str, status: int) -> None:
    """A command ends with the status that the pages tell."""
    output, ended_with = run(STATUSES[command, status])
    assert ended_with == status, output
    assert "Traceback" not in output
    assert UNKNOWN not in output


# --- samples ---------------------------------------------------------------------------------------------------------

CURL = "curl -s -o /dev/null -w '%{http_code}\\n' -H \"Authorization: Bearer $TOKEN\""
SAMPLES = [
    (TOKEN, "explain.md"),
    # `tests.test_metadata_over_http` and `tests.proxies` compare these.
    ("curl https://api.example.com/.well-known/oauth-protected-resource/v1", "metadata.md"),
    (f'{CURL} -H "X-SSL-Client-Cert: $CERT" https://api.example.com/notes/', "client-certificates.md"),
    (f"{CURL} --cert client.pem --key client.key https://api.example.com/notes/", "client-certificates.md"),
    # `tests.commands` compares these, each with a separate site.
    ('python manage.py oauth_explain --url /notes/ --method POST --dpop "$PROOF" < token.txt', "explain.md"),
    ("python manage.py oauth_doctor", "doctor.md"),
    ("python manage.py oauth_explain < token.txt", "explain.md"),
    ("python manage.py oauth_routes", "routes.md"),
]
"""The commands of which a page shows what they print."""


def test_every_sample_is_compared() -> None:
    """No page shows what is printed but those that are compared with it."""
    shown = [(typed.command, page.name) for page in PAGES for typed in read_samples(page)]
    assert sorted(shown) == sorted(SAMPLES)


@pytest.mark.slow
def test_sample_of_a_token(run: Run) -> None:
    """The command prints the token with the same text that the page shows."""
    [typed] = [each for each in read_samples(ROOT / "docs" / "explain.md") if each.command == TOKEN]
    output, _ = run(TOKEN)
    assert typed.is_answered_by(output), output
