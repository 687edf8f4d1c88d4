"""The options for DPoP, and the rules for proofs that need no I/O (RFC 9449 §4.3)."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from async_oauth_guard import DPoP
from async_oauth_guard.errors import InvalidDPoPProofError, Reason, UseDPoPNonceError, error_of
from async_oauth_guard.protocol.dpop import PROOF, PresentedProof, Proof, check_proof, read_dpop
from async_oauth_guard.protocol.dpop_nonces import make_nonce
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.protocol.uris import normalize_uri
from tests.proofs import KEY, OTHER_KEY, encode, hash_of, make_key, make_proof, public, thumbprint
from tests.unit.characters import ANY_CHARACTER

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9449.json").read_text())
NOW = 1_800_000_000
URI = "https://api.example.com/notes/"
TOKEN = "a-token"
NONCE_KEY = Secret(b"k" * 32)


def presented(
    proof: str | None,
    dpop: DPoP | None = None,
    *,
    token: str = TOKEN,
    method: str | None = "GET",
    uri: str = URI,
    now: float = NOW,
) -> PresentedProof:
    return PresentedProof(
        policy=DPoP() if dpop is None else dpop,
        value=None if proof is None else Secret(proof),
        method=method,
        uri=normalize_uri(uri),
        token=Secret(token),
        now=now,
        nonce_keys=[NONCE_KEY],
    )


def proof(*, token: str = TOKEN, claims: Any = None, **options: Any) -> str:
    return make_proof(token, **{"uri": URI, **options}, claims={"iat": NOW, **(claims or {})})


def outcome(value: str | None, dpop: DPoP | None = None, **request: Any) -> Reason | None:
    """Why the proof is refused, if it is."""
    checked = check_proof(presented(value, dpop, **request))
    return checked if isinstance(checked, Reason) else None


def test_vector() -> None:
    """R85, R92, R93: the proof in RFC 9449 §7.1 is valid for its request, and its key has the thumbprint of §6.1."""
    request = {"token": VECTOR["token"], "method": VECTOR["method"], "uri": VECTOR["uri"], "now": VECTOR["issued_at"]}
    checked = check_proof(presented(VECTOR["proof"], **request))
    assert isinstance(checked, Proof)
    assert checked.thumbprint == VECTOR["thumbprint"]
    assert outcome(VECTOR["proof"], **{**request, "token": "another"}) is Reason.PROOF_FOR_ANOTHER_TOKEN


def test_valid_proof() -> None:
    """A valid proof tells the thumbprint of its key, and how long a replay would pass."""
    checked = check_proof(presented(proof()))
    assert isinstance(checked, Proof)
    assert (checked.thumbprint, checked.expires_at, checked.checked_at) == (thumbprint(), NOW + 100, NOW)
    assert (checked.is_nonce_old, checked.is_spent, len(checked.digest)) == (False, False, 16)


@pytest.mark.parametrize(("algorithm", "key"), [(name, make_key(name)) for name in DPoP().algorithms])
def test_algorithms(algorithm: str, key: Any) -> None:
    """R84: a proof may use each algorithm of the list, and no other."""
    value = proof(key=key, algorithm=algorithm)
    assert outcome(value) is None
    others = tuple(name for name in DPoP().algorithms if name != algorithm)
    assert outcome(value, DPoP(others)) is Reason.UNSUPPORTED_PROOF_ALGORITHM


def test_ed448() -> None:
    """R62: Ed448 is accepted only by name."""
    value = proof(key=OKPKey.generate_key("Ed448"), algorithm="Ed448")
    assert outcome(value, DPoP(["Ed448"])) is None
    assert outcome(value) is Reason.UNSUPPORTED_PROOF_ALGORITHM
    assert outcome(proof(key=OKPKey.generate_key("Ed448"), algorithm="EdDSA")) is Reason.BAD_PROOF_SIGNATURE


def test_larger_keys() -> None:
    """R55: an RSA key has 2048 to 4096 bits, because the client chooses it."""
    for bits, expected in ((2048, None), (4096, None), (4104, Reason.UNUSABLE_PROOF_KEY)):
        key = RSAKey.generate_key(bits)
        assert outcome(proof(key=key, algorithm="PS256")) is expected


GOOD = proof()
HEADER, CLAIMS, SIGNATURE = GOOD.split(".")
REPEATED, NAN, INFINITE = b'{"jti":"a","jti":"b"}', b'{"iat":NaN}', b'{"iat":1e400}'

FORMS: dict[str, tuple[str | None, Reason]] = {
    "none": (None, Reason.MISSING_PROOF),
    "empty": ("", Reason.MISSING_PROOF),
    "blank": (" \t", Reason.MISSING_PROOF),
    "twice": (f"{GOOD},{GOOD}", Reason.REPEATED_PROOF),
    "twice, with a space": (f"{GOOD}, {GOOD}", Reason.REPEATED_PROOF),
    "trailing comma": (f"{GOOD},", Reason.REPEATED_PROOF),
    "leading comma": (f",{GOOD}", Reason.REPEATED_PROOF),
    "garbage": ("garbage", Reason.MALFORMED_PROOF),
    "two parts": ("a.b", Reason.MALFORMED_PROOF),
    "four parts": (f"{GOOD}.x", Reason.MALFORMED_PROOF),
    "dots": ("..", Reason.MALFORMED_PROOF),
    "JSON": ('{"payload": ""}', Reason.MALFORMED_PROOF),
    "scheme": (f"DPoP {GOOD}", Reason.MALFORMED_PROOF),
    "quoted": (f'"{GOOD}"', Reason.MALFORMED_PROOF),
    "padded": (f"{GOOD}==", Reason.MALFORMED_PROOF),
    "space inside": (f"{HEADER}. {CLAIMS}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "line break inside": (f"{HEADER}.\n{CLAIMS}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "no signature": (f"{HEADER}.{CLAIMS}.", Reason.MALFORMED_PROOF),
    "no claims": (f"{HEADER}..{SIGNATURE}", Reason.MALFORMED_PROOF),
    "header is a list": (f"{encode([])}.{CLAIMS}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "header is text": (f"{encode('alg')}.{CLAIMS}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "claims are a list": (f"{HEADER}.{encode([{}])}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "claims are null": (f"{HEADER}.{encode(None)}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "repeated member": (f"{HEADER}.{encode(REPEATED)}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "NaN": (f"{HEADER}.{encode(NAN)}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "1e400": (f"{HEADER}.{encode(INFINITE)}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "UTF-16": (f"{HEADER}.{encode('{}'.encode('utf-16'))}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "not UTF-8": (f"{HEADER}.{encode(bytes([0x7B, 0xFF, 0x7D]))}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "deep": (f"{HEADER}.{encode(b'[' * 1000 + b']' * 1000)}.{SIGNATURE}", Reason.MALFORMED_PROOF),
    "not ASCII": ("é.é.é", Reason.MALFORMED_PROOF),
    "NUL": ("\x00.\x00.\x00", Reason.MALFORMED_PROOF),
    "surrogate": ("\ud800.\ud800.\ud800", Reason.MALFORMED_PROOF),
    "long": ("a" * 1_000_000, Reason.MALFORMED_PROOF),
    "long header": (proof(header={"x": "x" * 2048}), Reason.MALFORMED_PROOF),
    "long claims": (proof(claims={"x": "x" * 4096}), Reason.MALFORMED_PROOF),
    "long signature": (f"{HEADER}.{CLAIMS}.{encode(b'x' * 1025)}", Reason.MALFORMED_PROOF),
    "crit": (proof(header={"crit": ["x"], "x": 1}), Reason.MALFORMED_PROOF),
    "empty crit": (proof(header={"crit": []}), Reason.MALFORMED_PROOF),
    "b64": (proof(header={"b64": False}), Reason.MALFORMED_PROOF),
}


@pytest.mark.parametrize(("value", "reason"), FORMS.values(), ids=FORMS)
def test_forms(value: str | None, reason: Reason) -> None:
    """R80, R81: there is one proof, a JWT in compact form that can be read in one way only."""
    assert outcome(value) is reason


def test_white_space_around() -> None:
    """White space around the field's value is not part of it (RFC 9110 §5.5)."""
    assert outcome(f" {GOOD}\t") is None


