"""The clients with their secrets, and the resource owners.

These secrets are for a demo, which prints them when it starts. Real secrets are long and random. They are not in source
code, and are stored as hashes.
"""

from dataclasses import dataclass

RESOURCE = "https://demo.example"
"""The audience of the demo's tokens (RFC 8707). No request is ever sent to this address."""

CLIENT_CREDENTIALS = "client_credentials"
NAMED_USER = "urn:example:grant-type:named-user"

SCOPES = ("profile", "email", "user", "notes:read")
RESOURCE_OWNERS = ("alice", "bob", "mallory")
"""Alice and Bob are users of the demo. Mallory is not."""


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client as it is stored in a database."""

    client_id: str
    client_secret: str
    name: str
    token_format: str = ""
    grant_types: str = ""
    scope: str = ""


_GRANTS = f"{CLIENT_CREDENTIALS} {NAMED_USER}"

JWT_APP = DemoClient(
    "demo-jwt-app",
    "jwt-app-secret",
    "An application that gets JWTs",
    token_format="jwt",
    grant_types=_GRANTS,
    scope=" ".join(SCOPES),
)
OPAQUE_APP = DemoClient(
    "demo-opaque-app",
    "opaque-app-secret",
    "An application that gets opaque tokens",
    token_format="opaque",
    grant_types=_GRANTS,
    scope=" ".join(SCOPES),
)
RESOURCE_SERVER = DemoClient(
    "demo-resource-server", "resource-server-secret", "The demo itself, which introspects tokens"
)

CLIENTS = (JWT_APP, OPAQUE_APP, RESOURCE_SERVER)
