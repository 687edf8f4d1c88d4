"""JSON Web Tokens: their form, the keys of a key set, and signatures."""

import base64
import json
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from async_oauth_guard.credentials import MAX_TOKEN_LENGTH, PresentedToken, Secret
from async_oauth_guard.errors import Reason
from async_oauth_guard.jose import (
    DEFAULT_ALGORITHMS,
    KNOWN_ALGORITHMS,
    SYMMETRIC_ALGORITHMS,
    Jwt,
    VerificationKey,
    check_signing_key,
    choose_keys,
    import_keys,
    parse_jwt,
    peek_issuer,
    sign_jwt,
    verify_signature,
)

VECTORS = Path(__file__).parent.parent / "vectors"
SIGNATURES = [
    vector
    for name in ("rfc7515", "rfc7520", "rfc8037")
    for vector in json.loads((VECTORS / f"{name}.json").read_text())
]
CLAIMS = {"iss": "https://as.example.com", "sub": "alice", "exp": 1893456000}
MALFORMED = Reason.MALFORMED_JWT
UNSUPPORTED = Reason.UNSUPPORTED_ALGORITHM
CRITICAL = Reason.CRITICAL_HEADER

RSA_KEY = RSAKey.generate_key(2048)
OTHER_RSA_KEY = RSAKey.generate_key(2048)
EC_KEYS = {curve: ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521", "secp256k1")}
OKP_KEYS = {curve: OKPKey.generate_key(curve) for curve in ("Ed25519", "Ed448", "X25519", "X448")}
SECRET = OctKey.generate_key(512)
KEY_OF: dict[str, Any] = (
    dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA_KEY)
    | {"ES256": EC_KEYS["P-256"], "ES384": EC_KEYS["P-384"], "ES512": EC_KEYS["P-521"]}
    | {"Ed25519": OKP_KEYS["Ed25519"], "EdDSA": OKP_KEYS["Ed25519"], "Ed448": OKP_KEYS["Ed448"]}
)


def encode(data: bytes | str | Mapping[str, Any]) -> str:
    if isinstance(data, Mapping):
        data = json.dumps(data)
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def token_of(header: Any = None, payload: Any = None, signature: str = "AAAA") -> str:
    """A token that nobody signed: an RS256 header and good claims, but for the parts given."""
    parts = [{"alg": "RS256"} if header is None else header, CLAIMS if payload is None else payload]
    return ".".join([*map(encode, parts), signature])


def jwt_of(compact: str) -> Jwt:
    """What `parse_jwt` makes of a token, for payloads that it would refuse."""
    signing_input, _, signature = compact.rpartition(".")
    header = json.loads(decode(signing_input.partition(".")[0]))
    return Jwt(header, {}, Secret(signing_input.encode()), Secret(decode(signature)))


def parse(token: str) -> Jwt:
    jwt = parse_jwt(Secret(token))
    assert isinstance(jwt, Jwt)
    return jwt


def public(key: Any, **members: Any) -> dict[str, Any]:
    return {name: value for name, value in (key.as_dict(private=False) | members).items() if name != "kid" or members}


def private(key: Any, **members: Any) -> Secret[Any]:
    return Secret(key.as_dict(private=True) | members)


def sign(algorithm: str, key: Any = None, claims: Mapping[str, Any] = CLAIMS, **header: Any) -> str:
    return sign_jwt(claims, private(key or KEY_OF[algorithm]), algorithm, header)


def fetch(*jwks: Any, algorithms: tuple[str, ...] = ()) -> tuple[VerificationKey, ...]:
    return import_keys({"keys": list(jwks)}, fetched=True, algorithms=algorithms)


def verify(token: str, *jwks: Any) -> VerificationKey | None:
    jwt = parse(token)
    return verify_signature(jwt, choose_keys(fetch(*jwks), jwt))


