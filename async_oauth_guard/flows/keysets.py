"""Where the keys come from that tokens are verified with, how long they serve, and when they are asked for anew."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..effects import CacheRead, CacheWrite, Call, Flow, Once, Start
from ..errors import Reason, TemporarilyUnavailableError
from ..jose import Jwt, VerificationKey, choose_keys, import_keys
from .answers import JSON, call_flow, check_answer, read_json_object, unusable
from .backoff import SHORTEST_WAIT, Attempt
from .caching import Shelf, Vault
from .clock import Clock
from .discovery import Metadata, Server

__all__ = ["CalledKeys", "FixedKeys", "KeySource", "Lifetimes", "RemoteKeys", "import_called_keys"]

# RFC 7517 §8.5.2
_JWK_SET = "application/jwk-set+json"
# Of a set's lifetime: so it is replaced before it has aged out.
_REFRESH_AFTER = 0.8


@dataclass(frozen=True, slots=True)
class _KeySet:
    """Keys as they were at one time. ``due_at`` and ``stale_at`` are steady seconds."""

    keys: tuple[VerificationKey, ...]
    identities: frozenset[str]
    document: Any = field(repr=False)
    fetched_at: float
    due_at: float
    stale_at: float


class KeySource(Protocol):
    """Where a validator's keys come from."""

    def candidates_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        """The keys that ``jwt`` may be verified with: none where its key is unknown."""
        ...

    def still_holds_flow(self, identity: str, cache: str | None) -> Flow[bool]:
        """Whether the key of a token that was verified earlier still serves. Sees to it that this stays known."""
        ...

    def document_flow(self, cache: str | None) -> Flow[Any]:
        """The whole key set, as `get_jwks` gives it."""
        ...


