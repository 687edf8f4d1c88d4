"""Token introspection (RFC 7662): a server is asked about a token, once for all who ask, and its word kept a while."""

import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import logs
from ..claims import check_audience, check_issuer, check_times, media_subtype
from ..credentials import Secret
from ..effects import CacheDelete, CacheRead, CacheWrite, Flow, HttpAnswer, HttpCall, Once
from ..errors import Reason, TemporarilyUnavailableError
from ..jose import parse_jwt, verify_signature
from .answers import JSON, call_flow, check_answer, read_json_object, shown, unusable
from .backoff import Attempt
from .caching import Memory, Shelf, Vault
from .discovery import Metadata, Server
from .keysets import KeySource

__all__ = [
    "MAX_ANSWER_SIZE",
    "SIGNED",
    "Introspection",
    "Lifetimes",
    "SignedResponses",
    "Verdicts",
    "Word",
    "read_word",
]

logger = logging.getLogger("async_oauth_guard.introspection")

SIGNED = "application/token-introspection+jwt"
"""RFC 9701 §4: the media type of a signed response."""

# RFC 9110 §15.5: those that find fault with what was sent.
_STATUSES_ABOUT_A_TOKEN = frozenset({400, 404, 406, 413, 414, 415, 422, 431})
MAX_ANSWER_SIZE = 65_536
"""Bytes of an answer; what is longer is none. Each request that it serves gets a copy."""

# Of keys: see `Verdicts.epoch_of`.
_EPOCHS = 1024
# What an entry takes beside the text of its claims.
_OVERHEAD = 600


@dataclass(frozen=True, slots=True)
class Word:
    """What a server said of a token. All times are steady seconds.

    Attributes:
        is_active: ``active`` of RFC 7662 §2.2.
        claims: the whole answer; everybody's, so nobody may change it.
        began: when the call began, so that a later word is known from an earlier one.
        until: when it has to be asked for again.
        stale_until: until when it may be used where the server cannot be asked.
        size: about how many bytes it takes.
    """

    is_active: bool
    claims: Mapping[str, Any] = field(repr=False)
    began: float
    until: float
    stale_until: float
    size: int


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds: for how long a yes and a no are used, and how much longer a yes is while the server cannot be asked."""

    yes: float
    no: float
    stale: float


@dataclass(frozen=True, slots=True, eq=False)
class _Epoch:
    """The time since a token was invalidated, for the keys that share it."""

    began: float


class Verdicts:
    """The policy of remembered words: yes and no apart, so that a flood of garbage pushes out no yes."""

    def __init__(self, active: Memory[Word], inactive: Memory[Word], lifetimes: Lifetimes) -> None:
        self._active = active
        self._inactive = inactive
        self._lifetimes = lifetimes
        # Another one after each invalidation of one of its tokens. Their keys are spread evenly, so that one is nothing
        # to most others.
        self._epochs = [_Epoch(-math.inf) for _ in range(_EPOCHS)]

    def epoch_of(self, key: bytes) -> "_Epoch":
        """What changes when a token is invalidated; a word whose call began in an earlier epoch is not kept."""
        return self._epochs[int.from_bytes(key[:2]) % _EPOCHS]

    def find(self, key: bytes) -> Word | None:
        """What was last said of a token, however long ago."""
        return self._active.get(key) or self._inactive.get(key)

    def word(self, claims: Mapping[str, Any], began: float, now: float, wall: float, size: int) -> Word:
        """What the claims of an answer mean that came ``now``; ``wall`` is the same moment as tokens count it."""
        if not claims["active"]:
            return Word(False, {"active": False}, began, now + self._lifetimes.no, now, _OVERHEAD)
        # RFC 7662 §4: "the response MUST NOT be cached beyond the time indicated therein"
        expires_at = claims.get("exp")
        left = math.inf if expires_at is None else expires_at - wall
        until = now + min(self._lifetimes.yes, left)
        stale_until = now + min(self._lifetimes.yes + self._lifetimes.stale, left)
        return Word(True, claims, began, until, stale_until, size + _OVERHEAD)

    def keep(self, key: bytes, word: Word, epoch: _Epoch) -> bool:
        """Remember ``word``, whose call began in ``epoch``; whether it is remembered.

        It is not where something was invalidated since, nor is a yes where a no is known of which the call began later.
        """
        if self.epoch_of(key) is not epoch or not self._put(key, word):
            return False
        if self.epoch_of(key) is epoch:
            return True
        # Another thread came in between.
        self._put_over(key, self.epoch_of(key).began)
        return False

    def _put(self, key: bytes, word: Word) -> bool:
        if not word.is_active:
            self._active.discard(key)
            self._inactive.put(key, word)
            return True
        refusal = self._inactive.get(key)
        if refusal is not None and refusal.began > word.began:
            return False
        self._inactive.discard(key)
        self._active.put(key, word)
        return True

    def forget(self, key: bytes, now: float) -> None:
        """Forget what was said of a token until ``now``, and what calls that are under way will say."""
        self._epochs[int.from_bytes(key[:2]) % _EPOCHS] = _Epoch(now)
        self._put_over(key, now)

    def _put_over(self, key: bytes, now: float) -> None:
        self._active.discard(key)
        # A no that is over: nobody may use it, but no yes of before is kept against it.
        self._inactive.put(key, Word(False, {"active": False}, now, now, now, _OVERHEAD))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedResponses:
    """How RFC 9701's signed answers are read; ``audiences``: who we are to the server."""

    keys: KeySource
    required: bool
    audiences: Callable[[], Collection[str]]


