"""The tests on the pages about tests pass, in a site with the quickstart's model and what the page says to install."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
SERVERS_PAGE = (ROOT / "docs" / "fake-authorization-server.md").read_text(encoding="utf-8")
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

SETTINGS = """
SECRET_KEY = "x"
USE_TZ = True
ROOT_URLCONF = "accounts.views"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider", "accounts", "async_oauth_guard"
]
OAUTH_GUARD = {
    "VALIDATORS": [
        {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "accounts.OAuth2Token"}}
    ]
}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A reader's site: views and tests are the page's, and the model is the quickstart's."""
    views, *tests = BLOCK.findall(PAGE)
    (model,) = (block for block in BLOCK.findall(QUICKSTART) if block.startswith("# accounts/models.py\n"))
    files = {
        "pytest.ini": re.findall(r"```ini\n# pytest\.ini\n(.*?)```", PAGE, re.DOTALL)[0],
        "mysite/__init__.py": "",
        "mysite/settings.py": SETTINGS,
        "accounts/__init__.py": "",
        "accounts/models.py": model,
        "accounts/views.py": views,
        "accounts/tests.py": "\n\n".join(tests),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder: Path, *command: str, **environment: str) -> str:
    """What a command prints that ends well."""
    others = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=others | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_with_pytest(site: Path) -> None:
    """All of them do under pytest with the page's own settings for it, and nothing is warned of."""
    written = sum(len(re.findall(r"^ *(?:async )?def test_\w+", block, re.MULTILINE)) for block in BLOCK.findall(PAGE))
    without = [f"-pno:{name}" for name in ("anyio", "cacheprovider", "hypothesispytest", "pytest_cov")]
    assert f"\n{written} passed" in run(site, "pytest", "-q", "-Werror", *without)


def test_with_django(site: Path) -> None:
    """Those in Django's test cases do under Django's runner, async ones too, which needs nothing of pytest's."""
    assert "\nRan 3 tests" in run(site, "django", "test", DJANGO_SETTINGS_MODULE="mysite.settings")


def test_on_the_page_of_the_server() -> None:
    """The async test on the other page passes."""
    names: dict[str, Any] = {"__name__": "tests.kit.page"}
    exec("\n".join(BLOCK.findall(SERVERS_PAGE)), names)
    asyncio.run(names["test_while_a_request_waits"]())
