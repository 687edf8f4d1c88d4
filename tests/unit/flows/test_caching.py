"""Names in caches, and what is believed of what is found there."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_oauth_guard.credentials import Secret
from async_oauth_guard.flows.caching import Vault
from async_oauth_guard.strict_json import read_json

NOW = 1_800_000_000.0
TOKEN = "a-token.4bF7/+~="
VALUE = {"claims": {"active": True, "sub": "älice", "n": 1.5, "list": [None, "\u2028", '"']}, "answered_at": NOW}


def vault(secret_key: str | bytes = "secret", fingerprint: str = "validator") -> Vault:
    return Vault(Secret(secret_key), fingerprint)


VAULT = vault()
NAME = VAULT.name("yes", VAULT.digest(Secret(TOKEN)))


# Names


def test_digest() -> None:
    """R31: a token is known by 32 bytes, the same in every worker, in which it does not stand."""
    digest = VAULT.digest(Secret(TOKEN))
    assert digest == vault().digest(Secret(TOKEN))
    assert digest == vault(b"secret").digest(Secret(TOKEN))
    assert len(digest) == 32
    assert TOKEN.encode() not in digest


@pytest.mark.parametrize(
    "other",
    [
        vault(fingerprint="another validator").digest(Secret(TOKEN)),
        vault(fingerprint="").digest(Secret(TOKEN)),
        vault("another secret").digest(Secret(TOKEN)),
        VAULT.digest(Secret(TOKEN.upper())),
        VAULT.digest(Secret(TOKEN + " ")),
        VAULT.digest(Secret("")),
    ],
    ids=["validator", "no fingerprint", "secret key", "case", "length", "empty"],
)
def test_digests_differ(other: bytes) -> None:
    """R33: no verdict crosses from one validator, one site or one token to another."""
    assert VAULT.digest(Secret(TOKEN)) != other


def test_any_string_has_a_digest() -> None:
    """What no encoding holds has a digest too: it is no token of anybody's, and no crash."""
    tokens = ["\ud800", "\udfff", "\0", "é", "x" * 100_000]
    assert len({VAULT.digest(Secret(token)) for token in tokens}) == len(tokens)


def test_names() -> None:
    """R31: the key of an entry tells kinds, validators and tokens apart, and any cache can hold it."""
    names = {
        NAME,
        VAULT.name("no", VAULT.digest(Secret(TOKEN))),
        VAULT.name("yes", VAULT.digest(Secret("other"))),
        VAULT.name("yes"),
        VAULT.name("keys"),
        vault(fingerprint="another validator").name("keys"),
    }
    assert len(names) == 6
    for name in names:
        assert name.startswith("async_oauth_guard:")
        assert name.isascii()
        assert name.isprintable()
        assert " " not in name
        # Memcached takes 250, prefix and version included.
        assert len(name) < 150
        assert TOKEN not in name


def test_nothing_shows() -> None:
    """R31: neither the secret key nor what is derived from it is shown."""
    state = repr(vars(vault("se-cret-4bF7")))
    assert "se-cret" not in state
    assert state.count("<secret>") == 1


# Seals


def seal(value: Any = VALUE, expires_at: float = NOW + 30, name: str = NAME, by: Vault = VAULT) -> str:
    return by.seal(name, value, expires_at)


def test_round_trip() -> None:
    """What was sealed is found again under its name, in another worker too."""
    assert VAULT.unseal(NAME, seal(), NOW) == VALUE
    assert vault().unseal(NAME, seal(), NOW + 29.9) == VALUE


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_round_trip_of_anything(value: Any) -> None:
    """Whatever JSON can say comes back as it was."""
    assert VAULT.unseal(NAME, seal({"value": value}), NOW) == {"value": value}


def test_round_trip_of_what_is_deep() -> None:
    """An answer that is nested as deeply as one may be comes back, with what it is sealed in around it."""
    value: Any = read_json(b"[" * 32 + b"]" * 32)
    assert value is not None
    assert VAULT.unseal(NAME, seal({"claims": value}), NOW) == {"claims": value}


@pytest.mark.parametrize("now", [NOW + 30, NOW + 30.001, NOW + 1e9])
def test_too_old(now: float) -> None:
    """R70: what is past its end is not there, whatever the cache says."""
    assert VAULT.unseal(NAME, seal(), now) is None


def test_form() -> None:
    """An entry is text: a version, a code that vouches for it, and JSON."""
    version, mac, body = seal().split(".", 2)
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
    "another name": lambda text: seal(name=VAULT.name("yes", VAULT.digest(Secret("other")))),
    "another kind": lambda text: seal(name=VAULT.name("keys")),
    "another validator": lambda text: seal(
        name=vault(fingerprint="another").name("yes"), by=vault(fingerprint="another")
    ),
    "another site": lambda text: seal(by=vault("another secret")),
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering(tamper: Callable[[str], str | None]) -> None:
    """R31, E22: who can write the cache can vouch for nothing: what is not as we wrote it under this name is a miss."""
    text = seal()
    tampered = tamper(text)
    assert tampered != text
    assert VAULT.unseal(NAME, tampered, NOW) is None


@given(st.integers(0), st.characters())
def test_each_character_counts(place: int, char: str) -> None:
    """An entry with any one character changed is a miss."""
    text = seal()
    place %= len(text)
    changed = text[:place] + char + text[place + 1 :]
    assert VAULT.unseal(NAME, changed, NOW) == (VALUE if changed == text else None)


def test_name_and_body_do_not_run_together() -> None:
    """The code is over name and body apart, so that a longer name with a shorter body is another message."""
    text = VAULT.seal("a.b", VALUE, NOW + 30)
    mac = text.split(".", 2)[1]
    assert VAULT.unseal("a", f"1.{mac}.b.{text.split('.', 2)[2]}", NOW) is None


def test_other_releases_find_the_same() -> None:
    """R31: names, digests and seals are made in one way, with a key for each, until the version says otherwise."""
    person = hashlib.blake2b(b"validator", digest_size=16).digest()
    name_key, seal_key = (
        hashlib.blake2b(b"secret", digest_size=32, person=purpose).digest()
        for purpose in (b"guard names", b"guard seals")
    )
    digest = hashlib.blake2b(TOKEN.encode(), digest_size=32, key=name_key, person=person).digest()
    assert VAULT.digest(Secret(TOKEN)) == digest
    assert VAULT.name("yes", digest) == f"async_oauth_guard:yes:{person.hex()}:{digest.hex()}"
    assert VAULT.name("keys") == f"async_oauth_guard:keys:{person.hex()}:"
    body = '{"value":5,"expires_at":1800000030.0}'
    mac = hashlib.blake2b(f"{len(NAME)}.{NAME}.{body}".encode(), digest_size=32, key=seal_key).hexdigest()
    assert seal(5) == f"1.{mac}.{body}"
