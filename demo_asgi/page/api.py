"""The endpoints of the page's scripts."""

import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from . import keys, server, short_tokens, tour_tokens
from . import load as loads
from . import reasons as refusals
from .catalogue import catalogue, explanation_of
from .endpoints import InvalidRequestError, Message, form_endpoint, json_endpoint, json_response
from .tokens import all_tokens

_MAX_NAMES = 1000
_METHOD = re.compile(r"[A-Z]{1,10}")
# As in a request line: visible ASCII. Two slashes would begin a host name.
_PATH = re.compile(r"/(?!/)[!-~]*")
_URI = re.compile(rf"(?:https?://[!-.0-~]+)?{_PATH.pattern}")


@require_safe
async def views(request: HttpRequest) -> HttpResponse:
    """The views that the page shows, each with its requirement."""
    return json_response({"views": catalogue()})


@require_safe
async def status(request: HttpRequest) -> HttpResponse:
    """The state of the authorization server. The page also checks here whether the demo runs."""
    return json_response({"authority": await server.state()})


@json_endpoint
async def tokens(message: Message) -> Message:
    """All sample tokens. With ``fresh``, the authorization server issues new ones."""
    return await all_tokens(fresh=message.get("fresh") is True)


@json_endpoint
async def reasons(message: Message) -> Message:
    """The reasons of refusals, by the names of the requests."""
    names = message.get("names")
    if not isinstance(names, list) or len(names) > _MAX_NAMES:
        raise InvalidRequestError(f"names must be a list of at most {_MAX_NAMES}.")
    return {"reasons": {name: refusals.reason_of(name) for name in names if isinstance(name, str)}}


@json_endpoint
async def explain(message: Message) -> Message:
    """The steps of a decision about a request for ``method`` and ``path``.

    ``authorization`` and ``proof`` are values of headers, or ``null``. ``certificate`` names its owner, or is ``null``.
    """
    method, path = message.get("method"), message.get("path")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise InvalidRequestError("method must be the name of an HTTP method.")
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise InvalidRequestError("path must begin with one slash.")
    authorization, proof = (_text_or_null(message, name) for name in ("authorization", "proof"))
    owner = _text_or_null(message, "certificate")
    certificate = None if owner is None else keys.certificate(_owner(owner))
    return await explanation_of(method, path, authorization, proof, certificate)


@form_endpoint
async def proof(form: Mapping[str, str]) -> str:
    """A proof (RFC 9449) with ``key`` for ``method`` and ``uri``. ``token`` and ``nonce`` are optional."""
    method, uri = form.get("method", ""), form.get("uri", "")
    if not _METHOD.fullmatch(method):
        raise InvalidRequestError("method must be the name of an HTTP method.")
    if not _URI.fullmatch(uri):
        raise InvalidRequestError("uri must be a URL, or a path of this demo.")
    return keys.make_proof(_owner(form.get("key")), method, uri, form.get("token"), form.get("nonce"))


@form_endpoint
async def certificate(form: Mapping[str, str]) -> str:
    """The certificate of ``key``, as a proxy writes it into ``Client-Cert`` (RFC 9440)."""
    return keys.client_cert(_owner(form.get("key")))


@json_endpoint
async def authority(message: Message) -> Message:
    """Control the authorization server: ``down`` and ``slow`` are true or false, ``rotate`` is keep or remove."""
    faults = {name: _on_or_off(name, message[name]) for name in ("down", "slow") if name in message}
    rotate = message.get("rotate")
    if rotate not in (None, "keep", "remove"):
        raise InvalidRequestError("rotate must be keep or remove.")
    error = None
    try:
        if faults:
            await server.switch(faults)
        if rotate is not None:
            await server.rotate(rotate)
    except server.AuthorizationServerError as failure:
        error = str(failure)
    return {"authority": await server.state(), "error": error}


@json_endpoint
async def tour(message: Message) -> Message:
    """New tokens for the tour. With ``revoke``, this revokes one of them instead."""
    token = _text_or_null(message, "revoke")
    try:
        if token is None:
            return {"tokens": await tour_tokens.issue_all()}
        await tour_tokens.revoke_opaque(token)
    except server.AuthorizationServerError as error:
        raise InvalidRequestError(str(error)) from None
    return {}


@json_endpoint
async def short(message: Message) -> Message:
    """A token that expires in a few seconds."""
    return {"token": await short_tokens.issue()}


@json_endpoint
async def load(message: Message) -> Message:
    """Send 200 requests at once, to the guarded view and to the plain view."""
    return await loads.run()


def _text_or_null(message: Message, name: str) -> str | None:
    value = message.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a string or null.")
    return value


def _owner(name: str | None) -> str:
    if name not in keys.NAMES:
        raise InvalidRequestError(f"key must be one of: {', '.join(keys.NAMES)}.")
    return name


def _on_or_off(name: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{name} must be true or false.")
    return "on" if value else "off"
