"""A JWT access token (RFC 9068 §4): from string to verified claims, or to what was verified of it before."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..claims import check_audience, check_early
from ..credentials import Secret
from ..effects import Call, Flow
from ..errors import InvalidTokenError, Reason
from ..jose import Jwt, VerificationKey, choose_keys, parse_jwt, verify_signature
from ..profiles import Profile, read_client, read_scope
from ..scopes import own_copy
from .caching import Memory, Vault
from .clock import Clock
from .keysets import KeySource, import_called_keys

__all__ = ["JwtRules", "VerifiedJwt", "find_verified_flow", "verify_flow"]

# What an entry takes beside the claims, which are about as long as the token.
_OVERHEAD = 800


@dataclass(frozen=True, slots=True)
class VerifiedJwt:
    """A token whose signature was verified with a key that was the server's then. Everybody's: nobody may change it.

    ``audiences`` is what its audience was compared with.
    """

    header: dict[str, Any]
    claims: Mapping[str, Any] = field(repr=False)
    scope: Any
    client_id: str | None
    audiences: Collection[str] | None
    key: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRules:
    """What a validator asks of a token, for one request.

    Attributes:
        audiences: who we are, or ``None`` where that is not checked.
        issuer: whose token it has to be; ``None`` where ``validate_iss``, a hook of the validator's author, tells.
        judges_times: whether lifetime is judged here, and not by a hook.
        get_jwks: a hook that gives the keys, in place of ``keys``.
    """

    profile: Profile
    algorithms: Collection[str]
    issuer: str | None
    audiences: Collection[str] | None
    leeway: float
    judges_times: bool
    keys: KeySource
    clock: Clock
    get_jwks: Callable[..., Any] | None
    validate_iss: Callable[..., Any] | None


def find_verified_flow(
    token: Secret[str], rules: JwtRules, memory: Memory[VerifiedJwt], vault: Vault, *, fresh: bool, cache: str | None
) -> Flow[VerifiedJwt]:
    """``token``, verified now, or earlier with a key that still serves; the audience is judged each time.

    Raises: as `verify_flow` does.
    """
    digest = vault.digest(token)
    known = None if fresh else memory.get(digest)
    if known is not None and (yield from rules.keys.still_holds_flow(known.key, cache)):
        # Lifetime is judged with the scopes, as for a token that is verified now.
        if rules.audiences is not None and rules.audiences is not known.audiences:
            _refuse(check_audience(known.claims, rules.audiences, rules.profile.audience))
        return known
    try:
        verified = yield from verify_flow(token, rules, cache)
    except InvalidTokenError:
        memory.discard(digest)
        raise
    memory.put(digest, verified)
    return verified


def verify_flow(token: Secret[str], rules: JwtRules, cache: str | None) -> Flow[VerifiedJwt]:
    """Form, algorithm and claims first, since they cost no network; then the key, and the signature last.

    Raises:
        InvalidTokenError: it is no good.
        TemporarilyUnavailableError: the keys to tell are not to be had.
    """
    jwt = parse_jwt(token)
    if isinstance(jwt, Reason):
        raise InvalidTokenError(reason=jwt)
    _refuse(_check_unverified(jwt, rules))
    candidates = yield from _candidates_flow(jwt, rules, cache)
    if not candidates:
        raise InvalidTokenError(reason=Reason.UNKNOWN_KEY)
    key = verify_signature(jwt, candidates)
    if key is None:
        raise InvalidTokenError(reason=Reason.BAD_SIGNATURE)
    # As with Authlib, a hook sees signed claims only.
    if rules.validate_iss is not None:
        # A copy, since what it does to them is not to be remembered.
        its_claims = own_copy(jwt.claims)
        if not (yield Call(rules.validate_iss, (its_claims, its_claims.get("iss")))):
            raise InvalidTokenError(reason=Reason.WRONG_ISSUER)
    return VerifiedJwt(
        dict(jwt.header),
        jwt.claims,
        read_scope(rules.profile, jwt.claims),
        read_client(rules.profile, jwt.claims),
        rules.audiences,
        key.identity,
        len(token.reveal()) + _OVERHEAD,
    )


def _check_unverified(jwt: Jwt, rules: JwtRules) -> Reason | None:
    # RFC 8725 §3.1: "only use algorithms from" the caller's own list.
    if jwt.algorithm not in rules.algorithms:
        return Reason.UNSUPPORTED_ALGORITHM
    return check_early(
        rules.profile,
        jwt.type,
        jwt.claims,
        issuer=rules.issuer,
        audiences=rules.audiences,
        now=rules.clock.wall(),
        leeway=rules.leeway,
        judges_times=rules.judges_times,
    )


def _candidates_flow(jwt: Jwt, rules: JwtRules, cache: str | None) -> Flow[Sequence[VerificationKey]]:
    if rules.get_jwks is None:
        return (yield from rules.keys.candidates_flow(jwt, cache))
    return choose_keys(import_called_keys((yield Call(rules.get_jwks, ())), rules.algorithms), jwt)


def _refuse(reason: Reason | None) -> None:
    if reason is not None:
        raise InvalidTokenError(reason=reason)
