"""Writes ``WWW-Authenticate`` (RFC 9110 §11.6.1, RFC 6750 §3). No other module does."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import (
    AccessDeniedError,
    GuardError,
    InsufficientUserAuthenticationError,
    MissingAuthorizationError,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
)
from .credentials import TOKEN

__all__ = [
    "DEFAULT_REALM",
    "Protection",
    "UnfitParameterError",
    "check_parameters",
    "has_challenge",
    "misleading_parameters",
    "quoted",
    "write_challenges",
]

DEFAULT_REALM = "api"

# As the RFCs spell them. Schemes are compared without regard to case.
_NAMES = {"bearer": "Bearer", "dpop": "DPoP"}
# We write these ourselves (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3). RFC 6750: they must not appear more than once.
_OWN_PARAMETERS = frozenset(
    {"realm", "scope", "error", "error_description", "error_uri", "algs", "acr_values", "max_age"}
)
# The parameters that clients extract with regular expressions, from anywhere in the header.
_SOUGHT = re.compile(r"(?:scope|error|resource_metadata)=", re.IGNORECASE)
# RFC 9110 §5.6.4 without the tab and without obs-text, because clients disagree on how to read these.
_QUOTABLE = re.compile(r"[\x20-\x7E]*")
# RFC 6750 §3
_UNDESCRIBABLE = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")


class UnfitParameterError(ValueError):
    """A parameter that is not allowed in a challenge."""


@dataclass(frozen=True, slots=True)
class Protection:
    """A supported auth-scheme, with its realm (the protection space, RFC 9110 §11.5) and extra parameters."""

    scheme: str
    realm: str | None
    attributes: Mapping[str, Any]


def check_parameters(realm: str | None, attributes: Mapping[str, Any]) -> None:
    """Check that a challenge can contain this realm and these attributes.

    Raises:
        UnfitParameterError: a value is not allowed in a quoted string, or a name is reserved, repeated or not a token.
    """
    for name, value in {"realm": realm or "", **attributes}.items():
        if not _QUOTABLE.fullmatch(str(value)):
            raise UnfitParameterError(f"{name} must be printable ASCII, because it is part of the challenge")
    taken = set(_OWN_PARAMETERS)
    for name in attributes:
        if not TOKEN.fullmatch(name):
            raise UnfitParameterError(f"{name!r} is not a valid parameter name for a challenge (RFC 9110 §5.6.2)")
        if name.lower() in taken:
            raise UnfitParameterError(f"{name!r} would appear in the challenge twice (RFC 9110 §11.2, RFC 6750 §3)")
        taken.add(name.lower())


def misleading_parameters(realm: str | None, attributes: Mapping[str, Any]) -> list[str]:
    """The parameters that a client may find in this text, if it searches the header instead of parsing it."""
    parameters = {"realm": realm or "", **attributes}
    return [name for name, value in parameters.items() if _SOUGHT.search(f"{name}={value}")]


def quoted(value: object) -> str:
    """``value`` as a quoted-string (RFC 9110 §5.6.4), including the quotes."""
    text = str(value)
    return '"' + (re.sub(r'(["\\])', r"\\\1", text) if '"' in text or "\\" in text else text) + '"'


def has_challenge(error: GuardError) -> bool:
    """Whether the response has a challenge: only if other credentials would help the client."""
    # RFC 9110 §15.5.2: a 401 must have one, also if a hook chose this status.
    return error.status_code == 401 or not isinstance(error, AccessDeniedError | TemporarilyUnavailableError)


def write_challenges(protections: Iterable[Protection], error: GuardError) -> str | None:
    """The header's value for ``error``: a challenge for each scheme, or ``None`` if the response needs none.

    The error code is in the challenge of the scheme that the client used, or in all challenges if the request does not
    show the scheme (RFC 9449 §7.2). The scopes are in all of them.
    """
    if not has_challenge(error):
        return None
    # Some clients read only the first challenge, and most support only Bearer.
    in_order = sorted(protections, key=lambda protection: protection.scheme != "bearer")
    lines = [_write_challenge(protection, error, error.scheme in (None, protection.scheme)) for protection in in_order]
    return ", ".join(lines) or None


def _step_up_parameters(error: GuardError) -> dict[str, object]:
    """RFC 9470 §3: what the client must request from the authorization server."""
    if not isinstance(error, InsufficientUserAuthenticationError):
        return {}
    acr_values = _UNDESCRIBABLE.sub("?", " ".join(error.acr_values))
    max_age = None if error.max_age is None else int(error.max_age)
    return {
        name: value for name, value in (("acr_values", acr_values), ("max_age", max_age)) if value not in ("", None)
    }


def _write_challenge(protection: Protection, error: GuardError, concerned: bool) -> str:
    parameters: dict[str, object] = {"realm": protection.realm or DEFAULT_REALM, **protection.attributes}
    # Clients request offline_access from the authorization server. It gives no access to a resource.
    scope = [name for name in error.scope if name != "offline_access"]
    if scope:
        parameters["scope"] = " ".join(scope)
    # RFC 6750 §3.1: without authentication information "the resource server SHOULD NOT include an error code".
    if concerned and not isinstance(error, MissingAuthorizationError | UnsupportedTokenTypeError):
        parameters["error"] = error.error
        parameters["error_description"] = _UNDESCRIBABLE.sub("?", str(error.description or ""))
        parameters |= _step_up_parameters(error)
    scheme = _NAMES.get(protection.scheme, protection.scheme)
    return f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
