"""`MutualTLS`: its arguments, whom it trusts, and where it finds the certificate of a request."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.test import RequestFactory

from async_oauth_guard import MutualTLS
from async_oauth_guard.protocol.certificates import HEADERS, thumbprint
from async_oauth_guard.protocol.confirmation import CERTIFICATE, NO_POSSESSION
from async_oauth_guard.runtime.run import arun, run
from async_oauth_guard.validators.client_certificates import (
    MissingTrustedProxiesError,
    certified_possession,
    client_certificate_flow,
)
from tests.certificates import WRITERS, der, pem
from tests.ids import described

PROXY = "10.0.0.1"

WRONG: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((7,), {}, TypeError, "source must be a string or a callable (request), got int"),
    (("ngnix",), {"trusted_proxies": [PROXY]}, ValueError, "source must be a callable or one of asgi, rfc9440, nginx,"),
    (("nginx",), {"trusted_proxies": PROXY}, TypeError, "trusted_proxies must be a list of networks, got str"),
    (("nginx",), {"trusted_proxies": None}, TypeError, "trusted_proxies must be a list of networks, got NoneType"),
    (("nginx",), {"trusted_proxies": [7]}, TypeError, "trusted_proxies must contain only strings, got int"),
    (("nginx",), {"trusted_proxies": ["proxy"]}, ValueError, "only addresses, networks or 'unix', got 'proxy'"),
    (("nginx",), {"trusted_proxies": ["10.0.0.1/8"]}, ValueError, "has host bits set"),
    (("nginx",), {"trusted_proxies": [PROXY], "header": "X_Cert"}, ValueError, "letters, digits and hyphens"),
    (("nginx",), {"trusted_proxies": [PROXY], "header": ""}, ValueError, "letters, digits and hyphens"),
    (("nginx",), {"trusted_proxies": [PROXY], "header": b"X"}, ValueError, "letters, digits and hyphens"),
    (("asgi",), {"header": "X-Cert"}, ValueError, "must be omitted, because the source is not a header"),
    (("asgi",), {"trusted_proxies": [PROXY]}, ValueError, "must be omitted, because the source is not a header"),
    ((print,), {"trusted_proxies": ["unix"]}, ValueError, "must be omitted, because the source is not a header"),
]


@pytest.mark.parametrize(("args", "options", "kind", "said"), WRONG)
def test_wrong_arguments(args: Any, options: dict[str, Any], kind: type[Exception], said: str) -> None:
    """A wrong argument is refused, and the message says what must be true."""
    with pytest.raises(kind) as caught:
        MutualTLS(*args, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize("source", HEADERS)
def test_no_trusted_proxies(source: Any) -> None:
    """R103: a header without a trusted proxy, which any client could send, is refused."""
    with pytest.raises(ImproperlyConfigured, match=f"overwrite the header {HEADERS[source][0]}") as caught:
        MutualTLS(source)
    assert isinstance(caught.value, MissingTrustedProxiesError)


@pytest.mark.parametrize(
    ("trusted", "peers", "others"),
    [
        (["10.0.0.1"], ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2", "", None, "::1"]),
        (["10.0.0.0/8", "fd00::/8"], ["10.9.9.9", "fd00::1"], ["11.0.0.0", "fe80::1", "::ffff:11.0.0.1"]),
        (["unix"], ["", None], ["127.0.0.1", "unix", "nonsense"]),
        (["unix", "127.0.0.1"], ["", None, "127.0.0.1"], ["127.0.0.2", "localhost", "127.0.0.1:80"]),
        (["fe80::/10"], ["fe80::1", "fe80::1%eth0"], ["::1"]),
    ],
)
def test_trusted_peers(trusted: list[str], peers: list[str | None], others: list[str | None]) -> None:
    """R103: the networks that are named are trusted, and nobody else."""
    mtls = MutualTLS("nginx", trusted_proxies=trusted)
    assert [mtls.trusts(peer) for peer in peers] == [True] * len(peers)
    assert [mtls.trusts(peer) for peer in others] == [False] * len(others)


@pytest.mark.parametrize(
    ("trusted", "everyone"), [(["0.0.0.0/0"], True), (["10.0.0.1", "::/0"], True), (["0.0.0.0/1", "unix"], False)]
)
def test_trusts_everyone(trusted: list[str], everyone: bool) -> None:
    """A network of all addresses is noticed."""
    assert MutualTLS("nginx", trusted_proxies=trusted).trusts_everyone is everyone


def wsgi(headers: Any = (), peer: str | None = PROXY) -> HttpRequest:
    request = RequestFactory().get("/", headers=dict(headers))
    request.META.pop("REMOTE_ADDR")
    if peer is not None:
        request.META["REMOTE_ADDR"] = peer
    return request


def asgi(headers: Any = (), peer: str | None = PROXY, **scope: Any) -> HttpRequest:
    lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    client = None if peer is None else (peer, 4000)
    defaults = {"type": "http", "method": "GET", "path": "/", "headers": lines, "client": client, "query_string": b""}
    return ASGIRequest({**defaults, **scope}, None)


both_servers = pytest.mark.parametrize("make", [wsgi, asgi])


def both(mtls: MutualTLS, request: HttpRequest) -> bytes | None:
    """What the sync and the async driver find, which is the same."""
    found = run(client_certificate_flow(mtls, request))
    assert async_to_sync(arun)(client_certificate_flow(mtls, request)) == found
    return found


@both_servers
@pytest.mark.parametrize("source", HEADERS)
def test_header(source: Any, make: Any) -> None:
    """R101, R103: the header counts if a trusted proxy sent it, under its own name or another one."""
    value = WRITERS[source]("client")
    for name, header in ((HEADERS[source][0], None), ("X-Other-1", "x-other-1")):
        mtls = MutualTLS(source, header=header, trusted_proxies=[PROXY])
        assert both(mtls, make([(name, value)])) == der()
        assert both(mtls, make([(name, value)], "10.0.0.2")) is None
        assert both(mtls, make([("X-Unrelated", value)])) is None


@both_servers
def test_unix_socket(make: Any) -> None:
    """R103: a peer without an address is trusted only as ``"unix"``."""
    headers = [("X-SSL-Client-Cert", WRITERS["nginx"]("client"))]
    for peer in (None, ""):
        assert both(MutualTLS("nginx", trusted_proxies=["unix"]), make(headers, peer)) == der()
        assert both(MutualTLS("nginx", trusted_proxies=[PROXY]), make(headers, peer)) is None


def test_rewritten_address() -> None:
    """Under ASGI, middleware that writes a client's address into ``META`` does not change who the peer is."""
    request = asgi([("X-SSL-Client-Cert", WRITERS["nginx"]("client"))], "203.0.113.5")
    request.META["REMOTE_ADDR"] = PROXY
    assert both(MutualTLS("nginx", trusted_proxies=[PROXY]), request) is None


