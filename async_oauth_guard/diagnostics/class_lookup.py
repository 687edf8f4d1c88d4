"""Looks up what classes and functions contain, without running the site's code."""

from collections.abc import Iterable, Mapping
from types import CellType
from typing import Any

from django.views import View

__all__ = ["cells", "found", "members"]


def cells(function: Any) -> Mapping[str, Any]:
    """The variables of enclosing functions that a function uses, by name, except those that are not assigned yet."""
    pairs = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in pairs if cell != CellType()}


def found(cls: type, name: str) -> Any:
    """The attribute of a class or its first parent that defines it, without calling descriptors."""
    return next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)


def members(cls: type, name: str) -> Iterable[Any]:
    """The methods and other descriptors with this name in all classes except Django's ``View``."""
    defined = [vars(each)[name] for each in cls.__mro__ if each not in (View, object) and name in vars(each)]
    return [member for member in defined if hasattr(type(member), "__get__")]