def int_jwk(n: int, e: int, **members: Any) -> dict[str, Any]:
    def number(value: int) -> str:
        return encode(value.to_bytes(max(1, (value.bit_length() + 7) // 8)))

    return {"kty": "RSA", "n": number(n), "e": number(e), **members}


MODULUS: int = RSA_KEY.public_key.public_numbers().n


# --- Algorithms ---


def test_algorithms() -> None:
    """Those accepted by default are asymmetric and leave Ed448 out; all that are known can be verified."""
    expected = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
    assert expected == DEFAULT_ALGORITHMS
    assert SYMMETRIC_ALGORITHMS == ("HS256", "HS384", "HS512")
    assert set(KNOWN_ALGORITHMS) == {*DEFAULT_ALGORITHMS, *SYMMETRIC_ALGORITHMS, "Ed448"}


# --- Signatures ---


@pytest.mark.parametrize("vector", SIGNATURES, ids=lambda vector: vector["source"])
def test_vectors_of_the_rfcs(vector: dict[str, Any]) -> None:
    """R39, R62: the signatures that the RFCs print verify with their keys, and with no other payload."""
    jwt = jwt_of(vector["compact"])
    keys = import_keys(vector["key"], fetched=False)
    assert jwt.algorithm == vector["algorithm"]
    assert verify_signature(jwt, choose_keys(keys, jwt)) == keys[0]
    header, payload, signature = vector["compact"].split(".")
    assert verify_signature(jwt_of(f"{header}.{payload[:-4]}AAAA.{signature}"), keys) is None


@pytest.mark.parametrize("name", ["rfc9068", "rfc9701"])
def test_examples_of_the_rfcs(name: str) -> None:
    """R39: the RFCs' examples of claims come through signing, parsing and verifying unchanged."""
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    token = sign_jwt(vector["claims"], private(RSA_KEY), "RS256", vector["header"])
    jwt = parse(token)
    assert (dict(jwt.header), jwt.claims) == (vector["header"], vector["claims"])
    assert (jwt.type, jwt.kid) == (vector["header"]["typ"], vector["header"].get("kid"))
    assert verify(token, public(RSA_KEY, kid=jwt.kid)) is not None


@pytest.mark.parametrize("algorithm", sorted(KEY_OF))
def test_every_algorithm(algorithm: str) -> None:
    """R39, R62: a token of every asymmetric algorithm verifies with its key, and not with another of the kind."""
    token = sign(algorithm)
    assert verify(token, public(KEY_OF[algorithm])) is not None
    other = KEY_OF[algorithm]
    crv = {"Ed448": "Ed448", "Ed25519": "Ed25519", "EdDSA": "Ed25519"}.get(algorithm)
    another = (
        OKPKey.generate_key(crv)
        if crv
        # type: ignore[arg-type]
        else (OTHER_RSA_KEY if other is RSA_KEY else ECKey.generate_key(other.curve_name))
    )
    assert verify(token, public(another)) is None


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES512", "Ed25519"])
def test_altered_tokens(algorithm: str) -> None:
    """R39: a token in which any one character of any part was changed is malformed or does not verify."""
    token = sign(algorithm)
    keys = fetch(public(KEY_OF[algorithm]))
    assert verify_signature(parse(token), keys) is not None
    for position, character in enumerate(token):
        altered = token[:position] + ("B" if character == "A" else "A") + token[position + 1 :]
        jwt = parse_jwt(Secret(altered))
        assert isinstance(jwt, Reason) or verify_signature(jwt, keys) is None, position


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _der(signature: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


ODD_SIGNATURES: dict[str, Callable[[bytes], bytes]] = {
    "DER": _der,
    "r is 0": lambda s: bytes(32) + s[32:],
    "s is 0": lambda s: s[:32] + bytes(32),
    "both are 0": lambda s: bytes(64),
    "r is n": lambda s: P256_ORDER.to_bytes(32) + s[32:],
    "s is n": lambda s: s[:32] + P256_ORDER.to_bytes(32),
    "both are n": lambda s: P256_ORDER.to_bytes(32) * 2,
    "r beyond n": lambda s: b"\xff" * 32 + s[32:],
    "s plus n": lambda s: s[:32] + ((int.from_bytes(s[32:]) + P256_ORDER) % 2**256).to_bytes(32),
    "short": lambda s: s[:-1],
    "long": lambda s: s + b"\0",
    "half": lambda s: s[:32],
    "leading zero": lambda s: b"\0" + s,
    "padded halves": lambda s: b"\0" + s[:32] + b"\0" + s[32:],
    "one octet": lambda s: b"\1",
}


@pytest.mark.parametrize("name", ODD_SIGNATURES)
def test_odd_ecdsa_signatures(name: str) -> None:
    """R56: an ECDSA signature is R and S, each of full length and in range; DER and all else does not verify."""
    signing_input, _, signature = sign("ES256").rpartition(".")
    odd = encode(ODD_SIGNATURES[name](decode(signature)))
    assert verify(f"{signing_input}.{odd}", public(EC_KEYS["P-256"])) is None


def test_both_forms_of_an_ecdsa_signature() -> None:
    """R56: S and n - S verify alike, as JOSE has it: no rule may take a token's text for its identity."""
    signing_input, _, signature = sign("ES256").rpartition(".")
    r, s = decode(signature)[:32], int.from_bytes(decode(signature)[32:])
    twin = encode(r + (P256_ORDER - s).to_bytes(32))
    assert verify(f"{signing_input}.{twin}", public(EC_KEYS["P-256"])) is not None


@pytest.mark.parametrize("algorithm", sorted(KEY_OF))
@pytest.mark.parametrize("signature", [b"\0", b"\xff" * 64, bytes(132), b"\xff" * 256, b"\1" * 1024])
def test_made_up_signatures(algorithm: str, signature: bytes) -> None:
    """R39: no made-up signature of any length verifies, or raises."""
    header = {"alg": algorithm}
    assert verify(token_of(header, signature=encode(signature)), public(KEY_OF[algorithm])) is None


def test_a_key_that_breaks_verifies_nothing() -> None:
    """R39: where verifying raises, the signature is not verified, and nothing is raised with the token in it."""
    broken = VerificationKey("broken", None, frozenset({"RS256"}), object())  # type: ignore[arg-type]
    assert verify_signature(parse(sign("RS256")), [broken]) is None


def test_a_key_verifies_its_own_algorithms_only() -> None:
    """R41: the algorithm is compared when the signature is verified too, whichever keys the caller passes."""
    (key,) = fetch(public(RSA_KEY, alg="RS256"))
    assert verify_signature(parse(sign("RS256")), [key]) == key
    assert verify_signature(parse(sign("PS256")), [key]) is None


def test_the_key_that_verified_is_told() -> None:
    """R39: of several candidates, that one is returned which made the signature."""
    keys = fetch(public(OTHER_RSA_KEY), public(RSA_KEY))
    assert verify_signature(parse(sign("RS256")), keys) == keys[1]


@pytest.mark.parametrize(
    "secret",
    [
        RSA_KEY.as_pem(),
        RSA_KEY.as_der(),
        json.dumps(RSA_KEY.as_dict(private=False)).encode(),
        MODULUS.to_bytes(256),
    ],
    ids=["PEM", "DER", "JWK", "modulus"],
)
@pytest.mark.parametrize("algorithm", SYMMETRIC_ALGORITHMS)
def test_public_keys_are_no_secrets(secret: bytes, algorithm: str) -> None:
    """R42: a MAC made with anything that is public verifies with no key of a fetched set."""
    import hmac

    signing_input = token_of({"alg": algorithm}).rpartition(".")[0]
    mac = hmac.digest(secret, signing_input.encode(), f"sha{algorithm[2:]}")
    keys = fetch(public(RSA_KEY), {"kty": "oct", "k": encode(secret)})
    jwt = parse(f"{signing_input}.{encode(mac)}")
    assert (choose_keys(keys, jwt), verify_signature(jwt, keys)) == ((), None)


def test_no_warnings() -> None:
    """Importing, signing and verifying are silent where warnings are errors, for ``EdDSA`` and weak keys too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert verify(sign("EdDSA"), public(OKP_KEYS["Ed25519"])) is not None
        assert fetch(int_jwk(2**1023 + 1, 65537)) == ()
        assert import_keys({"kty": "oct", "k": "AAAA"}, fetched=False) == ()


# --- The form of a token ---


def test_a_good_token() -> None:
    """A token's parts are decoded, nothing is lost, and what is secret does not show."""
    token = sign("RS256", kid="k1", typ="at+jwt")
    jwt = parse(token)
    assert (jwt.algorithm, jwt.kid, jwt.type, jwt.claims) == ("RS256", "k1", "at+jwt", CLAIMS)
    assert f"{jwt.signing_input.reveal().decode()}.{encode(jwt.signature.reveal())}" == token
    assert "alice" not in repr(jwt)
    assert token.rpartition(".")[2] not in repr(jwt)
    assert parse(PresentedToken(token)).claims == CLAIMS


def test_absent_header_members() -> None:
    """A header without ``kid`` and ``typ`` has none; so has one whose ``kid`` is null."""
    for header in ({"alg": "RS256"}, {"alg": "RS256", "kid": None}):
        jwt = parse(token_of(header))
        assert (jwt.kid, jwt.type) == (None, None)


HEADER, PAYLOAD, SIGNATURE = token_of().split(".")
FORMS: dict[str, str] = {
    "R50 empty": "",
    "R50 opaque": "mF_9.B5f-4.1JqM",
    "R50 dots": "..",
    "R50 one part": HEADER,
    "R50 two parts": f"{HEADER}.{PAYLOAD}",
    "R50 four parts": f"{HEADER}.{PAYLOAD}.{SIGNATURE}.AAAA",
    "R50 trailing dot": f"{HEADER}.{PAYLOAD}.{SIGNATURE}.",
    "R50 no header": f".{PAYLOAD}.{SIGNATURE}",
    "R50 no payload": f"{HEADER}..{SIGNATURE}",
    "R50 no signature": f"{HEADER}.{PAYLOAD}.",
    "R50 padded header": f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
    "R50 padded payload": f"{HEADER}.{encode('{}')}=.{SIGNATURE}",
    "R50 padded signature": f"{HEADER}.{PAYLOAD}.AAA=",
    "R50 doubly padded signature": f"{HEADER}.{PAYLOAD}.AA==",
    "R50 plus": f"{HEADER}.{PAYLOAD}.AA+A",
    "R50 slash": f"{HEADER}.{PAYLOAD}.AA/A",
    "R50 newline": f"{HEADER}.{PAYLOAD}.AAAA\n",
    "R50 newline within": f"{HEADER}.{PAYLOAD}.AA\nAA",
    "R50 space": f"{HEADER} .{PAYLOAD}.{SIGNATURE}",
    "R50 tab": f"{HEADER}.\t{PAYLOAD}.{SIGNATURE}",
    "R50 NUL": f"{HEADER}.{PAYLOAD}.AA\0A",
    "R50 not ASCII": f"{HEADER}.{PAYLOAD}.AAÄA",
    "R50 wide digit": f"{HEADER}.{PAYLOAD}.AA\uff11A",
    "R50 lone surrogate": f"{HEADER}.{PAYLOAD}.AA\ud800A",
    "R50 trailing bits of 2": f"{HEADER}.{PAYLOAD}.AB",
    "R50 trailing bits of 3": f"{HEADER}.{PAYLOAD}.AAB",
    "R50 trailing bits of the payload": f"{HEADER}.{encode('{}')[:-1]}1.{SIGNATURE}",
    "R50 a character too many": f"{HEADER}.{PAYLOAD}.AAAAA",
    "R50 JSON serialisation": json.dumps({"payload": PAYLOAD, "protected": HEADER, "signature": SIGNATURE}),
    "R51 JWE, dir": ".".join([encode({"alg": "dir", "enc": "A256GCM"}), "", "AAAA", "AAAA", "AAAA"]),
    "R51 JWE, RSA-OAEP": ".".join([encode({"alg": "RSA-OAEP", "enc": "A256GCM"}), *["AAAA"] * 4]),
    "R61 JWE, PBES2": ".".join(
        [encode({"alg": "PBES2-HS256+A128KW", "p2c": 2**31 - 1, "p2s": "AAAA", "enc": "A128GCM"}), *["AAAA"] * 4]
    ),
    "R51 JWE, signed by name": f"{HEADER}.{PAYLOAD}.{SIGNATURE}.AAAA.AAAA",
}


@pytest.mark.parametrize("name", FORMS)
def test_form(name: str) -> None:
    """R50, R51, R61: what is not three parts of canonical base64url is refused; nothing is decrypted."""
    assert parse_jwt(Secret(FORMS[name])) is MALFORMED


JSON_TEXTS: dict[str, bytes] = {
    "R52 array": b"[]",
    "R52 array of object": b"[{}]",
    "R52 array of a name": b'["alg"]',
    "R52 string": b'"alg"',
    "R52 number": b"1",
    "R52 null": b"null",
    "R52 true": b"true",
    "R52 nothing": b" ",
    "R52 text": b"alg",
    "R52 two objects": b"{}{}",
    "R52 trailing comma": b'{"a":1,}',
    "R52 single quotes": b"{'a':1}",
    "R52 control character": b'{"a":"\n"}',
    "R49 BOM": b'\xef\xbb\xbf{"a":1}',
    "R49 UTF-16": '{"a":1}'.encode("utf-16"),
    "R49 UTF-16LE": '{"a":1}'.encode("utf-16-le"),
    "R49 UTF-16BE": '{"a":1}'.encode("utf-16-be"),
    "R49 UTF-32": '{"a":1}'.encode("utf-32"),
    "R49 UTF-32BE": '{"a":1}'.encode("utf-32-be"),
    "R49 Latin-1": '{"a":"é"}'.encode("latin-1"),
    "R49 overlong": b'{"a":"\xc0\xaf"}',
    "R49 encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "R49 truncated": b'{"a":"\xe2\x82"}',
    "R49 high surrogate": b'{"a":"\\ud800"}',
    "R49 low surrogate": b'{"a":"\\uDFFF"}',
    "R49 surrogates in the wrong order": b'{"a":"\\udc00\\ud800"}',
    "R49 surrogate in a name": b'{"\\ud800":1}',
    "R49 nested surrogate": b'{"a":[{"b":["\\uDBff"]}]}',
    "R48 duplicate": b'{"a":1,"a":1}',
    "R48 duplicate, escaped": b'{"a":1,"\\u0061":2}',
    "R48 duplicate sub": b'{"sub":"a","sub":"b"}',
    "R48 nested duplicate": b'{"cnf":{"jkt":"a","jkt":"b"}}',
    "R48 duplicate in a list": b'{"a":[{"b":1,"b":2}]}',
    "R45 NaN": b'{"exp":NaN}',
    "R45 Infinity": b'{"exp":Infinity}',
    "R45 -Infinity": b'{"exp":-Infinity}',
    "R45 1e400": b'{"exp":1e400}',
    "R45 -1e400": b'{"exp":-1e400}',
    "R45 nested 1e999": b'{"a":[1e999]}',
    "R45 huge integer": b'{"exp":' + b"9" * 101 + b"}",
    "R45 beyond Python's digits": b'{"exp":1' + b"0" * 5000 + b"}",
    "R45 longest": b'{"exp":-' + b"7" * 20_000 + b"}",
    "R45 hexadecimal": b'{"exp":0x10}',
    "R45 leading zero": b'{"exp":01}',
    "R45 plus": b'{"exp":+1}',
    "too deep": b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    "too deep, objects": b'{"a":' * 33 + b"1" + b"}" * 33,
    "deepest that fits": b'{"a":' + b"[" * 1500 + b"]" * 1500 + b"}",
    "open brackets": b'{"a":' + b"[" * 3000,
    "closing brackets": b"{" + b"]" * 2000 + b"[" * 40,
    "unterminated strings": b'{"a":"' + b'\\"' * 1000 + b"[" * 40,
    "brackets before a backslash": b"[" * 40 + b'"' + b"\\",
}


@pytest.mark.parametrize("part", ["header", "payload"])
@pytest.mark.parametrize("name", JSON_TEXTS)
def test_json(name: str, part: str) -> None:
    """R45, R48, R49, R52: header and claims are JSON objects in UTF-8, without anything that readers differ on."""
    text = JSON_TEXTS[name]
    if part == "header":
        # As an object it has an `alg`, so that it is not refused for want of one.
        text = text.replace(b"{", b'{"alg":"RS256",', 1) if text.startswith(b"{") and len(text) > 2 else text
    token = token_of(**{part: text})
    assert parse_jwt(Secret(token)) is MALFORMED
    assert part == "header" or peek_issuer(Secret(token)) is None


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("{}", {}),
        (' {\t"a"\r\n: 1 } ', {"a": 1}),
        ('{"exp":1893456000.5}', {"exp": 1893456000.5}),
        ('{"a":-0.0,"b":1E2,"c":1e-400}', {"a": 0.0, "b": 100.0, "c": 0.0}),
        ('{"a":' + "9" * 100 + "}", {"a": int("9" * 100)}),
        ('{"name":"José","more":"\\u00e9\\u0000"}', {"name": "José", "more": "é\0"}),
        ('{"a":"\\ud83d\\ude00","b":"\\\\ud800"}', {"a": "😀", "b": "\\ud800"}),
        ('{"a":{"x":1},"b":{"x":1}}', {"a": {"x": 1}, "b": {"x": 1}}),
        ('{"a":' + "[" * 31 + "]" * 31 + "}", None),
        ('{"a":[' + "{}," * 500 + "{}]}", {"a": [{}] * 501}),
        ('{"a":"' + "[" * 500 + '","b":[]}', {"a": "[" * 500, "b": []}),
        ('{"a":"' + '\\"[' * 500 + '\\\\","b":[]}', {"a": '"[' * 500 + "\\", "b": []}),
    ],
)
def test_good_json(text: str, claims: dict[str, Any] | None) -> None:
    """R45, R49: whatever one can read in one way only is read, up to 32 levels deep."""
    assert parse(token_of(payload=text)).claims == (json.loads(text) if claims is None else claims)


def test_sizes() -> None:
    """Header and signature have their largest sizes, the payload the rest of the longest token; one more is refused."""

    def sized(frame: str, size: int) -> str:
        return frame.replace("*", "x" * (size - len(frame) + 1))

    header = '{"alg":"RS256","x":"*"}'
    assert parse(token_of(sized(header, 4096)))
    assert parse_jwt(Secret(token_of(sized(header, 4097)))) is MALFORMED
    assert parse(token_of(signature=encode(bytes(1024))))
    assert parse_jwt(Secret(token_of(signature=encode(bytes(1025))))) is MALFORMED
    room = MAX_TOKEN_LENGTH - len(f"{HEADER}..AAA")
    longest = token_of(payload=sized('{"iss":"a","x":"*"}', room * 3 // 4), signature="AAA")
    assert MAX_TOKEN_LENGTH - len(longest) in (0, 1)
    longest += "A" * (MAX_TOKEN_LENGTH - len(longest))
    assert (type(parse_jwt(Secret(longest))), peek_issuer(Secret(longest))) == (Jwt, "a")
    assert (parse_jwt(Secret(f"{longest}A")), peek_issuer(Secret(f"{longest}A"))) == (MALFORMED, None)


HOSTILE = {
    "characters": "a" * 2**20,
    "dots": "." * 2**20,
    "brackets": token_of(payload="[" * 2**20),
    "longest brackets": token_of(payload='{"a":' + "[" * 24_000),
    "longest pairs": token_of(payload='{"a":[' + "{}," * 8_000 + "{}]}"),
    "longest quotes": token_of(payload='{"a":[' + '"",' * 8_000 + '""]' + "[]" * 40),
    "longest escapes": token_of(payload='{"a":"' + "[" * 40 + '\\"' * 12_000),
    "longest digits": token_of(payload='{"a":' + "9" * 24_000 + "}"),
    "longest numbers": token_of(payload='{"a":[' + "1," * 12_000 + "1]}"),
    "longest surrogates": token_of(payload='{"a":"' + "\\ud800" * 4_000 + '"}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_bounded(name: str) -> None:
    """The longest and oddest of tokens cost milliseconds at most (the bound leaves room for a busy machine)."""

    def once() -> float:
        start = time.perf_counter()
        parse_jwt(Secret(HOSTILE[name]))
        peek_issuer(Secret(HOSTILE[name]))
        return time.perf_counter() - start

    assert min(once() for _ in range(5)) < 0.05


def test_recursion_in_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the caller's stack has no room left for the decoder, the token is refused and nothing is raised."""
    from async_oauth_guard import strict_json

    class Decoder:
        def decode(self, text: str) -> Any:
            raise RecursionError

    monkeypatch.setattr(strict_json, "_JSON", Decoder())
    assert parse_jwt(Secret(token_of())) is MALFORMED


# --- The header ---

HEADERS: list[tuple[str, Any, Any]] = [
    *((f"R40 {alg!r}", {"alg": alg}, UNSUPPORTED) for alg in ("none", "None", "NONE", "nOnE", "none ", " none", "")),
    *((f"R41 {alg!r}", {"alg": alg}, UNSUPPORTED) for alg in ("rs256", "RS256 ", "ES256K", "HS1", "dir", "A128KW")),
    ("R41 absent", {"typ": "JWT"}, MALFORMED),
    *((f"R41 {alg!r}", {"alg": alg}, MALFORMED) for alg in (None, 256, True, ["RS256"], {"RS256": 1})),
    *(
        (f"R46 {crit!r}", {"alg": "RS256", "crit": crit, "exp": 1}, CRITICAL)
        for crit in (["exp"], [], ["alg"], ["x"], ["exp", "exp"], [["x"]], "exp", 1, None, {}, True, ["b64"])
    ),
    ("R46 with alg none", {"alg": "none", "crit": ["exp"], "exp": 1}, CRITICAL),
    *((f"R53 {b64!r}", {"alg": "RS256", "b64": b64}, CRITICAL) for b64 in (False, True, None, "false")),
    ("R53 with crit", {"alg": "RS256", "b64": False, "crit": ["b64"]}, CRITICAL),
    *((f"R54 kid {kid!r}", {"alg": "RS256", "kid": kid}, MALFORMED) for kid in (1, True, ["a"], {}, 1.5)),
    *((f"R35 typ {typ!r}", {"alg": "RS256", "typ": typ}, Reason.WRONG_TYPE) for typ in (None, 1, ["JWT"], {}, True)),
    ("R47 unknown member", {"alg": "RS256", "foo": 1}, Jwt),
    ("R47 many", {"alg": "RS256", "foo": {"bar": []}, "exp": "x", "zip": "DEF", "enc": 1}, Jwt),
    ("R54 jku", {"alg": "RS256", "jku": "https://evil.example/jwks"}, Jwt),
    ("R54 x5u", {"alg": "RS256", "x5u": 5}, Jwt),
    ("R54 x5c", {"alg": "RS256", "x5c": "not a list"}, Jwt),
    ("R54 long x5c", {"alg": "RS256", "x5c": ["A" * 2500]}, Jwt),
    ("R54 kid", {"alg": "RS256", "kid": "../../dev/null' OR 1=1"}, Jwt),
    *((f"known {alg}", {"alg": alg}, Jwt) for alg in sorted(KNOWN_ALGORITHMS)),
]


@pytest.mark.parametrize(("header", "outcome"), [pytest.param(*case[1:], id=case[0]) for case in HEADERS])
def test_header(header: dict[str, Any], outcome: Any) -> None:
    """R40, R41, R46, R47, R53, R54: what each header is refused for, before any key is looked for."""
    parsed = parse_jwt(Secret(token_of(header)))
    assert (Jwt if isinstance(parsed, Jwt) else parsed) is outcome


@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_alg_none(signature: str) -> None:
    """R40: an unsecured JWT is refused, with and without something in the signature's place."""
    assert isinstance(parse_jwt(Secret(token_of({"alg": "none"}, signature=signature))), Reason)


def test_duplicate_alg() -> None:
    """R48: of two ``alg`` members neither counts."""
    for header in (
        b'{"alg":"none","alg":"ES256"}',
        b'{"alg":"ES256","alg":"none"}',
        b'{"alg":"RS256","kid":"a","kid":"b"}',
    ):
        assert parse_jwt(Secret(token_of(header))) is MALFORMED


@pytest.mark.parametrize("member", ["jwk", "jku", "x5c", "x5u"])
def test_keys_in_the_header(member: str) -> None:
    """R54: a key that comes with the token verifies nothing."""
    values = {
        "jwk": public(OTHER_RSA_KEY),
        "jku": "https://evil.example",
        "x5c": ["AAAA"],
        "x5u": "https://evil.example",
    }
    token = sign("RS256", OTHER_RSA_KEY, **{member: values[member]})
    assert verify(token, public(RSA_KEY)) is None


# --- The issuer, unverified ---

PEEKED: list[tuple[str, str | None]] = [
    (token_of(), "https://as.example.com"),
    (token_of(signature=""), "https://as.example.com"),
    (token_of({"alg": "none"}), "https://as.example.com"),
    (token_of(b"\xff"), "https://as.example.com"),
    (token_of(payload={"iss": ""}), ""),
    (token_of(payload={"iss": None}), None),
    (token_of(payload={"iss": 1}), None),
    (token_of(payload={"iss": ["https://as.example.com"]}), None),
    (token_of(payload={"sub": "alice"}), None),
    (token_of(payload={}), None),
    (token_of(payload='["iss"]'), None),
    (token_of(payload='"iss"'), None),
    ("", None),
    ("opaque", None),
    ("a.b.c", None),
    (f"{token_of()}.AAAA.AAAA", None),
    (token_of().rpartition(".")[0], None),
    (json.dumps(CLAIMS), None),
]


@pytest.mark.parametrize(("token", "issuer"), PEEKED)
def test_peek_issuer(token: str, issuer: str | None) -> None:
    """R59: the issuer that a token claims, signed or not; none where it has not the shape of a JWT."""
    assert peek_issuer(Secret(token)) == issuer


texts = st.one_of(
    st.text(),
    st.text(alphabet="abcABC019-_.=+/ \n"),
    st.lists(st.binary(max_size=60).map(encode), min_size=1, max_size=6).map(".".join),
    st.lists(
        st.text(alphabet='{}[]",:\\udD8aeE+-.0123456789NInfalstry ', max_size=80).map(encode), min_size=3, max_size=3
    ).map(".".join),
    st.tuples(
        st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), st.one_of(st.text(), st.none(), st.integers())
        ),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        ),
        st.binary(max_size=40),
    ).map(lambda parts: ".".join([encode(parts[0]), encode(json.dumps(parts[1])), encode(parts[2])])),
)


@settings(deadline=None, max_examples=400)
@given(token=texts)
@example(token="\ud800.\ud800.\ud800")
def test_nothing_raises(token: str) -> None:
    """R45 to R53: whatever comes is a JWT of the right types or a reason, never an exception."""
    jwt = parse_jwt(Secret(token))
    issuer = peek_issuer(Secret(token))
    assert isinstance(jwt, Jwt | Reason)
    assert issuer is None or isinstance(issuer, str)
    if isinstance(jwt, Jwt):
        assert jwt.algorithm in KNOWN_ALGORITHMS
        assert isinstance(jwt.claims, dict)
        assert f"{jwt.signing_input.reveal().decode()}.{encode(jwt.signature.reveal())}" == token
        assert verify_signature(jwt, fetch(public(RSA_KEY), public(EC_KEYS["P-256"]))) is None


# --- Keys ---

EC_JWK = public(EC_KEYS["P-256"])
GOOD_JWK = public(RSA_KEY)

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
    """R41, R42, R55, R57, R58, R62: a key that cannot be used is left out with a warning; the one beside it is used."""
    kid = "a kid that is not to be logged"
    named = jwk | {"kid": jwk.get("kid", kid)} if isinstance(jwk, dict) else jwk
    good = public(RSA_KEY, kid="good")
    for position, jwks in enumerate(([named, good], [good, named])):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "async_oauth_guard.jose"):
            keys = fetch(*jwks)
        assert [key.kid for key in keys] == ["good"]
        (record,) = caplog.records
        assert record.getMessage().startswith(f"Keys of a key set that are not used: {position} (")
        assert kid not in caplog.text
        assert GOOD_JWK["n"][:20] not in caplog.text
    assert verify_signature(parse(sign("RS256")), keys) is not None


def test_keys_for_encryption_are_nobodys_business(caplog: pytest.LogCaptureFixture) -> None:
    """R57: a key that says that it is for encryption is left out, and nothing is said of it."""
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
    """R41, R55, R57, R58, R62: the algorithms that a key may verify follow from its type, curve, size and ``alg``."""
    (key,) = fetch(jwk)
    assert (key.kid, key.algorithms) == (None, algorithms)
    assert caplog.records == []


def test_ed448_as_eddsa() -> None:
    """R62: ``EdDSA`` with an Ed448 key verifies only where Ed448 is listed."""
    token = sign_jwt(CLAIMS, private(OKP_KEYS["Ed448"]), "EdDSA")
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
    """R42: a key that was handed over verifies the MACs whose hash is no longer than it, and nothing else."""
    (key,) = import_keys(OctKey.import_key(bytes(size)), fetched=False)
    assert key.algorithms == algorithms
    assert import_keys([{"kty": "oct", "k": encode(bytes(size)), "alg": "RS256"}], fetched=False) == ()


@pytest.mark.parametrize("k", [encode(bytes(31)), "", "AAAA", "!!!!", None, 5, [1]])
def test_symmetric_keys_that_are_too_short(k: Any) -> None:
    """R42: a secret of less than 256 bits, an empty one above all, is no key."""
    assert import_keys({"kty": "oct", "k": k}, fetched=False) == ()


def test_a_mac_of_ours() -> None:
    """R42: a MAC verifies with the key handed over, and only as its own algorithm."""
    import hmac

    (key,) = import_keys(SECRET, fetched=False)
    for algorithm in SYMMETRIC_ALGORITHMS:
        signing_input = token_of({"alg": algorithm}).rpartition(".")[0]
        mac = hmac.digest(SECRET.raw_value, signing_input.encode(), f"sha{algorithm[2:]}")
        assert verify_signature(parse(f"{signing_input}.{encode(mac)}"), [key]) == key
        assert verify_signature(parse(f"{signing_input}.{encode(mac[:-1])}"), [key]) is None


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEYS["P-256"], OKP_KEYS["Ed25519"]], ids=["RSA", "EC", "OKP"])
def test_public_halves(key: Any) -> None:
    """R58: of a private key that was handed over, the public half is kept alone."""
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
    """R58: a JWK Set, a JWK, joserfc's key set or key, and lists of these give their keys, in order."""
    assert [key.kid for key in import_keys(key_set, fetched=fetched)] == kids


