"""Scope requirements. They are parsed once, when a view is guarded, and compared with the token on every request.

``"a b"`` requires a AND b. ``["a b", "c"]`` requires (a AND b) OR c. ``[["a", "b"], "c"]`` is the same, but the strings
of an inner list are not split at spaces. ``None`` and ``[]`` require nothing. A list means *any* of its members, as in
Authlib.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, TypeAlias

from .copies import own_copy

__all__ = [
    "ImpliedScopes",
    "ImpliedScopesLike",
    "Requirement",
    "RequirementByMethod",
    "RequirementLike",
    "ScopesLike",
    "parse_implied_scopes",
    "parse_requirement",
    "parse_scopes",
    "read_values",
    "with_implied",
]

RequirementLike: TypeAlias = str | Collection[str | Collection[str]] | None
ImpliedScopesLike: TypeAlias = Mapping[str, str | Collection[str]]
ScopesLike: TypeAlias = RequirementLike | Mapping[str, RequirementLike]

# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class Requirement:
    """Alternatives. The token must have all values of at least one of them; without alternatives nothing is required.

    ``written`` is the requirement as the caller wrote it, in a list if it was a string.
    """

    alternatives: tuple[tuple[str, ...], ...]
    written: Any

    def for_hook(self) -> Any:
        """The requirement for validators that are written for Authlib: a fresh copy of the list, or ``None``."""
        return own_copy(self.written)

    def is_met_by(self, held: frozenset[str]) -> bool:
        """Whether ``held`` contains all values of one alternative (RFC 6749 §3.3: exact, case-sensitive strings)."""
        for alternative in self.alternatives:
            if held.issuperset(alternative):
                return True
        return not self.alternatives

    def accepts(self, held: Any, *, any_space: bool = False, implied: "ImpliedScopes | None" = None) -> bool:
        """Whether the values in a token, with those that they imply, meet this requirement. See `read_values`."""
        return self.is_met_by(with_implied(read_values(held, any_space=any_space), implied))

    def nearest_alternative(self, held: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """The alternative with the fewest values missing from ``held``. If several have the fewest, the first."""
        return min(self.alternatives, key=lambda alternative: len(set(alternative) - held), default=())


@dataclass(frozen=True, slots=True)
class RequirementByMethod:
    """A requirement for each HTTP method, and ``"*"`` for all methods that are not named."""

    by_method: Mapping[str, Requirement]

    @property
    def is_any(self) -> bool:
        """Whether any token is sufficient for every method."""
        return set(self.by_method) == {"*"} and not self.by_method["*"].alternatives

    @property
    def named(self) -> frozenset[str]:
        """Every value that any method may require."""
        alternatives = (each for requirement in self.by_method.values() for each in requirement.alternatives)
        return frozenset(chain.from_iterable(alternatives))

    def for_method(self, method: str | None) -> Requirement | None:
        """The requirement for ``method``, or ``None`` if the mapping has no entry for it.

        HEAD counts as GET unless it is named (RFC 9110 §9.3.2: it is a GET whose response has no content).
        """
        if method == "HEAD" and "HEAD" not in self.by_method:
            method = "GET"
        return self.by_method.get(method or "*", self.by_method.get("*"))


_NOTHING = Requirement((), None)


def parse_scopes(value: ScopesLike) -> RequirementByMethod:
    """Parse the ``scopes`` argument of a guard.

    Raises:
        TypeError: ``scopes``, or a part of it, has the wrong type.
        ValueError: an alternative is blank, a scope has a character that RFC 6749 §3.3 forbids, a mapping is empty, or
            a method is not written in capitals.
    """
    if not isinstance(value, Mapping):
        return RequirementByMethod({"*": _parse_scope_requirement(value)})
    if not value:
        raise ValueError("scopes must name at least one HTTP method, or '*', got an empty mapping")
    return RequirementByMethod({_read_method(name): _parse_scope_requirement(part) for name, part in value.items()})


def _read_method(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"scopes: an HTTP method must be a string such as 'GET', got {type(name).__name__}")
    if not name or name != name.upper():
        # RFC 9110 §9.1: the method is case-sensitive.
        raise ValueError(f"scopes: an HTTP method must be in capitals, such as 'GET', or '*', got {name!r}")
    return name


def _parse_scope_requirement(value: Any) -> Requirement:
    requirement = parse_requirement(value, "scopes")
    for scope in (scope for alternative in requirement.alternatives for scope in alternative):
        if not _SCOPE_TOKEN.fullmatch(scope):
            raise ValueError(f"scopes: {scope!r} has characters that are not allowed in a scope (RFC 6749 §3.3)")
    return requirement


def parse_requirement(value: Any, argument: str) -> Requirement:
    """Parse one requirement. ``argument`` is its name in messages. Raises the same errors as `parse_scopes`."""
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return Requirement((_parse_alternative(value, argument),), [value])
    if not isinstance(value, _LISTS):
        raise TypeError(f"{argument} must be a string, a list of strings or None, got {type(value).__name__}")
    return Requirement(tuple(_parse_alternative(part, argument) for part in value), value)


def _parse_alternative(part: Any, argument: str) -> tuple[str, ...]:
    if isinstance(part, str):
        members: Iterable[Any] = part.split()
    elif isinstance(part, _LISTS):
        members = part
    else:
        raise TypeError(f"{argument}: a list must contain strings or lists of strings, got {type(part).__name__}")
    if not all(isinstance(member, str) for member in members):
        raise TypeError(f"{argument}: an inner list must contain only strings")
    members = tuple(dict.fromkeys(members))
    if not members or not all(member.strip() for member in members):
        raise ValueError(f"{argument} must not have a blank alternative; to let any token in, use None")
    return members


ImpliedScopes: TypeAlias = Mapping[str, frozenset[str]]
"""For a scope, all scopes that it implies, directly or through others."""


def parse_implied_scopes(value: Any) -> ImpliedScopes:
    """Parse the option ``implied_scopes``: ``{"admin": ["read", "write"]}``. Implication is transitive.

    Raises:
        TypeError: ``value``, or a part of it, has the wrong type.
        ValueError: a scope has a character that RFC 6749 §3.3 forbids.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"implied_scopes must be a mapping, such as {{'admin': ['read']}}, got {type(value).__name__}")
    direct = {_read_scope(scope): _read_implied(scopes) for scope, scopes in value.items()}
    return {scope: _closure(scope, direct) for scope in direct}


