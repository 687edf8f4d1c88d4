"""The authorization server, as the page shows and controls it."""

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


class ServerTroubleError(Exception):
    """The authorization server sent no response, or an unusable one; the text says which."""


async def state() -> Mapping[str, Any]:
    """Whether it runs, its faults, and the names of its keys, newest first."""
    try:
        return {"running": True} | await call("GET", "/faults")
    except ServerTroubleError:
        return {"running": False, "down": False, "slow": False, "kids": []}


async def switch(form: Mapping[str, str]) -> None:
    """Set its faults.

    Raises:
        ServerTroubleError: it does not respond.
    """
    await call("POST", "/faults", form)


async def rotate(old: str) -> None:
    """Make it sign with a new key, and ``keep`` or ``remove`` the others.

    Raises:
        ServerTroubleError: it does not respond.
    """
    await call("POST", "/rotate", {"old": old})


async def call(
    method: str,
    path: str,
    form: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The JSON object in its response; empty if the response has no body.

    Raises:
        ServerTroubleError: there is no such object.
    """
    try:
        # A client for each call, so that none belongs to an event loop that has ended.
        async with await asyncio.to_thread(_client) as client:
            response = await client.request(method, path, data=form, auth=auth, headers=headers)
    except httpx.TimeoutException:
        raise ServerTroubleError("The authorization server is too slow.") from None
    except httpx.HTTPError:
        raise ServerTroubleError("The authorization server does not respond.") from None
    if response.status_code >= 400:
        raise ServerTroubleError(f"The authorization server responds with status {response.status_code}.")
    return _read(response.content)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=settings.ISSUER, timeout=TIMEOUT, trust_env=False, verify=_tls_context())


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # Reads a file of certificates: that takes longer than everything else here.
    return httpx.create_ssl_context(trust_env=False)


def _read(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ServerTroubleError("The authorization server responds with something other than JSON.")
    return document
