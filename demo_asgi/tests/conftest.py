"""Fixtures: two users, and the authorization server."""

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
    """Replaces the authorization server of the settings."""
    clients = {RESOURCE_SERVER.client_id: RESOURCE_SERVER.client_secret}
    # The demo's server signs with ES256 too, and its keys are generated quickly.
    with FakeAuthorizationServer(settings.ISSUER, clients=clients, audience=RESOURCE, algorithm="ES256") as server:
        yield server


def bearer(token: str) -> dict[str, str]:
    """The header field that presents ``token``."""
    return {"Authorization": f"Bearer {token}"}
