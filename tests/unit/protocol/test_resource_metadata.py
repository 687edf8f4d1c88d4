"""The URL and the document of protected resource metadata (RFC 9728)."""

from typing import Any

import pytest

from async_oauth_guard.protocol.resource_metadata import build_document, check_members, metadata_url

URLS = [
    ("https://h", "https://h/.well-known/oauth-protected-resource"),
    ("https://h/", "https://h/.well-known/oauth-protected-resource"),
    ("https://h/r1", "https://h/.well-known/oauth-protected-resource/r1"),
    ("https://h/r1/", "https://h/.well-known/oauth-protected-resource/r1/"),
    ("https://h:8443/a/b%20c", "https://h:8443/.well-known/oauth-protected-resource/a/b%20c"),
    ("https://h/r1?k=v", "https://h/.well-known/oauth-protected-resource/r1?k=v"),
    ("https://h/?k=v", "https://h/.well-known/oauth-protected-resource?k=v"),
    ("https://h?k=v", "https://h/.well-known/oauth-protected-resource?k=v"),
    # R117
    ("HTTPS://MCP.example.com", "https://MCP.example.com/.well-known/oauth-protected-resource"),
]


@pytest.mark.parametrize(("resource", "url"), URLS)
def test_url(resource: str, url: str) -> None:
    """R109: the well-known path stands between the host and the path of the resource, and the query is kept."""
    assert metadata_url(resource) == url


REFUSED: list[tuple[Any, type[Exception], str]] = [
    ({1: "x"}, TypeError, "metadata must have strings as names of members, got int"),
    ({"resource": "https://h"}, ValueError, "metadata must not contain 'resource'"),
    ({"scopes_supported": ["a", "offline_access"]}, ValueError, "must not contain 'offline_access'"),
    ({"scopes_supported": "a b"}, TypeError, "scopes_supported must be a list of strings, got str"),
    ({"scopes_supported": [1]}, TypeError, "scopes_supported must be a list of strings"),
    ({"authorization_servers": "https://as"}, TypeError, "authorization_servers must be a list of strings, got str"),
    ({"x": {1, 2}}, TypeError, "metadata must contain only values that JSON has"),
    ({"x": float("nan")}, ValueError, "metadata must contain only values that JSON has"),
    ({"dpop_signing_alg_values_supported": ["none"]}, ValueError, "must not contain 'none'"),
    ({"resource_signing_alg_values_supported": ["none"]}, ValueError, "must not contain 'none'"),
]


@pytest.mark.parametrize(("members", "kind", "said"), REFUSED)
def test_refused_members(members: Any, kind: type[Exception], said: str) -> None:
    """R24, R112: an override that would make the document wrong is refused when it is configured."""
    with pytest.raises(kind) as caught:
        check_members(members)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"scopes_supported": None},
        {"authorization_servers": ("https://as",), "resource_name": "Reports", "x": {"y": [1, True, None]}},
    ],
)
def test_accepted_members(members: Any) -> None:
    """Any other member is accepted, and ``None`` removes a computed one."""
    check_members(members)


def test_document() -> None:
    """R110, R112: overrides replace computed members, and members without a value are left out."""
    computed = {"scopes_supported": ["a"], "authorization_servers": ["https://as"], "bearer_methods_supported": []}
    overrides = {"scopes_supported": None, "resource_name": "", "x": [], "y": {}, "z": (), "flag": False, "n": 0}
    assert build_document("https://h/r1", computed, overrides) == {
        "resource": "https://h/r1",
        "authorization_servers": ["https://as"],
        "flag": False,
        "n": 0,
    }