@pytest.mark.parametrize(
    "key_set", [None, "keys", b"keys", 1, {"keys": "x"}, {"keys": None}, {"keys": {}}, {1, 2}, object()]
)
def test_what_is_no_key_set(key_set: Any) -> None:
    """R58: another kind of thing is no key when it was fetched, and a programmer's mistake when it was not."""
    assert import_keys(key_set, fetched=True) == ()
    with pytest.raises(TypeError, match="a JWK Set, a JWK, a KeySet or a key is wanted, not"):
        import_keys(key_set, fetched=False)


def test_classes_that_are_no_keys() -> None:
    """R58: what was given is told by its whole name, so that two of one name are not confused."""
    with pytest.raises(TypeError, match=r"not fractions.Fraction$"):
        import_keys(Fraction(1), fetched=False)
    with pytest.raises(TypeError, match=r"not str$"):
        import_keys("-----BEGIN PUBLIC KEY-----\nAAAA", fetched=False)


def test_text() -> None:
    """PEM and JSON text are read, and count as fetched: they give public keys only."""
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
    """A key or set of Authlib's own module is taken; the name that it makes up is not its server's."""
    unnamed, named = TheirKey(public(RSA_KEY)), TheirKey(public(RSA_KEY, kid="a"))
    named.kid = "a"
    their_set: Any = type("KeySet", (), {"__module__": "authlib.jose.rfc7517.key_set", "keys": [unnamed, named]})()
    for theirs in (their_set, [unnamed, named], [their_set]):
        assert [key.kid for key in import_keys(theirs, fetched=False)] == [None, "a"]
    assert import_keys(unnamed, fetched=False)[0].kid is None
    assert import_keys(TheirKey(7), fetched=False) == ()


