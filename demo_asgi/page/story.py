"""The tokens of the guided tour, all of them new: what a guard has seen before would change what it shows."""

import asyncio
from collections.abc import Mapping

from ..authority.clients import JWT_APP, OPAQUE_APP
from .tokens import issue, revoke

_TOKENS = {
    "jwt": (JWT_APP, "profile"),
    "known": (OPAQUE_APP, "profile"),
    "revoked": (OPAQUE_APP, "profile"),
    "email": (OPAQUE_APP, "email"),
    "unseen": (OPAQUE_APP, "profile"),
}


async def begin() -> Mapping[str, str]:
    """Tokens by their part in the tour.

    Raises:
        ServerTroubleError: the authorization server issues none.
    """
    issued = await asyncio.gather(*(issue(client, scope) for client, scope in _TOKENS.values()))
    return dict(zip(_TOKENS, issued, strict=True))


async def end(token: str) -> None:
    """Revoke a token of the tour.

    Raises:
        ServerTroubleError: the authorization server does not respond.
    """
    await revoke(OPAQUE_APP, token)
