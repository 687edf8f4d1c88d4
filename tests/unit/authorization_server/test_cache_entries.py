"""The names and signatures of cache entries."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_oauth_guard.authorization_server.cache_entries import CacheSigner
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.protocol.strict_json import read_json
from tests.unit.characters import ANY_CHARACTER

NOW = 1_800_000_000.0
TOKEN = "a-token.4bF7/+~="
VALUE = {"claims": {"active": True, "sub": "älice", "n": 1.5, "list": [None, "\u2028", '"']}, "answered_at": NOW}


def signer(secret_key: str | bytes = "secret", fingerprint: str = "validator") -> CacheSigner:
    return CacheSigner(Secret(secret_key), fingerprint)


SIGNER = signer()
NAME = SIGNER.name("active", SIGNER.digest(Secret(TOKEN)))


# Names


def test_digest() -> None:
    """R31: a token is represented by 32 bytes, which are the same in every worker and do not contain it."""
    digest = SIGNER.digest(Secret(TOKEN))
    assert digest == signer().digest(Secret(TOKEN))
    assert digest == signer(b"secret").digest(Secret(TOKEN))
    assert len(digest) == 32
    assert TOKEN.encode() not in digest


@pytest.mark.parametrize(
    "other",
    [
        signer(fingerprint="another validator").digest(Secret(TOKEN)),
        signer(fingerprint="").digest(Secret(TOKEN)),
        signer("another secret").digest(Secret(TOKEN)),
        SIGNER.digest(Secret(TOKEN.upper())),
        SIGNER.digest(Secret(TOKEN + " ")),
        SIGNER.digest(Secret("")),
    ],
    ids=["validator", "no fingerprint", "secret key", "case", "length", "empty"],
)
def test_digests_differ(other: bytes) -> None:
    """R33: results are never shared between validators, sites or tokens."""
    assert SIGNER.digest(Secret(TOKEN)) != other


def test_any_string_has_a_digest() -> None:
    """A string that cannot be encoded has a digest too. It is never a valid token."""
    tokens = ["\ud800", "\udfff", "\0", "é", "x" * 100_000]
    assert len({SIGNER.digest(Secret(token)) for token in tokens}) == len(tokens)


def test_names() -> None:
    """R31: the key of an entry depends on kind, validator and token, and is valid in any cache."""
    names = {
        NAME,
        SIGNER.name("no", SIGNER.digest(Secret(TOKEN))),
        SIGNER.name("active", SIGNER.digest(Secret("other"))),
        SIGNER.name("active"),
        SIGNER.name("keys"),
        signer(fingerprint="another validator").name("keys"),
    }
    assert len(names) == 6
    for name in names:
        assert name.startswith("async_oauth_guard:")
        assert name.isascii()
        assert name.isprintable()
        assert " " not in name
        # Memcached accepts 250 characters, including prefix and version.
        assert len(name) < 150
        assert TOKEN not in name


def test_nothing_shows() -> None:
    """R31: the secret key and the keys derived from it are not shown."""
    state = repr(vars(signer("se-cret-4bF7")))
    assert "se-cret" not in state
    assert state.count("<secret>") == 1


# Signatures


def sign(value: Any = VALUE, expires_at: float = NOW + 30, name: str = NAME, by: CacheSigner = SIGNER) -> str:
    return by.sign(name, value, expires_at)


def test_round_trip() -> None:
    """A signed entry is found again under its name, in another worker too."""
    assert SIGNER.verify(NAME, sign(), NOW) == VALUE
    assert signer().verify(NAME, sign(), NOW + 29.9) == VALUE


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(ANY_CHARACTER), st.lists, max_leaves=5))
def test_round_trip_of_anything(value: Any) -> None:
    """Any JSON value is returned unchanged."""
    assert SIGNER.verify(NAME, sign({"value": value}), NOW) == {"value": value}


def test_round_trip_of_what_is_deep() -> None:
    """A response with the maximum nesting is returned, although the entry adds more levels."""
    value: Any = read_json(b"[" * 32 + b"]" * 32)
    assert value is not None
    assert SIGNER.verify(NAME, sign({"claims": value}), NOW) == {"claims": value}


@pytest.mark.parametrize("now", [NOW + 30, NOW + 30.001, NOW + 1e9])
def test_too_old(now: float) -> None:
    """R70: an expired entry counts as missing, even if the cache still has it."""
    assert SIGNER.verify(NAME, sign(), now) is None


def test_form() -> None:
    """An entry is text: a version, a signature, and JSON."""
    version, mac, body = sign().split(".", 2)
    assert version == "1"
    assert len(mac) == 64
    assert json.loads(body) == {"value": VALUE, "expires_at": NOW + 30}


TAMPERINGS: dict[str, Callable[[str], str | None]] = {
    "nothing": lambda text: None,
    "empty": lambda text: "",
    "no entry": lambda text: "garbage",
    "points": lambda text: "..",
    "version": lambda text: "2" + text[1:],
    "no version": lambda text: text[1:],
    "version alone": lambda text: "1",
    "no code": lambda text: "1.." + text.split(".", 2)[2],
    "code alone": lambda text: ".".join(text.split(".", 2)[:2]),
    "code in upper case": lambda text: "1." + text.split(".", 2)[1].upper() + "." + text.split(".", 2)[2],
    "code of another kind": lambda text: "1.é." + text.split(".", 2)[2],
    "half a code": lambda text: "1." + text.split(".", 2)[1][:32] + "." + text.split(".", 2)[2],
    "value": lambda text: text.replace("lice", "Lice"),
    "later end": lambda text: text.replace(str(NOW + 30), str(NOW + 90)),
    "truncated": lambda text: text[:-1],
    "longer": lambda text: text + " ",
    "lone surrogate": lambda text: text + "\ud800",
    "not ASCII": lambda text: text + "é",
    "body moved into the code": lambda text: text.replace(".{", "{.", 1),
    "another name": lambda text: sign(name=SIGNER.name("active", SIGNER.digest(Secret("other")))),
    "another kind": lambda text: sign(name=SIGNER.name("keys")),
    "another validator": lambda text: sign(
        name=signer(fingerprint="another").name("active"), by=signer(fingerprint="another")
    ),
    "another site": lambda text: sign(by=signer("another secret")),
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering(tamper: Callable[[str], str | None]) -> None:
    """R31, E22: an entry that was changed, or written under another name, counts as missing."""
    text = sign()
    tampered = tamper(text)
    assert tampered != text
    assert SIGNER.verify(NAME, tampered, NOW) is None


@given(st.integers(0), st.characters())
def test_each_character_counts(place: int, char: str) -> None:
    """An entry with one changed character counts as missing."""
    text = sign()
    place %= len(text)
    changed = text[:place] + char + text[place + 1 :]
    assert SIGNER.verify(NAME, changed, NOW) == (VALUE if changed == text else None)


def test_name_and_body_do_not_run_together() -> None:
    """The signature covers the border of name and body, so that neither can grow into the other."""
    text = SIGNER.sign("a.b", VALUE, NOW + 30)
    mac = text.split(".", 2)[1]
    assert SIGNER.verify("a", f"1.{mac}.b.{text.split('.', 2)[2]}", NOW) is None


def test_other_releases_find_the_same() -> None:
    """R31: names, digests and signatures keep their form, with separate keys, until the version changes."""
    person = hashlib.blake2b(b"validator", digest_size=16).digest()
    name_key, signing_key = (
        hashlib.blake2b(b"secret", digest_size=32, person=purpose).digest()
        for purpose in (b"guard names", b"guard signatures")
    )
    digest = hashlib.blake2b(TOKEN.encode(), digest_size=32, key=name_key, person=person).digest()
    assert SIGNER.digest(Secret(TOKEN)) == digest
    assert SIGNER.name("active", digest) == f"async_oauth_guard:active:{person.hex()}:{digest.hex()}"
    assert SIGNER.name("keys") == f"async_oauth_guard:keys:{person.hex()}:"
    body = '{"value":5,"expires_at":1800000030.0}'
    mac = hashlib.blake2b(f"{len(NAME)}.{NAME}.{body}".encode(), digest_size=32, key=signing_key).hexdigest()
    assert sign(5) == f"1.{mac}.{body}"
