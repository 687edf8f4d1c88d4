"""Introspects a token with a server that sends a given response."""

import time
from typing import Any

from joserfc.jwk import ECKey

from async_oauth_guard import IntrospectTokenValidator
from async_oauth_guard.protocol.secrets import Secret
from tests.unit.driving import ISSUER, SigningKey, World, authorization_context

API = "https://api.example.com"
ENDPOINT = f"{ISSUER}/introspect"
JWKS_URI = f"{ISSUER}/keys"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
SECRET = "s3cret"
KEY = SigningKey("k")
OWN_KEY = ECKey.generate_key("P-256")
PRIVATE_JWK = {**OWN_KEY.as_dict(private=True), "kid": "ours"}
TOKEN = Secret("opaque")


def introspection(**options: Any) -> IntrospectTokenValidator:
    given = {"introspection_endpoint": ENDPOINT, "client_id": "api", "client_secret": SECRET, "audience": API}
    return IntrospectTokenValidator(**{**given, **options})


def claims(**values: Any) -> dict[str, Any]:
    usual = {"active": True, "aud": API, "sub": "alice", "client_id": "app", "scope": "a b", "exp": time.time() + 3600}
    return {**usual, **values}


def introspect(validator: IntrospectTokenValidator, response: Any, **requirements: Any) -> tuple[Any, World]:
    """What the validator finds if the server sends this response."""
    world = World()
    world.answer(ENDPOINT, response)
    return world.run(validator.authenticate_flow(TOKEN, authorization_context(**requirements))), world
