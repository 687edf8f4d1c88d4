"""The responses of an API of Django Ninja: refusals as a guarded view sends them, and headers for caches."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.errors import AuthenticationError

from ...guard.responses import StoringSuspended
from ...runtime.run import is_async
from .auth import GUARDS, REFUSAL, RefusedError

__all__ = ["install_responses"]


def install_responses(api: NinjaAPI) -> None:
    """Send the refusals of `OAuth` as they are, and complete the other responses to requests that it decided about."""
    on_failure: Any = api._lookup_exception_handler(AuthenticationError())

    def respond(request: HttpRequest, error: Any) -> Any:
        return error.response

    def refuse(request: HttpRequest, error: Any) -> Any:
        refusal = getattr(request, REFUSAL, None)
        # If an alternative let the request in, the operation itself has raised this.
        return on_failure(request, error) if refusal is None or hasattr(request, "auth") else refusal

    api.add_exception_handler(RefusedError, respond)
    api.add_exception_handler(AuthenticationError, refuse)
    api.add_decorator(_complete_responses, mode="view")


def _complete_responses(operate: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operate)
    def completed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with StoringSuspended(request) as storing:
            return _complete(request, storing, operate(request, *args, **kwargs))

    @wraps(operate)
    async def acompleted(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with StoringSuspended(request) as storing:
            return _complete(request, storing, await operate(request, *args, **kwargs))

    return acompleted if is_async(operate) else completed


def _complete(request: HttpRequest, storing: StoringSuspended, response: HttpResponseBase) -> HttpResponseBase:
    for guard in getattr(request, GUARDS, ()):
        guard.finish(request, response)
    storing.resume(response)
    return response
