"""Where a request's client certificate (RFC 8705 §3) comes from: the ASGI server, a proxy, or the site's code."""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from ..protocol.certificates import HEADERS, check_der, read_tls_extension, thumbprint
from ..protocol.confirmation import CERTIFICATE, NO_POSSESSION, Possession
from ..runtime.effects import Call, Flow
from .hooks import check_returned

__all__ = ["MissingTrustedProxiesError", "MutualTLS", "client_certificate_flow", "certified_possession"]

_SOURCES = ("asgi", *HEADERS)
# Without an underscore, which WSGI cannot tell from a hyphen.
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]+")


class MissingTrustedProxiesError(ImproperlyConfigured):
    """Anyone could send the header, because no proxy is trusted to overwrite it."""


class MutualTLS:
    """Says where the client certificate of a request comes from, for certificate-bound tokens (RFC 8705).

    Args:
        source: ``"asgi"`` (the TLS extension of ASGI), ``"rfc9440"``, ``"nginx"``, ``"envoy"``, ``"aws-alb"``,
            ``"traefik"`` or ``"haproxy"`` (a header of such a proxy); or a callable ``(request)``, sync or async, that
            returns the certificate's DER or ``None``.
        header: the name of the header, if it is not the usual one of the proxy.
        trusted_proxies: the addresses and networks of the proxies that overwrite the header in every request.
            ``"unix"`` stands for a proxy that connects to a Unix socket. Other peers' headers are ignored.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.
        ImproperlyConfigured: the source is a header, and no proxy is trusted.
    """

    __slots__ = ("_networks", "header", "source", "trusted_proxies", "trusts_unix")

    def __init__(
        self,
        source: str | Callable[[HttpRequest], Any],
        *,
        header: str | None = None,
        trusted_proxies: Collection[str] = (),
    ) -> None:
        if not isinstance(source, str) and not callable(source):
            raise TypeError(f"source must be a string or a callable (request), got {type(source).__name__}")
        if isinstance(source, str) and source not in _SOURCES:
            raise ValueError(f"source must be a callable or one of {', '.join(_SOURCES)}, got {source!r}")
        if isinstance(trusted_proxies, str) or not isinstance(trusted_proxies, Collection):
            raise TypeError(f"trusted_proxies must be a list of networks, got {type(trusted_proxies).__name__}")
        self.source = source
        self.trusted_proxies = tuple(trusted_proxies)
        self._networks = tuple(_read_network(each) for each in trusted_proxies if each != "unix")
        self.trusts_unix = "unix" in self.trusted_proxies
        self.header = _choose_header(source, header, self.trusted_proxies)

    @property
    def trusts_everyone(self) -> bool:
        """Whether every client may send the header."""
        return any(network.prefixlen == 0 for network in self._networks)

    def trusts(self, peer: str | None) -> bool:
        """Whether a peer with this address is a trusted proxy. A peer of a Unix socket has none."""
        if not peer:
            return self.trusts_unix
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        # A server that listens on an IPv6 socket reports IPv4 clients like this.
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


def _choose_header(source: Any, header: Any, trusted_proxies: Collection[str]) -> str | None:
    if not isinstance(source, str) or source not in HEADERS:
        if header is not None or trusted_proxies:
            raise ValueError("header and trusted_proxies must be omitted, because the source is not a header")
        return None
    usual, _ = HEADERS[source]
    if not trusted_proxies:
        raise MissingTrustedProxiesError(
            f"trusted_proxies must name the proxies that overwrite the header {header or usual} in every request; "
            "without them, any client could send the header itself"
        )
    if header is not None and not (isinstance(header, str) and _HEADER_NAME.fullmatch(header)):
        raise ValueError(f"header must be the name of a header, of letters, digits and hyphens, got {header!r}")
    return header or usual


def _read_network(network: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not isinstance(network, str):
        raise TypeError(f"trusted_proxies must contain only strings, got {type(network).__name__}")
    try:
        return ipaddress.ip_network(network)
    except ValueError as error:
        raise ValueError(
            f"trusted_proxies must contain only addresses, networks or 'unix', got {network!r}: {error}"
        ) from None


def client_certificate_flow(mtls: MutualTLS, request: HttpRequest) -> Flow[bytes | None]:
    """The DER of the client's certificate, or ``None``. The server or proxy that ended TLS has verified it.

    Raises:
        TypeError: the site's callable returned something else than bytes or ``None``.
    """
    source = mtls.source
    if not isinstance(source, str):
        found = yield Call(source, (request,))
        check_returned(source, found, bytes, type(None))
        return None if found is None else check_der(found)
    # Only ASGI requests have one.
    scope = getattr(request, "scope", None)
    if source == "asgi":
        return read_tls_extension((scope.get("extensions") or {}).get("tls")) if scope else None
    peer, values = _from_environ(request, str(mtls.header)) if scope is None else _from_scope(scope, str(mtls.header))
    if len(values) != 1 or not mtls.trusts(peer):
        return None
    _, read = HEADERS[source]
    return read(values[0])


def certified_possession(certificate: Any) -> Possession:
    """What a client with this certificate proves to possess. ``certificate`` is DER, or ``None``.

    Raises:
        TypeError: it is not bytes.
        ValueError: it is not one certificate.
    """
    if certificate is None:
        return NO_POSSESSION
    if not isinstance(certificate, bytes):
        raise TypeError(f"certificate must be bytes (DER), got {type(certificate).__name__}")
    if check_der(certificate) is None:
        raise ValueError("certificate must be the DER of one X.509 certificate")
    return Possession({CERTIFICATE: thumbprint(certificate)})


def _from_environ(request: HttpRequest, header: str) -> tuple[str | None, Sequence[str]]:
    """The address of the peer, and the values of the header. The server joins several of them with commas."""
    value = request.META.get(f"HTTP_{header.upper().replace('-', '_')}")
    return request.META.get("REMOTE_ADDR"), [] if value is None else [value]


def _from_scope(scope: Mapping[str, Any], header: str) -> tuple[str | None, Sequence[str]]:
    """The same under ASGI. Middleware may have changed ``REMOTE_ADDR``, and ``META`` may confuse ``_`` with ``-``."""
    name = header.lower().encode("ascii")
    client = scope.get("client")
    return client[0] if client else None, [
        value.decode("latin-1") for key, value in scope.get("headers") or () if key == name
    ]
