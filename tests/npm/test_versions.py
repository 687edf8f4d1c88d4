"""The documentation names the versions that the tests run."""

import json

import pytest

from tests.npm.programs import HERE

PAGE = HERE.parents[1] / "docs" / "dpop-compatibility.md"
VERSIONS = json.loads((HERE / "package.json").read_text())["dependencies"]
LOCKED = json.loads((HERE / "package-lock.json").read_text())["packages"]


@pytest.mark.parametrize("name", VERSIONS)
def test_versions(name: str) -> None:
    version = VERSIONS[name]
    assert LOCKED[f"node_modules/{name}"]["version"] == version
    text = PAGE.read_text(encoding="utf-8")
    assert f"| `{name}` | {version} |" in text or f"`{name}` {version} " in text


def test_no_registry() -> None:
    """The lock file names no server, so npm uses the one that it is configured for."""
    assert [name for name, package in LOCKED.items() if "resolved" in package] == []
