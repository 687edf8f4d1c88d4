"""Fixtures for the tests of validators."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import FaultServer


@pytest.fixture(scope="module")
def ca_file() -> Iterator[Path]:
    """A file of CA certificates."""
    with FaultServer(tls=True) as server:
        yield Path(server.ca_file)
