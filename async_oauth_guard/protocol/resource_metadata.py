"""Protected resource metadata (RFC 9728): the document that tells clients which servers issue tokens for an API."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

__all__ = ["PARAMETER", "build_document", "check_members", "metadata_url"]

PARAMETER: Final = "resource_metadata"
"""RFC 9728 §5.1: the parameter of a challenge that holds the URL of the document."""

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_LISTS_OF_STRINGS = (
    "authorization_servers",
    "scopes_supported",
    "bearer_methods_supported",
    "resource_signing_alg_values_supported",
    "dpop_signing_alg_values_supported",
)
# RFC 9728 §2 forbids none. Clients request offline_access from the authorization server: it gives no access to an API.
_NEVER_LISTED: Mapping[str, str] = {
    "scopes_supported": "offline_access",
    "resource_signing_alg_values_supported": "none",
    "dpop_signing_alg_values_supported": "none",
}


def metadata_url(resource: str) -> str:
    """The URL of the document about ``resource``, an absolute URL (RFC 9728 §3.1)."""
    parts = urlsplit(resource)
    # RFC 9728 §3.1: a slash that ends the resource identifier's host component is removed.
    path = "" if parts.path == "/" else parts.path
    return urlunsplit((parts.scheme, parts.netloc, _WELL_KNOWN + path, parts.query, ""))


def check_members(members: Mapping[Any, Any]) -> None:
    """Check the members that override computed ones.

    Raises:
        TypeError: a member has the wrong type, or JSON cannot represent it.
        ValueError: a member is not allowed in the document.
    """
    for name, value in members.items():
        if not isinstance(name, str):
            raise TypeError(f"metadata must have strings as names of members, got {type(name).__name__}")
        if name in _LISTS_OF_STRINGS and value is not None:
            _check_list(name, value)
    if "resource" in members:
        # RFC 9728 §3.3: it must be identical to the resource identifier that the document's URL is made from.
        raise ValueError("metadata must not contain 'resource', because that is always the protector's resource")
    try:
        json.dumps(members, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"metadata must contain only values that JSON has: {error}") from None


def _check_list(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"metadata: {name} must be a list of strings, got {type(value).__name__}")
    if _NEVER_LISTED.get(name) in value:
        raise ValueError(f"metadata: {name} must not contain {_NEVER_LISTED[name]!r}")


def build_document(resource: str, computed: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The document. A member of ``overrides`` replaces the computed one, and ``None`` removes it."""
    members = {"resource": resource, **computed, **overrides}
    # RFC 9728 §3.2: parameters without a value must be omitted.
    return {name: value for name, value in members.items() if value not in (None, "", [], (), {})}
