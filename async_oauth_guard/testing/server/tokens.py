"""The keys of the server, and the JWTs and opaque tokens that it issues."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from ..arguments import (
    check_name,
    choose,
    kind_of,
    read_audience,
    read_lifetime,
    read_members,
    read_scope,
    read_username,
)

__all__ = [
    "ALGORITHMS",
    "Issuer",
    "SigningKey",
    "SigningKeys",
    "encode_base64url",
    "generate_key",
    "read_algorithms",
    "sign_jwt",
    "without_none",
]

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_EDWARDS = {"EdDSA": "Ed25519", "Ed25519": "Ed25519"}
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")

ALGORITHMS = (*_RSA, *_CURVES, *_EDWARDS)
"""The algorithms for which a server can have keys."""

# By key type. The first is the default.
_SIGNED_BY = {"RSA": _RSA, "EC": (*_CURVES,), "OKP": (*_EDWARDS,), "oct": (*_HASHES,)}
_ON_CURVES = {curve: algorithm for algorithm, curve in _CURVES.items()}

_RSA_BITS = 2048
_IMPOSTOR = "https://impostor.example.test"

# Keys of former servers, for reuse: generating an RSA key takes longer than most tests.
_spare: dict[str, list[Any]] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A private key, and the ``kid`` by which tokens refer to it.

    Attributes:
        kid: the name.
        algorithm: the default signature algorithm.
        private: the key itself, as a joserfc key.
    """

    kid: str | None
    algorithm: str
    private: Any = field(repr=False)

    @property
    def public(self) -> dict[str, Any]:
        """The public JWK."""
        jwk: dict[str, Any] = self.private.as_dict(private=False)
        return jwk | {"kid": self.kid, "use": "sig", "alg": self.algorithm}


class SigningKeys:
    """The keys of one server. Servers that run at the same time share no key."""

    def __init__(self, algorithms: Sequence[str], saved: Mapping[str, Any]) -> None:
        self._algorithms = algorithms
        self._number = saved.get("number", 0)
        self._taken: list[tuple[str, Any]] = []
        self._published = [_read_saved(key) for key in saved.get("keys", ())]
        self._current = {key.algorithm: key for key in self._published}
        for algorithm in algorithms:
            if algorithm not in self._current:
                self._add(algorithm)

    def save(self) -> dict[str, Any]:
        """The state for a later server with the same keys, including the private parts."""
        return {
            "number": self._number,
            "keys": [key.public | key.private.as_dict(private=True) for key in self._published],
        }

    def current(self, algorithm: str) -> SigningKey:
        return self._current[algorithm]

    def foreign(self, algorithm: str) -> SigningKey:
        """A key that is not published, with the ``kid`` of the published one."""
        return SigningKey(self._current[algorithm].kid, algorithm, self._take(algorithm))

    def published(self) -> list[SigningKey]:
        return [*self._published]

    def rotate(self, *, keep_old: bool) -> list[SigningKey]:
        """Sign with new keys from now on. Returns the keys that are no longer published."""
        withdrawn = [] if keep_old else self.published()
        for algorithm in self._algorithms:
            self._add(algorithm)
        self._published = [key for key in self._published if key not in withdrawn]
        return withdrawn

    def publish(self, keys: Collection[SigningKey]) -> None:
        """Put ``keys`` back into the key set."""
        self._published += keys

    def give_back(self) -> None:
        """Release all keys, so that later servers can use them."""
        with _lock:
            for family, private in self._taken:
                _spare.setdefault(family, []).append(private)
        self._taken.clear()

    def _add(self, algorithm: str) -> None:
        self._number += 1
        key = SigningKey(f"key-{self._number}", algorithm, self._take(algorithm))
        self._current[algorithm] = key
        self._published.append(key)

    def _take(self, algorithm: str) -> Any:
        family = _family_of(algorithm)
        with _lock:
            spare = _spare.get(family)
            private = spare.pop() if spare else _generate(family)
        self._taken.append((family, private))
        return private


def _read_saved(jwk: Mapping[str, Any]) -> SigningKey:
    members = {name: value for name, value in jwk.items() if name not in ("kid", "use", "alg")}
    return SigningKey(jwk["kid"], jwk["alg"], JWKRegistry.import_key(members))


def _family_of(algorithm: str) -> str:
    return "RSA" if algorithm in _RSA else _CURVES.get(algorithm) or _EDWARDS[algorithm]


def generate_key(algorithm: str) -> Any:
    """A new private key for one of `ALGORITHMS`, as a joserfc key."""
    return _generate(_family_of(algorithm))


def _generate(family: str) -> Any:
    if family == "RSA":
        return RSAKey.generate_key(_RSA_BITS)
    if family == "Ed25519":
        return OKPKey.generate_key("Ed25519")
    return ECKey.generate_key(family)


def sign_jwt(header: Mapping[str, Any], claims: Mapping[str, Any], algorithm: str, key: Any) -> str:
    """A JWT (RFC 7515 §7.1), signed with ``algorithm`` whatever its header says; ``none``: unsigned.

    ``key`` is a joserfc key, or the secret of ``HS256``, ``HS384`` and ``HS512``.
    """
    signed = f"{_encode_json(header)}.{_encode_json(claims)}"
    return f"{signed}.{encode_base64url(_sign(signed.encode(), algorithm, key))}"


