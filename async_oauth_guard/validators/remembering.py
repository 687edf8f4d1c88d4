"""Keeps next to a cached result under what circumstances requests with the token were let in."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..authorization_server.cache_entries import CacheSigner
from ..authorization_server.metadata import Server
from ..protocol.access_token import AccessToken, TokenState
from ..protocol.claims import Lifetime, lifetime_under
from ..protocol.secrets import Secret
from .base import TokenValidator
from .found_token import FoundToken

__all__ = ["Admission", "RememberingValidator"]


@dataclass(frozen=True, slots=True)
class Admission:
    """What it depended on that a token was let in, besides its cached result and what the caller compares.

    ``policy`` is what the claims had to fulfil.
    """

    lifetime: Lifetime
    audiences: Collection[str]
    policy: Any


class RememberingValidator(TokenValidator):
    """A validator whose cached results a guard may use again without a flow. See `guard.memo`."""

    _server: Server

    def signer(self) -> CacheSigner:
        """Creates the keys and signatures of this validator's cache entries."""
        raise NotImplementedError

    def recall(self, token: Secret[str], circumstances: Any) -> tuple[FoundToken, TokenState] | None:
        """The token of a request, if `keep` remembers it for the same ``circumstances``, and it is still valid."""
        known = self._remembered(self.signer().digest(token))
        admission: Admission | None = None if known is None else known.admissions.get(circumstances)
        if known is None or admission is None or admission.lifetime.check(self._server.clock.wall()) is not None:
            return None
        token_of_request = self._present(known, admission.audiences)
        # A guard behind this one may remember the token too.
        found = FoundToken(self, token_of_request, (known, admission.policy))
        return found, self._read_grant_of(token_of_request, None)

    def keep(self, token: Secret[str], circumstances: Any, found: Any, state: TokenState) -> None:
        """Remember that ``token`` was let in, unless more than its cached result and the time decided about it."""
        if state.remembered is None or type(found) is not AccessToken:
            return
        known, policy = state.remembered
        if found != known.claims:
            # Code of the site has changed the token, for this request only.
            return
        lifetime = lifetime_under(policy, found)
        if isinstance(lifetime, Lifetime) and found.user is None and found.get("cnf") is None:
            admission = Admission(lifetime, found._audiences, policy)
            self._admit(self.signer().digest(token), known, circumstances, admission)

    def _remembered(self, key: bytes) -> Any:
        """The cached result for a token, if it may be used now without I/O."""
        raise NotImplementedError

    def _admit(self, key: bytes, known: Any, circumstances: Any, admission: Admission) -> None:
        """Store an admission with the cached result."""
        raise NotImplementedError

    def _present(self, known: Any, audiences: Collection[str]) -> AccessToken:
        """The token of one request, made from a cached result."""
        raise NotImplementedError

    def _read_grant_of(self, token: Any, user: Any) -> TokenState:
        """The scopes and the user of a valid token."""
        raise NotImplementedError