def test_keys_of_authlib_itself() -> None:
    """So are those that it makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from authlib.jose import JsonWebKey
        from authlib.jose import KeySet as TheirSet
    key, secret = JsonWebKey.import_key(public(RSA_KEY)), JsonWebKey.import_key(SECRET.as_dict(private=True))
    assert len(import_keys(key, fetched=False)) == 1
    assert len(import_keys(TheirSet([key, secret]), fetched=False)) == 2


def test_what_is_said_of_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """A secret that does not serve is told what would."""
    import_keys({"kty": "oct", "k": "AAAA"}, fetched=False)
    assert "a secret needs 32 octets at least)." in caplog.text
    caplog.clear()
    import_keys(SECRET.as_dict(private=True), fetched=True)
    assert "hand it over as a key instead (jwks=, or joserfc's OctKey)." in caplog.text


def test_joserfc_key_that_cannot_be_exported() -> None:
    """R58: a key object whose parameters joserfc itself finds wrong is left out."""
    key = RSAKey(RSA_KEY.public_key, None, {"use": "tls"})
    assert import_keys([key, EC_JWK], fetched=False)[0].algorithms == {"ES256"}


def test_a_hundred_keys_are_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    """R58: a set without end costs no more than its first hundred keys, and says so."""
    with caplog.at_level(logging.WARNING, "async_oauth_guard.jose"):
        keys = fetch(*[public(EC_KEYS["P-256"], kid=str(number)) for number in range(100_000)])
    assert [key.kid for key in keys] == [str(number) for number in range(100)]
    assert "100 (it is one too many)" in caplog.text
    assert "101 (" not in caplog.text


def test_identity() -> None:
    """A key's identity is stable and covers the key, its ``kid`` and its algorithms; twice the same is one."""
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
    # RFC 8037 A.3: the thumbprint, of which the identity is made.
    assert known.key.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert known.identity == "96a4b58d9c307caf22e327d07b8a4bfb9572b2a19dc50daae619a1ac5fd58199"


