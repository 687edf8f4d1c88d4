"""The endpoints of the server: its HTTP requests and responses."""

import base64
import inspect
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

from ..arguments import kind_of, read_scope
from .proofs import NONCE, ProofChecker, RefusedProofError
from .tokens import ALGORITHMS, Issuer, sign_jwt, without_none

__all__ = ["GARBAGE", "Call", "Endpoints", "Respond", "ServerRequest", "ServerResponse", "origin_of", "refuse_client"]

_JSON = "application/json"
# RFC 9701 §4
_SIGNED = "application/token-introspection+jwt"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
_ASSERTION_ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
_EXPIRES_IN = 3600

# By the name in the metadata: the endpoint and its default path.
_ADDRESSES = {
    "jwks_uri": ("keys", "/jwks"),
    "introspection_endpoint": ("introspection", "/introspect"),
    "revocation_endpoint": ("revocation", "/revoke"),
    "token_endpoint": ("token", "/token"),
}


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request to the server.

    Attributes:
        method: the HTTP method.
        url: the URL with the query.
        headers: the header fields, with names in lower case.
        body: the body as it was received.
        endpoint: see `Call`.
        client: the ``client_id``, if the client authenticated itself.
    """

    method: str
    url: str
    # These two contain secrets and tokens.
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    endpoint: str = "unknown"
    client: str | None = None

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.url).path

    @property
    def form(self) -> dict[str, str]:
        """The parameters in the body."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """A response of the server. `ServerResponse.json` creates one from a document."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Create a response with a JSON document."""
        return cls(status, json.dumps(document).encode(), {"Content-Type": _JSON, **(headers or {})})

    def at(self, now: float) -> Self:
        """Add the time of the server (RFC 9110 §6.6.1) and the length."""
        dated = {"Date": formatdate(now, usegmt=True), "Content-Length": str(len(self.body))}
        return replace(self, headers={**dated, **self.headers})


Respond = Callable[[ServerRequest], ServerResponse | Awaitable[ServerResponse | None] | None]

GARBAGE = ServerResponse(200, b'{"active": true, "keys": [<html>', {"Content-Type": _JSON})
"""A response that claims to be JSON, but is not."""


@dataclass(slots=True)
class Call:
    """A request that the server received, without secrets.

    Attributes:
        endpoint: ``"metadata"``, ``"keys"``, ``"introspection"``, ``"revocation"``, ``"token"``, or ``"unknown"``.
        method: the HTTP method.
        path: the path without the query.
        client: the ``client_id``, if the client authenticated itself.
        status: the status of the response; ``None`` before it is sent.
    """

    endpoint: str
    method: str
    path: str
    client: str | None = None
    status: int | None = None

    @property
    def is_authenticated(self) -> bool:
        """Whether the client authenticated itself."""
        return self.client is not None


