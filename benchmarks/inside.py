"""Child process: awaits views one after the other, without a server. It prints microseconds for each batch.

The figures are CPU time of the one thread that does everything, because other processes affect it less than wall time.
"""

import argparse
import asyncio
import contextlib
import functools
import gc
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from . import child
from .contenders import INTROSPECTION, JWT, PLAIN
from .dpop_client import BOUND, DPoPClient, bound_view
from .remote_tokens import ALGORITHMS, Remote, known_tokens

SEEN_BATCH: Final = 100
NEW_BATCH: Final = 50
WARM_UP_TOKENS: Final = 100


class Requests:
    """Makes Django's requests as under ASGI, before the time is measured."""

    def __init__(self) -> None:
        from django.test import AsyncRequestFactory

        self.factory = AsyncRequestFactory()

    def make(self, tokens: Sequence[str], proofs: Sequence[str] = ()) -> list[Any]:
        """Requests with these tokens. With ``proofs``, one for each token, the tokens are bound to a key."""
        headers: list[dict[str, str]] = [
            {"Authorization": f"DPoP {token}", "DPoP": proof} for token, proof in zip(tokens, proofs, strict=False)
        ] or [{"Authorization": f"Bearer {token}"} for token in tokens]
        return [self.factory.get("/", headers=each) for each in headers]


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """Pause the garbage collector, as `timeit` does."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def time_view(view: Callable[[Any], Any], requests: list[Any]) -> float:
    """Microseconds for each request."""
    with without_gc():
        start = time.thread_time_ns()
        for request in requests:
            await view(request)
        return (time.thread_time_ns() - start) / len(requests) / 1e3


async def check(view: Callable[[Any], Any], requests: list[Any]) -> None:
    for request in requests:
        response = await view(request)
        if response.status_code != 200:
            raise RuntimeError(f"responded with {response.status_code}: {response.content!r}")


def in_batches(tokens: Sequence[str], size: int, batches: int) -> Iterator[list[str]]:
    endless = itertools.cycle(tokens)
    return ([*itertools.islice(endless, size)] for _ in range(batches))


async def measure_seen(plain: Any, guarded: Any, tokens: Sequence[str], batches: int) -> dict[str, list[float]]:
    """The guard with tokens whose results are cached, compared with the bare view."""
    requests = Requests()
    await check(guarded, requests.make(tokens))
    times: dict[str, list[float]] = {"plain": [], "guarded": []}
    for batch in in_batches(tokens, SEEN_BATCH, batches):
        times["plain"].append(await time_view(plain, requests.make(batch)))
        times["guarded"].append(await time_view(guarded, requests.make(batch)))
    return times


async def measure_new(
    plain: Any,
    guarded: Any,
    tokens: Sequence[str],
    make: Callable[[Sequence[str]], list[Any]],
    verify: Callable[[Sequence[str]], float],
) -> dict[str, list[float]]:
    """The guard with new tokens, compared with the bare view and with bare signature verification."""
    await check(guarded, make(tokens[:WARM_UP_TOKENS]))
    times: dict[str, list[float]] = {"plain": [], "guarded": [], "verify": []}
    for start in range(WARM_UP_TOKENS, len(tokens), NEW_BATCH):
        batch = tokens[start : start + NEW_BATCH]
        times["plain"].append(await time_view(plain, make(batch)))
        made = make(batch)
        times["guarded"].append(await time_view(guarded, made))
        if not all(hasattr(request, "oauth_token") for request in made):
            raise RuntimeError("a new token was refused")
        times["verify"].append(verify(batch))
    return times


async def measure_all_new(plain: Any, guarded: Any, batches: int) -> dict[str, dict[str, list[float]]]:
    """New tokens of each algorithm, and bound tokens (RFC 9449) with a new proof each, which have two signatures."""
    requests, remote, client = Requests(), Remote.from_environment(), DPoPClient()
    number = WARM_UP_TOKENS + NEW_BATCH * batches

    def verify(algorithm: str) -> Callable[[Sequence[str]], float]:
        return functools.partial(time_verification, remote.public_key(algorithm), algorithm)

    def make_bound(tokens: Sequence[str]) -> list[Any]:
        return requests.make(tokens, client.make_proofs(tokens))

    def verify_bound(tokens: Sequence[str]) -> float:
        proof_time = time_verification(client.key.public_key, "ES256", client.make_proofs(tokens))
        return verify("RS256")(tokens) + proof_time

    measured = {
        name: await measure_new(plain, guarded, remote.mint(name, number), requests.make, verify(name))
        for name in ALGORITHMS
    }
    bound = remote.mint("RS256", number, client.thumbprint)
    return {**measured, BOUND: await measure_new(plain, bound_view(), bound, make_bound, verify_bound)}


def time_verification(key: Any, algorithm: str, jwts: Sequence[str]) -> float:
    """Microseconds for each signature, verified by `cryptography` alone. Everything is decoded beforehand."""
    verify, signatures = bare_verification(key, algorithm, jwts)
    with without_gc():
        start = time.thread_time_ns()
        for signature, signed in signatures:
            verify(signature, signed)
        return (time.thread_time_ns() - start) / len(signatures) / 1e3


def bare_verification(
    public: Any, algorithm: str, jwts: Sequence[str]
) -> tuple[Callable[[bytes, bytes], None], list[tuple[bytes, bytes]]]:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from joserfc.util import urlsafe_b64decode

    digest = SHA256()
    parts = [jwt.encode().rpartition(b".") for jwt in jwts]
    signatures = [(urlsafe_b64decode(signature), signed) for signed, _, signature in parts]
    if algorithm == "RS256":
        padding = PKCS1v15()
        return (lambda signature, signed: public.verify(signature, signed, padding, digest)), signatures
    ecdsa = ECDSA(digest)
    halves = [(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]), signed) for raw, signed in signatures]
    encoded = [(encode_dss_signature(r, s), signed) for r, s, signed in halves]
    return (lambda signature, signed: public.verify(signature, signed, ecdsa)), encoded


async def measure(benchmark: str, batches: int) -> dict[str, Any]:
    from .project.urls import VIEWS

    plain, guarded = VIEWS[PLAIN], VIEWS[JWT if benchmark == "jwt" else INTROSPECTION]
    measured: dict[str, Any] = {
        "seen": await measure_seen(plain, guarded, known_tokens("jwt" if benchmark == "jwt" else "opaque"), batches)
    }
    if benchmark == "jwt":
        measured |= await measure_all_new(plain, guarded, max(1, batches // 4))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("benchmark", choices=["jwt", "introspection"])
    parser.add_argument("--batches", type=int, required=True)
    arguments = child.parse(parser)
    import django

    django.setup()
    print(json.dumps(asyncio.run(measure(arguments.benchmark, arguments.batches))))


if __name__ == "__main__":
    main()
