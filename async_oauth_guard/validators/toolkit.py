"""django-oauth-toolkit's access tokens, read from its own table."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.utils.functional import cached_property

from ..errors import Reason
from ..flows.authorization import Inquiry
from ..tokens import TokenState
from .model import BearerTokenValidator

__all__ = ["ToolkitTokenValidator"]

_MODEL = "oauth2_provider.AccessToken"


class ToolkitTokenValidator(BearerTokenValidator):
    """See `BearerTokenValidator.for_django_oauth_toolkit`."""

    def __init__(self, realm: str | None = None, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "lookup": "token_checksum",
            "digest": "sha256",
            # The client of a token is a row of its own there.
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
                f"there is no model {label!r}: is 'oauth2_provider' in INSTALLED_APPS?"
            ) from error

    def read_state(self, token: Any, inquiry: Inquiry) -> TokenState:
        """What the row says of itself. The toolkit deletes revoked ones; a model in its place may do otherwise."""
        if token.is_expired():
            return TokenState(Reason.EXPIRED)
        if not token.is_valid():
            return TokenState(Reason.REVOKED)
        # Versions before 3.4 have no such column.
        if getattr(token, "resource", None) and not _is_meant_for(token, inquiry.uri()):
            return TokenState(Reason.WRONG_AUDIENCE)
        if token.application is not None and not _is_usable(token.application, inquiry):
            return TokenState(Reason.UNUSABLE_CLIENT)
        return self._read_grant(token, token.scope, inquiry)


def _is_meant_for(token: Any, uri: str | None) -> bool:
    # RFC 8707 §2; the toolkit's own comparison, of the URI without its query, which a site may have replaced.
    return uri is not None and bool(token.allows_audience(uri.partition("?")[0]))


def _is_usable(application: Any, inquiry: Inquiry) -> bool:
    # The toolkit's way for a site to switch a client off. Its own method allows all, and needs no request to be made.
    from oauth2_provider.models import AbstractApplication
    from oauthlib.common import Request

    if type(application).is_usable is AbstractApplication.is_usable:
        return True
    django_request = inquiry.request
    method: Any = "GET" if django_request is None else django_request.method
    headers = {} if django_request is None else dict(django_request.headers)
    # Without the query, of which oauthlib takes less than Django.
    uri = (inquiry.uri() or "").partition("?")[0]
    return bool(application.is_usable(Request(uri, method, headers=headers)))
