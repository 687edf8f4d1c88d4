"""The one place that writes ``WWW-Authenticate`` (RFC 9110 §11.6.1, RFC 6750 §3)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .credentials import TOKEN
from .errors import GuardError, MissingAuthorizationError, TemporarilyUnavailableError, UnsupportedTokenTypeError

__all__ = ["DEFAULT_REALM", "Protection", "UnfitParameterError", "check_parameters", "quoted", "write_challenges"]

DEFAULT_REALM = "api"

# RFC 6750 §3: these must not appear more than once, and the challenge writes them itself.
_OWN_PARAMETERS = frozenset({"realm", "scope", "error", "error_description", "error_uri"})
# RFC 9110 §5.6.4 without the tab and without obs-text, which no two clients read alike.
_QUOTABLE = re.compile(r"[\x20-\x7E]*")
# RFC 6750 §3
_UNDESCRIBABLE = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")


class UnfitParameterError(ValueError):
    """A parameter that no challenge can carry."""


@dataclass(frozen=True, slots=True)
class Protection:
    """A scheme that is served, with its protection space (RFC 9110 §11.5) and further parameters."""

    scheme: str
    realm: str | None
    attributes: Mapping[str, Any]


def check_parameters(realm: str | None, attributes: Mapping[str, Any]) -> None:
    """Refuse what a challenge could not carry.

    Raises:
        UnfitParameterError: the realm or an attribute cannot stand in a quoted string, or a name is taken or no token.
    """
    for name, value in {"realm": realm or "", **attributes}.items():
        if not _QUOTABLE.fullmatch(str(value)):
            raise UnfitParameterError(f"{name}: a challenge holds printable ASCII only")
    taken = set(_OWN_PARAMETERS)
    for name in attributes:
        if not TOKEN.fullmatch(name):
            raise UnfitParameterError(f"{name!r} cannot be the name of a challenge's parameter (RFC 9110 §5.6.2)")
        if name.lower() in taken:
            raise UnfitParameterError(f"{name!r} would stand in the challenge twice (RFC 9110 §11.2, RFC 6750 §3)")
        taken.add(name.lower())


def quoted(value: object) -> str:
    """A quoted-string (RFC 9110 §5.6.4), with its quotes."""
    return '"' + re.sub(r'(["\\])', r"\\\1", str(value)) + '"'


def write_challenges(protections: Iterable[Protection], error: GuardError) -> str | None:
    """The field's value for ``error``: a challenge for each scheme, or ``None`` where none is due.

    The error stands in the challenge of the scheme that the client used, or in all where the request does not tell
    (RFC 9449 §7.2).
    """
    if isinstance(error, TemporarilyUnavailableError):
        # Nothing that the client could present would help.
        return None
    lines = [
        _write_challenge(protection, error, error.scheme in (None, protection.scheme)) for protection in protections
    ]
    return ", ".join(lines) or None


def _write_challenge(protection: Protection, error: GuardError, concerned: bool) -> str:
    parameters: dict[str, object] = {"realm": protection.realm or DEFAULT_REALM, **protection.attributes}
    # For clients to ask the authorization server for, not for a resource to need.
    scope = [name for name in error.scope if name != "offline_access"]
    if scope and concerned:
        parameters["scope"] = " ".join(scope)
    # RFC 6750 §3.1: without authentication information "the resource server SHOULD NOT include an error code".
    if concerned and not isinstance(error, MissingAuthorizationError | UnsupportedTokenTypeError):
        parameters["error"] = error.error
        parameters["error_description"] = _UNDESCRIBABLE.sub("?", str(error.description or ""))
    scheme = "Bearer" if protection.scheme == "bearer" else protection.scheme
    return f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
