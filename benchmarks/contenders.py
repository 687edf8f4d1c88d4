"""What is compared: names, the answer that all of them give, and the tokens that clients bring."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Final, Literal

# Each is a URL of the measured site; `project/views.py` and `project/remote_views.py` say what is behind it.
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
COLD_SLOW: Final = "cold-50ms-async"
GLACIAL: Final = "cold-1000ms-async"
WITH_REQUESTS: Final = "authlib-requests-sync"
WITH_REQUESTS_SLOW: Final = "authlib-requests-50ms-sync"
WITH_HTTPX: Final = "authlib-httpx-sync"
WITH_HTTPX_SLOW: Final = "authlib-httpx-50ms-sync"
# With lifetimes so short that a soak sees many of them end.
SOAK_JWT: Final = "soak-jwt-async"
SOAK_JWT_SYNC: Final = "soak-jwt-sync"
SOAK_INTROSPECTION: Final = "soak-introspection-async"
SOAK_INTROSPECTION_SYNC: Final = "soak-introspection-sync"

NEW_TOKENS: Final = (COLD, COLD_SLOW)
"""Those that get a token that nobody has sent before with each request."""

IN_FRONT: Final = (REFUSED, BEHIND)
"""Those with a guard in front of Django. The first gets requests without a token."""

UNGUARDED_TWIN: Final = {
    guarded: PLAIN_SYNC if guarded.endswith("-sync") else PLAIN
    for guarded in (GUARD, GUARD_SYNC, TOOLKIT_GUARD, JWT, JWT_SYNC, INTROSPECTION, INTROSPECTION_SYNC, *NEW_TOKENS)
}
"""By each view that this package guards: the same view without a guard."""

Tokens = Literal["opaque", "jwt", "new", "unknown", "forged", "none"]
"""What a client brings: opaque tokens or JWTs in rotation, new opaque tokens each time, invalid ones, or none."""

INVALID: Final = ("unknown", "forged", "none")

SCOPE: Final = "profile"
GRANTED_SCOPE: Final = "profile email"
ANSWER: Final = {"sub": "42", "username": "ada", "email": "ada@example.com"}
ANSWER_BODY: Final = json.dumps(ANSWER).encode()

USERS: Final = 200
# Rows of a token table.
TOKENS: Final = 4096
# Clients bring these in rotation, so that each is introspected or verified long before its turn is counted.
KNOWN_TOKENS: Final = 256
# No table has a token that begins like this, and to the authorization server it is inactive.
UNKNOWN: Final = "unknown"


def token_string(index: int) -> str:
    return hashlib.sha256(f"token {index}".encode()).hexdigest()[:42]


def opaque_tokens() -> list[str]:
    return [token_string(index) for index in range(KNOWN_TOKENS)]


def fresh_tokens() -> Iterator[str]:
    """Tokens that nobody has sent before, of the length of the others."""
    while True:
        yield secrets.token_hex(21)


def unknown_tokens() -> list[str]:
    return [f"{UNKNOWN}{token}"[:42] for token in opaque_tokens()]


def forged(jwt: str) -> str:
    """The same JWT with a signature that is wrong."""
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
