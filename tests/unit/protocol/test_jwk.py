"""Keys: import, strength, and the algorithms for which they may be used."""

import json
import logging
import traceback
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from async_oauth_guard.protocol.jwk import (
    DEFAULT_ALGORITHMS,
    KNOWN_ALGORITHMS,
    SYMMETRIC_ALGORITHMS,
    import_keys,
    import_signing_key,
)
from async_oauth_guard.protocol.jwt import choose_keys, verify_signature
from async_oauth_guard.protocol.secrets import Secret
from tests.unit.protocol.jwts import (
    EC_JWK,
    EC_KEYS,
    GOOD_JWK,
    MODULUS,
    OKP_KEYS,
    OTHER_RSA_KEY,
    RSA_KEY,
    SECRET,
    SIGNATURES,
    encode,
    fetch,
    int_jwk,
    parse,
    pem,
    private,
    public,
    sign,
    token_of,
)

# --- Algorithms ---


def test_algorithms() -> None:
    """The default algorithms are asymmetric and exclude Ed448. All known algorithms can be verified."""
    expected = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
    assert expected == DEFAULT_ALGORITHMS
    assert SYMMETRIC_ALGORITHMS == ("HS256", "HS384", "HS512")
    assert set(KNOWN_ALGORITHMS) == {*DEFAULT_ALGORITHMS, *SYMMETRIC_ALGORITHMS, "Ed448"}


# --- Public keys ---


