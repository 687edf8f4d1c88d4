"""JSON Web Tokens: form, verification and signing."""

import base64
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.credentials import MAX_TOKEN_LENGTH
from async_oauth_guard.protocol.jwk import (
    KNOWN_ALGORITHMS,
    SYMMETRIC_ALGORITHMS,
    VerificationKey,
    import_keys,
    import_signing_key,
)
from async_oauth_guard.protocol.jwt import Jwt, choose_keys, parse_jwt, peek_issuer, sign_jwt, verify_signature
from async_oauth_guard.protocol.secrets import PresentedToken, Secret
from tests.unit.characters import ANY_CHARACTER
from tests.unit.protocol.jwts import (
    CLAIMS,
    CRITICAL,
    EC_KEYS,
    GOOD_JWK,
    KEY_OF,
    MALFORMED,
    MODULUS,
    OKP_KEYS,
    OTHER_RSA_KEY,
    RSA_KEY,
    SIGNATURES,
    UNSUPPORTED,
    VECTORS,
    decode,
    encode,
    fetch,
    int_jwk,
    jwt_of,
    parse,
    pem,
    private,
    public,
    sign,
    token_of,
    verify,
)

# --- Signatures ---


@pytest.mark.parametrize("vector", SIGNATURES, ids=lambda vector: vector["source"])
def test_vectors_of_the_rfcs(vector: dict[str, Any]) -> None:
    """R39, R62: the signatures in the RFCs are valid with their keys, and not with another payload."""
    jwt = jwt_of(vector["compact"])
    keys = import_keys(vector["key"], fetched=False)
    assert jwt.algorithm == vector["algorithm"]
    assert verify_signature(jwt, choose_keys(keys, jwt)) == keys[0]
    header, payload, signature = vector["compact"].split(".")
    assert verify_signature(jwt_of(f"{header}.{payload[:-4]}AAAA.{signature}"), keys) is None


@pytest.mark.parametrize("name", ["rfc9068", "rfc9701"])
def test_examples_of_the_rfcs(name: str) -> None:
    """R39: the RFCs' examples of claims are unchanged after signing, parsing and verification."""
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    token = sign("RS256", RSA_KEY, vector["claims"], **vector["header"])
    jwt = parse(token)
    assert (dict(jwt.header), jwt.claims) == (vector["header"], vector["claims"])
    assert (jwt.type, jwt.kid) == (vector["header"]["typ"], vector["header"].get("kid"))
    assert verify(token, public(RSA_KEY, kid=jwt.kid)) is not None


@pytest.mark.parametrize("algorithm", sorted(KEY_OF))
def test_every_algorithm(algorithm: str) -> None:
    """R39, R62: a signature of every asymmetric algorithm is valid with its key, and not with another key."""
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
    """R39: a token with one changed character is malformed or has an invalid signature."""
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
    """R56: an ECDSA signature is R and S, each of full length and in range. DER is refused."""
    signing_input, _, signature = sign("ES256").rpartition(".")
    odd = encode(ODD_SIGNATURES[name](decode(signature)))
    assert verify(f"{signing_input}.{odd}", public(EC_KEYS["P-256"])) is None


def test_both_forms_of_an_ecdsa_signature() -> None:
    """R56: both S and n - S are valid in JOSE, so a token's text must not be used as its identity."""
    signing_input, _, signature = sign("ES256").rpartition(".")
    r, s = decode(signature)[:32], int.from_bytes(decode(signature)[32:])
    other_form = encode(r + (P256_ORDER - s).to_bytes(32))
    assert verify(f"{signing_input}.{other_form}", public(EC_KEYS["P-256"])) is not None


@pytest.mark.parametrize("algorithm", sorted(KEY_OF))
@pytest.mark.parametrize("signature", [b"\0", b"\xff" * 64, bytes(132), b"\xff" * 256, b"\1" * 1024])
def test_made_up_signatures(algorithm: str, signature: bytes) -> None:
    """R39: an invented signature of any length is not valid and raises no error."""
    header = {"alg": algorithm}
    assert verify(token_of(header, signature=encode(signature)), public(KEY_OF[algorithm])) is None


def test_a_key_that_breaks_verifies_nothing() -> None:
    """R39: if verification raises, the signature is not valid, and no error contains the token."""
    broken = VerificationKey("broken", None, frozenset({"RS256"}), object())  # type: ignore[arg-type]
    assert verify_signature(parse(sign("RS256")), [broken]) is None


