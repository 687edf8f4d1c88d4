"""Finds the methods of a validator or protector that the site overrides. They replace the package's rules."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from django.utils.functional import SimpleLazyObject

__all__ = [
    "CompatRequest",
    "Hooks",
    "attributes_of",
    "check_returned",
    "hooks_of",
    "keywords_named",
    "keywords_taken",
    "overridden",
    "realm_of",
]

_OUR_MODULES = f"{__name__.partition('.')[0]}."
_AUTHLIBS_EMPTY_METHODS = (AuthlibTokenValidator.validate_request, AuthlibTokenValidator.scope_insufficient)
_NO_GLOBALS: Mapping[str, Any] = {}


class CompatRequest(SimpleLazyObject):  # type: ignore[type-arg]
    """The request that hooks get with ``compat="authlib"``. Methods recognise it by its type."""


def overridden(owner: Any, name: str) -> Callable[..., Any] | None:
    """The method ``name`` if the site wrote it; ``None`` if it is ours, or an empty method of Authlib."""
    method = getattr(owner, name, None)
    return None if _is_ours(getattr(method, "__func__", method)) else method


@lru_cache(maxsize=1024)
def _is_ours(function: Any) -> bool:
    # Use the module of its globals, because `functools.wraps` copies `__module__` from the wrapped function.
    module = getattr(function, "__globals__", _NO_GLOBALS).get("__name__", "")
    return module.startswith(_OUR_MODULES) or function in _AUTHLIBS_EMPTY_METHODS


@dataclass(frozen=True, slots=True)
class Hooks:
    """The methods of a validator that the site overrides, of those that a request may call."""

    validate_request: Callable[..., Any] | None = None
    authenticate_token: Callable[..., Any] | None = None
    validate_token: Callable[..., Any] | None = None
    scope_insufficient: Callable[..., Any] | None = None


_NO_HOOKS = Hooks()
_HOOKS = Hooks.__slots__
_look_up = attrgetter(*_HOOKS)


def hooks_of(validator: Any) -> Hooks:
    """The hooks of ``validator``. They are looked up each time, because tests may replace them."""
    try:
        is_plain = _are_ours(_look_up(type(validator))) and vars(validator).keys().isdisjoint(_HOOKS)
    except (AttributeError, TypeError):
        # The site's own class may lack a method, or its objects may have no `__dict__`.
        is_plain = False
    return _NO_HOOKS if is_plain else Hooks(*(overridden(validator, name) for name in _HOOKS))


@lru_cache(maxsize=128)
def _are_ours(functions: tuple[Any, ...]) -> bool:
    return all(map(_is_ours, functions))


def check_returned(function: Callable[..., Any], value: Any, *types: type) -> None:
    """Check that the site's ``function`` returned a value of one of ``types``.

    Raises:
        TypeError: it has another type. Otherwise any object, such as a coroutine that is not awaited, would be true.
    """
    if type(value) in types:
        return
    if inspect.iscoroutine(value):
        value.close()
    name = getattr(function, "__qualname__", type(function).__qualname__)
    expected = " or ".join("None" if each is type(None) else f"a {each.__name__}" for each in types)
    raise TypeError(f"{name}() must return {expected}, got {type(value).__name__}")


def realm_of(validator: Any) -> str | None:
    """The realm of a validator, or ``None``. The site's own class may have no such attribute."""
    realm: str | None = getattr(validator, "realm", None)
    return realm


def attributes_of(validator: Any) -> Mapping[str, Any]:
    """The further parameters of a validator's challenges. The site's own class may have none."""
    attributes: Mapping[str, Any] | None = getattr(validator, "extra_attributes", None)
    return attributes or {}


def keywords_taken(method: Callable[..., Any], keywords: Mapping[str, Any], positional: int = 3) -> Collection[str]:
    """The ``keywords`` that a hook accepts, as a named parameter or by ``**``.

    Args:
        positional: the number of arguments before them, such as three for ``validate_token(token, scopes, request)``.
    """
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(method)):
        return keywords.keys()
    return keywords_named(method, keywords, positional)


def keywords_named(method: Callable[..., Any], keywords: Mapping[str, Any], positional: int = 3) -> Collection[str]:
    """The ``keywords`` that a hook has as named parameters. Its author knows about these."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return keywords.keys() & {
        parameter.name for parameter in _parameters(method)[positional:] if parameter.kind in named
    }


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())
