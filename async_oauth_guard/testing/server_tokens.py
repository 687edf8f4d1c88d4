"""What that server issues: its keys, its JWTs and its opaque tokens.

It signs with joserfc itself, and not with what the guard verifies with: a fault there must not agree with itself here.
"""

import base64
import hashlib
import hmac
import itertools
import json
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from .server_arguments import (
    check_name,
    choose,
    kind_of,
    read_audience,
    read_lifetime,
    read_members,
    read_scope,
    read_username,
)

__all__ = ["ALGORITHMS", "Issuer", "SigningKey", "SigningKeys", "sign_jwt", "without_none"]

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_EDWARDS = {"EdDSA": "Ed25519", "Ed25519": "Ed25519"}
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")

ALGORITHMS = (*_RSA, *_CURVES, *_EDWARDS)
"""Those for which a server has keys."""

# By the types of keys; the first is the usual one.
_SIGNED_BY = {"RSA": _RSA, "EC": (*_CURVES,), "OKP": (*_EDWARDS,), "oct": (*_HASHES,)}
_ON_CURVES = {curve: algorithm for algorithm, curve in _CURVES.items()}

_RSA_BITS = 2048

# Keys of servers that were left, for those to come: an RSA key takes longer to make than most tests to run.
_spare: dict[str, list[Any]] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A private key, and the name by which tokens refer to it.

    Attributes:
        kid: the name.
        algorithm: how it signs, unless a token is told otherwise.
        private: the key itself, one of joserfc's.
    """

    kid: str | None
    algorithm: str
    private: Any = field(repr=False)

    @property
    def public(self) -> dict[str, Any]:
        """The JWK that anybody may have."""
        jwk: dict[str, Any] = self.private.as_dict(private=False)
        return jwk | {"kid": self.kid, "use": "sig", "alg": self.algorithm}


class SigningKeys:
    """The keys of one server. No other server that runs at the same time has one of them."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self._algorithms = algorithms
        self._numbers = itertools.count(1)
        self._taken: list[tuple[str, Any]] = []
        self._current: dict[str, SigningKey] = {}
        self._published: list[SigningKey] = []
        for algorithm in algorithms:
            self._add(algorithm)

    def current(self, algorithm: str) -> SigningKey:
        """The key that signs at the moment."""
        return self._current[algorithm]

    def foreign(self, algorithm: str) -> SigningKey:
        """A key that was never published, under the name of one that is."""
        return SigningKey(self._current[algorithm].kid, algorithm, self._take(algorithm))

    def published(self) -> list[SigningKey]:
        """Those in the key set."""
        return [*self._published]

    def rotate(self, *, keep_old: bool) -> list[SigningKey]:
        """Sign with new keys from now on. Returns those that are no longer published."""
        withdrawn = [] if keep_old else self.published()
        for algorithm in self._algorithms:
            self._add(algorithm)
        self._published = [key for key in self._published if key not in withdrawn]
        return withdrawn

    def publish(self, keys: Collection[SigningKey]) -> None:
        """Put ``keys`` back into the key set."""
        self._published += keys

    def give_back(self) -> None:
        """Leave all keys to servers to come."""
        with _lock:
            for family, private in self._taken:
                _spare.setdefault(family, []).append(private)
        self._taken.clear()

    def _add(self, algorithm: str) -> None:
        key = SigningKey(f"key-{next(self._numbers)}", algorithm, self._take(algorithm))
        self._current[algorithm] = key
        self._published.append(key)

    def _take(self, algorithm: str) -> Any:
        family = _family_of(algorithm)
        with _lock:
            spare = _spare.get(family)
            private = spare.pop() if spare else _generate(family)
        self._taken.append((family, private))
        return private


def _family_of(algorithm: str) -> str:
    return "RSA" if algorithm in _RSA else _CURVES.get(algorithm) or _EDWARDS[algorithm]


def _generate(family: str) -> Any:
    if family == "RSA":
        return RSAKey.generate_key(_RSA_BITS)
    if family == "Ed25519":
        return OKPKey.generate_key("Ed25519")
    return ECKey.generate_key(family)


def sign_jwt(header: Mapping[str, Any], claims: Mapping[str, Any], algorithm: str, key: Any) -> str:
    """A JWT (RFC 7515 §7.1), signed by ``algorithm`` whatever its header says; with ``none``, not at all.

    ``key`` is a key of joserfc's, or the secret of ``HS256``, ``HS384`` and ``HS512``.
    """
    signed = f"{_encode_json(header)}.{_encode_json(claims)}"
    return f"{signed}.{_encode(_sign(signed.encode(), algorithm, key))}"


def _sign(signed: bytes, algorithm: str, key: Any) -> bytes:
    if algorithm == "none":
        return b""
    if isinstance(key, str | bytes):
        # Any bytes are a secret here, also those that joserfc would take for another kind of key.
        return hmac.new(key.encode() if isinstance(key, str) else key, signed, _HASHES[algorithm]).digest()
    return JWSRegistry.algorithms[algorithm].sign(signed, key)


