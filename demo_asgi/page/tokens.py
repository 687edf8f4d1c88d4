"""The sample tokens of the page: rows of the database, and tokens of the authorization server."""

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from django.conf import settings

from ..authority.clients import JWT_APP, NAMED_USER, OPAQUE_APP, DemoClient
from . import keys, server
from .locks import holding

RENEW_AFTER = 300.0
"""Seconds after which the page gets new tokens. They are valid for an hour, but logins are recent for ten minutes."""

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
"""The kind of the tokens in each group: see `ShownView.accepts`. The other groups have no kind."""


@dataclass(frozen=True, slots=True)
class SampleToken:
    """A token of the page, and how its client presents it.

    Attributes:
        token: the token; ``None`` if the authorization server issues it.
        issued_as: the name of another sample, if both present the same token.
        scheme: the authentication scheme. With ``DPoP``, each request has a proof.
        key: the owner of the key that signs the proof.
        uses_nonce: whether the client sends the request again with the nonce of a response.
        replays: whether the client sends the request twice with one proof.
        certificate: the owner of the certificate that the client presents.
    """

    name: str
    group: str
    label: str
    about: str
    token: str | None = None
    issued_as: str | None = None
    scheme: str = "Bearer"
    key: str = keys.CLIENT
    uses_nonce: bool = True
    replays: bool = False
    certificate: str | None = None


SAMPLE_TOKENS = (
    SampleToken("none", NOTHING, "No token", "the request has no Authorization header", ""),
    SampleToken("row", ROWS, "Alice", "scope “profile email”", "demo-alice-email"),
    SampleToken("row-scope", ROWS, "Bob", "scope “user”", "demo-bob-user"),
    SampleToken("row-robot", ROWS, "A machine", "no user; scope “profile reports:read”", "demo-robot"),
    SampleToken("row-expired", ROWS, "Expired", "since yesterday", "demo-alice-expired"),
    SampleToken("row-revoked", ROWS, "Revoked", "its owner revoked it", "demo-alice-revoked"),
    SampleToken("row-inactive", ROWS, "Carol", "her account is deactivated", "demo-carol-deactivated"),
    SampleToken("jwt", JWTS, "Alice", "scope “profile email”"),
    SampleToken("jwt-scope", JWTS, "Alice, email only", "scope “email”"),
    SampleToken("jwt-expired", JWTS, "Expired", "since yesterday"),
    SampleToken("jwt-changed", JWTS, "Changed", "after it was signed"),
    SampleToken("jwt-foreign", JWTS, "Foreign key", "signed with a key that is not published"),
    SampleToken("jwt-audience", JWTS, "For others", "its audience is another server"),
    SampleToken("opaque", OPAQUE, "Alice", "scope “profile email”"),
    SampleToken("opaque-revoked", OPAQUE, "Revoked", "at the authorization server"),
    SampleToken("garbage", OTHERS, "Unknown", "never issued", "nobody-issued-this"),
    SampleToken("two", OTHERS, "Two at once", "malformed credentials", "demo-alice-email demo-bob-user"),
    SampleToken("bound", BOUND, "Right key", "a proof for each request", scheme="DPoP"),
    SampleToken("bound-stolen", BOUND, "Stolen", "presented as Bearer", issued_as="bound"),
    SampleToken(
        "bound-thief", BOUND, "Another key", "signs the proof", issued_as="bound", scheme="DPoP", key=keys.THIEF
    ),
    SampleToken(
        "bound-replayed", BOUND, "Replayed", "one proof, twice", issued_as="bound", scheme="DPoP", replays=True
    ),
    SampleToken(
        "bound-no-nonce",
        BOUND,
        "No nonce",
        "in the proof",
        issued_as="bound",
        scheme="DPoP",
        uses_nonce=False,
    ),
    SampleToken("certified", CERTIFIED, "Right certificate", "as a proxy passes it on", certificate=keys.CLIENT),
    SampleToken("certified-none", CERTIFIED, "No certificate", "the token alone", issued_as="certified"),
    SampleToken(
        "certified-thief", CERTIFIED, "Another one", "of a thief", issued_as="certified", certificate=keys.THIEF
    ),
    SampleToken("login", LOGINS, "Just now", "with two factors"),
    SampleToken("login-old", LOGINS, "An hour ago", "with two factors"),
    SampleToken("login-password", LOGINS, "Password only", "just now"),
)


@dataclass(slots=True)
class IssuedTokens:
    """Tokens of the authorization server, by the names of the samples. They are kept in memory only."""

    by_name: Mapping[str, str]
    issued_at: float = float("-inf")

    def is_old(self) -> bool:
        return time.monotonic() - self.issued_at > RENEW_AFTER


_issued = IssuedTokens({})
# If two pages open at once, only one of them fetches the tokens.
_lock = threading.Lock()


async def all_tokens(*, fresh: bool) -> dict[str, object]:
    """All samples with their tokens. A token is ``None`` if the server did not issue it; ``error`` says why."""
    error = None
    async with holding(_lock):
        if fresh or _issued.is_old():
            try:
                _issued.by_name, _issued.issued_at = await _fetch(), time.monotonic()
            except server.AuthorizationServerError as failure:
                error = str(failure)
    return {"tokens": [_describe(sample) for sample in SAMPLE_TOKENS], "error": error}


def _describe(sample: SampleToken) -> dict[str, object]:
    issued = _issued.by_name.get(sample.issued_as or sample.name)
    certificate = sample.certificate
    return {
        **asdict(sample),
        "token": issued if sample.token is None else sample.token,
        "grid": GRIDS[sample.group],
        "kind": KINDS.get(sample.group),
        "client_cert": None if certificate is None else keys.client_cert(certificate),
    }


async def _fetch() -> dict[str, str]:
    invalid = await server.send("POST", "/invalid-jwts")
    jwt = await issue(JWT_APP, "profile email")
    revoked = await issue(OPAQUE_APP, "profile email")
    await revoke(OPAQUE_APP, revoked)
    return {
        "jwt": jwt,
        "jwt-scope": await issue(JWT_APP, "email"),
        "jwt-expired": str(invalid["expired"]),
        "jwt-changed": _with_changed_signature(jwt),
        "jwt-foreign": str(invalid["foreign"]),
        "jwt-audience": str(invalid["audience"]),
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
        AuthorizationServerError: the authorization server issues none.
    """
    form = {"grant_type": NAMED_USER, "username": "alice", "scope": scope, **params}
    return str((await server.send("POST", "/token", form, _auth(client), headers))["access_token"])


async def revoke(client: DemoClient, token: str) -> None:
    """Revoke a token of this client.

    Raises:
        AuthorizationServerError: the authorization server does not respond, or refuses.
    """
    await server.send("POST", "/revoke", {"token": token}, _auth(client))


def _auth(client: DemoClient) -> tuple[str, str]:
    return client.client_id, client.client_secret


def _token_uri() -> str:
    return f"{settings.ISSUER}/token"


def _with_changed_signature(jwt: str) -> str:
    head, _, signature = jwt.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