@pytest.mark.parametrize("name", ["X_SSL_Client_Cert", "x-ssl_client-cert"])
def test_underscores(name: str) -> None:
    """R103: under ASGI, a header whose name has an underscore is another header, whatever Django makes of it."""
    mtls = MutualTLS("nginx", trusted_proxies=[PROXY])
    good, other = (WRITERS["nginx"](each) for each in ("client", "other"))
    request = asgi([(name, other)])
    request.META["HTTP_X_SSL_CLIENT_CERT"] = other
    assert both(mtls, request) is None
    assert both(mtls, asgi([(name, other), ("X-SSL-Client-Cert", good)])) == der()


def test_two_lines() -> None:
    """R103: two header lines are no certificate, also if they are equal."""
    mtls = MutualTLS("nginx", trusted_proxies=[PROXY])
    value = WRITERS["nginx"]("client")
    assert both(mtls, asgi([("X-SSL-Client-Cert", value)] * 2)) is None
    assert both(mtls, wsgi([("X-SSL-Client-Cert", f"{value},{value}")])) is None


def test_tls_extension() -> None:
    """R101: under ASGI, the TLS extension has the certificate. Without TLS, and under WSGI, there is none."""
    mtls = MutualTLS("asgi")
    assert both(mtls, asgi(extensions={"tls": {"client_cert_chain": [pem()]}})) == der()
    for scope in ({}, {"extensions": None}, {"extensions": {}}, {"extensions": {"tls": {"client_cert_chain": []}}}):
        assert both(mtls, asgi(**scope)) is None
    assert both(mtls, wsgi()) is None


@both_servers
def test_callable(make: Any) -> None:
    """R101: the site's own function, sync or async, returns the DER or ``None``."""

    async def source(request: HttpRequest) -> bytes | None:
        return der() if request.method == "GET" else None

    for each in (source, lambda request: der()):
        assert both(MutualTLS(each), make()) == der()
    assert both(MutualTLS(lambda request: None), make()) is None
    assert both(MutualTLS(lambda request: b"no certificate"), make()) is None


@both_servers
@pytest.mark.parametrize("returned", ["text", True, bytearray(b"x"), object()])
def test_callable_that_returns_something_else(returned: Any, make: Any) -> None:
    """What the function returns is checked: a mistake is a ``TypeError``, and lets nobody in."""
    mtls = MutualTLS(lambda request: returned)
    with pytest.raises(TypeError, match="must return a bytes or None"):
        run(client_certificate_flow(mtls, make()))


def test_certificate_without_a_request() -> None:
    """R102: a certificate that a caller passes proves its thumbprint. No certificate proves nothing."""
    assert certified_possession(der()).thumbprints == {CERTIFICATE: thumbprint(der())}
    assert certified_possession(None) is NO_POSSESSION


@pytest.mark.parametrize(
    ("certificate", "kind", "said"),
    [
        (pem(), TypeError, "must be bytes (DER), got str"),
        (bytearray(der()), TypeError, "must be bytes (DER), got bytearray"),
        (pem().encode(), ValueError, "must be the DER of one X.509 certificate"),
        (b"", ValueError, "must be the DER of one X.509 certificate"),
        (der() + der(), ValueError, "must be the DER of one X.509 certificate"),
    ],
    ids=described,
)
def test_wrong_certificate_without_a_request(certificate: Any, kind: type[Exception], said: str) -> None:
    """A caller's mistake is an error. The token is not treated as one that was presented without a certificate."""
    with pytest.raises(kind) as caught:
        certified_possession(certificate)
    assert str(caught.value) == f"certificate {said}"