def test_repr_of_keys() -> None:
    """The ``repr`` of a key has nothing of a secret."""
    (key,) = import_keys(SECRET, fetched=False)
    assert str(SECRET.as_dict()["k"]) not in repr(key)
    assert "OctKey" not in repr(key)


# --- Choice ---


def chosen(token: str, *jwks: Any) -> list[Any]:
    keys = fetch(*jwks)
    return [keys.index(key) for key in choose_keys(keys, parse(token))]


RSA_A, RSA_B = public(RSA_KEY, kid="a"), public(OTHER_RSA_KEY, kid="b")
EC_A, EC_B = public(EC_KEYS["P-256"], kid="a"), public(EC_KEYS["P-384"], kid="b")
CHOICES: list[tuple[str, dict[str, Any], list[Any], list[int]]] = [
    ("R54 the kid's", {"alg": "RS256", "kid": "a"}, [RSA_B, RSA_A], [1]),
    ("R54 no such kid", {"alg": "RS256", "kid": "c"}, [RSA_A, RSA_B], []),
    ("R54 no such kid, one key", {"alg": "RS256", "kid": "c"}, [RSA_A], []),
    ("R54 kid of another case", {"alg": "RS256", "kid": "A"}, [RSA_A], []),
    ("R54 kid with a space", {"alg": "RS256", "kid": "a "}, [RSA_A], []),
    ("R54 empty kid", {"alg": "RS256", "kid": ""}, [GOOD_JWK, RSA_A], []),
    ("R54 kid, the only key is without one", {"alg": "RS256", "kid": "a"}, [GOOD_JWK], [0]),
    ("R54 kid, two keys without one", {"alg": "RS256", "kid": "a"}, [GOOD_JWK, public(OTHER_RSA_KEY)], []),
    ("R54 kid, the only key is of another type", {"alg": "ES256", "kid": "a"}, [GOOD_JWK], []),
    ("R54 kid null", {"alg": "RS256", "kid": None}, [RSA_A], [0]),
    ("R54 no kid, one key", {"alg": "RS256"}, [RSA_A], [0]),
    ("R54 no kid, one that fits", {"alg": "ES256"}, [RSA_A, EC_A, EC_B], [1]),
    ("R54 no kid, several that fit", {"alg": "RS256"}, [RSA_A, RSA_B], []),
    ("R41 kid of another type", {"alg": "RS256", "kid": "a"}, [EC_A], []),
    ("R41 kid twice, one type fits", {"alg": "ES256", "kid": "a"}, [RSA_A, EC_A], [1]),
    ("R41 P-384 key and ES256", {"alg": "ES256", "kid": "b"}, [EC_B], []),
    ("R41 key for RS256 and PS256", {"alg": "PS256", "kid": "a"}, [RSA_A | {"alg": "RS256"}], []),
    ("R42 HS256", {"alg": "HS256", "kid": "a"}, [RSA_A, EC_A], []),
    ("R54 same kid, both fit", {"alg": "RS256", "kid": "a"}, [RSA_A, RSA_B | {"kid": "a"}], [0, 1]),
    ("no keys", {"alg": "RS256"}, [], []),
]


