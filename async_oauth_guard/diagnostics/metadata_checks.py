"""The system checks of protected resource metadata (RFC 9728)."""

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, get_resolver

from ..guard.metadata import make_document
from ..guard.protector import ResourceProtector
from .routes import import_urls

__all__ = ["metadata_messages"]

_APP = "async_oauth_guard"


def metadata_messages(protector: ResourceProtector) -> Iterator[CheckMessage]:
    """W024: the document of a protector is not routed. W026: it names no authorization server."""
    try:
        import_urls()
        url = protector.options.metadata_url
    except ImproperlyConfigured:
        # Django reports a URL configuration that cannot be loaded, and E002 an invalid setting.
        return
    if url is None or not protector.is_used:
        return
    if not _is_routed(protector, url):
        yield checks.Warning(
            f"Challenges name {url}, but the site does not serve this protector's metadata there, so clients cannot "
            "discover the authorization server.",
            hint="Add the patterns of metadata_urls() to the root URL configuration, before patterns that match more.",
            id=f"{_APP}.W024",
        )
    if "authorization_servers" not in make_document(protector):
        yield checks.Warning(
            f"The metadata at {url} names no authorization server, because no validator has an issuer. Clients that "
            "rely on discovery, such as those of MCP, cannot get a token.",
            hint="Give the validator its issuer, or set authorization_servers in metadata.",
            id=f"{_APP}.W026",
        )


def _is_routed(protector: ResourceProtector, url: str) -> bool:
    try:
        match = get_resolver().resolve(unquote(urlsplit(url).path))
    except Resolver404:
        return False
    return getattr(match.func, "_oauth_metadata_of", None) is protector
