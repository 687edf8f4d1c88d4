"""Requests with tokens that are bound to a key or a certificate, and with tokens of a recent login.

``curl`` cannot sign, so clients get their proofs and certificates from the demo's page.
"""

from collections.abc import Mapping
from dataclasses import replace

from .authority.clients import JWT_APP
from .remote import fetch
from .requests import (
    ALICE,
    BODY,
    DemoRequest,
    Headers,
    authorization,
    bearer,
    granted,
    insufficient_login,
    invalid_proof,
    invalid_token,
    nothing_presented,
    use_nonce,
)
from .responses import ResponseSummary

PROOF: Headers = (("DPoP", "$PROOF"),)
OWN_CERTIFICATE: Headers = (("Client-Cert", "$CERTIFICATE"),)
OTHER_CERTIFICATE: Headers = (("Client-Cert", "$OTHER_CERTIFICATE"),)


# --- Parts of requests ------------------------------------------------------------------------------------------------


def prove(line: str, token: str | None = "$BOUND", *, key: str = "client", nonce: str | None = None) -> DemoRequest:
    """A proof for one request."""
    method, _, uri = line.partition(" ")
    form = f"key={key}&method={method}&uri={uri}"
    form += f"&token={token}" if token else ""
    form += f"&nonce={nonce}" if nonce else ""
    shows = "A proof for one request" if key == "client" else f"A proof of the {key}"
    return DemoRequest(shows, "POST /page/proof", ResponseSummary(200), form=form, keeps="PROOF", part=BODY)


def certificate(key: str, keeps: str, *, shows: str) -> DemoRequest:
    form = f"key={key}"
    return DemoRequest(shows, "POST /page/certificate", ResponseSummary(200), form=form, keeps=keeps, part=BODY)


def dpop(token: str = "$BOUND") -> Headers:
    """A token, and the latest proof."""
    return (*authorization(f"DPoP {token}"), *PROOF)


def fetch_bound(keeps: str, headers: Headers, token_type: str, *, shows: str) -> DemoRequest:
    """A token that is bound to the key or certificate in these headers."""
    request = fetch(keeps, JWT_APP, "alice", shows=shows)
    return replace(request, headers=headers, expected=replace(request.expected, body={"token_type": token_type}))


def fetch_login(keeps: str, login: Mapping[str, object], *, shows: str) -> DemoRequest:
    """A token whose user has logged in as ``login`` says."""
    request = fetch(keeps, JWT_APP, "alice", shows=shows)
    form = "&".join([request.form or "", *(f"{name}={value}" for name, value in login.items())])
    return replace(request, form=form)


# --- The list ---------------------------------------------------------------------------------------------------------

DPOP = (
    prove("POST $authority/token", None),
    fetch_bound("BOUND", PROOF, "DPoP", shows="A token that is bound to the key of the proof"),
    prove("GET $demo/dpop/async"),
    DemoRequest("A proof with the right key, an async view", "GET /dpop/async", granted(ALICE), dpop()),
    DemoRequest("The same proof again", "GET /dpop/async", invalid_proof(), dpop()),
    prove("GET $demo/dpop/sync"),
    DemoRequest("A proof with the right key, a sync view", "GET /dpop/sync", granted(ALICE), dpop()),
    DemoRequest("... the same proof again", "GET /dpop/sync", invalid_proof(), dpop()),
    DemoRequest("Stolen: the token alone", "GET /dpop/async", invalid_token(), bearer("$BOUND")),
    DemoRequest("... a sync view", "GET /dpop/sync", invalid_token(), bearer("$BOUND")),
    DemoRequest("... a view that does not check proofs", "GET /jwt/async", invalid_token(), bearer("$BOUND")),
    DemoRequest("No proof", "GET /dpop/async", invalid_proof(), authorization("DPoP $BOUND")),
    prove("GET $demo/dpop/async", key="thief"),
    DemoRequest("A proof with another key", "GET /dpop/async", invalid_token(scheme="DPoP"), dpop()),
    prove("GET $demo/dpop/sync", key="thief"),
    DemoRequest("... a sync view", "GET /dpop/sync", invalid_token(scheme="DPoP"), dpop()),
    prove("GET $demo/dpop/sync"),
    DemoRequest("A proof for another address", "GET /dpop/async", invalid_proof(), dpop()),
    DemoRequest("Nothing presented", "GET /dpop/sync", nothing_presented(scope="profile")),
)

