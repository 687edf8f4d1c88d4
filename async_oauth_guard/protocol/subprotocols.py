"""Reads a token from ``Sec-WebSocket-Protocol``, for browsers, which cannot send ``Authorization`` with a WebSocket.

No RFC defines this. The client offers the subprotocol ``bearer`` followed by the token, or by ``bearer.`` and the token
as base64url, because a subprotocol must be a token in the sense of RFC 9110 §5.6.2.
"""

from collections.abc import Iterable
from typing import Any, Final

from .base64url import decode_base64url
from .credentials import MAX_TOKEN_LENGTH

__all__ = ["BEARER", "split_subprotocols"]

BEARER: Final = "bearer"
"""The subprotocol. RFC 6455 §1.9: names of subprotocols are compared exactly."""

_ENCODED: Final = f"{BEARER}."


def split_subprotocols(offered: Iterable[Any]) -> tuple[list[bytes], list[str]]:
    """The values of ``Authorization`` that the offered subprotocols stand for, and the others, without the tokens.

    There is one value for each token, so that several of them are refused like a repeated header.
    """
    credentials, others = [], []
    # Some servers, such as uvicorn 0.46 with `websockets-sansio`, give a whole header field as one item.
    parts = [part.strip(" \t") for item in offered if isinstance(item, str) for part in item.split(",")]
    items = iter(parts)
    for item in items:
        others.append(item)
        token = next(items, None) if item == BEARER else None
        if token is not None:
            credentials.append(_credentials(token))
    return credentials, others


def _credentials(item: str) -> bytes:
    encoded = item.encode("latin-1", "replace")
    if item.startswith(_ENCODED) and len(item) <= MAX_TOKEN_LENGTH:
        decoded = decode_base64url(item.removeprefix(_ENCODED), MAX_TOKEN_LENGTH)
        # Without a token, the credentials are malformed.
        return b"Bearer " + (decoded or b"")
    return b"Bearer " + encoded
