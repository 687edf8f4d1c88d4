"""Guards an ASGI application with the same decision as a view's guard, before Django has made a request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers.exception import response_for_exception
from django.http import Http404
from django.http.response import HttpResponseBase, ResponseHeaders

from ..errors import GuardError, TemporarilyUnavailableError
from ..runtime.effects import Call, Flow
from ..validators.hooks import overridden
from .asgi.application import Admission
from .asgi.request import ScopeRequest
from .handover import hand_over, handovers_of
from .keywords import check_acquire_token
from .refusal_memo import RefusalMemo
from .responses import Marks, complete_response
from .streaming import end_of_claims, end_of_tokens_flow
from .view_guard import ViewGuard

__all__ = ["ApplicationGuard"]

# Raised by hooks and by Django to refuse a request. Django's handler does the same with them for a view.
_REFUSALS = (BadRequest, PermissionDenied, SuspiciousOperation, Http404)

# The headers that a guard changes, in lower case.
_COMPLETED = frozenset({b"vary", b"cache-control", b"dpop-nonce"})


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
        again = ScopeRequest({**request.scope, **hand_over(handover, request)})
        try:
            yield from guard.authorize_flow(again, guard.protector.read_credentials(again))
        except TemporarilyUnavailableError:
            raise
        except (GuardError, *_REFUSALS):
            return False
        return True


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