@pytest.mark.parametrize(("header", "jwks", "indexes"), [pytest.param(*case[1:], id=case[0]) for case in CHOICES])
def test_choice(header: dict[str, Any], jwks: list[Any], indexes: list[int]) -> None:
    """R41, R42, R54: kid and algorithm decide together; without a kid only a key that is alone in fitting is tried."""
    assert chosen(token_of(header), *jwks) == indexes


def test_candidates_are_bounded() -> None:
    """R54: a set that gives many keys the same kid costs a few verifications, not a hundred."""
    jwks = [int_jwk(MODULUS + 2 * number, 65537, kid="a") for number in range(20)]
    assert len(chosen(token_of({"alg": "RS256", "kid": "a"}), *jwks)) == 4


# --- Signing ---


def pem(key: Any) -> Secret[str]:
    return Secret(key.as_pem(private=True).decode())


SIGNERS: list[tuple[str, Secret[Any], str]] = [
    ("RSA, PEM", pem(RSA_KEY), "RS256"),
    ("RSA, JWK", private(RSA_KEY), "RS256"),
    ("RSA, JWK for PS384", private(RSA_KEY, alg="PS384"), "PS384"),
    ("P-256, PEM", pem(EC_KEYS["P-256"]), "ES256"),
    ("P-384, JWK", private(EC_KEYS["P-384"]), "ES384"),
    ("P-521, PEM", pem(EC_KEYS["P-521"]), "ES512"),
    ("Ed25519, PEM", pem(OKP_KEYS["Ed25519"]), "EdDSA"),
    ("Ed25519, JWK for Ed25519", private(OKP_KEYS["Ed25519"], alg="Ed25519"), "Ed25519"),
    ("Ed448, JWK", private(OKP_KEYS["Ed448"]), "EdDSA"),
    ("use and key_ops", private(RSA_KEY, use="sig", key_ops=["sign"]), "RS256"),
    ("certificate members", private(RSA_KEY, x5c="?", x5u=1), "RS256"),
]


