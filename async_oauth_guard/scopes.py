"""The grammar of scope requirements: parsed once, when a view is guarded, and matched on every request.

``"a b"`` asks for a AND b; ``["a b", "c"]`` for (a AND b) OR c; ``[["a", "b"], "c"]`` is the same, with the parts of a
group taken whole; ``None`` and ``[]`` ask for nothing. A list means *any* of its members, as in Authlib.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

__all__ = [
    "Requirement",
    "RequirementByMethod",
    "RequirementLike",
    "ScopesLike",
    "own_copy",
    "parse_requirement",
    "parse_scopes",
    "read_values",
]

RequirementLike: TypeAlias = str | Collection[str | Collection[str]] | None
ScopesLike: TypeAlias = RequirementLike | Mapping[str, RequirementLike]

# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_LISTS = (list, tuple, set, frozenset)
_UNCHANGEABLE = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Requirement:
    """Alternatives, one of which must be held in full; no alternatives ask for nothing.

    ``written`` is the requirement as it was written, in a list if it was a string.
    """

    alternatives: tuple[tuple[str, ...], ...]
    written: Any

    def for_hook(self) -> Any:
        """The requirement as validators written for Authlib get it: a list of the caller's own, or ``None``."""
        return own_copy(self.written)

    def is_met_by(self, held: frozenset[str]) -> bool:
        """Whether ``held`` has every member of one alternative (RFC 6749 §3.3: exact, case-sensitive strings)."""
        for alternative in self.alternatives:
            if held.issuperset(alternative):
                return True
        return not self.alternatives

    def nearest_alternative(self, held: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """The alternative of which the fewest members are missing from ``held``; the first of several."""
        return min(self.alternatives, key=lambda alternative: len(set(alternative) - held), default=())


@dataclass(frozen=True, slots=True)
class RequirementByMethod:
    """A requirement for each HTTP method, ``"*"`` for all that are not named."""

    by_method: Mapping[str, Requirement]

    def for_method(self, method: str | None) -> Requirement | None:
        """The requirement of ``method``, or ``None`` where the mapping has no entry for it.

        HEAD counts as GET (RFC 9110 §9.3.2: it is a GET whose answer has no content).
        """
        if method == "HEAD" and "HEAD" not in self.by_method:
            method = "GET"
        return self.by_method.get(method or "*", self.by_method.get("*"))


_NOTHING = Requirement((), None)


def parse_scopes(value: ScopesLike) -> RequirementByMethod:
    """Compile the ``scopes`` argument of a guard.

    Raises:
        TypeError: it, or a part of it, is of another type than the grammar's.
        ValueError: an alternative is blank, a scope has a character that RFC 6749 §3.3 forbids, or a method is not
            written in capitals.
    """
    if not isinstance(value, Mapping):
        return RequirementByMethod({"*": _parse_scope_requirement(value)})
    if not value:
        raise ValueError("scopes: an empty mapping grants no method; name at least one, or '*'")
    return RequirementByMethod({_read_method(name): _parse_scope_requirement(part) for name, part in value.items()})


def _read_method(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"scopes: HTTP methods are strings such as 'GET', not {type(name).__name__}")
    if not name or name != name.upper():
        # RFC 9110 §9.1: the method is case-sensitive.
        raise ValueError(f"scopes: HTTP methods are written in capitals ('GET', '*'), not {name!r}")
    return name


def _parse_scope_requirement(value: Any) -> Requirement:
    requirement = parse_requirement(value, "scopes")
    for scope in (scope for alternative in requirement.alternatives for scope in alternative):
        if not _SCOPE_TOKEN.fullmatch(scope):
            raise ValueError(f"scopes: {scope!r} has characters that a scope cannot have (RFC 6749 §3.3)")
    return requirement


def parse_requirement(value: Any, argument: str) -> Requirement:
    """Compile one requirement; ``argument`` is its name for messages. Raises as `parse_scopes` does."""
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return Requirement((_parse_alternative(value, argument),), [value])
    if not isinstance(value, _LISTS):
        raise TypeError(f"{argument}: a string, a list of strings or None is wanted, not {type(value).__name__}")
    return Requirement(tuple(_parse_alternative(part, argument) for part in value), value)


def _parse_alternative(part: Any, argument: str) -> tuple[str, ...]:
    if isinstance(part, str):
        members: Iterable[Any] = part.split()
    elif isinstance(part, _LISTS):
        members = part
    else:
        raise TypeError(f"{argument}: a list holds strings or lists of strings, not {type(part).__name__}")
    if not all(isinstance(member, str) for member in members):
        raise TypeError(f"{argument}: a group within a list holds strings only")
    members = tuple(dict.fromkeys(members))
    if not members or not all(member.strip() for member in members):
        raise ValueError(f"{argument}: a blank alternative would let any token in; write None for that")
    return members


def own_copy(value: Any) -> Any:
    """``value`` with lists of its own, all the way down: what a hook changes must not change the next request's."""
    if type(value) in _UNCHANGEABLE:
        return value
    if isinstance(value, dict):
        return {name: part if type(part) in _UNCHANGEABLE else own_copy(part) for name, part in value.items()}
    return type(value)(map(own_copy, value)) if isinstance(value, _LISTS) else value


# Most tokens hold one of a few sets of scopes.
@lru_cache(maxsize=512)
def _split(values: str) -> frozenset[str]:
    # RFC 6749 §3.3: a list of space-delimited strings; no other white space delimits.
    return frozenset(filter(None, values.split(" ")))


def read_values(value: Any) -> frozenset[str]:
    """The values that a token holds: of a space-separated string, or of a list of strings, each whole.

    Raises:
        ValueError: it is of another type, so nobody can tell what was granted.
    """
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return _split(value)
    if isinstance(value, _LISTS) and all(isinstance(member, str) for member in value):
        return frozenset(value)
    raise ValueError("neither a string nor a list of strings")
