"""What a validator remembers in this process: bounded by size, the least used forgotten first.

How long something may be used is written on it, and judged by who asks.
"""

import os
import threading
import weakref
from typing import Any, Generic, Protocol, TypeVar

from cachetools import LRUCache

__all__ = ["Memory"]


class _Sized(Protocol):
    """An entry that knows about how many bytes it takes."""

    @property
    def size(self) -> int: ...


E = TypeVar("E", bound=_Sized)

_memories: "weakref.WeakSet[Memory[Any]]" = weakref.WeakSet()


class Memory(Generic[E]):
    """Entries by the digest of their token, for threads and event loops at once."""

    def __init__(self, max_size: int) -> None:
        self._entries = self._make_entries(max_size)
        self._lock = threading.Lock()
        _memories.add(self)

    def get(self, key: bytes) -> E | None:
        """The entry under ``key``, if there still is one."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: bytes, entry: E) -> None:
        """Remember ``entry``, in place of what was there; one that is too large for the whole memory is not."""
        with self._lock:
            if entry.size <= self._entries.maxsize:
                self._entries[key] = entry
            else:
                self._entries.pop(key, None)

    def discard(self, key: bytes) -> None:
        """Forget what is under ``key``."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def renew(self) -> None:
        """For a child process: another thread of the parent's may have held the lock, in the middle of a change."""
        self._lock = threading.Lock()
        halfway = self._entries
        self._entries = self._make_entries(halfway.maxsize)
        for key in list(halfway):
            self._entries[key] = halfway[key]

    def _make_entries(self, max_size: float) -> LRUCache[bytes, E]:
        return LRUCache(max_size, getsizeof=_size_of)


def _size_of(entry: _Sized) -> int:
    return entry.size


def _renew() -> None:
    for memory in list(_memories):
        memory.renew()


os.register_at_fork(after_in_child=_renew)
