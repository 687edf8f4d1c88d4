"""The test kit's server with what MCP clients need: registration, and the authorization code grant with PKCE.

There is no login page: Alice is always logged in, and agrees to everything.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from async_oauth_guard.testing import FakeAuthorizationServer, ServerRequest, ServerResponse

EXPIRES_IN = 3600
USER = "alice"


@dataclass(frozen=True)
class Client:
    """A registered client. ``scopes`` are the scopes that it may get, or ``None`` for any."""

    redirect_uris: list[str]
    scopes: frozenset[str] | None = None


@dataclass
class Authority:
    """A context manager that serves on a free port of ``127.0.0.1``.

    Attributes:
        pins_scopes: whether a client that registers itself gets only the scopes that it named when it registered.
        expires_in: how many seconds tokens are really valid. Token responses always contain `EXPIRES_IN`.
    """

    pins_scopes: bool = False
    expires_in: int = EXPIRES_IN
    clients: dict[str, Client] = field(default_factory=dict)
    grants: list[Mapping[str, str]] = field(default_factory=list)
    """The parameters of each authorization, with the scope that was granted."""
    _codes: dict[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def __enter__(self) -> "Authority":
        self.server = FakeAuthorizationServer(respond=self._respond).on_port().__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.server.__exit__(*exc_info)

    @property
    def issuer(self) -> str:
        return self.server.issuer

    def _respond(self, request: ServerRequest) -> ServerResponse | None:
        match request.endpoint, request.method, request.path:
            case "metadata", _, _:
                return ServerResponse.json(self._metadata())
            case "token", _, _:
                return self._exchange(request.form)
            case _, "POST", "/register":
                return self._register(json.loads(request.body))
            case _, "GET", "/authorize":
                return self._authorize(dict(parse_qsl(urlsplit(request.url).query)))
        return None

    def _metadata(self) -> dict[str, Any]:
        """RFC 8414 §2."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": ["authorization_code"],
            "jwks_uri": self.server.metadata["jwks_uri"],
            "registration_endpoint": f"{self.issuer}/register",
            "response_types_supported": ["code"],
            "token_endpoint": self.server.metadata["token_endpoint"],
            "token_endpoint_auth_methods_supported": ["none"],
        }

    def _register(self, metadata: Mapping[str, Any]) -> ServerResponse:
        """RFC 7591 §3."""
        client_id = f"client-{len(self.clients) + 1}"
        pinned = frozenset(metadata.get("scope", "").split()) if self.pins_scopes else None
        self.clients[client_id] = Client(metadata["redirect_uris"], pinned)
        registered = {**metadata, "client_id": client_id, "token_endpoint_auth_method": "none"}
        return ServerResponse.json(registered, 201)

    def _authorize(self, parameters: Mapping[str, str]) -> ServerResponse:
        """RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2."""
        client = self.clients.get(parameters.get("client_id", ""))
        if client is None or parameters.get("redirect_uri") not in client.redirect_uris:
            return _refuse("invalid_request")
        # RFC 9207 §2: the issuer, so that the client can detect a response of another server.
        result = {"state": parameters["state"], "iss": self.issuer}
        if parameters.get("response_type") != "code" or parameters.get("code_challenge_method") != "S256":
            result["error"] = "invalid_request"
        elif "resource" not in parameters:
            result["error"] = "invalid_target"
        else:
            result["code"] = self._issue_code(client, parameters)
        return ServerResponse(302, headers={"Location": f"{parameters['redirect_uri']}?{urlencode(result)}"})

    def _issue_code(self, client: Client, parameters: Mapping[str, str]) -> str:
        # RFC 6749 §3.3: the server may ignore a part of the scope that the client asks for.
        granted = [scope for scope in parameters["scope"].split() if client.scopes is None or scope in client.scopes]
        code = secrets.token_urlsafe()
        self._codes[code] = {**parameters, "scope": " ".join(granted)}
        self.grants.append(self._codes[code])
        return code

    def _exchange(self, form: Mapping[str, str]) -> ServerResponse:
        """RFC 6749 §4.1.3, RFC 7636 §4.6. A code can be used once."""
        if form.get("grant_type") != "authorization_code":
            return _refuse("unsupported_grant_type")
        parameters = self._codes.pop(form.get("code", ""), None)
        if parameters is None or any(
            form.get(name) != parameters[name] for name in ("client_id", "redirect_uri", "resource")
        ):
            return _refuse("invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != parameters["code_challenge"]:
            return _refuse("invalid_grant")
        token = self.server.jwt(
            parameters["scope"],
            user=USER,
            client_id=parameters["client_id"],
            audience=parameters["resource"],
            expires_in=self.expires_in,
        )
        document = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": EXPIRES_IN,
            "scope": parameters["scope"],
        }
        return ServerResponse.json(document, headers={"Cache-Control": "no-store"})


def _refuse(error: str) -> ServerResponse:
    return ServerResponse.json({"error": error}, 400)
