"""What guarded applications need in these tests."""

from collections.abc import Iterator

import pytest

from async_oauth_guard.runtime import event_loop
from async_oauth_guard.testing import FakeAuthorizationServer
from tests.kit.guarded_sites import CLIENTS
from tests.proofs import forget_proofs


@pytest.fixture(scope="module")
def authority() -> Iterator[FakeAuthorizationServer]:
    """An authorization server."""
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running
    event_loop.close()
    forget_proofs()
