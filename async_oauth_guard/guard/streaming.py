"""Until when the tokens of a request may be used, and streaming responses that end then."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse

from ..protocol.access_token import end_of_use
from ..runtime.effects import Flow, ReadModel
from ..runtime.run import arun
from ..runtime.stream_expiry import is_event_stream, until_expiry
from ..validators.clock import CLOCK
from .handover import Handover, handovers_on

__all__ = ["end_of_claims", "end_of_tokens_flow", "end_with_token"]


def end_of_tokens_flow(request: Any) -> Flow[float | None]:
    """When the first token of ``request`` expires, in seconds since the epoch; ``None`` if that is not known.

    These are the tokens with which guards have let it in. The view may replace ``request.oauth_token``.
    """
    ends = []
    for handover in handovers_on(request):
        # The methods of a model may run queries.
        is_blocking = handover.found is not None and getattr(handover.found.validator, "blocking_methods", False)
        ends.append((yield ReadModel(partial(_end_of, handover), handover.token, is_blocking)))
    return _first(ends)


def end_of_claims(request: Any) -> float | None:
    """The same, if no token of ``request`` is a row."""
    return _first(_end_of(handover, handover.token) for handover in handovers_on(request))


def _first(ends: Iterable[float | None]) -> float | None:
    return min((end for end in ends if end is not None), default=None)


def _end_of(handover: Handover, token: Any) -> float | None:
    return end_of_use(token, _leeway_of(handover), handover.presented_at)


def _leeway_of(handover: Handover) -> float:
    if handover.state is not None:
        return handover.state.leeway
    # A hook has validated the token, and may have called a validator.
    return max((getattr(validator, "leeway", 0.0) for validator in handover.protector.validators), default=0.0)


def end_with_token(request: Any, response: Any) -> None:
    """Let an async streaming response end when the first token of ``request`` expires.

    An event stream ends as if its content had ended. Any other response is cut off, so that a client does not take it
    for complete. The content is not ended under WSGI, nor if it is a sync iterator: under ASGI, Django reads all of it
    before it sends anything.
    """
    if not (isinstance(request, ASGIRequest) and isinstance(response, StreamingHttpResponse) and response.is_async):
        return
    if handovers_on(request):
        # Not the property `streaming_content`: it wraps the content in a generator that would not be closed with it.
        content: Any = response._iterator  # type: ignore[attr-defined]
        cut_off = not is_event_stream(response.headers.get("Content-Type", ""))
        response.streaming_content = until_expiry(
            content, lambda: arun(end_of_tokens_flow(request)), lambda: CLOCK.wall(), cut_off=cut_off
        )