def _sign(signed: bytes, algorithm: str, key: Any) -> bytes:
    if algorithm == "none":
        return b""
    if isinstance(key, str | bytes):
        # Treat any bytes as a secret, also those that joserfc would read as another kind of key.
        return hmac.new(key.encode() if isinstance(key, str) else key, signed, _HASHES[algorithm]).digest()
    return JWSRegistry.algorithms[algorithm].sign(signed, key)


def _encode_json(value: Mapping[str, Any]) -> str:
    return encode_base64url(json.dumps(value, separators=(",", ":")).encode())


def encode_base64url(data: bytes) -> str:
    """Without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    def __init__(
        self,
        name: str,
        audience: Any,
        algorithms: Sequence[str],
        now: Callable[[], float],
        saved: Mapping[str, Any],
    ) -> None:
        self.name = self._own_name = name
        self.keys = SigningKeys(algorithms, saved.get("keys", {}))
        self.default_algorithm = algorithms[0]
        self.unknown_kid: str | None = None
        """The ``kid`` in tokens while it differs from the key set."""
        self._audience = audience
        self.algorithms = algorithms
        self.now = now
        self._serial = saved.get("serial", 0)
        # By token.
        self._known: dict[str, Mapping[str, Any]] = dict(saved.get("tokens", {}))

    def save(self) -> dict[str, Any]:
        """The state from which a later server continues."""
        tokens = {token: claims for token, claims in self._known.items() if not self._is_over(claims.get("exp"))}
        return {"keys": self.keys.save(), "serial": self._serial, "tokens": tokens}

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
        """The claims that RFC 9068 §2.2 requires, changed by the arguments; ``None`` leaves a claim out.

        The arguments are those of `FakeAuthorizationServer.jwt`, in the same order.
        """
        check_name("subject", subject, "str(user.pk)")
        check_name("client_id", client_id, "'reports'")
        now = int(self.now())
        self._serial += 1
        username = read_username(user)
        usual = {
            "iss": self.name,
            # RFC 9068 §2.2: for a token that a client got for itself, "the client application".
            "sub": subject or username or client_id,
            "aud": self._audience if audience is None else read_audience(audience),
            "client_id": client_id,
            "scope": read_scope(scopes),
            "username": username,
            "jti": f"token-{self._serial}",
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
        """A JWT with these claims, signed with ``key``. Default: the server's key."""
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
        """An opaque token. Introspection returns ``claims`` for it."""
        token = secrets.token_urlsafe(32)
        self._known[token] = claims
        return token

    def revoke(self, token: str) -> bool:
        """Revoke a token. Returns whether it was valid before."""
        return self._known.pop(token, None) is not None

    def describe(self, token: str) -> dict[str, Any]:
        """The introspection response. RFC 7662 §2.2: for an inactive token, it contains nothing else."""
        claims = self._known.get(token)
        if claims is None or self._is_over(claims.get("exp")):
            return {"active": False}
        confirmation = claims.get("cnf")
        # RFC 9449 §6.2: a token that is bound to a key has the type DPoP.
        is_bound = isinstance(confirmation, Mapping) and "jkt" in confirmation
        known = {"active": True, "token_type": "DPoP" if is_bound else "Bearer", **claims}
        return known | {"iss": self.name} if "iss" in claims else known

    def fail(self, fault: str) -> Callable[[], None]:
        """Apply a fault to tokens and keys. Returns a function that undoes it."""
        match fault:
            case "rotate":
                withdrawn = self.keys.rotate(keep_old=False)
                return lambda: self.keys.publish(withdrawn)
            case "unknown_kid":
                self.unknown_kid = "unknown-key"
                return lambda: setattr(self, "unknown_kid", None)
            case "wrong_issuer":
                name, self.name = self._own_name, _IMPOSTOR
                return lambda: setattr(self, "name", name)
            case _:
                return lambda: None

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
            raise ValueError(f"algorithm: {algorithm} signs with a secret; write key='the secret' too")
        if algorithm not in self.algorithms:
            raise ValueError(
                f"algorithm: this server has no key for {algorithm!r}; "
                f"write FakeAuthorizationServer(algorithm={[*self.algorithms, algorithm]})"
            )
        return self.keys.current(algorithm)


def read_algorithms(algorithm: Any) -> tuple[str, ...]:
    """One algorithm or several."""
    if not isinstance(algorithm, Collection):
        raise TypeError(f"algorithm must be 'RS256' or ['RS256', 'ES256'], got {kind_of(algorithm)}")
    algorithms = (algorithm,) if isinstance(algorithm, str) else tuple(algorithm)
    for name in algorithms:
        choose("algorithm", name, ALGORITHMS)
    if not algorithms:
        raise ValueError("algorithm must name at least one algorithm, such as 'RS256'")
    return algorithms


def without_none(members: Mapping[str, Any]) -> dict[str, Any]:
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
        raise TypeError(f"key must be server.foreign_key(), a joserfc key, or a secret, got {kind_of(key)}")
    choose("algorithm of that key", given.algorithm, (*_SIGNED_BY[getattr(given.private, "key_type", "oct")], "none"))
    return given
