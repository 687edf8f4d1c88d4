"""Under which names things are kept in caches, and what is believed of a cache that others can write."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..credentials import Secret, is_encodable

__all__ = ["Memory", "Shelf", "Vault", "derive_key"]

E = TypeVar("E")

_VERSION = "1"


class Vault:
    """Names and seals of one validator: nobody without Django's secret key makes any, and none fits another validator.

    Args:
        secret_key: Django's.
        fingerprint: all that decides a verdict of this validator, as text.
    """

    def __init__(self, secret_key: Secret[str | bytes], fingerprint: str) -> None:
        self._person = hashlib.blake2b(fingerprint.encode(), digest_size=hashlib.blake2b.PERSON_SIZE).digest()
        name_key = derive_key(secret_key, b"names").reveal()
        # Begun once, and copied for each token.
        self._hasher = hashlib.blake2b(digest_size=32, key=name_key, person=self._person)
        self._seal_key = derive_key(secret_key, b"seals")

    def digest(self, token: Secret[str]) -> bytes:
        """What stands for ``token`` in caches: it tells nobody the token."""
        # Hooks' callers may hand over anything; what no encoding holds is no token of anybody's.
        hasher = self._hasher.copy()
        hasher.update(token.reveal().encode(errors="surrogatepass"))
        return hasher.digest()

    def name(self, kind: str, digest: bytes = b"") -> str:
        """The key of an entry in Django's cache."""
        return f"async_oauth_guard:{kind}:{self._person.hex()}:{digest.hex()}"

    def seal(self, name: str, value: Any, expires_at: float) -> str:
        """The text of an entry: ``value`` and when it ends (seconds since the epoch), so that both can be believed."""
        body = json.dumps({"value": value, "expires_at": expires_at}, separators=(",", ":"))
        return f"{_VERSION}.{self._mac(name, body)}.{body}"

    def unseal(self, name: str, text: str | None, now: float) -> Any:
        """The value in an entry, or ``None`` where it is not from us, or not from under this name, or too old."""
        version, _, rest = (text or "").partition(".")
        mac, _, body = rest.partition(".")
        if version != _VERSION or not is_encodable(body) or not mac.isascii():
            return None
        if not hmac.compare_digest(mac, self._mac(name, body)):
            return None
        # Ours, so it has the form that we gave it.
        entry = json.loads(body)
        return entry["value"] if now < entry["expires_at"] else None

    def _mac(self, name: str, body: str) -> str:
        message = f"{len(name)}.{name}.{body}".encode()
        return hashlib.blake2b(message, digest_size=32, key=self._seal_key.reveal()).hexdigest()


class Memory(Protocol[E]):
    """See `memory.Memory`."""

    def get(self, key: bytes) -> E | None: ...
    def put(self, key: bytes, entry: E) -> None: ...
    def discard(self, key: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Shelf:
    """A place in the Django cache ``cache`` where the workers of a site leave something for each other.

    Made in the request: whose vault it is may be told by code of the site's.
    """

    cache: str
    name: str
    vault: Vault


def derive_key(secret_key: Secret[str | bytes], purpose: bytes) -> Secret[bytes]:
    """A key of its own for each purpose, of ten bytes at most, from Django's secret key."""
    key = secret_key.reveal()
    secret = key if isinstance(key, bytes) else key.encode()
    return Secret(hashlib.blake2b(secret, digest_size=32, person=b"guard " + purpose).digest())
