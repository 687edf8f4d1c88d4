"""Lets in again, without a flow, what the flow of the same guard let in a moment ago.

A memo never refuses: if anything differs, the flow decides. It is used only for guards whose result depends on nothing
but the token, the method, the time, and what a `Plan` names.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, Final

from django.http import HttpRequest

from ..conf import Options
from ..protocol.access_token import TokenState
from ..protocol.credentials import Credentials
from ..protocol.requirements import NOTHING, Requirements
from ..protocol.secrets import Secret
from ..runtime.observer import is_watched
from ..validators.authorization_context import TRACE, Authorization
from ..validators.found_token import FoundToken
from ..validators.hooks import overridden
from ..validators.introspection import IntrospectTokenValidator
from ..validators.jwt import JWTBearerTokenValidator
from ..validators.remote import RemoteTokenValidator
from .handover import presented_by
from .overrides import current_override
from .signals import token_authenticated

__all__ = ["METHODS", "Memo", "Plan", "is_unobserved"]

# All other options must have their defaults, also those that do not exist yet.
_OPTIONS: Final = frozenset({"validators", "realm", "resource", "public_origin", "cache", "render_error"})
# Computed from the others.
_DERIVED_OPTIONS: Final = frozenset({"as_authlib", "vary", "implied", "metadata_url"})
_VALIDATOR_OPTIONS: Final = frozenset(
    {
        *("issuer", "resource_server", "audience", "realm", "extra_attributes"),
        *("jwks_uri", "jwks", "algorithms", "profile", "leeway", "jwks_ttl", "cooldown", "max_stale", "timeout"),
        *("introspection_endpoint", "client_id", "client_secret", "client_auth", "scope_claim", "signed_responses"),
        *("cache_ttl", "negative_ttl", "stale_if_error", "max_concurrency", "token_format"),
        *("http_client", "verify", "allow_insecure_http"),
    }
)
_HOOKS: Final = ("validate_request", "authenticate_token", "validate_token", "scope_insufficient", "recognises", "owns")
_HOOKS_OF: Final[Mapping[type, tuple[str, ...]]] = {
    JWTBearerTokenValidator: (*_HOOKS, "get_jwks", "validate_iss"),
    IntrospectTokenValidator: (*_HOOKS, "introspect_token"),
}
# Tests may replace a method of a class. What replaces a method of an object is found in the object.
_METHODS_OF: Final = {cls: attrgetter(*names) for cls, names in _HOOKS_OF.items()}
# What a request reads from the validator each time.
_OPTIONS_OF: Final[Mapping[type, Callable[[Any], Any]]] = {
    JWTBearerTokenValidator: attrgetter("audience", "user_lookup"),
    IntrospectTokenValidator: attrgetter("audience", "user_lookup", "issuer", "scope_claim"),
}
# A client chooses the method, so it must not fill the memory.
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


# Compared by identity: another plan may have been made from other settings. No repr, because the options may be secret.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plan:
    """What the results of one guard depend on, besides the token, the method and the time.

    Attributes:
        options, schemes: those of the protector.
        acquire_token: the method of the protector.
        validator: the only validator, or ``None`` if the guard must not remember results.
        methods: the hooks of the validator's class.
        read: the options that a request reads from the validator.
    """

    options: Options
    schemes: Mapping[str, Sequence[Any]]
    acquire_token: Any
    validator: RemoteTokenValidator | None
    methods: Any = None
    read: Any = None

    def is_current(self, protector: Any) -> bool:
        """Whether everything is as when the plan was made."""
        validator = self.validator
        return (
            protector._options is self.options
            and protector._schemes is self.schemes
            and protector.acquire_token == self.acquire_token
            and (validator is None or self._has_same_validator(validator))
        )

    def recall(
        self, request: HttpRequest, presented: Secret[Sequence[str | None]]
    ) -> tuple[FoundToken, TokenState] | None:
        """The token of ``request``, if the flow let it in for the same method before, and would now.

        ``presented``: see `presented_by`.
        """
        token, validator = _bearer_token(presented), self.validator
        if token is None or validator is None or getattr(request, TRACE, None) is not None:
            return None
        return validator.recall(token, (self, request.method))

    def _has_same_validator(self, validator: RemoteTokenValidator) -> bool:
        cls = type(validator)
        return (
            _METHODS_OF[cls](cls) == self.methods
            and _OPTIONS_OF[cls](validator) == self.read
            and vars(validator).keys().isdisjoint(_HOOKS_OF[cls])
        )


class Memo:
    """The memo of one guard. The validator keeps what it remembers about a token next to its cached result."""

    __slots__ = ("_is_used", "_plan")

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._is_used = False

    def plan(self, protector: Any, requirements: Requirements) -> Plan | None:
        """The current plan, or ``None`` if results must not be remembered."""
        plan = self._plan
        if plan is None or not plan.is_current(protector):
            if not self._is_used:
                # A guard that is made for one request, as by `method_decorator`, must be cheap and remember nothing.
                self._is_used = True
                return None
            plan = self._plan = _make_plan(protector, requirements)
        return plan if plan.validator is not None and is_unobserved() else None

    def keep(
        self, plan: Plan, protector: Any, request: HttpRequest, credentials: Credentials, authorization: Authorization
    ) -> None:
        """Remember that the flow let ``request`` in, if nothing has changed since ``plan``."""
        state, validator = authorization.state, plan.validator
        if validator is None or state is None or request.method not in METHODS:
            return
        if authorization.found is not None and state.remembered is None:
            # Another guard has found the token for this request.
            state.remembered = authorization.found.remembered
        token = None if state.remembered is None else _bearer_token(presented_by(request))
        if token is None:
            return
        is_presented = credentials.scheme == "bearer" and credentials.token.reveal() == token.reveal()
        if is_presented and getattr(request, TRACE, None) is None and self._plan is plan and plan.is_current(protector):
            validator.keep(token, (plan, request.method), authorization.token, state)


def is_unobserved() -> bool:
    """Whether nobody would notice that a flow did not run."""
    return not (is_watched() or token_authenticated.receivers or current_override() is not None)


def _bearer_token(presented: Secret[Sequence[str | None]]) -> Secret[str] | None:
    """The rest of a header that begins exactly so. The flow must have read the same token from it."""
    header = presented.reveal()[0]
    return Secret(header[7:]) if type(header) is str and header.startswith("Bearer ") else None


def _make_plan(protector: Any, requirements: Requirements) -> Plan:
    options, schemes = protector.options, protector.by_scheme()
    serving = schemes.get("bearer", ())
    validator = serving[0] if len(serving) == 1 else None
    is_plain = (
        replace(requirements, scopes=NOTHING.scopes) == NOTHING
        and {field.name for field in fields(options)} <= {*_OPTIONS, *_parameters(type(protector)), *_DERIVED_OPTIONS}
        and _has_defaults(options, type(protector), _OPTIONS)
        and overridden(protector, "acquire_token") is None
        and _is_plain(validator)
    )
    if not is_plain:
        return Plan(options, schemes, protector.acquire_token, None)
    cls = type(validator)
    return Plan(
        options, schemes, protector.acquire_token, validator, _METHODS_OF[cls](cls), _OPTIONS_OF[cls](validator)
    )


def _is_plain(validator: Any) -> bool:
    cls = type(validator)
    return (
        cls in _HOOKS_OF
        and _has_defaults(validator, cls, _VALIDATOR_OPTIONS)
        and not callable(getattr(validator, "jwks", None))
        and not any(overridden(validator, name) for name in (*_HOOKS_OF[cls], "cache_identity"))
    )


def _has_defaults(owner: Any, cls: Callable[..., Any], others: frozenset[str]) -> bool:
    """Whether all parameters of a class have their defaults in ``owner``, except for ``others``."""
    return all(
        getattr(owner, name, parameter.empty) == parameter.default
        for name, parameter in _parameters(cls).items()
        if name not in others
    )


def _parameters(cls: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls).parameters
