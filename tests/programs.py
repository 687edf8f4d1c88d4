"""Finds the programs of others that some tests start."""

import os
import shutil
from typing import NoReturn

import pytest


def find(program: str, variable: str) -> str:
    """The path of a program. Without it, see `give_up`."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    return path or give_up(f"{program} is not installed", variable)


def give_up(reason: str, variable: str) -> NoReturn:
    """Skips the test. If the environment variable is ``required``, the test fails."""
    report = pytest.fail if os.environ.get(variable) == "required" else pytest.skip
    report(reason)
