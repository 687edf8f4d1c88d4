"""The process that has imported what the sites behind proxies and the doctor need."""

from collections.abc import Iterator

import pytest

from tests.forks import SERVER, Forks, forking

_IMPORTED = (
    *SERVER,
    "async_oauth_guard.management.commands.oauth_doctor",
    "async_oauth_guard.runtime.http_clients",
    "django.core.cache.backends.locmem",
    "django.core.cache.backends.redis",
    "tests.remote.authority",
)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Forks the sites and the doctors. Each has its own environment, and imports the site's module itself."""
    with forking(*_IMPORTED, settings_module="tests.settings") as forks:
        yield forks
