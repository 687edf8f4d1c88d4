"""Authorization server metadata (RFC 8414, OpenID Connect Discovery): where a server's other addresses are found."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..effects import ClientOptions, Flow, Gate, HttpCall, Once, Purpose, Start
from ..errors import Reason
from ..strict_json import read_json
from .answers import JSON, call_flow, check_answer, read_json_object, unusable
from .backoff import SHORTEST_WAIT, Attempt, Backoff
from .clock import Clock

__all__ = ["LACKING_TTL", "METADATA_TTL", "Metadata", "Server", "check_url", "well_known_urls"]

METADATA_TTL = 600.0
"""Seconds for which a server's metadata is used without asking anew."""

LACKING_TTL = SHORTEST_WAIT
"""Seconds after which metadata is asked for anew that lacks the address that is wanted: as after a failure."""


def check_url(url: Any, allow_insecure_http: bool) -> None:
    """Refuse an address that tokens, or keys to check them, must not travel to or from.

    Raises:
        ValueError: it is no ``https`` URL, nor an ``http`` one that is allowed.
    """
    parts = _split(url)
    if parts is None:
        raise ValueError("an absolute https:// URL is wanted")
    if parts.username is not None or parts.password is not None or parts.fragment or "#" in url:
        raise ValueError("a URL without user, password and fragment is wanted")
    if parts.scheme == "https" or (parts.scheme == "http" and (allow_insecure_http or _is_loopback(parts.hostname))):
        return
    raise ValueError("https:// is wanted; in a private network, http:// with allow_insecure_http=True")


def _split(url: Any) -> SplitResult | None:
    # In other URLs, two programs may find two hosts.
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
    """Where the metadata of ``issuer`` may be, in the order in which they are asked for."""
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}"
    # RFC 8414 §3.1: "any terminating "/" MUST be removed before inserting "/.well-known/""
    path = parts.path.removesuffix("/")
    urls = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        # RFC 8414 §5: OpenID Connect's name in the place of this RFC's, and then in its own.
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(urls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An authorization server, and how it is spoken to. ``timeout``: seconds for all that one request waits for."""

    issuer: str | None
    client: ClientOptions
    gate: Gate
    timeout: float
    allow_insecure_http: bool
    backoff: Backoff
    clock: Clock

    def get(self, url: str, attempt: Attempt, purpose: Purpose, accept: str = JSON) -> HttpCall:
        """A request for a document that anybody may see."""
        return HttpCall(
            "GET",
            url,
            self.client,
            self.gate,
            {"Accept": accept},
            purpose=purpose,
            ready=lambda: self.backoff.check(attempt),
        )

    def apart(self) -> "Server":
        """The same with a back-off of its own, for another address: that one fails is no reason to leave both alone.

        A call that is a probe may also have to wait for what is at the other address, which must not be refused then.
        """
        return replace(self, backoff=Backoff(self.clock))


class Metadata:
    """A server's metadata, asked for when it is needed. Flows of this class run on the outgoing loop."""

    def __init__(self, server: Server, max_stale: float) -> None:
        self._server = server.apart()
        self._max_stale = max_stale
        self._document: Mapping[str, Any] | None = None
        self._fetched_at = 0.0

    def address_flow(self, name: str) -> Flow[str]:
        """The URL that the server's metadata has under ``name``.

        Raises:
            TemporarilyUnavailableError: there is no metadata, or no such URL that may be used.
        """
        server = self._server
        document = yield from self._usable_flow(name)
        address = document.get(name)
        try:
            check_url(address, server.allow_insecure_http)
        except ValueError as error:
            unusable(f"the metadata of {server.issuer} has no usable {name}: {error}", Reason.METADATA_UNUSABLE)
        return str(address)

    def _usable_flow(self, name: str) -> Flow[Mapping[str, Any]]:
        """What is at hand, or else is waited for. While it is usable, nobody waits for its refresh."""
        refresh = Once((self, "metadata"), self._fetch_flow, self._server.timeout)
        document, age = self._document, self._server.clock.steady() - self._fetched_at
        lacks_it = document is not None and not self._has_address(document, name)
        if document is None or age >= self._max_stale or (lacks_it and age >= LACKING_TTL):
            fetched: Mapping[str, Any] = yield refresh
            return fetched
        if age >= METADATA_TTL:
            # Where the server's other addresses are seldom changes, and those may answer when this one does not.
            yield Start(refresh)
        return document

    def _has_address(self, document: Mapping[str, Any], name: str) -> bool:
        try:
            check_url(document.get(name), self._server.allow_insecure_http)
        except ValueError:
            return False
        return True

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
            answer = yield from call_flow(server.get(other, attempt, "metadata"), attempt, server.clock.wall())
            # RFC 8414 §3.2: "A successful response MUST use the 200 OK HTTP status code"
            if answer.status == 200 and isinstance(read_json(answer.body.reveal()), dict):
                url = other
                break
        else:
            answer = yield from call_flow(server.get(url, attempt, "metadata"), attempt, server.clock.wall())
        check_answer(answer, url)
        document = read_json_object(answer, url)
        # RFC 8414 §3.3: "If these values are not identical, the data contained in the response MUST NOT be used."
        if document.get("issuer") != issuer:
            unusable(f"{url} is the metadata of another issuer than {issuer}", Reason.METADATA_UNUSABLE)
        return document
