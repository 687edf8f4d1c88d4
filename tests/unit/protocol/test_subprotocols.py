"""Tokens in ``Sec-WebSocket-Protocol``."""

from typing import Any

import pytest

from async_oauth_guard.protocol.credentials import MAX_TOKEN_LENGTH
from async_oauth_guard.protocol.subprotocols import split_subprotocols

OFFERS: dict[str, tuple[list[Any], list[bytes], list[str]]] = {
    "none": ([], [], []),
    "others": (["chat", "news"], [], ["chat", "news"]),
    "as it is": (["bearer", "abc"], [b"Bearer abc"], ["bearer"]),
    "encoded": (["bearer", "bearer.YS9i"], [b"Bearer a/b"], ["bearer"]),
    "among others": (["chat", "bearer", "abc", "news"], [b"Bearer abc"], ["chat", "bearer", "news"]),
    "a field as one item": (["chat, bearer,\tabc"], [b"Bearer abc"], ["chat", "bearer"]),
    "two": (["bearer", "abc", "bearer", "def"], [b"Bearer abc", b"Bearer def"], ["bearer", "bearer"]),
    "without a token": (["bearer"], [], ["bearer"]),
    "in upper case": (["Bearer", "abc"], [], ["Bearer", "abc"]),
    "empty, encoded": (["bearer", "bearer."], [b"Bearer "], ["bearer"]),
    "malformed": (["bearer", "bearer.%"], [b"Bearer "], ["bearer"]),
    "outside of Latin-1": (["bearer", "\u20ac"], [b"Bearer ?"], ["bearer"]),
    "not a string": ([b"bearer", "bearer", None, "abc"], [b"Bearer abc"], ["bearer"]),
}


@pytest.mark.parametrize(("offered", "credentials", "others"), OFFERS.values(), ids=OFFERS)
def test_offers(offered: list[Any], credentials: list[bytes], others: list[str]) -> None:
    """The item after ``bearer`` is the token, and is not among the other subprotocols."""
    assert split_subprotocols(offered) == (credentials, others)


def test_long_tokens() -> None:
    """An item that is too long is not decoded."""
    item = "bearer." + "YS9i" * (MAX_TOKEN_LENGTH // 4)
    assert split_subprotocols(["bearer", item]) == ([b"Bearer " + item.encode()], ["bearer"])
