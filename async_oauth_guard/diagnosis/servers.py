"""What stands between a validator and its authorization server: discovery, keys, the clock, and our credentials."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from ..credentials import Secret
from ..effects import Gate
from ..errors import Reason
from ..flows.answers import shown
from ..flows.caching import Vault
from ..flows.discovery import METADATA_TTL, Metadata, Server
from ..flows.introspection import Introspection, Lifetimes, SignedResponses, Verdicts
from ..flows.keysets import CalledKeys, FixedKeys, KeySource, RemoteKeys
from ..jose import DEFAULT_ALGORITHMS
from ..memory import Memory
from ..strict_json import read_json
from ..validators.introspection import IntrospectTokenValidator
from ..validators.jwt import JWTBearerTokenValidator
from ..validators.remote import CLOCK, RemoteTokenValidator
from .examination import Finding, Verdict, not_applicable, ok, trouble, warning
from .keys import describe_lifetime, judge_keys, no_usable_key
from .visits import Exchange, Visit, fault_of, visit

__all__ = ["NOTICEABLE_SKEW", "ServerExaminer"]

NOTICEABLE_SKEW = 5.0
"""Seconds between two clocks that are worth a warning."""

# Bytes, for one answer.
_MEMORY_SIZE = 65_536
_MARK = "oauth-doctor-"


class ServerExaminer:
    """Looks at the server of one validator, as a process would that has just been started.

    It has its own back-off and memories: what the validator knows stays as it is. ``timeout``: seconds for a call, in
    place of the validator's.
    """

    def __init__(self, validator: RemoteTokenValidator, timeout: float | None = None) -> None:
        self._validator = validator
        own = validator._server
        self._patience = own.timeout
        self._server: Server = replace(own, gate=Gate(1), timeout=timeout or own.timeout)
        self._vault = Vault(Secret(secrets.token_bytes(32)), "oauth_doctor")
        self._addresses: dict[str, str] = {}
        self._exchanges: list[Exchange] = []

    def _visit(self, flow: Any) -> Visit:
        visited = visit(flow, self._server.clock)
        self._exchanges += visited.exchanges
        return visited

    # --- discovery ---

    def discovery(self) -> Iterator[Finding]:
        """Whether the server's metadata is to be had, and names what is needed."""
        wanted = self._wanted_addresses()
        if not wanted:
            yield not_applicable("Nothing has to be discovered: every address that is needed is configured.")
            return
        metadata = Metadata(self._server, METADATA_TTL)
        visits = [self._visit(metadata.address_flow(name)) for name in wanted]
        for name, visited in zip(wanted, visits, strict=True):
            if visited.reason is None:
                self._addresses[name] = visited.value
        failed = next((visited for visited in visits if visited.reason is not None), None)
        if failed is not None:
            yield self._fault_of_metadata(failed, metadata)
            return
        yield self._judge_speed(_found_metadata(visits[0]), visits[0])

    def _wanted_addresses(self) -> list[str]:
        wanted = {"jwks_uri": _location_of(self._keys()), "introspection_endpoint": self._endpoint()}
        return [name for name, place in wanted.items() if isinstance(place, Metadata)]

    def _fault_of_metadata(self, failed: Visit, metadata: Metadata) -> Finding:
        if metadata._document is None:
            remedy = "Write issuer= exactly as the server writes it, to the last slash: " + self._says_issuer(failed)
            return fault_of(failed, {Reason.METADATA_UNUSABLE: ("issuer", remedy)})
        remedy = "Have the server name it in its metadata, or give jwks_uri= or introspection_endpoint= yourself."
        return fault_of(failed, {Reason.METADATA_UNUSABLE: ("address", remedy)})

    def _says_issuer(self, failed: Visit) -> str:
        answer = failed.exchanges[-1].answer if failed.exchanges else None
        document = read_json(answer.body.reveal()) if answer is not None else None
        issuer = document.get("issuer") if isinstance(document, Mapping) else None
        return f"it calls itself {issuer}." if isinstance(issuer, str) else "it does not name itself."

    # --- keys ---

    def keys(self) -> Iterator[Finding]:
        """Whether there is a key for what the validator accepts."""
        source = self._keys()
        if isinstance(source, FixedKeys):
            yield from judge_keys(source, source._document, self._algorithms)
        elif isinstance(source, CalledKeys):
            yield from self._called_keys(source)
        elif isinstance(source, RemoteKeys):
            yield from self._fetched_keys(source)
        else:
            yield not_applicable("No signature is verified with keys of a server's.")

    def _called_keys(self, source: CalledKeys) -> Iterator[Finding]:
        fresh = CalledKeys(source._get_keys, source._lifetimes, CLOCK, self._algorithms)
        visited = self._visit(fresh.document_flow(None))
        if visited.reason is not None:
            yield no_usable_key(visited)
            return
        yield from judge_keys(source, visited.value, self._algorithms)

    def _fetched_keys(self, source: RemoteKeys) -> Iterator[Finding]:
        location = _location_of(source)
        url = self._addresses.get("jwks_uri") if isinstance(location, Metadata) else location
        if url is None:
            yield not_applicable("Their address is not known: see discovery.")
            return
        fresh = RemoteKeys(self._server, url, source._lifetimes, lambda: self._vault, self._algorithms)
        visited = self._visit(fresh.document_flow(None))
        if visited.reason is Reason.KEYS_UNAVAILABLE:
            yield no_usable_key(visited)
            return
        if visited.reason is not None:
            yield fault_of(visited, {})
            return
        lifetime = f" From {shown(url)}.{describe_lifetime(visited.exchanges[-1].answer)}"
        for finding in judge_keys(source, visited.value, self._algorithms, lifetime):
            yield self._judge_speed(finding, visited)

    def _keys(self) -> KeySource | None:
        validator = self._validator
        if isinstance(validator, JWTBearerTokenValidator) and validator._get_jwks is not None:
            return CalledKeys(validator.get_jwks, validator._lifetimes, CLOCK, validator.algorithms)
        keys: KeySource | None = getattr(validator, "_own_keys", None)
        # A subclass that names no issuer has something of its own in their place.
        is_found = not isinstance(_location_of(keys), Metadata) or self._server.issuer is not None
        return keys if is_found else None

    @property
    def _algorithms(self) -> tuple[str, ...]:
        return tuple(getattr(self._validator, "algorithms", DEFAULT_ALGORITHMS))

    # --- introspection ---

    def introspection(self) -> Iterator[Finding]:
        """Whether the server takes our credentials, and knows what it does not know."""
        endpoint = self._endpoint()
        if endpoint is None:
            yield not_applicable("No server is asked about tokens.")
            return
        url = self._addresses.get("introspection_endpoint") if isinstance(endpoint, Metadata) else endpoint
        if url is None:
            yield not_applicable("Its address is not known: see discovery.")
            return
        token = Secret(_MARK + secrets.token_urlsafe(32))
        visited = self._visit(self._introspection(url).ask_flow(token, fresh=True, cache=None))
        if visited.reason is not None:
            yield self._fault_of_introspection(visited, url)
        elif visited.value.is_active:
            yield trouble(
                f"{shown(url)} says that a token is active which cannot exist.",
                "Take it out of use until it is mended: it lets anybody in. If the address is a test's or a proxy's, "
                "correct introspection_endpoint=.",
                fault="active-to-anything",
            )
        else:
            finding = ok(f"{shown(url)} takes our credentials, and says of a token that cannot exist: not active.")
            yield self._judge_speed(finding, visited)

    def _endpoint(self) -> str | Metadata | None:
        validator = self._validator
        if not isinstance(validator, IntrospectTokenValidator) or validator._answers_itself:
            return None
        return validator._introspection.endpoint

    def _introspection(self, url: str) -> Introspection:
        own: Introspection = self._validator._introspection  # type: ignore[attr-defined]
        nothing = Verdicts(Memory(_MEMORY_SIZE), Memory(_MEMORY_SIZE), Lifetimes(0, 0, 0))
        return replace(
            own,
            server=self._server.apart(),
            endpoint=url,
            verdicts=nothing,
            vault=lambda: self._vault,
            signed=self._signed(own.signed),
        )

    def _signed(self, own: SignedResponses | None) -> SignedResponses | None:
        keys = None if own is None else own.keys
        if own is None or not isinstance(keys, RemoteKeys):
            return own
        location = keys._location if isinstance(keys._location, str) else Metadata(self._server, METADATA_TTL)
        fresh = RemoteKeys(self._server, location, keys._lifetimes, lambda: self._vault, keys._algorithms)
        return replace(own, keys=fresh)

    def _fault_of_introspection(self, visited: Visit, url: str) -> Finding:
        answer = visited.exchanges[-1].answer if visited.exchanges else None
        # RFC 6749 §5.2: a server may say invalid_client with 400 as well.
        if visited.reason is Reason.SERVER_REFUSES_US or (answer is not None and answer.status == 400):
            status = None if answer is None else answer.status
            return trouble(
                f"{shown(url)} refuses our own credentials (status {status}).",
                "Correct client_id=, client_secret= and client_auth=, as they are registered at the server, and allow "
                "this client there to introspect tokens.",
                fault="credentials",
                status=status,
            )
        return fault_of(visited, {})

    # --- the clock ---

    def clock(self) -> Iterator[Finding]:
        """How far the server's clock is from ours, as far as its answers tell."""
        told = [(exchange.seconds, skew) for exchange in self._exchanges if (skew := _skew_of(exchange)) is not None]
        if not told:
            yield not_applicable("No answer of the server's has a Date.")
            return
        _, skew = min(told)
        ahead = f"The server's clock is {'ahead of' if skew > 0 else 'behind'} ours by {abs(skew):.1f} s"
        leeway = getattr(self._validator, "leeway", NOTICEABLE_SKEW)
        remedy = "Have both machines keep their clocks by NTP: tokens seem expired, or not valid yet, until then."
        if abs(skew) > leeway:
            yield trouble(f"{ahead}, and {leeway:g} s are allowed for.", remedy, fault="clock", skew=round(skew, 1))
        elif abs(skew) > NOTICEABLE_SKEW:
            yield warning(f"{ahead}; {leeway:g} s are allowed for.", remedy, fault="clock", skew=round(skew, 1))
        else:
            yield ok("The server's clock and ours show the same time.", skew=round(skew, 1))

    # --- speed ---

    def _judge_speed(self, finding: Finding, visited: Visit) -> Finding:
        """``finding``, unless it is a good one of a server that leaves requests little time or none."""
        took = visited.seconds
        if finding.verdict is Verdict.TROUBLE or took <= self._patience / 2:
            return finding
        found = f"{finding.found} It took {took:.1f} s, and a request waits for {self._patience:g} s in all."
        remedy = (
            "Look at the server's load and at what lies between; where it cannot be faster, give a longer timeout=."
        )
        facts = {**finding.facts, "fault": "slow"}
        is_too_slow = took >= self._patience
        return Finding(Verdict.TROUBLE if is_too_slow else Verdict.WARNING, found, remedy, facts)


