"""A small authorization server on top of the fault server: metadata, a key set, introspection, and tokens of any shape.

It answers well until a test tells its ``server`` otherwise; `Authority.recover` makes it answer well again.
"""

import asyncio
import functools
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from async_oauth_guard import IntrospectTokenValidator, JWTBearerTokenValidator
from async_oauth_guard.testing.server_tokens import sign_jwt, without_none
from tests.faults import Behaviour, Exchange, FaultServer, Json, Received, Status

AUDIENCE = "https://api.example.com"
CLIENT_SECRET = "a-secret-9bQ4 of ours"
SUBJECT = "subject-5cT1"
METADATA = "/.well-known/oauth-authorization-server"
OPENID_METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"
INTROSPECTION = "/introspect"
TIMEOUT = 0.5

_serial = itertools.count(1)


@functools.cache
def make_key(kid: str, algorithm: str = "ES256") -> Key:
    """A private key; the same for the same arguments, since some take long to make."""
    parameters = {"kid": kid, "use": "sig", "alg": algorithm}
    if algorithm.startswith(("RS", "PS")):
        return RSAKey.generate_key(2048, parameters)
    if algorithm == "Ed25519":
        return OKPKey.generate_key("Ed25519", parameters)
    curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
    return ECKey.generate_key(curve, parameters)  # type: ignore[arg-type]


class Authority:
    """What ``server`` answers while it is well, and the validators that ask it."""

    def __init__(self, server: FaultServer) -> None:
        self.server = server
        self.issuer = server.url
        self.keys = [make_key("rsa", "RS256"), make_key("ec")]
        self.words: dict[str, Any] = {}
        self.recover()

    def recover(self) -> None:
        """Answer well, whatever was told to the server."""
        self.server.answer(METADATA, lambda _: Json(self.metadata))
        self.server.answer(OPENID_METADATA, Status(404))
        self.server.answer(KEYS, lambda _: Json(self.key_set))
        self.server.answer(INTROSPECTION, self.introspect)

    @property
    def metadata(self) -> dict[str, Any]:
        """RFC 8414 §2: where everything is."""
        return {
            "issuer": self.issuer,
            "jwks_uri": self.issuer + KEYS,
            "introspection_endpoint": self.issuer + INTROSPECTION,
        }

    @property
    def key_set(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def introspect(self, received: Received) -> Behaviour:
        """What is known of a token; RFC 7662 §2.2: of others it says no more than that they are not active."""
        return Json(self.words.get(received.form["token"], {"active": False}))

    def opaque(self, **claims: Any) -> str:
        """A token that is good, with these claims."""
        token = f"opaque-{next(_serial)}-7fW2"
        self.words[token] = {"active": True, "aud": AUDIENCE, "sub": SUBJECT, "scope": "profile", **claims}
        return token

    def unknown(self) -> str:
        """A token of nobody's."""
        return f"unknown-{next(_serial)}-8xV3"

    def claims(self, **claims: Any) -> dict[str, Any]:
        """RFC 9068 §2.2: those that a token has to have, unless told otherwise."""
        now = int(time.time())
        number = next(_serial)
        usual = {
            "iss": self.issuer,
            "sub": SUBJECT,
            "aud": AUDIENCE,
            "client_id": "client",
            "scope": "profile",
            "jti": f"jwt-{number}",
            "iat": now,
            "exp": now + 600,
        }
        return usual | claims

    def jwt(self, key: Key | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token that no other equals, signed with ``key``, or else with the first that is published."""
        key = key or self.keys[0]
        own = {"typ": "at+jwt", "alg": key.get("alg"), "kid": key.kid} | dict(header or {})
        return sign_jwt(without_none(own), self.claims(**claims), str(own["alg"]), key)

    def introspecting(self, **options: Any) -> IntrospectTokenValidator:
        """A validator that asks here; its deadline is short."""
        usual: dict[str, Any] = {"client_id": "api", "client_secret": CLIENT_SECRET, "audience": AUDIENCE}
        if "issuer" not in options:
            usual["introspection_endpoint"] = self.issuer + INTROSPECTION
        return IntrospectTokenValidator(**(usual | {"timeout": TIMEOUT} | options))

    def verifying(self, **options: Any) -> JWTBearerTokenValidator:
        """A validator that discovers the keys, or has been told where they are with ``jwks_uri=``."""
        return JWTBearerTokenValidator(self.issuer, AUDIENCE, **({"timeout": TIMEOUT} | options))

    @property
    def fetches(self) -> int:
        """How often the key set was asked for."""
        return len(self.server.calls_to(KEYS))

    @property
    def questions(self) -> list[str]:
        """The tokens that were asked about, in order."""
        return [call.form["token"] for call in self.server.calls_to(INTROSPECTION)]


@dataclass(frozen=True)
class Late:
    """An answer that takes its time, whoever waits: cheaper than `Slow` where hundreds of calls are under way."""

    seconds: float
    then: Behaviour

    async def perform(self, exchange: Exchange) -> None:
        await asyncio.sleep(self.seconds)
        await self.then.perform(exchange)
