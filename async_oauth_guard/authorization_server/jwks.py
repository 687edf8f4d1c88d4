"""Where the keys that verify tokens come from, how long they are used, and when they are fetched again."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..errors import Reason, TemporarilyUnavailableError
from ..protocol.clock import Clock
from ..protocol.jwk import VerificationKey, import_keys
from ..protocol.jwt import Jwt, choose_keys
from ..runtime.effects import CacheRead, CacheWrite, Call, Compute, Flow, SingleFlight, StartBackground
from .backoff import SHORTEST_WAIT, Attempt
from .cache_entries import CacheEntry, CacheSigner
from .metadata import Metadata, Server
from .responses import JSON, call_flow, check_response, read_json_object, unusable

__all__ = [
    "CallableKeySource",
    "StaticKeySource",
    "KeySource",
    "RefreshPolicy",
    "RemoteKeySource",
    "import_called_keys",
]

# RFC 7517 §8.5.2
_JWK_SET = "application/jwk-set+json"
# The fraction of a key set's lifetime after which it is refreshed, so that a new set arrives before the old one ends.
_REFRESH_AFTER = 0.8


@dataclass(frozen=True, slots=True)
class _KeySet:
    """The keys from one fetch. ``fetched_at``, ``due_at`` and ``stale_at`` are seconds of the steady clock."""

    keys: tuple[VerificationKey, ...]
    identities: frozenset[str]
    document: Any = field(repr=False)
    fetched_at: float
    due_at: float
    stale_at: float


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """The times of a key set, in seconds.

    Attributes:
        ttl: how long a key set is fresh.
        cooldown: the minimum time between attempts to replace it.
        max_stale: how long it may be used.
    """

    ttl: float
    cooldown: float
    max_stale: float

    def key_set(self, keys: tuple[VerificationKey, ...], document: Any, fetched_at: float) -> _KeySet:
        """Return the key set of a ``document`` that was fetched at ``fetched_at`` on the steady clock."""
        return _KeySet(
            keys,
            frozenset(key.identity for key in keys),
            document,
            fetched_at,
            due_at=fetched_at + _REFRESH_AFTER * min(self.ttl, self.max_stale),
            stale_at=fetched_at + self.max_stale,
        )


class KeySource(ABC):
    """The source of a validator's keys."""

    @property
    def settled_keys(self) -> Sequence[VerificationKey]:
        """The keys that may be used now. Empty if a refresh of the keys is due."""
        current = self._settled()
        return () if current is None else current.keys

    def is_settled(self, identity: str) -> bool:
        """Whether the key that verified a token earlier may still be used, and no refresh of the keys is due."""
        current = self._settled()
        return current is not None and identity in current.identities

    def is_current_flow(self, identity: str, cache: str | None) -> Flow[bool]:
        """Whether the key that verified a token earlier may still be used. Also starts a refresh if one is due."""
        yield from ()
        return self.is_settled(identity)

    @abstractmethod
    def _settled(self) -> _KeySet | None:
        """The key set that may be used now, or ``None`` if a refresh is due."""

    @abstractmethod
    def matching_keys_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        """Return the keys that may verify ``jwt``. Empty if its key is unknown."""

    @abstractmethod
    def document_flow(self, cache: str | None) -> Flow[Any]:
        """Return the whole key set, as `get_jwks` does."""


class StaticKeySource(KeySource):
    """Keys that were passed as an argument and never change."""

    def __init__(self, key_set: Any, algorithms: Collection[str]) -> None:
        self._document = key_set
        self.keys = import_keys(key_set, fetched=False, algorithms=algorithms)
        self._key_set = RefreshPolicy(math.inf, 0.0, math.inf).key_set(self.keys, key_set, 0.0)

    def is_settled(self, identity: str) -> bool:
        # This is called for each request, and must not call anything else.
        return identity in self._key_set.identities

    def _settled(self) -> _KeySet:
        return self._key_set

    def matching_keys_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        yield from ()
        return choose_keys(self.keys, jwt)

    def document_flow(self, cache: str | None) -> Flow[Any]:
        yield from ()
        return self._document


