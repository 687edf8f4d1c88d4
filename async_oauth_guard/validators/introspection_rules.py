"""The rules for a token that an authorization server introspects (RFC 7662)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import Reason
from ..protocol.claims import CLAIMS, TIMES, ClaimPolicy
from ..protocol.rules import Rule, rules_for

__all__ = ["INTROSPECTION", "WORD", "IntrospectionPolicy", "check_active", "has_own_rules", "is_active_response"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionPolicy(ClaimPolicy):
    """What a validator requires of an introspected token.

    Attributes:
        rules: the rules of `INTROSPECTION` that apply.
        timed: those of them whose result changes with time.
    """

    rules: Sequence[Rule[Any, Any]] = field(init=False, repr=False)
    timed: Sequence[Rule[Any, Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", rules_for(self, INTROSPECTION))
        object.__setattr__(self, "timed", rules_for(self, (TIMES,)))


def is_active_response(token: Any) -> bool:
    """Whether ``token`` is an introspection response for an active token."""
    # RFC 7662 §2.2: "active" is a Boolean in a JSON object. Any other value does not mean active.
    return isinstance(token, Mapping) and token.get("active") is True


def has_own_rules(token: Any) -> bool:
    """Whether ``token`` has Authlib's methods, instead of being an introspection response."""
    return not isinstance(token, Mapping) and hasattr(token, "is_expired")


def check_active(token: Any, *, is_found_here: bool) -> Reason | None:
    """An introspection response must be one for an active token. Otherwise ``token`` may have its own rules.

    ``is_found_here``: no custom ``authenticate_token`` found it. That may return any object, and only a mapping is a
    response.
    """
    is_response = isinstance(token, Mapping) or (is_found_here and token and not has_own_rules(token))
    return Reason.INACTIVE_TOKEN if is_response and not is_active_response(token) else None


WORD: Rule[Any, Any] = Rule("the server's word")

INTROSPECTION: Sequence[Rule[Any, Any]] = (
    WORD,
    Rule("active", lambda token: None if is_active_response(token.claims) else Reason.INACTIVE_TOKEN),
    *CLAIMS,
)
"""RFC 7662 §2.2: the server says whether a token is active. The resource server checks that it may use it."""
