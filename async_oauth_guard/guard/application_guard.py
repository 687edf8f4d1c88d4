"""Guards an ASGI application with the same decision as a view's guard, before Django has made a request."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, TypeAlias

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers.exception import response_for_exception
from django.http import Http404
from django.http.response import HttpResponseBase, ResponseHeaders

from ..errors import GuardError, TemporarilyUnavailableError
from ..runtime.effects import Call, Flow
from ..runtime.request_thread import RequestThread
from ..runtime.run import arun
from ..validators.clock import CLOCK
from ..validators.hooks import overridden
from .asgi.handshake import read_handshake, refuse_handshake
from .asgi.lifetime import Lifetime, run_until_expiry
from .asgi.messages import Refuse, completing, respond
from .asgi.options import ApplicationOptions
from .asgi.request import HiddenScope, ScopeRequest
from .handover import hand_over, handovers_of
from .keywords import check_acquire_token
from .refusal_memo import RefusalMemo
from .responses import Marks, complete_response
from .streaming import end_of_claims, end_of_tokens_flow
from .view_guard import ViewGuard

__all__ = ["Admission", "Application", "ApplicationGuard", "GuardedApplication"]

Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: ``await application(scope, receive, send)``."""

# Raised by hooks and by Django to refuse a request. Django's handler does the same with them for a view.
_REFUSALS = (BadRequest, PermissionDenied, SuspiciousOperation, Http404)

# The headers that a guard changes, in lower case.
_COMPLETED = frozenset({b"vary", b"cache-control", b"dpop-nonce"})