class Endpoints:
    def __init__(
        self,
        issuer: Issuer,
        clients: Mapping[str, Any] | None,
        proofs: ProofChecker,
        discovery: str,
        metadata: Mapping[str, Any],
        respond: Respond | None,
    ) -> None:
        self._issuer = issuer
        self._respond = respond
        self._name = issuer.name
        self._clients = clients
        self._proofs = proofs
        self.metadata = without_none(_usual_metadata(issuer.name, issuer.algorithms) | _absolute(issuer.name, metadata))
        addresses = {self.metadata[name]: place for name, (place, _) in _ADDRESSES.items() if name in self.metadata}
        addresses |= dict.fromkeys(_well_known(issuer.name, discovery), "metadata")
        self.origins = {origin_of(issuer.name), *map(origin_of, addresses)}
        self._places = {urlsplit(url).path: place for url, place in addresses.items()}

    def place_of(self, request: ServerRequest) -> str:
        """The endpoint of a request; ``"unknown"`` if the path has no endpoint."""
        return self._places.get(request.path, "unknown")

    async def respond(self, place: str, request: ServerRequest, call: Call) -> ServerResponse:
        """The response of an endpoint without faults. Sets the client of ``call``."""
        if place in ("metadata", "keys"):
            if request.method not in ("GET", "HEAD"):
                return _refusal(405, "invalid_request")
        elif place != "unknown":
            if request.method != "POST":
                return _refusal(405, "invalid_request")
            is_known, call.client = self._authenticate(request)
            if not is_known:
                return refuse_client()
        request = replace(request, endpoint=place, client=call.client)
        return await self._respond_of_test(request) or self._usual_response(request)

    async def _respond_of_test(self, request: ServerRequest) -> ServerResponse | None:
        if self._respond is None:
            return None
        response = self._respond(request)
        if inspect.isawaitable(response):
            response = await response
        if response is not None and not isinstance(response, ServerResponse):
            raise TypeError(f"respond must return a ServerResponse or None, got {kind_of(response)}")
        return response

    def _usual_response(self, request: ServerRequest) -> ServerResponse:
        match request.endpoint:
            case "metadata":
                return ServerResponse.json(self._current_metadata())
            case "keys":
                return ServerResponse.json(self.key_set)
            case "introspection":
                return self._introspect(request)
            case "revocation":
                return self._revoke(request)
            case "token":
                return self._grant(request)
            case _:
                return _refusal(404, "not_found")

    @property
    def key_set(self) -> dict[str, Any]:
        """RFC 7517 §5."""
        renamed = self._issuer.unknown_kid is not None
        keys = [key.public for key in self._issuer.keys.published()]
        return {"keys": [key | {"kid": f"{key['kid']}-renamed"} for key in keys] if renamed else keys}

    def _current_metadata(self) -> dict[str, Any]:
        return self.metadata if self._issuer.name == self._name else self.metadata | {"issuer": self._issuer.name}

    # --- endpoints with client authentication ---

    def _introspect(self, request: ServerRequest) -> ServerResponse:
        """RFC 7662 §2; a signed response (RFC 9701) if the request accepts one."""
        token = request.form.get("token")
        if token is None:
            return _refusal(400, "invalid_request")
        result = self._issuer.describe(token)
        if _SIGNED not in request.headers.get("accept", ""):
            return ServerResponse.json(result)
        key = self._issuer.keys.current(self._issuer.default_algorithm)
        claims = {
            "iss": self._issuer.name,
            "aud": request.client,
            "iat": int(self._issuer.now()),
            "token_introspection": result,
        }
        header = {"typ": "token-introspection+jwt", "alg": key.algorithm, "kid": key.kid}
        return ServerResponse(
            200, sign_jwt(header, claims, key.algorithm, key.private).encode(), {"Content-Type": _SIGNED}
        )

    def _revoke(self, request: ServerRequest) -> ServerResponse:
        """RFC 7009 §2.2: 200 whether or not there was such a token."""
        token = request.form.get("token")
        if token is None:
            return _refusal(400, "invalid_request")
        self._issuer.revoke(token)
        return ServerResponse(200)

    def _grant(self, request: ServerRequest) -> ServerResponse:
        """RFC 6749 §4.4: a token for the client itself. With a proof, it is bound to the client's key (RFC 9449 §5)."""
        if request.form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type")
        try:
            details = _read_details(request.form.get("authorization_details"))
        except ValueError:
            return _refusal(400, "invalid_authorization_details")
        proof = request.headers.get("dpop")
        if proof is None:
            return self._issue(request, {"authorization_details": details})
        # RFC 9449 §8: the client takes the nonce from any response, and uses it for its next proof.
        nonce = {NONCE: self._proofs.make_nonce()} if self._proofs.requires_nonce else {}
        try:
            thumbprint = self._proofs.check(proof, request.method, request.url)
        except RefusedProofError as error:
            return _refusal(400, error.code, nonce)
        return self._issue(request, {"authorization_details": details, "cnf": {"jkt": thumbprint}}, nonce)

    def _issue(
        self, request: ServerRequest, claims: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> ServerResponse:
        scope = read_scope(request.form.get("scope"))
        its_claims = self._issuer.claims(
            scope, client_id=request.client or "client", expires_in=_EXPIRES_IN, claims=claims
        )
        document = {
            "access_token": self._issuer.jwt(its_claims),
            "token_type": "DPoP" if "cnf" in claims else "Bearer",
            "expires_in": _EXPIRES_IN,
            "scope": scope,
            "authorization_details": claims["authorization_details"],
        }
        return ServerResponse.json(without_none(document), headers={"Cache-Control": "no-store", **(headers or {})})

    def _authenticate(self, request: ServerRequest) -> tuple[bool, str | None]:
        """Whether the client is accepted, and its ``client_id``."""
        form = request.form
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        # RFC 9110 §11.1: "a case-insensitive token to identify the authentication scheme"
        scheme = scheme.lower()
        if scheme == "bearer":
            return self._check_bearer(credentials)
        if scheme == "basic":
            return self._check_secret(*_read_basic(credentials))
        if form.get("client_assertion_type") == _ASSERTION:
            return self._check_assertion(form.get("client_id", ""), form.get("client_assertion", ""), request.url)
        return self._check_secret(form.get("client_id"), form.get("client_secret"))

    def _check_bearer(self, token: str) -> tuple[bool, str | None]:
        if self._clients is None:
            return True, "bearer"
        client = next((client for client, known in self._clients.items() if known == token), None)
        return client is not None, client

    def _check_secret(self, client: str | None, secret: str | None) -> tuple[bool, str | None]:
        if self._clients is None:
            return True, client
        if client is None or client not in self._clients or self._clients[client] != secret:
            return False, None
        return True, client

    def _check_assertion(self, client: str, assertion: str, url: str) -> tuple[bool, str | None]:
        """RFC 7523 §3."""
        if self._clients is None:
            return True, client
        key: Any = self._clients.get(client)
        try:
            key = JWKRegistry.import_key(dict(key)) if isinstance(key, Mapping) else key
            claims = jwt.decode(assertion, key, algorithms=_ASSERTION_ALGORITHMS).claims
        except (JoseError, TypeError, ValueError):
            return False, None
        is_theirs = claims.get("iss") == claims.get("sub") == client
        is_for_us = claims.get("aud") in (self._name, url)
        is_good = is_theirs and is_for_us and claims.get("exp", 0) > self._issuer.now()
        return is_good, client if is_good else None


def refuse_client() -> ServerResponse:
    """RFC 6749 §5.2."""
    return _refusal(401, "invalid_client", {"WWW-Authenticate": 'Basic realm="fake authorization server"'})


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _usual_metadata(issuer: str, algorithms: Collection[str]) -> dict[str, Any]:
    """RFC 8414 §2, and what OpenID Connect Discovery requires in addition."""
    base = issuer.removesuffix("/")
    return {
        "issuer": issuer,
        **{name: base + path for name, (_, path) in _ADDRESSES.items()},
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [*algorithms],
        # RFC 9449 §5.1
        "dpop_signing_alg_values_supported": [*ALGORITHMS],
        **{f"{each}_endpoint_auth_methods_supported": [*_METHODS] for each in ("introspection", "revocation", "token")},
    }


def _absolute(issuer: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    origin = origin_of(issuer)
    return {
        name: origin + value if name in _ADDRESSES and isinstance(value, str) and value.startswith("/") else value
        for name, value in metadata.items()
    }


def _well_known(issuer: str, discovery: str) -> list[str]:
    origin, path = origin_of(issuer), urlsplit(issuer).path.removesuffix("/")
    # RFC 8414 §3.1: between host and path.
    rfc8414 = f"{origin}/.well-known/oauth-authorization-server{path}"
    # OpenID Connect Discovery §4.1: after the path.
    openid = f"{origin}{path}/.well-known/openid-configuration"
    return {"both": [rfc8414, openid], "rfc8414": [rfc8414], "openid": [openid], "none": []}[discovery]


def _read_details(text: str | None) -> list[Any] | None:
    """The parameter ``authorization_details`` of a token request (RFC 9396 §6).

    Raises:
        ValueError: it is not a list of objects that each have a ``type``.
    """
    if text is None:
        return None
    details = json.loads(text)
    is_list = isinstance(details, list) and bool(details)
    if not is_list or not all(isinstance(each, dict) and isinstance(each.get("type"), str) for each in details):
        raise ValueError("authorization_details must be a list of objects with a type")
    return list(details)


def _read_basic(credentials: str) -> tuple[str | None, str | None]:
    try:
        client, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return None, None
    # RFC 6749 §2.3.1: both are form-encoded first.
    return unquote_plus(client), unquote_plus(secret)


def _refusal(status: int, error: str, headers: Mapping[str, str] | None = None) -> ServerResponse:
    return ServerResponse.json({"error": error}, status, headers)
