"""A running demo, for the tests of its front page."""

from collections.abc import Iterator

import pytest

from demo_asgi.processes import running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of an authorization server. Tests that give it faults must remove them."""
    state = tmp_path_factory.mktemp("page") / "authority.json"
    with running("demo_asgi.authority", "--port", "0", "--state", str(state)) as origin:
        yield origin


@pytest.fixture(scope="session")
def demo(authority: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a demo."""
    database = tmp_path_factory.mktemp("page") / "demo.sqlite3"
    with running("demo_asgi", "--port", "0", "--database", str(database), "--authority", authority) as origin:
        yield origin
