"""The test kit: tokens for tests, without a server and without a header."""

from ..routes import Route, iter_routes
from .authorization_server import FakeAuthorizationServer
from .clients import AsyncOAuthClient, OAuthClient
from .guarded import assert_guarded
from .override import override_oauth
from .server_clock import ServerClock
from .server_endpoints import Call
from .server_faults import Fault
from .server_tokens import SigningKey

__all__ = [
    "AsyncOAuthClient",
    "Call",
    "FakeAuthorizationServer",
    "Fault",
    "OAuthClient",
    "Route",
    "ServerClock",
    "SigningKey",
    "assert_guarded",
    "iter_routes",
    "override_oauth",
]
