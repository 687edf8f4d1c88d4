"""What is told of requests: the signals, and the log of refusals."""

import logging
from typing import Any

from authlib.integrations.django_oauth2 import token_authenticated
from django.dispatch import Signal
from django.http import HttpRequest

from . import logs
from .effects import Call, Flow, Notify
from .errors import GuardError, MissingAuthorizationError, Reason, TemporarilyUnavailableError

__all__ = ["log_refusal_flow", "notify_flow", "reason_of", "token_authenticated", "token_rejected"]

logger = logging.getLogger("async_oauth_guard.refusals")

token_rejected = Signal()
"""Sent with ``request`` and ``error`` (a `GuardError`, with its ``reason``) when a guard refuses a request."""

# Outages that other loggers of ours have told of: once for each call, and not for each request that needed it.
_TOLD_ELSEWHERE = frozenset(
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
    """Send ``signal``, if anybody listens."""
    if signal.has_listeners(sender):
        yield Notify(signal, sender, arguments)


def log_refusal_flow(request: HttpRequest, error: GuardError) -> Flow[None]:
    """Say in the log that ``request`` was refused, and why, without anything that the client has written.

    Django itself says at WARNING that an answer was a 4xx, so this says why at INFO; at DEBUG where nothing was
    presented, which is how many clients begin.
    """
    level = _level_of(error)
    if not logger.isEnabledFor(level):
        return
    extra = _extra_of(request, error)
    # A handler may block, and is the site's own: so it is called where code of the site's is.
    line = (logger, level, "Refused with status %s: %s", extra["status"], extra["reason"])
    yield Call(logs.write, line, {"extra": extra})


def reason_of(error: GuardError) -> Reason:
    """The reason that ``error`` gives; a word that a hook has made up is none."""
    reason: Any = error.reason
    return reason if isinstance(reason, Reason) else Reason.REFUSED_BY_HOOK


def _level_of(error: GuardError) -> int:
    if isinstance(error, MissingAuthorizationError):
        return logging.DEBUG
    if isinstance(error, TemporarilyUnavailableError) and error.reason not in _TOLD_ELSEWHERE:
        return logging.WARNING
    return logging.INFO


def _extra_of(request: HttpRequest, error: GuardError) -> dict[str, Any]:
    return {
        "reason": reason_of(error),
        "status": error.status_code,
        "scheme": error.scheme,
        "validator": None if error.validator is None else type(error.validator).__name__,
        # The pattern, not the path: the site has written it, and not the client.
        "route": getattr(getattr(request, "resolver_match", None), "route", None),
    }
