"""The rows of the demo: users, clients, and tokens in every state.

Seeding again restores these rows with new lifetimes. It does not change other rows.
"""

import time
from dataclasses import dataclass

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction

from .models import OAuth2Client, OAuth2Token

HOUR = 3600
DAY = 24 * HOUR

CLIENTS = {"demo-app": "An application with users", "demo-robot": "A machine that acts for itself"}
USERS = {"alice": True, "bob": True, "carol": False}
"""The users, and whether they are active."""


@dataclass(frozen=True, slots=True)
class DemoToken:
    """A token as it is stored in the database. Real ones are long and random."""

    access_token: str
    username: str | None
    scope: str
    client_id: str = "demo-app"
    age: int = 0
    revoked: bool = False


TOKENS = (
    DemoToken("demo-alice-profile", "alice", "profile"),
    DemoToken("demo-alice-email", "alice", "profile email"),
    DemoToken("demo-alice-reader", "alice", "notes:read"),
    DemoToken("demo-alice-writer", "alice", "notes:read notes:write messages:write"),
    DemoToken("demo-bob-user", "bob", "user"),
    DemoToken("demo-bob-reports", "bob", "reports:read"),
    DemoToken("demo-robot", None, "profile reports:read", client_id="demo-robot"),
    DemoToken("demo-alice-expired", "alice", "profile", age=2 * DAY),
    DemoToken("demo-alice-revoked", "alice", "profile", revoked=True),
    DemoToken("demo-carol-deactivated", "carol", "profile"),
)

LOAD_PREFIX = "demo-load-"
LOAD_TOKENS = tuple(f"{LOAD_PREFIX}{number:03}" for number in range(200))
"""For concurrent requests with different tokens. All are valid, with the user Alice and the scope ``profile``."""


@transaction.atomic
def seed() -> None:
    """Create or restore the rows."""
    for client_id, name in CLIENTS.items():
        OAuth2Client.objects.update_or_create(client_id=client_id, defaults={"client_name": name})
    for username, is_active in USERS.items():
        _seed_user(username, is_active=is_active)
    now = int(time.time())
    for token in TOKENS:
        _seed_token(token, now=now)
    _seed_load(now=now)
    _seed_note("alice", "Buy milk")


def _seed_user(username: str, *, is_active: bool) -> None:
    # `make_password(None)` is an unusable password: these users have tokens only.
    defaults = {"is_active": is_active, "password": make_password(None)}
    User.objects.update_or_create(username=username, defaults=defaults)


def _seed_token(token: DemoToken, *, now: int) -> None:
    OAuth2Token.objects.update_or_create(
        access_token=token.access_token,
        defaults={
            "client_id": token.client_id,
            "user": None if token.username is None else User.objects.get(username=token.username),
            "scope": token.scope,
            "issued_at": now - token.age,
            "expires_in": DAY,
            "revoked": token.revoked,
        },
    )


def _seed_load(*, now: int) -> None:
    alice = User.objects.get(username="alice")
    OAuth2Token.objects.bulk_create(
        [
            OAuth2Token(
                access_token=token, client_id="demo-app", user=alice, scope="profile", issued_at=now, expires_in=DAY
            )
            for token in LOAD_TOKENS
        ],
        update_conflicts=True,
        unique_fields=["access_token"],
        update_fields=["client_id", "user", "scope", "issued_at", "expires_in", "revoked"],
    )


def _seed_note(username: str, text: str) -> None:
    user = User.objects.get(username=username)
    # `get_or_create` would fail if the user has written the same note again.
    if not user.notes.filter(text=text).exists():
        user.notes.create(text=text)
