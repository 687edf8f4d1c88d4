"""The tokens that the page presents, by name: rows of the database, and what the authorization server issues."""

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from django.conf import settings

from ..authority.clients import JWT_APP, NAMED_USER, OPAQUE_APP, DemoClient
from . import keys, server
from .turns import turn

ISSUED_AGAIN_AFTER = 300.0
"""Seconds after which tokens are fetched anew. They live for an hour, but a login is recent for ten minutes only."""

NOTHING = "Nothing"
ROWS = "Rows of the database"
JWTS = "JWTs"
OPAQUE = "Opaque tokens"
OTHERS = "No tokens at all"
BOUND = "Bound to a key (DPoP)"
CERTIFIED = "Bound to a certificate"
LOGINS = "Of a login"

GRIDS = dict.fromkeys((NOTHING, ROWS, JWTS, OPAQUE, OTHERS), "tokens") | dict.fromkeys(
    (BOUND, CERTIFIED, LOGINS), "bound"
)
"""The table of each group on the page."""
KINDS = {ROWS: "row", JWTS: "jwt", OPAQUE: "opaque", BOUND: "key", CERTIFIED: "certificate", LOGINS: "login"}
"""What kind of token a view may take, by group. The other groups are no kind of token."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """A token of the page, and how its client presents it.

    Attributes:
        token: the token; ``None`` if the authorization server issues it.
        issued_as: the name of the specimen that it was issued for, if it is not this one.
        scheme: with ``DPoP``, each request has a proof.
        key: whose key signs the proof.
        takes_nonce: whether the client sends the request again when it is given a nonce.
        replays: whether the request is sent twice with one proof.
        certificate: whose certificate the request has.
    """

    name: str
    group: str
    label: str
    about: str
    token: str | None = None
    issued_as: str | None = None
    scheme: str = "Bearer"
    key: str = keys.CLIENT
    takes_nonce: bool = True
    replays: bool = False
    certificate: str | None = None


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
    Specimen("jwt-foreign", JWTS, "Foreign key", "signed with a key that is not published"),
    Specimen("jwt-audience", JWTS, "For others", "its audience is another server"),
    Specimen("opaque", OPAQUE, "Alice", "scope “profile email”"),
    Specimen("opaque-revoked", OPAQUE, "Revoked", "at the authorization server"),
    Specimen("garbage", OTHERS, "Unknown", "never issued", "nobody-issued-this"),
    Specimen("two", OTHERS, "Two at once", "malformed credentials", "demo-alice-email demo-bob-user"),
    Specimen("bound", BOUND, "Right key", "a proof for each request", scheme="DPoP"),
    Specimen("bound-stolen", BOUND, "Stolen", "presented as Bearer", issued_as="bound"),
    Specimen("bound-thief", BOUND, "Another key", "signs the proof", issued_as="bound", scheme="DPoP", key=keys.THIEF),
    Specimen("bound-replayed", BOUND, "Replayed", "one proof, twice", issued_as="bound", scheme="DPoP", replays=True),
    Specimen(
        "bound-no-nonce",
        BOUND,
        "No nonce",
        "is put into the proof",
        issued_as="bound",
        scheme="DPoP",
        takes_nonce=False,
    ),
    Specimen("certified", CERTIFIED, "Right certificate", "as a proxy passes it on", certificate=keys.CLIENT),
    Specimen("certified-none", CERTIFIED, "No certificate", "the token alone", issued_as="certified"),
    Specimen("certified-thief", CERTIFIED, "Another one", "of a thief", issued_as="certified", certificate=keys.THIEF),
    Specimen("login", LOGINS, "Just now", "with two factors"),
    Specimen("login-old", LOGINS, "An hour ago", "with two factors"),
    Specimen("login-password", LOGINS, "Password only", "just now"),
)


@dataclass(slots=True)
class Wallet:
    """What the authorization server has issued to the page. Kept in memory, unlike everything else in this demo."""

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
    issued = _wallet.issued.get(specimen.issued_as or specimen.name)
    certificate = specimen.certificate
    return {
        **asdict(specimen),
        "token": issued if specimen.token is None else specimen.token,
        "grid": GRIDS[specimen.group],
        "kind": KINDS.get(specimen.group),
        "client_cert": None if certificate is None else keys.client_cert(certificate),
    }


async def _fetch() -> dict[str, str]:
    bad = await server.call("POST", "/specimens")
    jwt = await issue(JWT_APP, "profile email")
    revoked = await issue(OPAQUE_APP, "profile email")
    await revoke(OPAQUE_APP, revoked)
    return {
        "jwt": jwt,
        "jwt-scope": await issue(JWT_APP, "email"),
        "jwt-expired": str(bad["expired"]),
        "jwt-changed": _changed(jwt),
        "jwt-foreign": str(bad["foreign"]),
        "jwt-audience": str(bad["audience"]),
        "opaque": await issue(OPAQUE_APP, "profile email"),
        "opaque-revoked": revoked,
        "bound": await issue(JWT_APP, "profile", headers={"DPoP": keys.make_proof(keys.CLIENT, "POST", _token_uri())}),
        "certified": await issue(JWT_APP, "profile", headers={"Client-Cert": keys.client_cert(keys.CLIENT)}),
        "login": await issue(JWT_APP, "profile", login_age="0", acr="mfa"),
        "login-old": await issue(JWT_APP, "profile", login_age="3600", acr="mfa"),
        "login-password": await issue(JWT_APP, "profile", login_age="0", acr="pwd"),
    }


async def issue(client: DemoClient, scope: str, headers: Mapping[str, str] | None = None, **params: str) -> str:
    """A new token for Alice.

    Raises:
        ServerTroubleError: the authorization server issues none.
    """
    form = {"grant_type": NAMED_USER, "username": "alice", "scope": scope, **params}
    return str((await server.call("POST", "/token", form, _auth(client), headers))["access_token"])


async def revoke(client: DemoClient, token: str) -> None:
    """Revoke a token of this client.

    Raises:
        ServerTroubleError: the authorization server does not respond, or refuses.
    """
    await server.call("POST", "/revoke", {"token": token}, _auth(client))


def _auth(client: DemoClient) -> tuple[str, str]:
    return client.client_id, client.client_secret


def _token_uri() -> str:
    return f"{settings.ISSUER}/token"


def _changed(jwt: str) -> str:
    """The same claims under another signature."""
    head, _, signature = jwt.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
