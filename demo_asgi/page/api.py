"""The requests of the page's scripts."""

import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from . import keys, server, story
from . import load as loads
from . import reasons as refusals
from . import short as short_tokens
from .calls import BadCallError, Message, answer, form_call, page_call
from .catalogue import catalogue, explanation_of
from .tokens import all_tokens

_MOST_NAMES = 1000
_METHOD = re.compile(r"[A-Z]{1,10}")
# As in a request line: visible ASCII. Two slashes would begin a host name.
_PATH = re.compile(r"/(?!/)[!-~]*")
_URI = re.compile(rf"(?:https?://[!-.0-~]+)?{_PATH.pattern}")


@require_safe
async def views(request: HttpRequest) -> HttpResponse:
    """The views that the page calls, each with its requirement."""
    return answer({"views": catalogue()})


@require_safe
async def status(request: HttpRequest) -> HttpResponse:
    """The state of the authorization server. A response also shows that the demo runs."""
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
        raise BadCallError(f"names must be a list of at most {_MOST_NAMES}.")
    return {"reasons": {name: refusals.reason_of(name) for name in names if isinstance(name, str)}}


@page_call
async def explain(message: Message) -> Message:
    """The steps of a decision: for ``method`` and ``path``, with these headers, or ``null``.

    ``authorization`` and ``proof`` are values of headers, ``certificate`` is the name of its owner.
    """
    method, path = message.get("method"), message.get("path")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise BadCallError("method must be the name of an HTTP method.")
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise BadCallError("path must begin with one slash.")
    authorization, proof = (_text_or_null(message, name) for name in ("authorization", "proof"))
    owner = _text_or_null(message, "certificate")
    certificate = None if owner is None else keys.certificate(_owner(owner))
    return await explanation_of(method, path, authorization, proof, certificate)


@form_call
async def proof(form: Mapping[str, str]) -> str:
    """A proof (RFC 9449) of ``key`` for ``method`` and ``uri``, with ``token`` and ``nonce`` if they are given."""
    method, uri = form.get("method", ""), form.get("uri", "")
    if not _METHOD.fullmatch(method):
        raise BadCallError("method must be the name of an HTTP method.")
    if not _URI.fullmatch(uri):
        raise BadCallError("uri must be a URL, or a path of this demo.")
    return keys.make_proof(_owner(form.get("key")), method, uri, form.get("token"), form.get("nonce"))


@form_call
async def certificate(form: Mapping[str, str]) -> str:
    """The certificate of ``key``, as a proxy writes it into ``Client-Cert`` (RFC 9440)."""
    return keys.client_cert(_owner(form.get("key")))


@page_call
async def authority(message: Message) -> Message:
    """Switch the authorization server: ``down`` and ``slow`` are true or false, ``rotate`` is keep or remove."""
    faults = {name: _on_or_off(name, message[name]) for name in ("down", "slow") if name in message}
    rotate = message.get("rotate")
    if rotate not in (None, "keep", "remove"):
        raise BadCallError("rotate must be keep or remove.")
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
async def tour(message: Message) -> Message:
    """New tokens for the guided tour; with ``revoke``, one of them is revoked."""
    token = _text_or_null(message, "revoke")
    try:
        if token is None:
            return {"tokens": await story.begin()}
        await story.end(token)
    except server.ServerTroubleError as error:
        raise BadCallError(str(error)) from None
    return {}


@page_call
async def short(message: Message) -> Message:
    """A token that expires in a few seconds."""
    return {"token": await short_tokens.issue()}


@page_call
async def load(message: Message) -> Message:
    """Two hundred requests at once, twice."""
    return await loads.run()


def _text_or_null(message: Message, name: str) -> str | None:
    value = message.get(name)
    if value is not None and not isinstance(value, str):
        raise BadCallError(f"{name} must be a string or null.")
    return value


def _owner(name: str | None) -> str:
    if name not in keys.NAMES:
        raise BadCallError(f"key must be one of: {', '.join(keys.NAMES)}.")
    return name


def _on_or_off(name: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise BadCallError(f"{name} must be true or false.")
    return "on" if value else "off"
