"""Completes the response of a view whose request was judged, with the headers that every guarded view sends."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ...errors import GuardError
from ...guard.refusal_responses import complete_refusal
from ...guard.responses import StoringSuspended
from ...guard.view_guard import ViewGuard

__all__ = ["ResponseCompletion", "complete_response_of"]


class ResponseCompletion:
    """Takes the place of ``finalize_response`` of one view, which exists for one request.

    The framework calls that method for every response, also for those made from exceptions, in `APIView` and in adrf's.
    So this needs no middleware, no base class and no setting.

    ``refusal``: the error with which the request was refused, if it was.
    """

    def __init__(self, finalize: Any, request: HttpRequest, guard: ViewGuard) -> None:
        self._finalize, self._request, self._guard = finalize, request, guard
        self._storing = StoringSuspended(request).__enter__()
        self.refusal: GuardError | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        response = self._finalize(*args, **kwargs)
        if self.refusal is not None and isinstance(response, HttpResponseBase):
            complete_refusal(response, self.refusal)
        self._guard.finish(self._request, response)
        self._storing.resume(response)
        return response


def complete_response_of(view: Any, request: HttpRequest, guard: ViewGuard) -> ResponseCompletion | None:
    """Complete the response of ``view`` to ``request``. ``None`` without a view, as in a test of a class alone."""
    if view is None:
        return None
    completion = view.finalize_response
    if not isinstance(completion, ResponseCompletion):
        completion = view.finalize_response = ResponseCompletion(completion, request, guard)
    return completion
