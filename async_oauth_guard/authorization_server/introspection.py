"""Token introspection (RFC 7662). Concurrent requests share one introspection call; responses are cached briefly."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from ..errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from ..protocol import logs
from ..protocol.claims import check_audience, check_issuer, check_times, is_time, media_subtype
from ..protocol.copies import own_copy
from ..protocol.credentials import is_token68
from ..protocol.jwt import parse_jwt, verify_signature
from ..protocol.secrets import Secret
from ..runtime.effects import (
    CacheDelete,
    CacheRead,
    CacheWrite,
    Compute,
    Flow,
    OutboundRequest,
    OutboundResponse,
    SingleFlight,
)
from .backoff import Attempt
from .cache_entries import CacheEntry, CacheSigner
from .introspection_cache import Epoch, IntrospectionCache, IntrospectionResult
from .jwks import KeySource
from .metadata import Metadata, Server
from .responses import JSON, call_flow, check_response, read_json_object, shown, unusable

__all__ = [
    "BAD_RESPONSES",
    "MAX_RESPONSE_SIZE",
    "SIGNED",
    "Introspection",
    "Proof",
    "SignedResponses",
    "read_introspection_result",
]

logger = logging.getLogger("async_oauth_guard.introspection")

SIGNED = "application/token-introspection+jwt"
"""RFC 9701 §4: the media type of a signed response."""

BAD_RESPONSES = 5
"""Bad responses in a row after which a wait starts. Fewer may be caused by the tokens that were sent."""

# RFC 9110 §15.5: statuses that find fault with the content of the request.
_STATUSES_ABOUT_A_TOKEN = frozenset({400, 404, 406, 413, 414, 415, 422, 431})
MAX_RESPONSE_SIZE = 65_536
"""Maximum bytes of a response. Each request that uses the response gets a copy."""

# Maximum seconds since a signed response was issued: the response to the current request has just been issued.
_LONGEST_AGE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedResponses:
    """How signed responses (RFC 9701) are verified.

    Attributes:
        keys: the server's keys.
        required: whether unsigned responses are refused.
        audiences: returns the identifiers of this resource server, one of which must be in ``aud``.
    """

    keys: KeySource
    required: bool
    audiences: Callable[[], Collection[str]]


Proof: TypeAlias = tuple[Mapping[str, str | Secret[str]], Mapping[str, str | Secret[str]]]
"""The header fields and the form fields that authenticate the client."""


# Compared by identity, because it is part of the keys of single flights.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Introspection:
    """A client of an introspection endpoint.

    Attributes:
        endpoint: the URL of the endpoint, or the metadata that contains it.
        authenticate_flow: returns the proof that authenticates the client, for a URL and a time in seconds since the
            epoch.
        signer: returns the signer for entries of the shared cache.
        signed: how signed responses are verified, or ``None`` if they are not used.
    """

    server: Server
    endpoint: str | Metadata
    authenticate_flow: Callable[[str, float], Flow[Proof]]
    results: IntrospectionCache
    signer: Callable[[], CacheSigner]
    signed: SignedResponses | None

    def ask_flow(
        self, token: Secret[str], *, fresh: bool, cache: str | None, signer: CacheSigner | None = None
    ) -> Flow[IntrospectionResult]:
        """Return the introspection result of ``token``, from a cache unless ``fresh`` is true.

        Args:
            cache: the alias of the shared Django cache, or ``None``.
            signer: what `signer` returns, if the caller has it already.

        Raises:
            InvalidTokenError: ``token`` does not have the form of a bearer token, so the server is not asked.
            TemporarilyUnavailableError: there is no usable response and no stale result.
        """
        signer = signer or self.signer()
        key = signer.digest(token)
        cached = None if fresh else self.results.cached(key, self.server.clock.steady())
        if cached is not None:
            return cached
        if not is_token68(token.reveal()):
            raise InvalidTokenError(reason=Reason.UNRECOGNISED_TOKEN)
        entry = _entry(cache, signer, key)
        try:
            result: IntrospectionResult = yield self._join(token, key, fresh, entry)
        except TemporarilyUnavailableError:
            # Read the cache only now: another result may have been stored meanwhile, and it may be inactive.
            stale = None if fresh else self.results.stale(key, self.server.clock.steady())
            if stale is None:
                raise
            return stale
        return result

    def _join(self, token: Secret[str], key: bytes, fresh: bool, entry: CacheEntry | None) -> SingleFlight:
        # Never join a call that began before the token was invalidated, or before a fresh result was requested.
        shared_key = (self, object()) if fresh else (self, key, self.results.epoch_of(key))
        return SingleFlight(shared_key, lambda: self._fetch_flow(token, key, fresh, entry), self.server.timeout)

    def _fetch_flow(
        self, token: Secret[str], key: bytes, fresh: bool, entry: CacheEntry | None
    ) -> Flow[IntrospectionResult]:
        """Runs on the outbound loop."""
        epoch = self.results.epoch_of(key)
        # A call that has just ended may have stored a result since the caller read the cache.
        cached = None if fresh else self.results.cached(key, self.server.clock.steady())
        if cached is None and entry is not None and not fresh:
            cached = yield from self._find_shared_flow(entry, key, epoch)
        if cached is not None:
            return cached
        result = yield from self._introspect_flow(token)
        if self.results.keep(key, result, epoch) and entry is not None:
            yield from self._share_flow(entry, key, result, epoch)
        return result

    def ask_hook_flow(
        self, hook_flow: Callable[[], Flow[Any]], token: Secret[str], fresh: bool, signer: CacheSigner | None
    ) -> Flow[Any]:
        """Return the claims from a subclass's hook. With a ``signer``, they are cached like a server's response."""
        if signer is None:
            return (yield from hook_flow())
        key, clock = signer.digest(token), self.server.clock
        epoch, began = self.results.epoch_of(key), clock.steady()
        cached = None if fresh else self.results.cached(key, began)
        if cached is not None:
            return own_copy(cached.claims)
        claims = yield from hook_flow()
        if type(claims) is dict and isinstance(claims.get("active"), bool) and claims.get("exp", 0) is not None:
            reason = check_times(claims, clock.wall(), leeway=0, required=False)
            if reason is None or not claims["active"]:
                result = self.results.result(own_copy(claims), began, clock.steady(), clock.wall())
                self.results.keep(key, result, epoch)
        return claims

    def forget_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        """Invalidate ``token`` in this process and in the shared cache."""
        signer = self.signer()
        key = signer.digest(token)
        self.results.forget(key, self.server.clock.steady())
        entry = _entry(cache, signer, key)
        if entry is not None:
            yield SingleFlight((self, object()), lambda: self._clear_flow(entry, key), self.server.timeout)

    def _clear_flow(self, entry: CacheEntry, key: bytes) -> Flow[None]:
        yield CacheDelete(entry.cache, entry.name)
        # Another request may have read the entry before it was deleted.
        self.results.forget(key, self.server.clock.steady())

    def _share_flow(self, entry: CacheEntry, key: bytes, result: IntrospectionResult, epoch: Epoch) -> Flow[None]:
        if result.is_active:
            yield from self._write_shared_flow(entry, result)
        if not result.is_active or self.results.epoch_of(key) is not epoch:
            # Another worker may have stored an active result, or the token was invalidated during the write.
            yield CacheDelete(entry.cache, entry.name)

    def _introspect_flow(self, token: Secret[str]) -> Flow[IntrospectionResult]:
        server, clock = self.server, self.server.clock
        server.backoff.check_open()
        endpoint = self.endpoint
        url = endpoint if isinstance(endpoint, str) else (yield from endpoint.address_flow("introspection_endpoint"))
        proof = yield from self.authenticate_flow(url, clock.wall())
        with server.backoff.attempt() as attempt:
            began = clock.steady()
            response = yield from call_flow(self._call(url, token, proof, attempt), attempt, clock.wall())
            claims = yield from self._read_flow(response, shown(url))
        return self.results.result(claims, began, clock.steady(), clock.wall())

    def _call(self, url: str, token: Secret[str], proof: Proof, attempt: Attempt) -> OutboundRequest:
        server, (headers, form) = self.server, proof
        accept = JSON if self.signed is None else SIGNED if self.signed.required else f"{SIGNED}, {JSON};q=0.5"
        return OutboundRequest(
            "POST",
            url,
            server.client,
            server.concurrency_limit,
            {"Accept": accept, **headers},
            # RFC 7662 §2.1
            {"token": token, "token_type_hint": "access_token", **form},
            max_body=MAX_RESPONSE_SIZE,
            purpose="introspection",
            ready=lambda: server.backoff.check(attempt),
        )

    def _read_flow(self, response: OutboundResponse, url: str) -> Flow[Mapping[str, Any]]:
        if response.status in (401, 403):
            # RFC 7662 §2.3: the server does not accept our credentials. This says nothing about the token.
            reason = Reason.SERVER_REFUSES_US
            what = "%s refuses the credentials of this site (status %d)"
            logs.write(logger, logging.ERROR, what, url, response.status, extra={"reason": reason})
            raise TemporarilyUnavailableError(reason=reason)
        signed = self.signed
        # RFC 9701 §5: if a signed response is required, a plain one must not be accepted.
        accepted = [JSON] if signed is None else [SIGNED] if signed.required else [SIGNED, JSON]
        is_about_token = response.status in _STATUSES_ABOUT_A_TOKEN
        reason = Reason.TOKEN_ANSWER_UNUSABLE if is_about_token else Reason.SERVER_ANSWER_UNUSABLE
        check_response(response, url, accepted, reason)
        if signed is not None and response.media_type == SIGNED:
            document = yield from self._read_signed_flow(signed, response, url)
        else:
            document = read_json_object(response, url)
        return read_introspection_result(document, url)

    def _read_signed_flow(self, signed: SignedResponses, response: OutboundResponse, url: str) -> Flow[Any]:
        """Return the claims in a signed response (RFC 9701 §5): only those in ``token_introspection``."""
        jwt = parse_jwt(Secret(response.body.reveal().decode("ascii", "replace").strip()))
        if isinstance(jwt, Reason):
            unusable(f"{url} responded with a signed response that cannot be read: {jwt}")
        wall, issuer = self.server.clock.wall(), self.server.issuer or ""
        reason = (
            (None if f"application/{media_subtype(jwt.type or '')}" == SIGNED else Reason.WRONG_TYPE)
            or check_issuer(jwt.claims, issuer)
            or check_audience(jwt.claims, signed.audiences())
            or (None if jwt.claims.get("iat") is not None else Reason.MISSING_CLAIM)
            or check_times(jwt.claims, wall, leeway=0, required=False)
            # An old response may be a replay, and the token may have been revoked since.
            or (None if jwt.claims["iat"] >= wall - _LONGEST_AGE else Reason.EXPIRED)
        )
        if reason is not None:
            unusable(f"{url} responded with a signed response that is not valid for this client: {reason}")
        candidates = yield from signed.keys.matching_keys_flow(jwt, None)
        if (yield Compute(partial(verify_signature, jwt, candidates))) is None:
            unusable(f"{url} responded with a signed response whose signature is not valid")
        return jwt.claims.get("token_introspection")

    def _find_shared_flow(self, entry: CacheEntry, key: bytes, epoch: Epoch) -> Flow[IntrospectionResult | None]:
        """Return the result that another worker stored in the shared cache, if it may still be used."""
        text = yield CacheRead(entry.cache, entry.name)
        clock = self.server.clock
        wall = clock.wall()
        stored = entry.signer.verify(entry.name, text, wall)
        if stored is None:
            return None
        # Treat it like a response that arrived here at that time. The clock of another worker may be ahead.
        age = max(0.0, wall - stored["began_at"])
        began = clock.steady() - age
        result = self.results.result(stored["claims"], began, began, wall - age)
        return result if self.results.keep(key, result, epoch) and clock.steady() < result.until else None

    def _write_shared_flow(self, entry: CacheEntry, result: IntrospectionResult) -> Flow[None]:
        wall, now = self.server.clock.wall(), self.server.clock.steady()
        seconds = result.kept_until - now
        value = {"claims": result.claims, "began_at": wall - (now - result.began)}
        yield CacheWrite(entry.cache, entry.name, entry.signer.sign(entry.name, value, wall + seconds), seconds)


def _entry(cache: str | None, signer: CacheSigner, key: bytes) -> CacheEntry | None:
    return None if cache is None else CacheEntry(cache, signer.name("active", key), signer)


def read_introspection_result(document: Any, where: str) -> Mapping[str, Any]:
    """Return the claims of an introspection response (RFC 7662 §2.2). ``where`` names the sender in log lines.

    Raises:
        TemporarilyUnavailableError: the response must be a JSON object with a Boolean ``active``, and the times of an
            active token must be numbers.
    """
    if not isinstance(document, dict) or not isinstance(document.get("active"), bool):
        unusable(f"{where} must respond with a JSON object whose active is true or false")
    if document["active"]:
        for name in ("exp", "nbf", "iat"):
            if not (document.get(name) is None or is_time(document[name])):
                unusable(f"{where} must respond with a number for {name}, got something else")
    return document
