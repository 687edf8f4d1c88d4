"""Child process: sends distinct invalid tokens, one after the other, and prints how much memory they take up."""

import argparse
import asyncio
import base64
import collections
import gc
import json
import random
from typing import Any, Final

import psutil  # type: ignore[import-untyped,unused-ignore]
from joserfc.util import urlsafe_b64decode

from . import child
from .contenders import SCOPE
from .holder import ORIGIN, Holder
from .remote_tokens import AUDIENCE, Remote

SAMPLES: Final = 20
REFUSED: Final = (400, 401)
# Longer than any run: keys that are fetched anew because they have aged are no token's doing.
JWKS_TTL: Final = 86_400


class Garbage:
    """Tokens by number, no two alike."""

    def __init__(self, remote: Remote) -> None:
        # A true signature of another token: it costs as much to refuse as a good one to accept.
        (token,) = remote.mint("RS256", 1)
        self.header, claims, self.signature = token.split(".")
        self.claims = json.loads(urlsafe_b64decode(claims.encode()))
        self.holder = Holder()
        (self.bound,) = remote.mint("RS256", 1, self.holder.thumbprint)
        (proof,) = self.holder.prove([self.bound])
        self.proof_header, _, self.proof_signature = proof.split(".")

    def headers(self, number: int) -> dict[str, str]:
        match number % 3:
            case 0:
                return {"HTTP_AUTHORIZATION": f"Bearer {self.forged(number)}"}
            case 1:
                return {"HTTP_AUTHORIZATION": f"Bearer {self.shapeless(number)}"}
            case _:
                return {"HTTP_AUTHORIZATION": f"DPoP {self.bound}", "HTTP_DPOP": self.proof(number)}

    def forged(self, number: int) -> str:
        """A JWT of the issuer, right in everything but its signature."""
        return f"{self.header}.{segment(self.claims | {'jti': f'forged {number}'})}.{self.signature}"

    def proof(self, number: int) -> str:
        """A proof of the key to which a token is bound, right in everything but its signature."""
        claims = self.holder.claims(self.bound)
        return f"{self.proof_header}.{segment(claims)}.{self.proof_signature}"

    def shapeless(self, number: int) -> str:
        """What cannot be a token: of no form, of half a form, or not even of a token's characters."""
        text = f"{number}".encode().hex()
        match number // 3 % 6:
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


def segment(members: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


async def present(number_of_tokens: int) -> dict[str, Any]:
    from django.http import HttpRequest

    from async_oauth_guard import JWTBearerTokenValidator, ResourceProtector

    from .project.views import plain_async

    remote = Remote.from_environment()
    protector = ResourceProtector(
        JWTBearerTokenValidator(remote.issuer, AUDIENCE, jwks_ttl=JWKS_TTL), dpop=True, public_origin=ORIGIN
    )
    view = protector(SCOPE)(plain_async)
    garbage, process = Garbage(remote), psutil.Process()
    answered: collections.Counter[int] = collections.Counter()
    samples: list[tuple[int, float]] = []
    step = max(1, number_of_tokens // SAMPLES)
    for number in range(number_of_tokens):
        request = HttpRequest()
        request.method = "GET"
        request.path = "/"
        request.META |= garbage.headers(number)
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
    arguments = child.parse(parser)
    import django

    django.setup()
    print(json.dumps(asyncio.run(present(arguments.tokens))))


if __name__ == "__main__":
    main()
