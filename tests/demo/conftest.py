"""A running demo, for the tests of its front page, and processes that start quickly."""

from collections.abc import Iterator

import pytest

from demo_asgi.processes import running
from tests.forks import Forks, forking

# What can be imported without the demo's settings.
_IMPORTED = (
    "async_oauth_guard.diagnostics.checks",
    "demo_asgi.authority.server",
    "demo_asgi.serve",
    "django.core.management.commands.check",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.core.management.commands.shell",
    "django.db.backends.sqlite3.base",
)


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


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Forks commands of the demo. Each reads the settings itself."""
    with forking(*_IMPORTED) as forks:
        yield forks