def _read_implied(scopes: Any) -> list[str]:
    if isinstance(scopes, str):
        scopes = scopes.split()
    elif not isinstance(scopes, _LISTS):
        raise TypeError(f"implied_scopes: a value must be a list of scopes, got {type(scopes).__name__}")
    return [_read_scope(scope) for scope in scopes]


def _read_scope(scope: Any) -> str:
    if not isinstance(scope, str):
        raise TypeError(f"implied_scopes: a scope must be a string, got {type(scope).__name__}")
    if not _SCOPE_TOKEN.fullmatch(scope):
        raise ValueError(f"implied_scopes: {scope!r} is not a scope (RFC 6749 §3.3)")
    return scope


def _closure(scope: str, direct: Mapping[str, Iterable[str]]) -> frozenset[str]:
    found: set[str] = set()
    ahead = [scope]
    while ahead:
        new = set(direct.get(ahead.pop(), ())) - found
        found |= new
        ahead += new
    return frozenset(found)


def with_implied(held: frozenset[str], implied: ImpliedScopes | None) -> frozenset[str]:
    """``held`` together with everything that these scopes imply."""
    return held.union(*(implied[scope] for scope in held if scope in implied)) if implied else held


# Most tokens have one of a few sets of scopes.
@lru_cache(maxsize=512)
def _split(values: str) -> frozenset[str]:
    # RFC 6749 §3.3: a list of space-delimited strings. Other white space does not separate them.
    return frozenset(filter(None, values.split(" ")))


def read_values(value: Any, *, any_space: bool = False) -> frozenset[str]:
    """The values in a token: the parts of a space-separated string, or the strings of a list, which are not split.

    Args:
        value: the value in the token; ``None`` gives an empty set.
        any_space: whether any white space separates the values of a string, as in Authlib.

    Raises:
        ValueError: ``value`` has another type, so it is unclear what was granted.
    """
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset(value.split()) if any_space else _split(value)
    if isinstance(value, _LISTS) and all(isinstance(member, str) for member in value):
        return frozenset(value)
    raise ValueError("neither a string nor a list of strings")
