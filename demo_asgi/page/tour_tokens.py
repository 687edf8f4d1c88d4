"""Tokens of the page's tour. They are always new, because a guard may have cached the results of older ones."""

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


async def issue_all() -> Mapping[str, str]:
    """New tokens by their role in the tour.

    Raises:
        AuthorizationServerError: the authorization server issues none.
    """
    issued = await asyncio.gather(*(issue(client, scope) for client, scope in _TOKENS.values()))
    return dict(zip(_TOKENS, issued, strict=True))


async def revoke_opaque(token: str) -> None:
    """Revoke an opaque token of the tour.

    Raises:
        AuthorizationServerError: the authorization server does not respond.
    """
    await revoke(OPAQUE_APP, token)