# Compared by identity: it is part of the keys of flights.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Introspection:
    """An introspection endpoint, as a client of it sees it.

    ``authenticate`` gives the header fields and the form fields by which we prove who we are, for a URL and a time.
    """

    server: Server
    endpoint: str | Metadata
    authenticate: Callable[[str, float], tuple[Mapping[str, str | Secret[str]], Mapping[str, str | Secret[str]]]]
    verdicts: Verdicts
    vault: Callable[[], Vault]
    signed: SignedResponses | None

    def ask_flow(self, token: Secret[str], *, fresh: bool, cache: str | None) -> Flow[Word]:
        """What the server says of ``token``, or said not long ago unless the answer is to be ``fresh``.

        Raises:
            TemporarilyUnavailableError: nobody can tell.
        """
        vault = self.vault()
        key = vault.digest(token)
        known = None if fresh else self.verdicts.find(key)
        if known is not None and self.server.clock.steady() < known.until:
            return known
        # What was sent before the token was invalidated, or before a fresh answer was asked for, is joined by nobody.
        flight = (self, object()) if fresh else (self, key, self.verdicts.epoch_of(key))
        shelf = _shelf(cache, vault, key)
        try:
            word: Word = yield Once(flight, lambda: self._learn_flow(token, key, fresh, shelf), self.server.timeout)
        except TemporarilyUnavailableError:
            stale = None if fresh else self._stale(key)
            if stale is None:
                raise
            return stale
        return word

    def forget_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        """Forget ``token`` here and in the shared cache."""
        vault = self.vault()
        key = vault.digest(token)
        self.verdicts.forget(key, self.server.clock.steady())
        shelf = _shelf(cache, vault, key)
        if shelf is not None:
            yield Once((self, object()), lambda: self._clear_flow(shelf, key), self.server.timeout)

    def _clear_flow(self, shelf: Shelf, key: bytes) -> Flow[None]:
        yield CacheDelete(shelf.cache, shelf.name)
        # Somebody may have found it there in the meantime.
        self.verdicts.forget(key, self.server.clock.steady())

    def _stale(self, key: bytes) -> Word | None:
        # Looked for anew: what came from the shared cache meanwhile counts, and a no that came ends it.
        known = self.verdicts.find(key)
        is_usable = known is not None and known.is_active and self.server.clock.steady() < known.stale_until
        return known if is_usable else None

    def _learn_flow(self, token: Secret[str], key: bytes, fresh: bool, shelf: Shelf | None) -> Flow[Word]:
        """Runs on the outgoing loop."""
        epoch = self.verdicts.epoch_of(key)
        # Who found nothing may have been late with asking here.
        known = None if fresh else self.verdicts.find(key)
        if known is not None and self.server.clock.steady() < known.until:
            return known
        if shelf is not None and not fresh:
            shared = yield from self._read_shared_flow(shelf)
            if (
                shared is not None
                and self.verdicts.keep(key, shared, epoch)
                and self.server.clock.steady() < shared.until
            ):
                return shared
        word = yield from self._introspect_flow(token)
        if self.verdicts.keep(key, word, epoch) and shelf is not None:
            yield from self._share_flow(shelf, key, word, epoch)
        return word

    def _share_flow(self, shelf: Shelf, key: bytes, word: Word, epoch: _Epoch) -> Flow[None]:
        if word.is_active:
            yield from self._write_shared_flow(shelf, word)
        if not word.is_active or self.verdicts.epoch_of(key) is not epoch:
            # Another worker may have left a yes; and what was invalidated while it was being written is not to stay.
            yield CacheDelete(shelf.cache, shelf.name)

    def _introspect_flow(self, token: Secret[str]) -> Flow[Word]:
        server, clock = self.server, self.server.clock
        server.backoff.check_open()
        endpoint = self.endpoint
        url = endpoint if isinstance(endpoint, str) else (yield from endpoint.address_flow("introspection_endpoint"))
        with server.backoff.attempt() as attempt:
            began = clock.steady()
            answer = yield from self._call_flow(url, token, attempt)
            claims = yield from self._read_flow(answer, shown(url))
        return self.verdicts.word(claims, began, clock.steady(), clock.wall(), _size_of(answer.body.reveal()))

    def _call_flow(self, url: str, token: Secret[str], attempt: Attempt) -> Flow[HttpAnswer]:
        try:
            return (yield from call_flow(self._call(url, token, attempt), attempt, self.server.clock.wall()))
        except TemporarilyUnavailableError as error:
            if error.reason is Reason.SERVER_ANSWER_UNUSABLE:
                # Too long, or compressed: what the server knows of this token's user, perhaps.
                error.reason = Reason.TOKEN_ANSWER_UNUSABLE
            raise

    def _call(self, url: str, token: Secret[str], attempt: Attempt) -> HttpCall:
        server = self.server
        headers, form = self.authenticate(url, server.clock.wall())
        accept = JSON if self.signed is None else SIGNED if self.signed.required else f"{SIGNED}, {JSON};q=0.5"
        return HttpCall(
            "POST",
            url,
            server.client,
            server.gate,
            {"Accept": accept, **headers},
            # RFC 7662 §2.1
            {"token": token, "token_type_hint": "access_token", **form},
            max_body=MAX_ANSWER_SIZE,
            purpose="introspection",
            ready=lambda: server.backoff.check(attempt),
        )

    def _read_flow(self, answer: HttpAnswer, url: str) -> Flow[Mapping[str, Any]]:
        if answer.status in (401, 403):
            # RFC 7662 §2.3: about the credentials of ours. No token is any worse for it.
            reason = Reason.SERVER_REFUSES_US
            what = "%s refuses our own credentials (status %d)"
            logs.write(logger, logging.ERROR, what, url, answer.status, extra={"reason": reason})
            raise TemporarilyUnavailableError(reason=reason)
        signed = self.signed
        # RFC 9701 §5: where a signed response is required, a plain one is none.
        accepted = [JSON] if signed is None else [SIGNED] if signed.required else [SIGNED, JSON]
        is_about_token = answer.status < 300 or answer.status in _STATUSES_ABOUT_A_TOKEN
        reason = Reason.TOKEN_ANSWER_UNUSABLE if is_about_token else Reason.SERVER_ANSWER_UNUSABLE
        check_answer(answer, url, accepted, reason)
        if signed is not None and answer.media_type == SIGNED:
            document = yield from self._read_signed_flow(signed, answer, url)
        else:
            document = read_json_object(answer, url, Reason.TOKEN_ANSWER_UNUSABLE)
        return read_word(document, url)

    def _read_signed_flow(self, signed: SignedResponses, answer: HttpAnswer, url: str) -> Flow[Any]:
        """The claims within a signed response (RFC 9701 §5); those beside ``token_introspection`` say nothing."""
        jwt = parse_jwt(Secret(answer.body.reveal().decode("ascii", "replace").strip()))
        if isinstance(jwt, Reason):
            unusable(f"{url} answered with a signed response that cannot be read: {jwt}", Reason.TOKEN_ANSWER_UNUSABLE)
        wall, issuer = self.server.clock.wall(), self.server.issuer or ""
        reason = (
            (None if _is_response(jwt.type) else Reason.WRONG_TYPE)
            or check_issuer(jwt.claims, issuer)
            or check_audience(jwt.claims, signed.audiences())
            or (None if jwt.claims.get("iat") is not None else Reason.MISSING_CLAIM)
            or check_times(jwt.claims, wall, leeway=0, required=False)
        )
        if reason is not None:
            unusable(
                f"{url} answered with a signed response that is not for us: {reason}", Reason.TOKEN_ANSWER_UNUSABLE
            )
        if verify_signature(jwt, (yield from signed.keys.candidates_flow(jwt, None))) is None:
            unusable(f"{url} answered with a signed response that does not verify")
        return jwt.claims.get("token_introspection")

    def _read_shared_flow(self, shelf: Shelf) -> Flow[Word | None]:
        text = yield CacheRead(shelf.cache, shelf.name)
        clock = self.server.clock
        wall = clock.wall()
        shared = shelf.vault.unseal(shelf.name, text, wall)
        if shared is None:
            return None
        # As if it had been said here, so long ago. Another worker's clock may be ahead of ours.
        age = max(0.0, wall - shared["asked_at"])
        began = clock.steady() - age
        return self.verdicts.word(shared["claims"], began, began, wall - age, _size_of(text.encode()))

    def _write_shared_flow(self, shelf: Shelf, word: Word) -> Flow[None]:
        wall, now = self.server.clock.wall(), self.server.clock.steady()
        seconds = word.stale_until - now
        value = {"claims": word.claims, "asked_at": wall - (now - word.began)}
        yield CacheWrite(shelf.cache, shelf.name, shelf.vault.seal(shelf.name, value, wall + seconds), seconds)


