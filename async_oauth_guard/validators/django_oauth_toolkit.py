"""Validates django-oauth-toolkit's access tokens in its own table."""

from collections.abc import Callable, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.utils.functional import cached_property

from ..errors import Reason
from ..protocol.attributes import read_optional
from ..protocol.rules import Rule
from .authorization_context import AuthorizationContext
from .base import NOT_EXPIRED, CheckedToken
from .database import BearerTokenValidator
from .hooks import check_returned

__all__ = ["ToolkitTokenValidator"]

_MODEL = "oauth2_provider.AccessToken"


def _check_valid(checked: CheckedToken) -> Reason | None:
    # The toolkit deletes revoked tokens. A swapped model may keep them.
    return None if _says(checked.token.is_valid) else Reason.REVOKED


def _check_resource(checked: CheckedToken) -> Reason | None:
    # Versions before 3.4 have no such column.
    is_named = read_optional(checked.token, "resource")
    return Reason.WRONG_AUDIENCE if is_named and not _is_meant_for(checked.token, checked.context.uri()) else None


def _check_client(checked: CheckedToken) -> Reason | None:
    application = checked.token.application
    return None if application is None or _is_usable(application, checked.context) else Reason.UNUSABLE_CLIENT


def _is_meant_for(token: Any, uri: str | None) -> bool:
    # RFC 8707 §2. Use the toolkit's comparison, because a site may override it. It gets the URI without the query.
    return uri is not None and _says(token.allows_audience, uri.partition("?")[0])


def _is_usable(application: Any, context: AuthorizationContext) -> bool:
    # A site can override `is_usable()` to disable a client. The toolkit's own method allows all clients, so skip it.
    from oauth2_provider.models import AbstractApplication
    from oauthlib.common import Request

    if type(application).is_usable is AbstractApplication.is_usable:
        return True
    django_request = context.request
    method: Any = "GET" if django_request is None else django_request.method
    headers = {} if django_request is None else dict(django_request.headers)
    # Omit the query, because oauthlib refuses queries that Django accepts.
    uri = (context.uri() or "").partition("?")[0]
    return _says(application.is_usable, Request(uri, method, headers=headers))


def _says(method: Callable[..., Any], *arguments: Any) -> bool:
    # The site may have overridden this method, so check its type.
    response: bool = method(*arguments)
    check_returned(method, response, bool)
    return response


_STATE: Sequence[Rule[CheckedToken, AuthorizationContext]] = (
    NOT_EXPIRED,
    Rule("not revoked", _check_valid),
    Rule("resource", _check_resource, asks_for=lambda context: context.uri() or ""),
    Rule("client is usable", _check_client),
)


class ToolkitTokenValidator(BearerTokenValidator):
    """See `BearerTokenValidator.for_django_oauth_toolkit`."""

    _state_rules = _STATE

    def __init__(self, realm: str | None = None, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "lookup": "token_checksum",
            "digest": "sha256",
            # In the toolkit, the client of a token is a separate row.
            "select_related": ("user", "application"),
        }
        super().__init__(_MODEL, realm, **{**defaults, **options})

    @cached_property
    def token_model(self) -> type[Model]:
        """The toolkit's model, or the one that the site put in its place."""
        label = getattr(settings, "OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL", _MODEL)
        try:
            return apps.get_model(label)
        except (LookupError, ValueError) as error:
            raise ImproperlyConfigured(
                f"the model {label!r} does not exist; is 'oauth2_provider' in INSTALLED_APPS?"
            ) from error

    def _get_scope(self, token: Any) -> Any:
        return token.scope
