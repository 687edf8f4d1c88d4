"""Sender-constrained tokens: what a flow asks for before it lets a request present one."""

from types import SimpleNamespace
from typing import Any

import pytest

from async_oauth_guard.errors import (
    GuardError,
    InvalidDPoPProofError,
    InvalidTokenError,
    Reason,
    TemporarilyUnavailableError,
    reason_of,
)
from async_oauth_guard.protocol.access_token import AccessToken
from async_oauth_guard.protocol.confirmation import NO_POSSESSION, Possession
from async_oauth_guard.protocol.dpop import Proof
from async_oauth_guard.protocol.provider_profiles import get_profile
from async_oauth_guard.runtime.effects import CacheAdd, SingleFlight
from async_oauth_guard.runtime.replay_store import REPLAYS
from async_oauth_guard.validators.binding import BINDING, bind_flow, check_before_hook_flow
from async_oauth_guard.validators.clock import CLOCK
from tests.proofs import forget_proofs
from tests.unit.driving import PERFORM, drive

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _nothing_is_known() -> None:
    forget_proofs()


def context(digest: bytes = b"1", *, cache: str | None = "default", trace: Any = None) -> Any:
    proof = Proof(JKT, digest, expires_at=NOW + 69.5, checked_at=NOW, is_nonce_old=False)
    return SimpleNamespace(possession=Possession({"jkt": JKT}, proof), cache=cache, trace=trace)


def outcome(context: Any, *replies: Any) -> tuple[Reason | None, list[Any]]:
    """Why the request is refused, if it is, and what was asked for."""
    effects: list[Any] = []

    def flow() -> Any:
        try:
            yield from bind_flow({"jkt": JKT}, "DPoP", context)
        except GuardError as error:
            return reason_of(error)

    reason, effects = drive(flow(), *replies)
    return reason, effects


def test_what_the_cache_is_asked() -> None:
    """R96: the cache stores a key that says nothing about the proof, until the proof expires."""
    reason, [flight] = outcome(context(b"\x12" * 16), True)
    assert reason is None
    assert isinstance(flight, SingleFlight)
    assert drive(flight.flow(), False) == (False, [CacheAdd("default", "async_oauth_guard:dpop:" + "12" * 16, 72.0)])
    assert outcome(context(b"2", cache=None)) == (None, [])


def test_no_result_is_shared() -> None:
    """R96: two requests with one proof never share one result of the cache."""
    _, [first] = outcome(context(), True)
    forget_proofs()
    _, [second] = outcome(context(), False)
    assert first.key != second.key


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (True, None),
        (False, Reason.REPLAYED_PROOF),
        (None, Reason.REPLAY_STORE_UNAVAILABLE),
        (TemporarilyUnavailableError(reason=Reason.SERVER_TOO_SLOW), Reason.REPLAY_STORE_UNAVAILABLE),
    ],
)
def test_what_the_cache_says(reply: Any, reason: Reason | None) -> None:
    """E23: a proof is accepted only if the cache says that it is new. It cannot be used again in any case."""
    presented = context()
    assert outcome(presented, reply)[0] is reason
    assert presented.possession.proof.is_spent is (reason is None)
    assert outcome(context())[0] is Reason.REPLAYED_PROOF


def test_used_by_this_request() -> None:
    """A proof that this request has used is not used again."""
    presented = context()
    assert outcome(presented, True)[0] is None
    assert outcome(presented) == (None, [])
    assert len(REPLAYS._expiries) == 1


def test_used_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """R96: after the time for which proofs are remembered, nobody can say whether this one was used."""
    monkeypatch.setattr(CLOCK, "wall", lambda: NOW + 69.5)
    assert outcome(context(cache=None)) == (None, [])
    forget_proofs()
    monkeypatch.setattr(CLOCK, "wall", lambda: NOW + 69.6)
    assert outcome(context(cache=None)) == (Reason.EXPIRED_PROOF, [])


def test_applies_to_proofs_only() -> None:
    """Only a request with a proof uses one."""
    rule = BINDING[-1]
    assert rule.applies(context())
    assert not rule.applies(SimpleNamespace(possession=NO_POSSESSION, trace=None))
    assert not rule.applies(SimpleNamespace(possession=None, trace=None))


def test_before_a_hook() -> None:
    """R96: before a site's own `validate_token` is called, the proof is checked and used."""
    token = {"cnf": {"jkt": JKT}}
    assert drive(check_before_hook_flow(None, token, context(cache=None)), PERFORM)[0] is None
    with pytest.raises(InvalidDPoPProofError):
        drive(check_before_hook_flow(None, token, context(cache=None)), PERFORM)
    assert drive(check_before_hook_flow(None, None, context(b"2"))) == (None, [])
    # The server may call a token bound without saying to which key.
    dpop = AccessToken({"token_type": "DPoP"}, profile=get_profile("rfc9068"))
    with pytest.raises(InvalidTokenError):
        drive(
            check_before_hook_flow(None, dpop, SimpleNamespace(possession=Possession(), cache=None, trace=None)),
            PERFORM,
        )
    bearer = SimpleNamespace(possession=NO_POSSESSION, cache=None, trace=None)
    assert drive(check_before_hook_flow(None, token, bearer)) == (None, [])


class Judging:
    """A validator that judges what it found, before the site's hook does."""

    def __init__(self, reason: Reason | None) -> None:
        self._reason = reason

    def _check_before_hook(self, token: Any) -> Reason | None:
        return self._reason


def test_judged_before_a_hook() -> None:
    """R68: if the validator refuses a token, the site's own `validate_token` is not called, and no proof is used."""
    token, presented = {"cnf": {"jkt": JKT}}, context(cache=None)
    with pytest.raises(InvalidTokenError) as caught:
        drive(check_before_hook_flow(Judging(Reason.INACTIVE_TOKEN), token, presented), PERFORM)
    assert caught.value.reason is Reason.INACTIVE_TOKEN
    assert not presented.possession.proof.is_spent
    drive(check_before_hook_flow(Judging(None), token, presented), PERFORM)
    assert presented.possession.proof.is_spent
