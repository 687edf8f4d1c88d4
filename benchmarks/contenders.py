"""The contenders: their names, their constant response, and the tokens that clients present."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Final, Literal

# Each is a URL of the measured site. The views are in `project/views.py` and `project/remote_views.py`.
PLAIN: Final = "plain-async"
PLAIN_SYNC: Final = "plain-sync"
GUARD: Final = "guard-async"
GUARD_SYNC: Final = "guard-sync"
AUTHLIB: Final = "authlib-sync"
AGET: Final = "aget"
TOOLKIT: Final = "toolkit-sync"
TOOLKIT_GUARD: Final = "guard-toolkit-async"
JWT: Final = "jwt-async"
JWT_SYNC: Final = "jwt-sync"
AUTHLIB_JWT: Final = "authlib-jwt-sync"
REFUSED: Final = "refused-in-front"
BEHIND: Final = "jwt-behind-async"
INTROSPECTION: Final = "introspection-async"
INTROSPECTION_SYNC: Final = "introspection-sync"
COLD: Final = "cold-async"
COLD_50MS: Final = "cold-50ms-async"
COLD_1000MS: Final = "cold-1000ms-async"
WITH_REQUESTS: Final = "authlib-requests-sync"
WITH_REQUESTS_50MS: Final = "authlib-requests-50ms-sync"
WITH_HTTPX: Final = "authlib-httpx-sync"
WITH_HTTPX_50MS: Final = "authlib-httpx-50ms-sync"
# With short cache lifetimes, so that many entries expire during a soak.
SOAK_JWT: Final = "soak-jwt-async"
SOAK_JWT_SYNC: Final = "soak-jwt-sync"
SOAK_INTROSPECTION: Final = "soak-introspection-async"
SOAK_INTROSPECTION_SYNC: Final = "soak-introspection-sync"

NEW_TOKENS: Final = (COLD, COLD_50MS)
"""Contenders that get a new token with each request."""

IN_FRONT: Final = (REFUSED, BEHIND)
"""Contenders with a guard in front of Django. The first gets requests without a token."""

UNGUARDED: Final = {
    guarded: PLAIN_SYNC if guarded.endswith("-sync") else PLAIN
    for guarded in (GUARD, GUARD_SYNC, TOOLKIT_GUARD, JWT, JWT_SYNC, INTROSPECTION, INTROSPECTION_SYNC, *NEW_TOKENS)
}
"""Guarded views, each with the same view without a guard."""

Tokens = Literal["opaque", "jwt", "new", "unknown", "forged", "none"]
"""The tokens that a client presents: opaque tokens or JWTs in rotation, new opaque tokens, invalid ones, or none."""

INVALID: Final = ("unknown", "forged", "none")

SCOPE: Final = "profile"
GRANTED_SCOPE: Final = "profile email"
ANSWER: Final = {"sub": "42", "username": "ada", "email": "ada@example.com"}
ANSWER_BODY: Final = json.dumps(ANSWER).encode()

USERS: Final = 200
# Rows of a token table.
TOKENS: Final = 4096
# Clients present these tokens in rotation, so each was introspected or verified before the measurement.
KNOWN_TOKENS: Final = 256
# Tokens with this prefix are in no table, and are inactive at the authorization server.
UNKNOWN: Final = "unknown"


def token_string(index: int) -> str:
    return hashlib.sha256(f"token {index}".encode()).hexdigest()[:42]


def opaque_tokens() -> list[str]:
    return [token_string(index) for index in range(KNOWN_TOKENS)]


def new_tokens() -> Iterator[str]:
    """New tokens, as long as the others."""
    while True:
        yield secrets.token_hex(21)


def unknown_tokens() -> list[str]:
    return [f"{UNKNOWN}{token}"[:42] for token in opaque_tokens()]


def forged(jwt: str) -> str:
    """The same JWT with a wrong signature."""
    signed, _, signature = jwt.rpartition(".")
    return f"{signed}.{signature[::-1]}"


def request_bytes(contender: str, token: str) -> bytes:
    credentials = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"GET /{contender} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: benchmarks\r\n"
        "Accept: application/json\r\n"
        f"{credentials}"
        "\r\n"
    ).encode()
