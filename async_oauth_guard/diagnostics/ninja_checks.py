"""The system checks of operations of Django Ninja."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from ..guard.ninja_operations import INSTALLED, operations_of
from .routes import Route, dotted_path, is_excused, patterns_of_allowed
from .view_analysis import guard_of_authenticator, guarding_of_callback, layers_of

__all__ = ["check_operations"]

_APP = "async_oauth_guard"


def check_operations(routes: Sequence[Route]) -> Iterator[CheckMessage]:
    """E008: a function is guarded at one route, but not at another. W029: ``install`` was not called for an API."""
    found = [(route, operation) for route in routes for operation in operations_of(_innermost(route.callback))]
    yield from _open_messages(found)
    yield from _installation_messages([operation for _, operation in found])


def _open_messages(found: Collection[tuple[Route, Any]]) -> Iterator[CheckMessage]:
    guarded: dict[Any, str] = {}
    for route, operation in found:
        if guarding_of_callback(operation.run).guards:
            guarded.setdefault(_innermost(operation.view_func), route.path)
    patterns = _patterns()
    open_paths: dict[Any, dict[str, None]] = {}
    for route, operation in found:
        function = _innermost(operation.view_func)
        if function in guarded and _is_open(route, operation) and not is_excused(route, patterns):
            open_paths.setdefault(function, {})[route.path] = None
    for function, paths in open_paths.items():
        yield Error(
            f"{dotted_path(function)} is guarded at {guarded[function]}, but not at {', '.join(paths)}. A guard above "
            "the decorator of Django Ninja guards only the route of that decorator.",
            hint="Put require_oauth below all decorators of Django Ninja, next to the function.",
            id=f"{_APP}.E008",
        )


def _is_open(route: Route, operation: Any) -> bool:
    return not all(route.guards_for(method) for method in operation.methods)


def _patterns() -> Collection[str]:
    try:
        return patterns_of_allowed() or ()
    except ImproperlyConfigured:
        # E002 reports this.
        return ()


def _innermost(view: Any) -> Any:
    return list(layers_of(view))[-1]


def _installation_messages(operations: Sequence[Any]) -> Iterator[CheckMessage]:
    using = [operation.api for operation in operations if any(map(guard_of_authenticator, operation.auth_callbacks))]
    for api in dict.fromkeys(using):
        if not hasattr(api, INSTALLED):
            yield checks.Warning(
                f"Operations of the NinjaAPI {api.title!r} use OAuth, but install() was not called for it. Refusals "
                "have no challenge, and responses are not marked for caches.",
                hint="Call async_oauth_guard.contrib.ninja.install(api) right after NinjaAPI().",
                id=f"{_APP}.W029",
            )
