"""What permission classes of Django REST framework require together. The framework itself is not imported."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, product
from typing import Any

from ..protocol.requirements import NOTHING, Requirements
from ..protocol.scopes import Requirement, RequirementByMethod
from .view_guard import ViewGuard

__all__ = [
    "alternatives",
    "guards_named_by",
    "has_requirements",
    "is_oauth_authentication",
    "make_guard",
    "naming",
    "required_scopes",
    "scopes_of_way",
]

_MODULE = "rest_framework.permissions"
_AUTHENTICATION = ("async_oauth_guard.contrib.rest_framework.authentication", "OAuthAuthentication")


def alternatives(permissions: Iterable[Any], counts: Callable[[Any], bool]) -> list[tuple[Any, ...]]:
    """The ways to pass all of ``permissions``: for each way, those of its permission classes that count.

    What ``~`` inverts never counts, because it lets in what the permission refuses.
    """
    ways = (list(_ways(permission, counts)) for permission in permissions)
    return [_joined(parts) for parts in product(*ways)]


def _ways(permission: Any, counts: Callable[[Any], bool]) -> Iterator[tuple[Any, ...]]:
    operator = _operator_of(permission)
    if operator == "AND":
        yield from alternatives((permission.op1_class, permission.op2_class), counts)
    elif operator == "OR":
        yield from _ways(permission.op1_class, counts)
        yield from _ways(permission.op2_class, counts)
    else:
        yield (permission,) if isinstance(permission, type) and counts(permission) else ()


def _operator_of(permission: Any) -> str | None:
    """``"AND"`` for ``A & B``, ``"OR"`` for ``A | B``. The operators of adrf are subclasses."""
    operator = getattr(permission, "operator_class", None)
    bases = operator.__mro__ if isinstance(operator, type) else ()
    return next((base.__name__ for base in bases if base.__module__ == _MODULE), None)


def _joined(parts: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def required_scopes(permissions: Iterable[Any], method: str | None) -> Requirement:
    """The scopes with which a request with this method passes ``permissions``, as far as `HasScopes` decides."""
    ways = alternatives(permissions, has_requirements)
    found = [scopes for way in ways if way for scopes in scopes_of_way(way, method)]
    return Requirement(tuple(found), None)


def scopes_of_way(way: Iterable[Any], method: str | None) -> list[tuple[str, ...]]:
    """The scopes with which a request passes all of these `HasScopes` classes: alternatives, none if it cannot."""
    required = [permission.oauth_requirements.scopes.for_method(method) for permission in way]
    if None in required:
        return []
    return [_joined(each) for each in product(*(part.alternatives or ((),) for part in required if part is not None))]


def has_requirements(permission: Any) -> bool:
    """Whether this is a `HasScopes` class."""
    return hasattr(permission, "oauth_requirements")


def is_oauth_authentication(cls: Any) -> bool:
    """Whether this is `OAuthAuthentication` or a subclass."""
    bases = cls.__mro__ if isinstance(cls, type) else ()
    return any((base.__module__, base.__name__) == _AUTHENTICATION for base in bases)


def guards_named_by(view: Any) -> Iterator[ViewGuard]:
    """The guards for each `HasScopes` that the class of a view, or its ``as_view()``, names."""
    cls, given = getattr(view, "cls", None), getattr(view, "initkwargs", {})
    listed = ("authentication_classes", "permission_classes")
    classes, permissions = (given.get(name, getattr(cls, name, ())) for name in listed)
    ways = alternatives(permissions, has_requirements)
    for authentication in filter(is_oauth_authentication, classes):
        for permission in _joined(ways):
            yield make_guard(authentication.protector, permission)


def make_guard(protector: Any, permission: Any) -> ViewGuard:
    """The guard that decides as the `HasScopes` class ``permission`` does."""
    return ViewGuard(protector, permission.oauth_keywords, permission.oauth_requirements, optional=False)


def naming(scopes: Requirement) -> Requirements:
    """Requirements of nothing but ``scopes``, to be named in a challenge."""
    return replace(NOTHING, scopes=RequirementByMethod({"*": scopes}))
