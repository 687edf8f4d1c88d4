"""The system checks of operations of Django Ninja, and of views of Django REST framework and adrf."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error

from ..guard.ninja_operations import INSTALLED, operations_of
from ..guard.rest_permissions import alternatives, has_requirements, is_oauth_authentication
from .code_analysis import cells_of
from .rest_framework_views import listed_classes
from .routes import Route, dotted_path, is_excused
from .view_analysis import class_behind, guard_of_authenticator, guarding_of_callback, innermost_of

__all__ = ["check_operations", "check_rest_views"]


# --- Django Ninja ---


def check_operations(routes: Sequence[Route], allowed: Collection[str]) -> Iterator[CheckMessage]:
    """E008: a function is guarded at one route, but not at another. W029: ``install`` was not called for an API.

    ``allowed``: see `is_allowed`.
    """
    found = [(route, operation) for route in routes for operation in operations_of(innermost_of(route.callback))]
    yield from _open_messages(found, allowed)
    yield from _installation_messages([operation for _, operation in found])


def _open_messages(found: Collection[tuple[Route, Any]], allowed: Collection[str]) -> Iterator[CheckMessage]:
    guarded: dict[Any, str] = {}
    for route, operation in found:
        if guarding_of_callback(operation.run).guards:
            guarded.setdefault(innermost_of(operation.view_func), route.path)
    open_paths: dict[Any, dict[str, None]] = {}
    for route, operation in found:
        function = innermost_of(operation.view_func)
        if function in guarded and _is_open(route, operation) and not is_excused(route, allowed):
            open_paths.setdefault(function, {})[route.path] = None
    for function, paths in open_paths.items():
        yield Error(
            f"{dotted_path(function)} is guarded at {guarded[function]}, but not at {', '.join(paths)}. A guard above "
            "the decorator of Django Ninja guards only the route of that decorator.",
            hint="Put require_oauth below all decorators of Django Ninja, next to the function.",
            id="async_oauth_guard.E008",
        )


def _is_open(route: Route, operation: Any) -> bool:
    return not all(route.guards_for(method) for method in operation.methods)


def _installation_messages(operations: Sequence[Any]) -> Iterator[CheckMessage]:
    using = [operation.api for operation in operations if any(map(guard_of_authenticator, operation.auth_callbacks))]
    for api in dict.fromkeys(using):
        if not hasattr(api, INSTALLED):
            yield checks.Warning(
                f"Operations of the NinjaAPI {api.title!r} use OAuth, but install() was not called for it. Refusals "
                "have no challenge, and responses are not marked for caches.",
                hint="Call async_oauth_guard.contrib.ninja.install(api) right after NinjaAPI().",
                id="async_oauth_guard.W029",
            )


# --- Django REST framework ---


def check_rest_views(routes: Iterable[Route]) -> Iterator[CheckMessage]:
    """W027: another class comes before `OAuthAuthentication`. W028: nothing validates the tokens for `HasScopes`."""
    for route in routes:
        cls, given = _class_of(route.callback)
        if cls is None:
            continue
        classes = list(listed_classes(cls, given, "authentication_classes"))
        if any(map(is_oauth_authentication, classes)):
            if not is_oauth_authentication(classes[0]):
                yield _order_message(route, classes[0])
        elif not route.guards and any(alternatives(listed_classes(cls, given, "permission_classes"), has_requirements)):
            yield _missing_message(route)


def _class_of(callback: Any) -> tuple[Any, Mapping[str, Any]]:
    innermost = innermost_of(callback)
    cls = class_behind(innermost)
    if cls is None or cls is innermost:
        return None, {}
    return cls, cells_of(innermost)["initkwargs"]


def _order_message(route: Route, first: Any) -> CheckMessage:
    return checks.Warning(
        f"{first.__name__} comes before OAuthAuthentication in the authentication_classes of {route.view}. It decides "
        "about requests that have both credentials, and Django REST framework takes its challenge, or status 403 if it "
        "has none, when the framework itself refuses a request.",
        hint="Put OAuthAuthentication first.",
        id="async_oauth_guard.W027",
    )


def _missing_message(route: Route) -> CheckMessage:
    return checks.Warning(
        f"{route.view} requires HasScopes, but nothing validates tokens there: its authentication_classes have no "
        "OAuthAuthentication, and there is no guard around it. Requests that reach HasScopes get 500.",
        hint="Add OAuthAuthentication to authentication_classes, or to DEFAULT_AUTHENTICATION_CLASSES.",
        id="async_oauth_guard.W028",
    )
