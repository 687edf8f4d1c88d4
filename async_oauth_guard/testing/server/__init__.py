"""`FakeAuthorizationServer`: an authorization server for tests, in process or on a port.

It signs, parses and responds by itself. It must not share code with the guard, because a bug in shared code would not
fail a test.
"""

from .authorization_server import FakeAuthorizationServer
from .endpoints import Call, ServerRequest, ServerResponse
from .network import Fault
from .tokens import SigningKey

__all__ = ["Call", "FakeAuthorizationServer", "Fault", "ServerRequest", "ServerResponse", "SigningKey"]