def _shelf(cache: str | None, vault: Vault, key: bytes) -> Shelf | None:
    return None if cache is None else Shelf(cache, vault.name("yes", key), vault)


def _size_of(body: bytes) -> int:
    # About what its values take when they have been read: sixty bytes each, however short they are written.
    return len(body) + 64 * (body.count(b",") + body.count(b"[") + body.count(b"{"))


def _is_response(typ: str | None) -> bool:
    return typ is not None and f"application/{media_subtype(typ)}" == SIGNED


def read_word(document: Any, where: str) -> Mapping[str, Any]:
    """The claims of an introspection response (RFC 7662 §2.2).

    Raises:
        TemporarilyUnavailableError: it is none: only a JSON object with a Boolean ``active`` says yes or no.
    """
    if not isinstance(document, dict) or not isinstance(document.get("active"), bool):
        unusable(f"{where} answered without saying whether the token is active", Reason.TOKEN_ANSWER_UNUSABLE)
    if document["active"]:
        for name in ("exp", "nbf", "iat"):
            if not (document.get(name) is None or _is_time(document[name])):
                unusable(f"{where} answered with a time that is none: {name}", Reason.TOKEN_ANSWER_UNUSABLE)
    return document


def _is_time(value: Any) -> bool:
    # An integer may be too large for a float, which is no time either.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18
