"""What the server says of itself (RFC 8414)."""

from django.conf import settings
from django.urls import reverse

from .clients import CLIENT_CREDENTIALS, NAMED_USER, SCOPES

_AUTH_METHODS = ["client_secret_basic"]


def metadata() -> dict[str, object]:
    return {
        "issuer": settings.ISSUER,
        "token_endpoint": _address("token"),
        "jwks_uri": _address("jwks"),
        "introspection_endpoint": _address("introspect"),
        "revocation_endpoint": _address("revoke"),
        "scopes_supported": list(SCOPES),
        "grant_types_supported": [CLIENT_CREDENTIALS, NAMED_USER],
        # RFC 8414 §2: REQUIRED. None of these grants has an authorization endpoint.
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": _AUTH_METHODS,
        "introspection_endpoint_auth_methods_supported": _AUTH_METHODS,
        "revocation_endpoint_auth_methods_supported": _AUTH_METHODS,
    }


def _address(name: str) -> str:
    return settings.ISSUER + reverse(name)
