"""Guards one view: lets a request in and attaches its token, or returns the response that refuses it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ..errors import GuardError, MissingAuthorizationError, OAuth2Error
from ..protocol.confirmation import NO_POSSESSION
from ..protocol.copies import own_copy
from ..protocol.credentials import Credentials
from ..protocol.requirements import Requirements, describe_requirements
from ..runtime.effects import Call, Flow
from ..validators.authorization import adopt_token_flow
from ..validators.authorization_context import Authorization
from ..validators.clock import CLOCK
from ..validators.hooks import keywords_taken, overridden
from .context import make_context
from .csrf import session_checks_flow
from .handover import Handover, handover_of, leave_handover, presented_by
from .interface import Protector
from .memo import Memo, Plan
from .ninja_operations import PASSED
from .proofs import NONCE
from .refusal_responses import complete_refusal, render_json, render_problem, share_refusal
from .refusals import refuse_flow
from .responses import Marks, complete_response, mark_response
from .streaming import end_with_token

__all__ = ["ViewGuard"]

# These do no I/O. A renderer of the site may, so a driver calls it.
_OWN_RENDERERS = (render_json, render_problem)

# Browsers store the credentials of these schemes and send them automatically, like cookies.
_SENT_BY_BROWSERS = frozenset({"basic", "digest", "negotiate", "ntlm"})


@dataclass(frozen=True, slots=True)
class ViewGuard:
    """Decides about requests to one view.

    Attributes:
        keywords: the keywords of the decorator.
        requirements: the same, parsed.
        optional: whether a request without credentials is let in.
        memo: remembers which tokens the flow let in, if there is nothing but options that a request depends on.
        in_front: whether it guards an ASGI application, which runs its own checks of sessions.
        alternatives: other guards that let in requests which this one refuses. Only reports have them.
        until_expiry: whether a streaming response ends when the token expires.
    """

    protector: Protector
    keywords: Mapping[str, Any]
    requirements: Requirements
    optional: bool
    memo: Memo | None = None
    in_front: bool = False
    alternatives: "tuple[ViewGuard, ...]" = ()
    until_expiry: bool = True

    @property
    def checks_sessions(self) -> bool:
        """Whether Django's checks of sessions run on some requests."""
        return self.optional or bool(self.forgeable_schemes)

    @property
    def forgeable_schemes(self) -> Collection[str | None]:
        """The schemes with which a browser may add automatically what lets a request in, even for another site's form.

        ``None`` stands for requests without credentials of a supported scheme.
        """
        if self.in_front or self.protector.csrf_exempt is True:
            return ()
        try:
            schemes: set[str | None] = {*_SENT_BY_BROWSERS.intersection(self.protector.by_scheme())}
        except ImproperlyConfigured:
            # No request is let in.
            schemes = set()
        if overridden(self.protector, "acquire_token") is not None:
            # The site's code may read a cookie. Credentials of another scheme do not show that no browser sent the
            # request. Another site chooses the URL that Digest credentials contain, so they may look like repeated
            # ones.
            schemes.add(None)
        return schemes

    def check_flow(
        self, request: HttpRequest, given: Any, guarded: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Flow[HttpResponseBase | None]:
        """Return the response that refuses the request, or ``None`` after setting ``oauth_token`` on both requests."""
        passed = getattr(request, PASSED, None)
        if passed is not None and any(each is self for each in passed):
            return _ENDED
        plan = self._plan()
        # In front of an application, `recall` has been called.
        if not self.in_front and self._recall(plan, request, given):
            return _ENDED
        return self._check_flow(plan, request, given, guarded, args, kwargs)

    def recall(self, request: HttpRequest) -> bool:
        """Let ``request`` in without a flow, if the memo knows that the flow would. Does no I/O."""
        return self._recall(self._plan(), request, request)

    def _plan(self) -> Plan | None:
        return None if self.memo is None else self.memo.plan(self.protector, self.requirements)

    def _recall(self, plan: Plan | None, request: HttpRequest, given: Any) -> bool:
        if plan is None:
            return False
        presented = presented_by(request)
        recalled = plan.recall(request, presented)
        if recalled is None:
            return False
        found, state = recalled
        earlier = handover_of(request, self.protector)
        if earlier is not None and earlier.found is not None:
            if earlier.found.token != found.token:
                # Code between two guards has changed the token of this request, so the flow decides.
                return False
            found = earlier.found
        # A plan is only made for guards that may use cached results.
        handover = Handover(self.protector, found.token, state, presented, found, NO_POSSESSION, False, CLOCK.wall())
        _let_in(request, given, handover)
        return True

    def _check_flow(
        self,
        plan: Plan | None,
        request: HttpRequest,
        given: Any,
        guarded: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Flow[HttpResponseBase | None]:
        credentials = self.protector.read_credentials(request)
        if self.optional and isinstance(credentials, MissingAuthorizationError):
            request.oauth_token = given.oauth_token = None  # type: ignore[attr-defined]
            if self.in_front or _is_rest_framework(given):
                # The application or the framework checks the session itself.
                return None
            response = yield from session_checks_flow(request, guarded, args, kwargs)
            mark_response(response, private=False, vary=self.protector.options.vary)
            return response
        if credentials.scheme in self.forgeable_schemes:
            response = yield from session_checks_flow(request, guarded, args, kwargs, login=False)
            if response is not None:
                mark_response(response, private=False, vary=self.protector.options.vary)
                return response
        try:
            authorization = yield from self.authorize_flow(request, credentials)
        except GuardError as error:
            return (yield from self._refuse_flow(request, error))
        self.let_in(request, given, authorization)
        if self.protector.options.set_user:
            _set_user(request, authorization)
            if given is not request:
                _set_user(given, authorization)
        if plan is not None and self.memo is not None and isinstance(credentials, Credentials):
            self.memo.keep(plan, self.protector, request, credentials, authorization)
        return None

    def let_in(self, request: HttpRequest, given: Any, authorization: Authorization) -> None:
        """Set ``oauth_token`` on both requests, and leave what was found out for other guards and for streams."""
        handover = Handover(
            self.protector,
            authorization.token,
            authorization.state,
            presented_by(request),
            authorization.found,
            authorization.context.possession,
            self.requirements.fresh,
            CLOCK.wall(),
        )
        _let_in(request, given, handover)

    def describe(self) -> str:
        """The requirements as text."""
        text = describe_requirements(self.requirements)
        own = f"optional: {text}" if self.optional else text
        return " or else ".join([own, *(guard.describe() for guard in self.alternatives)])

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Prevent caches from sending the response to other clients, and let a stream end with the token."""
        complete_response(response, self.marks_for(request))
        if self.until_expiry and getattr(response, "streaming", False):
            end_with_token(request, response)

    def marks_for(self, request: HttpRequest) -> Marks:
        """How to mark the response to ``request``."""
        # Do not check ``oauth_token``: the view, or a guard inside this one, may have replaced it.
        given_for_token = hasattr(request, "_oauth_token_state")
        # With Authlib's headers, `Vary` alone must separate clients. It cannot if the token is not in the header.
        options = self.protector.options
        is_apart = options.as_authlib and overridden(self.protector, "acquire_token") is None
        nonce = None if options.dpop is None else getattr(request, NONCE, None)
        return Marks(given_for_token and not is_apart, options.vary, nonce)

    def authorize_flow(self, request: HttpRequest, credentials: Credentials | GuardError) -> Flow[Authorization]:
        """Authorize the request with the protector, or with its overridden ``acquire_token``."""
        acquire_token = overridden(self.protector, "acquire_token")
        if acquire_token is None:
            return self.protector.authorize_flow(request, self.requirements, credentials)
        return self._acquire_flow(acquire_token, request, credentials)

    def _acquire_flow(
        self, acquire_token: Callable[..., Any], request: HttpRequest, credentials: Credentials | GuardError
    ) -> Flow[Authorization]:
        """Let an overridden ``acquire_token`` find the token and check its lifetime and scopes."""
        taken = keywords_taken(acquire_token, self.keywords, positional=1)
        keywords = own_copy({name: value for name, value in self.keywords.items() if name in taken})
        try:
            acquire = Call(acquire_token, (request,), keywords)
            context = make_context(self.protector.options, self.requirements, request)
            return (yield from adopt_token_flow(acquire, context))
        except OAuth2Error as caught:
            refusal = caught
        # Outside the handler, as in the protector.
        error = yield from refuse_flow(self.protector, refusal, request, self.requirements, credentials)
        raise error from error.__cause__

    def _refuse_flow(self, request: HttpRequest, error: GuardError) -> Flow[HttpResponseBase]:
        render = self.protector.options.render_error or render_json
        for own in _OWN_RENDERERS:
            if render is own:
                return share_refusal(own, request, error) if self.in_front else own(request, error)
        response = yield Call(render, (request, error))
        if not isinstance(response, HttpResponseBase):
            raise TypeError(f"render_error must return an HttpResponse, got {type(response).__name__}")
        return complete_refusal(response, error)


def _nothing_flow() -> Flow[None]:
    yield from ()


def _let_in(request: Any, given: Any, handover: Handover) -> None:
    request.oauth_token, request._oauth_token_state = handover.token, handover.state
    if given is not request:
        given.oauth_token, given._oauth_token_state = handover.token, handover.state
    leave_handover(request, handover)


# A flow that has ended. It can be run any number of times, and returns ``None``.
_ENDED = _nothing_flow()
next(_ENDED, None)


def _is_rest_framework(request: Any) -> bool:
    # `isinstance()` would need an import. The request of adrf is a subclass.
    return any(cls.__module__ == "rest_framework.request" for cls in type(request).__mro__)


def _set_user(request: Any, authorization: Authorization) -> None:
    # Import it here, because it needs the app registry.
    from django.contrib.auth.models import AnonymousUser

    user = authorization.user if authorization.is_for_user() else AnonymousUser()

    async def auser() -> Any:
        return user

    request.user, request.auser = user, auser
    # The guard exempts the view, or has run the check. `SessionAuthentication` of Django REST framework takes this user
    # for that of a session, and would run it again.
    request._dont_enforce_csrf_checks = True
