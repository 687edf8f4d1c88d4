"""The base class of validators: the scheme, the realm, Authlib's hooks, and the public validation methods."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator

from ..errors import Reason
from ..protocol.access_token import TokenState, read_attribute
from ..protocol.attributes import check_user, read_binding
from ..protocol.challenges import check_parameters
from ..protocol.requirements import parse_requirements
from ..protocol.rules import Rule, reported
from ..protocol.secrets import PresentedToken, Secret
from ..runtime.effects import Flow
from ..runtime.run import arun, is_async, run_outside_loop
from .authorization import OWN, REQUIREMENTS, require_flow, validate_flow
from .authorization_context import AuthorizationContext
from .binding import presented
from .hooks import CompatRequest, overridden
from .routing import recognises_format
from .token_requirements import implied_scopes

__all__ = ["NOT_EXPIRED", "STATE", "USER_IS_ACTIVE", "CheckedToken", "Overrides", "TokenValidator"]


# Called where they cannot be awaited, or meant to do no I/O.
_PLAIN_HOOKS = ("cache_identity", "owns", "recognises", "scope_insufficient", "validate_iss")


@dataclass(frozen=True, slots=True)
class Overrides:
    """Which hooks a class overrides."""

    authenticate_token: bool
    get_jwks: bool
    validate_iss: bool
    introspect_token: bool

    @classmethod
    def of(cls, owner: Any) -> "Overrides":
        """The overrides of a validator's class."""
        return cls(*(overridden(owner, name) is not None for name in cls.__slots__))

    @property
    def find_tokens(self) -> bool:
        """Whether the site's code creates the tokens. Their methods may run queries."""
        return self.authenticate_token or self.introspect_token


# Not frozen, because one is created for each request. No repr, because a model's ``__str__`` may show the token.
@dataclass(slots=True, repr=False)
class CheckedToken:
    """The subject of the rules for a token with Authlib's methods."""

    token: Any
    context: AuthorizationContext


NOT_EXPIRED: Rule[CheckedToken, Any] = Rule(
    "not expired", lambda checked: Reason.EXPIRED if checked.token.is_expired() else None
)
STATE: Sequence[Rule[CheckedToken, Any]] = (
    NOT_EXPIRED,
    Rule("not revoked", lambda checked: Reason.REVOKED if checked.token.is_revoked() else None),
)
"""The rules for the token itself, in Authlib's order."""
USER_IS_ACTIVE: Rule[Any, Any] = Rule("user is active")


