"""The ASGI application that guards another one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias

from django.http.response import HttpResponseBase

from ...runtime.effects import Flow
from ...runtime.request_thread import RequestThread
from ...runtime.run import arun
from ...validators.clock import CLOCK
from .handshake import read_handshake, refuse_handshake
from .lifetime import Lifetime, run_until_expiry
from .messages import Refuse, completing, respond
from .options import ApplicationOptions
from .request import ScopeRequest

__all__ = ["Admission", "ApplicationGuard", "Application", "GuardedApplication"]

Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: ``await application(scope, receive, send)``."""


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


class ApplicationGuard(Protocol):
    """What decides about connections."""

    def recall(self, request: ScopeRequest) -> HttpResponseBase | Admission | None: ...
    def admit_flow(self, request: ScopeRequest) -> Flow[HttpResponseBase | Admission]: ...
    def still_valid_flow(self, request: ScopeRequest) -> Flow[bool]: ...
    def complete(self, request: ScopeRequest, headers: Any) -> list[tuple[bytes, bytes]]: ...


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
            await self._serve(scope, ScopeRequest(scope), receive, send, respond)
        elif kind == "websocket":
            scope, handshake, send = read_handshake(scope, self._options.subprotocol, send)
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
        scope = {**scope, "headers": [*(scope.get("headers") or ())], **outcome.state}
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
