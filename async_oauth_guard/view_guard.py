"""What stands before one view: it lets a request in, with its token, or answers in the view's place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from .conf import Options
from .credentials import Credentials
from .effects import Call, Flow, ReadModel
from .errors import GuardError, InvalidTokenError, MissingAuthorizationError, OAuth2Error, Reason
from .flows.authorization import Verdict
from .hooks import hook
from .requirements import Requirements, describe_requirements
from .responses import complete_refusal, mark_response, render_json, render_problem
from .scopes import own_copy
from .session_checks import session_checks_flow
from .tokens import read_user

__all__ = ["Protector", "ViewGuard"]

# Ours do no I/O; anybody else's may.
_OWN_RENDERERS = (render_json, render_problem)


class Protector(Protocol):
    """What a view's guard asks of its `ResourceProtector`."""

    @property
    def options(self) -> Options: ...
    def check_keywords(self, requirements: Requirements) -> None: ...
    def read_credentials(self, request: HttpRequest) -> Credentials | GuardError: ...
    def authorize_request_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Verdict]: ...
    def reject_flow(
        self,
        refusal: OAuth2Error,
        request: HttpRequest,
        requirements: Requirements,
        credentials: Credentials | GuardError,
    ) -> Flow[GuardError]: ...


@dataclass(frozen=True, slots=True)
class ViewGuard:
    """``keywords`` are those of the decorator, ``requirements`` the same compiled."""

    protector: Protector
    keywords: Mapping[str, Any]
    requirements: Requirements
    optional: bool

    def admit_flow(
        self, request: HttpRequest, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Flow[HttpResponseBase | None]:
        """The refusal, or ``None`` with ``request.oauth_token`` set."""
        credentials = self.protector.read_credentials(request)
        if self.optional and isinstance(credentials, MissingAuthorizationError):
            request.oauth_token = None  # type: ignore[attr-defined]
            response = yield from session_checks_flow(request, guarded, args, kwargs)
            mark_response(response, private=False)
            return response
        try:
            if (acquire_token := hook(self.protector, "acquire_token")) is not None:
                verdict = yield from self._acquire_flow(acquire_token, request, credentials)
            else:
                verdict = yield from self.protector.authorize_request_flow(request, self.requirements, credentials)
        except GuardError as error:
            return (yield from self._refuse_flow(request, error))
        self._let_in(request, verdict)
        return None

    def describe(self) -> str:
        """What it asks for, in words."""
        words = describe_requirements(self.requirements)
        return f"optional: {words}" if self.optional else words

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Keep caches from giving the answer to others."""
        given_for_token = getattr(request, "oauth_token", None) is not None
        mark_response(response, private=given_for_token and not self.protector.options.as_authlib)

    def _acquire_flow(
        self, acquire_token: Callable[..., Any], request: HttpRequest, credentials: Credentials | GuardError
    ) -> Flow[Verdict]:
        """Let a subclass's own ``acquire_token`` decide."""
        try:
            token = yield Call(acquire_token, (request,), own_copy(dict(self.keywords)))
            if not token:
                # Fail closed: without a token there is nobody to let in.
                raise InvalidTokenError(reason=Reason.UNKNOWN_TOKEN)
        except OAuth2Error as caught:
            refusal = caught
        else:
            return Verdict(token, (yield ReadModel(read_user, token, blocking=False)), {})
        # Outside of the handler, as in the protector.
        error = yield from self.protector.reject_flow(refusal, request, self.requirements, credentials)
        raise error from error.__cause__

    def _refuse_flow(self, request: HttpRequest, error: GuardError) -> Flow[HttpResponseBase]:
        render = self.protector.options.render_error or render_json
        for own in _OWN_RENDERERS:
            if render is own:
                return own(request, error)
        response: HttpResponse = yield Call(render, (request, error))
        return complete_refusal(response, error)

    def _let_in(self, request: Any, verdict: Verdict) -> None:
        request.oauth_token = verdict.token
        request._oauth_token_state = verdict.state
        if self.protector.options.set_user:
            _set_user(request, verdict.user)


def _set_user(request: Any, user: Any) -> None:
    # Imported here: it needs the app registry.
    from django.contrib.auth.models import AnonymousUser

    user = AnonymousUser() if user is None else user

    async def auser() -> Any:
        return user

    request.user, request.auser = user, auser
