"""DPoP proofs that are sent to two worker processes with one Redis."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.proofs import dpop, make_proof, thumbprint
from tests.remote.conftest import PrivateRedis, prefixed
from tests.servers import Server, serve

pytestmark = pytest.mark.slow

PROOFS = 250
TOKEN = "token-of-the-site"


@contextmanager
def start_worker(redis_url: str, prefix: str = "") -> Iterator[Server]:
    variables = {"TESTS_REDIS": redis_url, "TESTS_PREFIX": prefix, "TESTS_THUMBPRINT": thumbprint()}
    with serve("tests.remote.dpop_urls", **variables) as worker:
        yield worker


@pytest.fixture(scope="module")
def workers(redis_url: str) -> Iterator[tuple[Server, Server]]:
    """Two workers that share a Redis."""
    with (
        prefixed(redis_url) as prefix,
        start_worker(redis_url, prefix) as first,
        start_worker(redis_url, prefix) as second,
    ):
        yield first, second


def proof_for(view: str, **claims: object) -> str:
    return make_proof(TOKEN, uri=f"https://api.example.com{view}", claims=claims)


def test_each_proof_once(workers: tuple[Server, Server]) -> None:
    """R96: of many proofs that are sent to both workers at once, each is accepted exactly once."""
    views = ["/async/", "/sync/"]
    with ThreadPoolExecutor(16) as pool:
        proofs = [(views[number % 2], proof_for(views[number % 2])) for number in range(PROOFS)]
        sent = [[pool.submit(worker.send, view, dpop(TOKEN, proof)) for worker in workers] for view, proof in proofs]
        outcomes = Counter(tuple(sorted(answer.result().status for answer in pair)) for pair in sent)
        assert outcomes == {(200, 401): PROOFS}


def test_nonces_of_another_worker(workers: tuple[Server, Server]) -> None:
    """R89: a nonce from one worker is valid at the other."""
    first, second = workers
    nonce = first.send("/nonce/", dpop(TOKEN, proof_for("/nonce/"))).header("DPoP-Nonce")
    assert second.send("/nonce/", dpop(TOKEN, proof_for("/nonce/", nonce=nonce))).status == 200
    assert second.send("/nonce/", dpop(TOKEN, proof_for("/nonce/", nonce="forged"))).status == 401


def test_without_redis(private_redis: PrivateRedis) -> None:
    """E23: while Redis is stopped, no proof is accepted."""
    with start_worker(private_redis.url) as worker:
        assert worker.send("/async/", dpop(TOKEN, proof_for("/async/"))).status == 200
        private_redis.kill()
        for view in ("/async/", "/sync/"):
            answer = worker.send(view, dpop(TOKEN, proof_for(view)))
            assert (answer.status, answer.header("Retry-After")) == (503, "1")
        assert "proof" not in worker.output.replace("DPoP proofs", "")
