"""Nonces that every worker can check, and no client can make."""

import re

import pytest

from async_oauth_guard.protocol.dpop_nonces import make_nonce, read_nonce
from async_oauth_guard.protocol.secrets import Secret

KEY, OLD_KEY, FOREIGN_KEY = Secret(b"k" * 32), Secret(b"o" * 32), Secret(b"f" * 32)
NOW = 1_800_000_000


def test_nonce() -> None:
    """R89: with one of its keys, a nonce tells when it was issued."""
    nonce = make_nonce(KEY, NOW + 0.9)
    assert read_nonce(nonce, [KEY]) == NOW
    assert read_nonce(nonce, [OLD_KEY, KEY]) == NOW
    assert read_nonce(make_nonce(OLD_KEY, NOW), [KEY, OLD_KEY]) == NOW


def test_form() -> None:
    """R90: a nonce consists of NQCHAR, and cannot be predicted without the key."""
    nonce = make_nonce(KEY, NOW)
    assert re.fullmatch(r"[\x21\x23-\x5B\x5D-\x7E]+", nonce)
    assert make_nonce(KEY, NOW + 1)[-20:] != nonce[-20:]
    assert make_nonce(FOREIGN_KEY, NOW) != nonce


@pytest.mark.parametrize("index", range(32))
def test_changed_nonces(index: int) -> None:
    """R89: a nonce of which any character is changed is nobody's."""
    nonce = make_nonce(KEY, NOW)
    assert len(nonce) == 32
    changed = nonce[:index] + ("A" if nonce[index] != "A" else "B") + nonce[index + 1 :]
    assert read_nonce(changed, [KEY]) is None


@pytest.mark.parametrize(
    "nonce", ["", "x", "\x00", "é", "A" * 31, "A" * 32, "A" * 33, "A" * 10_000, "=" * 32, "\ud800"]
)
def test_other_texts(nonce: str) -> None:
    """R89: no other text is a nonce."""
    assert read_nonce(nonce, [KEY]) is None


def test_foreign_nonces() -> None:
    """R89: a nonce of another site is not accepted, and neither is any without keys."""
    assert read_nonce(make_nonce(FOREIGN_KEY, NOW), [KEY, OLD_KEY]) is None
    assert read_nonce(make_nonce(KEY, NOW), []) is None