def _location_of(source: KeySource | None) -> str | Metadata | None:
    return source._location if isinstance(source, RemoteKeys) else None


def _found_metadata(visited: Visit) -> Finding:
    last = visited.exchanges[-1]
    document: Any = None if last.answer is None else read_json(last.answer.body.reveal())
    named = {name: shown(url) for name, url in document.items() if name in _ADDRESSES and isinstance(url, str)}
    listed = ", ".join(f"{name} {url}" for name, url in named.items())
    return ok(f"{shown(last.url)} names {listed}.", metadata=shown(last.url), **named)


_ADDRESSES = ("jwks_uri", "introspection_endpoint", "revocation_endpoint", "token_endpoint")


def _skew_of(exchange: Exchange) -> float | None:
    """Seconds by which the server's clock differs from ours for certain, or ``None`` where its answer has no time."""
    if exchange.answer is None:
        return None
    try:
        date = parsedate_to_datetime(exchange.answer.fields["Date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    # RFC 9111 §4.2.3: an answer that was kept on its way was made earlier by its Age.
    age = exchange.answer.fields.get("Age", "0")
    date += int(age[:10]) if age.isascii() and age.isdigit() else 0
    # It was made between the call and the answer, within the second that it names.
    at_least, at_most = date - exchange.ended, date + 1 - exchange.began
    return at_least if at_least > 0 else at_most if at_most < 0 else 0.0