class RemoteKeySource(KeySource):
    """The key set of an authorization server. It is replaced as a whole, never merged, and a failure never removes it.

    State changes only on the outbound loop, in one single flight at a time. Code on other threads reads each attribute
    once.
    """

    def __init__(
        self,
        server: Server,
        location: str | Metadata,
        lifetimes: RefreshPolicy,
        signer: Callable[[], CacheSigner],
        algorithms: Collection[str],
    ) -> None:
        self._server = server.apart()
        self._algorithms = algorithms
        self._location = location
        self._lifetimes = lifetimes
        self._signer = signer
        self._current: _KeySet | None = None
        self._attempted_at = -math.inf
        self._has_failed = False
        self._is_attempting = False

    def matching_keys_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        """See `KeySource`.

        Raises:
            TemporarilyUnavailableError: there are no keys, or the key of the token may be in a newer set that could
                not be fetched.
        """
        current = yield from self._usable_flow(cache)
        chosen = choose_keys(current.keys, jwt)
        if chosen:
            return chosen
        if self._was_just_attempted():
            # The set may have been replaced since `current` was read.
            return choose_keys((self._current or current).keys, jwt)
        return choose_keys((yield self._refresh(self._entry(cache))).keys, jwt)

    def _settled(self) -> _KeySet | None:
        current = self._current
        return None if current is None or self._server.clock.steady() >= current.due_at else current

    def is_current_flow(self, identity: str, cache: str | None) -> Flow[bool]:
        """See `KeySource`. Also false if the key set is too old to be used."""
        current = self._current
        now = self._server.clock.steady()
        if current is None or now >= current.stale_at:
            return False
        if now >= current.due_at and self._may_attempt(now):
            yield StartBackground(self._refresh(self._entry(cache)))
        return identity in current.identities

    def document_flow(self, cache: str | None) -> Flow[Any]:
        return (yield from self._usable_flow(cache)).document

    def _usable_flow(self, cache: str | None) -> Flow[_KeySet]:
        """Return the stored set while it is usable, and refresh it in the background. Otherwise load one now."""
        current = self._current
        now = self._server.clock.steady()
        if current is None or now >= current.stale_at:
            entry = self._entry(cache)
            key_set: _KeySet = yield SingleFlight((self, "load"), lambda: self._load_flow(entry), self._server.timeout)
            return key_set
        if now >= current.due_at and self._may_attempt(now):
            yield StartBackground(self._refresh(self._entry(cache)))
        return current

    def _may_attempt(self, now: float) -> bool:
        return now >= self._attempted_at + self._lifetimes.cooldown

    def _is_attempted(self, now: float) -> bool:
        # Only for as long as an attempt may take: a process that was forked during one never sees its end.
        return self._is_attempting and now < self._attempted_at + self._server.timeout

    def _was_just_attempted(self) -> bool:
        """Whether an attempt to fetch the key set has just ended, so that an unknown key must not cause another.

        Raises:
            TemporarilyUnavailableError: the last attempt failed, so an unknown key may be a new or an invented one.
        """
        now = self._server.clock.steady()
        if self._may_attempt(now) or self._is_attempted(now):
            return False
        if self._has_failed:
            rest = self._attempted_at + self._lifetimes.cooldown - now
            raise TemporarilyUnavailableError(
                reason=Reason.KEYS_UNAVAILABLE, retry_after=max(self._server.backoff.seconds_left(), math.ceil(rest))
            )
        return True

    def _entry(self, cache: str | None) -> CacheEntry | None:
        if cache is None:
            return None
        signer = self._signer()
        return CacheEntry(cache, signer.name("keys"), signer)

    def _refresh(self, entry: CacheEntry | None) -> SingleFlight:
        return SingleFlight((self, "refresh"), lambda: self._fetch_flow(entry), self._server.timeout)

    def _load_flow(self, entry: CacheEntry | None) -> Flow[_KeySet]:
        """Return the set that another worker stored in the shared cache, or else fetch it from the server."""
        if self._current is None and entry is not None:
            self._current = yield from self._read_shared_flow(entry)
        if self._current is not None and self._server.clock.steady() < self._current.stale_at:
            return self._current
        fetched: _KeySet = yield self._refresh(entry)
        return fetched

    def _fetch_flow(self, entry: CacheEntry | None) -> Flow[_KeySet]:
        server, current = self._server, self._current
        if current is not None and server.clock.steady() < current.stale_at and self._was_just_attempted():
            # The caller joined because an attempt was running, and it has ended meanwhile.
            return current
        self._is_attempting = True
        try:
            server.backoff.check_open()
            # The cooldown starts here, even if the attempt fails.
            self._attempted_at = attempted_at = server.clock.steady()
            location = self._location
            url = location if isinstance(location, str) else (yield from location.address_flow("jwks_uri"))
            with server.backoff.attempt() as attempt:
                document = yield from self._download_flow(url, attempt)
                keys = yield from self._import_flow(document)
                if not keys:
                    unusable(f"The key set of {server.issuer} has no usable key", Reason.KEYS_UNAVAILABLE)
            # Set this before the attempt ends: readers on other threads read the set last.
            self._current = fetched = self._lifetimes.key_set(keys, document, attempted_at)
            self._has_failed = False
        except TemporarilyUnavailableError:
            self._has_failed = True
            raise
        finally:
            self._is_attempting = False
        if entry is not None:
            yield from self._write_shared_flow(entry, document)
        return fetched

    def _download_flow(self, url: str, attempt: Attempt) -> Flow[Mapping[str, Any]]:
        server = self._server
        accepted = (JSON, _JWK_SET)
        call = server.get(url, attempt, "keys", accept=", ".join(accepted))
        response = yield from call_flow(call, attempt, server.clock.wall())
        check_response(response, url, accepted)
        document: Mapping[str, Any] = yield Compute(partial(read_json_object, response, url))
        return document

    def _import_flow(self, document: Any) -> Flow[tuple[VerificationKey, ...]]:
        work = partial(import_keys, document, fetched=True, algorithms=self._algorithms)
        keys: tuple[VerificationKey, ...] = yield Compute(work)
        return keys

    def _read_shared_flow(self, entry: CacheEntry) -> Flow[_KeySet | None]:
        clock = self._server.clock
        text = yield CacheRead(entry.cache, entry.name)
        now = clock.wall()
        shared = entry.signer.verify(entry.name, text, now)
        if shared is None:
            return None
        keys = yield from self._import_flow(shared["document"])
        # The clock of another worker may be ahead of the clock here. A set cannot have been fetched in the future.
        age = max(0.0, now - shared["fetched_at"])
        return self._lifetimes.key_set(keys, shared["document"], clock.steady() - age) if keys else None

    def _write_shared_flow(self, entry: CacheEntry, document: Any) -> Flow[None]:
        now, seconds = self._server.clock.wall(), self._lifetimes.max_stale
        text = entry.signer.sign(entry.name, {"document": document, "fetched_at": now}, now + seconds)
        yield CacheWrite(entry.cache, entry.name, text, seconds)


