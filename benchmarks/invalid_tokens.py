"""Child process: presents distinct invalid tokens one after the other, and prints its memory."""

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
from .dpop_client import ORIGIN, DPoPClient
from .remote_tokens import AUDIENCE, Remote

SAMPLES: Final = 20
REFUSED: Final = (400, 401)
# Longer than any run, because key fetches after this time would be counted too.
JWKS_TTL: Final = 86_400


class InvalidTokens:
    """Distinct invalid tokens, by number."""

    def __init__(self, remote: Remote) -> None:
        # The valid signature of another token: verifying it costs as much as verifying a matching one.
        (token,) = remote.mint("RS256", 1)
        self.header, claims, self.signature = token.split(".")
        self.claims = json.loads(urlsafe_b64decode(claims.encode()))
        self.client = DPoPClient()
        (self.bound,) = remote.mint("RS256", 1, self.client.thumbprint)
        (proof,) = self.client.make_proofs([self.bound])
        self.proof_header, _, self.proof_signature = proof.split(".")

    def headers(self, number: int) -> dict[str, str]:
        match number % 3:
            case 0:
                return {"HTTP_AUTHORIZATION": f"Bearer {self.forged(number)}"}
            case 1:
                return {"HTTP_AUTHORIZATION": f"Bearer {self.malformed(number)}"}
            case _:
                return {"HTTP_AUTHORIZATION": f"DPoP {self.bound}", "HTTP_DPOP": self.proof(number)}

    def forged(self, number: int) -> str:
        """A JWT of the issuer, correct except for its signature."""
        return f"{self.header}.{segment(self.claims | {'jti': f'forged {number}'})}.{self.signature}"

    def proof(self, number: int) -> str:
        """A proof of the key that a token is bound to, correct except for its signature."""
        claims = self.client.claims(self.bound)
        return f"{self.proof_header}.{segment(claims)}.{self.proof_signature}"

    def malformed(self, number: int) -> str:
        """A text that cannot be a token: without a token's form, or with other characters."""
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
    invalid, process = InvalidTokens(remote), psutil.Process()
    statuses: collections.Counter[int] = collections.Counter()
    samples: list[tuple[int, float]] = []
    step = max(1, number_of_tokens // SAMPLES)
    for number in range(number_of_tokens):
        request = HttpRequest()
        request.method = "GET"
        request.path = "/"
        request.META |= invalid.headers(number)
        response = await view(request)
        statuses[response.status_code] += 1
        if (number + 1) % step == 0:
            gc.collect()
            samples.append((number + 1, process.memory_info().rss / 2**20))
    if not set(statuses) <= set(REFUSED):
        raise RuntimeError(f"invalid tokens got {dict(statuses)}")
    return {"samples": samples, "statuses": statuses}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, required=True)
    arguments = child.parse(parser)
    import django

    django.setup()
    print(json.dumps(asyncio.run(present(arguments.tokens))))


if __name__ == "__main__":
    main()
