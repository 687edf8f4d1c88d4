"""What the test kit's server issues and says of it, behind the fault server, which breaks HTTP and what is below it.

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
from async_oauth_guard.testing.server.tokens import Issuer, sign_jwt, without_none
from tests.faults import Behaviour, Exchange, FaultServer, Json, Received, Status

AUDIENCE = "https://api.example.com"
CLIENT_SECRET = "a-secret-9bQ4 of ours"
SUBJECT = "subject-5cT1"
METADATA = "/.well-known/oauth-authorization-server"
OPENID_METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"
INTROSPECTION = "/introspect"
TIMEOUT = 0.5
"""Seconds that validators wait in tests of servers that do not answer."""

LONG = 60.0
"""Seconds that they wait in all other tests, so that a busy machine does not look like such a server."""

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
        self._tokens = Issuer(self.issuer, AUDIENCE, ("ES256",), time.time, {})
        self.words: Any = self._tokens._known
        self.recover()

    def recover(self) -> None:
        """Answer correctly again, whatever the test set on the server."""
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
        """What is known of a token."""
        return Json(self._tokens.describe(received.form["token"]))

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
        return self._tokens.claims("profile", subject=SUBJECT, expires_in=600) | {"iss": self.issuer} | claims

    def jwt(self, key: Key | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token that no other equals, signed with ``key``, or else with the first that is published."""
        key = key or self.keys[0]
        own = {"typ": "at+jwt", "alg": key.get("alg"), "kid": key.kid} | dict(header or {})
        return sign_jwt(without_none(own), self.claims(**claims), str(own["alg"]), key)

    def introspecting(self, **options: Any) -> IntrospectTokenValidator:
        """A validator that asks here."""
        usual: dict[str, Any] = {"client_id": "api", "client_secret": CLIENT_SECRET, "audience": AUDIENCE}
        if "issuer" not in options:
            usual["introspection_endpoint"] = self.issuer + INTROSPECTION
        return IntrospectTokenValidator(**(usual | {"timeout": LONG} | options))

    def verifying(self, **options: Any) -> JWTBearerTokenValidator:
        """A validator that discovers the keys, or has been told where they are with ``jwks_uri=``."""
        return JWTBearerTokenValidator(self.issuer, AUDIENCE, **({"timeout": LONG} | options))

    @property
    def fetches(self) -> int:
        """The number of requests for the key set."""
        return len(self.server.calls_to(KEYS))

    @property
    def questions(self) -> list[str]:
        """The tokens that were introspected, in order."""
        return [call.form["token"] for call in self.server.calls_to(INTROSPECTION)]


@dataclass(frozen=True)
class Late:
    """A delayed answer. It is cheaper than `Slow` if hundreds of calls are in progress."""

    seconds: float
    then: Behaviour

    async def perform(self, exchange: Exchange) -> None:
        await asyncio.sleep(self.seconds)
        await self.then.perform(exchange)
