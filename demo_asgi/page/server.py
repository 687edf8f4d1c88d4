"""Requests of the page to the authorization server."""

import asyncio
import functools
import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
from django.conf import settings

TIMEOUT = 3.0
"""Seconds for one response."""


class AuthorizationServerError(Exception):
    """The authorization server sent no response, or an unusable one. The text says which."""


async def state() -> Mapping[str, Any]:
    """Whether the server runs, its faults, and the ids of its keys, newest first."""
    try:
        return {"running": True} | await send("GET", "/faults")
    except AuthorizationServerError:
        return {"running": False, "down": False, "slow": False, "kids": []}


async def switch(form: Mapping[str, str]) -> None:
    """Set the faults of the server.

    Raises:
        AuthorizationServerError: the server does not respond.
    """
    await send("POST", "/faults", form)


async def rotate(old: str) -> None:
    """Make the server sign with a new key, and ``keep`` or ``remove`` the old keys.

    Raises:
        AuthorizationServerError: the server does not respond.
    """
    await send("POST", "/rotate", {"old": old})


async def send(
    method: str,
    path: str,
    form: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Send a request, and return the JSON object in the response. The object is empty if the response has no body.

    Raises:
        AuthorizationServerError: the response has no JSON object.
    """
    try:
        # A client belongs to one event loop, so each request has a new one.
        async with await asyncio.to_thread(_client) as client:
            response = await client.request(method, path, data=form, auth=auth, headers=headers)
    except httpx.TimeoutException:
        raise AuthorizationServerError("The authorization server is too slow.") from None
    except httpx.HTTPError:
        raise AuthorizationServerError("The authorization server does not respond.") from None
    if response.status_code >= 400:
        raise AuthorizationServerError(f"The authorization server responds with status {response.status_code}.")
    return _read(response.content)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=settings.ISSUER, timeout=TIMEOUT, trust_env=False, verify=_tls_context())


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # Reading the file of certificates is slow.
    return httpx.create_ssl_context(trust_env=False)


def _read(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise AuthorizationServerError("The authorization server responds with something other than JSON.")
    return document
