"""What an authorization server's answer has to be, before anybody reads what it says."""

import logging
from collections.abc import Collection
from typing import Any, NoReturn

from .. import logs
from ..effects import CallFailedError, Flow, HttpAnswer, HttpCall
from ..errors import Reason, TemporarilyUnavailableError
from ..strict_json import read_json
from .backoff import Attempt, read_retry_after

__all__ = ["JSON", "call_flow", "check_answer", "read_json_object", "shown", "unusable"]

JSON = "application/json"

logger = logging.getLogger("async_oauth_guard.outgoing")


def unusable(what: str, reason: Reason = Reason.SERVER_ANSWER_UNUSABLE) -> NoReturn:
    """Say in the log ``what`` is wrong with an answer, and that the token could not be judged.

    Raises:
        TemporarilyUnavailableError: always.
    """
    logs.write(logger, logging.WARNING, "%s", what, extra={"reason": reason})
    raise TemporarilyUnavailableError(reason=reason)


def call_flow(call: HttpCall, attempt: Attempt, now: float) -> Flow[HttpAnswer]:
    """Make a call, and note how long the server wishes not to be asked again.

    Raises:
        TemporarilyUnavailableError: there is no answer.
    """
    failure: CallFailedError
    try:
        answer: HttpAnswer = yield call
    except CallFailedError as error:
        failure = error
    else:
        if answer.status in (429, 503):
            attempt.wish = read_retry_after(answer.retry_after, now)
        return answer
    if failure.reason is Reason.TOO_MANY_CALLS:
        # Not in the log: there would be a line for each of them.
        raise TemporarilyUnavailableError(reason=failure.reason)
    unusable(f"{shown(call.url)} could not be asked: {failure}", failure.reason)


def shown(url: str) -> str:
    """``url`` for the log: without its query, where some servers want a key."""
    return url.partition("?")[0]


def check_answer(
    answer: HttpAnswer,
    url: str,
    media_types: Collection[str] = (JSON,),
    reason: Reason = Reason.SERVER_ANSWER_UNUSABLE,
) -> None:
    """Refuse an answer that is none: of another status than 200, or of another kind than was asked for.

    Raises:
        TemporarilyUnavailableError: it is none.
    """
    if answer.status != 200:
        unusable(f"{shown(url)} answered with status {answer.status}", reason)
    if answer.media_type not in media_types:
        unusable(f"{shown(url)} answered with another content type than {' or '.join(media_types)}", reason)


def read_json_object(answer: HttpAnswer, url: str, reason: Reason = Reason.SERVER_ANSWER_UNUSABLE) -> dict[str, Any]:
    """The JSON object in an answer; ``reason`` is what to say of another one.

    Raises:
        TemporarilyUnavailableError: there is none.
    """
    document = read_json(answer.body.reveal())
    if not isinstance(document, dict):
        unusable(f"{shown(url)} answered with something else than a JSON object", reason)
    return document