@pytest.mark.parametrize(("key", "algorithm"), [pytest.param(*case[1:], id=case[0]) for case in SIGNERS])
def test_signing(key: Secret[Any], algorithm: str) -> None:
    """A client assertion is signed with the key's own algorithm, or the usual one, and its public half verifies it."""
    check_signing_key(key)
    jwt = parse(sign_jwt(CLAIMS, key))
    assert (jwt.algorithm, jwt.type, jwt.claims) == (algorithm, "JWT", CLAIMS)
    source = key.reveal()
    handed_over = KEY_OF[algorithm] if isinstance(source, str) else {k: v for k, v in source.items() if k != "key_ops"}
    keys = import_keys(handed_over, fetched=False, algorithms=["Ed448"])
    assert verify_signature(jwt, keys) is not None


def test_header_of_what_is_signed() -> None:
    """The JWK's ``kid`` goes into the header; the caller's members do too, but for ``alg``."""
    key = private(RSA_KEY, kid="k1")
    assert parse(sign_jwt(CLAIMS, key)).header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    header = {"typ": "client-authentication+jwt", "kid": "k2", "alg": "none"}
    assert parse(sign_jwt(CLAIMS, key, "PS256", header)).header == header | {"alg": "PS256"}
    assert parse(sign_jwt(CLAIMS, pem(RSA_KEY))).kid is None
    assert parse(sign_jwt(CLAIMS, private(RSA_KEY, kid=None))).kid is None


