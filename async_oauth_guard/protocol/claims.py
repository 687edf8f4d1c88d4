"""Checks of the claims of JWTs and introspection responses, and the tables of rules in which they run.

A check returns the `Reason` why the token is invalid, or ``None``. It never raises, whatever the claims contain, so
claims never appear in a traceback.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from ..errors import Reason
from .clock import Clock
from .provider_profiles import ACCESS_TOKEN_USES, FORBIDDEN_TYPES, OTHER_KINDS, Profile
from .rules import Rule

__all__ = [
    "LARGEST_LEAD",
    "AUDIENCE",
    "CLAIMS",
    "HEADER_AND_CLAIMS",
    "TIMES",
    "ClaimPolicy",
    "CheckedClaims",
    "Lifetime",
    "check_audience",
    "check_authorization_details",
    "check_issuer",
    "check_kind",
    "check_required",
    "check_times",
    "check_token_type",
    "check_type",
    "check_use",
    "is_time",
    "lifetime_under",
    "media_subtype",
    "read_lifetime",
    "read_seconds",
]

# How many seconds the server's clock may be ahead of the clock here. This does not depend on `leeway`, because with a
# leeway of zero, new tokens would be refused.
LARGEST_LEAD = 60
# Arithmetic with a larger integer and a float raises OverflowError.
_LARGEST_TIME = sys.float_info.max


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPolicy:
    """What a validator requires of claims.

    Attributes:
        profile: the form of the server's tokens.
        algorithms: the accepted values of ``alg``.
        issuer: the required ``iss``, or ``None`` if the rules do not check it.
        audiences: the identifiers of this resource server, one of which must be in ``aud``, or ``None`` if the rules do
            not check it.
        leeway: seconds by which clocks may differ.
        checks_times: whether the rules check the lifetime. Otherwise a hook checks it.
        is_jwt: whether ``iss`` and ``exp`` must be present, as in a JWT.
    """

    profile: Profile
    algorithms: Collection[str] = ()
    issuer: Any
    audiences: Collection[str] | None
    leeway: float = 0.0
    clock: Clock
    checks_times: bool = True
    is_jwt: bool = True


C = TypeVar("C", bound=ClaimPolicy)


# There is one for each request. Creating a frozen instance would take four times as long.
@dataclass(slots=True)
class CheckedClaims(Generic[C]):
    """The subject of the rules: a token's claims, its JOSE header, and the policy.

    ``lifetime`` is the one that the claims give. The rule for it reads it if it is not known yet.
    """

    policy: C
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    header: Mapping[str, Any] = field(default_factory=dict)
    lifetime: "Lifetime | Reason | None" = None


def check_type(profile: Profile, typ: Any) -> Reason | None:
    """The ``typ`` header must be the type of an access token. ``application/`` is optional (RFC 7515 §4.1.9)."""
    if typ is None:
        return None if profile.accepts_no_type else Reason.WRONG_TYPE
    if not isinstance(typ, str):
        return Reason.WRONG_TYPE
    media_type = media_subtype(typ)
    if media_type in FORBIDDEN_TYPES:
        return Reason.WRONG_TYPE
    return None if profile.any_type or media_type in profile.types else Reason.WRONG_TYPE


def media_subtype(typ: str) -> str:
    """The ``typ`` header for comparison: in lower case and without ``application/`` (RFC 7515 §4.1.9)."""
    # RFC 2045 §5.1: media types are compared without regard to case.
    return typ.lower().removeprefix("application/")


def check_kind(profile: Profile, claims: Mapping[str, Any]) -> Reason | None:
    """The token must not have a claim that only another kind of JWT has (RFC 8725 §3.12)."""
    return None if profile.forbidden.isdisjoint(claims) else Reason.WRONG_TYPE


def check_required(profile: Profile, claims: Mapping[str, Any]) -> Reason | None:
    """The claims that the profile requires must be present and have the right type."""
    fault: Reason | None = None
    for name in profile.formed:
        value = claims.get(name)
        if value is None:
            if name in profile.required:
                return Reason.MISSING_CLAIM
        elif not _FORMS.get(name, _is_name)(value):
            # Claims that are missing are reported first.
            fault = Reason.MALFORMED_CLAIM
    for group in profile.required_any:
        if all(claims.get(name) is None for name in group):
            return Reason.MISSING_CLAIM
    for name, value in profile.fixed.items():
        if claims.get(name) != value:
            return Reason.WRONG_CLAIM
    return fault


def check_issuer(claims: Mapping[str, Any], issuer: str) -> Reason | None:
    """``iss`` must be exactly ``issuer``, code point by code point."""
    claimed = claims.get("iss")
    if claimed is None:
        return Reason.MISSING_CLAIM
    # RFC 9068 §4: "The issuer identifier for the authorization server (which is typically obtained during discovery)
    # MUST exactly match the value of the 'iss' claim."
    return None if isinstance(claimed, str) and claimed == issuer else Reason.WRONG_ISSUER


def check_audience(claims: Mapping[str, Any], accepted: Collection[str], claim: str = "aud") -> Reason | None:
    """``aud`` must be one of ``accepted``, or an array of strings that contains one of them (RFC 7519 §4.1.3)."""
    audience = claims.get(claim)
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        return Reason.WRONG_AUDIENCE
    for each in accepted:
        # `accepted` may be a string, and `in` would find a part of it. `audiences` is always a list.
        if each in audiences:
            return None
    return Reason.WRONG_AUDIENCE


# Not frozen, because one is created for each new token.
@dataclass(slots=True)
class Lifetime:
    """When a token may be used. The times are those of its claims ``exp``, ``nbf`` and ``iat``.

    ``leeway``: seconds by which clocks may differ, for ``exp`` and ``nbf``.
    """

    expires_at: float | None
    valid_from: float | None
    issued_at: float | None
    leeway: float

    def check(self, now: float) -> Reason | None:
        """The token may be used ``now``, in seconds since the epoch."""
        # RFC 7519 §4.1.4: "the expiration time on or after which the JWT MUST NOT be accepted for processing"
        if self.expires_at is not None and self.expires_at <= now - self.leeway:
            return Reason.EXPIRED
        # RFC 7519 §4.1.5: "the time before which the JWT MUST NOT be accepted for processing"
        if self.valid_from is not None and self.valid_from > now + self.leeway:
            return Reason.NOT_YET_VALID
        if self.issued_at is not None and self.issued_at > now + LARGEST_LEAD:
            return Reason.ISSUED_IN_FUTURE
        return None


def read_lifetime(claims: Mapping[str, Any], *, leeway: float, required: bool) -> Lifetime | Reason:
    """The lifetime that ``exp``, ``nbf`` and ``iat`` give, or why the token is invalid. See `check_times`."""
    expires_at, valid_from, issued_at = claims.get("exp"), claims.get("nbf"), claims.get("iat")
    if expires_at is None and required:
        return Reason.MISSING_CLAIM
    for time in (expires_at, valid_from, issued_at):
        if time is not None and not is_time(time):
            return Reason.MALFORMED_CLAIM
    return Lifetime(expires_at, valid_from, issued_at, leeway)


def check_times(claims: Mapping[str, Any], now: float, *, leeway: float, required: bool) -> Reason | None:
    """``exp``, ``nbf`` and ``iat`` must allow the token to be used ``now``, in seconds since the epoch.

    Args:
        leeway: seconds by which clocks may differ, for ``exp`` and ``nbf``.
        required: whether ``exp`` must be present.
    """
    lifetime = read_lifetime(claims, leeway=leeway, required=required)
    return lifetime.check(now) if isinstance(lifetime, Lifetime) else lifetime


def check_use(claims: Mapping[str, Any]) -> Reason | None:
    """The claims must not say that the token is another kind of token, such as a refresh token or an ID token."""
    use = claims.get("token_use")
    if use is not None and not (isinstance(use, str) and use.lower() in ACCESS_TOKEN_USES):
        return Reason.WRONG_TYPE
    is_other = _is_other_kind(claims.get("token_type")) or _is_other_kind(claims.get("typ"))
    return Reason.WRONG_TYPE if is_other else None


def _is_other_kind(name: Any) -> bool:
    if not isinstance(name, str):
        return name is not None
    kind = media_subtype(name)
    # RFC 8725 §3.11: JWTs of other kinds have an explicit type.
    return kind in OTHER_KINDS or (kind.endswith("+jwt") and kind != "at+jwt")


def check_token_type(claims: Mapping[str, Any]) -> Reason | None:
    """``token_type``, if present, must be the name of a scheme that a guard supports: ``Bearer`` or ``DPoP``.

    Whether the request may present the token with its scheme is checked on each request; see `confirmation`.
    """
    token_type = claims.get("token_type")
    # RFC 6749 §5.1: the value is case-insensitive.
    if token_type is None or (isinstance(token_type, str) and token_type.lower() in ("bearer", "dpop")):
        return None
    return Reason.SENDER_CONSTRAINED


def check_authorization_details(claims: Mapping[str, Any]) -> Reason | None:
    """``authorization_details``, if present, must be an array of objects that each have a ``type`` (RFC 9396 §2).

    What the objects grant is not checked.
    """
    details = claims.get("authorization_details")
    if details is None or (isinstance(details, list) and all(map(_has_type, details))):
        return None
    return Reason.MALFORMED_CLAIM


def _has_type(detail: Any) -> bool:
    return isinstance(detail, Mapping) and _is_name(detail.get("type"))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def read_seconds(value: Any) -> float | None:
    """A time of a token in seconds since the epoch. A row may have it as a ``datetime``. ``None`` if it is no time."""
    if isinstance(value, datetime):
        try:
            return value.timestamp()
        except (OverflowError, ValueError):
            # A local time at the end of the calendar, for a row that never expires, is later than any time in UTC. One
            # at the beginning is earlier.
            return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def is_time(value: Any) -> bool:
    """Whether ``value`` is a time as claims contain it: a finite number that is not negative."""
    # RFC 7519 §2: a JSON number, not necessarily an integer. `bool` is excluded, and NaN fails the comparison.
    return type(value) in (int, float) and 0 <= value <= _LARGEST_TIME


def _is_audience(value: Any) -> bool:
    return _is_name(value) or (isinstance(value, list) and value != [] and all(map(_is_name, value)))


_FORMS: Mapping[str, Callable[[Any], bool]] = {"aud": _is_audience, "exp": is_time, "iat": is_time}


# --- The tables ---


def _check_algorithm(checked: CheckedClaims[Any]) -> Reason | None:
    # RFC 8725 §3.1: "only use algorithms from" the caller's own list.
    return None if checked.header["alg"] in checked.policy.algorithms else Reason.UNSUPPORTED_ALGORITHM


def _check_kind_of_jwt(checked: CheckedClaims[Any]) -> Reason | None:
    profile = checked.policy.profile
    return check_type(profile, checked.header.get("typ")) or check_kind(profile, checked.claims)


def _check_issuer(checked: CheckedClaims[Any]) -> Reason | None:
    policy = checked.policy
    return check_issuer(checked.claims, policy.issuer) if policy.is_jwt or "iss" in checked.claims else None


def _check_audience(checked: CheckedClaims[Any]) -> Reason | None:
    policy = checked.policy
    return check_audience(checked.claims, policy.audiences or (), policy.profile.audience)


def lifetime_under(policy: ClaimPolicy, claims: Mapping[str, Any]) -> Lifetime | Reason:
    """The lifetime of a token as ``policy`` counts it, or why the token is invalid."""
    return read_lifetime(claims, leeway=policy.leeway, required=policy.is_jwt)


def _check_times(checked: CheckedClaims[Any]) -> Reason | None:
    lifetime = checked.lifetime
    if lifetime is None:
        lifetime = checked.lifetime = lifetime_under(checked.policy, checked.claims)
    return lifetime.check(checked.policy.clock.wall()) if isinstance(lifetime, Lifetime) else lifetime


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


TIMES: Rule[CheckedClaims[Any], ClaimPolicy] = Rule(
    "times",
    _check_times,
    applies=lambda policy: policy.checks_times,
    asks_for=lambda policy: f"it is {datetime.fromtimestamp(policy.clock.wall(), UTC):%Y-%m-%dT%H:%M:%SZ}",
)

AUDIENCE: Rule[CheckedClaims[Any], ClaimPolicy] = Rule(
    "audience",
    _check_audience,
    applies=lambda policy: policy.audiences is not None,
    asks_for=lambda policy: f"{policy.profile.audience} has {_either(policy.audiences or ())}",
)

CLAIMS: Sequence[Rule[CheckedClaims[Any], ClaimPolicy]] = (
    Rule(
        "issuer",
        _check_issuer,
        applies=lambda policy: policy.issuer is not None,
        asks_for=lambda policy: f"iss is {policy.issuer}",
    ),
    AUDIENCE,
    TIMES,
    Rule("is not called another kind of token", lambda checked: check_use(checked.claims)),
    Rule("type of token", lambda checked: check_token_type(checked.claims)),
    Rule("authorization_details", lambda checked: check_authorization_details(checked.claims)),
)
"""The rules for the claims of every token."""

HEADER_AND_CLAIMS: Sequence[Rule[CheckedClaims[Any], ClaimPolicy]] = (
    Rule("algorithm", _check_algorithm, asks_for=lambda policy: f"alg is {_either(policy.algorithms)}"),
    Rule("type", _check_kind_of_jwt, asks_for=lambda policy: f"profile {policy.profile.name}"),
    Rule(
        "claims that make an access token",
        lambda checked: check_required(checked.policy.profile, checked.claims),
        asks_for=lambda policy: " ".join(policy.profile.required),
    ),
    *CLAIMS,
)
"""All rules for a JWT that need no key. They run first, so that invalid tokens cause no requests for keys."""