def test_a_key_verifies_its_own_algorithms_only() -> None:
    """R41: the algorithm is also compared at verification, whatever keys the caller passes."""
    (key,) = fetch(public(RSA_KEY, alg="RS256"))
    assert verify_signature(parse(sign("RS256")), [key]) == key
    assert verify_signature(parse(sign("PS256")), [key]) is None


def test_the_key_that_verified_is_told() -> None:
    """R39: of several candidates, the key that made the signature is returned."""
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
    """R42: a MAC that was made with public data is not valid with any fetched key."""
    import hmac

    signing_input = token_of({"alg": algorithm}).rpartition(".")[0]
    mac = hmac.digest(secret, signing_input.encode(), f"sha{algorithm[2:]}")
    keys = fetch(public(RSA_KEY), {"kty": "oct", "k": encode(secret)})
    jwt = parse(f"{signing_input}.{encode(mac)}")
    assert (choose_keys(keys, jwt), verify_signature(jwt, keys)) == ((), None)


def test_no_warnings() -> None:
    """Import, signing and verification emit no warnings, also for ``EdDSA`` and weak keys."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert verify(sign("EdDSA"), public(OKP_KEYS["Ed25519"])) is not None
        assert fetch(int_jwk(2**1023 + 1, 65537)) == ()
        assert import_keys({"kty": "oct", "k": "AAAA"}, fetched=False) == ()


# --- The form of a token ---


def test_a_good_token() -> None:
    """The parts of a token are decoded without loss, and nothing secret is shown."""
    token = sign("RS256", kid="k1", typ="at+jwt")
    jwt = parse(token)
    assert (jwt.algorithm, jwt.kid, jwt.type, jwt.claims) == ("RS256", "k1", "at+jwt", CLAIMS)
    assert f"{jwt.signing_input.reveal().decode()}.{encode(jwt.signature.reveal())}" == token
    assert "alice" not in repr(jwt)
    assert token.rpartition(".")[2] not in repr(jwt)
    assert parse(PresentedToken(token)).claims == CLAIMS


def test_absent_header_members() -> None:
    """A header without ``kid`` and ``typ``, or with a null ``kid``, is accepted."""
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
    """R50, R51, R61: anything but three parts of canonical base64url is refused. Nothing is decrypted."""
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
    """R45, R48, R49, R52: header and claims must be JSON objects in UTF-8 that all parsers read alike."""
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
    """R45, R49: unambiguous JSON is accepted, up to 32 levels deep."""
    assert parse(token_of(payload=text)).claims == (json.loads(text) if claims is None else claims)


def test_sizes() -> None:
    """Header, signature and token have maximum sizes. One octet more is refused."""

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
    """The longest and oddest tokens take milliseconds of CPU time at most (the limit allows for coverage)."""

    def once() -> float:
        start = time.thread_time()
        parse_jwt(Secret(HOSTILE[name]))
        peek_issuer(Secret(HOSTILE[name]))
        return time.thread_time() - start

    assert min(once() for _ in range(5)) < 0.05


def test_recursion_in_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the caller's stack has no room for the decoder, the token is refused and nothing is raised."""
    from async_oauth_guard.protocol import strict_json

    class Decoder:
        def raw_decode(self, text: str) -> Any:
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
    """R40, R41, R46, R47, R53, R54: each invalid header is refused before a key is chosen."""
    parsed = parse_jwt(Secret(token_of(header)))
    assert (Jwt if isinstance(parsed, Jwt) else parsed) is outcome


@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_alg_none(signature: str) -> None:
    """R40: an unsecured JWT is refused, with and without a signature."""
    assert isinstance(parse_jwt(Secret(token_of({"alg": "none"}, signature=signature))), Reason)


def test_duplicate_alg() -> None:
    """R48: a header with two ``alg`` members is refused."""
    for header in (
        b'{"alg":"none","alg":"ES256"}',
        b'{"alg":"ES256","alg":"none"}',
        b'{"alg":"RS256","kid":"a","kid":"b"}',
    ):
        assert parse_jwt(Secret(token_of(header))) is MALFORMED


@pytest.mark.parametrize("member", ["jwk", "jku", "x5c", "x5u"])
def test_keys_in_the_header(member: str) -> None:
    """R54: a key in the header is never used."""
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
    """R59: the issuer that a token claims is read without verification, or ``None`` for other tokens."""
    assert peek_issuer(Secret(token)) == issuer


