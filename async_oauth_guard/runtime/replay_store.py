"""Remembers which DPoP proofs were used in this process, so that each is accepted once (RFC 9449 §11.1)."""

import enum
import heapq
import threading

from .forking import renew_in_child

__all__ = ["MAX_PER_KEY", "REPLAYS", "Memory", "ReplayStore"]

MAX_PER_KEY = 50_000
"""Maximum number of proofs that are remembered for one key. A flood of proofs made with one key affects no other."""

# How many expired proofs one call forgets. More than one, so that the store shrinks after a burst; few, because callers
# hold the lock on an event loop.
_MAX_FORGOTTEN = 100


class Memory(enum.Enum):
    """What the store knows about a proof."""

    NEW = enum.auto()
    KNOWN = enum.auto()
    FULL = enum.auto()


class ReplayStore:
    """The digests of used proofs until these expire. Safe to use from several threads and event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the thumbprint of the key.
        self._digests: dict[str, set[bytes]] = {}
        # When each digest expires, the earliest first.
        self._expiries: list[tuple[float, str, bytes]] = []

    def remember(self, thumbprint: str, digest: bytes, *, expires_at: float, now: float) -> Memory:
        """Remember a proof. It is new only for the first caller, unless its key has too many proofs."""
        with self._lock:
            self._forget(now, _MAX_FORGOTTEN)
            digests = self._digests.setdefault(thumbprint, set())
            if digest in digests:
                return Memory.KNOWN
            if len(digests) >= MAX_PER_KEY:
                self._forget(now, len(self._expiries))
                digests = self._digests.setdefault(thumbprint, set())
                if len(digests) >= MAX_PER_KEY:
                    return Memory.FULL
            digests.add(digest)
            heapq.heappush(self._expiries, (expires_at, thumbprint, digest))
            return Memory.NEW

    def _forget(self, now: float, limit: int) -> None:
        """Forget up to ``limit`` proofs that have expired."""
        for _ in range(limit):
            if not self._expiries or self._expiries[0][0] >= now:
                return
            _, thumbprint, digest = heapq.heappop(self._expiries)
            digests = self._digests[thumbprint]
            digests.discard(digest)
            if not digests:
                del self._digests[thumbprint]

    def renew(self) -> None:
        """Repair the store in a forked child. A thread of the parent may have held the lock during a change."""
        self._lock = threading.Lock()
        kept = list(self._expiries)
        heapq.heapify(kept)
        self._digests = {}
        for _, thumbprint, digest in kept:
            self._digests.setdefault(thumbprint, set()).add(digest)
        self._expiries = kept


REPLAYS = ReplayStore()
"""The proofs that were used in this process."""

renew_in_child(REPLAYS.renew)
