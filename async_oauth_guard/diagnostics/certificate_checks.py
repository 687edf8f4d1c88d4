"""The system check of client certificates (RFC 8705)."""

from collections.abc import Iterator

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured

from ..guard.protector import ResourceProtector

__all__ = ["certificate_messages"]

_APP = "async_oauth_guard"


def certificate_messages(protector: ResourceProtector) -> Iterator[CheckMessage]:
    """W023: a protector trusts every client to send the header with its certificate."""
    try:
        mtls = protector.options.mtls
    except ImproperlyConfigured:
        # E002 and E007 report this.
        return
    if mtls is not None and mtls.trusts_everyone and protector.is_used and not settings.DEBUG:
        yield checks.Warning(
            f"trusted_proxies contains all addresses, so any client that reaches the server can send {mtls.header} "
            "itself, and use a stolen token that is bound to a certificate.",
            hint="Name only the addresses or networks of your proxies. Silence this check if nothing else can connect.",
            id=f"{_APP}.W023",
        )
