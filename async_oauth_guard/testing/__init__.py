"""The test kit: tokens for tests, without a server and without a header."""

from ..routes import Route, iter_routes
from .authorization_server import FakeAuthorizationServer
from .clients import AsyncOAuthClient, OAuthClient
from .guarded import assert_guarded
from .override import override_oauth

__all__ = [
    "AsyncOAuthClient",
    "FakeAuthorizationServer",
    "OAuthClient",
    "Route",
    "assert_guarded",
    "iter_routes",
    "override_oauth",
]
