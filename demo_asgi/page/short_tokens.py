"""Tokens that expire after a few seconds, for the WebSocket."""

import secrets
import time

from django.contrib.auth.models import User

from ..models import OAuth2Token

LIFETIME = 6
"""Seconds. A token is issued at a whole second, so it may expire up to one second earlier."""

PREFIX = "demo-short-"


async def issue() -> str:
    """Issue a token for Alice, and delete expired ones."""
    now = int(time.time())
    await OAuth2Token.objects.filter(access_token__startswith=PREFIX, issued_at__lt=now - LIFETIME).adelete()
    token = await OAuth2Token.objects.acreate(
        access_token=PREFIX + secrets.token_urlsafe(),
        client_id="demo-app",
        user=await User.objects.aget(username="alice"),
        scope="profile",
        issued_at=now,
        expires_in=LIFETIME,
    )
    return token.access_token
