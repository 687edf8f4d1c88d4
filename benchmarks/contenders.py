"""What is compared: names, the answer that all of them give, and the tokens that clients bring."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Final

PLAIN: Final = "plain-async"
GUARD: Final = "guard-async"
AUTHLIB: Final = "authlib-sync"
AGET: Final = "aget"

CONTENDERS: Final[dict[str, str]] = {
    PLAIN: "unguarded async view",
    "plain-sync": "unguarded sync view",
    GUARD: "the guard on the async view",
    "guard-sync": "the guard on the sync view",
    AUTHLIB: "Authlib's `ResourceProtector` on the sync view",
    "toolkit-sync": "django-oauth-toolkit's `protected_resource` on the sync view",
    "guard-toolkit-async": "the guard over django-oauth-toolkit's table, async view",
    AGET: 'hand-written `await Token.objects.select_related("user").aget(...)` in the async view',
}

COALESCED: Final = (GUARD, "guard-toolkit-async")
"""Those that read through the guard's own threads."""

JWT: Final = "jwt-async"
JWT_CONTENDERS: Final[dict[str, str]] = {
    PLAIN: "unguarded async view",
    "plain-sync": "unguarded sync view",
    JWT: "the guard on the async view; every token was seen before",
    "jwt-sync": "the guard on the sync view; every token was seen before",
    "authlib-jwt-sync": "Authlib's `JWTBearerTokenValidator` on the sync view, its key set kept in memory",
}

INTROSPECTION: Final = "introspection-async"
COLD: Final = "cold-async"
COLD_SLOW: Final = "cold-50ms-async"
GLACIAL: Final = "cold-1000ms-async"
INTROSPECTION_CONTENDERS: Final[dict[str, str]] = {
    PLAIN: "unguarded async view",
    "plain-sync": "unguarded sync view",
    INTROSPECTION: "the guard on the async view; every verdict is in the process",
    "introspection-sync": "the guard on the sync view; every verdict is in the process",
    COLD: "the guard on the async view; every token is new, the server answers at once",
    COLD_SLOW: "the same, the server answers after 50 ms",
    "authlib-requests-sync": "Authlib's `IntrospectTokenValidator` with `requests.post` on the sync view",
    "authlib-requests-50ms-sync": "the same, the server answers after 50 ms",
    "authlib-httpx-sync": "Authlib's `IntrospectTokenValidator` with one pooled `httpx.Client` on the sync view",
    "authlib-httpx-50ms-sync": "the same, the server answers after 50 ms",
}
NEW_TOKENS: Final = (COLD, COLD_SLOW)
"""Those that are asked with a new token each time."""

SCOPE: Final = "profile"
GRANTED_SCOPE: Final = "profile email"
ANSWER: Final = {"sub": "42", "username": "ada", "email": "ada@example.com"}
ANSWER_BODY: Final = json.dumps(ANSWER).encode()

USERS: Final = 200
TOKENS: Final = 4096


def token_string(index: int) -> str:
    return hashlib.sha256(f"token {index}".encode()).hexdigest()[:42]


def fresh_tokens() -> Iterator[str]:
    """Tokens that nobody has sent before, of the length of the others."""
    while True:
        yield secrets.token_hex(21)


def request_bytes(contender: str, token: str) -> bytes:
    return (
        f"GET /{contender} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: benchmarks\r\n"
        "Accept: application/json\r\n"
        f"Authorization: Bearer {token}\r\n"
        "\r\n"
    ).encode()