DROPPED: list[tuple[str, Any]] = [
    ("R58 not an object: string", "key"),
    ("R58 not an object: null", None),
    ("R58 not an object: list", [GOOD_JWK]),
    ("R58 not an object: number", 1),
    ("R58 empty", {}),
    ("R58 no kty", {"n": GOOD_JWK["n"], "e": "AQAB"}),
    ("R58 unknown kty", {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
    ("R58 kty is a list", GOOD_JWK | {"kty": ["RSA"]}),
    ("R58 kty in lower case", GOOD_JWK | {"kty": "rsa"}),
    ("R58 unknown crv", EC_JWK | {"crv": "P-999"}),
    ("R58 crv of another type", EC_JWK | {"crv": 256}),
    ("R58 crv of another kty", public(OKP_KEYS["Ed25519"], crv="P-256")),
    ("R58 bad base64", EC_JWK | {"x": "!!!!"}),
    ("R58 padded base64", GOOD_JWK | {"e": "AQ=="}),
    ("R58 off the curve", EC_JWK | {"y": EC_JWK["x"]}),
    ("R58 point of another curve", EC_JWK | {"crv": "P-384"}),
    ("R58 x missing", {"kty": "EC", "crv": "P-256", "y": EC_JWK["y"]}),
    ("R58 y missing", {"kty": "EC", "crv": "P-256", "x": EC_JWK["x"]}),
    ("R58 x of Ed25519 missing", {"kty": "OKP", "crv": "Ed25519"}),
    ("R58 x of Ed25519 too short", {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
    ("R58 e missing", {"kty": "RSA", "n": GOOD_JWK["n"]}),
    ("R58 e is a number", GOOD_JWK | {"e": 65537}),
    ("R58 n is null", GOOD_JWK | {"n": None}),
    ("R58 n is endless", GOOD_JWK | {"n": "A" * 1_000_000}),
    ("R58 kid is a number", GOOD_JWK | {"kid": 1}),
    ("R58 kid is a list", GOOD_JWK | {"kid": ["a"]}),
    ("R57 use tls", GOOD_JWK | {"use": "tls"}),
    ("R57 use null", GOOD_JWK | {"use": None}),
    ("R57 use is a list", GOOD_JWK | {"use": ["sig"]}),
    ("R57 key_ops without verify", GOOD_JWK | {"key_ops": ["encrypt"]}),
    ("R57 key_ops to sign", GOOD_JWK | {"key_ops": ["sign"]}),
    ("R57 key_ops empty", GOOD_JWK | {"key_ops": []}),
    ("R57 key_ops unknown", GOOD_JWK | {"key_ops": ["frobnicate"]}),
    ("R57 key_ops is a string", GOOD_JWK | {"key_ops": "verify"}),
    ("R57 key_ops of numbers", GOOD_JWK | {"key_ops": ["verify", 1]}),
    ("R57 key_ops is null", GOOD_JWK | {"key_ops": None}),
    ("R41 alg is a number", GOOD_JWK | {"alg": 256}),
    ("R41 alg is null", GOOD_JWK | {"alg": None}),
    ("R41 alg is a list", GOOD_JWK | {"alg": ["RS256"]}),
    ("R41 alg of another kty", GOOD_JWK | {"alg": "ES256"}),
    ("R41 alg of another curve", EC_JWK | {"alg": "ES384"}),
    ("R41 alg to encrypt", GOOD_JWK | {"alg": "RSA-OAEP"}),
    ("R41 alg none", GOOD_JWK | {"alg": "none"}),
    ("R42 RSA that says HS256", GOOD_JWK | {"alg": "HS256"}),
    ("R41 secp256k1", public(EC_KEYS["secp256k1"])),
    ("R41 secp256k1 that says ES256", public(EC_KEYS["secp256k1"], alg="ES256")),
    ("R62 X25519", public(OKP_KEYS["X25519"])),
    ("R62 X448", public(OKP_KEYS["X448"])),
    ("R62 Ed448 that says EdDSA", public(OKP_KEYS["Ed448"], alg="EdDSA")),
    ("R62 Ed448 that says Ed25519", public(OKP_KEYS["Ed448"], alg="Ed25519")),
    ("R62 Ed25519 that says Ed448", public(OKP_KEYS["Ed25519"], alg="Ed448")),
    ("R55 1024 bits", int_jwk(2**1023 + 1, 65537)),
    ("R55 2047 bits", int_jwk(2**2046 + 1, 65537)),
    ("R55 8193 bits", int_jwk(2**8192 + 1, 65537)),
    ("R55 16384 bits", int_jwk(2**16383 + 1, 65537)),
    ("R55 leading zeros", int_jwk(2**1023 + 1, 65537) | {"n": encode(bytes(128) + (2**1023 + 1).to_bytes(128))}),
    ("R55 e is 0", int_jwk(MODULUS, 0)),
    ("R55 e is 1", int_jwk(MODULUS, 1)),
    ("R55 e is 2", int_jwk(MODULUS, 2)),
    ("R55 e is even", int_jwk(MODULUS, 65536)),
    ("R55 e is 2^32+1", int_jwk(MODULUS, 2**32 + 1)),
    ("R55 e is 2^2047+1", int_jwk(MODULUS, 2**2047 + 1)),
    ("R55 e is 2^3071+1", int_jwk(2**3071 + 2**3070 + 1, 2**3071 + 1)),
    ("R42 oct", {"kty": "oct", "k": encode(bytes(range(64)))}),
    ("R42 oct that says HS256", {"kty": "oct", "k": encode(bytes(range(64))), "alg": "HS256"}),
    ("R42 oct without k", {"kty": "oct"}),
    ("R58 private RSA", RSA_KEY.as_dict(private=True)),
    ("R58 private EC", EC_KEYS["P-256"].as_dict(private=True)),
    ("R58 private OKP", OKP_KEYS["Ed25519"].as_dict(private=True)),
    *(
        (f"R58 private member {name}", GOOD_JWK | {name: "AAAA"})
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
    ),
    ("R58 private member null", GOOD_JWK | {"d": None}),
    ("R58 private RSAKey", RSA_KEY),
    ("R42 OctKey", SECRET),
]


@pytest.mark.parametrize("jwk", [pytest.param(case[1], id=case[0]) for case in DROPPED])
def test_unusable_keys_are_dropped_alone(jwk: Any, caplog: pytest.LogCaptureFixture) -> None:
    """R41, R42, R55, R57, R58, R62: an unusable key is skipped with a warning, and the key next to it is used."""
    kid = "a kid that is not to be logged"
    named = jwk | {"kid": jwk.get("kid", kid)} if isinstance(jwk, dict) else jwk
    good = public(RSA_KEY, kid="good")
    for position, jwks in enumerate(([named, good], [good, named])):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "async_oauth_guard.jose"):
            keys = fetch(*jwks)
        assert [key.kid for key in keys] == ["good"]
        (record,) = caplog.records
        assert record.getMessage().startswith(f"Some keys of a key set are not used: {position} (")
        assert kid not in caplog.text
        assert GOOD_JWK["n"][:20] not in caplog.text
    assert verify_signature(parse(sign("RS256")), keys) is not None


def test_keys_for_encryption_are_nobodys_business(caplog: pytest.LogCaptureFixture) -> None:
    """R57: a key for encryption is skipped without a warning."""
    assert [key.kid for key in fetch(GOOD_JWK | {"use": "enc"}, public(RSA_KEY, kid="good"))] == ["good"]
    assert caplog.records == []


KEPT: list[tuple[str, Any, set[str]]] = [
    ("R55 RSA", GOOD_JWK, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("R55 RSA, e=3", int_jwk(MODULUS, 3), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("R55 RSA, e=2^32-1", int_jwk(MODULUS, 2**32 - 1, alg="RS256"), {"RS256"}),
    ("R55 RSA, 8192 bits", int_jwk(2**8191 + 1, 65537, alg="PS512"), {"PS512"}),
    ("R41 RSA for one algorithm", GOOD_JWK | {"alg": "RS256"}, {"RS256"}),
    ("R41 P-256", EC_JWK, {"ES256"}),
    ("R41 P-384", public(EC_KEYS["P-384"]), {"ES384"}),
    ("R41 P-521", public(EC_KEYS["P-521"], alg="ES512"), {"ES512"}),
    ("R62 Ed25519", public(OKP_KEYS["Ed25519"]), {"Ed25519", "EdDSA"}),
    ("R62 Ed25519 as EdDSA", public(OKP_KEYS["Ed25519"], alg="EdDSA"), {"Ed25519", "EdDSA"}),
    ("R62 Ed25519 as Ed25519", public(OKP_KEYS["Ed25519"], alg="Ed25519"), {"Ed25519", "EdDSA"}),
    ("R62 Ed448", public(OKP_KEYS["Ed448"]), {"Ed448"}),
    ("R62 Ed448 as Ed448", public(OKP_KEYS["Ed448"], alg="Ed448"), {"Ed448"}),
    ("R58 kid null", EC_JWK | {"kid": None}, {"ES256"}),
    ("R57 use sig", EC_JWK | {"use": "sig"}, {"ES256"}),
    ("R57 key_ops", EC_JWK | {"key_ops": ["verify"]}, {"ES256"}),
    ("R57 unknown key_ops beside verify", EC_JWK | {"key_ops": ["frobnicate", "verify"]}, {"ES256"}),
    ("R57 use and key_ops that do not match", EC_JWK | {"use": "sig", "key_ops": ["verify", "encrypt"]}, {"ES256"}),
    ("R58 x5c is not a list", EC_JWK | {"x5c": "AAAA", "x5u": 1, "x5t": []}, {"ES256"}),
    ("R58 unknown members", EC_JWK | {"exp": 1, "iat": None, "foo": {}}, {"ES256"}),
    ("R58 a public ECKey", ECKey.import_key(EC_JWK), {"ES256"}),
]


@pytest.mark.parametrize(("jwk", "algorithms"), [pytest.param(*case[1:], id=case[0]) for case in KEPT])
def test_usable_keys(jwk: Any, algorithms: set[str], caplog: pytest.LogCaptureFixture) -> None:
    """R41, R55, R57, R58, R62: the algorithms of a key follow from its type, curve, size and ``alg``."""
    (key,) = fetch(jwk)
    assert (key.kid, key.algorithms) == (None, algorithms)
    assert caplog.records == []


def test_ed448_as_eddsa() -> None:
    """R62: ``EdDSA`` with an Ed448 key is accepted only if Ed448 is in the algorithms."""
    token = sign("EdDSA", OKP_KEYS["Ed448"])
    for algorithms, verified in (((), False), (DEFAULT_ALGORITHMS, False), (("EdDSA", "Ed448"), True)):
        keys = fetch(public(OKP_KEYS["Ed448"]), algorithms=algorithms)
        jwt = parse(token)
        assert bool(verify_signature(jwt, choose_keys(keys, jwt))) is verified
    (key,) = fetch(public(OKP_KEYS["Ed448"], alg="EdDSA"), algorithms=("Ed448",))
    assert key.algorithms == {"EdDSA", "Ed448"}


@pytest.mark.parametrize(
    ("size", "algorithms"),
    [
        (32, {"HS256"}),
        (47, {"HS256"}),
        (48, {"HS256", "HS384"}),
        (63, {"HS256", "HS384"}),
        (64, {"HS256", "HS384", "HS512"}),
        (1000, {"HS256", "HS384", "HS512"}),
    ],
)
def test_symmetric_keys(size: int, algorithms: set[str]) -> None:
    """R42: a symmetric key that was passed verifies the MACs whose hash is not longer than the key."""
    (key,) = import_keys(OctKey.import_key(bytes(size)), fetched=False)
    assert key.algorithms == algorithms
    assert import_keys([{"kty": "oct", "k": encode(bytes(size)), "alg": "RS256"}], fetched=False) == ()


@pytest.mark.parametrize("k", [encode(bytes(31)), "", "AAAA", "!!!!", None, 5, [1]])
def test_symmetric_keys_that_are_too_short(k: Any) -> None:
    """R42: a secret of less than 256 bits is refused, also an empty one."""
    assert import_keys({"kty": "oct", "k": k}, fetched=False) == ()


def test_a_mac_of_ours() -> None:
    """R42: a MAC is verified with the key that was passed, and only with its own algorithm."""
    import hmac

    (key,) = import_keys(SECRET, fetched=False)
    for algorithm in SYMMETRIC_ALGORITHMS:
        signing_input = token_of({"alg": algorithm}).rpartition(".")[0]
        mac = hmac.digest(SECRET.raw_value, signing_input.encode(), f"sha{algorithm[2:]}")
        assert verify_signature(parse(f"{signing_input}.{encode(mac)}"), [key]) == key
        assert verify_signature(parse(f"{signing_input}.{encode(mac[:-1])}"), [key]) is None


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEYS["P-256"], OKP_KEYS["Ed25519"]], ids=["RSA", "EC", "OKP"])
def test_public_halves(key: Any) -> None:
    """R58: of a private key that was passed, only the public half is kept."""
    for given_key in (key, key.as_dict(private=True), KeySet([key])):
        (imported,) = import_keys(given_key, fetched=False)
        assert not imported.key.is_private
        assert imported.key.thumbprint() == key.thumbprint()


SETS: list[tuple[Any, list[str | None]]] = [
    ({"keys": [public(RSA_KEY, kid="a"), public(EC_KEYS["P-256"], kid="b")]}, ["a", "b"]),
    ({"keys": (public(RSA_KEY, kid="a"),)}, ["a"]),
    ({"keys": []}, []),
    (public(RSA_KEY, kid="a"), ["a"]),
    ([], []),
    ([public(RSA_KEY, kid="a"), public(EC_KEYS["P-256"], kid="b")], ["a", "b"]),
    ((RSAKey.import_key(public(RSA_KEY, kid="a")),), ["a"]),
    (RSAKey.import_key(public(RSA_KEY, kid="a")), ["a"]),
    (
        KeySet([RSAKey.import_key(public(RSA_KEY, kid="a")), ECKey.import_key(public(EC_KEYS["P-256"], kid="b"))]),
        ["a", "b"],
    ),
    (
        [{"keys": [public(RSA_KEY, kid="a")]}, KeySet([ECKey.import_key(public(EC_KEYS["P-256"], kid="b"))])],
        ["a", "b"],
    ),
    (RSAKey.import_key(RSA_KEY.as_pem()), [None]),
]


@pytest.mark.parametrize("fetched", [True, False])
@pytest.mark.parametrize(("key_set", "kids"), SETS)
def test_kinds_of_key_sets(key_set: Any, kids: list[str | None], fetched: bool) -> None:
    """R58: a JWK Set, a JWK, joserfc's key set or key, and lists of these give their keys in order."""
    assert [key.kid for key in import_keys(key_set, fetched=fetched)] == kids


@pytest.mark.parametrize(
    "key_set", [None, "keys", b"keys", 1, {"keys": "x"}, {"keys": None}, {"keys": {}}, {1, 2}, object()]
)
def test_what_is_no_key_set(key_set: Any) -> None:
    """R58: another type gives no keys if it was fetched, and raises an error if it was passed."""
    assert import_keys(key_set, fetched=True) == ()
    with pytest.raises(TypeError, match="the key set must be a JWK Set, a JWK, a KeySet or a key, got"):
        import_keys(key_set, fetched=False)


def test_classes_that_are_no_keys() -> None:
    """R58: the message has the full name of the type, so that classes with the same name are not confused."""
    with pytest.raises(TypeError, match=r"got fractions.Fraction$"):
        import_keys(Fraction(1), fetched=False)
    with pytest.raises(TypeError, match=r"got str$"):
        import_keys("-----BEGIN PUBLIC KEY-----\nAAAA", fetched=False)


def test_text() -> None:
    """PEM and JSON text count as fetched, and give only public keys."""
    public_key, private_key = (RSA_KEY.as_pem(private=private) for private in (False, True))
    jwks = json.dumps({"keys": [public(RSA_KEY, kid="a")]})
    for text in (public_key, public_key.decode(), jwks, jwks.encode(), f"[{json.dumps(public(RSA_KEY))}]"):
        assert len(import_keys(text, fetched=False)) == 1
    for text in (private_key, private_key.decode(), json.dumps(SECRET.as_dict(private=True))):
        assert import_keys(text, fetched=False) == ()
    twice = jwks[:-1] + ', "keys": []}'
    for text in (twice, "\udc80", "7"):
        with pytest.raises(TypeError):
            import_keys(text, fetched=False)


class TheirKey:
    """Looks like a key of ``authlib.jose``, which warns when it is imported."""

    __module__ = "authlib.jose.rfc7517.base_key"
    kid: str | None = None

    def __init__(self, jwk: Any) -> None:
        self.jwk = jwk

    def as_dict(self, is_private: bool = False) -> Any:
        assert not is_private
        return {"kid": "made up", **self.jwk}


TheirKey.__name__ = "Key"


def test_keys_of_authlib() -> None:
    """A key or set of Authlib is accepted, without the kid that Authlib adds."""
    unnamed, named = TheirKey(public(RSA_KEY)), TheirKey(public(RSA_KEY, kid="a"))
    named.kid = "a"
    their_set: Any = type("KeySet", (), {"__module__": "authlib.jose.rfc7517.key_set", "keys": [unnamed, named]})()
    for theirs in (their_set, [unnamed, named], [their_set]):
        assert [key.kid for key in import_keys(theirs, fetched=False)] == [None, "a"]
    assert import_keys(unnamed, fetched=False)[0].kid is None
    assert import_keys(TheirKey(7), fetched=False) == ()


def test_keys_of_authlib_itself() -> None:
    """Keys that Authlib creates are accepted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from authlib.jose import JsonWebKey
        from authlib.jose import KeySet as TheirSet
    key, secret = JsonWebKey.import_key(public(RSA_KEY)), JsonWebKey.import_key(SECRET.as_dict(private=True))
    assert len(import_keys(key, fetched=False)) == 1
    assert len(import_keys(TheirSet([key, secret]), fetched=False)) == 2


def test_what_is_said_of_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """The warning about a fetched secret says how to pass it."""
    import_keys({"kty": "oct", "k": "AAAA"}, fetched=False)
    assert "a secret must have at least 32 octets)." in caplog.text
    caplog.clear()
    import_keys(SECRET.as_dict(private=True), fetched=True)
    assert "pass it as a key object (jwks=, or joserfc's OctKey)." in caplog.text


def test_joserfc_key_that_cannot_be_exported() -> None:
    """R58: a key object whose parameters joserfc refuses is skipped."""
    key = RSAKey(RSA_KEY.public_key, None, {"use": "tls"})
    assert import_keys([key, EC_JWK], fetched=False)[0].algorithms == {"ES256"}


def test_a_hundred_keys_are_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    """R58: only the first hundred keys of a set are imported, and a warning says so."""
    with caplog.at_level(logging.WARNING, "async_oauth_guard.jose"):
        keys = fetch(*[public(EC_KEYS["P-256"], kid=str(number)) for number in range(100_000)])
    assert [key.kid for key in keys] == [str(number) for number in range(100)]
    assert "100 (it is one too many)" in caplog.text
    assert "101 (" not in caplog.text


def test_identity() -> None:
    """A key's identity is stable and covers the key, its ``kid`` and its algorithms. Duplicates are merged."""
    variants = [
        public(RSA_KEY),
        public(RSA_KEY, kid="a"),
        public(RSA_KEY, kid="b"),
        public(RSA_KEY, kid="a", alg="RS256"),
        public(OTHER_RSA_KEY, kid="a"),
    ]
    keys = fetch(*variants, *variants)
    assert len({key.identity for key in keys}) == len(keys) == len(variants)
    assert [key.identity for key in fetch(*variants)] == [key.identity for key in keys]
    assert keys == fetch(*variants)
    assert len(set(keys) | set(fetch(*variants))) == len(variants)
    vector = next(vector for vector in SIGNATURES if vector["source"] == "RFC 8037 A.4")
    (known,) = fetch(vector["key"])
    # RFC 8037 A.3: the thumbprint that is part of the identity.
    assert known.key.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert known.identity == "96a4b58d9c307caf22e327d07b8a4bfb9572b2a19dc50daae619a1ac5fd58199"


def test_repr_of_keys() -> None:
    """The ``repr`` of a key shows nothing secret."""
    (key,) = import_keys(SECRET, fetched=False)
    assert str(SECRET.as_dict()["k"]) not in repr(key)
    assert "OctKey" not in repr(key)


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [(MODULUS, 65536), (MODULUS, 1), (2**1023 + 1, 65537)],
    ids=["even exponent", "exponent 1", "1024 bits"],
)
def test_rsa_keys_out_of_range_are_not_tried(modulus: int, exponent: int, caplog: pytest.LogCaptureFixture) -> None:
    """R55: an RSA key that is out of range is refused by its numbers, before a library imports it."""
    assert fetch(int_jwk(modulus, exponent)) == ()
    assert caplog.messages == ["Some keys of a key set are not used: 0 (its size or exponent is out of range)."]


# --- Private keys ---

ENCRYPTED = RSA_KEY.as_pem(private=True, password="password").decode()
UNFIT: list[tuple[str, Any, str]] = [
    ("empty", "", "it cannot be read"),
    ("a client secret", "correct horse battery staple", "it cannot be read"),
    ("public PEM", RSA_KEY.as_pem().decode(), "it is not a private key"),
    ("encrypted PEM", ENCRYPTED, "it cannot be read"),
    ("truncated PEM", pem(RSA_KEY).reveal()[:400], "it cannot be read"),
    ("bytes", pem(RSA_KEY).reveal().encode(), "it is neither PEM text nor a JWK"),
    ("nothing", None, "it is neither PEM text nor a JWK"),
    ("public JWK", GOOD_JWK, "it is not a private key"),
    ("symmetric JWK", SECRET.as_dict(), "it is not a private key"),
    ("no JWK", {}, "its kty is unknown"),
    ("JWK Set", {"keys": [RSA_KEY.as_dict(private=True)]}, "its kty is unknown"),
    ("broken JWK", EC_KEYS["P-256"].as_dict(private=True) | {"d": "AAAA"}, "it cannot be read"),
    ("JWK off its curve", EC_KEYS["P-256"].as_dict(private=True) | {"y": EC_JWK["x"]}, "it is not a valid key"),
    ("short RSA", int_jwk(2**1023 + 1, 65537, d="AAAA"), "its size or exponent is out of range"),
    ("use enc", RSA_KEY.as_dict(private=True) | {"use": "enc"}, "its use is not sig"),
    ("key_ops", RSA_KEY.as_dict(private=True) | {"key_ops": ["decrypt"]}, "its key_ops do not include sign"),
    ("X25519", OKP_KEYS["X25519"].as_dict(private=True), "no algorithm fits it"),
    ("secp256k1", pem(EC_KEYS["secp256k1"]).reveal(), "no algorithm fits it"),
    ("JWK's own alg", RSA_KEY.as_dict(private=True) | {"alg": "ES256"}, "no algorithm fits it"),
]


def _frames(error: BaseException) -> Iterator[Any]:
    return traceback.walk_tb(error.__traceback__)


@pytest.mark.parametrize(("source", "why"), [pytest.param(*case[1:], id=case[0]) for case in UNFIT])
def test_what_cannot_sign(source: Any, why: str) -> None:
    """A key that cannot sign is refused with our own message, and no frame of the traceback shows the key."""
    with pytest.raises(ValueError, match="the signing key cannot be used") as caught:
        import_signing_key(Secret(source))
    assert str(caught.value) == f"the signing key cannot be used: {why}"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    own_frames = traceback.StackSummary.extract(
        (
            (frame, line)
            for frame, line in _frames(caught.value)
            if frame.f_code.co_filename.endswith("async_oauth_guard/protocol/jwk.py")
        ),
        capture_locals=True,
    )
    shown = "".join(own_frames.format())
    assert "import_signing_key" in shown
    assert "PRIVATE KEY" not in shown
    assert "'d'" not in shown
    assert "horse" not in shown


def test_an_imported_key_is_not_shown() -> None:
    """The ``repr`` of a signing key shows its algorithm and kid, but not the key."""
    key = import_signing_key(private(RSA_KEY, kid="k1"))
    assert repr(key) == "SigningKey(algorithm='RS256', kid='k1')"


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_short_rsa_keys_sign_nothing() -> None:
    """R55: an RSA key of less than 2048 bits cannot sign either."""
    key = rsa.generate_private_key(65537, 1024)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="no algorithm fits it"):
        import_signing_key(Secret(text))