@pytest.mark.parametrize(
    "typ", [..., None, "", "JWT", "jwt", "at+jwt", "dpop+jwt+x", "dpop", "dpop+jwt ", 1, ["dpop+jwt"]]
)
def test_types(typ: Any) -> None:
    """R83: ``typ`` is ``dpop+jwt``."""
    assert outcome(proof(header={"typ": typ})) is Reason.WRONG_PROOF_TYPE


@pytest.mark.parametrize("typ", ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt"])
def test_spellings_of_the_type(typ: str) -> None:
    """Media types are compared without regard to case, and ``application/`` may be left out (RFC 7515 §4.1.9)."""
    assert outcome(proof(header={"typ": typ})) is None


@pytest.mark.parametrize(
    "alg", [..., None, "", "none", "None", "HS256", "RS1", "RS384", "es256", "ES256 ", 1, ["ES256"]]
)
def test_other_algorithms(alg: Any) -> None:
    """R84: ``alg`` is a name from the list. ``none`` and shared secrets never are."""
    assert outcome(proof(header={"alg": alg})) is Reason.UNSUPPORTED_PROOF_ALGORITHM


def test_shared_secrets() -> None:
    """R84: a secret is no key of a proof, and neither is a public key that is used as a secret."""
    secret = OctKey.generate_key(256)
    value = proof(header={"alg": "HS256", "jwk": secret.as_dict(private=True)}, algorithm="HS256", signed_with="s")
    assert outcome(value) is Reason.UNSUPPORTED_PROOF_ALGORITHM
    assert outcome(proof(header={"jwk": secret.as_dict(private=True)})) is Reason.UNUSABLE_PROOF_KEY


RSA = make_key("RS256")
# Their values do not matter: a private key must not even look like one.
PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]


