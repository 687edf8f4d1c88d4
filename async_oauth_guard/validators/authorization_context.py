"""What a token is presented for, and what lets a request in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from django.http import HttpRequest

from ..protocol.access_token import TokenState
from ..protocol.attributes import is_user
from ..protocol.clock import Clock
from ..protocol.confirmation import NO_POSSESSION, Possession
from ..protocol.requirements import Requirements
from ..protocol.rules import Rule, Trace
from ..protocol.scopes import ImpliedScopes, Requirement, read_values
from ..runtime.effects import Flow
from .clock import CLOCK
from .found_token import FoundToken

__all__ = ["TRACE", "Authorization", "AuthorizationContext", "ValidationTrace"]

T = TypeVar("T")


class ValidationTrace(Trace, Protocol):
    """Records how a token is validated.

    Attributes:
        certificate: the certificate, as DER, that counts as that of the client. ``None``: the usual source says.
    """

    certificate: bytes | None

    def watch_flow(self, flow: Flow[T], validator: Any = None) -> Flow[T]:
        """Watch ``flow``, in which ``validator`` validates a token. Without a validator, it checks the requirements."""
        ...


TRACE = "_oauth_trace"
"""The attribute of a request that holds a `ValidationTrace`. If it is set, no signal is sent and nothing is logged."""


# Not frozen, because one is created for each request, and a frozen one takes four times as long.
@dataclass(slots=True, kw_only=True, eq=False)
class AuthorizationContext:
    """What a token is presented for.

    Attributes:
        request: the request; ``None`` for a token from elsewhere, such as a background job.
        hook_request: creates the request that Authlib passes to hooks.
        uri: returns the requested URI, if there is one.
        resource: the protector's ``resource``, which identifies this API.
        cache: the protector's ``cache``: the alias of the cache that workers share.
        as_authlib: whether any white space separates the scopes of a token, as with Authlib.
        trace: records how the token is validated, if it is given.
        implied_scopes: the scopes that other scopes of a token imply.
        clock: tells how long ago the user authenticated.
        found: the token, if a guard of the same protector has found it for this request.
        possession: what the request proves to possess; ``None`` if a test's override presents the token.
    """

    requirements: Requirements
    request: HttpRequest | None
    hook_request: Callable[[], Any]
    uri: Callable[[], str | None]
    resource: str | None = None
    cache: str | None = None
    as_authlib: bool = False
    trace: ValidationTrace | None = None
    possession: Possession | None = NO_POSSESSION
    implied_scopes: ImpliedScopes | None = None
    clock: Clock = CLOCK
    found: FoundToken | None = None

    @property
    def scopes(self) -> Requirement | None:
        """The required scopes, or ``None`` if the guard does not allow the request's method."""
        return self.requirements.scopes.for_method(self.request.method if self.request is not None else None)

    def reach(self, rule: Rule[Any, Any]) -> None:
        """Record that ``rule`` is checked now."""
        if self.trace is not None:
            self.trace.reach(rule)

    def read_values(self, held: Any) -> frozenset[str]:
        """The values that a token holds. Raises the errors of `scopes.read_values`."""
        return read_values(held, any_space=self.as_authlib)

    def readable_values(self, held: Any) -> frozenset[str]:
        """The same, but empty if the values are malformed."""
        try:
            return self.read_values(held)
        except ValueError:
            return frozenset()


@dataclass(slots=True)
class Authorization:
    """Lets a request in.

    ``state`` is ``None`` if a hook validated the token. ``checked`` names the attributes that a hook has checked.
    ``context`` is what the token was presented for, and ``required`` are the required scopes. ``confirmation`` is the
    token's ``cnf``, which the request satisfies. ``scope`` is what the token has as its scopes, or ``None`` if a hook
    validated the token. ``found`` is the token as a validator found it.
    """

    # Do not show it: error pages print the repr, and a model's ``__str__`` may show the token.
    token: Any = field(repr=False)
    user: Any = field(repr=False)
    attributes: Mapping[str, Any] = field(repr=False)
    state: TokenState | None = field(default=None, repr=False)
    checked: frozenset[str] = frozenset()
    context: AuthorizationContext = field(kw_only=True, repr=False, compare=False)
    required: Requirement | None = field(kw_only=True, default=None, compare=False)
    confirmation: Any = field(kw_only=True, default=None, repr=False)
    scope: Any = field(kw_only=True, default=None, repr=False, compare=False)
    found: FoundToken | None = field(kw_only=True, default=None, compare=False)

    def is_for_user(self) -> bool:
        """Whether the token speaks for a user. Raises the errors of `is_user`."""
        return is_user(self.user, f"{type(self.token).__name__}.user")
