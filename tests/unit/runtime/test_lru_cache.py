"""What is remembered in this process."""

import gc
import math
import os
import threading
from dataclasses import dataclass

import pytest

from async_oauth_guard.runtime import lru_cache
from async_oauth_guard.runtime.lru_cache import SizedLRU


@dataclass
class Entry:
    size: int
    what: str = ""
    kept_until: float = math.inf


def test_remembering() -> None:
    """What was put under a key is there, and nothing else."""
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    entry = Entry(1)
    remembered.put(b"a", entry)
    assert remembered.get(b"a") is entry
    assert remembered.get(b"b") is None
    assert len(remembered._entries) == 1


def test_replacing() -> None:
    """A later entry takes the place, and the size, of the one before."""
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    remembered.put(b"a", Entry(9, "first"))
    remembered.put(b"a", Entry(4, "second"))
    remembered.put(b"b", Entry(6))
    assert remembered.get(b"a") == Entry(4, "second")
    assert len(remembered._entries) == 2


def test_the_least_used_is_forgotten_first() -> None:
    """Where there is no room, what was not asked for longest goes."""
    remembered: SizedLRU[Entry] = SizedLRU(3, lambda: 0.0)
    for key in (b"a", b"b", b"c"):
        remembered.put(key, Entry(1))
    remembered.get(b"a")
    remembered.put(b"d", Entry(2))
    assert [remembered.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, False, True]


def test_bound() -> None:
    """However much is put, no more is kept than the sizes that fit."""
    remembered: SizedLRU[Entry] = SizedLRU(1000, lambda: 0.0)
    for number in range(10_000):
        remembered.put(number.to_bytes(4), Entry(100))
    assert len(remembered._entries) == 10


def test_outdated_entries() -> None:
    """Entries that have had their time are removed when others arrive, and no others are."""
    now = 0.0
    remembered: SizedLRU[Entry] = SizedLRU(100_000, lambda: now)
    for number in range(1000):
        remembered.put(b"short %d" % number, Entry(1, kept_until=10.0))
    remembered.put(b"long", Entry(1, kept_until=20.5))
    now = 10.0
    for number in range(2000):
        remembered.put(b"new %d" % number, Entry(1, kept_until=20.0))
    assert len(remembered._entries) == 2001
    now = 20.0
    for number in range(4000):
        remembered.put(b"newer %d" % number, Entry(1, kept_until=30.0))
    assert len(remembered._entries) == 4001
    assert remembered.get(b"long") is not None


def test_looking_for_outdated_entries_uses_none() -> None:
    """The order in which entries were used stays when outdated ones are removed."""
    remembered: SizedLRU[Entry] = SizedLRU(130, lambda: 1.0)
    for number in range(128):
        remembered.put(b"%d" % number, Entry(1, kept_until=1.0 if number == 100 else 2.0))
    assert len(remembered._entries) == 127
    remembered.get(b"0")
    remembered.put(b"large", Entry(4))
    assert [remembered.get(b"%d" % number) is not None for number in (0, 1, 2)] == [True, False, True]


def test_too_large() -> None:
    """What is larger than the whole memory is not kept, pushes nothing out, and ends what was there before it."""
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    remembered.put(b"a", Entry(1))
    remembered.put(b"b", Entry(1))
    remembered.put(b"c", Entry(11))
    remembered.put(b"b", Entry(11))
    assert remembered.get(b"a") == Entry(1)
    assert remembered.get(b"b") is None
    assert remembered.get(b"c") is None
    remembered.put(b"d", Entry(10))
    assert remembered.get(b"d") == Entry(10)


def test_forgetting() -> None:
    """One entry is forgotten; to forget what is not there is no error."""
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    for key in (b"a", b"b", b"c"):
        remembered.put(key, Entry(1))
    remembered.discard(b"a")
    remembered.discard(b"a")
    assert remembered.get(b"a") is None
    assert len(remembered._entries) == 2


def test_threads() -> None:
    """Threads that put, get and discard at once leave it whole."""
    remembered: SizedLRU[Entry] = SizedLRU(50, lambda: 0.0)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(2000):
                key = (number * seed % 97).to_bytes(1)
                remembered.put(key, Entry(1 + number % 7))
                remembered.get(key)
                if number % 3 == 0:
                    remembered.discard(key)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(remembered._entries) <= 50


def test_memories_are_not_kept_alive() -> None:
    """A validator that is gone takes its memory with it."""
    gc.collect()
    before = len(lru_cache._lrus)
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    assert len(lru_cache._lrus) == before + 1
    del remembered
    gc.collect()
    assert len(lru_cache._lrus) == before


def test_renewed_in_the_middle_of_a_change() -> None:
    """A child that was forked while another thread changed the memory has what was there, and no more than fits."""
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    for key in (b"a", b"b"):
        remembered.put(key, Entry(4))
    # The entry is gone, and its size is still counted.
    remembered._entries._Cache__data.pop(b"a")  # type: ignore[attr-defined]
    remembered.renew()
    assert remembered.get(b"a") is None
    assert remembered.get(b"b") == Entry(4)
    remembered.put(b"c", Entry(6))
    assert len(remembered._entries) == 2
    remembered.put(b"d", Entry(10))
    assert len(remembered._entries) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork() -> None:
    """A child process can use a memory whose lock another thread of its parent's held."""
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    remembered.put(b"a", Entry(1))
    with remembered._lock:
        child = os.fork()
        if child == 0:
            is_free = remembered._lock.acquire(blocking=False)
            if is_free:
                remembered._lock.release()
            os._exit(0 if is_free and remembered.get(b"a") == Entry(1) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_entry_that_grows() -> None:
    """An entry that has grown is counted again, if it is still there. It then pushes out others, or is too large."""
    remembered: SizedLRU[Entry] = SizedLRU(10, lambda: 0.0)
    grown, replaced = Entry(1), Entry(1)
    remembered.put(b"a", Entry(5))
    remembered.put(b"b", grown)
    grown.size = 7
    remembered.recount(b"b", grown)
    assert (remembered.get(b"a"), remembered.get(b"b")) == (None, grown)
    remembered.recount(b"b", replaced)
    remembered.recount(b"c", replaced)
    assert (remembered.get(b"b"), remembered.get(b"c")) == (grown, None)
    grown.size = 11
    remembered.recount(b"b", grown)
    assert remembered.get(b"b") is None