NONCES = (
    prove("GET $demo/nonce/async"),
    DemoRequest("A proof without a nonce", "GET /nonce/async", use_nonce(), dpop()),
    replace(
        DemoRequest("The nonce of that response", "GET /nonce/async", use_nonce(), dpop()),
        keeps="NONCE",
        part="DPoP-Nonce",
    ),
    prove("GET $demo/nonce/async", nonce="$NONCE"),
    DemoRequest("A proof with the nonce", "GET /nonce/async", granted(ALICE), dpop()),
    prove("GET $demo/nonce/sync"),
    DemoRequest("A sync view, without a nonce", "GET /nonce/sync", use_nonce(), dpop()),
    prove("GET $demo/nonce/sync", nonce="$NONCE"),
    DemoRequest("... and with it", "GET /nonce/sync", granted(ALICE), dpop()),
)

CERTIFICATES = (
    certificate("client", "CERTIFICATE", shows="The client's certificate"),
    certificate("thief", "OTHER_CERTIFICATE", shows="The thief's certificate"),
    fetch_bound("CERTIFIED", OWN_CERTIFICATE, "Bearer", shows="A token that is bound to the client's certificate"),
    DemoRequest("The right certificate", "GET /mtls/async", granted(ALICE), (*bearer("$CERTIFIED"), *OWN_CERTIFICATE)),
    DemoRequest("... a sync view", "GET /mtls/sync", granted(ALICE), (*bearer("$CERTIFIED"), *OWN_CERTIFICATE)),
    DemoRequest("No certificate", "GET /mtls/async", invalid_token(), bearer("$CERTIFIED")),
    DemoRequest("... a sync view", "GET /mtls/sync", invalid_token(), bearer("$CERTIFIED")),
    DemoRequest("Another certificate", "GET /mtls/async", invalid_token(), (*bearer("$CERTIFIED"), *OTHER_CERTIFICATE)),
    DemoRequest("... a sync view", "GET /mtls/sync", invalid_token(), (*bearer("$CERTIFIED"), *OTHER_CERTIFICATE)),
)

STEP_UP = (
    fetch_login("RECENT", {"login_age": 0, "acr": "mfa"}, shows="A token of a login just now, with two factors"),
    DemoRequest("... is enough", "GET /payment/async", granted(ALICE), bearer("$RECENT")),
    DemoRequest("... a sync view", "GET /payment/sync", granted(ALICE), bearer("$RECENT")),
    fetch_login("OLD", {"login_age": 3600, "acr": "mfa"}, shows="A token of a login an hour ago"),
    DemoRequest("... is too old", "GET /payment/async", insufficient_login(max_age="600"), bearer("$OLD")),
    DemoRequest("... a sync view", "GET /payment/sync", insufficient_login(max_age="600"), bearer("$OLD")),
    fetch_login("PASSWORD", {"login_age": 0, "acr": "pwd"}, shows="A token of a login with a password alone"),
    DemoRequest("... is too weak", "GET /payment/async", insufficient_login(acr_values="mfa"), bearer("$PASSWORD")),
    DemoRequest("... a sync view", "GET /payment/sync", insufficient_login(acr_values="mfa"), bearer("$PASSWORD")),
    DemoRequest("... another view lets it in", "GET /jwt/async", granted(ALICE), bearer("$PASSWORD")),
)

CHAPTERS: Mapping[str, tuple[DemoRequest, ...]] = {
    "Tokens that are bound to a key (DPoP)": DPOP,
    "Nonces in proofs": NONCES,
    "Tokens that are bound to a certificate": CERTIFICATES,
    "A recent login": STEP_UP,
}

REQUESTS = tuple(request for chapter in CHAPTERS.values() for request in chapter)
