"""The clients with their secrets, and the resource owners.

These are the secrets of a demo. They stand here for everybody to read, and are printed when it starts. Real ones are
long, random, absent from source code, and stored as a hash.
"""

from dataclasses import dataclass

RESOURCE = "https://demo.example"
"""What the demo is called where it is a token's audience (RFC 8707). Nothing is ever fetched from there."""

CLIENT_CREDENTIALS = "client_credentials"
NAMED_USER = "urn:example:grant-type:named-user"

SCOPES = ("profile", "email", "user", "notes:read")
RESOURCE_OWNERS = ("alice", "bob", "mallory")
"""The demo knows the first two as users. Mallory is unknown to it."""


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client as it is stored in a database."""

    client_id: str
    client_secret: str
    name: str
    token_format: str = ""
    grant_types: str = ""
    scope: str = ""
    introspects: bool = False


_GRANTS = f"{CLIENT_CREDENTIALS} {NAMED_USER}"

JWT_APP = DemoClient(
    "demo-jwt-app",
    "jwt-app-secret",
    "An application that is given JWTs",
    token_format="jwt",
    grant_types=_GRANTS,
    scope=" ".join(SCOPES),
)
OPAQUE_APP = DemoClient(
    "demo-opaque-app",
    "opaque-app-secret",
    "An application that is given opaque tokens",
    token_format="opaque",
    grant_types=_GRANTS,
    scope=" ".join(SCOPES),
)
RESOURCE_SERVER = DemoClient(
    "demo-resource-server", "resource-server-secret", "The demo itself, which introspects tokens", introspects=True
)

CLIENTS = (JWT_APP, OPAQUE_APP, RESOURCE_SERVER)