ENCRYPTED = RSA_KEY.as_pem(private=True, password="password").decode()
UNFIT: list[tuple[str, Any, str | None, str]] = [
    ("empty", "", None, "it cannot be read"),
    ("a client secret", "correct horse battery staple", None, "it cannot be read"),
    ("public PEM", RSA_KEY.as_pem().decode(), None, "it is not a private key"),
    ("encrypted PEM", ENCRYPTED, None, "it cannot be read"),
    ("truncated PEM", pem(RSA_KEY).reveal()[:400], None, "it cannot be read"),
    ("bytes", pem(RSA_KEY).reveal().encode(), None, "it is neither PEM text nor a JWK"),
    ("nothing", None, None, "it is neither PEM text nor a JWK"),
    ("public JWK", GOOD_JWK, None, "it is not a private key"),
    ("symmetric JWK", SECRET.as_dict(), None, "it is not a private key"),
    ("no JWK", {}, None, "its kty is unknown"),
    ("JWK Set", {"keys": [RSA_KEY.as_dict(private=True)]}, None, "its kty is unknown"),
    ("broken JWK", EC_KEYS["P-256"].as_dict(private=True) | {"d": "AAAA"}, None, "it cannot be read"),
    ("JWK off its curve", EC_KEYS["P-256"].as_dict(private=True) | {"y": EC_JWK["x"]}, None, "it does not make a key"),
    ("short RSA", int_jwk(2**1023 + 1, 65537, d="AAAA"), None, "its size or exponent is out of range"),
    ("use enc", RSA_KEY.as_dict(private=True) | {"use": "enc"}, None, "its use is not sig"),
    ("key_ops", RSA_KEY.as_dict(private=True) | {"key_ops": ["decrypt"]}, None, "its key_ops are without sign"),
    ("X25519", OKP_KEYS["X25519"].as_dict(private=True), None, "no algorithm fits it"),
    ("secp256k1", pem(EC_KEYS["secp256k1"]).reveal(), None, "no algorithm fits it"),
    ("JWK's own alg", RSA_KEY.as_dict(private=True) | {"alg": "ES256"}, None, "no algorithm fits it"),
    ("alg of another type", pem(RSA_KEY).reveal(), "ES256", "the algorithm asked for does not fit it"),
    ("alg none", pem(RSA_KEY).reveal(), "none", "the algorithm asked for does not fit it"),
    ("alg HS256", pem(RSA_KEY).reveal(), "HS256", "the algorithm asked for does not fit it"),
]


@pytest.mark.parametrize(("source", "algorithm", "why"), [pytest.param(*case[1:], id=case[0]) for case in UNFIT])
def test_what_cannot_sign(source: Any, algorithm: str | None, why: str) -> None:
    """A key that can sign nothing is refused, in words that are ours, and no frame shows anything of it."""
    for call in (
        lambda: check_signing_key(Secret(source), algorithm),
        lambda: sign_jwt(CLAIMS, Secret(source), algorithm),
    ):
        with pytest.raises(ValueError, match="the key to sign with") as caught:
            call()
        assert str(caught.value) == f"the key to sign with: {why}"
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        own_frames = traceback.StackSummary.extract(
            (
                (frame, line)
                for frame, line in _frames(caught.value)
                if frame.f_code.co_filename.endswith("async_oauth_guard/jose.py")
            ),
            capture_locals=True,
        )
        shown = "".join(own_frames.format())
        assert "PRIVATE KEY" not in shown
        assert "'d'" not in shown
        assert "horse" not in shown


def _frames(error: BaseException) -> Iterator[Any]:
    return traceback.walk_tb(error.__traceback__)


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_short_rsa_keys_sign_nothing() -> None:
    """R55: an RSA key of less than 2048 bits is not signed with either."""
    key = rsa.generate_private_key(65537, 1024)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="no algorithm fits it"):
        check_signing_key(Secret(text))


def test_claims_that_are_no_json() -> None:
    """Numbers that JSON has not are not signed."""
    with pytest.raises(ValueError, match="JSON"):
        sign_jwt({"exp": float("nan")}, pem(RSA_KEY))


def test_imports() -> None:
    """Rules know no Django, no clock, no thread and no loop."""
    from async_oauth_guard import jose

    modules = {name for name, value in vars(jose).items() if value is sys.modules.get(name)}
    assert modules.isdisjoint({"time", "threading", "asyncio", "django", "random", "secrets"})


@pytest.mark.parametrize("rest", ["A", "AA", "AAA"])
def test_last_character(rest: str) -> None:
    """R50: of the last characters that would stand for the same octets, one is taken, and it alone."""
    for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        signature = rest + char
        is_canonical = encode(base64.urlsafe_b64decode(signature + "==")) == signature
        assert isinstance(parse_jwt(Secret(f"{HEADER}.{PAYLOAD}.{signature}")), Jwt) is is_canonical


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [(MODULUS, 65536), (MODULUS, 1), (2**1023 + 1, 65537)],
    ids=["even exponent", "exponent 1", "1024 bits"],
)
def test_rsa_keys_out_of_range_are_not_tried(modulus: int, exponent: int, caplog: pytest.LogCaptureFixture) -> None:
    """R55: an RSA key out of range is told by its numbers, before any library is given it."""
    assert fetch(int_jwk(modulus, exponent)) == ()
    assert caplog.messages == ["Keys of a key set that are not used: 0 (its size or exponent is out of range)."]
