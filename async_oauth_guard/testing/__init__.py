"""The test kit for sites: test clients, overrides for tokens, `assert_guarded`, and a fake authorization server.

Tests of this package do not belong here. Nothing that guards a request imports this package.
"""

from ..diagnostics.routes import Route, iter_routes
from .clients import AsyncOAuthClient, OAuthClient
from .dpop import DPoPKey
from .environment import ServerClock
from .guarded import assert_guarded
from .override import override_oauth
from .server import Call, FakeAuthorizationServer, Fault, ServerRequest, ServerResponse, SigningKey

__all__ = [
    "AsyncOAuthClient",
    "Call",
    "DPoPKey",
    "FakeAuthorizationServer",
    "Fault",
    "OAuthClient",
    "Route",
    "ServerClock",
    "ServerRequest",
    "ServerResponse",
    "SigningKey",
    "assert_guarded",
    "iter_routes",
    "override_oauth",
]
