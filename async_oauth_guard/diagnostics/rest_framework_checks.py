"""The system checks of views of Django REST framework and adrf."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

from ..guard.rest_permissions import alternatives, has_requirements, is_oauth_authentication
from .class_lookup import cells
from .rest_framework_views import authentication_classes, permission_classes
from .routes import Route
from .view_analysis import class_behind, layers_of

__all__ = ["check_rest_views"]

_APP = "async_oauth_guard"


def check_rest_views(routes: Iterable[Route]) -> Iterator[CheckMessage]:
    """W027: another class comes before `OAuthAuthentication`. W028: nothing validates the tokens for `HasScopes`."""
    for route in routes:
        cls, given = _class_of(route.callback)
        if cls is None:
            continue
        classes = list(authentication_classes(cls, given))
        if any(map(is_oauth_authentication, classes)):
            if not is_oauth_authentication(classes[0]):
                yield _order_message(route, classes[0])
        elif not route.guards and _has_scopes(permission_classes(cls, given)):
            yield _missing_message(route)


def _class_of(callback: Any) -> tuple[Any, Mapping[str, Any]]:
    innermost = list(layers_of(callback))[-1]
    cls = class_behind(innermost)
    if cls is None or cls is innermost:
        return None, {}
    return cls, cells(innermost)["initkwargs"]


def _has_scopes(permissions: Iterable[Any]) -> bool:
    return any(alternatives(permissions, has_requirements))


def _order_message(route: Route, first: Any) -> CheckMessage:
    return checks.Warning(
        f"{first.__name__} comes before OAuthAuthentication in the authentication_classes of {route.view}. It decides "
        "about requests that have both credentials, and Django REST framework takes its challenge, or status 403 if it "
        "has none, when the framework itself refuses a request.",
        hint="Put OAuthAuthentication first.",
        id=f"{_APP}.W027",
    )


def _missing_message(route: Route) -> CheckMessage:
    return checks.Warning(
        f"{route.view} requires HasScopes, but nothing validates tokens there: its authentication_classes have no "
        "OAuthAuthentication, and there is no guard around it. Requests that reach HasScopes get 500.",
        hint="Add OAuthAuthentication to authentication_classes, or to DEFAULT_AUTHENTICATION_CLASSES.",
        id=f"{_APP}.W028",
    )