class FixedKeys:
    """Keys that were handed over for good."""

    def __init__(self, key_set: Any, algorithms: Collection[str]) -> None:
        self._document = key_set
        self.keys = import_keys(key_set, fetched=False, algorithms=algorithms)
        self._identities = frozenset(key.identity for key in self.keys)

    def candidates_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        """See `KeySource`."""
        yield from ()
        return choose_keys(self.keys, jwt)

    def still_holds_flow(self, identity: str, cache: str | None) -> Flow[bool]:
        """See `KeySource`."""
        yield from ()
        return identity in self._identities

    def document_flow(self, cache: str | None) -> Flow[Any]:
        """See `KeySource`."""
        yield from ()
        return self._document


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds: for how long a key set is fresh, how far apart attempts to replace it are, for how long it serves."""

    ttl: float
    cooldown: float
    max_stale: float

    def key_set(self, keys: tuple[VerificationKey, ...], document: Any, fetched_at: float) -> _KeySet:
        """The keys of a ``document`` that was fetched at that (steady) time."""
        return _KeySet(
            keys,
            frozenset(key.identity for key in keys),
            document,
            fetched_at,
            due_at=fetched_at + _REFRESH_AFTER * min(self.ttl, self.max_stale),
            stale_at=fetched_at + self.max_stale,
        )


class RemoteKeys:
    """The key set of an authorization server: replaced as a whole, never merged, and never thrown away for a failure.

    What changes here changes on the outgoing loop, within one flight at a time; readers take one attribute at once.
    """

    def __init__(
        self,
        server: Server,
        location: str | Metadata,
        lifetimes: Lifetimes,
        vault: Callable[[], Vault],
        algorithms: Collection[str],
    ) -> None:
        self._server = server.apart()
        self._algorithms = algorithms
        self._location = location
        self._lifetimes = lifetimes
        self._vault = vault
        self._current: _KeySet | None = None
        self._attempted_at: float | None = None
        self._has_failed = False
        self._is_attempting = False

    def candidates_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        """See `KeySource`.

        Raises:
            TemporarilyUnavailableError: there are no keys, or the one that is wanted may be among those of a set that
                could not be fetched.
        """
        current = yield from self._usable_flow(cache)
        chosen = choose_keys(current.keys, jwt)
        if chosen:
            return chosen
        if self._has_just_been_asked():
            # The set may have been replaced while the other was searched.
            return choose_keys((self._current or current).keys, jwt)
        return choose_keys((yield self._refresh(self._shelf(cache))).keys, jwt)

    def still_holds_flow(self, identity: str, cache: str | None) -> Flow[bool]:
        """See `KeySource`. False also where the set is too old to vouch for anything."""
        current = self._current
        now = self._server.clock.steady()
        if current is None or now >= current.stale_at:
            return False
        if now >= current.due_at and self._may_attempt(now):
            yield Start(self._refresh(self._shelf(cache)))
        return identity in current.identities

    def document_flow(self, cache: str | None) -> Flow[Any]:
        """See `KeySource`."""
        return (yield from self._usable_flow(cache)).document

    def _usable_flow(self, cache: str | None) -> Flow[_KeySet]:
        """The set at hand, or else one that is waited for. While it is usable, nobody waits for its refresh."""
        current = self._current
        now = self._server.clock.steady()
        if current is None or now >= current.stale_at:
            shelf = self._shelf(cache)
            key_set: _KeySet = yield Once((self, "load"), lambda: self._load_flow(shelf), self._server.timeout)
            return key_set
        if now >= current.due_at and self._may_attempt(now):
            yield Start(self._refresh(self._shelf(cache)))
        return current

    def _may_attempt(self, now: float) -> bool:
        return self._attempted_at is None or now >= self._attempted_at + self._lifetimes.cooldown

    def _is_attempted(self, now: float) -> bool:
        # Not for longer than an attempt takes: a process forked in the middle of one never hears of it.
        return (
            self._is_attempting and self._attempted_at is not None and now < self._attempted_at + self._server.timeout
        )

    def _has_just_been_asked(self) -> bool:
        """Whether the server is not to be asked for a key that its set does not have.

        Raises:
            TemporarilyUnavailableError: the last attempt failed, so nobody can tell a new key from an invented one.
        """
        now = self._server.clock.steady()
        if self._may_attempt(now) or self._is_attempted(now):
            return False
        if self._has_failed:
            rest = (self._attempted_at or now) + self._lifetimes.cooldown - now
            raise TemporarilyUnavailableError(
                reason=Reason.KEYS_UNAVAILABLE, retry_after=max(self._server.backoff.seconds_left(), math.ceil(rest))
            )
        return True

    def _shelf(self, cache: str | None) -> Shelf | None:
        if cache is None:
            return None
        vault = self._vault()
        return Shelf(cache, vault.name("keys"), vault)

    def _refresh(self, shelf: Shelf | None) -> Once:
        return Once((self, "refresh"), lambda: self._fetch_flow(shelf), self._server.timeout)

    def _load_flow(self, shelf: Shelf | None) -> Flow[_KeySet]:
        """The set that another worker left in the shared cache, or else the server's."""
        if self._current is None and shelf is not None:
            self._current = yield from self._read_shared_flow(shelf)
        if self._current is not None and self._server.clock.steady() < self._current.stale_at:
            return self._current
        fetched: _KeySet = yield self._refresh(shelf)
        return fetched

    def _fetch_flow(self, shelf: Shelf | None) -> Flow[_KeySet]:
        server, current = self._server, self._current
        if current is not None and server.clock.steady() < current.stale_at and self._has_just_been_asked():
            # Who asked saw an attempt under way, which has ended since.
            return current
        self._is_attempting = True
        try:
            server.backoff.check_open()
            # Counted from here, whatever comes of it.
            self._attempted_at = attempted_at = server.clock.steady()
            location = self._location
            url = location if isinstance(location, str) else (yield from location.address_flow("jwks_uri"))
            with server.backoff.attempt() as attempt:
                document = yield from self._download_flow(url, attempt)
                keys = import_keys(document, fetched=True, algorithms=self._algorithms)
                if not keys:
                    unusable(f"the key set of {server.issuer} has no usable key", Reason.KEYS_UNAVAILABLE)
            # Before the attempt is over: readers on other threads look at the set last.
            self._current = fetched = self._lifetimes.key_set(keys, document, attempted_at)
            self._has_failed = False
        except TemporarilyUnavailableError:
            self._has_failed = True
            raise
        finally:
            self._is_attempting = False
        if shelf is not None:
            yield from self._write_shared_flow(shelf, document)
        return fetched

    def _download_flow(self, url: str, attempt: Attempt) -> Flow[Mapping[str, Any]]:
        server = self._server
        accepted = (JSON, _JWK_SET)
        call = server.get(url, attempt, "keys", accept=", ".join(accepted))
        answer = yield from call_flow(call, attempt, server.clock.wall())
        check_answer(answer, url, accepted)
        return read_json_object(answer, url)

    def _read_shared_flow(self, shelf: Shelf) -> Flow[_KeySet | None]:
        clock = self._server.clock
        text = yield CacheRead(shelf.cache, shelf.name)
        now = clock.wall()
        shared = shelf.vault.unseal(shelf.name, text, now)
        if shared is None:
            return None
        keys = import_keys(shared["document"], fetched=True, algorithms=self._algorithms)
        # Another worker's clock may be ahead of ours: what it fetched is not younger than now.
        age = max(0.0, now - shared["fetched_at"])
        return self._lifetimes.key_set(keys, shared["document"], clock.steady() - age) if keys else None

    def _write_shared_flow(self, shelf: Shelf, document: Any) -> Flow[None]:
        now, seconds = self._server.clock.wall(), self._lifetimes.max_stale
        text = shelf.vault.seal(shelf.name, {"document": document, "fetched_at": now}, now + seconds)
        yield CacheWrite(shelf.cache, shelf.name, text, seconds)


