"""What a guarded view requires of a request: the arguments of ``require_oauth(...)``, checked and parsed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import Reason
from .authorization_details import Detail, describe_details, parse_details
from .copies import own_copy
from .scopes import Requirement, RequirementByMethod, ScopesLike, parse_requirement, parse_scopes
from .step_up import StepUp, parse_step_up

__all__ = ["ATTRIBUTES", "NOTHING", "Check", "Requirements", "describe_requirements", "parse_requirements"]

Check = Callable[..., Any]

ATTRIBUTES: Mapping[str, Reason] = {
    "groups": Reason.INSUFFICIENT_GROUPS,
    "roles": Reason.INSUFFICIENT_ROLES,
    "entitlements": Reason.INSUFFICIENT_ENTITLEMENTS,
}
"""RFC 9068 §2.2.3.1: the authorization attributes of a token, and the reason when a token lacks the required values."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """The parsed arguments. ``extra`` has the keywords that go to a validator's ``validate_token``, as in Authlib.

    Attributes:
        fresh: use no cached result. Database tokens are always looked up anyway.
        sender_constrained: the token must be bound to a key or a certificate.
        step_up: what is required of the authentication of the token's user.
        authorization_details: of these, the token must grant one.
        go_beyond_scopes: whether the requirements in `beyond_scopes` exist.
        narrow_tokens: whether more is required of the token itself than scopes.
        attribute_names: what must be read from a row to check the requirements.
    """

    scopes: RequirementByMethod
    attributes: Mapping[str, Requirement]
    require_user: bool
    checks: tuple[Check, ...]
    extra: Mapping[str, Any]
    fresh: bool = False
    sender_constrained: bool = False
    step_up: StepUp | None = None
    authorization_details: tuple[Detail, ...] = ()
    go_beyond_scopes: bool = field(init=False, repr=False, compare=False)
    narrow_tokens: bool = field(init=False, repr=False, compare=False)
    attribute_names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        narrow = self.sender_constrained or self.step_up is not None or bool(self.authorization_details)
        names = [*self.attributes, *(("acr", "auth_time") if self.step_up else ())]
        names += ["authorization_details"] if self.authorization_details else []
        object.__setattr__(self, "go_beyond_scopes", any(self.beyond_scopes))
        object.__setattr__(self, "narrow_tokens", narrow)
        object.__setattr__(self, "attribute_names", tuple(names))

    @property
    def beyond_scopes(self) -> tuple[Mapping[str, Requirement], bool, tuple[Check, ...]]:
        """What is required of a valid token that has the scopes."""
        return self.attributes, self.require_user, self.checks

    def extra_for_hook(self) -> dict[str, Any]:
        """A copy of ``extra``, so that a hook cannot change what later requests get."""
        return {name: own_copy(value) for name, value in self.extra.items()}


def parse_requirements(
    scopes: ScopesLike = None,
    *,
    scope: ScopesLike = None,
    require_user: bool = False,
    check: Check | list[Check] | tuple[Check, ...] | None = None,
    fresh: bool = False,
    sender_constrained: bool = False,
    acr_values: Any = None,
    max_age: int | None = None,
    authorization_details: Any = None,
    **keywords: Any,
) -> Requirements:
    """Parse the arguments of a guard: see `Requirements`, and `parse_step_up` for ``acr_values`` and ``max_age``.

    Raises:
        TypeError: an argument has the wrong type, or both ``scopes`` and ``scope`` are given.
        ValueError: an argument has an invalid value, such as a blank alternative (see `scopes.parse_scopes`).
    """
    if scopes is not None and scope is not None:
        raise TypeError("scopes and scope are the same argument; pass only one of them")
    flags = {"require_user": require_user, "fresh": fresh, "sender_constrained": sender_constrained}
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, got {type(flag).__name__}")
    attributes = {name: keywords.pop(name) for name in ATTRIBUTES if name in keywords}
    return Requirements(
        scopes=parse_scopes(scopes if scope is None else scope),
        attributes={name: parse_requirement(value, name) for name, value in attributes.items() if value is not None},
        require_user=require_user,
        checks=_parse_checks(check),
        fresh=fresh,
        sender_constrained=sender_constrained,
        step_up=parse_step_up(acr_values, max_age),
        authorization_details=parse_details(authorization_details),
        # Authlib puts every string argument into a list.
        extra={name: [value] if isinstance(value, str) else value for name, value in keywords.items()},
    )


def _parse_checks(check: Any) -> tuple[Check, ...]:
    checks = () if check is None else tuple(check) if isinstance(check, list | tuple) else (check,)
    for candidate in checks:
        if not callable(candidate):
            raise TypeError(f"check must be a callable (request, token) -> bool, got {type(candidate).__name__}")
    return checks


NOTHING: Final = parse_requirements()
"""The requirements that every valid token meets."""


def describe_requirements(requirements: Requirements) -> str:
    """What is required of a token, as text: ``"profile and email, or user"``, or ``"any token"`` if nothing is."""
    return "; ".join(_describe_parts(requirements)) or "any token"


def _describe_parts(requirements: Requirements) -> Iterator[str]:
    yield from _describe_scopes(requirements.scopes.by_method)
    for name, requirement in requirements.attributes.items():
        if requirement.alternatives:
            yield f"{name} {_describe_alternatives(requirement)}"
    if requirements.sender_constrained:
        yield "sender-constrained"
    if requirements.step_up is not None:
        yield from _describe_step_up(requirements.step_up)
    if requirements.authorization_details:
        yield f"authorization_details {describe_details(requirements.authorization_details)}"
    if requirements.require_user:
        yield "a user"
    for check in requirements.checks:
        yield f"check {getattr(check, '__name__', type(check).__name__)}"
    if requirements.fresh:
        yield "fresh"
    # Only the validator knows what their values mean.
    yield from (f"{name} by its validator" for name in requirements.extra)


def _describe_step_up(step_up: StepUp) -> Iterator[str]:
    if step_up.acr_values:
        yield f"acr {' or '.join(step_up.acr_values)}"
    if step_up.max_age is not None:
        yield f"a login at most {step_up.max_age} s ago"


def _describe_scopes(by_method: Mapping[str, Requirement]) -> Iterator[str]:
    if set(by_method) == {"*"}:
        if by_method["*"].alternatives:
            yield _describe_alternatives(by_method["*"])
        return
    # A method that is not named is refused.
    named = [*((method, by_method[method]) for method in by_method if method != "*"), ("*", by_method.get("*"))]
    for method, requirement in named:
        needed = "refused" if requirement is None else _describe_alternatives(requirement) or "any token"
        yield f"{'other methods' if method == '*' else method}: {needed}"


def _describe_alternatives(requirement: Requirement) -> str:
    groups = [" and ".join(alternative) for alternative in requirement.alternatives]
    return (", or " if any(" and " in group for group in groups) else " or ").join(groups)
