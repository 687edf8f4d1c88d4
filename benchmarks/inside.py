"""Child process: views awaited one after the other, without a server; prints microseconds, one figure a batch.

They are the thread's CPU time: all is done on this one thread, and what other processes do counts less that way.
"""

import argparse
import asyncio
import gc
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from .contenders import INTROSPECTION, JWT, PLAIN
from .remote_tokens import ALGORITHMS, Remote

SEEN_BATCH: Final = 100
NEW_BATCH: Final = 50
WARM_UP_TOKENS: Final = 100


class Requests:
    """Django's requests of an ASGI server, made before the watch starts."""

    def __init__(self) -> None:
        from django.test import AsyncRequestFactory

        self.factory = AsyncRequestFactory()

    def make(self, tokens: Sequence[str]) -> list[Any]:
        return [self.factory.get("/", headers={"Authorization": f"Bearer {token}"}) for token in tokens]


async def time_view(view: Callable[[Any], Any], requests: list[Any]) -> float:
    """Microseconds a request. As in `timeit`, nothing is collected meanwhile; nor does anything wait."""
    gc.collect()
    gc.disable()
    try:
        start = time.thread_time_ns()
        for request in requests:
            await view(request)
        return (time.thread_time_ns() - start) / len(requests) / 1e3
    finally:
        gc.enable()


async def check(view: Callable[[Any], Any], requests: list[Any]) -> None:
    for request in requests:
        response = await view(request)
        if response.status_code != 200:
            raise RuntimeError(f"answered {response.status_code}: {response.content!r}")


def in_batches(tokens: Sequence[str], size: int, batches: int) -> Iterator[list[str]]:
    endless = itertools.cycle(tokens)
    return ([*itertools.islice(endless, size)] for _ in range(batches))


async def measure_seen(plain: Any, guarded: Any, tokens: Sequence[str], batches: int) -> dict[str, list[float]]:
    """The guard for tokens of which all is known already, beside the bare view."""
    requests = Requests()
    await check(guarded, requests.make(tokens))
    times: dict[str, list[float]] = {"plain": [], "guarded": []}
    for batch in in_batches(tokens, SEEN_BATCH, batches):
        times["plain"].append(await time_view(plain, requests.make(batch)))
        times["guarded"].append(await time_view(guarded, requests.make(batch)))
    return times


async def measure_new(plain: Any, guarded: Any, algorithm: str, batches: int) -> dict[str, list[float]]:
    """The guard for tokens that are new to it, beside the bare view and the bare verification of their signatures."""
    requests = Requests()
    remote = Remote.from_environment()
    tokens = remote.mint(algorithm, range(WARM_UP_TOKENS + NEW_BATCH * batches))
    await check(guarded, requests.make(tokens[:WARM_UP_TOKENS]))
    times: dict[str, list[float]] = {"plain": [], "guarded": [], "verify": []}
    for batch in in_batches(tokens[WARM_UP_TOKENS:], NEW_BATCH, batches):
        times["plain"].append(await time_view(plain, requests.make(batch)))
        made = requests.make(batch)
        times["guarded"].append(await time_view(guarded, made))
        if not all(hasattr(request, "oauth_token") for request in made):
            raise RuntimeError("a new token was refused")
        times["verify"].append(time_verification(remote, algorithm, batch))
    return times


def time_verification(remote: Remote, algorithm: str, tokens: Sequence[str]) -> float:
    """Microseconds a signature, by `cryptography` alone: everything is decoded beforehand."""
    verify, signatures = bare_verification(remote, algorithm, tokens)
    gc.collect()
    gc.disable()
    try:
        start = time.thread_time_ns()
        for signature, signed in signatures:
            verify(signature, signed)
        return (time.thread_time_ns() - start) / len(signatures) / 1e3
    finally:
        gc.enable()


def bare_verification(
    remote: Remote, algorithm: str, tokens: Sequence[str]
) -> tuple[Callable[[bytes, bytes], None], list[tuple[bytes, bytes]]]:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from joserfc.util import urlsafe_b64decode

    key: Any = next(key for key in remote.public_keys.keys if key.kid == algorithm)
    public, digest = key.public_key, SHA256()
    parts = [token.encode().rpartition(b".") for token in tokens]
    signatures = [(urlsafe_b64decode(signature), signed) for signed, _, signature in parts]
    if algorithm == "RS256":
        padding = PKCS1v15()
        return (lambda signature, signed: public.verify(signature, signed, padding, digest)), signatures
    ecdsa = ECDSA(digest)
    halves = [(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]), signed) for raw, signed in signatures]
    encoded = [(encode_dss_signature(r, s), signed) for r, s, signed in halves]
    return (lambda signature, signed: public.verify(signature, signed, ecdsa)), encoded


async def measure(benchmark: str, batches: int) -> dict[str, Any]:
    from .project.remote_views import VIEWS

    plain, guarded = VIEWS[PLAIN], VIEWS[JWT if benchmark == "jwt" else INTROSPECTION]
    measured: dict[str, Any] = {
        "seen": await measure_seen(plain, guarded, Remote.from_environment().known_tokens, batches)
    }
    if benchmark == "jwt":
        for algorithm in ALGORITHMS:
            measured[algorithm] = await measure_new(plain, guarded, algorithm, max(1, batches // 4))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("benchmark", choices=["jwt", "introspection"])
    parser.add_argument("--batches", type=int, required=True)
    parser.add_argument("--cpu", type=int)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    import django

    django.setup()
    print(json.dumps(asyncio.run(measure(arguments.benchmark, arguments.batches))))


if __name__ == "__main__":
    main()