texts = st.one_of(
    st.text(ANY_CHARACTER),
    st.text(alphabet="abcABC019-_.=+/ \n"),
    st.lists(st.binary(max_size=60).map(encode), min_size=1, max_size=6).map(".".join),
    st.lists(
        st.text(alphabet='{}[]",:\\udD8aeE+-.0123456789NInfalstry ', max_size=80).map(encode), min_size=3, max_size=3
    ).map(".".join),
    st.tuples(
        st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "b64"]),
            st.one_of(st.text(ANY_CHARACTER), st.none(), st.integers()),
        ),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(ANY_CHARACTER)),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(ANY_CHARACTER), inner)),
        ),
        st.binary(max_size=40),
    ).map(lambda parts: ".".join([encode(parts[0]), encode(json.dumps(parts[1])), encode(parts[2])])),
)


@settings(deadline=None, max_examples=150)
@given(token=texts)
@example(token="\ud800.\ud800.\ud800")
def test_nothing_raises(token: str) -> None:
    """R45 to R53: any string gives a JWT with the right types or a reason, never an exception."""
    jwt = parse_jwt(Secret(token))
    issuer = peek_issuer(Secret(token))
    assert isinstance(jwt, Jwt | Reason)
    assert issuer is None or isinstance(issuer, str)
    if isinstance(jwt, Jwt):
        assert jwt.algorithm in KNOWN_ALGORITHMS
        assert isinstance(jwt.claims, dict)
        assert f"{jwt.signing_input.reveal().decode()}.{encode(jwt.signature.reveal())}" == token
        assert verify_signature(jwt, fetch(public(RSA_KEY), public(EC_KEYS["P-256"]))) is None


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
    """R41, R42, R54: both kid and algorithm select a key. Without a kid, only one key may fit."""
    assert chosen(token_of(header), *jwks) == indexes


def test_candidates_are_bounded() -> None:
    """R54: only a few of many keys with the same kid are tried."""
    jwks = [int_jwk(MODULUS + 2 * number, 65537, kid="a") for number in range(20)]
    assert len(chosen(token_of({"alg": "RS256", "kid": "a"}), *jwks)) == 4


# --- Signing ---


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
    """A client assertion is signed with the key's own algorithm or the usual one, and its public half verifies it."""
    jwt = parse(sign_jwt(CLAIMS, import_signing_key(key)))
    assert (jwt.algorithm, jwt.type, jwt.claims) == (algorithm, "JWT", CLAIMS)
    source = key.reveal()
    handed_over = KEY_OF[algorithm] if isinstance(source, str) else {k: v for k, v in source.items() if k != "key_ops"}
    keys = import_keys(handed_over, fetched=False, algorithms=["Ed448"])
    assert verify_signature(jwt, keys) is not None


def test_header_of_what_is_signed() -> None:
    """The header has the JWK's ``kid`` and the caller's members, except ``alg``."""
    key = private(RSA_KEY, kid="k1")
    assert parse(sign_jwt(CLAIMS, import_signing_key(key))).header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    header = {"typ": "client-authentication+jwt", "kid": "k2", "alg": "none"}
    signed = sign_jwt(CLAIMS, import_signing_key(private(RSA_KEY, kid="k1", alg="PS256")), header)
    assert parse(signed).header == header | {"alg": "PS256"}
    for unnamed in (pem(RSA_KEY), private(RSA_KEY, kid=None)):
        assert parse(sign_jwt(CLAIMS, import_signing_key(unnamed))).kid is None


def test_claims_that_are_no_json() -> None:
    """Numbers that JSON cannot represent are not signed."""
    with pytest.raises(ValueError, match="JSON"):
        sign_jwt({"exp": float("nan")}, import_signing_key(pem(RSA_KEY)))


def test_imports() -> None:
    """The modules for JWTs and keys import no Django, clock, thread or event loop."""
    from async_oauth_guard.protocol import jwk, jwt

    modules = {name for module in (jwk, jwt) for name, value in vars(module).items() if value is sys.modules.get(name)}
    assert modules.isdisjoint({"time", "threading", "asyncio", "django", "random", "secrets"})


@pytest.mark.parametrize("rest", ["A", "AA", "AAA"])
def test_last_character(rest: str) -> None:
    """R50: several last characters encode the same octets, and only the canonical one is accepted."""
    for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        signature = rest + char
        is_canonical = encode(base64.urlsafe_b64decode(signature + "==")) == signature
        assert isinstance(parse_jwt(Secret(f"{HEADER}.{PAYLOAD}.{signature}")), Jwt) is is_canonical
