"""Examines the authorization server of a validator: discovery, keys, introspection with our credentials, clock."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...authorization_server.cache_entries import CacheSigner
from ...authorization_server.introspection import Introspection, SignedResponses
from ...authorization_server.introspection_cache import CachePolicy, IntrospectionCache
from ...authorization_server.jwks import CallableKeySource, KeySource, RemoteKeySource, StaticKeySource
from ...authorization_server.metadata import METADATA_TTL, Metadata, Server
from ...authorization_server.responses import shown
from ...errors import Reason
from ...protocol.jwk import DEFAULT_ALGORITHMS
from ...protocol.secrets import Secret
from ...protocol.strict_json import read_json
from ...runtime.effects import ConcurrencyLimit
from ...validators.clock import CLOCK
from ...validators.introspection import IntrospectTokenValidator
from ...validators.jwt import JWTBearerTokenValidator
from ...validators.remote import RemoteTokenValidator
from .clock import NOTICEABLE_SKEW, examine_clock
from .examination import Finding, Severity, not_applicable, ok, problem
from .faults import fault_of
from .keys import describe_lifetime, examine_keys, no_usable_key
from .probe import Exchange, ProbeResult, probe

__all__ = ["ServerExaminer"]

# Bytes, enough for one response.
_MEMORY_SIZE = 65_536
_MARK = "oauth-doctor-"


class ServerExaminer:
    """Examines the server of one validator, as a process does that has just started.

    It has its own back-off and caches, so it does not change the state of the validator.

    Args:
        validator: the validator whose server is examined.
        timeout: seconds for each request, instead of the validator's own timeout.
    """

    def __init__(self, validator: RemoteTokenValidator, timeout: float | None = None) -> None:
        self._validator = validator
        own = validator._server
        self._timeout = own.timeout
        self._server: Server = replace(own, concurrency_limit=ConcurrencyLimit(1), timeout=timeout or own.timeout)
        self._signer = CacheSigner(Secret(secrets.token_bytes(32)), "oauth_doctor")
        self._urls: dict[str, str] = {}
        self._exchanges: list[Exchange] = []

    def _probe(self, flow: Any) -> ProbeResult:
        result = probe(flow, self._server.clock)
        self._exchanges += result.exchanges
        return result

    # --- discovery ---

    def discovery(self) -> Iterator[Finding]:
        """Report whether the server's metadata can be fetched, and names the URLs that are needed."""
        locations = {"jwks_uri": _location_of(self._keys()), "introspection_endpoint": self._endpoint()}
        needed = [name for name, location in locations.items() if isinstance(location, Metadata)]
        if not needed:
            yield not_applicable("Nothing needs to be discovered: all URLs are configured.")
            return
        metadata = Metadata(self._server, METADATA_TTL)
        results = [self._probe(metadata.address_flow(name)) for name in needed]
        for name, result in zip(needed, results, strict=True):
            if result.reason is None:
                self._urls[name] = result.value
        failed = next((result for result in results if result.reason is not None), None)
        if failed is not None:
            yield self._fault_of_metadata(failed, metadata)
            return
        yield self._with_speed(_found_metadata(results[0]), results[0])

    def _fault_of_metadata(self, failed: ProbeResult, metadata: Metadata) -> Finding:
        if metadata._document is None:
            named = self._describe_issuer(failed)
            remedy = f"Write issuer= exactly as the server writes it, including a final slash: {named}"
            return fault_of(failed, {Reason.METADATA_UNUSABLE: ("issuer", remedy)})
        remedy = "Configure the server to name this URL in its metadata, or set jwks_uri= or introspection_endpoint=."
        return fault_of(failed, {Reason.METADATA_UNUSABLE: ("address", remedy)})

    def _describe_issuer(self, failed: ProbeResult) -> str:
        response = failed.exchanges[-1].response if failed.exchanges else None
        document = read_json(response.body.reveal()) if response is not None else None
        issuer = document.get("issuer") if isinstance(document, Mapping) else None
        return (
            f"its metadata names the issuer {issuer}." if isinstance(issuer, str) else "its metadata names no issuer."
        )

    # --- keys ---

    def keys(self) -> Iterator[Finding]:
        """Report whether there is a key for an algorithm that the validator accepts."""
        source = self._keys()
        if isinstance(source, StaticKeySource):
            yield from examine_keys(source, source._document, self._algorithms)
        elif isinstance(source, CallableKeySource):
            yield from self._called_keys(source)
        elif isinstance(source, RemoteKeySource):
            yield from self._fetched_keys(source)
        else:
            yield not_applicable("This validator verifies no signatures with keys of a server.")

    def _called_keys(self, source: CallableKeySource) -> Iterator[Finding]:
        fresh = CallableKeySource(source._get_keys, source._lifetimes, CLOCK, self._algorithms)
        result = self._probe(fresh.document_flow(None))
        if result.reason is not None:
            yield no_usable_key(result)
            return
        yield from examine_keys(source, result.value, self._algorithms)

    def _fetched_keys(self, source: RemoteKeySource) -> Iterator[Finding]:
        location = _location_of(source)
        url = self._urls.get("jwks_uri") if isinstance(location, Metadata) else location
        if url is None:
            yield not_applicable("The URL of the key set is not known: see discovery.")
            return
        fresh = RemoteKeySource(self._server, url, source._lifetimes, lambda: self._signer, self._algorithms)
        result = self._probe(fresh.document_flow(None))
        if result.reason is Reason.KEYS_UNAVAILABLE:
            yield no_usable_key(result)
            return
        if result.reason is not None:
            yield fault_of(result, {})
            return
        lifetime = f" From {shown(url)}.{describe_lifetime(result.exchanges[-1].response)}"
        for finding in examine_keys(source, result.value, self._algorithms, lifetime):
            yield self._with_speed(finding, result)

    def _keys(self) -> KeySource | None:
        validator = self._validator
        if isinstance(validator, JWTBearerTokenValidator) and validator._overrides.get_jwks:
            return CallableKeySource(validator.get_jwks, validator._lifetimes, CLOCK, validator.algorithms)
        keys: KeySource | None = getattr(validator, "_own_keys", None)
        # A subclass without an issuer uses something else instead of discovered keys.
        is_found = not isinstance(_location_of(keys), Metadata) or self._server.issuer is not None
        return keys if is_found else None

    @property
    def _algorithms(self) -> tuple[str, ...]:
        return tuple(getattr(self._validator, "algorithms", DEFAULT_ALGORITHMS))

    # --- introspection ---

    def introspection(self) -> Iterator[Finding]:
        """Report whether the server accepts our credentials, and calls a token that cannot exist inactive."""
        endpoint = self._endpoint()
        if endpoint is None:
            yield not_applicable("This validator introspects no tokens at a server.")
            return
        url = self._urls.get("introspection_endpoint") if isinstance(endpoint, Metadata) else endpoint
        if url is None:
            yield not_applicable("The URL of the introspection endpoint is not known: see discovery.")
            return
        token = Secret(_MARK + secrets.token_urlsafe(32))
        result = self._probe(self._introspection(url).ask_flow(token, fresh=True, cache=None))
        if result.reason is not None:
            yield self._fault_of_introspection(result, url)
        elif result.value.is_active:
            yield problem(
                f"{shown(url)} says that a random token is active.",
                "Stop using this endpoint until it is fixed: it lets anybody in. If the URL belongs to a test server "
                "or a proxy, correct introspection_endpoint=.",
                fault="active-to-anything",
            )
        else:
            finding = ok(f"{shown(url)} accepts the site's credentials, and says that a random token is inactive.")
            yield self._with_speed(finding, result)

    def _endpoint(self) -> str | Metadata | None:
        validator = self._validator
        if not isinstance(validator, IntrospectTokenValidator) or validator._answers_itself:
            return None
        return validator._introspection.endpoint

    def _introspection(self, url: str) -> Introspection:
        own: Introspection = self._validator._introspection  # type: ignore[attr-defined]
        no_cache = IntrospectionCache(_MEMORY_SIZE, self._server.clock.steady, CachePolicy(0, 0, 0, 0))
        return replace(
            own,
            server=self._server.apart(),
            endpoint=url,
            results=no_cache,
            signer=lambda: self._signer,
            signed=self._signed(own.signed),
        )

    def _signed(self, own: SignedResponses | None) -> SignedResponses | None:
        keys = None if own is None else own.keys
        if own is None or not isinstance(keys, RemoteKeySource):
            return own
        location = keys._location if isinstance(keys._location, str) else Metadata(self._server, METADATA_TTL)
        fresh = RemoteKeySource(self._server, location, keys._lifetimes, lambda: self._signer, keys._algorithms)
        return replace(own, keys=fresh)

    def _fault_of_introspection(self, result: ProbeResult, url: str) -> Finding:
        response = result.exchanges[-1].response if result.exchanges else None
        # RFC 6749 §5.2: a server may also send invalid_client with 400.
        if result.reason is Reason.SERVER_REFUSES_US or (response is not None and response.status == 400):
            status = None if response is None else response.status
            return problem(
                f"{shown(url)} refuses the site's credentials (status {status}).",
                "Set client_id=, client_secret= and client_auth= as they are registered at the server, and allow this "
                "client to introspect tokens there.",
                fault="credentials",
                status=status,
            )
        return fault_of(result, {})

    # --- the clock ---

    def clock(self) -> Iterator[Finding]:
        """Report how far the server's clock differs from ours, as far as the recorded responses prove it."""
        return examine_clock(self._exchanges, getattr(self._validator, "leeway", NOTICEABLE_SKEW))

    # --- speed ---

    def _with_speed(self, finding: Finding, result: ProbeResult) -> Finding:
        """Return ``finding``, or report a slow server: it leaves requests to views little time or none."""
        took = result.seconds
        if finding.severity is Severity.ERROR or took <= self._timeout / 2:
            return finding
        found = f"{finding.found} It took {took:.1f} s. A request waits for {self._timeout:g} s in total."
        remedy = "Check the server's load and the network. If the server cannot be faster, set a longer timeout=."
        facts = {**finding.facts, "fault": "slow"}
        is_too_slow = took >= self._timeout
        return Finding(Severity.ERROR if is_too_slow else Severity.WARNING, found, remedy, facts)


def _location_of(source: KeySource | None) -> str | Metadata | None:
    return source._location if isinstance(source, RemoteKeySource) else None


def _found_metadata(result: ProbeResult) -> Finding:
    last = result.exchanges[-1]
    document: Any = None if last.response is None else read_json(last.response.body.reveal())
    named = {name: shown(url) for name, url in document.items() if name in _METADATA_URLS and isinstance(url, str)}
    listed = ", ".join(f"{name} {url}" for name, url in named.items())
    return ok(f"{shown(last.url)} names {listed}.", metadata=shown(last.url), **named)


_METADATA_URLS = ("jwks_uri", "introspection_endpoint", "revocation_endpoint", "token_endpoint")