@pytest.mark.parametrize("name", PRIVATE_MEMBERS)
@pytest.mark.parametrize(("key", "algorithm"), [(KEY, "ES256"), (RSA, "RS256")], ids=["EC", "RSA"])
@pytest.mark.parametrize("value", ["AQAB", "", None, []], ids=repr)
def test_private_keys(name: str, key: Any, algorithm: str, value: Any) -> None:
    """R86: ``jwk`` has no member of a private key, whatever its type and value."""
    made = proof(key=key, algorithm=algorithm, header={"jwk": {**public(key), name: value}})
    assert outcome(made) is Reason.UNUSABLE_PROOF_KEY


def test_whole_private_keys() -> None:
    """R86: the private key itself is refused."""
    for key, algorithm in ((KEY, "ES256"), (RSA, "RS256"), (make_key("Ed25519"), "Ed25519")):
        made = proof(key=key, algorithm=algorithm, header={"jwk": key.as_dict(private=True)})
        assert outcome(made) is Reason.UNUSABLE_PROOF_KEY


EC = public()
KEYS: dict[str, Any] = {
    "none": ...,
    "null": None,
    "text": json.dumps(EC),
    "list": [EC],
    "set": {"keys": [EC]},
    "empty": {},
    "no kty": {name: value for name, value in EC.items() if name != "kty"},
    "unknown kty": {**EC, "kty": "XX"},
    "kty is a list": {**EC, "kty": ["EC"]},
    "no x": {name: value for name, value in EC.items() if name != "x"},
    "x is a number": {**EC, "x": 1},
    "x is null": {**EC, "x": None},
    "not base64url": {**EC, "x": "!!!"},
    "off the curve": {**EC, "x": EC["y"], "y": EC["x"]},
    "unknown curve": {**EC, "crv": "P-000"},
    "secp256k1": {**EC, "crv": "secp256k1"},
    "for encryption": {**EC, "use": "enc"},
    "for other operations": {**EC, "key_ops": ["sign"]},
    "another alg": {**EC, "alg": "ES384"},
    "kid is a number": {**EC, "kid": 1},
    "short RSA": {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
}


@pytest.mark.parametrize("jwk", KEYS.values(), ids=KEYS)
def test_unusable_keys(jwk: Any) -> None:
    """R82, R85: ``jwk`` is one public key that can be used."""
    assert outcome(proof(header={"jwk": jwk})) is Reason.UNUSABLE_PROOF_KEY


def test_keys_with_more_members() -> None:
    """R97: the usual members of a public key do no harm."""
    jwk = {**EC, "kid": "k", "use": "sig", "alg": "ES256", "key_ops": ["verify"], "ext": True}
    assert outcome(proof(header={"jwk": jwk})) is None


CLAIM_TYPES = [
    (name, value) for name in ("jti", "htm", "htu", "ath") for value in (..., None, "", 1, True, ["x"], {"x": "x"}, 1.5)
] + [("iat", value) for value in (..., None, "", str(NOW), True, [NOW], -1, -0.5)]


@pytest.mark.parametrize(("name", "value"), CLAIM_TYPES)
def test_claims(name: str, value: Any) -> None:
    """R82, R91: each claim that is required is there, and has the right type."""
    assert outcome(proof(claims={name: value})) is Reason.MALFORMED_PROOF


@pytest.mark.parametrize(
    ("length", "reason"), [(512, None), (513, Reason.MALFORMED_PROOF), (10_000, Reason.MALFORMED_PROOF)]
)
def test_long_identifiers(length: int, reason: Reason | None) -> None:
    """R96: a ``jti`` may be long, but not huge."""
    assert outcome(proof(claims={"jti": "x" * length})) is reason


@pytest.mark.parametrize("htm", ["get", "Get", "POST", "GET ", "HEAD", "*"])
def test_methods(htm: str) -> None:
    """R87: ``htm`` is the method, compared with regard to case."""
    assert outcome(proof(method=htm)) is Reason.WRONG_PROOF_METHOD


@pytest.mark.parametrize(
    "htu",
    [
        "https://api.example.com/notes",
        "http://api.example.com/notes/",
        "https://u@api.example.com/notes/",
        "/notes/",
        "x",
    ],
)
def test_other_uris(htu: str) -> None:
    """R88: ``htu`` is the URI of the request. `test_uris.py` has the whole table."""
    assert outcome(proof(uri=htu)) is Reason.WRONG_PROOF_URI
    assert outcome(proof(uri=htu), uri="no URI") is Reason.WRONG_PROOF_URI


@pytest.mark.parametrize(
    "htu", [URI, f"{URI}?q#f", "HTTPS://API.example.com:443/notes/", "wss://api.example.com/%6Eotes/"]
)
def test_equal_uris(htu: str) -> None:
    """R88: ``htu`` is compared after normalization, without query and fragment."""
    assert outcome(proof(uri=htu)) is None


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (-3600, Reason.PROOF_ISSUED_IN_FUTURE),
        (-11, Reason.PROOF_ISSUED_IN_FUTURE),
        (-10.001, Reason.PROOF_ISSUED_IN_FUTURE),
        (-10, None),
        (0, None),
        (10, None),
        (70, None),
        (70.001, Reason.EXPIRED_PROOF),
        (71, Reason.EXPIRED_PROOF),
        (3600, Reason.EXPIRED_PROOF),
        (NOW, Reason.EXPIRED_PROOF),
        (-(10**90), Reason.PROOF_ISSUED_IN_FUTURE),
    ],
)
def test_times(age: Any, reason: Reason | None) -> None:
    """R91: ``iat`` is at most ``max_age`` and ``leeway`` ago, and at most ``leeway`` ahead."""
    assert outcome(proof(claims={"iat": NOW - age})) is reason


