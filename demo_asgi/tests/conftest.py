"""What the tests have in common: two users, and the authorization server."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from async_oauth_guard.testing import FakeAuthorizationServer
from demo_asgi.authority.clients import RESOURCE, RESOURCE_SERVER


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def server() -> Iterator[FakeAuthorizationServer]:
    """In the place of the authorization server that the settings name."""
    clients = {RESOURCE_SERVER.client_id: RESOURCE_SERVER.client_secret}
    # ES256 as the real one, and since its keys are made in no time.
    with FakeAuthorizationServer(settings.ISSUER, clients=clients, audience=RESOURCE, algorithm="ES256") as server:
        yield server


def bearer(token: str) -> dict[str, str]:
    """The header field that presents ``token``."""
    return {"Authorization": f"Bearer {token}"}
