"""Authenticates us to the introspection endpoint (RFC 7662 §2.1)."""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, get_args
from urllib.parse import quote_plus

from ..authorization_server.introspection import Proof
from ..protocol.jwk import SigningKey, import_signing_key
from ..protocol.jwt import sign_jwt
from ..protocol.secrets import Secret
from ..runtime.effects import Compute, Flow
from .options import argument_context

__all__ = ["ClientAuth", "ClientAuthentication"]

# Seconds for which a client assertion is valid (RFC 7523 §3: "the JWT MUST contain an "exp" claim").
_ASSERTION_LIFETIME = 60
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

ClientAuth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "bearer", "none"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientAuthentication:
    """The method and the credentials; see the options of `IntrospectTokenValidator`."""

    method: ClientAuth
    client_id: str | None
    secret: Secret[Any]
    issuer: str | None

    def check(self) -> None:
        """Check that the method has the credentials that it needs."""
        method = self.method
        methods = get_args(ClientAuth)
        if method not in methods:
            # Do not show the value: it may be the secret, passed to the wrong option.
            raise ValueError(f"client_auth must be one of {', '.join(methods)}")
        if self.client_id is None and method not in ("bearer", "none"):
            raise ValueError(f"client_id must be given for client_auth={method!r}")
        if not self.secret.reveal() and method != "none":
            raise ValueError(f"client_secret must be given for client_auth={method!r}")
        if method == "private_key_jwt":
            # Import the key now, before the first request.
            _ = self._signing_key
        elif not isinstance(self.secret.reveal(), str | None):
            raise TypeError(
                f"client_secret must be a string for client_auth={method!r}, got {type(self.secret.reveal()).__name__}"
            )
        elif method == "bearer" and not _is_field_value(self.secret):
            raise ValueError("client_secret must be printable ASCII for client_auth='bearer', because it is sent as is")

    def authenticate_flow(self, url: str, now: float) -> Flow[Proof]:
        """The header fields and form fields for a request to ``url``."""
        secret = self.secret
        client: Mapping[str, str | Secret[str]] = {} if self.client_id is None else {"client_id": self.client_id}
        match self.method:
            case "client_secret_basic":
                return {"Authorization": self._basic}, {}
            case "bearer":
                return {"Authorization": Secret(f"Bearer {secret.reveal()}")}, {}
            case "client_secret_post":
                return {}, {**client, "client_secret": secret}
            case "private_key_jwt":
                assertion = yield Compute(partial(self._sign_assertion, self.issuer or url, now))
                return {}, {**client, "client_assertion_type": _JWT_BEARER, "client_assertion": assertion}
            case _:
                return {}, client

    @cached_property
    def _basic(self) -> Secret[str]:
        return _basic(self.client_id or "", self.secret)

    @cached_property
    def _signing_key(self) -> SigningKey:
        with argument_context("client_secret must be a private key for client_auth='private_key_jwt'"):
            return import_signing_key(self.secret)

    def _sign_assertion(self, audience: str, now: float) -> Secret[str]:
        """Sign a client assertion (RFC 7523 §2.2, OpenID Connect Core §9)."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "jti": uuid.uuid4().hex,
            "iat": int(now),
            "exp": int(now) + _ASSERTION_LIFETIME,
        }
        return Secret(sign_jwt(claims, self._signing_key))


def _is_field_value(secret: Secret[Any]) -> bool:
    text = secret.reveal()
    return bool(text.isascii() and text.isprintable())


def _basic(client_id: str, secret: Secret[Any]) -> Secret[str]:
    # RFC 6749 §2.3.1: form-encode both first, so that a colon in one of them does not act as the separator.
    return Secret(
        "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}".encode()).decode()
    )
