"""The test kit's server with the demo's clients, a grant for named users, and switches for the demo's page."""

import asyncio
import secrets
import time
from pathlib import Path
from typing import Any

from async_oauth_guard.testing import FakeAuthorizationServer, ServerRequest, ServerResponse
from async_oauth_guard.testing.server.proofs import ProofChecker, RefusedProofError

from .binding import confirmation_of, login_of
from .clients import (
    CLIENT_CREDENTIALS,
    CLIENTS,
    JWT_APP,
    NAMED_USER,
    RESOURCE,
    RESOURCE_OWNERS,
    RESOURCE_SERVER,
    SCOPES,
)

EXPIRES_IN = 3600
DELAY = 6.0
"""Seconds by which a slow response is delayed. The demo's guards do not wait so long."""
DAY = 24 * 3600

_AUTH_METHODS = ["client_secret_basic"]
_METADATA = {
    "scopes_supported": list(SCOPES),
    "grant_types_supported": [CLIENT_CREDENTIALS, NAMED_USER],
    **{f"{each}_endpoint_auth_methods_supported": _AUTH_METHODS for each in ("introspection", "revocation", "token")},
}
_BY_ID = {client.client_id: client for client in CLIENTS}


class DemoServer:
    """A context manager that serves on ``127.0.0.1``. It keeps its keys and tokens in the file ``state``."""

    def __init__(self, port: int, state: Path) -> None:
        self._faults: set[str] = set()
        self._proofs = ProofChecker(time.time, requires_nonce=False)
        self._server = FakeAuthorizationServer(
            clients={client.client_id: client.client_secret for client in CLIENTS},
            audience=RESOURCE,
            algorithm="ES256",
            discovery="rfc8414",
            metadata=_METADATA,
            respond=self._respond,
        ).on_port(port, state=state)

    def __enter__(self) -> FakeAuthorizationServer:
        return self._server.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._server.__exit__(*exc_info)

    async def _respond(self, request: ServerRequest) -> ServerResponse | None:
        if request.endpoint == "unknown":
            return self._switch(request)
        if "slow" in self._faults:
            await asyncio.sleep(DELAY)
        if "down" in self._faults:
            # The response of a proxy without a server behind it.
            return ServerResponse(503, b"Nobody is there.", {"Content-Type": "text/plain"})
        if request.client is not None and "authorization" not in request.headers:
            return _refuse("invalid_client", status=401)
        match request.endpoint:
            case "token":
                return self._grant(request)
            case "introspection" if request.client != RESOURCE_SERVER.client_id:
                # RFC 7662 §2.2: a client that may not introspect a token gets the response for an unknown one.
                return ServerResponse.json({"active": False})
            case "revocation" if self._belongs_to_another(request):
                return _refuse("invalid_grant")
            case _:
                return None

    # --- tokens ---

    def _grant(self, request: ServerRequest) -> ServerResponse:
        """RFC 6749 §4.4, and §4.5: the extension grant `NAMED_USER` replaces the authorization code grant.

        It lets ``curl`` get a token for a user. A real server would require the consent of that user. For bound tokens,
        see `binding`.
        """
        client, form = _BY_ID[request.client or ""], request.form
        grant_type, username = form.get("grant_type"), None
        if grant_type not in (CLIENT_CREDENTIALS, NAMED_USER):
            return _refuse("unsupported_grant_type")
        if grant_type not in client.grant_types.split():
            return _refuse("unauthorized_client")
        if grant_type == NAMED_USER and (username := form.get("username")) not in RESOURCE_OWNERS:
            return _refuse("invalid_grant")
        scope = form.get("scope") or client.scope
        if not set(scope.split()) <= set(client.scope.split()):
            return _refuse("invalid_scope")
        try:
            confirmation = confirmation_of(request, self._proofs)
        except RefusedProofError as error:
            return _refuse(error.code)
        claims = {"cnf": confirmation or None, **login_of(form)}
        token = self._issue(client.token_format, scope, client.client_id, username, claims)
        token_type = "DPoP" if "jkt" in confirmation else "Bearer"
        document = {"access_token": token, "token_type": token_type, "expires_in": EXPIRES_IN, "scope": scope}
        return ServerResponse.json(document, headers={"Cache-Control": "no-store"})

    def _issue(
        self, token_format: str, scope: str, client_id: str, username: str | None, claims: dict[str, Any]
    ) -> str:
        if token_format == "jwt":
            return self._jwt(scope, subject=username, client_id=client_id, claims=claims)
        shape = {"expires_in": EXPIRES_IN, "claims": {"jti": None, **claims}}
        return self._server.opaque(scope, user=username, client_id=client_id, **shape)

    def _jwt(self, scope: str, **shape: Any) -> str:
        claims = {"jti": secrets.token_hex(8), **shape.pop("claims", {})}
        return self._server.jwt(scope, claims=claims, **{"expires_in": EXPIRES_IN, **shape})

    def _belongs_to_another(self, request: ServerRequest) -> bool:
        """RFC 7009 §2.1: only the client that a token was issued to may revoke it."""
        known = self._server.introspect(request.form.get("token", ""))
        return bool(known["active"]) and known["client_id"] != request.client

    # --- switches ---

    def _switch(self, request: ServerRequest) -> ServerResponse | None:
        """The requests of the demo's page. They need no client authentication."""
        if request.method == "POST" and {"origin", "sec-fetch-site"} & request.headers.keys():
            # Any site could make a browser send this request.
            return _refuse("access_denied", status=403)
        match request.method, request.path:
            case "GET", "/faults":
                return self._show()
            case "POST", "/faults":
                return self._set_faults(request.form)
            case "POST", "/rotate":
                return self._rotate(request.form.get("old"))
            case "POST", "/invalid-jwts":
                return ServerResponse.json(self._invalid_jwts())
            case _:
                return None

    def _show(self) -> ServerResponse:
        # Newest first.
        kids = [key["kid"] for key in reversed(self._server.jwks["keys"])]
        return ServerResponse.json({**{name: name in self._faults for name in ("down", "slow")}, "kids": kids})

    def _set_faults(self, form: dict[str, str]) -> ServerResponse:
        """``down`` and ``slow`` are ``on`` or ``off``."""
        switched = {name: form[name] for name in ("down", "slow") if name in form}
        if not set(switched.values()) <= {"on", "off"}:
            return _refuse("invalid_request")
        for name, state in switched.items():
            self._faults.discard(name)
            if state == "on":
                self._faults.add(name)
        return self._show()

    def _rotate(self, old: str | None) -> ServerResponse:
        """With ``old=keep``, the server still publishes the older keys; with ``old=remove``, it does not."""
        if old not in ("keep", "remove"):
            return _refuse("invalid_request")
        self._server.rotate(keep_old=old == "keep")
        return ServerResponse.json({"kid": self._server.jwks["keys"][-1]["kid"], "old": old}, 201)

    def _invalid_jwts(self) -> dict[str, str]:
        """JWTs that no resource server should accept. Each has one fault."""
        alice = {"subject": "alice", "client_id": JWT_APP.client_id}
        yesterday = {"claims": {"iat": int(time.time()) - DAY}, "expires_in": EXPIRES_IN - DAY}
        unpublished = {"key": self._server.foreign_key(), "header": {"kid": "unpublished"}}
        jwts = {
            "expired": self._jwt("profile email", **alice, **yesterday),
            "foreign": self._jwt("profile email", **alice, **unpublished),
            "audience": self._jwt("profile email", **alice, audience="https://other.example"),
        }
        for name in ("expired", "audience"):
            # Introspection must report them as inactive.
            self._server.revoke(jwts[name])
        return jwts


def _refuse(error: str, *, status: int = 400) -> ServerResponse:
    return ServerResponse.json({"error": error}, status)
