"""Tokens that live for seconds, for the WebSocket that ends with its token."""

import secrets
import time

from django.contrib.auth.models import User

from ..models import OAuth2Token

LIFETIME = 6
"""Seconds. A token is issued at a whole second, so up to one of them has passed already."""

PREFIX = "demo-short-"


async def issue() -> str:
    """A token of Alice that soon expires. The rows of those that have expired are deleted."""
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
