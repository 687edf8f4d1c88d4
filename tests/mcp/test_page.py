"""The page about MCP shows what the demo runs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mcp.md"
EXCERPT = re.compile(r"<!-- skip: it is in (?P<file>\S+) -->\n```python\n(?P<code>.*?)```", re.DOTALL)


def test_excerpts() -> None:
    """Each block that names a file is in that file."""
    excerpts = [(each["file"], each["code"]) for each in EXCERPT.finditer(PAGE.read_text())]
    assert len(excerpts) == PAGE.read_text().count("skip: it is in")
    assert [file for file, code in excerpts if code not in (ROOT / file).read_text()] == []
