"""Proofs that are garbage take up no memory."""

import gc
import time

import psutil
import pytest
from django.test import RequestFactory

from async_oauth_guard import DPoP, InvalidDPoPProofError, Reason, ResourceProtector
from async_oauth_guard.protocol.dpop import PresentedProof, check_proof
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.replay_store import REPLAYS
from tests.own_tokens import Own
from tests.proofs import KEY, encode, forget_proofs, make_proof, public, thumbprint

URI = "http://testserver/"
NUMBER = 60_000
# The caches of headers and keys are full after this many: they hold 1,024 entries, and every fourth proof adds one.
WARM_UP = 6_000
# Bytes. A set of the proofs' hashes alone would need more.
LIMIT = 2 * 1024 * 1024


def garbage(number: int, good: str) -> str:
    """No two alike: not of the form of a proof, or wrong in a claim, the key or the signature."""
    header, claims, signature = good.split(".")
    match number % 4:
        case 0:
            return f"{number}.{header}.{signature}"
        case 1:
            return f"{header}.{encode({'jti': f'garbage {number}'})}.{signature}"
        case 2:
            # Another key each time, which is not one, and everything else is right.
            jwk = {**public(KEY), "x": encode(number.to_bytes(32))}
            return f"{encode({'typ': 'dpop+jwt', 'alg': 'ES256', 'jwk': jwk})}.{claims}.{signature}"
        case _:
            return f"{header}.{claims}.{signature[:60]}{number:026}"


def memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


@pytest.mark.slow
def test_garbage() -> None:
    """R81, R96: 60,000 garbage proofs are refused, and leave the memory as it was."""
    policy, token, now = DPoP(), Secret("t"), time.time()
    good, before = make_proof("t"), 0
    for number in range(WARM_UP + NUMBER):
        if number == WARM_UP:
            before = memory()
        proof = Secret(garbage(number, good))
        presented = PresentedProof(policy=policy, value=proof, method="GET", uri=URI, token=token, now=now)
        assert isinstance(check_proof(presented), Reason)
    assert memory() - before < LIMIT


def test_nothing_is_remembered() -> None:
    """R96: a guard stores nothing for a proof that it refuses."""
    protector = ResourceProtector(Own({"jkt": thumbprint()}), public_origin="http://testserver", dpop=True)
    forget_proofs()
    good = make_proof("t")
    for number in range(400):
        request = RequestFactory().get("/", headers={"Authorization": "DPoP t", "DPoP": garbage(number, good)})
        with pytest.raises(InvalidDPoPProofError):
            protector.acquire_token(request)
    assert len(REPLAYS._expiries) == 0
