"""What one guarded view asks of a request: the keywords of ``require_oauth(...)``, checked and compiled."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import Reason
from .scopes import Requirement, RequirementByMethod, ScopesLike, own_copy, parse_requirement, parse_scopes

__all__ = ["ATTRIBUTES", "Check", "Requirements", "describe_requirements", "parse_requirements"]

Check = Callable[..., Any]

ATTRIBUTES: Mapping[str, Reason] = {
    "groups": Reason.INSUFFICIENT_GROUPS,
    "roles": Reason.INSUFFICIENT_ROLES,
    "entitlements": Reason.INSUFFICIENT_ENTITLEMENTS,
}
"""RFC 9068 §2.2.3.1: the authorization attributes that a token may carry, and why one without them is refused."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """The compiled keywords. ``extra`` are those for validators' own ``validate_token``, as Authlib hands them on.

    ``fresh``: no cached verdict will do. Database tokens are judged anew each time anyway.
    """

    scopes: RequirementByMethod
    attributes: Mapping[str, Requirement]
    require_user: bool
    checks: tuple[Check, ...]
    extra: Mapping[str, Any]
    fresh: bool = False

    @property
    def go_beyond_scopes(self) -> bool:
        """Whether anything is asked of a token that is good and wide enough."""
        return bool(self.attributes or self.require_user or self.checks)

    def extra_for_hook(self) -> dict[str, Any]:
        """``extra``, with lists of the caller's own."""
        return {name: own_copy(value) for name, value in self.extra.items()}


def parse_requirements(
    scopes: ScopesLike = None,
    *,
    scope: ScopesLike = None,
    require_user: bool = False,
    check: Check | list[Check] | tuple[Check, ...] | None = None,
    fresh: bool = False,
    **keywords: Any,
) -> Requirements:
    """Compile the keywords of a guard. ``fresh`` asks for a verdict that no cache holds.

    Raises:
        TypeError: a keyword has a value of the wrong type, or ``scopes`` and ``scope`` are both given.
        ValueError: an alternative is blank (see `scopes.parse_scopes`).
    """
    if scopes is not None and scope is not None:
        raise TypeError("scopes and scope are two spellings of one argument: give one of them")
    for name, flag in (("require_user", require_user), ("fresh", fresh)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name}: True or False is wanted, not {type(flag).__name__}")
    attributes = {name: keywords.pop(name) for name in ATTRIBUTES if name in keywords}
    return Requirements(
        scopes=parse_scopes(scopes if scope is None else scope),
        attributes={name: parse_requirement(value, name) for name, value in attributes.items() if value is not None},
        require_user=require_user,
        checks=_parse_checks(check),
        # As Authlib does for all of them.
        fresh=fresh,
        extra={name: [value] if isinstance(value, str) else value for name, value in keywords.items()},
    )


def _parse_checks(check: Any) -> tuple[Check, ...]:
    checks = () if check is None else tuple(check) if isinstance(check, list | tuple) else (check,)
    for candidate in checks:
        if not callable(candidate):
            raise TypeError(f"check: a callable (request, token) -> bool is wanted, not {type(candidate).__name__}")
    return checks


def describe_requirements(requirements: Requirements) -> str:
    """What is asked of a token, in words: ``"profile and email, or user"``; ``"any token"`` where nothing is."""
    return "; ".join(_describe_parts(requirements)) or "any token"


def _describe_parts(requirements: Requirements) -> Iterator[str]:
    yield from _describe_scopes(requirements.scopes.by_method)
    for name, requirement in requirements.attributes.items():
        if requirement.alternatives:
            yield f"{name} {_describe_alternatives(requirement)}"
    if requirements.require_user:
        yield "a user"
    for check in requirements.checks:
        yield f"check {getattr(check, '__name__', type(check).__name__)}"
    if requirements.fresh:
        yield "fresh"
    # Their values mean something to a validator only.
    yield from (f"{name} by its validator" for name in requirements.extra)


def _describe_scopes(by_method: Mapping[str, Requirement]) -> Iterator[str]:
    if set(by_method) == {"*"}:
        if by_method["*"].alternatives:
            yield _describe_alternatives(by_method["*"])
        return
    # Who is not named is granted nothing.
    named = [*((method, by_method[method]) for method in by_method if method != "*"), ("*", by_method.get("*"))]
    for method, requirement in named:
        wanted = "no token" if requirement is None else _describe_alternatives(requirement) or "any token"
        yield f"{'other methods' if method == '*' else method}: {wanted}"


def _describe_alternatives(requirement: Requirement) -> str:
    groups = [" and ".join(alternative) for alternative in requirement.alternatives]
    return (", or " if any(" and " in group for group in groups) else " or ").join(groups)
