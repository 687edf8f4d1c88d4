"""The in-process cache of a validator. Its size is limited, and the least recently used entries go first.

Each entry says how long it may be used. The caller checks this. Entries that have had their time are removed now and
then, so that the cache does not fill up with them.
"""

import threading
import weakref
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from cachetools import Cache, LRUCache

from .forking import renew_in_child

__all__ = ["SizedLRU"]


# Outdated entries are looked for after this many new ones at the earliest.
_FEWEST_NEW: Final = 128


class _Entry(Protocol):
    """An entry that knows its approximate size in bytes, and until when it has a use."""

    @property
    def size(self) -> int: ...

    @property
    def kept_until(self) -> float: ...


E = TypeVar("E", bound=_Entry)

_lrus: "weakref.WeakSet[SizedLRU[Any]]" = weakref.WeakSet()


class SizedLRU(Generic[E]):
    """Entries by the digest of their token. Safe to use from several threads and event loops.

    Args:
        max_size: the limit of the entries' sizes together, in bytes.
        clock: returns the time by which the entries' ``kept_until`` is measured, in seconds.
    """

    def __init__(self, max_size: int, clock: Callable[[], float]) -> None:
        self._entries = self._make_entries(max_size)
        self._clock = clock
        self._until_search = _FEWEST_NEW
        self._lock = threading.Lock()
        _lrus.add(self)

    def get(self, key: bytes) -> E | None:
        """Return the entry under ``key``, or ``None``."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: bytes, entry: E) -> None:
        """Store ``entry`` and replace any earlier one. An entry that is larger than the whole cache is not stored."""
        with self._lock:
            self._put(key, entry)
            self._until_search -= 1
            if not self._until_search:
                self._drop_outdated()

    def recount(self, key: bytes, entry: E) -> None:
        """Count ``entry`` again after its size has changed, if it is still stored under ``key``."""
        with self._lock:
            if self._entries.get(key) is entry:
                self._put(key, entry)

    def _put(self, key: bytes, entry: E) -> None:
        if entry.size <= self._entries.maxsize:
            self._entries[key] = entry
        else:
            self._entries.pop(key, None)

    def _drop_outdated(self) -> None:
        now = self._clock()
        for key in list(self._entries):
            # `LRUCache` would count this as a use.
            if Cache.__getitem__(self._entries, key).kept_until <= now:
                del self._entries[key]
        # The next search will look at each of these entries, so as many new ones share its cost.
        self._until_search = max(_FEWEST_NEW, len(self._entries))

    def discard(self, key: bytes) -> None:
        """Remove the entry under ``key``, if there is one."""
        with self._lock:
            self._entries.pop(key, None)

    def renew(self) -> None:
        """Repair the cache in a forked child. A thread of the parent may have held the lock during a change."""
        self._lock = threading.Lock()
        halfway = self._entries
        self._entries = self._make_entries(halfway.maxsize)
        for key in list(halfway):
            self._entries[key] = halfway[key]

    def _make_entries(self, max_size: float) -> LRUCache[bytes, E]:
        return LRUCache(max_size, getsizeof=attrgetter("size"))


def _renew() -> None:
    for lru in list(_lrus):
        lru.renew()


renew_in_child(_renew)
