"""The requests with tokens of the authorization server, and what happens to that server meanwhile.

Their order matters: they use tokens that were kept before, and depend on the state of the keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlencode

from .answers import Answer
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

PATIENCE = 20.0
"""Seconds until a cached result expires, a new key is fetched, and a restarted server gets requests again."""


@dataclass(frozen=True, slots=True)
class ServerStep:
    """What happens to the authorization server."""

    shows: str
    does: Literal["stop", "start"]


Step = DemoRequest | ServerStep


# --- Requests to the authorization server -----------------------------------------------------------------------------


def fetch(
    keeps: str, client: DemoClient, username: str | None, *, scope: str = "profile", shows: str = "A token"
) -> DemoRequest:
    """A token for the user of that name; for the client itself, if ``username`` is ``None``."""
    params = {"grant_type": CLIENT_CREDENTIALS, "scope": scope}
    if username is not None:
        params |= {"grant_type": NAMED_USER, "username": username}
    answer = Answer(200, {"token_type": "Bearer", "scope": scope}, fields={"Cache-Control": "no-store"})
    return DemoRequest(shows, "POST /token", answer, form=_form(params), client=client, at=AUTHORITY, keeps=keeps)


def revoke(name: str, client: DemoClient) -> DemoRequest:
    form = f"token=${name}"
    return DemoRequest("It is revoked", "POST /revoke", Answer(200), form=form, client=client, at=AUTHORITY)


def introspect(name: str, answer: Answer, *, shows: str) -> DemoRequest:
    """The request that the guard sends."""
    form = f"token=${name}"
    return DemoRequest(shows, "POST /introspect", answer, form=form, client=RESOURCE_SERVER, at=AUTHORITY)


def rotate(old: Literal["keep", "remove"], *, shows: str) -> DemoRequest:
    return DemoRequest(shows, "POST /rotate", Answer(201, {"old": old}), form=f"old={old}", at=AUTHORITY)


def eventually(request: DemoRequest) -> DemoRequest:
    return replace(request, within=PATIENCE)


def _form(params: Mapping[str, str]) -> str:
    # For people to read: a colon and a slash need no escaping in a form.
    return urlencode(params, safe=":")


# --- The list ---------------------------------------------------------------------------------------------------------

_NOBODY = {"username": None}

FETCHING = (
    DemoRequest(
        "The metadata of the authorization server",
        "GET /.well-known/oauth-authorization-server",
        Answer(200, {"grant_types_supported": [CLIENT_CREDENTIALS, NAMED_USER]}),
        at=AUTHORITY,
    ),
    fetch("JWT", JWT_APP, "alice", scope="profile email", shows="A JWT for Alice"),
    fetch("OPAQUE", OPAQUE_APP, "alice", scope="profile email", shows="An opaque token for Alice"),
    replace(
        fetch("NONE", JWT_APP, "alice", scope="admin", shows="A scope that is not the client's"),
        answer=Answer(400, {"error": "invalid_scope"}),
        keeps=None,
    ),
    introspect("OPAQUE", Answer(200, {"active": True, "sub": "alice"}), shows="The introspection request of the guard"),
)

JWTS = (
    DemoRequest("A JWT, an async view", "GET /jwt/async", granted(ALICE), bearer("$JWT")),
    DemoRequest("... and a sync one", "GET /jwt/sync", granted(ALICE), bearer("$JWT")),
    DemoRequest("Nothing presented", "GET /jwt/async", nothing_presented(scope="profile")),
    DemoRequest("Changed after it was signed", "GET /jwt/async", invalid_token(), bearer("${JWT}A")),
    DemoRequest("No JWT at all", "GET /jwt/sync", invalid_token(), bearer("$OPAQUE")),
    fetch("JWT_EMAIL", JWT_APP, "alice", scope="email", shows="A JWT for other things"),
    DemoRequest("... is refused", "GET /jwt/async", insufficient_scope(scope="profile"), bearer("$JWT_EMAIL")),
    DemoRequest("... by both", "GET /jwt/sync", insufficient_scope(scope="profile"), bearer("$JWT_EMAIL")),
    fetch("JWT_CLIENT", JWT_APP, None, shows="A JWT that a client got for itself"),
    DemoRequest("... has no user", "GET /jwt/async", granted(_NOBODY), bearer("$JWT_CLIENT")),
    fetch("JWT_MALLORY", JWT_APP, "mallory", shows="A JWT for a person who is not a user of this site"),
    DemoRequest("... is refused", "GET /jwt/async", invalid_token(), bearer("$JWT_MALLORY")),
)

INTROSPECTION = (
    DemoRequest("An opaque token, an async view", "GET /introspection/async", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("... and a sync one", "GET /introspection/sync", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("... and one with fresh=True", "GET /introspection/fresh", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("A JWT can be introspected too", "GET /introspection/sync", granted(ALICE), bearer("$JWT")),
    DemoRequest("Nothing presented", "GET /introspection/async", nothing_presented(scope="profile")),
    DemoRequest("Two tokens", "GET /introspection/async", malformed(), bearer("$OPAQUE $OPAQUE")),
    DemoRequest(
        "A token that nobody issued", "GET /introspection/async", invalid_token(), bearer("nobody-issued-this")
    ),
    fetch("OPAQUE_EMAIL", OPAQUE_APP, "alice", scope="email", shows="An opaque token for other things"),
    DemoRequest(
        "... is refused", "GET /introspection/async", insufficient_scope(scope="profile"), bearer("$OPAQUE_EMAIL")
    ),
    DemoRequest("... by both", "GET /introspection/sync", insufficient_scope(scope="profile"), bearer("$OPAQUE_EMAIL")),
    fetch("OPAQUE_CLIENT", OPAQUE_APP, None, shows="An opaque token that a client got for itself"),
    DemoRequest("... has no user", "GET /introspection/sync", granted(_NOBODY), bearer("$OPAQUE_CLIENT")),
)

ANY_SOURCE = (
    DemoRequest("Any source: a row", "GET /any/async", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("... a JWT", "GET /any/async", granted(ALICE), bearer("$JWT")),
    DemoRequest("... an opaque token", "GET /any/async", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("... a sync view, a row", "GET /any/sync", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("... a JWT", "GET /any/sync", granted(ALICE), bearer("$JWT")),
    DemoRequest("... an opaque token", "GET /any/sync", granted(ALICE), bearer("$OPAQUE")),
    DemoRequest("Refused: a row", "GET /any/async", insufficient_scope(scope="profile"), bearer("demo-bob-user")),
    DemoRequest("... a JWT", "GET /any/sync", insufficient_scope(scope="profile"), bearer("$JWT_EMAIL")),
    DemoRequest("... an opaque token", "GET /any/async", insufficient_scope(scope="profile"), bearer("$OPAQUE_EMAIL")),
    DemoRequest("A token that no source knows", "GET /any/async", invalid_token(), bearer("nobody-issued-this")),
    DemoRequest("Nothing presented", "GET /any/sync", nothing_presented(scope="profile")),
)

REVOCATION = (
    fetch("REVOKED", OPAQUE_APP, "alice", shows="An opaque token"),
    DemoRequest("... is good", "GET /introspection/async", granted(ALICE), bearer("$REVOKED")),
    DemoRequest("... wherever", "GET /introspection/sync", granted(ALICE), bearer("$REVOKED")),
    revoke("REVOKED", OPAQUE_APP),
    DemoRequest("Known at once (fresh)", "GET /introspection/fresh", invalid_token(), bearer("$REVOKED")),
    eventually(DemoRequest("Other views later", "GET /introspection/async", invalid_token(), bearer("$REVOKED"))),
    eventually(DemoRequest("... sync ones too", "GET /introspection/sync", invalid_token(), bearer("$REVOKED"))),
    fetch("REVOKED_JWT", JWT_APP, "alice", shows="A JWT"),
    revoke("REVOKED_JWT", JWT_APP),
    DemoRequest("Introspection notices", "GET /introspection/fresh", invalid_token(), bearer("$REVOKED_JWT")),
    DemoRequest("Its signature is still valid", "GET /jwt/async", granted(ALICE), bearer("$REVOKED_JWT")),
)

ROTATION = (
    rotate("keep", shows="A second key: the first is still published"),
    fetch("JWT_SECOND", JWT_APP, "alice", shows="A JWT of the second key"),
    eventually(DemoRequest("... is good", "GET /jwt/async", granted(ALICE), bearer("$JWT_SECOND"))),
    DemoRequest("So is a JWT of the first key", "GET /jwt/async", granted(ALICE), bearer("$JWT")),
    rotate("remove", shows="A third key: the others are no longer published"),
    fetch("JWT_THIRD", JWT_APP, "alice", shows="A JWT of the third key"),
    eventually(DemoRequest("... is good", "GET /jwt/async", granted(ALICE), bearer("$JWT_THIRD"))),
    DemoRequest("... a sync view", "GET /jwt/sync", granted(ALICE), bearer("$JWT_THIRD")),
    DemoRequest("A JWT of the first key is refused", "GET /jwt/async", invalid_token(), bearer("$JWT")),
    DemoRequest("... and one of the second", "GET /jwt/sync", invalid_token(), bearer("$JWT_SECOND")),
)

OUTAGE: tuple[Step, ...] = (
    fetch("WARM", OPAQUE_APP, "alice", shows="An opaque token"),
    DemoRequest("... that the demo has seen", "GET /introspection/async", granted(ALICE), bearer("$WARM")),
    DemoRequest("... with any source", "GET /any/async", granted(ALICE), bearer("$WARM")),
    fetch("COLD", OPAQUE_APP, "alice", shows="One that it has not"),
    fetch("JWT_UNSEEN", JWT_APP, "alice", shows="A JWT that it has not, of a key that it knows"),
    eventually(DemoRequest("... which any source knows too", "GET /any/async", granted(ALICE), bearer("$JWT_THIRD"))),
    rotate("keep", shows="A fourth key"),
    fetch("JWT_COLD", JWT_APP, "alice", shows="A JWT of a key that it does not know"),
    ServerStep("The authorization server is stopped", "stop"),
    DemoRequest("Cold: 503", "GET /introspection/async", temporarily_unavailable(), bearer("$COLD")),
    DemoRequest("... a sync view", "GET /introspection/sync", temporarily_unavailable(), bearer("$COLD")),
    DemoRequest("... any source", "GET /any/async", temporarily_unavailable(), bearer("$COLD")),
    DemoRequest("With fresh=True too", "GET /introspection/fresh", temporarily_unavailable(), bearer("$WARM")),
    eventually(DemoRequest("With the new key too", "GET /jwt/async", temporarily_unavailable(), bearer("$JWT_COLD"))),
    DemoRequest("Warm: let in", "GET /introspection/async", granted(ALICE), bearer("$WARM")),
    DemoRequest("... any source", "GET /any/async", granted(ALICE), bearer("$WARM")),
    DemoRequest("A JWT seen before", "GET /jwt/async", granted(ALICE), bearer("$JWT_THIRD")),
    DemoRequest("... and one never seen", "GET /jwt/sync", granted(ALICE), bearer("$JWT_UNSEEN")),
    DemoRequest("... any source", "GET /any/sync", granted(ALICE), bearer("$JWT_UNSEEN")),
    DemoRequest("Rows are not affected", "GET /any/async", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("... and unguarded views", "GET /health", Answer(200, {"status": "ok"})),
    ServerStep("The authorization server is started again", "start"),
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
    "Rotation of keys": ROTATION,
}
"""The requests to try by hand."""

STEPS: tuple[Step, ...] = (*(request for chapter in CHAPTERS.values() for request in chapter), *OUTAGE)
