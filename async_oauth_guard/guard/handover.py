"""Hands what a guard found out about a request over to other guards of the same protector, and to streams.

From a guard in front of an ASGI application it travels in the scope, which only the server and applications write,
never a client. Other guards leave it on the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import HttpRequest

from ..protocol.access_token import TokenState
from ..protocol.confirmation import Possession
from ..protocol.secrets import Secret
from ..validators.authorization_context import AuthorizationContext
from ..validators.binding import POSSESSION
from ..validators.found_token import FoundToken
from .asgi.request import read_credential_fields

__all__ = [
    "Handover",
    "hand_over",
    "handover_of",
    "handovers_of",
    "handovers_on",
    "leave_handover",
    "presented_by",
    "reuse_handover",
]

_KEY: Final = "async_oauth_guard"
_ATTRIBUTE: Final = "_oauth_handovers"


# There is one for each request. Creating a frozen instance would take three times as long.
@dataclass(slots=True, eq=False)
class Handover:
    """What a guard of ``protector`` found out when it let a request in.

    Attributes:
        token, state: the token of the request, and its state if the guard read it.
        presented: what `presented_by` returned.
        found: the token, or ``None`` if the site's own ``acquire_token`` found it.
        possession: what the request proves to possess.
        is_fresh: whether no cached result was used.
        presented_at: when that was, in seconds since the epoch.
    """

    protector: Any = field(repr=False)
    token: Any = field(repr=False)
    state: TokenState | None = field(repr=False)
    presented: Secret[Sequence[str | None]]
    found: FoundToken | None
    possession: Possession | None
    is_fresh: bool
    presented_at: float


def hand_over(handover: Handover, request: Any) -> dict[str, Any]:
    """What to add to the scope of ``request`` for the application, besides what other guards have handed over."""
    passed: Sequence[Handover] = request.scope.get(_KEY, ())
    return {_KEY: (handover, *passed)}


def presented_by(request: HttpRequest) -> Secret[Sequence[str | None]]:
    """The header fields with the credentials of ``request``. With another value, it presents something else."""
    fields = read_credential_fields(request)
    return Secret((fields.get("HTTP_AUTHORIZATION"), fields.get("HTTP_DPOP")))


def handovers_of(request: HttpRequest | None) -> Sequence[Handover]:
    """What other guards handed over, the innermost first."""
    # This is called for each request, and most have none.
    left: Sequence[Handover] = getattr(request, _ATTRIBUTE, ())
    scope: Mapping[str, Any] | None = getattr(request, "scope", None)
    passed: Sequence[Handover] = scope.get(_KEY, ()) if scope else ()
    return (*left, *passed) if passed else left


def leave_handover(request: HttpRequest, handover: Handover) -> None:
    """Leave ``handover`` on ``request``."""
    setattr(request, _ATTRIBUTE, (handover, *handovers_on(request)))


def handovers_on(request: HttpRequest | None) -> Sequence[Handover]:
    """What the guards of ``request`` itself left on it, the innermost first."""
    left: Sequence[Handover] = getattr(request, _ATTRIBUTE, ())
    return left


def handover_of(request: HttpRequest, protector: Any) -> Handover | None:
    """What another guard of ``protector`` handed over, if the request still presents the same."""
    for handover in handovers_of(request):
        if handover.protector is protector and handover.presented.reveal() == presented_by(request).reveal():
            return handover
    return None


def reuse_handover(request: HttpRequest, protector: Any, context: AuthorizationContext) -> bool:
    """Whether a guard of ``protector`` handed something over and the request still presents the same.

    If so, ``context`` gets the possession that was proved, and the token, unless it must be found anew.
    """
    handover = handover_of(request, protector)
    if handover is None:
        return False
    context.possession = handover.possession
    setattr(request, POSSESSION, handover.possession)
    if handover.is_fresh or not context.requirements.fresh:
        context.found = handover.found
    return True
