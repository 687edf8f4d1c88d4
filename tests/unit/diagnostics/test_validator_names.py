"""What validators are called."""

from typing import Any

from async_oauth_guard import (
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ResourceProtector,
)
from async_oauth_guard.diagnostics.validator_names import (
    describe_validators,
    endpoint_of,
    name_of_validator,
)
from tests.site.models import OAuth2Token

ISSUER = "https://as.example.com"


def jwt(**options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(ISSUER, **{"resource_server": "https://api.example.com", **options})


def introspection(**options: Any) -> IntrospectTokenValidator:
    given = {"introspection_endpoint": f"{ISSUER}/introspect?key=s3cret", "client_id": "c", "client_secret": "s3cret"}
    return IntrospectTokenValidator(**{**given, "audience": "https://api.example.com", **options})


def test_validators_in_words() -> None:
    """A validator is named by its class, a remote one by its server as well, without a query that may hold a key."""
    assert name_of_validator(BearerTokenValidator(OAuth2Token)) == "BearerTokenValidator"
    assert name_of_validator(jwt()) == f"JWTBearerTokenValidator of {ISSUER}"
    assert name_of_validator(introspection()) == f"IntrospectTokenValidator of {ISSUER}/introspect"
    assert name_of_validator(introspection(issuer=ISSUER)) == f"IntrospectTokenValidator of {ISSUER}"
    assert describe_validators(ResourceProtector(jwt(), introspection())) == (
        f"JWTBearerTokenValidator of {ISSUER}, IntrospectTokenValidator of {ISSUER}/introspect"
    )
    assert describe_validators(ResourceProtector()) == "none"
    assert (endpoint_of(jwt()), endpoint_of(introspection())) == (None, f"{ISSUER}/introspect?key=s3cret")