def test_other_times() -> None:
    """R91: ``max_age`` and ``leeway`` are options. They may be fractions."""
    strict = DPoP(max_age=0.5, leeway=0)
    assert outcome(proof(claims={"iat": NOW - 0.5}), strict) is None
    assert outcome(proof(claims={"iat": NOW - 0.6}), strict) is Reason.EXPIRED_PROOF
    assert outcome(proof(claims={"iat": NOW + 0.1}), strict) is Reason.PROOF_ISSUED_IN_FUTURE


@pytest.mark.parametrize(
    "ath", [hash_of("another"), hash_of(TOKEN) + "=", hash_of(TOKEN).lower(), TOKEN, "f" * 64, "é"], ids=str
)
def test_hashes_of_tokens(ath: str) -> None:
    """R92: ``ath`` is the hash of this token, in base64url without padding."""
    assert outcome(proof(claims={"ath": ath})) is Reason.PROOF_FOR_ANOTHER_TOKEN
    assert outcome(proof(claims={"ath": ath}), token="\ud800") is Reason.PROOF_FOR_ANOTHER_TOKEN


def test_signatures() -> None:
    """R85: the signature verifies with the key in the header, and with no other."""
    flipped = GOOD[:-10] + ("A" if GOOD[-10] != "A" else "B") + GOOD[-9:]
    assert outcome(flipped) is Reason.BAD_PROOF_SIGNATURE
    assert outcome(proof(signed_with=OTHER_KEY)) is Reason.BAD_PROOF_SIGNATURE
    assert outcome(proof(header={"jwk": public(OTHER_KEY)})) is Reason.BAD_PROOF_SIGNATURE
    assert outcome(proof(header={"alg": "ES384"})) is Reason.BAD_PROOF_SIGNATURE
    assert outcome(proof(header={"alg": "RS256"})) is Reason.BAD_PROOF_SIGNATURE
    assert outcome(proof(key=ECKey.generate_key("P-384"), header={"alg": "ES256"}, algorithm="ES384")) is (
        Reason.BAD_PROOF_SIGNATURE
    )


