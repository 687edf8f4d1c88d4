"""The URI of a request as its client wrote it, under ASGI and WSGI."""

from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory, override_settings

from async_oauth_guard import ResourceProtector
from async_oauth_guard.guard.context import target_uri
from async_oauth_guard.protocol.uris import normalize_uri

PUBLIC = ResourceProtector(public_origin="https://api.example.com").options
OWN = ResourceProtector().options


def asgi(path: str, **scope: Any) -> ASGIRequest:
    """A request as an ASGI server describes it."""
    usual = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"host", b"testserver")],
        "query_string": b"q=1",
    }
    return ASGIRequest({**usual, **scope}, None)


def wsgi(path: str, **environ: Any) -> WSGIRequest:
    """A request as a WSGI server describes it."""
    request: WSGIRequest = RequestFactory().get(path, **environ)
    return request


@pytest.mark.parametrize(
    ("path", "scope", "expected"),
    [
        ("/notes/", {}, "/notes/"),
        ("/notes/", {"raw_path": None}, "/notes/"),
        ("/notes/", {"raw_path": b""}, "/notes/"),
        ("/notes/", {"raw_path": b"/notes/"}, "/notes/"),
        ("/a/b", {"raw_path": b"/a%2Fb"}, "/a%2Fb"),
        ("/a;b=c", {"raw_path": b"/a;b=c"}, "/a;b=c"),
        # As Django encodes it, if the server does not tell.
        ("/a;b=c", {}, "/a%3Bb%3Dc"),
        ("/é", {}, "/%C3%A9"),
        ("/é", {"raw_path": b"/%c3%a9"}, "/%c3%a9"),
        ("/é", {"raw_path": "/é".encode()}, "/%C3%A9"),
        ("/a b", {"raw_path": b"/a b"}, "/a%20b"),
        ("/a?b", {"raw_path": b"/a%3Fb"}, "/a%3Fb"),
        ("/a", {"raw_path": b"/a?q=1"}, "/a"),
        ("/a", {"raw_path": b"http://testserver:8000/a"}, "/a"),
        ("//evil/a", {"raw_path": b"//evil/a"}, "//evil/a"),
        # It never continues the host.
        (".evil.example/a", {"raw_path": b".evil.example/a"}, "/.evil.example/a"),
        (":8443/a", {}, "/:8443/a"),
        ("*", {"raw_path": b"*"}, "/*"),
        # No client sends a fragment, and Django takes it for a part of the path.
        ("/a#b", {"raw_path": b"/a#b"}, "/a%23b"),
        ("/a#b", {"raw_path": b"/a%23b"}, "/a%23b"),
        # The server names the prefix that a proxy removed, and puts it into the path, or does not.
        ("/api/a", {"root_path": "/api", "raw_path": b"/api/a"}, "/api/a"),
        ("/a", {"root_path": "/api", "raw_path": b"/a"}, "/api/a"),
        ("/a", {"root_path": "/api/", "raw_path": b"/a"}, "/api/a"),
        ("/api", {"root_path": "/api", "raw_path": b"/api"}, "/api"),
        ("/apiary", {"root_path": "/api", "raw_path": b"/apiary"}, "/api/apiary"),
        ("/api/a", {"root_path": "/api"}, "/api/a"),
        ("/a", {"root_path": "/é", "raw_path": b"/a"}, "/%C3%A9/a"),
    ],
)
def test_asgi(path: str, scope: dict[str, Any], expected: str) -> None:
    """R88: under ASGI, the path is `raw_path`, or as Django encodes it, with `root_path`."""
    assert target_uri(PUBLIC, asgi(path, **scope)) == f"https://api.example.com{expected}"


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize(
    ("path", "environ", "sent", "expected"),
    [
        ("/notes/", {}, "/notes/?q=1", "/notes/"),
        ("/a/b", {}, "/a%2Fb", "/a%2Fb"),
        ("/a;b=c", {}, "/a;b=c", "/a;b=c"),
        ("/a;b=c", {}, None, "/a%3Bb%3Dc"),
        ("/é", {}, "/é".encode().decode("latin-1"), "/%C3%A9"),
        ("/é", {}, None, "/%C3%A9"),
        ("/a", {}, "https://testserver/a?q=1", "/a"),
        ("/a", {}, "/a#b?q=1", "/a%23b"),
        ("/a", {}, ".evil.example/a", "/.evil.example/a"),
        ("/a", {}, "\u20ac", "/a"),
        ("/", {}, "http://testserver", "/"),
        ("/a", {"SCRIPT_NAME": "/api"}, "/api/a", "/api/a"),
        ("/a", {"SCRIPT_NAME": "/api"}, "/a", "/api/a"),
        ("/a", {"SCRIPT_NAME": "/api"}, None, "/api/a"),
    ],
)
def test_wsgi(path: str, environ: dict[str, str], sent: str | None, expected: str, name: str) -> None:
    """R88: under WSGI, the path is what the server calls `RAW_URI` or `REQUEST_URI`, or as Django encodes it."""
    variables = environ if sent is None else {**environ, name: sent}
    assert target_uri(PUBLIC, wsgi(path, **variables)) == f"https://api.example.com{expected}"


def test_other_names_do_not_count() -> None:
    """R88: no header of the client is the path."""
    request = RequestFactory().get("/a", headers={"Raw-URI": "/b", "Request-URI": "/b", "X-Original-URI": "/b"})
    assert target_uri(PUBLIC, request) == "https://api.example.com/a"


def test_origin_of_the_request() -> None:
    """R88: without a configured origin, it is what Django says, from the hosts of the site."""
    assert normalize_uri(target_uri(OWN, asgi("/a", scheme="https"))) == "https://testserver/a"
    assert normalize_uri(target_uri(OWN, wsgi("/a"))) == "http://testserver/a"
    forwarded = RequestFactory().get("/a", headers={"X-Forwarded-Proto": "https"})
    assert target_uri(OWN, forwarded) == "http://testserver/a"
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        secure = RequestFactory().get("/a", headers={"X-Forwarded-Proto": "https"}, SERVER_PORT="443")
        assert target_uri(OWN, secure) == "https://testserver/a"
    for request in (asgi("/a", headers=[(b"host", b"evil.example")]), wsgi("/a", HTTP_HOST="evil.example")):
        with pytest.raises(DisallowedHost):
            target_uri(OWN, request)
        assert target_uri(PUBLIC, request) == "https://api.example.com/a"


@override_settings(FORCE_SCRIPT_NAME="/api")
def test_forced_prefix() -> None:
    """R88: a prefix that the settings name is part of the path."""
    assert target_uri(PUBLIC, asgi("/a", raw_path=b"/a")) == "https://api.example.com/api/a"
    assert target_uri(PUBLIC, asgi("/api/a", raw_path=b"/api/a")) == "https://api.example.com/api/a"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"resource": "https://api.example.com/v1?x"}, "https://api.example.com"),
        ({"resource": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
        ({"resource": "api://6a1b"}, None),
        ({"resource": "api://6a1b", "public_origin": "https://a.example"}, "https://a.example"),
    ],
)
def test_origin(options: dict[str, Any], expected: str | None) -> None:
    """The origin of the site is that of its resource, if it is an address at all."""
    assert ResourceProtector(**options).options.origin == expected