class CallableKeySource(KeySource):
    """Keys that a callable from the site returns. It is called in the request that needs the keys."""

    def __init__(
        self, get_keys: Callable[[], Any], lifetimes: RefreshPolicy, clock: Clock, algorithms: Collection[str]
    ) -> None:
        self._algorithms = algorithms
        self._get_keys = get_keys
        self._lifetimes = lifetimes
        self._clock = clock
        self._current: _KeySet | None = None
        self._failed_at = -math.inf

    def matching_keys_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        current = self._settled()
        chosen = choose_keys(current.keys, jwt) if current is not None else ()
        if chosen or (current is not None and self._clock.steady() < current.fetched_at + self._lifetimes.cooldown):
            return chosen
        return choose_keys((yield from self._call_flow()).keys, jwt)

    def document_flow(self, cache: str | None) -> Flow[Any]:
        return (self._settled() or (yield from self._call_flow())).document

    def _settled(self) -> _KeySet | None:
        current = self._current
        is_settled = current is not None and self._clock.steady() < current.fetched_at + self._lifetimes.ttl
        return current if is_settled else None

    def _call_flow(self) -> Flow[_KeySet]:
        called_at = self._clock.steady()
        if called_at < self._failed_at + SHORTEST_WAIT:
            # Do not call it for each token meanwhile: the callable probably sends requests to a server too.
            raise TemporarilyUnavailableError(reason=Reason.KEYS_UNAVAILABLE)
        try:
            document = yield Call(self._get_keys, ())
            keys = import_called_keys(document, self._algorithms)
        except Exception:
            self._failed_at = called_at
            raise
        self._current = self._lifetimes.key_set(keys, document, called_at)
        return self._current


def import_called_keys(document: Any, algorithms: Collection[str]) -> tuple[VerificationKey, ...]:
    """Return the usable keys that site code returned. Dictionaries, lists, tuples and strings count as fetched keys.

    Raises:
        TemporarilyUnavailableError: there is no usable key.
    """
    keys = import_keys(document, fetched=isinstance(document, Mapping | list | tuple | str), algorithms=algorithms)
    if not keys:
        unusable("get_jwks() or the jwks argument returned no usable key", Reason.KEYS_UNAVAILABLE)
    return keys
