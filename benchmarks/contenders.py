"""What is compared: names, the answer that all of them give, and the tokens that clients bring."""

import hashlib
import json
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

SCOPE: Final = "profile"
GRANTED_SCOPE: Final = "profile email"
ANSWER: Final = {"sub": "42", "username": "ada", "email": "ada@example.com"}
ANSWER_BODY: Final = json.dumps(ANSWER).encode()

USERS: Final = 200
TOKENS: Final = 4096


def token_string(index: int) -> str:
    return hashlib.sha256(f"token {index}".encode()).hexdigest()[:42]


def request_bytes(contender: str, token: str) -> bytes:
    return (
        f"GET /{contender} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: benchmarks\r\n"
        "Accept: application/json\r\n"
        f"Authorization: Bearer {token}\r\n"
        "\r\n"
    ).encode()
