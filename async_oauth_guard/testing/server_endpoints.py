"""What that server answers over HTTP, whichever way it is asked."""

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

from .server_arguments import read_scope
from .server_tokens import Issuer, sign_jwt, without_none

__all__ = ["GARBAGE", "Answer", "Call", "Endpoints", "Request", "origin_of", "refuse_client"]

_JSON = "application/json"
# RFC 9701 §4
_SIGNED = "application/token-introspection+jwt"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
_ASSERTION_ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
_EXPIRES_IN = 3600

# What the metadata call each endpoint, and where it is unless told otherwise.
_ADDRESSES = {
    "jwks_uri": ("keys", "/jwks"),
    "introspection_endpoint": ("introspection", "/introspect"),
    "revocation_endpoint": ("revocation", "/revoke"),
    "token_endpoint": ("token", "/token"),
}


# Without bodies and header fields: secrets and tokens are in them.
@dataclass(frozen=True, slots=True)
class Request:
    """What was asked. The names of header fields are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    def at(self, now: float) -> "Answer":
        """The same with the time of the server (RFC 9110 §6.6.1), and its length."""
        dated = {"Date": formatdate(now, usegmt=True), "Content-Length": str(len(self.body))}
        return replace(self, headers={**dated, **self.headers})


GARBAGE = Answer(200, b'{"active": true, "keys": [<html>', {"Content-Type": _JSON})
"""What says that it is JSON, and is none."""


@dataclass(slots=True)
class Call:
    """A call that the server got; nothing of what is secret in it.

    Attributes:
        endpoint: ``"metadata"``, ``"keys"``, ``"introspection"``, ``"revocation"``, ``"token"``, or ``"unknown"``.
        method: of HTTP.
        path: without the query.
        client: who asked, where that was told and proved.
        status: of the answer; ``None`` while there is none.
    """

    endpoint: str
    method: str
    path: str
    client: str | None = None
    status: int | None = None

    @property
    def is_authenticated(self) -> bool:
        """Whether a client proved who it is."""
        return self.client is not None


class Endpoints:
    """The endpoints of one server."""

    def __init__(
        self,
        issuer: Issuer,
        clients: Mapping[str, Any] | None,
        discovery: str,
        metadata: Mapping[str, Any],
    ) -> None:
        self._issuer = issuer
        self._name = issuer.name
        self._clients = clients
        self.metadata = without_none(_usual_metadata(issuer.name, issuer.algorithms) | _absolute(issuer.name, metadata))
        addresses = {self.metadata[name]: place for name, (place, _) in _ADDRESSES.items() if name in self.metadata}
        addresses |= dict.fromkeys(_well_known(issuer.name, discovery), "metadata")
        self.origins = {origin_of(issuer.name), *map(origin_of, addresses)}
        self._places = {urlsplit(url).path: place for url, place in addresses.items()}

    def place_of(self, request: Request) -> str:
        """The endpoint that is asked; ``"unknown"`` where there is none."""
        return self._places.get(request.path, "unknown")

    def answer(self, place: str, request: Request, call: Call) -> Answer:
        """The answer of an endpoint that is well; ``call`` gets the client's name."""
        if place in ("metadata", "keys"):
            if request.method not in ("GET", "HEAD"):
                return _refusal(405, "invalid_request")
            return _json(self._describe_ourselves() if place == "metadata" else self.key_set)
        if place == "unknown":
            return _refusal(404, "not_found")
        if request.method != "POST":
            return _refusal(405, "invalid_request")
        is_known, call.client = self._authenticate(request)
        if not is_known:
            return refuse_client()
        return {"introspection": self._introspect, "revocation": self._revoke, "token": self._grant}[place](
            request, call.client
        )

    @property
    def key_set(self) -> dict[str, Any]:
        """RFC 7517 §5."""
        renamed = self._issuer.unknown_kid is not None
        keys = [key.public for key in self._issuer.keys.published()]
        return {"keys": [key | {"kid": f"{key['kid']}-renamed"} for key in keys] if renamed else keys}

    def _describe_ourselves(self) -> dict[str, Any]:
        return self.metadata if self._issuer.name == self._name else self.metadata | {"issuer": self._issuer.name}

    # --- those that ask who it is ---

    def _introspect(self, request: Request, client: str | None) -> Answer:
        """RFC 7662 §2, and as a signed answer (RFC 9701) for those who ask for one."""
        token = request.form.get("token")
        if token is None:
            return _refusal(400, "invalid_request")
        word = self._issuer.describe(token)
        if "iss" in word:
            word["iss"] = self._issuer.name
        if _SIGNED not in request.headers.get("accept", ""):
            return _json(word)
        key = self._issuer.keys.current(self._issuer.default_algorithm)
        claims = {"iss": self._issuer.name, "aud": client, "iat": int(self._issuer.now()), "token_introspection": word}
        header = {"typ": "token-introspection+jwt", "alg": key.algorithm, "kid": key.kid}
        return Answer(200, sign_jwt(header, claims, key.algorithm, key.private).encode(), {"Content-Type": _SIGNED})

    def _revoke(self, request: Request, client: str | None) -> Answer:
        """RFC 7009 §2.2: 200 whether or not there was such a token."""
        token = request.form.get("token")
        if token is None:
            return _refusal(400, "invalid_request")
        self._issuer.revoke(token)
        return Answer(200)

    def _grant(self, request: Request, client: str | None) -> Answer:
        """RFC 6749 §4.4: a token for the client itself."""
        if request.form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type")
        scope = read_scope(request.form.get("scope"))
        claims = self._issuer.claims(scope, client_id=client or "client", expires_in=_EXPIRES_IN)
        answer = {"access_token": self._issuer.jwt(claims), "token_type": "Bearer", "expires_in": _EXPIRES_IN}
        return _json(answer | ({} if scope is None else {"scope": scope}), {"Cache-Control": "no-store"})

    def _authenticate(self, request: Request) -> tuple[bool, str | None]:
        """Whether the client may ask, and who it is."""
        form = request.form
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        # RFC 9110 §11.1: "a case-insensitive token to identify the authentication scheme"
        scheme = scheme.lower()
        if scheme == "bearer":
            return self._know_bearer(credentials)
        if scheme == "basic":
            return self._know_secret(*_read_basic(credentials))
        if form.get("client_assertion_type") == _ASSERTION:
            return self._know_assertion(form.get("client_id", ""), form.get("client_assertion", ""), request.url)
        return self._know_secret(form.get("client_id"), form.get("client_secret"))

    def _know_bearer(self, token: str) -> tuple[bool, str | None]:
        if self._clients is None:
            return True, "bearer"
        client = next((client for client, known in self._clients.items() if known == token), None)
        return client is not None, client

    def _know_secret(self, client: str | None, secret: str | None) -> tuple[bool, str | None]:
        if self._clients is None:
            return True, client
        if client is None or client not in self._clients or self._clients[client] != secret:
            return False, None
        return True, client

    def _know_assertion(self, client: str, assertion: str, url: str) -> tuple[bool, str | None]:
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


def refuse_client() -> Answer:
    """RFC 6749 §5.2."""
    return _refusal(401, "invalid_client", {"WWW-Authenticate": 'Basic realm="fake authorization server"'})


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _usual_metadata(issuer: str, algorithms: Collection[str]) -> dict[str, Any]:
    """RFC 8414 §2, and what OpenID Connect Discovery asks for besides."""
    base = issuer.removesuffix("/")
    return {
        "issuer": issuer,
        **{name: base + path for name, (_, path) in _ADDRESSES.items()},
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [*algorithms],
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


def _read_basic(credentials: str) -> tuple[str | None, str | None]:
    try:
        client, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return None, None
    # RFC 6749 §2.3.1: both are form-encoded first.
    return unquote_plus(client), unquote_plus(secret)


def _json(value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": _JSON, **(headers or {})})


def _refusal(status: int, error: str, headers: Mapping[str, str] | None = None) -> Answer:
    return replace(_json({"error": error}, headers), status=status)
