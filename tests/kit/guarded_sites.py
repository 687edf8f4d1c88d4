"""Sites with a guard for the tokens of a server, and why their requests were refused."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from async_oauth_guard import IntrospectTokenValidator, JWTBearerTokenValidator, ResourceProtector, token_rejected
from tests import asgi, wsgi
from tests.answers import Answer, bearer
from tests.sites import Witness, serving

ISSUER = "https://sso.example.test"
AUDIENCE = "https://api.example.test"
SECRET = "a secret: of ours+9bQ4"
CLIENTS = {"api": SECRET}
SEND = {"def": wsgi.send, "async def": asgi.send}


def verifying(issuer: str = ISSUER, **options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(issuer, AUDIENCE, **options)


def introspecting(issuer: str = ISSUER, **options: Any) -> IntrospectTokenValidator:
    usual = {"issuer": issuer, "client_id": "api", "client_secret": SECRET, "audience": AUDIENCE}
    return IntrospectTokenValidator(**(usual | options))


class Site:
    """One view, sync or async."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.reasons: list[Any] = []

    def get(self, token: str) -> Answer:
        return SEND[self.mode]("/", bearer(token))

    def outcome(self, token: str) -> tuple[int, Any]:
        """The status, and why it was refused, if it was."""
        self.reasons.clear()
        answer = self.get(token)
        return answer.status, self.reasons[0] if self.reasons else None

    async def aget(self, token: str) -> Answer:
        return await asgi.request("/", bearer(token))


@contextmanager
def site(mode: str, *validators: Any, **requirements: Any) -> Iterator[Site]:
    """A view that asks for ``profile``."""
    its = Site(mode)

    def hear(sender: Any, error: Any, **kwargs: Any) -> None:
        its.reasons.append(error.reason)

    token_rejected.connect(hear)
    try:
        with serving(ResourceProtector(*validators)("profile", **requirements)(Witness().view(mode))):
            yield its
    finally:
        token_rejected.disconnect(hear)


def run(coroutine: Any) -> Any:
    """Run it on a new event loop."""
    return asyncio.run(coroutine)
