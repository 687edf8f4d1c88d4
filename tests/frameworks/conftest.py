"""Tokens and a protector for the tests of every framework."""

import pytest

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from tests.conftest import Committed
from tests.site.models import OAuth2Token

GOOD, NARROW, UNKNOWN = "good-token-of-the-frameworks", "narrow-token-of-the-frameworks", "unknown-to-the-frameworks"


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD, scope="profile email")
    committed.token(access_token=NARROW, scope="profile")


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))
