"""Authenticates requests by their access tokens."""

from typing import Any, Final

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.settings import api_settings

from ...errors import GuardError, MissingAuthorizationError, UnsupportedTokenTypeError
from ...guard.decorators import django_request
from ...guard.mixins import require_oauth
from ...guard.protector import ResourceProtector
from ...guard.refusals import complete_error
from ...guard.rest_permissions import required_scopes
from ...guard.view_guard import ViewGuard
from ...protocol.requirements import NOTHING
from ...runtime.run import run_outside_loop
from ...validators.authorization_context import Authorization
from ...validators.hooks import overridden
from .errors import RefusalError
from .responses import complete_response_of

__all__ = ["IN_A_THREAD", "OAuthAuthentication", "any_token_guard", "refuse", "view_of"]

IN_A_THREAD: Final = "sync_to_async()"
"""How a coroutine must call what may do I/O."""


class OAuthAuthentication(BaseAuthentication):  # type: ignore[misc]
    """Authenticates a request by its access token, in views of Django REST framework and of adrf.

    ``request.auth`` and ``request.oauth_token`` are the token, and ``request.user`` is its user, or else an anonymous
    user. If a guard of the same protector has let in the request, the token is not validated again.

    Attributes:
        protector: the protector that validates tokens. The default is `require_oauth`, which the setting configures.
    """

    protector: ResourceProtector = require_oauth

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.protector, ResourceProtector):
            raise TypeError(f"{cls.__name__}.protector must be a ResourceProtector, got {type(cls.protector).__name__}")
        if overridden(cls.protector, "acquire_token") is not None:
            # Its token may come from a cookie, which needs the checks of a guard.
            raise TypeError(
                f"{cls.__name__}.protector must not override acquire_token(); guard the view with it instead"
            )
        # The system checks examine only protectors that guard something.
        cls.protector()

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        """The user and the token; ``None`` if the request has no credentials of a scheme that the protector supports.

        Raises:
            RefusalError: the token is refused, or could not be validated.
            SynchronousOnlyOperation: an event loop is running in this thread.
        """
        http = _inner(request)
        guard = any_token_guard(self.protector)
        complete_response_of(view_of(request), http, guard)
        credentials = self.protector.read_credentials(http)
        if isinstance(credentials, MissingAuthorizationError | UnsupportedTokenTypeError):
            return None
        if credentials.scheme in guard.forgeable_schemes:
            SessionAuthentication().enforce_csrf(http)
        try:
            flow = self.protector.authorize_flow(http, NOTHING, credentials)
            authorization: Authorization = run_outside_loop(flow, IN_A_THREAD)
        except GuardError as error:
            refusal = error
        else:
            guard.let_in(http, http, authorization)
            return _log_in(http, authorization), authorization.token
        # The view's permissions know which scopes the client should request.
        complete_error(self.protector, refusal, required_scopes(_permissions_of(request), request.method))
        raise refuse(request, refusal, guard)

    def authenticate_header(self, request: Any) -> Any:
        """The challenge for a request that the framework itself refuses, with the scopes that the view requires."""
        error = MissingAuthorizationError()
        complete_error(self.protector, error, required_scopes(_permissions_of(request), request.method))
        return dict(error.get_headers()).get("WWW-Authenticate")


def any_token_guard(protector: ResourceProtector) -> ViewGuard:
    """A guard that lets in every valid token."""
    return ViewGuard(protector, {}, NOTHING, optional=False)


def refuse(request: Any, error: GuardError, guard: ViewGuard) -> RefusalError:
    """The exception for ``error``. Whatever becomes of it, the response gets the headers of the refusal."""
    completion = complete_response_of(view_of(request), _inner(request), guard)
    if completion is not None:
        completion.refusal = error
    return RefusalError(error)


def view_of(request: Any) -> Any:
    """The view that the framework made ``request`` for, or ``None``."""
    return (getattr(request, "parser_context", None) or {}).get("view")


def _permissions_of(request: Any) -> Any:
    # Not `get_permissions()`: the view's method may need the user, who is not known yet.
    return getattr(view_of(request), "permission_classes", ())


def _inner(request: Any) -> HttpRequest:
    http = django_request(request)
    if http is None:
        raise TypeError(f"request must be a request of Django or of a framework, got {type(request).__name__}")
    return http


def _log_in(http: HttpRequest, authorization: Authorization) -> Any:
    anonymous: Any = api_settings.UNAUTHENTICATED_USER
    user = authorization.user if authorization.is_for_user() else anonymous and anonymous()

    async def auser() -> Any:
        return user

    # The framework sets `user`, but Django's middleware would still give the user of the session here.
    http.auser = auser
    return user
