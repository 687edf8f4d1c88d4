"""The signals about requests, and the log of refusals."""

import logging
from typing import Any

from authlib.integrations.django_oauth2 import token_authenticated
from django.dispatch import Signal
from django.http import HttpRequest

from ..errors import GuardError, MissingAuthorizationError, Reason, TemporarilyUnavailableError, reason_of
from ..protocol import logs
from ..runtime.effects import Call, Flow, Notify

__all__ = ["log_refusal_flow", "notify_flow", "token_authenticated", "token_rejected"]

logger = logging.getLogger("async_oauth_guard.refusals")

token_rejected = Signal()
"""Sent with ``request`` and ``error`` (a `GuardError`, with its ``reason``) when a guard refuses a request."""

# Our other loggers already report these outages: once for each failed attempt, not for each request that needed it.
_LOGGED_ELSEWHERE = frozenset(
    {
        Reason.SERVER_UNREACHABLE,
        Reason.SERVER_TOO_SLOW,
        Reason.SERVER_ANSWER_UNUSABLE,
        Reason.TOKEN_ANSWER_UNUSABLE,
        Reason.SERVER_REFUSES_US,
        Reason.METADATA_UNUSABLE,
        Reason.KEYS_UNAVAILABLE,
        Reason.BACKING_OFF,
    }
)


def notify_flow(signal: Signal, sender: type, **arguments: Any) -> Flow[None]:
    """Send ``signal`` if it has receivers."""
    if signal.receivers and signal.has_listeners(sender):
        yield Notify(signal, sender, arguments)


def log_refusal_flow(request: HttpRequest, error: GuardError) -> Flow[None]:
    """Log that ``request`` was refused, and the reason. The record contains nothing that the client wrote.

    Django itself logs each 4xx response at WARNING, so this logs the reason at INFO. A request without credentials is
    logged at DEBUG, because many clients start with one. An outage that no other logger reports is logged at WARNING.
    """
    level = _level_of(error)
    if not logger.isEnabledFor(level):
        return
    extra = _extra_of(request, error)
    # A logging handler is the site's code and may block, so it runs where the site's other code runs.
    line = (logger, level, "Refused with status %s: %s", extra["status"], extra["reason"])
    yield Call(logs.write, line, {"extra": extra})


def _level_of(error: GuardError) -> int:
    if isinstance(error, MissingAuthorizationError):
        return logging.DEBUG
    if isinstance(error, TemporarilyUnavailableError) and error.reason not in _LOGGED_ELSEWHERE:
        return logging.WARNING
    return logging.INFO


def _extra_of(request: HttpRequest, error: GuardError) -> dict[str, Any]:
    return {
        "reason": reason_of(error),
        "status": error.status_code,
        "scheme": error.scheme,
        "validator": None if error.validator is None else type(error.validator).__name__,
        # Use the pattern, which the site wrote, not the path, which the client wrote.
        "route": getattr(getattr(request, "resolver_match", None), "route", None),
    }
