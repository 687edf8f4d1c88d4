"""The tokens that the page presents, by name: rows of the database, and what the authorization server issues."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..authority.clients import CLIENT_CREDENTIALS, JWT_APP, NAMED_USER, OPAQUE_APP, DemoClient
from . import server
from .turns import turn

ISSUED_AGAIN_AFTER = 1800.0
"""Seconds after which tokens of the authorization server are fetched anew: they live for an hour."""

NOTHING = "Nothing"
ROWS = "Rows of the database"
JWTS = "JWTs"
OPAQUE = "Opaque tokens"
OTHERS = "No tokens at all"


@dataclass(frozen=True, slots=True)
class Specimen:
    """A token of the page. Where ``token`` is ``None``, the authorization server issues it, under the same name."""

    name: str
    group: str
    label: str
    about: str
    token: str | None = None


SPECIMENS = (
    Specimen("none", NOTHING, "No token", "the request has no Authorization header", ""),
    Specimen("row", ROWS, "Alice", "scope “profile email”", "demo-alice-email"),
    Specimen("row-scope", ROWS, "Bob", "scope “user”", "demo-bob-user"),
    Specimen("row-robot", ROWS, "A machine", "no user; scope “profile reports:read”", "demo-robot"),
    Specimen("row-expired", ROWS, "Expired", "since yesterday", "demo-alice-expired"),
    Specimen("row-revoked", ROWS, "Revoked", "taken back by its owner", "demo-alice-revoked"),
    Specimen("row-inactive", ROWS, "Carol", "her account is deactivated", "demo-carol-deactivated"),
    Specimen("jwt", JWTS, "Alice", "scope “profile email”"),
    Specimen("jwt-scope", JWTS, "Alice, email only", "scope “email”"),
    Specimen("jwt-expired", JWTS, "Expired", "since yesterday"),
    Specimen("jwt-changed", JWTS, "Changed", "after it was signed"),
    Specimen("jwt-foreign", JWTS, "Foreign key", "signed with a key that nobody published"),
    Specimen("jwt-audience", JWTS, "For others", "its audience is another server"),
    Specimen("opaque", OPAQUE, "Alice", "scope “profile email”"),
    Specimen("opaque-revoked", OPAQUE, "Revoked", "at the authorization server"),
    Specimen("garbage", OTHERS, "Unknown", "nobody issued it", "nobody-issued-this"),
    Specimen("two", OTHERS, "Two at once", "malformed credentials", "demo-alice-email demo-bob-user"),
)


@dataclass(slots=True)
class Wallet:
    """What the authorization server has issued to the page. Kept in memory, like nothing else in this demo."""

    issued: Mapping[str, str]
    at: float = float("-inf")

    def is_old(self) -> bool:
        return time.monotonic() - self.at > ISSUED_AGAIN_AFTER


_wallet = Wallet({})
# Two pages that open at once fetch once.
_lock = threading.Lock()


async def all_tokens(*, fresh: bool) -> dict[str, object]:
    """Every specimen with its token, or without, where the authorization server does not issue it; and why not."""
    trouble = None
    async with turn(_lock):
        if fresh or _wallet.is_old():
            try:
                _wallet.issued, _wallet.at = await _fetch(), time.monotonic()
            except server.ServerTroubleError as error:
                trouble = str(error)
    return {"tokens": [_shown(specimen) for specimen in SPECIMENS], "trouble": trouble}


def _shown(specimen: Specimen) -> dict[str, object]:
    token = _wallet.issued.get(specimen.name) if specimen.token is None else specimen.token
    return {
        "name": specimen.name,
        "group": specimen.group,
        "label": specimen.label,
        "about": specimen.about,
        "token": token,
    }


async def _fetch() -> dict[str, str]:
    bad = await server.call("POST", "/specimens")
    jwt = await _issue(JWT_APP, "profile email")
    revoked = await _issue(OPAQUE_APP, "profile email")
    await server.call("POST", "/revoke", {"token": revoked}, auth=_auth(OPAQUE_APP))
    return {
        "jwt": jwt,
        "jwt-scope": await _issue(JWT_APP, "email"),
        "jwt-expired": str(bad["expired"]),
        "jwt-changed": _changed(jwt),
        "jwt-foreign": str(bad["foreign"]),
        "jwt-audience": str(bad["audience"]),
        "opaque": await _issue(OPAQUE_APP, "profile email"),
        "opaque-revoked": revoked,
    }


async def _issue(client: DemoClient, scope: str, username: str | None = "alice") -> str:
    form = {"grant_type": CLIENT_CREDENTIALS, "scope": scope}
    if username is not None:
        form |= {"grant_type": NAMED_USER, "username": username}
    return str((await server.call("POST", "/token", form, auth=_auth(client)))["access_token"])


def _auth(client: DemoClient) -> tuple[str, str]:
    return client.client_id, client.client_secret


def _changed(jwt: str) -> str:
    """The same claims under another signature."""
    head, _, signature = jwt.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
