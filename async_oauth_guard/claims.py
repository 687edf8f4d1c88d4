"""The rules for claims of JWTs and of introspection answers, one function each, named after what it looks at.

A rule returns why the token is no good, or ``None``. None of them raises, whatever the claims hold, so no traceback
has claims in it.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .errors import Reason
from .profiles import FORBIDDEN_TYPES, Profile

__all__ = [
    "check_audience",
    "check_authorization_details",
    "check_early",
    "check_issuer",
    "check_kind",
    "check_required",
    "check_times",
    "check_type",
    "check_unbound",
    "media_subtype",
]

# How many seconds the server's clock may be ahead of ours. It is not for `leeway` to say: who sets that to zero
# would refuse tokens for being fresh.
_LARGEST_LEAD = 60
# An integer above it is of no use in arithmetic: it would be an OverflowError.
_LARGEST_TIME = sys.float_info.max


def check_early(
    profile: Profile,
    typ: Any,
    claims: Mapping[str, Any],
    *,
    issuer: str | None,
    audiences: Collection[str] | None,
    now: float,
    leeway: float,
    judges_times: bool,
) -> Reason | None:
    """All rules that need no key: a token that cannot be valid costs no network.

    Without an ``issuer``, without ``audiences`` and with ``judges_times=False`` these are not checked: the caller has
    somebody else for it, or has been told not to.
    """
    return (
        check_type(profile, typ)
        or check_kind(profile, claims)
        or check_required(profile, claims)
        or (None if issuer is None else check_issuer(claims, issuer))
        or (None if audiences is None else check_audience(claims, audiences, profile.audience))
        or (check_times(claims, now, leeway=leeway, required=True) if judges_times else None)
        or check_unbound(claims)
        or check_authorization_details(claims)
    )


def check_type(profile: Profile, typ: Any) -> Reason | None:
    """The header parameter ``typ`` is that of an access token, ``application/`` being optional (RFC 7515 §4.1.9)."""
    if typ is None:
        return None if profile.accepts_no_type else Reason.WRONG_TYPE
    if not isinstance(typ, str):
        return Reason.WRONG_TYPE
    media_type = media_subtype(typ)
    if media_type in FORBIDDEN_TYPES:
        return Reason.WRONG_TYPE
    return None if profile.any_type or media_type in profile.types else Reason.WRONG_TYPE


def media_subtype(typ: str) -> str:
    """The header parameter ``typ`` as it is compared: without ``application/``, which is optional (RFC 7515 §4.1.9)."""
    # RFC 2045 §5.1: media types are compared without regard to case.
    return typ.lower().removeprefix("application/")


def check_kind(profile: Profile, claims: Mapping[str, Any]) -> Reason | None:
    """The token has no claim of another kind of JWT (RFC 8725 §3.12), where ``typ`` does not tell."""
    return None if profile.forbidden.isdisjoint(claims) else Reason.WRONG_TYPE


def check_required(profile: Profile, claims: Mapping[str, Any]) -> Reason | None:
    """The claims that make an access token are there, and what names somebody or something is a string."""
    for name in profile.required:
        if claims.get(name) is None:
            return Reason.MISSING_CLAIM
    for group in profile.required_any:
        if all(claims.get(name) is None for name in group):
            return Reason.MISSING_CLAIM
    for name, value in profile.fixed.items():
        if claims.get(name) != value:
            return Reason.WRONG_CLAIM
    for name in profile.formed:
        if not _is_well_formed(name, claims.get(name)):
            return Reason.MALFORMED_CLAIM
    return None


def check_issuer(claims: Mapping[str, Any], issuer: str) -> Reason | None:
    """``iss`` is ``issuer``, code point by code point."""
    claimed = claims.get("iss")
    if claimed is None:
        return Reason.MISSING_CLAIM
    # RFC 9068 §4: "The issuer identifier for the authorization server (which is typically obtained during discovery)
    # MUST exactly match the value of the 'iss' claim."
    return None if isinstance(claimed, str) and claimed == issuer else Reason.WRONG_ISSUER


def check_audience(claims: Mapping[str, Any], accepted: Collection[str], claim: str = "aud") -> Reason | None:
    """``aud`` is one of ``accepted``, or an array of strings with one of them in it (RFC 7519 §4.1.3)."""
    audience = claims.get(claim)
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(map(_is_string, audiences)):
        return Reason.WRONG_AUDIENCE
    for each in accepted:
        # A list is looked into, not ``accepted``: within a string, `in` would find parts.
        if each in audiences:
            return None
    return Reason.WRONG_AUDIENCE


def check_times(claims: Mapping[str, Any], now: float, *, leeway: float, required: bool) -> Reason | None:
    """``exp``, ``nbf`` and ``iat`` allow the token to be used ``now``. ``required`` asks for ``exp``."""
    expires_at, valid_from, issued_at = claims.get("exp"), claims.get("nbf"), claims.get("iat")
    if expires_at is None:
        if required:
            return Reason.MISSING_CLAIM
    elif not _is_time(expires_at):
        return Reason.MALFORMED_CLAIM
    # RFC 7519 §4.1.4: "the expiration time on or after which the JWT MUST NOT be accepted for processing"
    elif expires_at <= now - leeway:
        return Reason.EXPIRED
    if valid_from is not None:
        if not _is_time(valid_from):
            return Reason.MALFORMED_CLAIM
        # RFC 7519 §4.1.5: "the time before which the JWT MUST NOT be accepted for processing"
        if valid_from > now + leeway:
            return Reason.NOT_YET_VALID
    if issued_at is not None:
        if not _is_time(issued_at):
            return Reason.MALFORMED_CLAIM
        if issued_at > now + _LARGEST_LEAD:
            return Reason.ISSUED_IN_FUTURE
    return None


def check_unbound(claims: Mapping[str, Any]) -> Reason | None:
    """The token is a bearer token: it asks for no proof of possession, which nobody here would check."""
    # RFC 8705 §3, RFC 9449 §7.2: it names a certificate or a key; such a token must not pass for a bearer token.
    if claims.get("cnf") is not None:
        return Reason.SENDER_CONSTRAINED
    token_type = claims.get("token_type")
    # RFC 6749 §5.1: the value is case-insensitive.
    if token_type is None or (isinstance(token_type, str) and token_type.lower() == "bearer"):
        return None
    return Reason.SENDER_CONSTRAINED


def check_authorization_details(claims: Mapping[str, Any]) -> Reason | None:
    """``authorization_details`` is an array of objects that each name their ``type`` (RFC 9396 §2), where it is there.

    What they ask for is not looked at.
    """
    details = claims.get("authorization_details")
    if details is None or (isinstance(details, list) and all(map(_has_type, details))):
        return None
    return Reason.MALFORMED_CLAIM


def _has_type(detail: Any) -> bool:
    return isinstance(detail, Mapping) and _is_name(detail.get("type"))


def _is_well_formed(name: str, value: Any) -> bool:
    return value is None or _FORMS.get(name, _is_name)(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_time(value: Any) -> bool:
    # RFC 7519 §2: a JSON number, not necessarily an integer. A NaN is in no range.
    return type(value) in (int, float) and 0 <= value <= _LARGEST_TIME


def _is_audience(value: Any) -> bool:
    return _is_name(value) or (isinstance(value, list) and value != [] and all(map(_is_name, value)))


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


_FORMS: Mapping[str, Callable[[Any], bool]] = {"aud": _is_audience, "exp": _is_time, "iat": _is_time}
