"""Installs the packages of ``package.json``, and runs the scripts of this folder."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs import find, give_up
from tests.servers import stop

REQUIRED = "OAUTH_GUARD_TEST_NPM"
HERE = Path(__file__).parent
INSTALL_WITHIN = 120.0
RESULT_WITHIN = 60.0


@dataclass(frozen=True)
class Scripts:
    """A folder with the scripts and the packages that they import."""

    node: str
    folder: Path

    def run(self, name: str, argument: Any) -> Any:
        """What a script prints, which is JSON."""
        command = [self.node, name, json.dumps(argument)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=RESULT_WITHIN)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def start(self, name: str, argument: Any) -> Iterator[Any]:
        """Starts a script that runs until the end of the block. Gives the first line that it prints, which is JSON."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as errors:
            command = [self.node, name, json.dumps(argument)]
            process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        with process.stdout:
            try:
                line = process.stdout.readline()
                assert line, log.read_text()
                yield json.loads(line)
            finally:
                stop(process)


def install(folder: Path) -> Scripts:
    """Installs the packages into this folder, in the versions of ``package-lock.json``.

    Where this fails, because the programs are missing or old or the registry does not answer, the tests are skipped.
    They fail where npm is required.
    """
    node, npm = find("node", REQUIRED), find("npm", REQUIRED)
    for path in (HERE / ".npmrc", *HERE.glob("*.json"), *HERE.glob("*.mjs")):
        shutil.copy(path, folder)
    try:
        done = subprocess.run([npm, "ci"], cwd=folder, capture_output=True, text=True, timeout=INSTALL_WITHIN)
    except subprocess.TimeoutExpired:
        give_up(f"npm ci took longer than {INSTALL_WITHIN} s", REQUIRED)
    if done.returncode:
        give_up(f"npm ci failed: {' '.join(done.stderr.split())[:300]}", REQUIRED)
    return Scripts(node, folder)
