"""What a process remembers of proofs."""

import os
import threading

import pytest

from async_oauth_guard.runtime import replay_store
from async_oauth_guard.runtime.replay_store import Memory, ReplayStore
from tests.proofs import forget_proofs

NOW = 1_800_000_000.0


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """The maximum for one key."""
    monkeypatch.setattr(replay_store, "MAX_PER_KEY", 3)
    return 3


def remember(store: ReplayStore, digest: bytes, key: str = "a", *, age: float = 0, lifetime: float = 70) -> Memory:
    return store.remember(key, digest, expires_at=NOW + age + lifetime, now=NOW + age)


def test_once() -> None:
    """R96: a proof is new once. Other proofs, and other keys, do not matter."""
    store = ReplayStore()
    assert remember(store, b"1") is Memory.NEW
    assert remember(store, b"1") is Memory.KNOWN
    assert remember(store, b"2") is Memory.NEW
    assert remember(store, b"1", "b") is Memory.NEW
    assert remember(store, b"1", age=70) is Memory.KNOWN
    assert len(store._expiries) == 3


def test_forgotten() -> None:
    """Proofs that have expired are forgotten, in the order in which they expire."""
    store = ReplayStore()
    for number in range(300):
        remember(store, bytes([number % 256, number // 256]), lifetime=70 + number % 2)
    assert len(store._expiries) == 300
    assert remember(store, b"later", age=70.5) is Memory.NEW
    # At most a hundred at once, so that no request waits long.
    assert len(store._expiries) == 201
    assert remember(store, b"later still", age=70.5) is Memory.NEW
    assert len(store._expiries) == 152
    assert remember(store, b"last", "b", age=300) is Memory.NEW
    assert remember(store, b"very last", "b", age=300) is Memory.NEW
    assert len(store._expiries) == 2
    assert list(store._digests) == ["b"]


def test_full(few: int) -> None:
    """R100: a key with too many proofs gets no further one. Other keys are not affected, and no proof is forgotten."""
    store = ReplayStore()
    assert remember(store, b"of b", "b") is Memory.NEW
    for number in range(few):
        assert remember(store, bytes([number])) is Memory.NEW
    for number in range(few, 1000):
        assert remember(store, number.to_bytes(2)) is Memory.FULL
    assert len(store._expiries) == few + 1
    assert remember(store, bytes([0])) is Memory.KNOWN
    assert remember(store, b"of b", "b") is Memory.KNOWN
    assert remember(store, b"another of b", "b") is Memory.NEW
    assert remember(store, b"later", age=71) is Memory.NEW


def test_full_of_expired_proofs(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """R100: a key whose proofs have expired is not full, however many others are to be forgotten first."""
    monkeypatch.setattr(replay_store, "_MAX_FORGOTTEN", 1)
    store = ReplayStore()
    for number in range(few):
        remember(store, bytes([number]), "b", lifetime=1)
        remember(store, bytes([number]), lifetime=2)
    assert remember(store, b"new", age=3) is Memory.NEW
    assert len(store._expiries) == 1


def test_threads() -> None:
    """R96: of several threads that present the same proof, one is first."""
    store = ReplayStore()
    found: list[Memory] = []
    barrier = threading.Barrier(8)

    def present() -> None:
        for number in range(500):
            barrier.wait()
            found.append(remember(store, number.to_bytes(2)))

    threads = [threading.Thread(target=present) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(Memory.NEW) == len(store._expiries) == 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork() -> None:
    """A child knows what its parent knew, even if another thread of the parent held the lock."""
    forget_proofs()
    remember(replay_store.REPLAYS, b"1")
    with replay_store.REPLAYS._lock:
        child = os.fork()
        if child == 0:
            known = remember(replay_store.REPLAYS, b"1") is Memory.KNOWN
            os._exit(0 if known and remember(replay_store.REPLAYS, b"2") is Memory.NEW else 1)
    _, status = os.waitpid(child, 0)
    forget_proofs()
    assert os.waitstatus_to_exitcode(status) == 0


def test_renewed_in_the_middle_of_a_change() -> None:
    """R96: a child that was forked while another thread changed the store knows what is to expire."""
    store = ReplayStore()
    remember(store, b"1")
    remember(store, b"2", "b")
    store._digests.clear()
    store.renew()
    assert remember(store, b"1") is remember(store, b"2", "b") is Memory.KNOWN
    assert remember(store, b"3") is Memory.NEW
