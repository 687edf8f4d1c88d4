"""Until when the tokens of a request may be used, and streaming responses that end then."""

from collections.abc import Sequence
from typing import Any, Protocol

from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse

from ..protocol.access_token import TokenState, end_of_use
from ..runtime.expiry import is_event_stream, until_expiry
from ..validators.clock import CLOCK

__all__ = ["TokenSource", "end_of_tokens", "end_with_token", "note_token"]

_NOTED = "_oauth_noted"
"""The attribute of a request that holds the tokens that its guards let in, each with the time when it was presented."""


class TokenSource(Protocol):
    """The part of a `ResourceProtector` that knows its validators."""

    @property
    def validators(self) -> Sequence[Any]: ...


def note_token(request: Any, token: Any, state: TokenState | None, source: TokenSource) -> None:
    """Note that a guard has let ``request`` in with ``token``. The view may replace ``request.oauth_token``."""
    setattr(request, _NOTED, (*getattr(request, _NOTED, ()), (token, state, source, CLOCK.wall())))


def end_of_tokens(request: Any) -> float | None:
    """When the first token of ``request`` expires, in seconds since the epoch; ``None`` if that is not known."""
    ends = [
        end_of_use(token, _leeway_of(state, source), presented_at)
        for token, state, source, presented_at in getattr(request, _NOTED, ())
    ]
    return min((end for end in ends if end is not None), default=None)


def _leeway_of(state: TokenState | None, source: TokenSource) -> float:
    if state is not None:
        return state.leeway
    # A hook has validated the token, and may have called a validator.
    return max((getattr(validator, "leeway", 0.0) for validator in source.validators), default=0.0)


def end_with_token(request: Any, response: Any) -> None:
    """Let an async streaming response end when the first token of ``request`` expires.

    An event stream ends as if its content had ended. Any other response is cut off, so that a client does not take it
    for complete. The content is not ended under WSGI, nor if it is a sync iterator: under ASGI, Django reads all of it
    before it sends anything.
    """
    if not (isinstance(request, ASGIRequest) and isinstance(response, StreamingHttpResponse) and response.is_async):
        return
    end = end_of_tokens(request)
    if end is not None:
        # Not the property `streaming_content`: it wraps the content in a generator that would not be closed with it.
        content: Any = response._iterator  # type: ignore[attr-defined]
        cut_off = not is_event_stream(response.headers.get("Content-Type", ""))
        response.streaming_content = until_expiry(content, end, lambda: CLOCK.wall(), cut_off=cut_off)
