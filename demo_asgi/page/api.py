"""The page's own calls."""

import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from . import load as loads
from . import reasons as refusals
from . import server
from .calls import BadCallError, Message, answer, page_call
from .catalogue import catalogue, explanation_of
from .tokens import all_tokens

_MOST_NAMES = 1000
_METHOD = re.compile(r"[A-Z]{1,10}")
# As it stands in a request: visible ASCII. Two slashes would begin the name of a host.
_PATH = re.compile(r"/(?!/)[!-~]*")


@require_safe
async def views(request: HttpRequest) -> HttpResponse:
    """The views that the page asks, each with what it asks for."""
    return answer({"views": catalogue()})


@require_safe
async def status(request: HttpRequest) -> HttpResponse:
    """That the demo runs, and how the authorization server does."""
    return answer({"authority": await server.state()})


@page_call
async def tokens(message: Message) -> Message:
    """The tokens by name; ``fresh``: issued anew."""
    return await all_tokens(fresh=message.get("fresh") is True)


@page_call
async def reasons(message: Message) -> Message:
    """Why requests were refused, by their names."""
    names = message.get("names")
    if not isinstance(names, list) or len(names) > _MOST_NAMES:
        raise BadCallError(f"names: a list of {_MOST_NAMES} at most is wanted.")
    return {"reasons": {name: refusals.reason_of(name) for name in names if isinstance(name, str)}}


@page_call
async def explain(message: Message) -> Message:
    """The steps of a decision: for ``method`` and ``path``, with ``authorization`` as its header, or ``null``."""
    method, path, authorization = message.get("method"), message.get("path"), message.get("authorization")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise BadCallError("method: the name of a method is wanted.")
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise BadCallError("path: a path is wanted, with its slash.")
    if authorization is not None and not isinstance(authorization, str):
        raise BadCallError("authorization: a string or null is wanted.")
    return await explanation_of(method, path, authorization)


@page_call
async def authority(message: Message) -> Message:
    """Switch the authorization server: ``down`` and ``slow`` are true or false, ``rotate`` is keep or remove."""
    faults = {name: _on_or_off(name, message[name]) for name in ("down", "slow") if name in message}
    rotate = message.get("rotate")
    if rotate not in (None, "keep", "remove"):
        raise BadCallError("rotate: keep or remove is wanted.")
    trouble = None
    try:
        if faults:
            await server.switch(faults)
        if rotate is not None:
            await server.rotate(rotate)
    except server.ServerTroubleError as error:
        trouble = str(error)
    return {"authority": await server.state(), "trouble": trouble}


@page_call
async def load(message: Message) -> Message:
    """Two hundred requests at once, twice."""
    return await loads.run()


def _on_or_off(name: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise BadCallError(f"{name}: true or false is wanted.")
    return "on" if value else "off"