class CalledKeys:
    """Keys that a callable of the site's gives, in the request that needs them."""

    def __init__(
        self, get_keys: Callable[[], Any], lifetimes: Lifetimes, clock: Clock, algorithms: Collection[str]
    ) -> None:
        self._algorithms = algorithms
        self._get_keys = get_keys
        self._lifetimes = lifetimes
        self._clock = clock
        self._current: _KeySet | None = None
        self._failed_at = -math.inf

    def candidates_flow(self, jwt: Jwt, cache: str | None) -> Flow[Sequence[VerificationKey]]:
        """See `KeySource`."""
        current = self._usable()
        chosen = choose_keys(current.keys, jwt) if current is not None else ()
        if chosen or (current is not None and self._clock.steady() < current.fetched_at + self._lifetimes.cooldown):
            return chosen
        return choose_keys((yield from self._call_flow()).keys, jwt)

    def still_holds_flow(self, identity: str, cache: str | None) -> Flow[bool]:
        """See `KeySource`."""
        yield from ()
        current = self._usable()
        return current is not None and identity in current.identities

    def document_flow(self, cache: str | None) -> Flow[Any]:
        """See `KeySource`."""
        return (self._usable() or (yield from self._call_flow())).document

    def _usable(self) -> _KeySet | None:
        current = self._current
        is_usable = current is not None and self._clock.steady() < current.fetched_at + self._lifetimes.ttl
        return current if is_usable else None

    def _call_flow(self) -> Flow[_KeySet]:
        called_at = self._clock.steady()
        if called_at < self._failed_at + SHORTEST_WAIT:
            # Whatever tokens come meanwhile: what the callable asks is somebody's server too.
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
    """The keys that code of the site's gave: a dictionary or a list of them counts as fetched from somewhere.

    Raises:
        TemporarilyUnavailableError: there is no usable one among them.
    """
    keys = import_keys(document, fetched=isinstance(document, Mapping | list | tuple | str), algorithms=algorithms)
    if not keys:
        unusable("get_jwks() or jwks= gave no usable key", Reason.KEYS_UNAVAILABLE)
    return keys
