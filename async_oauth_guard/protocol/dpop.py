"""DPoP (RFC 9449): the options of a protector, and the rules for a proof that need no I/O.

A proof is a JWT that the client signs for each request, with the key that its token is bound to. Nothing here raises,
because error reports show the local variables of every frame in a traceback, and these contain the proof.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from ..errors import Reason
from .base64url import decode_base64url, encode_base64url
from .claims import is_time, media_subtype
from .dpop_nonces import read_nonce
from .jwk import KNOWN_ALGORITHMS, SYMMETRIC_ALGORITHMS, VerificationKey, import_proof_key
from .jwt import Jwt, read_segment, verify_signature
from .rules import Rule, Trace, first_failure, rules_for
from .secrets import Secret
from .uris import normalize_uri

__all__ = ["PROOF", "DPoP", "PresentedProof", "Proof", "check_proof", "read_dpop"]

_DEFAULT_ALGORITHMS: Final = ("ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "RS256")

# In octets, after decoding.
_MAX_HEADER_SIZE = 2048
_MAX_CLAIMS_SIZE = 4096
_MAX_SIGNATURE_SIZE = 1024
# In characters.
_MAX_PROOF_LENGTH = 10_000
# Enough for an RSA key of 4096 bits.
_MAX_CACHED_LENGTH = 1024
_MAX_JTI_LENGTH = 512
_DIGEST_SIZE = 16
# Seconds. A replay that was checked just before the proof expires is compared with used proofs only after the token was
# validated. The clock of another worker may also be late.
_REMEMBERED_LONGER = 30


@dataclass(frozen=True, slots=True)
class DPoP:
    """How a protector checks DPoP proofs (RFC 9449).

    Args:
        algorithms: the accepted ``alg`` of proofs, in the order in which challenges name them.
        max_age: seconds for which a proof may be used after its ``iat``.
        leeway: seconds by which the clocks of client and server may differ.
        nonce: whether a proof must contain a nonce of this site (RFC 9449 §9).
        nonce_lifetime: seconds for which a nonce may be used.
        required: whether tokens are accepted only with the scheme ``DPoP``.

    Raises:
        TypeError: an option has the wrong type.
        ValueError: an option has an invalid value.
    """

    algorithms: Collection[str] = _DEFAULT_ALGORITHMS
    max_age: float = field(default=60, kw_only=True)
    leeway: float = field(default=10, kw_only=True)
    nonce: bool = field(default=False, kw_only=True)
    nonce_lifetime: float = field(default=300, kw_only=True)
    required: bool = field(default=False, kw_only=True)
    rules: "Sequence[Rule[PresentedProof, DPoP]]" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_algorithms(self.algorithms)
        object.__setattr__(self, "algorithms", tuple(dict.fromkeys(self.algorithms)))
        for name in ("max_age", "leeway", "nonce_lifetime"):
            _check_seconds(name, getattr(self, name))
        for name in ("nonce", "required"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {type(getattr(self, name)).__name__}")
        object.__setattr__(self, "rules", rules_for(self, PROOF))


# A proof that may be used for longer than this is as good as a bearer token, and the replay store must remember it.
_LONGEST_TIME = 3600


def _check_algorithms(algorithms: Any) -> None:
    if not isinstance(algorithms, list | tuple):
        raise TypeError(f"algorithms must be a list of names, such as ['ES256'], got {type(algorithms).__name__}")
    known = KNOWN_ALGORITHMS.difference(SYMMETRIC_ALGORITHMS)
    for name in algorithms:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"algorithms must be names from {', '.join(sorted(known))}, got {name!r}")
    if not algorithms:
        raise ValueError("algorithms must not be empty, because no proof could be valid")


def _check_seconds(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, got {type(value).__name__}")
    if not (0 <= value <= _LONGEST_TIME and (value > 0 or name == "leeway")):
        least = "at least 0" if name == "leeway" else "more than 0"
        raise ValueError(f"{name} must be {least} and at most {_LONGEST_TIME} seconds, got {value}")


def read_dpop(value: Any) -> DPoP | None:
    """The options that ``dpop`` gives: a `DPoP`, a mapping of its arguments, or ``True`` for the defaults.

    Raises:
        TypeError: the value has another type, or has an unknown member.
        ValueError: an option has an invalid value.
    """
    if value is None or value is False:
        return None
    if isinstance(value, DPoP):
        return value
    if value is True:
        return DPoP()
    if not isinstance(value, Mapping):
        raise TypeError(f"dpop must be True or a DPoP, got {type(value).__name__}")
    known = [name for name, option in DPoP.__dataclass_fields__.items() if option.init]
    unknown = sorted(str(name) for name in value if name not in known)
    if unknown:
        options = ", ".join(known)
        raise TypeError(f"dpop has an unknown option {unknown[0]!r}; its options are {options}")
    return DPoP(**value)


@dataclass(slots=True, eq=False)
class Proof:
    """A valid proof.

    Attributes:
        thumbprint: the thumbprint of its key (RFC 7638).
        digest: identifies the proof. It does not reveal anything about it.
        expires_at: until when a replay could pass the other rules, so that the proof must be remembered, in seconds
            since the epoch.
        checked_at: when the rules were checked.
        is_nonce_old: whether the client should get a new nonce.
        is_spent: whether this request has used the proof.
    """

    thumbprint: str
    digest: bytes
    expires_at: float
    checked_at: float
    is_nonce_old: bool
    is_spent: bool = False


# Not frozen, because one is created for each request. No repr, because it contains the proof and its claims.
@dataclass(slots=True, repr=False, kw_only=True)
class PresentedProof:
    """The subject of the rules: a proof, and the request that it must have been made for.

    ``value`` is that of the header ``DPoP``. ``uri`` is normalized; it is ``None`` if no proof can be for it.
    """

    policy: DPoP
    value: Secret[str] | None
    method: str | None
    uri: str | None
    token: Secret[str]
    now: float
    nonce_keys: Sequence[Secret[bytes]] = ()
    jwt: Jwt = field(init=False)
    encoded_header: str = field(init=False)
    key: VerificationKey = field(init=False)
    thumbprint: str = field(init=False)
    nonce_issued_at: int | None = field(default=None, init=False)


def check_proof(presented: PresentedProof, trace: Trace | None = None) -> Proof | Reason:
    """Check a proof by all rules but the one against replay (RFC 9449 §4.3), or return the reason for refusing it."""
    policy = presented.policy
    reason = first_failure(policy.rules, presented, trace)
    if reason is not None:
        return reason
    claims, thumbprint = presented.jwt.claims, presented.thumbprint
    issued_at = presented.nonce_issued_at
    # Only the last part may contain a line break.
    identity = f"{thumbprint}\n{presented.uri}\n{claims['jti']}".encode()
    return Proof(
        thumbprint,
        hashlib.blake2b(identity, digest_size=_DIGEST_SIZE, person=b"guard dpop proof").digest(),
        expires_at=claims["iat"] + policy.max_age + policy.leeway + _REMEMBERED_LONGER,
        checked_at=presented.now,
        is_nonce_old=issued_at is not None and presented.now - issued_at > policy.nonce_lifetime / 2,
    )


# --- the rules ---


def _check_presented(presented: PresentedProof) -> Reason | None:
    return None if presented.value is not None and presented.value.reveal().strip(" \t") else Reason.MISSING_PROOF


def _check_single(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (1): "There is not more than one DPoP HTTP request header field." Servers join the lines of a
    # repeated header with a comma.
    return Reason.REPEATED_PROOF if "," in _text_of(presented) else None


def _text_of(presented: PresentedProof) -> str:
    return presented.value.reveal() if presented.value is not None else ""


def _read(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (2): "The DPoP HTTP request header field value is a single and well-formed JWT."
    # RFC 9110 §5.5: white space around a field's value is not part of the value.
    text = _text_of(presented).strip(" \t")
    if len(text) > _MAX_PROOF_LENGTH or text.count(".") != 2:
        return Reason.MALFORMED_PROOF
    signing_input, _, encoded_signature = text.rpartition(".")
    encoded_header, _, encoded_claims = signing_input.partition(".")
    # Anyone can send a header, so only short ones are cached. Those with elliptic curves are short.
    is_short = len(encoded_header) <= _MAX_CACHED_LENGTH
    header = _read_header(encoded_header) if is_short else read_segment(encoded_header, _MAX_HEADER_SIZE)
    claims = read_segment(encoded_claims, _MAX_CLAIMS_SIZE)
    signature = decode_base64url(encoded_signature, _MAX_SIGNATURE_SIZE)
    # RFC 7515 §4.1.11, RFC 7797 §7: as for tokens, no extension is supported. Other members are ignored.
    if header is None or claims is None or not signature or "crit" in header or "b64" in header:
        return Reason.MALFORMED_PROOF
    presented.jwt = Jwt(header, claims, Secret(signing_input.encode()), Secret(signature))
    presented.encoded_header = encoded_header
    return None


@lru_cache(maxsize=1024)
def _read_header(encoded: str) -> Mapping[str, Any] | None:
    # Clients use one header for many proofs. The cached value is read-only, because every caller gets the same one.
    header = read_segment(encoded, _MAX_HEADER_SIZE)
    return None if header is None else MappingProxyType(header)


def _check_type(presented: PresentedProof) -> Reason | None:
    typ = presented.jwt.header.get("typ")
    # RFC 9449 §4.3 (4): "The typ JOSE Header Parameter has the value dpop+jwt."
    return None if isinstance(typ, str) and media_subtype(typ) == "dpop+jwt" else Reason.WRONG_PROOF_TYPE


def _check_algorithm(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (5): alg "indicates a registered asymmetric digital signature algorithm [IANA.JOSE.ALGS], is not
    # none, is supported by the application, and is acceptable per local policy."
    algorithm = presented.jwt.header.get("alg")
    is_accepted = isinstance(algorithm, str) and algorithm in presented.policy.algorithms
    return None if is_accepted else Reason.UNSUPPORTED_PROOF_ALGORITHM


def _check_claims(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (3): "All required claims per Section 4.2 are contained in the JWT."
    claims = presented.jwt.claims
    has_texts = all(isinstance(claims.get(name), str) and claims[name] for name in ("jti", "htm", "htu", "ath"))
    # RFC 9449 §11.1: servers may "reject DPoP proofs with unnecessarily large jti values".
    is_well_formed = has_texts and len(claims["jti"]) <= _MAX_JTI_LENGTH and is_time(claims.get("iat"))
    return None if is_well_formed else Reason.MALFORMED_PROOF


def _check_method(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (8): "The htm claim matches the HTTP method of the current request." Methods are case-sensitive
    # (RFC 9110 §9.1).
    return None if presented.jwt.claims["htm"] == presented.method else Reason.WRONG_PROOF_METHOD


def _check_uri(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (9): "The htu claim matches the HTTP URI value for the HTTP request in which the JWT was received,
    # ignoring any query and fragment parts."
    claimed, uri = presented.jwt.claims["htu"], presented.uri
    is_equal = claimed == uri or (uri is not None and normalize_uri(claimed) == uri)
    return None if is_equal else Reason.WRONG_PROOF_URI


def _check_time(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (11): "The creation time of the JWT [...] is within an acceptable window".
    policy, issued_at = presented.policy, presented.jwt.claims["iat"]
    if issued_at > presented.now + policy.leeway:
        return Reason.PROOF_ISSUED_IN_FUTURE
    return Reason.EXPIRED_PROOF if issued_at < presented.now - policy.max_age - policy.leeway else None


def _check_token(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (12): "ensure that the value of the ath claim equals the hash of that access token".
    token = presented.token.reveal().encode(errors="surrogatepass")
    expected = encode_base64url(hashlib.sha256(token).digest()).decode()
    return None if presented.jwt.claims["ath"] == expected else Reason.PROOF_FOR_ANOTHER_TOKEN


def _check_key(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (7): "The jwk JOSE Header Parameter does not contain a private key."
    is_short = len(presented.encoded_header) <= _MAX_CACHED_LENGTH
    read_key = _read_key if is_short else _read_key.__wrapped__
    key = read_key(presented.encoded_header, "Ed448" in presented.policy.algorithms)
    if key is None:
        return Reason.UNUSABLE_PROOF_KEY
    presented.key, presented.thumbprint = key
    return None


@lru_cache(maxsize=1024)
def _read_key(encoded_header: str, has_ed448: bool) -> tuple[VerificationKey, str] | None:
    """The key in a header, and its thumbprint (RFC 7638). Clients use one key for many proofs, and import is slow."""
    header = read_segment(encoded_header, _MAX_HEADER_SIZE) or {}
    key = import_proof_key(header.get("jwk"), has_ed448)
    return None if key is None else (key, key.key.thumbprint())


def _check_signature(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (6): "The JWT signature verifies with the public key contained in the jwk JOSE Header Parameter."
    is_valid = verify_signature(presented.jwt, (presented.key,)) is not None
    return None if is_valid else Reason.BAD_PROOF_SIGNATURE


def _check_nonce(presented: PresentedProof) -> Reason | None:
    # RFC 9449 §4.3 (10): "the nonce claim matches the server-provided nonce value".
    nonce, policy = presented.jwt.claims.get("nonce"), presented.policy
    if nonce is None:
        return Reason.MISSING_NONCE
    issued_at = read_nonce(nonce, presented.nonce_keys) if isinstance(nonce, str) else None
    # The clock of the worker that issued it may be ahead.
    if issued_at is None or not -policy.leeway <= presented.now - issued_at <= policy.nonce_lifetime:
        return Reason.INVALID_NONCE
    presented.nonce_issued_at = issued_at
    return None


PROOF: Sequence[Rule[PresentedProof, DPoP]] = (
    Rule("proof is presented", _check_presented),
    Rule("one proof", _check_single),
    Rule("form of the proof", _read),
    Rule("typ of the proof", _check_type),
    Rule("alg of the proof", _check_algorithm, asks_for=lambda policy: " or ".join(policy.algorithms)),
    Rule("claims of the proof", _check_claims),
    Rule("htm", _check_method),
    Rule("htu", _check_uri),
    Rule("iat", _check_time, asks_for=lambda policy: f"at most {policy.max_age:g} s ago"),
    Rule("ath", _check_token),
    Rule("key of the proof", _check_key),
    Rule("signature of the proof", _check_signature),
    # After the signature: a client whose proof is invalid in any other way learns that first.
    Rule("nonce", _check_nonce, applies=lambda policy: policy.nonce),
)
"""The rules for a proof, in this order, before any query or call. Those that cost much come last."""
