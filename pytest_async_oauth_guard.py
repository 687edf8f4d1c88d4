"""Pytest fixtures of the test kit. The package is not imported until a test uses one of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from async_oauth_guard.testing import AsyncOAuthClient, OAuthClient

__all__ = ["async_oauth_client", "oauth_client", "oauth_token"]


@pytest.fixture
def oauth_client() -> "OAuthClient":
    """Django's test client with an additional method, ``oauth()``."""
    from async_oauth_guard.testing import OAuthClient

    return OAuthClient()


@pytest.fixture
def async_oauth_client() -> "AsyncOAuthClient":
    """Django's async test client with an additional method, ``oauth()``."""
    from async_oauth_guard.testing import AsyncOAuthClient

    return AsyncOAuthClient()


@pytest.fixture
def oauth_token() -> Iterator[Callable[..., None]]:
    """Override the token of requests, or refuse them, until the test ends: ``oauth_token("profile", user=user)``.

    The fixture takes the arguments of ``override_oauth``. The last call counts.
    """
    from async_oauth_guard.testing import override_oauth

    with ExitStack() as overrides:

        def override(*args: Any, **kwargs: Any) -> None:
            overrides.enter_context(override_oauth(*args, **kwargs))

        yield override
