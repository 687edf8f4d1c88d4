"""The site of the documentation, as MkDocs builds it."""

import html
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import async_oauth_guard
import async_oauth_guard.testing

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built in strict mode: a warning is an error."""
    needed = [name for name in ("mkdocs", "material", "mkdocstrings") if importlib.util.find_spec(name) is None]
    if needed and os.environ.get("OAUTH_GUARD_TEST_DOCS") != "required":
        pytest.skip(f"the site is built with the extra `docs`, which is not installed: no {', '.join(needed)}")
    folder = tmp_path_factory.mktemp("site")
    # Material tells about its own future on the standard error stream; that is no warning about the pages.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    assert re.findall(r"^(?:WARNING|ERROR) .*$", built.stderr, re.MULTILINE) == []
    return folder


def test_every_page_is_built(site: Path) -> None:
    """Every page of ``docs`` is on the site, and those of the repository that are to be there."""
    pages = {page.stem for page in ROOT.glob("docs/*.md")} | {"SECURITY", "CHANGELOG", "CONTRIBUTING", "RESULTS"}
    assert pages - {page.stem for page in site.glob("*.html")} == set()


@pytest.mark.parametrize("module", [async_oauth_guard, async_oauth_guard.testing], ids=lambda module: module.__name__)
def test_public_names_are_in_the_reference(site: Path, module: object) -> None:
    """Each public name is a heading of the built reference. Names defined in the package have their docstring below."""
    page = (site / "reference.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'<h\d id="([^"]+)"', page))
    names = set(module.__all__)  # type: ignore[attr-defined]
    authlibs = {"OAuth2Error", "token_authenticated"}
    assert {f"{module.__name__}.{name}" for name in names - authlibs} - anchors == set()  # type: ignore[attr-defined]
    assert {name.lower() for name in names & authlibs} - anchors == set()


def test_the_reference_has_docstrings(site: Path) -> None:
    """What the reference says of names is in their docstrings: of classes, arguments, methods and errors."""
    text = text_of(site / "reference.html")
    assert "Guards views with access tokens" in text
    assert "the realm in challenges (RFC 9110 §11.5), for validators without a realm" in text
    assert "Remove a revoked token from all caches" in text
    assert "neither the validator nor the protector says which audience tokens must have" in text


def test_markdown_is_rendered(site: Path) -> None:
    """Nothing of a page's Markdown is left over as text: Python's Markdown is stricter than GitHub's."""
    leftover = re.compile(r"^\s*[-*] |^\s*\|.*\|$|```|\]\(|(?<!\w)\*\*\S|:::|<!--", re.MULTILINE)
    pages = [site / f"{page.stem}.html" for page in ROOT.glob("docs/*.md")]
    assert {page.name: found for page in pages if (found := leftover.findall(text_of(page)))} == {}


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    """The site loads no font, script, style or image from another host."""
    loaded = re.compile(r'<(?:script|img|iframe)\b[^>]*\bsrc="(https?:)?//|<link\b[^>]*\bhref="(https?:)?//')
    assert [page.name for page in site.glob("*.html") if loaded.search(page.read_text(encoding="utf-8"))] == []


def text_of(page: Path) -> str:
    """The text of a page's article, without its code."""
    article = page.read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
    article = re.sub(r"<(pre|code|script|style)\b.*?</\1>", "code", article, flags=re.DOTALL)
    return html.unescape(re.sub(r"<!--.*?-->|<[^>]+>", "", article.partition(">")[2], flags=re.DOTALL))
