"""Authorization server metadata (RFC 8414, OpenID Connect Discovery), which contains the server's other URLs."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import Reason
from ..protocol.clock import Clock
from ..protocol.strict_json import read_json
from ..protocol.uris import origin_of
from ..runtime.effects import (
    ClientOptions,
    ConcurrencyLimit,
    Flow,
    OutboundRequest,
    Purpose,
    SingleFlight,
    StartBackground,
)
from .backoff import SHORTEST_WAIT, Attempt, Backoff
from .responses import JSON, call_flow, check_response, read_json_object, unusable

__all__ = ["LACKING_TTL", "METADATA_TTL", "Metadata", "Server", "check_url", "well_known_urls"]

METADATA_TTL = 600.0
"""Seconds for which a server's metadata is used before it is fetched again."""

LACKING_TTL = SHORTEST_WAIT
"""Seconds after which metadata is fetched again if it lacks the URL that is needed: the same as after a failure."""


def check_url(url: Any, allow_insecure_http: bool, *, allow_loopback: bool = True) -> None:
    """Check that tokens may be sent to ``url``, and that keys may be fetched from it.

    ``http`` is allowed for loopback addresses unless ``allow_loopback`` is false, and for all addresses with
    ``allow_insecure_http``.

    Raises:
        ValueError: the URL is not ``https`` and not an allowed ``http`` URL, or has a user name, password or fragment.
    """
    parts = _split(url)
    if parts is None:
        raise ValueError("must be an absolute https:// URL")
    if parts.username is not None or parts.password is not None or parts.fragment or "#" in url:
        raise ValueError("must be a URL without user name, password and fragment")
    is_near = allow_loopback and _is_loopback(parts.hostname)
    if parts.scheme == "https" or (parts.scheme == "http" and (allow_insecure_http or is_near)):
        return
    raise ValueError("must be an https:// URL; to use http:// in a private network, set allow_insecure_http=True")


def _split(url: Any) -> SplitResult | None:
    # Programs may disagree about the host of a URL with such characters.
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def well_known_urls(issuer: str) -> tuple[str, ...]:
    """Return the URLs where the metadata of ``issuer`` may be, in the order in which they are tried."""
    origin = origin_of(issuer)
    # RFC 8414 §3.1: "any terminating "/" MUST be removed before inserting "/.well-known/""
    path = urlsplit(issuer).path.removesuffix("/")
    urls = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        # RFC 8414 §5: OpenID Connect's suffix, first inserted before the path as in this RFC, then appended to it.
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(urls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An authorization server, and how to send requests to it.

    ``timeout`` limits all requests of a single flight together, in seconds.
    """

    issuer: str | None
    client: ClientOptions
    concurrency_limit: ConcurrencyLimit
    timeout: float
    allow_insecure_http: bool
    backoff: Backoff
    clock: Clock

    def get(self, url: str, attempt: Attempt, purpose: Purpose, accept: str = JSON) -> OutboundRequest:
        """Return a request for a public document.

        Raises:
            TemporarilyUnavailableError: keys must not be fetched from ``url``.
        """
        try:
            # Options that a subclass seems to replace are not checked before, but its hook may call `super()`.
            check_url(url, self.allow_insecure_http)
        except ValueError as error:
            unusable(f"The URL for {purpose} cannot be used: it {error}")
        return OutboundRequest(
            "GET",
            url,
            self.client,
            self.concurrency_limit,
            {"Accept": accept},
            purpose=purpose,
            ready=lambda: self.backoff.check(attempt),
        )

    def apart(self) -> "Server":
        """Return the same server with a separate back-off for another URL: a failure of one must not affect the other.

        Besides, a probe of one URL may need a document from the other URL, and that request must not be refused.
        """
        return replace(self, backoff=Backoff(self.clock))


class Metadata:
    """The metadata of a server, fetched when it is needed. The flows of this class run on the outbound loop."""

    def __init__(self, server: Server, max_stale: float) -> None:
        self._server = server.apart()
        self._max_stale = max_stale
        self._document: Mapping[str, Any] | None = None
        self._fetched_at = 0.0

    def address_flow(self, name: str) -> Flow[str]:
        """Return the URL that the server's metadata has under ``name``.

        Raises:
            TemporarilyUnavailableError: the metadata is not available, or has no such URL or one that is not allowed.
        """
        server = self._server
        document = yield from self._usable_flow(name)
        fault = self._fault_of(document.get(name))
        if fault is not None:
            unusable(f"The metadata of {server.issuer} has no usable {name}: it {fault}", Reason.METADATA_UNUSABLE)
        return str(document[name])

    def _usable_flow(self, name: str) -> Flow[Mapping[str, Any]]:
        """Return the stored metadata while it is usable, and refresh it in the background. Otherwise fetch it now."""
        refresh = SingleFlight((self, "metadata"), self._fetch_flow, self._server.timeout)
        document, age = self._document, self._server.clock.steady() - self._fetched_at
        lacks_it = document is not None and self._fault_of(document.get(name)) is not None
        if document is None or age >= self._max_stale or (lacks_it and age >= LACKING_TTL):
            fetched: Mapping[str, Any] = yield refresh
            return fetched
        if age >= METADATA_TTL:
            # The server's other URLs seldom change, and they may respond while this one does not.
            yield StartBackground(refresh)
        return document

    def _fault_of(self, address: Any) -> ValueError | None:
        # The metadata of an https issuer must not direct secrets to a process that listens on a plain port here.
        is_plain = urlsplit(self._server.issuer or "").scheme == "http"
        try:
            check_url(address, self._server.allow_insecure_http, allow_loopback=is_plain)
        except ValueError as error:
            return error
        return None

    def _fetch_flow(self) -> Flow[Mapping[str, Any]]:
        with self._server.backoff.attempt() as attempt:
            document = yield from self._discover_flow(attempt)
        self._document, self._fetched_at = document, self._server.clock.steady()
        return document

    def _discover_flow(self, attempt: Attempt) -> Flow[Mapping[str, Any]]:
        server = self._server
        issuer = server.issuer or ""
        *others, url = well_known_urls(issuer)
        for other in others:
            response = yield from call_flow(server.get(other, attempt, "metadata"), attempt, server.clock.wall())
            # RFC 8414 §3.2: "A successful response MUST use the 200 OK HTTP status code"
            if response.status == 200 and isinstance(read_json(response.body.reveal()), dict):
                url = other
                break
        else:
            response = yield from call_flow(server.get(url, attempt, "metadata"), attempt, server.clock.wall())
        check_response(response, url)
        document = read_json_object(response, url)
        # RFC 8414 §3.3: "If these values are not identical, the data contained in the response MUST NOT be used."
        if document.get("issuer") != issuer:
            unusable(f"The issuer in the metadata at {url} must be {issuer}, got another", Reason.METADATA_UNUSABLE)
        return document
