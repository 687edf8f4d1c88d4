"""The fixtures of the test kit. Nothing of the package is imported until one is used."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from async_oauth_guard.testing import AsyncOAuthClient, OAuthClient

__all__ = ["async_oauth_client", "oauth_client", "oauth_token"]


@pytest.fixture
def oauth_client() -> "OAuthClient":
    """Django's test client, with a method ``oauth``."""
    from async_oauth_guard.testing import OAuthClient

    return OAuthClient()


@pytest.fixture
def async_oauth_client() -> "AsyncOAuthClient":
    """Django's async test client, with a method ``oauth``."""
    from async_oauth_guard.testing import AsyncOAuthClient

    return AsyncOAuthClient()


@pytest.fixture
def oauth_token() -> Iterator[Callable[..., None]]:
    """Gives requests a token, or refuses them, until the test ends: ``oauth_token("profile", user=user)``.

    It takes what ``override_oauth`` takes. The last call counts.
    """
    from async_oauth_guard.testing import override_oauth

    with ExitStack() as overrides:

        def override(*args: Any, **kwargs: Any) -> None:
            overrides.enter_context(override_oauth(*args, **kwargs))

        yield override