def test_extra_members() -> None:
    """R97: unknown members of header and claims are ignored."""
    extra = {"tx_id": "x", "nbf": NOW, "exp": NOW + 300}
    assert outcome(proof(header={"tx_id": "x", "kid": "k", "x5u": "https://evil.example"}, claims=extra)) is None
    # `exp` is no claim of a proof.
    assert outcome(proof(claims={"exp": 1})) is None


WITH_NONCES = DPoP(nonce=True)


@pytest.mark.parametrize(
    ("nonce", "reason"),
    [
        (..., Reason.MISSING_NONCE),
        (None, Reason.MISSING_NONCE),
        ("", Reason.INVALID_NONCE),
        ("x", Reason.INVALID_NONCE),
        (1, Reason.INVALID_NONCE),
        (["x"], Reason.INVALID_NONCE),
        (make_nonce(Secret(b"another site's key"), NOW), Reason.INVALID_NONCE),
        (make_nonce(NONCE_KEY, NOW - 301), Reason.INVALID_NONCE),
        (make_nonce(NONCE_KEY, NOW - 300), None),
        (make_nonce(NONCE_KEY, NOW), None),
        (make_nonce(NONCE_KEY, NOW + 10), None),
        (make_nonce(NONCE_KEY, NOW + 11), Reason.INVALID_NONCE),
    ],
)
def test_nonces(nonce: Any, reason: Reason | None) -> None:
    """R89: with ``nonce=True``, a proof has a nonce of this site that is not stale. Otherwise nonces are ignored."""
    assert outcome(proof(claims={"nonce": nonce}), WITH_NONCES) is reason
    assert outcome(proof(claims={"nonce": nonce})) is None


@pytest.mark.parametrize(("age", "is_old"), [(0, False), (150, False), (151, True), (300, True)])
def test_old_nonces(age: int, is_old: bool) -> None:
    """R90: past half of its lifetime, the client should get a new nonce."""
    checked = check_proof(presented(proof(claims={"nonce": make_nonce(NONCE_KEY, NOW - age)}), WITH_NONCES))
    assert isinstance(checked, Proof)
    assert checked.is_nonce_old is is_old


def test_nonce_comes_last() -> None:
    """R89: if the nonce and anything else are wrong, the proof is invalid."""
    for wrong in (
        proof(signed_with=OTHER_KEY),
        proof(claims={"ath": "x"}),
        proof(claims={"iat": NOW - 3600}),
        proof(method="POST"),
    ):
        reason = outcome(wrong, WITH_NONCES)
        assert isinstance(reason, Reason)
        assert type(error_of(reason)) is InvalidDPoPProofError
    assert type(error_of(Reason.MISSING_NONCE)) is type(error_of(Reason.INVALID_NONCE)) is UseDPoPNonceError


def test_digests() -> None:
    """R96: key, ``jti`` and URI identify a proof, whatever else it contains."""

    def digest(**options: Any) -> bytes:
        request = {"uri": options["uri"]} if "uri" in options else {}
        checked = check_proof(
            presented(proof(**{**options, "claims": {"jti": "a", **options.get("claims", {})}}), **request)
        )
        assert isinstance(checked, Proof)
        return checked.digest

    assert digest() == digest(claims={"iat": NOW - 1}) == digest(uri=f"{URI}?q")
    others = [digest(), digest(claims={"jti": "b"}), digest(key=OTHER_KEY), digest(uri=f"{URI}x")]
    assert len(set(others)) == 4


