"""The names of cache entries, and the signatures that make forged entries detectable."""

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from sys import getsizeof
from types import MappingProxyType
from typing import Any, Final

from ..protocol.claims import Lifetime
from ..protocol.copies import own_copy
from ..protocol.credentials import is_encodable
from ..protocol.secrets import Secret

__all__ = ["RememberedAdmission", "CacheEntry", "CacheSigner", "Remembered", "derive_key", "size_of_entry"]

_VERSION = "1"

# Bytes of an entry in addition to its contents: the object with its numbers, its key, and its slots in the tables.
_OVERHEAD = 340
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


class CacheSigner:
    """Names one validator's cache entries, and signs them, so that forged entries are ignored.

    Names and signatures depend on Django's secret key, and those of one validator are not valid for another. The
    entries are not encrypted. ``fingerprint`` is everything that determines the results of this validator, as text.
    """

    def __init__(self, secret_key: Secret[str | bytes], fingerprint: str) -> None:
        self._person = hashlib.blake2b(fingerprint.encode(), digest_size=hashlib.blake2b.PERSON_SIZE).digest()
        name_key = derive_key(secret_key, b"names").reveal()
        # Created once and copied for each token.
        self._hasher = hashlib.blake2b(digest_size=32, key=name_key, person=self._person)
        self._signing_key = derive_key(secret_key, b"signatures")

    def digest(self, token: Secret[str]) -> bytes:
        """Return the digest that represents ``token`` in caches. It does not reveal the token."""
        # Callers of hooks may pass any text. Text that UTF-8 cannot encode is never a valid token.
        hasher = self._hasher.copy()
        hasher.update(token.reveal().encode(errors="surrogatepass"))
        return hasher.digest()

    def name(self, kind: str, digest: bytes = b"") -> str:
        """Return the key of an entry in Django's cache."""
        return f"async_oauth_guard:{kind}:{self._person.hex()}:{digest.hex()}"

    def sign(self, name: str, value: Any, expires_at: float) -> str:
        """Return the signed text of an entry. It contains ``value`` and when it expires, in seconds since the epoch."""
        body = json.dumps({"value": value, "expires_at": expires_at}, separators=(",", ":"))
        return f"{_VERSION}.{self._mac(name, body)}.{body}"

    def verify(self, name: str, text: str | None, now: float) -> Any:
        """Return the value of an entry, or ``None`` if its signature is not valid for ``name`` or it has expired."""
        version, _, rest = (text or "").partition(".")
        mac, _, body = rest.partition(".")
        if version != _VERSION or not is_encodable(body) or not mac.isascii():
            return None
        if not hmac.compare_digest(mac, self._mac(name, body)):
            return None
        # The signature is ours, so the entry has the form that `sign` gave it.
        entry = json.loads(body)
        return entry["value"] if now < entry["expires_at"] else None

    def _mac(self, name: str, body: str) -> str:
        message = f"{len(name)}.{name}.{body}".encode()
        return hashlib.blake2b(message, digest_size=32, key=self._signing_key.reveal()).hexdigest()


def size_of_entry(*parts: Any) -> int:
    """Return the approximate bytes of an entry of the in-process cache. ``parts`` are JSON values, maybe nested."""
    size = _OVERHEAD
    containers: list[Any] = [parts]
    for container in containers:
        members: Collection[Any] = container
        if isinstance(container, dict):
            size += sum(map(getsizeof, container))
            members = container.values()
        size += sum(map(getsizeof, members))
        if not _SCALARS.issuperset(map(type, members)):
            containers.extend(member for member in members if isinstance(member, _CONTAINERS))
    return size


@dataclass(frozen=True, slots=True)
class RememberedAdmission:
    """What the admission of a token depended on, besides its cached result and what the caller compares.

    ``policy`` is what the claims had to fulfil.
    """

    lifetime: Lifetime
    audiences: Collection[str]
    policy: Any


# Bytes of one member of `Remembered.admissions`.
_ADMISSION = 400
_MOST_ADMISSIONS = 16
_NO_ADMISSIONS: Final[Mapping[Any, RememberedAdmission]] = MappingProxyType({})


@dataclass(slots=True, kw_only=True)
class Remembered:
    """An entry of the in-process cache.

    Attributes:
        size: its approximate size in bytes.
        admissions: under what circumstances requests with the token were let in, each with what that depended on.
        changeable: the names of its claims that are lists or dictionaries.
    """

    size: int = field(default=0, init=False)
    changeable: Sequence[str] = field(default=(), init=False, repr=False, compare=False)
    admissions: Mapping[Any, RememberedAdmission] = field(
        default_factory=lambda: _NO_ADMISSIONS, init=False, repr=False, compare=False
    )

    def admit(self, circumstances: Any, admission: RememberedAdmission) -> None:
        """Add an admission. Nobody depends on earlier ones, so if there are too many, they are dropped."""
        earlier = self.admissions if len(self.admissions) < _MOST_ADMISSIONS else _NO_ADMISSIONS
        admissions = {**earlier, circumstances: admission}
        self.size += (len(admissions) - len(self.admissions)) * _ADMISSION
        self.admissions = admissions

    def separate(self, claims: dict[str, Any]) -> None:
        """Let ``claims``, which a request gets, share no list or dictionary with this entry."""
        for name in self.changeable:
            claims[name] = own_copy(claims[name])


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The name and the signer of one entry in the Django cache ``cache``, which the workers of a site share.

    It is created in the request, because the signer may depend on site code.
    """

    cache: str
    name: str
    signer: CacheSigner


def derive_key(secret_key: Secret[str | bytes], purpose: bytes) -> Secret[bytes]:
    """Derive a separate key for each ``purpose`` (at most ten bytes) from Django's secret key."""
    key = secret_key.reveal()
    secret = key if isinstance(key, bytes) else key.encode()
    return Secret(hashlib.blake2b(secret, digest_size=32, person=b"guard " + purpose).digest())
