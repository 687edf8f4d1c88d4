"""Responds again, without a flow, to requests without credentials in front of an ASGI application.

Such requests are the cheapest ones to send, so they must be cheap to refuse. Their response depends on nothing but the
method and the options. A memo lets in no request.
"""

import logging
from typing import Any, Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ..errors import MissingAuthorizationError
from ..validators.hooks import overridden
from .asgi.request import read_header
from .memo import METHODS, is_unobserved
from .signals import logger, token_rejected

__all__ = ["RefusalMemo"]

_HEADER: Final = "HTTP_AUTHORIZATION"


class RefusalMemo:
    """What one guard has responded to requests without an ``Authorization`` header, by method."""

    __slots__ = ("_responses", "_surroundings")

    def __init__(self) -> None:
        self._surroundings: Any = None
        self._responses: dict[str | None, HttpResponseBase] = {}

    def recall(self, protector: Any, request: HttpRequest) -> HttpResponseBase | None:
        """The response to ``request``, if the flow has refused such a request before, and would in the same way."""
        response = self._responses.get(request.method)
        is_same = response is not None and read_header(request, _HEADER) is None and _is_unobserved()
        return response if is_same and self._surroundings == _surroundings(protector) else None

    def keep(self, protector: Any, request: Any, response: HttpResponseBase) -> None:
        """Remember the response of the flow, if it must be shared and depended on nothing else."""
        # The site's own method may have looked elsewhere for credentials.
        is_own = overridden(protector, "acquire_token") is not None
        if is_own or not getattr(response, "is_shared", False) or request.method not in METHODS:
            return
        if type(request._oauth_rejection) is not MissingAuthorizationError:
            return
        if read_header(request, _HEADER) is None and _is_unobserved():
            surroundings = _surroundings(protector)
            if surroundings != self._surroundings:
                self._surroundings, self._responses = surroundings, {}
            self._responses[request.method] = response


def _surroundings(protector: Any) -> Any:
    """What the response depends on besides the method. The options are created anew when settings change."""
    return protector._options, protector._schemes, protector.acquire_token, protector.read_credentials


def _is_unobserved() -> bool:
    return is_unobserved() and not token_rejected.receivers and not logger.isEnabledFor(logging.DEBUG)