@dataclass(frozen=True, slots=True)
class Admission:
    """Lets a connection in.

    Attributes:
        state: what the application finds in its scope, besides what the server put there. Without a token, its
            ``oauth_token`` is ``None``.
        expires_at: when the token expires, in seconds since the epoch, or ``None`` if that is not known.
    """

    state: Mapping[str, Any] = field(repr=False)
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class ApplicationGuard:
    """Decides about the connections to one application. ``guard`` must be ``in_front``.

    Raises:
        TypeError: with ``rechecks``, an overridden ``acquire_token`` would use cached results.
    """

    guard: ViewGuard
    rechecks: bool = False
    refusals: RefusalMemo = field(default_factory=RefusalMemo, repr=False, compare=False)

    def __post_init__(self) -> None:
        protector = self.guard.protector
        acquire_token = overridden(protector, "acquire_token")
        if self.rechecks and acquire_token is not None:
            check_acquire_token(acquire_token, type(protector).__name__, self._rechecking.requirements)

    @property
    def _rechecking(self) -> ViewGuard:
        requirements = replace(self.guard.requirements, fresh=True)
        return replace(self.guard, requirements=requirements, keywords={**self.guard.keywords, "fresh": True})

    def recall(self, request: ScopeRequest) -> HttpResponseBase | Admission | None:
        """What `admit_flow` would return, if memos know it. Does no I/O."""
        refusal = self.refusals.recall(self.guard.protector, request)
        if refusal is None and self.guard.recall(request):
            return self._admit(request, end_of_claims(request))
        return refusal

    def admit_flow(self, request: ScopeRequest) -> Flow[HttpResponseBase | Admission]:
        """The response that refuses the request, or what to tell the application."""
        try:
            response: Any = yield from self.guard.check_flow(request, request, self, (), {})
        except _REFUSALS as error:
            response = yield Call(response_for_exception, (request, error))
        if response is None:
            return (yield from self._admission_flow(request))
        if not getattr(response, "is_rendered", True):
            yield Call(response.render, ())
        self.refusals.keep(self.guard.protector, request, response)
        refusal: HttpResponseBase = response
        return refusal

    def _admission_flow(self, request: Any) -> Flow[Admission]:
        if request.oauth_token is None:
            return Admission({"oauth_token": None})
        return self._admit(request, (yield from end_of_tokens_flow(request)))

    def _admit(self, request: Any, expires_at: float | None) -> Admission:
        handover = handovers_of(request)[0]
        state = {"oauth_token": request.oauth_token, **hand_over(handover, request)}
        if self.guard.protector.options.set_user:
            state["user"] = request.user
        return Admission(state, expires_at)

    def complete(self, request: ScopeRequest, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers of the application's response, with those that the response of a guarded view has."""
        lines = [(bytes(name), bytes(value)) for name, value in headers]
        changed = tuple(line for line in lines if line[0].lower() in _COMPLETED)
        kept = [line for line in lines if line not in changed] if changed else lines
        return [*kept, *_complete_lines(changed, self.guard.marks_for(request))]

    def still_valid_flow(self, request: Any) -> Flow[bool]:
        """Whether a request that was let in would be again, without cached results and apart from its proof.

        Raises:
            TemporarilyUnavailableError: the token could not be validated.
        """
        guard = self._rechecking
        handover = replace(handovers_of(request)[0], is_fresh=False)
        again = ScopeRequest(HiddenScope(request.scope, **hand_over(handover, request)))
        try:
            yield from guard.authorize_flow(again, guard.protector.read_credentials(again))
        except TemporarilyUnavailableError:
            raise
        except (GuardError, *_REFUSALS):
            return False
        return True


class GuardedApplication:
    """Calls ``app`` for connections that ``guard`` lets in, and responds to the others."""

    def __init__(self, app: Application, guard: ApplicationGuard, options: ApplicationOptions) -> None:
        if not callable(app):
            raise TypeError(f"app must be an ASGI application, got {type(app).__name__}")
        self.app = app
        self._guard = guard
        self._options = options

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection.

        Raises:
            ValueError: the type of the scope is not ``http``, ``websocket`` or ``lifespan``.
        """
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
        elif kind == "http":
            scope = HiddenScope(scope)
            await self._serve(scope, ScopeRequest(scope), receive, send, respond)
        elif kind == "websocket":
            scope, handshake, send = read_handshake(HiddenScope(scope), self._options.subprotocol, send)
            await self._serve(scope, ScopeRequest(handshake), receive, send, refuse_handshake)
        else:
            raise ValueError(f"an application can be guarded for http and websocket, got a scope of type {kind!r}")

    async def _serve(self, scope: Any, request: ScopeRequest, receive: Any, send: Any, refuse: Refuse) -> None:
        outcome = self._guard.recall(request)
        if outcome is None:
            async with RequestThread():
                outcome = await arun(self._guard.admit_flow(request))
        if isinstance(outcome, HttpResponseBase):
            await refuse(outcome, scope, receive, send)
            return
        # A recheck reads the headers again, so the application must not change the same list.
        scope = HiddenScope(scope, headers=[*(scope.get("headers") or ())], **outcome.state)
        send = completing(send, partial(self._guard.complete, request))
        if outcome.state["oauth_token"] is not None:
            await run_until_expiry(self.app, scope, receive, send, self._lifetime(request, outcome))
        else:
            await self.app(scope, receive, send)

    def _lifetime(self, request: ScopeRequest, admission: Admission) -> Lifetime:
        options = self._options

        async def still_valid() -> bool:
            async with RequestThread():
                return await arun(self._guard.still_valid_flow(request))

        return Lifetime(
            expires_at=admission.expires_at if options.until_expiry else None,
            clock=lambda: CLOCK.wall(),
            recheck=options.recheck,
            still_valid=still_valid,
            close_code=options.close_code,
        )


# An application sends only few different ones.
@lru_cache(maxsize=256)
def _complete_lines(lines: tuple[tuple[bytes, bytes], ...], marks: Marks) -> Sequence[tuple[bytes, bytes]]:
    """What to send instead of ``lines``, which are those of `_COMPLETED`."""
    response = _Headers(lines)
    complete_response(response, marks)
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]


class _Headers(HttpResponseBase):
    """Some headers of a response, in the form in which Django's functions change them."""

    def __init__(self, lines: tuple[tuple[bytes, bytes], ...]) -> None:
        # Not the constructor of the base class, which adds a Content-Type.
        self.headers = ResponseHeaders({})
        for raw_name, raw_value in lines:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            # RFC 9110 §5.3: lines with the same name are combined with commas.
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
