"""The authorization server, as the page sees it and switches it."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from django.conf import settings

TIMEOUT = 3.0
"""Seconds for one answer."""


class ServerTroubleError(Exception):
    """The authorization server gave no answer, or one that is none; the text says which."""


async def state() -> Mapping[str, Any]:
    """Whether it runs, its faults, and the names of its keys, newest first."""
    try:
        return {"running": True} | await call("GET", "/faults")
    except ServerTroubleError:
        return {"running": False, "down": False, "slow": False, "kids": []}


async def switch(form: Mapping[str, str]) -> None:
    """Set its faults.

    Raises:
        ServerTroubleError: it does not answer.
    """
    await call("POST", "/faults", form)


async def rotate(old: str) -> None:
    """Make it sign with a new key, and ``keep`` or ``remove`` the others.

    Raises:
        ServerTroubleError: it does not answer.
    """
    await call("POST", "/rotate", {"old": old})


async def call(
    method: str, path: str, form: Mapping[str, str] | None = None, auth: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object in its answer; an empty one where it has nothing to say.

    Raises:
        ServerTroubleError: there is none.
    """
    try:
        async with httpx.AsyncClient(base_url=settings.ISSUER, timeout=TIMEOUT, trust_env=False) as client:
            response = await client.request(method, path, data=form, auth=auth)
    except httpx.TimeoutException:
        raise ServerTroubleError("The authorization server is too slow.") from None
    except httpx.HTTPError:
        raise ServerTroubleError("The authorization server does not answer.") from None
    if response.status_code >= 400:
        raise ServerTroubleError(f"The authorization server answers with status {response.status_code}.")
    return _read(response.content)


def _read(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServerTroubleError("The authorization server answers with something else than JSON.")
    return document
