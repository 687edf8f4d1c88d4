"""What MkDocs is told beside ``mkdocs.yml``: some pages of the site stand outside of ``docs``.

On disk, a page links to them as ``../SECURITY.md`` and they link to pages as ``docs/views.md``; on the site they are
all in one folder.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent

OUTSIDE = {
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "RESULTS.md": "benchmarks/RESULTS.md",
    "BENCHMARKS.md": "benchmarks/README.md",
}
"""The pages outside of ``docs``, by their names on the site."""

# The target of a link to another file.
TARGET = re.compile(r"(?<=\]\()(?!https?:)([^)#\s]+)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that stand outside."""
    for name, path in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Point every link at where its page is on the site."""
    written = ROOT / OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return TARGET.sub(lambda link: _on_site(written, link[1]), markdown)


def _on_site(page: Path, target: str) -> str:
    path = (page.parent / target).resolve()
    for name, outside in OUTSIDE.items():
        if path == (ROOT / outside).resolve():
            return name
    docs = (ROOT / "docs").resolve()
    return path.relative_to(docs).as_posix() if path.is_relative_to(docs) else target
