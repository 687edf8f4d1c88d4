"""``python -m demo_asgi.mcp``, from the outside."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mcp.packages import require_packages

require_packages()

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
"""Seconds."""

DISCOVERY_AND_TOKEN = ["no token", "discovery", "discovery", "token", "token", "token"]
STEP_UP = ["step-up", "token", "token", "call"]


@pytest.mark.parametrize(("client", "server"), [("sdk", "asgi"), ("fastmcp", "django")])
def test_each_step_is_printed(client: str, server: str, tmp_path: Path) -> None:
    """The command prints discovery, token, calls and step-up in order, and says and leaves nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "demo_asgi.mcp", "--client", client, "--server", server],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    steps = re.findall(r"^  [A-Z]+ +http\S+ \d+  ([\w -]+):", done.stdout, re.MULTILINE)
    first, *_ = [place for place, step in enumerate(steps) if step == "call"]
    assert steps[:first] == DISCOVERY_AND_TOKEN
    assert set(steps[first:-4]) == {"call"}
    assert steps[-4:] == STEP_UP
    assert re.findall(r"^  Result: (.*)$", done.stdout, re.MULTILINE) == ["Buy milk", "alice added a note"]
    assert list(tmp_path.iterdir()) == []