class TokenValidator(AuthlibTokenValidator):
    """Base class for your own source of tokens.

    A subclass defines ``authenticate_token(token)``, with ``def`` or ``async def``. It finds and verifies a token, and
    returns it or ``None``. The returned token must have Authlib's methods ``is_expired()``, ``is_revoked()`` and
    ``get_scope()``. Otherwise the subclass must also define ``validate_token(token, scopes, request)``, which then does
    all checks. It may also define ``validate_request(request)`` and
    ``scope_insufficient(token_scopes, required_scopes)``.

    Args:
        realm: the realm that challenges name (RFC 9110 §11.5).
        extra_attributes: further parameters of every challenge.

    Raises:
        ValueError: a challenge cannot contain the realm or an attribute.
    """

    TOKEN_TYPE = "bearer"
    require_active_user = True
    blocking_methods = False
    # Whether the state of a token can be read from its claims, without calling methods that may run queries.
    _has_state_at_hand = False
    _overrides: Overrides
    _state_rules = STATE
    # What the whole token must match.
    _token_format: re.Pattern[str] | None = None
    # The attribute of a token with the thumbprint of the key that it is bound to, if the token has no `cnf`.
    _thumbprint_field: str | None = None
    # Whether the `__init__` of a subclass must call ours.
    _needs_init = False
    _async_variants: tuple[str, ...] = ("aauthenticate_token", "avalidate_token")

    def __init__(self, realm: str | None = None, **extra_attributes: Any) -> None:
        check_parameters(realm, extra_attributes)
        super().__init__(realm, **extra_attributes)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._overrides = Overrides.of(cls)
        for name in cls._async_variants:
            if overridden(cls, name) is None:
                continue
            # Fail closed: the guard calls only the method without the `a`, for sync and async views.
            raise TypeError(f"{cls.__name__}.{name}() would never be called: write async def {name[1:]}()")
        for name in _PLAIN_HOOKS:
            method = getattr(cls, name, None)
            if method is not None and (not callable(method) or is_async(method)):
                raise TypeError(f"{cls.__name__}.{name} must be a method written with def, not async def")

    # Routing knows this function, and does not call it for a validator without a format.
    recognises = recognises_format

    def owns(self, issuer: str | None) -> bool | None:
        """Whether only this validator accepts JWTs from ``issuer``.

        The issuer is unverified, and ``None`` for a token that is not a JWT. Returns ``False`` if this validator never
        accepts such tokens, and ``None`` if it may accept them.
        """
        return None

    def authenticate_token(self, token_string: str) -> Any:
        """Find and verify a token. Returns ``None`` for an unknown token. Does *not* check its lifetime and scopes.

        Raises:
            InvalidTokenError: the token is invalid.
            TemporarilyUnavailableError: the database or the authorization server had an outage.
            SynchronousOnlyOperation: an event loop is running in this thread.
        """
        # From here on, no frame of this package shows the token.
        token_string = PresentedToken(token_string)
        return run_outside_loop(self.authenticate_flow(Secret(token_string)), "await aauthenticate_token()")

    async def aauthenticate_token(self, token_string: str) -> Any:
        """See `authenticate_token`."""
        token_string = PresentedToken(token_string)
        return await arun(self.authenticate_flow(Secret(token_string)))

    def validate_token(
        self, token: Any, scopes: Any, request: Any, groups: Any = None, roles: Any = None, entitlements: Any = None
    ) -> None:
        """Check a token from ``authenticate_token``: its lifetime and user, scopes, groups, roles and entitlements.

        Raises:
            InvalidTokenError, InsufficientScopeError: the token is refused.
            SynchronousOnlyOperation: an event loop is running in this thread.
        """
        flow = self._validate_flow(token, scopes, request, groups=groups, roles=roles, entitlements=entitlements)
        run_outside_loop(flow, "await avalidate_token()")

    async def avalidate_token(
        self, token: Any, scopes: Any, request: Any, groups: Any = None, roles: Any = None, entitlements: Any = None
    ) -> None:
        """See `validate_token`."""
        await arun(self._validate_flow(token, scopes, request, groups=groups, roles=roles, entitlements=entitlements))

    def _validate_flow(self, token: Any, scopes: Any, request: Any, **attributes: Any) -> Flow[None]:
        requirements = parse_requirements(scopes, **attributes)
        # `request` is Authlib's request, which has a URI, or None.
        context = AuthorizationContext(
            requirements=requirements,
            request=None,
            hook_request=lambda: request,
            uri=lambda: getattr(request, "uri", None),
            # Look at its type only: using the lazy object would create it.
            as_authlib=issubclass(type(request), CompatRequest),
            possession=presented(),
            implied_scopes=implied_scopes(),
        )
        yield from require_flow((yield from validate_flow(self, token, context)))

    def authenticate_flow(self, token: Secret[str], context: AuthorizationContext | None = None) -> Flow[Any]:
        """Find a token. A subclass that does not override this must define ``authenticate_token``."""
        raise NotImplementedError(f"{type(self).__name__} must define authenticate_token()")

    def _rule_tables(self, context: AuthorizationContext) -> Iterator[tuple[Sequence[Rule[Any, Any]], Any]]:
        """The tables of rules for ``context``, in order, each with its policy."""
        if overridden(self, "authenticate_token") or overridden(self, "validate_token"):
            yield (OWN,), None
        else:
            yield from self._tables(context)
        yield REQUIREMENTS, context

    def _tables(self, context: AuthorizationContext) -> Iterator[tuple[Sequence[Rule[Any, Any]], Any]]:
        yield (OWN,), None

    def read_state(self, token: Any, context: AuthorizationContext) -> TokenState:
        """Read the state of the token, in Authlib's order. Stop at the first reason for a refusal."""
        checked, rules, trace = CheckedToken(token, context), self._state_rules, context.trace
        for rule in rules if trace is None else reported(rules, trace):
            reason = rule.check(checked)
            if reason is not None:
                return TokenState(reason)
        return self._read_grant(token, self._get_scope(token), context)

    def _get_scope(self, token: Any) -> Any:
        return token.get_scope()

    def _check_before_hook(self, token: Any) -> Reason | None:
        """The reason to refuse ``token`` before a custom ``validate_token`` is called, or ``None``."""
        return None

    def _read_grant(self, token: Any, scope: Any, context: AuthorizationContext) -> TokenState:
        if context.trace is not None:
            context.trace.reach(USER_IS_ACTIVE)
        user, reason = check_user(token, must_be_active=self.require_active_user)
        attributes = {name: read_attribute(token, name) for name in context.requirements.attribute_names}
        return TokenState(reason, scope, user, attributes, *read_binding(token, self._thumbprint_field))


TokenValidator._overrides = Overrides.of(TokenValidator)
