"""Introspection results, and the in-process cache that keeps them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..protocol.copies import changeable_members
from ..runtime.lru_cache import SizedLRU
from .cache_entries import Remembered, RememberedAdmission, size_of_entry

__all__ = ["CachePolicy", "Epoch", "IntrospectionCache", "IntrospectionResult"]

# Tokens share the epochs. Invalidating one token affects the few other tokens of its epoch.
_EPOCHS = 1024


# Not frozen, because `passed` changes.
@dataclass(slots=True)
class IntrospectionResult(Remembered):
    """What an authorization server responded about a token. All times are seconds of the steady clock.

    Attributes:
        is_active: the member ``active`` (RFC 7662 §2.2).
        claims: the whole response. Requests share it, so it must not be changed.
        began: when the introspection request began. If two results differ, the later one counts.
        until: when the result must be fetched again.
        kept_until: until when the result has a use. Until then, an active result may be used during an outage of the
            server, and an inactive one keeps out active results whose requests began earlier.
        passed: the policy of a validator whose rules the claims meet, except for those that change with time.
    """

    is_active: bool
    claims: Mapping[str, Any] = field(repr=False)
    began: float
    until: float
    kept_until: float
    passed: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = size_of_entry(self.claims)
        self.changeable = changeable_members(self.claims)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long introspection results are used, in seconds.

    Attributes:
        active: the lifetime of an active result (the option ``cache_ttl``).
        inactive: the lifetime of an inactive result (``negative_ttl``).
        stale: how much longer an active result may be used during an outage of the server (``stale_if_error``).
        timeout: how long one step of an introspection may take.
    """

    active: float
    inactive: float
    stale: float
    timeout: float


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """The time since one of the tokens that share it was invalidated."""

    began: float


class IntrospectionCache:
    """The introspection results of one validator, in this process.

    Active and inactive results are stored separately, so that many invalid tokens cannot push out active results.

    Args:
        max_size: the limit for active results, in bytes. Inactive results get half as many.
        clock: returns the time on the steady clock.
        lifetimes: how long results are used.
    """

    def __init__(self, max_size: int, clock: Callable[[], float], lifetimes: CachePolicy) -> None:
        self._active: SizedLRU[IntrospectionResult] = SizedLRU(max_size, clock)
        self._inactive: SizedLRU[IntrospectionResult] = SizedLRU(max_size // 2, clock)
        self._lifetimes = lifetimes
        # An epoch is replaced when one of its tokens is invalidated. Until then, one object stands for all.
        self._epochs = [Epoch(-math.inf)] * _EPOCHS

    def epoch_of(self, key: bytes) -> Epoch:
        """Return the current epoch of a token. A result whose request began in an earlier epoch is not stored."""
        return self._epochs[int.from_bytes(key[:2]) % _EPOCHS]

    def cached(self, key: bytes, now: float) -> IntrospectionResult | None:
        """Return the stored result of a token, or ``None`` if it must be fetched."""
        known = self._active.get(key) or self._inactive.get(key)
        return known if known is not None and now < known.until else None

    def admit(
        self, key: bytes, result: IntrospectionResult, circumstances: Any, admission: RememberedAdmission
    ) -> None:
        """Remember an admission with ``result``. See `Remembered.admit`."""
        result.admit(circumstances, admission)
        self._active.recount(key, result)

    def stale(self, key: bytes, now: float) -> IntrospectionResult | None:
        """Return the active result that may be used during an outage of the server, or ``None``."""
        known = self._active.get(key)
        return known if known is not None and now < known.kept_until else None

    def result(self, claims: Mapping[str, Any], began: float, now: float, wall: float) -> IntrospectionResult:
        """Return the result for a response that arrived ``now``. ``wall`` is the same time in seconds since the epoch.

        Only ``active`` is kept of an inactive response.
        """
        if not claims["active"]:
            return self._inactive_result(began, now, now + self._lifetimes.inactive)
        # RFC 7662 §4: "the response MUST NOT be cached beyond the time indicated therein"
        expires_at = claims.get("exp")
        left = math.inf if expires_at is None else expires_at - wall
        until = now + min(self._lifetimes.active, left)
        kept_until = now + min(self._lifetimes.active + self._lifetimes.stale, left)
        return IntrospectionResult(True, claims, began, until, kept_until)

    def _inactive_result(self, began: float, now: float, until: float) -> IntrospectionResult:
        # An introspection has at most three steps: find the endpoint, call it, and fetch keys for a signature.
        kept_until = max(until, now + 3 * self._lifetimes.timeout)
        return IntrospectionResult(False, {"active": False}, began, until, kept_until)

    def keep(self, key: bytes, result: IntrospectionResult, epoch: Epoch) -> bool:
        """Store ``result``, whose request began in ``epoch``. Return whether it is stored.

        It is skipped if the token was invalidated meanwhile, or if it is active and a request that began later has
        already responded that the token is inactive.
        """
        if self.epoch_of(key) is not epoch or not self._put(key, result):
            return False
        if self.epoch_of(key) is epoch:
            return True
        # Another thread invalidated the token in between.
        self._put_invalidated(key, self.epoch_of(key).began)
        return False

    def _put(self, key: bytes, result: IntrospectionResult) -> bool:
        if not result.is_active:
            self._active.discard(key)
            self._inactive.put(key, result)
            return True
        inactive = self._inactive.get(key)
        if inactive is not None and inactive.began > result.began:
            return False
        self._inactive.discard(key)
        self._active.put(key, result)
        return True

    def forget(self, key: bytes, now: float) -> None:
        """Invalidate a token: discard its result, and also the results of requests that are running ``now``."""
        self._epochs[int.from_bytes(key[:2]) % _EPOCHS] = Epoch(now)
        self._put_invalidated(key, now)

    def _put_invalidated(self, key: bytes, now: float) -> None:
        self._active.discard(key)
        # An inactive result that has already expired: it is never used, but it keeps older active results out.
        self._inactive.put(key, self._inactive_result(now, now, now))
