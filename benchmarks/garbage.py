"""Child process: distinct tokens that are no good, one after the other; prints how much memory they take up."""

import argparse
import asyncio
import base64
import collections
import gc
import json
import os
import random
from typing import Any, Final

import psutil  # type: ignore[import-untyped,unused-ignore]

from .contenders import SCOPE
from .remote_tokens import AUDIENCE, Remote

SAMPLES: Final = 20
REFUSED: Final = (400, 401)
# Longer than any run: keys that are fetched anew because they have aged are no token's doing.
JWKS_TTL: Final = 86_400


class Garbage:
    """Tokens by number, no two alike."""

    def __init__(self, remote: Remote) -> None:
        # A true signature of another token: it costs as much to refuse as a good one to accept.
        (token,) = remote.mint("RS256", [0])
        self.header, _, self.signature = token.split(".")
        self.claims = remote.claims(0)

    def token(self, number: int) -> str:
        return self.forged(number) if number % 2 == 0 else self.shapeless(number)

    def forged(self, number: int) -> str:
        """A JWT of the issuer, right in everything but its signature."""
        claims = json.dumps(self.claims | {"jti": f"forged {number}"}).encode()
        return f"{self.header}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{self.signature}"

    def shapeless(self, number: int) -> str:
        """What cannot be a token: of no form, of half a form, or not even of a token's characters."""
        text = f"{number}".encode().hex()
        match number // 2 % 6:
            case 0:
                return text
            case 1:
                return f"{text}.{text}"
            case 2:
                return f"{text}.{text}.{text}"
            case 3:
                return f"{self.header}.{text}.{self.signature}"
            case 4:
                return f"{text} {text}"
            case _:
                return text + random.randbytes(400).hex()


async def present(number_of_tokens: int) -> dict[str, Any]:
    from django.http import HttpRequest

    from async_oauth_guard import JWTBearerTokenValidator, ResourceProtector

    from .project.views import plain_async

    remote = Remote.from_environment()
    protector = ResourceProtector(JWTBearerTokenValidator(remote.issuer, AUDIENCE, jwks_ttl=JWKS_TTL))
    view = protector(SCOPE)(plain_async)
    garbage, process = Garbage(remote), psutil.Process()
    answered: collections.Counter[int] = collections.Counter()
    samples: list[tuple[int, float]] = []
    step = max(1, number_of_tokens // SAMPLES)
    for number in range(number_of_tokens):
        request = HttpRequest()
        request.method = "GET"
        request.META["HTTP_AUTHORIZATION"] = f"Bearer {garbage.token(number)}"
        response = await view(request)
        answered[response.status_code] += 1
        if (number + 1) % step == 0:
            gc.collect()
            samples.append((number + 1, process.memory_info().rss / 2**20))
    if not set(answered) <= set(REFUSED):
        raise RuntimeError(f"garbage was answered with {dict(answered)}")
    return {"samples": samples, "answered": answered}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--cpu", type=int)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    import django

    django.setup()
    print(json.dumps(asyncio.run(present(arguments.tokens))))


if __name__ == "__main__":
    main()
