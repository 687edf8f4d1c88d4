"""The demo's own tests. They use only the test kit."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.demo.processes import DEADLINE, ROOT

SUITE = ROOT / "demo_asgi" / "tests"
# In addition to the standard library, Django and pytest.
ALLOWED = {
    "async_oauth_guard",
    "async_oauth_guard.testing",
    "demo_asgi.models",
    "demo_asgi.authority.clients",
    "demo_asgi.page",
}


def test_the_suite_passes_offline() -> None:
    """It passes without a server, without the network and without a sleep, and no test is left out."""
    # Options for a run of all tests, such as coverage, do not apply to this run.
    outer = ("DJANGO_SETTINGS_MODULE", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    # The suite does not use Hypothesis, whose plugin takes long to import.
    options = ("-q", "-p", "tests.demo.offline", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "demo_asgi"],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    summary = finished.stdout.strip().splitlines()[-1]
    passed = re.fullmatch(r"(\d+) passed in .*", summary)
    assert passed is not None, summary
    assert int(passed[1]) > 100


def test_the_suite_has_nothing_but_the_kit() -> None:
    """It imports no part of the package but its public names and the test kit, and no other library."""
    imported = {name for path in SUITE.glob("*.py") for name in _imports(path)}
    others = {name for name in imported if name.partition(".")[0] not in {*sys.stdlib_module_names, "django", "pytest"}}
    assert others == ALLOWED


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module))
    return names
