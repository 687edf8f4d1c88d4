"""Nonces for DPoP proofs (RFC 9449 §8, §9). They are stateless: a time and its MAC, so that all workers accept them."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from .base64url import decode_base64url, encode_base64url
from .secrets import Secret

__all__ = ["make_nonce", "read_nonce"]

_TIME_SIZE: Final = 8
_MAC_SIZE: Final = 16


def make_nonce(key: Secret[bytes], now: float) -> str:
    """A nonce that was issued ``now``, in seconds since the epoch. It consists of ``NQCHAR`` (RFC 9449 §8.1)."""
    issued_at = int(now).to_bytes(_TIME_SIZE)
    return encode_base64url(issued_at + _mac(key, issued_at)).decode()


def read_nonce(nonce: str, keys: Iterable[Secret[bytes]]) -> int | None:
    """When ``nonce`` was issued, in seconds since the epoch; ``None`` if it was not made with one of ``keys``."""
    data = decode_base64url(nonce, _TIME_SIZE + _MAC_SIZE) or b""
    issued_at, mac = data[:_TIME_SIZE], data[_TIME_SIZE:]
    # Compare with every key, so that the time does not tell which one fits.
    fitting = [hmac.compare_digest(mac, _mac(key, issued_at)) for key in keys]
    return int.from_bytes(issued_at) if any(fitting) else None


def _mac(key: Secret[bytes], issued_at: bytes) -> bytes:
    return hashlib.blake2b(issued_at, digest_size=_MAC_SIZE, key=key.reveal()).digest()
