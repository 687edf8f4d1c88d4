"""The options that validators of remote tokens have in common."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from async_oauth_guard import (
    JWTBearerTokenValidator,
)
from async_oauth_guard.runtime.effects import ClientOptions
from tests.unit.driving import ISSUER
from tests.unit.validators.remote_validators import API, SECRET, Make, both, introspection, jwt, make_client

SECONDS = [
    (-1, ValueError, "must be a number of seconds, 0 or more, got "),
    (float("nan"), ValueError, "must be a number of seconds, 0 or more, got "),
    (float("inf"), ValueError, "must be a number of seconds, 0 or more, got "),
    ("5", TypeError, "must be a number of seconds, got str"),
    (None, TypeError, "must be a number of seconds, got NoneType"),
    (True, TypeError, "must be a number of seconds, got bool"),
]
LOOKUP = "user_lookup must be the name of a field, a pair (field, claim) or a callable"
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    *(({"timeout": value}, error, f"timeout {message}") for value, error, message in SECONDS),
    ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds"),
    *(
        ({"user_lookup": value}, TypeError, LOOKUP)
        for value in ("", 7, (), ("email",), ("email", "email", "email"), ("", "email"), ("email", ""), (7, "x"), User)
    ),
    ({"http_client": "no_such_module.make"}, ValueError, "http_client: cannot import 'no_such_module.make': "),
    ({"http_client": f"{__name__}.nothing"}, ValueError, f"http_client: cannot import '{__name__}.nothing': "),
    ({"http_client": "not a path"}, ValueError, "http_client: cannot import 'not a path': "),
    *(
        (
            {"http_client": value},
            TypeError,
            "http_client must be a callable that returns an httpx.AsyncClient, or its dotted path, got ",
        )
        for value in (7, f"{__name__}.SECRET")
    ),
    *(
        (
            {"verify": value},
            TypeError,
            f"verify must be a file of CA certificates or an ssl.SSLContext, got {type(value).__name__}",
        )
        for value in (True, False, 7, b"ca.pem")
    ),
    ({"verify": "/no/such/file"}, ValueError, "verify must be a file of CA certificates, got '/no/such/file': "),
    ({"verify": __file__}, ValueError, f"verify must be a file of CA certificates, got {__file__!r}: "),
    ({"realm": "\xe9"}, ValueError, "realm must be printable ASCII"),
    ({"error": "x"}, ValueError, "'error' would appear in the challenge twice"),
    ({"timeout": 3601}, ValueError, "timeout must be at most 3600 seconds, got 3601"),
    ({"user_lookp": "email"}, TypeError, "user_lookp: "),
    ({"jwks_url": "x"}, TypeError, "jwks_url: "),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda part: repr(part)[:50])
@both
def test_wrong_options(make: Make, options: dict[str, Any], error: type[Exception], message: str) -> None:
    """R134: an invalid option is refused when the validator is created, by a message that says what is allowed."""
    with pytest.raises(error) as caught:
        make(API, **options)
    assert str(caught.value).startswith(message)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("http_client", [make_client, f"{__name__}.make_client", f"{__name__}:make_client"])
@both
def test_http_client(make: Make, http_client: Any) -> None:
    """The callable, or the one at the dotted path, is not called before the first request."""
    assert make(API, http_client=http_client)._server.client == ClientOptions(make_client)


@both
def test_verify(make: Make, ca_file: Path) -> None:
    """Certificates can be a file or an SSL context."""
    context = ssl.create_default_context()
    assert make(API, verify=str(ca_file))._server.client == ClientOptions(None, str(ca_file))
    assert make(API, verify=context)._server.client.verify is context


@both
def test_attributes_of_the_challenge(make: Make) -> None:
    """Other keywords become parameters of the challenge."""
    validator = make(API, realm="r", server="s")
    assert (validator.realm, validator.extra_attributes) == ("r", {"server": "s"})


MISTAKEN: list[tuple[Make, str, str]] = [
    (jwt, "cooldwon", "JWTBearerTokenValidator has no such option; did you mean 'cooldown'?"),
    (jwt, "Leeway", "JWTBearerTokenValidator has no such option; did you mean 'leeway'?"),
    (jwt, "lookup", "JWTBearerTokenValidator has no such option; it is an option of BearerTokenValidator"),
    (jwt, "client_secret", "JWTBearerTokenValidator has no such option; it is an option of IntrospectTokenValidator"),
    (jwt, "client_sekret", "JWTBearerTokenValidator has no such option; did you mean 'client_secret'?"),
    (jwt, "audiance", "JWTBearerTokenValidator has no such option; did you mean 'audience'?"),
    (introspection, "cache_tll", "IntrospectTokenValidator has no such option; did you mean 'cache_ttl'?"),
    (
        introspection,
        "leeway",
        "IntrospectTokenValidator has no such option; it is an option of JWTBearerTokenValidator",
    ),
    (
        introspection,
        "resource_server",
        "IntrospectTokenValidator has no such option; use audience= instead",
    ),
    *(
        (
            make,
            name,
            f"{make(API)._kind} has no such option, and every client would see it as a parameter of the challenge",
        )
        for make in (jwt, introspection)
        for name in ("secret", "password", "key", "token", "client_assertion", "api_key", "API-KEY", "secretvalue")
    ),
]


@pytest.mark.parametrize(("make", "name", "message"), MISTAKEN)
def test_unknown_options(make: Make, name: str, message: str) -> None:
    """R134, R133: a misspelt option does not become a challenge parameter, where every client would see its value."""
    with pytest.raises(TypeError) as caught:
        make(API, **{name: "hunter2"})
    assert str(caught.value) == f"{name}: {message}"


def test_audience_of_a_jwt_validator() -> None:
    """For an option of the other validator, the message says its name here."""
    with pytest.raises(TypeError, match=r"^audience: .* use resource_server= instead$"):
        JWTBearerTokenValidator(ISSUER, audience=API)


@pytest.mark.parametrize(
    "name", ["resource_metadata", "resource", "charset", "authorization_uri", "foo", "server", "token_type"]
)
@both
def test_parameters_of_the_challenge(make: Make, name: str) -> None:
    """Valid challenge parameters are accepted."""
    assert make(API, **{name: "x"}).extra_attributes == {name: "x"}


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> Any: ...


@both
def test_clients_without_a_hash(make: Make) -> None:
    """Requests with equal options share a client, so the factory must be hashable."""
    with pytest.raises(TypeError, match=r"^http_client must be hashable, got Unhashable$"):
        make(API, http_client=Unhashable())


def test_address_in_place_of_keys() -> None:
    """For a URL instead of keys, the message names the right option."""
    for make, options in ((jwt, {}), (introspection, {"issuer": ISSUER, "signed_responses": "required"})):
        with pytest.raises(TypeError, match=r"^jwks must be the keys themselves; pass a URL as jwks_uri=$"):
            make(API, jwks="https://as.example.com/keys", **options)  # type: ignore[operator]


@both
def test_http_client_and_verify(make: Make, ca_file: Path) -> None:
    """R74: ``http_client`` and ``verify`` exclude each other, because ``verify`` would have no effect."""
    with pytest.raises(ValueError, match=r"^http_client and verify must not both be given; "):
        make(API, http_client=make_client, verify=str(ca_file))
