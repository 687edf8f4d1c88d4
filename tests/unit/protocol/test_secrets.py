"""Secrets and tokens are not shown by ``repr``, logs or error pages."""

import copy
import hashlib
import pickle
import re
from typing import Any

import pytest

from async_oauth_guard.protocol.credentials import Credentials
from async_oauth_guard.protocol.secrets import PresentedToken, Secret

SECRET = Secret("the-token")


@pytest.mark.parametrize(
    "text",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>20}",
        "%s" % SECRET,  # noqa: UP031
        repr([SECRET]),
        repr(Credentials("bearer", SECRET)),
        repr(vars(type(SECRET))),
    ],
)
def test_secrets_are_not_shown(text: str) -> None:
    """R31: no way to print a secret shows its value."""
    assert "the-token" not in text


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_secrets_are_not_copied(way: Any) -> None:
    """R31: a secret cannot be pickled, cached or copied."""
    with pytest.raises(TypeError, match="a Secret must not be pickled or copied"):
        way(SECRET)


def test_secrets_are_revealed_on_request() -> None:
    """`reveal` returns the value itself, and a secret has no other attributes."""
    value = object()
    assert Secret(value).reveal() is value
    assert not hasattr(SECRET, "__dict__")
    assert repr(SECRET) == "<secret>"


def test_presented_tokens_are_strings() -> None:
    """A hook gets a string whose ``repr`` distinguishes tokens without showing them."""
    token, same, other = PresentedToken("the-token"), PresentedToken("the-token"), PresentedToken("other")
    assert token == "the-token"
    assert (str(token), f"{token}", hash(token), len(token)) == ("the-token", "the-token", hash("the-token"), 9)
    assert repr(token) == repr(same)
    assert repr(token) != repr(other)
    assert re.fullmatch("<token [0-9a-f]{16,}>", repr(token))
    assert hashlib.blake2b(b"the-token", digest_size=16).hexdigest() not in repr(token)
    assert re.fullmatch("<token [0-9a-f]{16,}>", repr(PresentedToken("\ud800")))
    assert not hasattr(token, "__dict__")
