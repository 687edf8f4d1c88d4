"""Accepts each DPoP proof once (RFC 9449 §11.1): by the memory of this process, and by the cache that workers share."""

from typing import Any, Final

from ..errors import Reason, TemporarilyUnavailableError
from ..protocol.confirmation import Binding
from ..protocol.dpop import Proof
from ..protocol.rules import Rule
from ..runtime.effects import CacheAdd, Flow, SingleFlight
from ..runtime.replay_store import REPLAYS, Memory
from .clock import CLOCK

__all__ = ["REPLAY"]

# Seconds. A little more than the cache may take.
_STORE_TIMEOUT: Final = 2.5


def _has_proof(context: Any) -> bool:
    return context.possession is not None and context.possession.proof is not None


def _spend_flow(binding: Binding) -> Flow[Reason | None]:
    """Use the proof. RFC 9449 §11.1: "servers SHOULD store, in the context of the target URI, the jti value"."""
    # The rule applies only to requests with a proof.
    proof: Any = getattr(binding.possession, "proof", None)
    if proof.is_spent:
        return None
    if CLOCK.wall() > proof.expires_at:
        # Since its `iat` was checked, so much time has passed that an earlier use may have been forgotten.
        return Reason.EXPIRED_PROOF
    memory = REPLAYS.remember(proof.thumbprint, proof.digest, expires_at=proof.expires_at, now=proof.checked_at)
    if memory is not Memory.NEW:
        return Reason.REPLAYED_PROOF if memory is Memory.KNOWN else Reason.REPLAY_STORE_FULL
    if binding.cache is not None:
        reason = yield from _spend_in_cache_flow(binding.cache, proof)
        if reason is not None:
            return reason
    proof.is_spent = True
    return None


def _spend_in_cache_flow(alias: str, proof: Proof) -> Flow[Reason | None]:
    """Use the proof in the cache that workers share."""
    # Another request may pass the check of the time, and then wait for the cache.
    lifetime = proof.expires_at - proof.checked_at + _STORE_TIMEOUT
    add = CacheAdd(alias, f"async_oauth_guard:dpop:{proof.digest.hex()}", lifetime)

    def add_flow() -> Flow[bool | None]:
        added: bool | None = yield add
        return added

    try:
        # A key of its own: two requests must not share one result.
        is_new = yield SingleFlight(object(), add_flow, _STORE_TIMEOUT)
    except TemporarilyUnavailableError:
        return Reason.REPLAY_STORE_UNAVAILABLE
    if is_new is None:
        return Reason.REPLAY_STORE_UNAVAILABLE
    return None if is_new else Reason.REPLAYED_PROOF


REPLAY: Rule[Binding, Any] = Rule("proof was not used before", _spend_flow, applies=_has_proof, is_flow=True)