def test_order() -> None:
    """R99: the rules of the table are checked in its order. What costs most comes last."""
    names = [rule.name for rule in PROOF]
    assert names.index("ath") < names.index("key of the proof") < names.index("signature of the proof")
    assert names[-1] == "nonce"


def test_nothing_is_shown() -> None:
    """R99: the repr of what is checked shows neither proof nor token."""
    subject = presented(proof())
    check_proof(subject)
    for shown in (repr(subject), repr(subject.jwt), repr(subject.key)):
        assert TOKEN not in shown
        assert hash_of(TOKEN) not in shown
        assert SIGNATURE not in shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(ANY_CHARACTER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(ANY_CHARACTER, max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    header=st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "crit", "kid", "b64"]), json_values),
    claims=st.dictionaries(st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]), json_values),
)
def test_nothing_raises(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """R81: the rules raise no error, whatever a proof contains."""
    assert outcome(proof(header=header, claims=claims), WITH_NONCES) in {None, *Reason}


@settings(deadline=None)
@given(st.text(ANY_CHARACTER) | st.text(alphabet="abcAB01.-_, \t="))
def test_no_text_raises(text: str) -> None:
    """R81: the rules raise no error, whatever the header contains."""
    assert outcome(text, WITH_NONCES) in {Reason.MISSING_PROOF, Reason.REPEATED_PROOF, Reason.MALFORMED_PROOF}


# The options.


def test_defaults() -> None:
    """``dpop=True`` means the defaults."""
    assert read_dpop(True) == DPoP() == read_dpop({})
    assert read_dpop(None) is read_dpop(False) is None
    given_options = DPoP(("ES256",), required=True)
    assert read_dpop(given_options) is given_options
    assert read_dpop({"algorithms": ["ES256", "ES256"], "required": True}) == given_options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"algorithms": "ES256"}, TypeError),
        ({"algorithms": None}, TypeError),
        ({"algorithms": []}, ValueError),
        ({"algorithms": ["none"]}, ValueError),
        ({"algorithms": ["HS256"]}, ValueError),
        ({"algorithms": [1]}, ValueError),
        ({"max_age": "60"}, TypeError),
        ({"max_age": True}, TypeError),
        ({"max_age": 0}, ValueError),
        ({"max_age": -1}, ValueError),
        ({"max_age": float("nan")}, ValueError),
        ({"max_age": float("inf")}, ValueError),
        ({"max_age": 3601}, ValueError),
        ({"leeway": -1}, ValueError),
        ({"leeway": None}, TypeError),
        ({"nonce_lifetime": 0}, ValueError),
        ({"nonce": 1}, TypeError),
        ({"required": "yes"}, TypeError),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception]) -> None:
    """A wrong option is refused at once, with its name."""
    with pytest.raises(error, match=next(iter(options))):
        read_dpop(options)


def test_options_have_names() -> None:
    """Only the algorithms may be given without the name of the option."""
    assert DPoP(("ES256",)).algorithms == ("ES256",)
    with pytest.raises(TypeError, match="positional argument"):
        DPoP(("ES256",), True)  # type: ignore[misc]


def test_copies_of_options() -> None:
    """A copy is equal to the options, and other options are not."""
    options = DPoP(nonce=True)
    assert copy.deepcopy(options) == options
    assert hash(copy.deepcopy(options)) == hash(options)
    assert DPoP() != options


@pytest.mark.parametrize("name", ["max_age", "nonce_lifetime"])
def test_times_that_must_not_be_zero(name: str) -> None:
    """The error about a time says that zero is too little."""
    with pytest.raises(ValueError, match=f"^{name} must be more than 0 and at most 3600 seconds, got 0$"):
        read_dpop({name: 0})


@pytest.mark.parametrize("value", [1, 0, "", "yes", ["ES256"]])
def test_wrong_values(value: Any) -> None:
    """``dpop`` is ``True`` or a `DPoP`."""
    with pytest.raises(TypeError, match="dpop must be True or a DPoP"):
        read_dpop(value)


def test_unknown_options() -> None:
    """A misspelt option is refused."""
    with pytest.raises(TypeError, match=r"unknown option 'maxage'; its options are algorithms, max_age, "):
        read_dpop({"maxage": 1})
