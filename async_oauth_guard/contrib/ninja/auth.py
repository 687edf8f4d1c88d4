"""`OAuth`, an authenticator of Django Ninja that runs a guard."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja.errors import HttpError

from ...guard.decorators import MAX_LAYERS
from ...guard.mixins import require_oauth
from ...guard.ninja_operations import operations_of
from ...guard.protector import ResourceProtector
from ...guard.responses import StoringSuspended
from ...guard.view_guard import ViewGuard
from ...protocol.scopes import ScopesLike
from ...runtime.effects import Flow
from ...runtime.run import arun, is_in_loop, run

__all__ = ["GUARDS", "REFUSAL", "OAuth", "RefusedError"]

GUARDS = "_oauth_ninja_guards"
"""The attribute of a request that holds the guards that have decided about it."""

REFUSAL = "_oauth_ninja_refusal"
"""The attribute of a request that holds the last refusal."""


class OAuth:
    """Lets in requests with an access token: ``auth=OAuth("notes:read")`` for an API, a router or an operation.

    It sets ``request.auth`` and ``request.oauth_token`` to the token. In a list with other authenticators, each is an
    alternative.

    Attributes:
        protector: the protector that checks tokens. To use another one, set it in a subclass. The name of the class is
            the name of the security scheme in the OpenAPI document.
    """

    protector: ResourceProtector = require_oauth
    # Ninja then calls it in the event loop of an async operation, and awaits the result.
    is_async = True

    def __init__(self, scopes: ScopesLike = None, **requirements: Any) -> None:
        """See `ResourceProtector.__call__` for the arguments and what they raise.

        Raises:
            TypeError: ``optional`` was given.
        """
        if "optional" in requirements:
            raise TypeError("OAuth has no optional; use require_oauth(optional=True) as the decorator of the operation")
        guard: Callable[[Any], Any] = self.protector(scopes, **requirements)
        self._guarded = guard(_no_view)
        self._oauth_guard: ViewGuard = self._guarded._oauth_guard
        # For documents of an API without `install`.
        self.openapi_security_schema = {"type": "http", "scheme": "bearer"}

    def __call__(self, request: HttpRequest) -> Any:
        """Return the token, or an awaitable of it in an event loop; ``None`` to let Ninja try the next authenticator.

        Raises:
            HttpError: the request is refused.
        """
        # `install` allows it again. Otherwise the response has no `Vary`.
        StoringSuspended(request).__enter__()
        setattr(request, GUARDS, (*getattr(request, GUARDS, ()), self._oauth_guard))
        return arun(self._flow(request)) if is_in_loop() else run(self._flow(request))

    def _flow(self, request: Any) -> Flow[Any]:
        refusal = yield from self._oauth_guard.check_flow(request, request, self._guarded, (), {})
        if refusal is None:
            return request.oauth_token
        setattr(request, REFUSAL, refusal)
        if refusal.status_code >= 500 or not self._has_alternative(request):
            raise RefusedError(refusal)
        return None

    def _has_alternative(self, request: HttpRequest) -> bool:
        operation = _operation_for(request)
        return operation is not None and operation.auth_callbacks[-1] is not self


def _no_view(request: HttpRequest) -> None:  # pragma: no cover - a guard needs a view; Ninja calls the operation
    raise NotImplementedError


def _operation_for(request: HttpRequest) -> Any:
    """The operation that handles ``request``, or ``None`` if its view does not show it."""
    view = getattr(request.resolver_match, "func", None)
    for _ in range(MAX_LAYERS):
        matching = [operation for operation in operations_of(view) if request.method in operation.methods]
        if matching:
            return matching[0]
        view = getattr(view, "__wrapped__", None)
    return None


class RefusedError(HttpError):
    """Ends a request with ``response``. Without `install`, Ninja makes another response with its status."""

    def __init__(self, response: HttpResponseBase) -> None:
        super().__init__(response.status_code, response.reason_phrase)
        self.response = response
