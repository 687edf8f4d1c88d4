"""When two URIs are the same (RFC 3986 §6.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_oauth_guard.protocol.uris import MAX_URI_LENGTH, normalize_uri
from tests.unit.characters import ANY_CHARACTER

RESOURCE = "https://api.example.com/a~b/c"

# RFC 3986 §6.2.2 (case, percent-encoding, dot segments) and §6.2.3 (schemes); RFC 9449 §4.3 (9): query and fragment.
SAME = [
    RESOURCE,
    "HTTPS://API.Example.COM/a~b/c",
    "https://api.example.com:443/a~b/c",
    "https://api.example.com:/a~b/c",
    "https://api.example.com:0443/a~b/c",
    "https://api.example.com/a%7eb/c",
    "https://api.example.com/a%7Eb/c",
    "https://api.example.com/%61~%62/c",
    "https://api.example.com/./a~b/c",
    "https://api.example.com/x/../a~b/c",
    "https://api.example.com/../a~b/c",
    "https://api.example.com/x/%2E%2e/a~b/c",
    "https://%61pi.example.com/a~b/c",
    "https://api.example.com/a~b/c?q=1",
    "https://api.example.com/a~b/c#f",
    "https://api.example.com/a~b/c?q=/?#f?#",
    "wss://api.example.com/a~b/c",
    "WSS://api.example.com:443/a~b/c",
]
OTHERS = [
    "http://api.example.com/a~b/c",
    "ws://api.example.com/a~b/c",
    "https://api.example.com:8443/a~b/c",
    "https://api.example.com:80/a~b/c",
    "https://api.example.com.evil.example/a~b/c",
    "https://example.com/a~b/c",
    "https://api.example.com./a~b/c",
    "https://api.example.com/A~b/c",
    "https://api.example.com/a~b/c/",
    "https://api.example.com/a~b/c/.",
    "https://api.example.com/a~b//c",
    "https://api.example.com//a~b/c",
    "https://api.example.com/a~b",
    "https://api.example.com",
    "https://api.example.com/a%257Eb/c",
    "https://api.example.com/a~b%2Fc",
    "https://api.example.com/a~b/c%3Fq",
]
NO_URIS = [
    "",
    "/a~b/c",
    "//api.example.com/a~b/c",
    "api.example.com/a~b/c",
    "https:/api.example.com/a~b/c",
    "https:///a~b/c",
    "https://:443/a~b/c",
    "https://user@api.example.com/a~b/c",
    "https://user:password@api.example.com/a~b/c",
    "https://api.example.com@evil.example/a~b/c",
    "https://api.example.com\\@evil.example/a~b/c",
    "https://api.example.com:443443/a~b/c",
    "https://api.example.com:a/a~b/c",
    "https://api.example.com:-1/a~b/c",
    "https://[::1/a~b/c",
    "https://::1/a~b/c",
    "https://[::1]evil.example/a~b/c",
    "ftp://api.example.com/a~b/c",
    "urn:example:api",
    "javascript://api.example.com/a~b/c",
    " https://api.example.com/a~b/c",
    "https://api.example.com/a~b/c ",
    "https://api.example.com/a~b /c",
    "https://api.example.com/a~b\n/c",
    "https://api.example.com/a~b/\tc",
    "https://api.example.com/a~b/\x00",
    "https://äpi.example.com/a~b/c",
    "https://api.example.com/ä",
    "https://api.example.com/" + "a" * MAX_URI_LENGTH,
]


@pytest.mark.parametrize("uri", SAME)
def test_equal_uris(uri: str) -> None:
    """R88: letter case of scheme and host, the default port, needless escapes and dot segments make no difference."""
    assert normalize_uri(uri) == RESOURCE


@pytest.mark.parametrize("uri", OTHERS)
def test_other_uris(uri: str) -> None:
    """R88: another scheme, host, port or path is another URI."""
    assert normalize_uri(uri) not in (None, RESOURCE)


@pytest.mark.parametrize("uri", NO_URIS)
def test_no_uris(uri: str) -> None:
    """R88: what is no URI of a resource, or has userinfo, equals none."""
    assert normalize_uri(uri) is None


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://api.example.com", "http://api.example.com/"),
        ("http://api.example.com:80?q", "http://api.example.com/"),
        ("http://api.example.com#f", "http://api.example.com/"),
        ("ws://127.0.0.1:8000/", "http://127.0.0.1:8000/"),
        ("http://[::1]:8000/a", "http://[::1]:8000/a"),
        ("http://[ABCD::1]/", "http://[abcd::1]/"),
        ("http://h/a%2fb%zz%", "http://h/a%2Fb%zz%"),
        ("http://h/a/..", "http://h/"),
        ("http://h/a/b/..", "http://h/a/"),
        ("http://h/a/.", "http://h/a/"),
        ("http://h/.", "http://h/"),
        ("http://h/..", "http://h/"),
        ("http://h/.a/..b", "http://h/.a/..b"),
        ("http://h/a/./b/../c", "http://h/a/c"),
    ],
)
def test_normal_form(uri: str, expected: str) -> None:
    """An empty path is ``/``, and the last dot segment leaves a slash."""
    assert normalize_uri(uri) == expected
    assert normalize_uri(expected) == expected


@given(st.text(ANY_CHARACTER))
def test_nothing_raises(text: str) -> None:
    """Any text has a normal form or none."""
    for uri in (text, f"https://{text}", f"https://h/{text}", f"https://h:{text}/"):
        normal = normalize_uri(uri)
        assert normal is None or normalize_uri(normal) == normal
