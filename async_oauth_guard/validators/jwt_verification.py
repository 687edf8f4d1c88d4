"""Verifies a JWT access token (RFC 9068 §4), or uses the cached result."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..authorization_server.cache_entries import CacheSigner, Remembered, size_of_entry
from ..authorization_server.jwks import KeySource, import_called_keys
from ..errors import InvalidTokenError, Reason, error_of
from ..protocol.claims import AUDIENCE, HEADER_AND_CLAIMS, CheckedClaims, ClaimPolicy, Lifetime, is_time
from ..protocol.copies import changeable_members, own_copy
from ..protocol.jwk import VerificationKey
from ..protocol.jwt import Jwt, choose_keys, parse_jwt, verify_signature
from ..protocol.provider_profiles import read_client, read_scope
from ..protocol.rules import Rule, Trace, first_failure, rules_for, walk_flow
from ..protocol.secrets import Secret
from ..runtime.effects import Call, Flow
from ..runtime.lru_cache import SizedLRU
from .hooks import check_returned

__all__ = ["JWT", "JwtPolicy", "VerifiedJwt", "find_verified_flow", "verify_flow"]


@dataclass(slots=True)
class VerifiedJwt(Remembered):
    """A token whose signature was verified with a key that was valid then. Requests share it, so do not change it.

    ``audiences`` are the audiences that its ``aud`` was compared with. ``lifetime`` is what its claims give, if it was
    checked. The result has a use until ``kept_until``, in seconds since the epoch. ``is_known`` says whether a later
    request has used the result.
    """

    header: dict[str, Any]
    claims: Mapping[str, Any] = field(repr=False)
    scope: Any
    client_id: str | None
    audiences: Collection[str] | None
    key: str
    kept_until: float
    lifetime: Lifetime | Reason | None
    is_known: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.changeable = changeable_members(self.claims)
        self.size = size_of_entry(self.header, self.claims, self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtPolicy(ClaimPolicy):
    """What a validator requires of a JWT in one request.

    Attributes:
        keys: the issuer's keys.
        get_jwks: a hook that returns the keys, instead of ``keys``.
        validate_iss: a hook that compares issuers, instead of ``issuer``.
        rules: the rules of `JWT` that apply.
    """

    keys: KeySource
    get_jwks: Callable[..., Any] | None
    validate_iss: Callable[..., Any] | None
    rules: "Sequence[Rule[_CheckedJwt, JwtPolicy]]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", rules_for(self, JWT))


def find_verified_flow(
    token: Secret[str],
    policy: JwtPolicy,
    cached: SizedLRU[VerifiedJwt],
    signer: CacheSigner,
    *,
    fresh: bool,
    cache: str | None,
    trace: Trace | None = None,
) -> Flow[VerifiedJwt]:
    """Verify ``token``, or use a cached result if its key is still valid. The audience is checked each time.

    Raises:
        InvalidTokenError, TemporarilyUnavailableError: see `verify_flow`.
    """
    digest = signer.digest(token)
    known = None if fresh else cached.get(digest)
    if known is not None and (
        policy.keys.is_settled(known.key) or (yield from policy.keys.is_current_flow(known.key, cache))
    ):
        # The lifetime is checked later with the scopes, as for a token that is verified now.
        if policy.audiences is not None and policy.audiences is not known.audiences:
            reason = first_failure((AUDIENCE,), CheckedClaims(policy, known.claims), trace)
            if reason is not None:
                raise InvalidTokenError(reason=reason)
        known.is_known = True
        return known
    try:
        verified = yield from verify_flow(token, policy, cache, trace)
    except InvalidTokenError:
        cached.discard(digest)
        raise
    cached.put(digest, verified)
    return verified


def verify_flow(
    token: Secret[str], policy: JwtPolicy, cache: str | None, trace: Trace | None = None
) -> Flow[VerifiedJwt]:
    """Verify ``token`` by the rules of `JWT`. Rules without network access come first, and the signature last.

    Raises:
        InvalidTokenError: the token is invalid.
        TemporarilyUnavailableError: the keys are not available.
    """
    checked = _CheckedJwt(policy, token=token, cache=cache)
    reason = yield from walk_flow(policy.rules, checked, trace)
    if reason is not None:
        raise error_of(reason)
    claims, profile = checked.claims, policy.profile
    expires_at: Any = claims.get("exp")
    return VerifiedJwt(
        dict(checked.header),
        claims,
        read_scope(profile, claims),
        read_client(profile, claims),
        policy.audiences,
        checked.key,
        # Only a validator that checks the lifetime itself gets here with another `exp` than a number.
        expires_at + policy.leeway if is_time(expires_at) else math.inf,
        checked.lifetime,
    )


@dataclass(slots=True)
class _CheckedJwt(CheckedClaims[JwtPolicy]):
    """The subject of the rules of `JWT`."""

    token: Secret[str] = field(kw_only=True)
    cache: str | None = field(kw_only=True)
    jwt: Jwt = field(init=False, repr=False)
    candidates: Sequence[VerificationKey] = field(init=False, repr=False)
    key: str = field(init=False)


def _read(checked: _CheckedJwt) -> Reason | None:
    jwt = parse_jwt(checked.token)
    if isinstance(jwt, Reason):
        return jwt
    checked.jwt, checked.header, checked.claims = jwt, jwt.header, jwt.claims
    return None


def _find_key_flow(checked: _CheckedJwt) -> Flow[Reason | None]:
    policy, jwt = checked.policy, checked.jwt
    if policy.get_jwks is None:
        # Most keys are here already. To find that out in a flow would take longer.
        checked.candidates = choose_keys(policy.keys.settled_keys, jwt) or (
            yield from policy.keys.matching_keys_flow(jwt, checked.cache)
        )
    else:
        checked.candidates = choose_keys(import_called_keys((yield Call(policy.get_jwks, ())), policy.algorithms), jwt)
    return None if checked.candidates else Reason.UNKNOWN_KEY


def _check_signature(checked: _CheckedJwt) -> Reason | None:
    key = verify_signature(checked.jwt, checked.candidates)
    if key is None:
        return Reason.BAD_SIGNATURE
    checked.key = key.identity
    return None


def _check_issuer_by_hook_flow(checked: _CheckedJwt) -> Flow[Reason | None]:
    validate_iss: Any = checked.policy.validate_iss
    # Pass a copy, because the hook may change the claims, and the result is cached.
    claims = own_copy(checked.claims)
    is_issuer = yield Call(validate_iss, (claims, claims.get("iss")))
    check_returned(validate_iss, is_issuer, bool)
    return None if is_issuer else Reason.WRONG_ISSUER


JWT: Sequence[Rule[Any, Any]] = (
    Rule("a signed JWT that can be read in one way", _read),
    *HEADER_AND_CLAIMS,
    Rule("key of the issuer", _find_key_flow, is_flow=True),
    Rule("signature", _check_signature),
    # As with Authlib, call the hook only after the signature was verified.
    Rule(
        "issuer, by validate_iss()",
        _check_issuer_by_hook_flow,
        applies=lambda policy: policy.validate_iss is not None,
        is_flow=True,
    ),
)
"""The rules for verifying a JWT (RFC 9068 §4)."""
