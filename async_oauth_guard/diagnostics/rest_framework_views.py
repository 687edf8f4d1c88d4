"""Finds the guards among the permissions of views of Django REST framework and adrf. In doubt: unguarded.

The frameworks are not imported.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import product
from types import FunctionType
from typing import Any

from ..guard.rest_permissions import alternatives, is_oauth_authentication, make_guard
from ..guard.view_guard import ViewGuard
from .code_analysis import ANY, attribute_of, cells_of, members_named, module_of

__all__ = [
    "attributes_set_by_framework",
    "describes_nothing",
    "function_behind",
    "guards_of_permissions",
    "handlers_of_set",
    "is_of_framework",
    "is_rest_as_view",
    "is_rest_dispatch",
    "is_view_of_set",
    "listed_classes",
    "requires_scopes",
    "run_before_permissions",
]

_CONTRIB = "async_oauth_guard.contrib.rest_framework"
_FRAMEWORKS = ("rest_framework.", "adrf.")

# The methods of the frameworks that check permissions, or decide that they are checked.
_CHECKING = (
    *("initial", "check_permissions", "get_permissions", "permission_denied", "get_authenticators"),
    *("sync_dispatch", "async_dispatch", "check_sync_permissions", "check_async_permissions"),
)
# The other methods that `dispatch` of the frameworks calls before.
_BEFORE = (
    *("initialize_request", "get_parser_context", "get_parsers", "get_content_negotiator", "get_renderers"),
    *("default_response_headers", "allowed_methods", "_allowed_methods", "get_format_suffix"),
    *("perform_content_negotiation", "determine_version", "perform_authentication"),
)

# The attributes that the frameworks set before they check permissions and look up the handler.
_SET_BEFORE = ("headers", "format_kwarg", "action_map", "action")


def attributes_set_by_framework(cls: type) -> Sequence[str]:
    """The names of the attributes that the frameworks set on a view of theirs, besides those that Django sets."""
    return _SET_BEFORE if any(map(_is_class_of_framework, cls.__mro__)) else ()


def _is_class_of_framework(cls: type) -> bool:
    return f"{cls.__module__}.".startswith(_FRAMEWORKS)


def is_view_of_set(layer: Any) -> bool:
    """Whether ``layer`` is what ``as_view()`` of a view set makes."""
    return _is_function_of(layer, ("rest_framework.viewsets", "adrf.viewsets"), ("view", "async_view"))


def is_rest_as_view(method: Any) -> bool:
    """Whether ``method`` is ``as_view()`` of `APIView`. That of a view set makes another view for each route."""
    return _is_function_of(getattr(method, "__func__", None), ("rest_framework.views",), ("as_view",))


def is_rest_dispatch(function: Any) -> bool:
    """Whether ``function`` is the ``dispatch`` of one of the frameworks."""
    return _is_function_of(function, ("rest_framework.views", "adrf.views"), ("dispatch",))


def _is_function_of(function: Any, modules: Sequence[str], names: Sequence[str]) -> bool:
    return isinstance(function, FunctionType) and module_of(function) in modules and function.__code__.co_name in names


def function_behind(layer: Any) -> Any:
    """The function that ``@api_view`` made the handler ``layer`` for, or ``None``."""
    is_handler = _is_function_of(layer, ("rest_framework.decorators", "adrf.decorators"), ("handler",))
    return cells_of(layer).get("func") if is_handler else None


def is_of_framework(function: Any) -> bool:
    """Whether one of the frameworks defines ``function``."""
    return isinstance(function, FunctionType) and module_of(function).startswith(_FRAMEWORKS)


def handlers_of_set(actions: Mapping[str, str]) -> dict[str, str]:
    """The name of the handler for each HTTP method of a view set. Its ``as_view()`` uses ``get`` for HEAD."""
    head = {"head": actions["get"]} if "get" in actions else {}
    return {"options": "options", **head, **actions}


def describes_nothing(cls: type, given: Mapping[str, Any], handler: Any) -> bool:
    """Whether ``handler`` is the frameworks' own ``options``, and the view has no metadata for it."""
    metadata = given.get("metadata_class", attribute_of(cls, "metadata_class"))
    return metadata is None and is_of_framework(handler) and handler.__name__ == "options"


def run_before_permissions(cls: type) -> list[Any]:
    """What the site's classes define that the frameworks call before they check permissions."""
    own = [each for each in cls.__mro__ if not _is_class_of_framework(each)]
    return [
        member
        for name in _BEFORE
        for member in members_named(cls, name)
        if any(vars(each).get(name) is member for each in own)
    ]


def listed_classes(cls: type, given: Mapping[str, Any], name: str) -> Sequence[Any]:
    """What a view lists under this name; empty if it is computed. ``given`` are the arguments of ``as_view()``."""
    value = given[name] if name in given else attribute_of(cls, name)
    return value if type(value) in (list, tuple) else ()


def guards_of_permissions(cls: type, given: Mapping[str, Any], changes: Set[str]) -> Iterator[ViewGuard]:
    """The guards that every request passes: for ``A & B`` two, for ``A | B`` one with an alternative.

    ``changes``: the attributes that may be set on the object itself.
    """
    authentication = next(filter(is_oauth_authentication, listed_classes(cls, given, "authentication_classes")), None)
    if authentication is None or not _checks_permissions(cls, given, changes):
        return
    ways = alternatives(listed_classes(cls, given, "permission_classes"), requires_scopes)
    for clause in dict.fromkeys(tuple(dict.fromkeys(each)) for each in product(*ways)):
        first, *others = (make_guard(authentication.protector, permission) for permission in clause)
        yield replace(first, alternatives=tuple(others))


def _checks_permissions(cls: type, given: Mapping[str, Any], changes: Set[str]) -> bool:
    """Whether the frameworks' own code checks the permissions that the class, or ``as_view()``, names."""
    listed = {"permission_classes", "authentication_classes"}
    # The arguments of `as_view()` may replace methods too.
    replaced = changes | (given.keys() - listed)
    return replaced.isdisjoint({ANY, *listed, *_CHECKING}) and all(_is_checked(cls, name) for name in _CHECKING)


def _is_checked(cls: type, name: str) -> bool:
    method = attribute_of(cls, name)
    # Django REST framework lacks the methods that only adrf has.
    return method is None or is_of_framework(method)


def requires_scopes(permission: Any) -> bool:
    """Whether this is a `HasScopes` whose decision no subclass overrides."""
    if type(permission).__module__ != f"{_CONTRIB}.permissions":
        return False
    methods = (attribute_of(permission, name) for name in ("__init__", "has_permission", "_decide", "_refusal_of"))
    return all(module_of(method) == f"{_CONTRIB}.permissions" for method in methods)
