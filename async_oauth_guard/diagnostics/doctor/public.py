"""Examines the public address of the site: its metadata and its clock, through every proxy that clients pass."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ...authorization_server.backoff import Attempt
from ...authorization_server.responses import JSON, call_flow, shown
from ...guard.metadata import make_document
from ...guard.protector import ResourceProtector
from ...protocol.secrets import Secret
from ...protocol.strict_json import read_json
from ...protocol.uris import origin_of
from ...runtime.effects import ClientOptions, ConcurrencyLimit, Flow, OutboundRequest, OutboundResponse, SingleFlight
from ...validators.clock import CLOCK
from .clock import examine_clock
from .examination import Finding, ok, problem, warning
from .faults import fault_of
from .probe import Exchange, ProbeResult, probe

__all__ = ["PublicAddress", "fault_of_address", "fault_of_status"]

# Seconds and bytes for one response.
_TIMEOUT = 5.0
_MAX_BODY = 65_536


class PublicAddress:
    """One public origin of the site.

    Args:
        origin: scheme, host and port, as clients write them.
        protectors: those that guard views.
        timeout: seconds for each request.
    """

    def __init__(self, origin: str, protectors: Sequence[ResourceProtector], timeout: float | None = None) -> None:
        self.origin = origin
        self._timeout = timeout or _TIMEOUT
        self._exchanges: list[Exchange] = []
        urls = ((each.options.metadata_url, each) for each in protectors)
        self._documents = {url: each for url, each in urls if url is not None and origin_of(url) == origin}
        policies = (each.options.dpop for each in protectors)
        self._leeways = [policy.leeway for policy in policies if policy is not None]

    @property
    def needs_clock(self) -> bool:
        """Whether the site compares the time of proofs with its clock."""
        return bool(self._leeways)

    def send(self, url: str, headers: Mapping[str, str | Secret[str]]) -> ProbeResult:
        """Send a request. Its response is the value of the result. Redirects are not followed."""
        request = OutboundRequest("GET", url, ClientOptions(), ConcurrencyLimit(1), headers, max_body=_MAX_BODY)

        def flow() -> Flow[OutboundResponse]:
            response: OutboundResponse = yield SingleFlight(
                object(), lambda: call_flow(request, Attempt(0.0, False), CLOCK.wall()), self._timeout
            )
            return response

        result = probe(flow(), CLOCK)
        self._exchanges += result.exchanges
        return result

    def metadata(self) -> Iterator[Finding]:
        """Report whether clients can read each metadata document, and whether it is the one of these settings."""
        for url, protector in self._documents.items():
            result = self.send(url, {"Accept": JSON})
            if result.value is None:
                yield fault_of_address(result)
            else:
                yield _examine_response(url, result.value, make_document(protector))

    def clock(self) -> Iterator[Finding]:
        """Report how far the clock behind this address differs from ours."""
        if not self._exchanges:
            # The response to any request has a Date.
            result = self.send(f"{self.origin}/", {})
            if result.value is None:
                yield fault_of_address(result)
                return
        yield from examine_clock(self._exchanges, min(self._leeways), "DPoP proofs")


_HERE = "If this machine cannot reach the public address, run the command where it can be reached, or with --local."
# Instead of what helps with an authorization server.
_FAILURE_REMEDIES = {
    "dns": "Correct RESOURCE and PUBLIC_ORIGIN: they must name the host that clients use.",
    "tls": (
        "The certificate must be valid, issued for this host, and signed by an authority that clients trust. For your "
        "own certificate authority, set SSL_CERT_FILE in the environment of this command."
    ),
    "refused": "Start the proxy, or correct scheme and port in RESOURCE and PUBLIC_ORIGIN.",
    "timeout": "Check the proxy and the site. With --timeout, the command waits longer.",
}


def fault_of_address(result: ProbeResult) -> Finding:
    """Describe why there is no response from the public address."""
    finding = fault_of(result, {})
    remedy = _FAILURE_REMEDIES.get(str(finding.facts["fault"]), finding.remedy)
    return replace(finding, remedy=f"{remedy} {_HERE}")


def fault_of_status(url: str, status: int, remedy: str) -> Finding:
    """Describe a response with an unexpected status. ``remedy`` is for those that the site or a proxy chose."""
    found = f"{shown(url)} responded with status {status}"
    if 300 <= status < 400:
        found = f"{found}, a redirect. Clients need not follow it."
        remedy = (
            "Let the proxy and the site respond here without a redirect. If it leads to a login page, exempt this "
            "path. If it leads to another scheme or host, RESOURCE and PUBLIC_ORIGIN must name that one."
        )
        return problem(found, remedy, fault="redirect", status=status)
    if status == 429 or status >= 500:
        remedy = "Read the logs of the proxy and of the site: the status says that one of them cannot respond now."
    return problem(f"{found}.", remedy, fault="status", status=status)


def _examine_response(url: str, response: OutboundResponse, expected: Mapping[str, Any]) -> Finding:
    if response.status != 200:
        return fault_of_status(url, response.status, _SERVE.format(path=urlsplit(url).path))
    document = read_json(response.body.reveal()) if response.media_type == JSON else None
    if not isinstance(document, dict):
        return problem(
            f"{shown(url)} must respond with a JSON object of the content type {JSON}, got something else.",
            f"Often it is a login page or the page of a frontend. {_SERVE.format(path=urlsplit(url).path)}",
            fault="answer",
        )
    return _fault_of_document(url, document, expected) or _examine_cors(url, response)


_SERVE = (
    "Add the patterns of metadata_urls() to the root URL configuration, let the proxy pass {path} on to this site "
    "unchanged, and let it respond without a login."
)
_SAME = (
    "Restart the site if you have changed its settings. If it has other settings than this command, or if the proxy "
    "sends this path to another site, correct that."
)


def _fault_of_document(url: str, document: Mapping[str, Any], expected: Mapping[str, Any]) -> Finding | None:
    if document.get("resource") != expected["resource"]:
        return problem(_differs(url, "resource", document, expected), _SAME, fault="resource")
    if document.get("authorization_servers") != expected.get("authorization_servers"):
        return problem(_differs(url, "authorization_servers", document, expected), _SAME, fault="authorization-servers")
    return None


def _differs(url: str, name: str, document: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    wanted, got = (f"{each.get(name)!r:.200}" for each in (expected, document))
    return f"{name} in the metadata at {shown(url)} must be {wanted}, got {got}."


def _examine_cors(url: str, response: OutboundResponse) -> Finding:
    if response.fields.get("Access-Control-Allow-Origin") == "*":
        return ok(f"{shown(url)} is served to clients as these settings say.", metadata=shown(url))
    return warning(
        f"The metadata at {shown(url)} has no header Access-Control-Allow-Origin: *, or has it twice, so clients in a "
        "browser cannot read it.",
        "Let the proxy and the CORS middleware leave this header of the document as it is.",
        fault="cors",
    )