def _encode_json(value: Mapping[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Issues tokens, and knows what became of them."""

    def __init__(
        self,
        name: str,
        audience: Any,
        algorithms: Sequence[str],
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self.keys = SigningKeys(algorithms)
        self.default_algorithm = algorithms[0]
        self.unknown_kid: str | None = None
        """The name that keys have in tokens while the key set calls them otherwise."""
        self._audience = audience
        self.algorithms = algorithms
        self.now = now
        self._serial = itertools.count(1)
        # By token.
        self._known: dict[str, Mapping[str, Any]] = {}

    def claims(
        self,
        scopes: Any,
        user: Any = None,
        subject: str | None = None,
        client_id: str = "client",
        audience: Any = None,
        expires_in: float | None = 3600,
        claims: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """RFC 9068 §2.2: those that a token has to have, unless told otherwise. ``None`` leaves one out.

        The arguments are those of `FakeAuthorizationServer.jwt`, in its order.

        Raises:
            ValueError, TypeError: an argument has a value that cannot work.
        """
        check_name("subject", subject, "str(user.pk)")
        check_name("client_id", client_id, "'reports'")
        now = int(self.now())
        username = read_username(user)
        usual = {
            "iss": self.name,
            # RFC 9068 §2.2: of a client's own token, "the client application".
            "sub": subject or username or client_id,
            "aud": self._audience if audience is None else read_audience(audience),
            "client_id": client_id,
            "scope": read_scope(scopes),
            "username": username,
            "jti": f"token-{next(self._serial)}",
            "iat": now,
            "exp": None if expires_in is None else now + read_lifetime(expires_in),
        }
        return without_none(usual | read_members("claims", claims))

    def jwt(
        self,
        claims: Mapping[str, Any],
        *,
        header: Mapping[str, Any] | None = None,
        key: Any = None,
        algorithm: str | None = None,
    ) -> str:
        """A JWT with these claims, signed with ``key`` or else with the server's own.

        Raises:
            ValueError, TypeError: an argument has a value that cannot work.
        """
        own = key is None
        chosen = self._choose(key, algorithm)
        kid = self.unknown_kid if own and self.unknown_kid is not None else chosen.kid
        usual = {"typ": "at+jwt", "alg": chosen.algorithm, "kid": kid}
        members = without_none(usual | read_members("header", header))
        token = sign_jwt(members, claims, chosen.algorithm, chosen.private)
        if own:
            self._known[token] = claims
        return token

    def opaque(self, claims: Mapping[str, Any]) -> str:
        """A token that says nothing; of which introspection says this."""
        token = secrets.token_urlsafe(32)
        self._known[token] = claims
        return token

    def revoke(self, token: str) -> bool:
        """Whether it was known until now."""
        return self._known.pop(token, None) is not None

    def describe(self, token: str) -> dict[str, Any]:
        """What introspection says. RFC 7662 §2.2: of a token that is no good, no more than that."""
        claims = self._known.get(token)
        if claims is None or self._is_over(claims.get("exp")):
            return {"active": False}
        return {"active": True, "token_type": "Bearer", **claims}

    def _is_over(self, expires_at: Any) -> bool:
        return isinstance(expires_at, int | float) and expires_at <= self.now()

    def _choose(self, key: Any, algorithm: str | None) -> SigningKey:
        if algorithm is not None:
            choose("algorithm", algorithm, (*ALGORITHMS, *_HASHES, "none"))
        return self._own_key(algorithm or self.default_algorithm) if key is None else _read_key(key, algorithm)

    def _own_key(self, algorithm: str) -> SigningKey:
        if algorithm == "none":
            return SigningKey(self.keys.current(self.default_algorithm).kid, algorithm, None)
        if algorithm in _HASHES:
            raise ValueError(f"algorithm: {algorithm} signs with a secret: write key='the secret' beside it")
        if algorithm not in self.algorithms:
            raise ValueError(
                f"algorithm: this server has no key for {algorithm!r}; "
                f"write FakeAuthorizationServer(algorithm={[*self.algorithms, algorithm]})"
            )
        return self.keys.current(algorithm)


def without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in members.items() if value is not None}


def _read_key(key: Any, algorithm: str | None) -> SigningKey:
    if isinstance(key, SigningKey):
        given = SigningKey(key.kid, algorithm or key.algorithm, key.private)
    elif isinstance(key, str | bytes):
        given = SigningKey(None, algorithm or "HS256", key)
    elif isinstance(key, RSAKey | ECKey | OKPKey | OctKey):
        usual = key.get("alg") or _ON_CURVES.get(str(key.get("crv"))) or _SIGNED_BY[key.key_type][0]
        given = SigningKey(key.kid, algorithm or str(usual), key)
    else:
        raise TypeError(f"key: server.foreign_key(), a key of joserfc's, or a secret is wanted, not {kind_of(key)}")
    choose("algorithm of that key", given.algorithm, (*_SIGNED_BY[getattr(given.private, "key_type", "oct")], "none"))
    return given
