"""Requests with tokens of the authorization server. In between, the server is stopped and started.

The order matters: requests use tokens of earlier responses, and depend on the state of the keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlencode

from .authority.clients import (
    CLIENT_CREDENTIALS,
    JWT_APP,
    NAMED_USER,
    OPAQUE_APP,
    RESOURCE_SERVER,
    DemoClient,
)
from .requests import (
    ALICE,
    AUTHORITY,
    DemoRequest,
    bearer,
    granted,
    insufficient_scope,
    invalid_token,
    malformed,
    nothing_presented,
    temporarily_unavailable,
)
from .responses import ResponseSummary

EVENTUALLY = 20.0
"""Seconds until a cached result has expired, a new key was fetched, and the guard uses a restarted server again."""


@dataclass(frozen=True, slots=True)
class ServerStep:
    """Stops or starts the authorization server."""

    shows: str
    action: Literal["stop", "start"]


Step = DemoRequest | ServerStep


# --- Requests to the authorization server -----------------------------------------------------------------------------


def fetch(
    keeps: str, client: DemoClient, username: str | None, *, scope: str = "profile", shows: str = "A token"
) -> DemoRequest:
    """A token for this user. If ``username`` is ``None``, a token for the client itself."""
    params = {"grant_type": CLIENT_CREDENTIALS, "scope": scope}
    if username is not None:
        params |= {"grant_type": NAMED_USER, "username": username}
    expected = ResponseSummary(200, {"token_type": "Bearer", "scope": scope}, fields={"Cache-Control": "no-store"})
    return DemoRequest(shows, "POST /token", expected, form=_form(params), client=client, at=AUTHORITY, keeps=keeps)


def revoke(name: str, client: DemoClient) -> DemoRequest:
    form = f"token=${name}"
    return DemoRequest("Revoke it", "POST /revoke", ResponseSummary(200), form=form, client=client, at=AUTHORITY)


def introspect(name: str, expected: ResponseSummary, *, shows: str) -> DemoRequest:
    """The same request as the guard sends."""
    form = f"token=${name}"
    return DemoRequest(shows, "POST /introspect", expected, form=form, client=RESOURCE_SERVER, at=AUTHORITY)


def rotate(old: Literal["keep", "remove"], *, shows: str) -> DemoRequest:
    return DemoRequest(shows, "POST /rotate", ResponseSummary(201, {"old": old}), form=f"old={old}", at=AUTHORITY)


def eventually(request: DemoRequest) -> DemoRequest:
    return replace(request, within=EVENTUALLY)


def _form(params: Mapping[str, str]) -> str:
    # Easier to read: a form may contain a colon.
    return urlencode(params, safe=":")


# --- The list ---------------------------------------------------------------------------------------------------------

_NO_USER = {"username": None}

FETCHING = (
    DemoRequest(
        "The metadata of the authorization server",
        "GET /.well-known/oauth-authorization-server",
        ResponseSummary(200, {"grant_types_supported": [CLIENT_CREDENTIALS, NAMED_USER]}),
        at=AUTHORITY,
    ),
    fetch("JWT", JWT_APP, "alice", scope="profile email", shows="A JWT for Alice"),
    fetch("OPAQUE", OPAQUE_APP, "alice", scope="profile email", shows="An opaque token for Alice"),
    replace(
        fetch("NONE", JWT_APP, "alice", scope="admin", shows="A scope that the client may not get"),
        expected=ResponseSummary(400, {"error": "invalid_scope"}),
        keeps=None,
    ),
    introspect(
        "OPAQUE", ResponseSummary(200, {"active": True, "sub": "alice"}), shows="The introspection request of the guard"
    ),
)

JWTS = (
    DemoRequest("A JWT, an async view", "GET /jwt/async", granted(ALICE), bearer("$JWT")),
    DemoRequest("... a sync view", "GET /jwt/sync", granted(ALICE), bearer("$JWT")),
    DemoRequest("Nothing presented", "GET /jwt/async", nothing_presented(scope="profile")),
    DemoRequest("A JWT that was changed after it was signed", "GET /jwt/async", invalid_token(), bearer("${JWT}A")),
    DemoRequest("An opaque token, where a JWT is required", "GET /jwt/sync", invalid_token(), bearer("$OPAQUE")),
    fetch("JWT_EMAIL", JWT_APP, "alice", scope="email", shows="A JWT with another scope"),
    DemoRequest("... is refused", "GET /jwt/async", insufficient_scope(scope="profile"), bearer("$JWT_EMAIL")),
    DemoRequest("... by the sync view too", "GET /jwt/sync", insufficient_scope(scope="profile"), bearer("$JWT_EMAIL")),
    fetch("JWT_CLIENT", JWT_APP, None, shows="A JWT that a client got for itself"),
    DemoRequest("... has no user", "GET /jwt/async", granted(_NO_USER), bearer("$JWT_CLIENT")),
    fetch("JWT_MALLORY", JWT_APP, "mallory", shows="A JWT for a person who is not a user of this site"),
    DemoRequest("... is refused", "GET /jwt/async", invalid_token(), bearer("$JWT_MALLORY")),
)

INTROSPECTION = (
    DemoRequest("An opaque token, an async view", "GET /introspection/async", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("... a sync view", "GET /introspection/sync", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("... a view with fresh=True", "GET /introspection/fresh", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("A JWT can be introspected too", "GET /introspection/sync", granted(ALICE), bearer("$JWT")),
    DemoRequest("Nothing presented", "GET /introspection/async", nothing_presented(scope="profile")),
    DemoRequest("Two tokens", "GET /introspection/async", malformed(), bearer("$OPAQUE $OPAQUE")),
    DemoRequest("An unknown token", "GET /introspection/async", invalid_token(), bearer("nobody-issued-this")),
    fetch("OPAQUE_EMAIL", OPAQUE_APP, "alice", scope="email", shows="An opaque token with another scope"),
    DemoRequest(
        "... is refused", "GET /introspection/async", insufficient_scope(scope="profile"), bearer("$OPAQUE_EMAIL")
    ),
    DemoRequest(
        "... by the sync view too",
        "GET /introspection/sync",
        insufficient_scope(scope="profile"),
        bearer("$OPAQUE_EMAIL"),
    ),
    fetch("OPAQUE_CLIENT", OPAQUE_APP, None, shows="An opaque token that a client got for itself"),
    DemoRequest("... has no user", "GET /introspection/sync", granted(_NO_USER), bearer("$OPAQUE_CLIENT")),
)

ANY_SOURCE = (
    DemoRequest("Any source: a row of the database", "GET /any/async", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("... a JWT", "GET /any/async", granted(ALICE), bearer("$JWT")),
    DemoRequest("... an opaque token", "GET /any/async", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("... a sync view, a row", "GET /any/sync", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("... a JWT", "GET /any/sync", granted(ALICE), bearer("$JWT")),
    DemoRequest("... an opaque token", "GET /any/sync", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest(
        "Refused: a row of the database", "GET /any/async", insufficient_scope(scope="profile"), bearer("demo-bob-user")
    ),
    DemoRequest("... a JWT", "GET /any/sync", insufficient_scope(scope="profile"), bearer("$JWT_EMAIL")),
    DemoRequest("... an opaque token", "GET /any/async", insufficient_scope(scope="profile"), bearer("$OPAQUE_EMAIL")),
    DemoRequest(
        "A token that is unknown to all sources", "GET /any/async", invalid_token(), bearer("nobody-issued-this")
    ),
    DemoRequest("Nothing presented", "GET /any/sync", nothing_presented(scope="profile")),
)

REVOCATION = (
    fetch("REVOKED", OPAQUE_APP, "alice", shows="An opaque token"),
    DemoRequest("... is let in", "GET /introspection/async", granted(ALICE), bearer("$REVOKED")),
    DemoRequest("... by the sync view too", "GET /introspection/sync", granted(ALICE), bearer("$REVOKED")),
    revoke("REVOKED", OPAQUE_APP),
    DemoRequest(
        "A view with fresh=True refuses it at once", "GET /introspection/fresh", invalid_token(), bearer("$REVOKED")
    ),
    eventually(
        DemoRequest("Other views refuse it later", "GET /introspection/async", invalid_token(), bearer("$REVOKED"))
    ),
    eventually(DemoRequest("... a sync view too", "GET /introspection/sync", invalid_token(), bearer("$REVOKED"))),
    fetch("REVOKED_JWT", JWT_APP, "alice", shows="A JWT"),
    revoke("REVOKED_JWT", JWT_APP),
    DemoRequest("Introspection refuses it", "GET /introspection/fresh", invalid_token(), bearer("$REVOKED_JWT")),
    DemoRequest("A view for JWTs does not know", "GET /jwt/async", granted(ALICE), bearer("$REVOKED_JWT")),
)

ROTATION = (
    rotate("keep", shows="Sign with a second key, and still publish the first"),
    fetch("JWT_SECOND", JWT_APP, "alice", shows="A JWT signed with the second key"),
    eventually(DemoRequest("... is let in", "GET /jwt/async", granted(ALICE), bearer("$JWT_SECOND"))),
    DemoRequest("So is a JWT signed with the first key", "GET /jwt/async", granted(ALICE), bearer("$JWT")),
    rotate("remove", shows="Sign with a third key, and no longer publish the others"),
    fetch("JWT_THIRD", JWT_APP, "alice", shows="A JWT signed with the third key"),
    eventually(DemoRequest("... is let in", "GET /jwt/async", granted(ALICE), bearer("$JWT_THIRD"))),
    DemoRequest("... a sync view", "GET /jwt/sync", granted(ALICE), bearer("$JWT_THIRD")),
    DemoRequest("A JWT signed with the first key is refused", "GET /jwt/async", invalid_token(), bearer("$JWT")),
    DemoRequest("... and one signed with the second", "GET /jwt/sync", invalid_token(), bearer("$JWT_SECOND")),
)

OUTAGE: tuple[Step, ...] = (
    fetch("WARM", OPAQUE_APP, "alice", shows="An opaque token"),
    DemoRequest("... the demo introspects it", "GET /introspection/async", granted(ALICE), bearer("$WARM")),
    DemoRequest("... with any source", "GET /any/async", granted(ALICE), bearer("$WARM")),
    fetch("COLD", OPAQUE_APP, "alice", shows="An opaque token that the demo has not introspected"),
    fetch("JWT_UNSEEN", JWT_APP, "alice", shows="A JWT that the demo has not seen, signed with a known key"),
    eventually(
        DemoRequest("... the other views know the key too", "GET /any/async", granted(ALICE), bearer("$JWT_THIRD"))
    ),
    rotate("keep", shows="Sign with a fourth key"),
    fetch("JWT_COLD", JWT_APP, "alice", shows="A JWT signed with an unknown key"),
    ServerStep("The authorization server stops", "stop"),
    DemoRequest(
        "A token that was not introspected: 503", "GET /introspection/async", temporarily_unavailable(), bearer("$COLD")
    ),
    DemoRequest("... a sync view", "GET /introspection/sync", temporarily_unavailable(), bearer("$COLD")),
    DemoRequest("... any source", "GET /any/async", temporarily_unavailable(), bearer("$COLD")),
    DemoRequest("A view with fresh=True: 503", "GET /introspection/fresh", temporarily_unavailable(), bearer("$WARM")),
    eventually(
        DemoRequest("A JWT with an unknown key: 503", "GET /jwt/async", temporarily_unavailable(), bearer("$JWT_COLD"))
    ),
    DemoRequest("A token with a cached result is let in", "GET /introspection/async", granted(ALICE), bearer("$WARM")),
    DemoRequest("... any source", "GET /any/async", granted(ALICE), bearer("$WARM")),
    DemoRequest("A JWT that was seen before", "GET /jwt/async", granted(ALICE), bearer("$JWT_THIRD")),
    DemoRequest("... and a new JWT with a known key", "GET /jwt/sync", granted(ALICE), bearer("$JWT_UNSEEN")),
    DemoRequest("... any source", "GET /any/sync", granted(ALICE), bearer("$JWT_UNSEEN")),
    DemoRequest("Rows are not affected", "GET /any/async", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("... and unguarded views", "GET /health", ResponseSummary(200, {"status": "ok"})),
    ServerStep("The authorization server starts again", "start"),
    eventually(DemoRequest("Introspection works again", "GET /introspection/async", granted(ALICE), bearer("$COLD"))),
    eventually(DemoRequest("... for sync views", "GET /introspection/sync", granted(ALICE), bearer("$COLD"))),
    eventually(DemoRequest("... with fresh=True", "GET /introspection/fresh", granted(ALICE), bearer("$WARM"))),
    eventually(DemoRequest("... with any source", "GET /any/async", granted(ALICE), bearer("$COLD"))),
    eventually(DemoRequest("... and for the new key", "GET /jwt/async", granted(ALICE), bearer("$JWT_COLD"))),
)

CHAPTERS: Mapping[str, tuple[DemoRequest, ...]] = {
    "Tokens of the authorization server": FETCHING,
    "JWTs": JWTS,
    "Introspection": INTROSPECTION,
    "Three sources at once": ANY_SOURCE,
    "Revocation": REVOCATION,
    "Key rotation": ROTATION,
}
"""The requests to try by hand."""

STEPS: tuple[Step, ...] = (*(request for chapter in CHAPTERS.values() for request in chapter), *OUTAGE)
