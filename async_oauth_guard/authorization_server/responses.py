"""Checks that the response of an authorization server may be used, before its contents are read."""

import logging
from collections.abc import Collection
from typing import Any, NoReturn

from ..errors import Reason, TemporarilyUnavailableError
from ..protocol import logs
from ..protocol.strict_json import read_json
from ..runtime.effects import Flow, OutboundRequest, OutboundResponse, RequestFailedError
from .backoff import Attempt, read_retry_after

__all__ = ["JSON", "call_flow", "check_response", "read_json_object", "shown", "unusable"]

JSON = "application/json"

logger = logging.getLogger("async_oauth_guard.outgoing")


def unusable(what: str, reason: Reason = Reason.SERVER_ANSWER_UNUSABLE) -> NoReturn:
    """Log ``what`` is wrong with a response, and raise `TemporarilyUnavailableError`."""
    logs.write(logger, logging.WARNING, "%s", what, extra={"reason": reason})
    raise TemporarilyUnavailableError(reason=reason)


def call_flow(call: OutboundRequest, attempt: Attempt, now: float) -> Flow[OutboundResponse]:
    """Send a request. Note in ``attempt`` whether there was a connection, and the server's ``Retry-After``.

    Raises:
        TemporarilyUnavailableError: there is no usable response.
    """
    failure: RequestFailedError
    try:
        response: OutboundResponse = yield call
    except RequestFailedError as error:
        failure = error
        attempt.is_connected = error.is_connected
    else:
        attempt.is_connected = True
        if response.status in (429, 503):
            attempt.retry_after = read_retry_after(response.retry_after, now)
        return response
    if failure.reason is Reason.TOO_MANY_CALLS:
        # Not logged: each refused request would add a line.
        raise TemporarilyUnavailableError(reason=failure.reason)
    unusable(f"Request to {shown(call.url)} failed: {failure}", failure.reason)


def shown(url: str) -> str:
    """Return ``url`` for the log, without its query, which may contain a secret that the server requires."""
    return url.partition("?")[0]


def check_response(
    response: OutboundResponse,
    url: str,
    media_types: Collection[str] = (JSON,),
    reason: Reason = Reason.SERVER_ANSWER_UNUSABLE,
) -> None:
    """Check that a response has status 200 and one of ``media_types``.

    Raises:
        TemporarilyUnavailableError: it does not.
    """
    if response.status != 200:
        unusable(f"{shown(url)} responded with status {response.status}", reason)
    if response.media_type not in media_types:
        unusable(f"{shown(url)} must respond with content type {' or '.join(media_types)}, got another", reason)


def read_json_object(response: OutboundResponse, url: str) -> dict[str, Any]:
    """Return the JSON object in a response.

    Raises:
        TemporarilyUnavailableError: the body is not a JSON object.
    """
    document = read_json(response.body.reveal())
    if not isinstance(document, dict):
        unusable(f"{shown(url)} must respond with a JSON object, got something else")
    return document
