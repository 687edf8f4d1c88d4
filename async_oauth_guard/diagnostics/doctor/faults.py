"""Describes why a request to an authorization server failed, and how to fix it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from ...authorization_server.responses import shown
from ...errors import Reason
from ...runtime.effects import RequestFailedError
from .examination import Finding, problem
from .probe import OF_CLIENT, ProbeResult

__all__ = ["fault_of"]


def fault_of(result: ProbeResult, remedies: Mapping[Reason, tuple[str, str]]) -> Finding:
    """Describe why a flow returned nothing. ``remedies``: the fault's short name and the remedy for some reasons."""
    last = result.exchanges[-1] if result.exchanges else None
    # The last exchange decides: the flow ended there. If the site has disabled the log, only the reason is known.
    sentence = f"{'; '.join(result.logged) or f'The server cannot be used ({result.reason})'}."
    if result.reason is not None and result.reason in remedies:
        fault, remedy = remedies[result.reason]
        return problem(sentence, remedy, fault=fault)
    if last is not None and last.failure is not None:
        return _fault_of_failure(last.url, last.failure)
    if last is not None and last.response is not None and last.response.status != 200:
        return _fault_of_status(last.response.status, sentence)
    return problem(sentence, _CORRECT_RESPONSE, fault="answer")


_CORRECT_RESPONSE = (
    "Check what the server, or a proxy in front of it, sends from this URL: the response must be JSON with the content "
    "type application/json, not an HTML page."
)

# What is found, and what to do.
_FAILURES: Mapping[str, tuple[str, str]] = {
    "timeout": (
        "{where} did not respond in time.",
        "Check the server's load and the network. If the server cannot be faster, set a longer timeout=.",
    ),
    "answer": (
        "{where} sent a response that cannot be read: {failure}.",
        "Correct the URL. Configure the server to send its response without compression and in the usual size.",
    ),
    "client": (
        "{where}: no request was sent, because the HTTP client raised {failure}.",
        "Correct http_client=: it must return an httpx.AsyncClient.",
    ),
    "dns": (
        "{where}: the host name {host} was not found (DNS).",
        "Correct the host name in the settings, or check the name server of this machine.",
    ),
    "tls": (
        "{where}: no TLS connection could be made ({root}).",
        "The certificate must be valid, issued for this host, and signed by an authority that this machine trusts. "
        "For your own certificate authority, set verify= to the path of its certificate. If this port does not use "
        "TLS, correct the URL.",
    ),
    "refused": (
        "{where}: the connection was refused, so nothing listens there.",
        "Start the server, or correct the host and port in the settings. Check firewalls too.",
    ),
    "unreachable": (
        "{where}: the connection failed or was closed ({root}).",
        "Check the network and the proxies between this machine and the server, and the server's own log.",
    ),
}
_ROOTS = {OF_CLIENT: "client", "gaierror": "dns", "ConnectionRefusedError": "refused"}


def _fault_of_failure(url: str, failure: RequestFailedError) -> Finding:
    root = failure.root or str(failure)
    if failure.reason is Reason.SERVER_TOO_SLOW:
        fault = "timeout"
    elif failure.reason is not Reason.SERVER_UNREACHABLE:
        fault = "answer"
    else:
        fault = "tls" if root.startswith("SSL") else _ROOTS.get(root, "unreachable")
    found, remedy = _FAILURES[fault]
    found = found.format(where=shown(url), host=urlsplit(url).hostname, root=root, failure=failure)
    return problem(found, remedy, fault=fault)


def _fault_of_status(status: int, sentence: str) -> Finding:
    if 300 <= status < 400:
        found = f"{sentence[:-1]}, a redirect. Redirects are never followed."
        remedy = "In the settings, use the URL to which the server redirects."
        return problem(found, remedy, fault="redirect", status=status)
    if status == 429 or status >= 500:
        remedy = "Check the server's own log and load: the status says that the server cannot respond now."
    else:
        remedy = "Correct the URL in the settings: this URL does not serve what the guard needs."
    return problem(sentence, remedy, fault="status", status=status)
